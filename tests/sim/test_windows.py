"""What engines count, what users feel, and the index arrays behind both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim import small
from wattshift.core.engine import Metric
from wattshift.core.model import Allowed, Objective
from wattshift.sim.attainment import Attainment
from wattshift.sim.layout import layout_of, placement_names
from wattshift.sim.plant import Plant
from wattshift.sim.policies.base import Orders
from wattshift.sim.run import simulate
from wattshift.sim.scenario import SimPlacement
from wattshift.sim.windows import Windows

NAMES = ("alpha", "beta", "gamma")


def steady(rate: float = 4 * 2511.0, **changes):
    demand = np.zeros((30, 2))
    demand[:, 0] = rate
    workload = small.chat(30, NAMES, demand_tokens_per_second=demand, **changes)
    return small.scenario(30, workloads=(workload,), margin=0.0)


def inter(windows: Windows, place: int = 0):
    return next(w for w in windows.of(place) if w.metric is Metric.INTER_TOKEN_LATENCY)


def test_a_long_span_counts_by_the_part_that_fits_the_window():
    plant = Plant(layout_of(steady()))
    windows = Windows(plant.layout)
    windows.add(plant.advance(0, 0.0, 3000.0))
    found = inter(windows)

    assert (found.slow_seconds, found.fast_seconds) == (600, 60)
    assert found.slow.total == pytest.approx(4 * 2511 * 600, rel=1e-6)
    assert found.fast.total == pytest.approx(4 * 2511 * 60, rel=1e-6)


def test_short_spans_slide():
    plant = Plant(layout_of(steady()))
    windows = Windows(plant.layout)
    for k in range(700):
        windows.add(plant.advance(0, float(k), 1.0))
    found = inter(windows)

    assert found.slow.total == pytest.approx(4 * 2511 * 600, rel=1e-6)
    assert found.fast.total == pytest.approx(4 * 2511 * 60, rel=1e-6)
    # 22.4 ms median, 91 ms at 99 %: one in a hundred is above 91, fewer above 100
    assert 0.005 < found.slow.bad / found.slow.total < 0.01


def test_windows_that_were_read_follow_the_next_span():
    plant = Plant(layout_of(steady()))
    windows, unread = Windows(plant.layout), Windows(plant.layout)
    for k in range(30):
        record = plant.advance(0, float(k), 1.0)
        windows.add(record)
        unread.add(record)
        found = windows.of(0)
    assert found == windows.of(0) == unread.of(0)
    assert inter(windows).slow.total == pytest.approx(4 * 2511 * 30, rel=1e-6)


def test_what_was_bad_leaves_the_window():
    plant = Plant(layout_of(steady()))
    windows = Windows(plant.layout)
    plant.apply(Orders(replicas={("llm/chat", name): 1 for name in NAMES}), 0.0)
    for k in range(10):
        windows.add(plant.advance(0, 60.0 * k, 60.0))
    hot = inter(windows)
    plant.apply(Orders(replicas={("llm/chat", name): 8 for name in NAMES}), 600.0)
    for k in range(10, 30):
        windows.add(plant.advance(0, 60.0 * k, 60.0))
    cool = inter(windows)

    assert hot.slow.bad / hot.slow.total > 0.2
    assert cool.slow.bad / cool.slow.total < 0.01


def test_idle_time_is_counted_from_the_last_request():
    plant = Plant(layout_of(steady(0.0)))
    windows = Windows(plant.layout)
    for k in range(3):
        windows.add(plant.advance(k, 300.0 * k, 300.0))

    assert windows.idle_seconds.tolist() == [900.0] * 3


def test_users_feel_the_round_trip_and_engines_do_not():
    tight = Objective(
        metric=Metric.TIME_TO_FIRST_TOKEN,
        threshold_milliseconds=220,
        attainment_permille=950,
        window_seconds=600,
    )
    base = steady(2 * 2511.0, objectives=(tight,))
    near = simulate(base, small.Nothing, windows=["all"]).attainment()
    away = Orders(split={("llm/chat", "east"): {"beta": 1.0}})
    far = simulate(base, small.Scripted({0.0: away}), windows=["all"]).attainment()
    name = "TimeToFirstToken 220 ms"

    assert near[name]["150 ms"] > far[name]["150 ms"] + 0.2


def test_a_lost_request_is_bad_in_every_objective():
    base = steady()
    none = tuple(replace(row, initial_replicas=0) for row in base.workloads[0].placements)
    dead = replace(base, workloads=(replace(base.workloads[0], placements=none),))
    plant = Plant(layout_of(dead))
    attainment = Attainment(plant.layout)
    requests, bad = attainment.count(plant.advance(0, 0.0, 300.0))

    assert requests.sum() > 0
    assert np.array_equal(requests, bad)


def test_classes_are_the_round_trips_that_users_accept():
    groups = Attainment(layout_of(small.scenario(4))).groups

    assert {name for _, name in groups} == {"150 ms", "any"}
    assert len(groups) == 4


def test_two_profiles_at_one_site_have_two_names():
    places = (
        SimPlacement(
            site_name="alpha",
            profile_name="llama-70b",
            min_replicas=0,
            max_replicas=4,
            initial_replicas=1,
        ),
        SimPlacement(
            site_name="alpha",
            profile_name="other",
            min_replicas=0,
            max_replicas=4,
            initial_replicas=1,
        ),
    )
    workload = small.chat(4, NAMES, placements=places)

    assert placement_names(workload) == ("alpha-llama-70b", "alpha-other")


def test_a_name_that_does_not_exist_is_said():
    workload = small.chat(4, ("alpha", "nowhere"))
    with pytest.raises(ValueError, match="llm/chat: no site named 'nowhere'"):
        layout_of(small.scenario(4, workloads=(workload,)))


def test_demand_of_another_length_is_said():
    workload = small.chat(5, NAMES)
    with pytest.raises(ValueError, match=r"demand is \(5, 2\), not \(4, 2\)"):
        layout_of(small.scenario(4, workloads=(workload,)))


def test_arcs_are_nearest_first_and_know_their_reach():
    arcs = layout_of(small.scenario(4)).arcs

    assert arcs.placement.tolist() == [0, 1, 2, 2, 1, 0]
    assert arcs.reachable.tolist() == [True, True, False, True, True, True]
    assert [rank.tolist() for rank in arcs.by_rank] == [[0, 3], [1, 4], [5]]


def test_a_workload_that_only_scales_has_no_arcs_to_choose():
    workload = small.chat(4, NAMES, actions=(Allowed.SCALE,))
    arcs = layout_of(small.scenario(4, workloads=(workload,))).arcs

    assert arcs.of == {}
    assert len(arcs.load) == 6
