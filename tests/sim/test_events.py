"""Event compliance from a trace, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattshift.core.model import Firmness
from wattshift.sim.events import judge
from wattshift.sim.result import event_figures
from wattshift.sim.run import simulate
from wattshift.sim.scenario import SimEvent, Window

from tests.sim import small

EVENT = SimEvent(
    name="e",
    site_name="alpha",
    start_seconds=1000.0,
    duration_seconds=600.0,
    notice_seconds=0.0,
    upper_watts=700.0,
    lower_watts=None,
    reduction_share=None,
    ramp_seconds=60.0,
    firmness=Firmness.COMMITTED,
)


HELD = 1e9
"""Watts that are withheld where that limits nothing."""


def trace(*pieces: tuple[float, float], held: float = HELD) -> np.ndarray:
    """Rows of one second from 900 on: (until, watts)."""
    rows, now = [], 900.0
    for until, watts in pieces:
        while now < until:
            rows.append((now, 1.0, watts, held, watts, 1.0))
            now += 1.0
    return np.asarray(rows)


def test_a_shed_in_time_is_met():
    found = judge(EVENT, trace((1000, 1000), (1012, 900), (1600, 700), (2000, 1000)))

    assert found.reference_watts == 1000
    assert found.seconds_to_shed == 12
    assert found.samples == 9
    assert found.samples_inside == 9
    assert found.error == 0
    assert found.over_curtailment == 0
    assert found.rebound == 0
    assert found.met


def test_ninety_five_per_cent_of_the_target_counts_as_shed():
    found = judge(EVENT, trace((1000, 1000), (1005, 800), (1020, 714), (1600, 700)))

    assert found.seconds_to_shed == 5
    assert found.met


def test_too_little_is_not_met_and_too_much_is_over_curtailment():
    little = judge(EVENT, trace((1000, 1000), (1600, 730), (1700, 1000)))
    much = judge(EVENT, trace((1000, 1000), (1600, 640), (1700, 1000)))

    assert little.seconds_to_shed is None
    assert little.error == pytest.approx(0.1)
    assert not little.met
    assert much.over_curtailment == much.below_upper == pytest.approx(0.2)
    assert much.met


@pytest.mark.parametrize(("held", "over"), [(0.0, 0.0), (15.0, 0.05), (100.0, 0.2)])
def test_only_what_is_withheld_is_over_curtailment(held, over):
    found = judge(EVENT, trace((1000, 1000), (1600, 640), (1700, 1000), held=held))

    assert found.over_curtailment == pytest.approx(over)
    assert found.below_upper == pytest.approx(0.2)


def test_minutes_in_which_a_fault_leaves_nothing_are_no_samples():
    event = replace(EVENT, lower_watts=500.0)
    rows = trace((1000, 1000), (1300, 700), (1420, 0), (1600, 700), (2000, 1000))
    blamed, found = judge(event, rows), judge(event, rows, [(1300.0, 1420.0)])

    assert (blamed.samples, blamed.samples_inside, blamed.met) == (9, 7, False)
    assert (found.samples, found.samples_inside, found.met) == (7, 7, True)
    assert found.error == 0
    assert found.below_upper == 0


def test_a_fault_at_the_end_hides_no_other_minute():
    rows = trace((1000, 1000), (1600, 730), (2000, 1000))
    found = judge(EVENT, rows, [(1540.0, 5000.0)])

    assert (found.samples, found.samples_inside) == (8, 0)


def test_rebound_is_what_the_recovery_draws_above_the_reference():
    found = judge(EVENT, trace((1000, 1000), (1600, 700), (1700, 1060), (1800, 1000)))

    assert found.rebound == pytest.approx(0.2)


def test_what_demand_has_grown_by_is_no_rebound_nor_what_others_draw():
    rows = trace((1000, 1000), (1600, 700), (1800, 1200))
    work, demand, back = rows[:, 4], rows[:, 5], rows[:, 0] >= 1600
    work[:], work[back] = 900.0, 1100.0
    assert judge(EVENT, rows).rebound == pytest.approx(2 / 3)
    demand[back] = 1.1
    assert judge(EVENT, rows).rebound == pytest.approx(110 / 300)
    # the demand has fallen: less than before is no measure of what was put off
    demand[back] = 0.5
    assert judge(EVENT, rows).rebound == pytest.approx(2 / 3)
    work[back] = 900.0
    assert judge(EVENT, rows).rebound == 0


def test_a_moment_in_the_recovery_counts_by_its_minute():
    found = judge(EVENT, trace((1000, 1000), (1600, 700), (1606, 1600), (1900, 1000)))

    assert found.rebound == pytest.approx(0.2)


def test_a_share_is_taken_of_the_power_before_the_start():
    event = replace(EVENT, upper_watts=None, reduction_share=0.25)
    found = judge(event, trace((1000, 800), (1600, 600)))

    assert found.upper_watts == 600
    assert found.met


def test_a_lower_bound_wants_power():
    event = replace(EVENT, upper_watts=None, lower_watts=1200.0)
    low = judge(event, trace((1000, 1000), (1600, 1100)))
    high = judge(event, trace((1000, 1000), (1050, 1100), (1600, 1210)))

    assert not low.met
    assert high.met
    assert high.seconds_to_shed is None


def test_without_an_upper_bound_nothing_was_put_off_that_could_come_back():
    event = replace(EVENT, upper_watts=None, lower_watts=900.0)
    found = judge(event, trace((1000, 1000), (1600, 1000), (3400, 1500)))

    assert found.rebound == 0


def test_spans_of_several_minutes_count_once_a_minute():
    rows = np.asarray(
        [
            (900.0, 100.0, 1000.0, HELD, 1.0, 1.0),
            (1000.0, 300.0, 700.0, HELD, 1.0, 1.0),
            (1300.0, 300.0, 800.0, HELD, 1.0, 1.0),
            (1600.0, 60, 900, HELD, 1.0, 1.0),
        ]
    )
    found = judge(replace(EVENT, ramp_seconds=0.0), rows)

    # nine whole minutes behind the least ramp of 30 s; four of them end before 1300
    assert found.samples == 9
    assert found.samples_inside == 4


def test_figures_over_many_events():
    good = judge(EVENT, trace((1000, 1000), (1012, 900), (1600, 700), (2000, 1000)))
    bad = judge(EVENT, trace((1000, 1000), (1600, 730), (1700, 1000)))
    figures = event_figures((good, bad), 3)

    assert figures["notCalled"] == 3
    assert (figures["count"], figures["met"]) == (2, 1)
    assert figures["samplesInsideShare"] == pytest.approx(0.5)
    assert figures["secondsToShed"]["p50"] == 12
    assert event_figures(())["samplesInsideShare"] is None


def test_only_events_with_an_upper_bound_can_take_too_much():
    much = judge(EVENT, trace((1000, 1000), (1600, 640), (1700, 1000)))
    low = judge(
        replace(EVENT, upper_watts=None, lower_watts=500.0), trace((1000, 1000), (1600, 900))
    )
    figures = event_figures((much, low))

    assert figures["meanOverCurtailment"] == pytest.approx(0.2)
    assert figures["meanBelowUpper"] == pytest.approx(0.2)
    assert event_figures((low,))["meanOverCurtailment"] is None


def test_short_and_long_spans_weigh_by_their_time():
    """Seconds after a change and long spans between them: eleven seconds are no eleven minutes."""
    rows = [(900.0, 100.0, 1000.0, HELD, 1.0, 1.0)]
    rows += [(1000.0 + second, 1.0, 1000.0, HELD, 1.0, 1.0) for second in range(11)]
    rows += [(1011.0, 289.0, 700.0, HELD, 1.0, 1.0), (1300.0, 300.0, 700.0, HELD, 1.0, 1.0)]
    found = judge(replace(EVENT, ramp_seconds=0.0), np.asarray(rows))

    assert (found.samples, found.samples_inside) == (9, 9)


@given(
    st.lists(st.tuples(st.sampled_from([1, 7, 49, 60, 300]), st.integers(400, 1000)), min_size=5),
    st.integers(1, 40),
)
def test_minutes_are_those_of_the_same_power_second_by_second(spans, number):
    """However the simulator cuts time, the same power gives the same verdict."""
    rows, now = [(900.0, 100.0, 1000.0, HELD, 1.0, 1.0)], 1000.0
    for seconds, watts in spans * number:
        rows.append((now, float(seconds), float(watts), HELD, 1.0, 1.0))
        now += seconds
    fine = [
        (begin + second, 1.0, watts, *rest)
        for begin, length, watts, *rest in rows
        for second in range(int(length))
    ]
    coarse, exact = judge(EVENT, np.asarray(rows)), judge(EVENT, np.asarray(fine))

    assert coarse.samples == exact.samples
    assert coarse.samples_inside == exact.samples_inside


def test_too_little_power_under_a_lower_bound_is_an_error():
    event = replace(EVENT, upper_watts=None, lower_watts=1200.0)
    found = judge(event, trace((1000, 1000), (1600, 1100)))

    assert found.error == pytest.approx(0.1)


def run_with(event, windows, steps=12):
    base = small.scenario(steps=steps, govern_every_seconds=60.0)
    rows = tuple(
        Window(name=f"w{i}", first_step=a, last_step=b) for i, (a, b) in enumerate(windows)
    )
    return simulate(replace(base, events=(event,), windows=rows), small.Nothing())


def test_an_event_across_two_windows_is_judged_whole():
    event = replace(EVENT, start_seconds=1500.0, duration_seconds=900.0, upper_watts=1e6)
    whole = run_with(event, [(0, 12)]).events
    halves = run_with(event, [(0, 6), (6, 12)])

    assert [len(row.events) for row in halves.windows] == [1, 0]
    assert halves.events == whole


def test_an_event_that_the_run_does_not_see_the_end_of_is_not_judged():
    event = replace(EVENT, start_seconds=1500.0, duration_seconds=900.0, upper_watts=1e6)

    assert run_with(event, [(0, 6)]).events == ()
