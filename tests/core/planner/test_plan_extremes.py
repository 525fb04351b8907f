"""Worlds that nobody would build: planner, governor and their words stay sane whatever is odd.

Prices beyond all sense, no room or no devices at all, bounds without play, capacities of nothing or of
millions, clocks set back, shares that name nobody. The same examples in every run.
"""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, strategies as st
from tests.core.build import NOW
from tests.core.worlds import FEW, worlds
from wattshift.core.decision import Action
from wattshift.core.explain import governance_lines, plan_lines
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan
from wattshift.core.signal import Forecast, ForecastPoint

PRICES = ("-1000000", "-0.10", "0.00", "0.000001", "0.30", "0.80", "1000000")
ONE_IN_FOUR = st.sampled_from([False, False, False, True])


@st.composite
def odd_site(draw, row):
    """A site of which something may be nothing, or far too much."""
    if draw(ONE_IN_FOUR):
        count, seen = draw(st.sampled_from([0, 1, 10**6])), draw(st.sampled_from([None, 0, 2]))
        devices = (replace(part, count=count, allocatable=seen) for part in row.accelerators)
        row = replace(row, accelerators=tuple(devices))
    if draw(ONE_IN_FOUR):
        limit = draw(st.sampled_from([0, 1, 10**9]))
        feeds = (replace(part, import_limit_watts=limit) for part in row.connections)
        row = replace(row, connections=tuple(feeds))
    nothing = draw(st.sampled_from([None, None, None, "accelerators", "connections"]))
    nothing = draw(st.sampled_from([nothing, nothing, nothing, "origin_round_trip_milliseconds"]))
    return row if nothing is None else replace(row, **{nothing: ()})


@st.composite
def odd_placement(draw, row):
    """A placement without play, profile or capacity, or written by a clock that was set back."""
    count = row.observed_replicas or 0
    changes = {
        "no play": {"min_replicas": count, "max_replicas": count},
        "no profile": {"profile_name": "nobody"},
        "nothing": {"learned_concurrency": 0.0},
        "next to nothing": {"learned_concurrency": 1e-9},
        "everything": {"learned_concurrency": 1e12},
        "future": {"last_write_time": NOW + 1e6},
        "unseen": {
            "observed_replicas": None,
            "ready_replicas": None,
            "in_service_replicas": None,
        },
    }
    name = draw(st.sampled_from(["as it is"] * 4 + sorted(changes)))
    return replace(row, **changes.get(name, {}))


@st.composite
def odd_workload(draw, row):
    """A workload whose users, forecasts or budgets are out of proportion."""
    rows = tuple(draw(odd_placement(part)) for part in row.placements)
    ahead = Forecast(
        issued_time=NOW,
        end_time=NOW + 1e5,
        points=tuple(
            ForecastPoint(start_time=NOW + at, value=draw(st.sampled_from([-5.0, 0.0, 1e9])))
            for at in (0, 7200)
        ),
    )
    share = draw(st.sampled_from([0, 1, 1000]))
    changes = {
        "shares": {"origins": tuple(replace(part, share_permille=share) for part in row.origins)},
        "loads": {
            "origin_loads": (
                ("north", draw(st.sampled_from([0.0, 1e-6, 1e7]))),
                ("nobody", 3.0),
            )
        },
        "split": {"split": (("north", (("a", draw(st.sampled_from([0.0, 1.0]))), ("zz", 1.0))),)},
        "ahead": {"origins_ahead": (("north", ahead),)},
        "dwell": {"min_dwell_seconds": draw(st.sampled_from([0, 10**7]))},
        "moves": {
            "max_moves_per_day": draw(st.sampled_from([0, 10**6])),
            "moved_share_today": draw(st.sampled_from([None, 0.0, 1e9])),
        },
        "future": {"last_change_time": NOW + 1e6},
    }
    name = draw(st.sampled_from(["as it is"] * 3 + sorted(changes)))
    return replace(row, placements=rows, **changes.get(name, {}))


@st.composite
def odd_worlds(draw):
    """A world of `worlds.py` with what is odd."""
    here = draw(worlds(prices=PRICES))
    settings = replace(
        here.settings,
        horizon_seconds=draw(st.sampled_from([900, 86_400, 604_800])),
        head_room_permille=draw(st.sampled_from([0, 200, 2000])),
    )
    return replace(
        here,
        sites=tuple(draw(odd_site(row)) for row in here.sites),
        workloads=tuple(draw(odd_workload(row)) for row in here.workloads),
        settings=settings,
    )


@FEW
@given(odd_worlds())
def test_a_plan_of_an_odd_world_is_whole_finite_and_inside_its_maxima(here):
    made = plan(here, NOW)
    assert [row.workload_key for row in made.decisions] == sorted(row.key for row in here.workloads)
    assert not any("without the optimiser" in row for row in made.notes)
    told = [made.bound_per_hour, made.objective_per_hour]
    told += [price for row in made.sites for price in row.limit_price_ahead]
    told += [price for row in made.sites for _, price in row.device_prices]
    told += [row.score for row in made.decisions]
    assert all(value is None or math.isfinite(value) for value in told)
    places = {(job.key, row.name): row for job in here.workloads for row in job.placements}
    for decision in made.decisions:
        for row in decision.targets if decision.action is not Action.HOLD else ():
            place = places[decision.workload_key, row.placement_name]
            assert 0 <= row.replicas <= max(place.max_replicas, place.observed_replicas or 0)
    assert plan_lines(made, "CNY")


@FEW
@given(odd_worlds())
def test_a_tick_in_an_odd_world_comes_to_its_end(here):
    made = plan(here, NOW)
    for before in (None, made):
        decided = govern(here, before, NOW)
        assert governance_lines(decided, "CNY") is not None
        for decision in decided.decisions:
            assert all(row.replicas >= 0 for row in decision.targets)


@FEW
@given(odd_worlds())
def test_the_same_odd_world_gives_the_same_plan_whatever_its_order(here):
    turned = replace(
        here, sites=tuple(reversed(here.sites)), workloads=tuple(reversed(here.workloads))
    )
    assert plan(here, NOW).decisions == plan(turned, NOW).decisions
