"""The generated fleet and the arithmetic of the benchmarks."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.bench import fleet
from e2e.bench.figures import histogram, parse_metrics, percentile, spread, total
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan

SMALL = fleet.Size(workloads=60, sites=5, pressed_sites=2)


def test_the_same_seed_gives_the_same_fleet_and_another_seed_another():
    assert fleet.snapshot(SMALL) == fleet.snapshot(SMALL)
    assert fleet.snapshot(SMALL) != fleet.snapshot(replace(SMALL, seed=2))


def test_the_fleet_has_the_size_that_was_asked_for_and_every_placement_a_site():
    snapshot = fleet.snapshot(SMALL)
    sites = {site.name for site in snapshot.sites}
    assert (len(snapshot.workloads), len(sites)) == (60, 5)
    assert len({row.key for row in snapshot.workloads}) == 60
    assert {row.site_name for w in snapshot.workloads for row in w.placements} <= sites


def test_sites_hold_what_runs_there_unless_an_event_presses_them():
    calm = fleet.snapshot(replace(SMALL, pressed_sites=0))
    assert govern(calm, None, calm.grid_time).decisions == ()
    pressed = fleet.snapshot(SMALL)
    assert govern(pressed, None, pressed.grid_time).decisions != ()


def test_a_plan_is_the_same_however_the_fleet_is_ordered_and_however_often_it_is_made():
    snapshot = fleet.snapshot(SMALL)
    first = plan(snapshot, snapshot.grid_time)
    assert plan(snapshot, snapshot.grid_time) == first
    rows = list(snapshot.workloads)
    random.Random(3).shuffle(rows)
    shuffled = replace(snapshot, workloads=tuple(rows), sites=snapshot.sites[::-1])
    assert plan(shuffled, snapshot.grid_time).decisions == first.decisions


def test_an_unchanged_world_is_planned_alike_a_moment_later():
    snapshot = fleet.snapshot(SMALL)
    first = plan(snapshot, snapshot.grid_time)
    later = replace(snapshot, grid_time=snapshot.grid_time + 2, wall_time=snapshot.wall_time + 2)
    second = plan(later, later.grid_time)
    assert [(d.workload_key, d.action, d.targets) for d in second.decisions] == [
        (d.workload_key, d.action, d.targets) for d in first.decisions
    ]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_lies_between_the_extremes(values, share):
    assert min(values) <= percentile(values, share) <= max(values)


def test_a_percentile_of_nothing_is_nothing():
    assert math.isnan(percentile([], 0.5))
    assert spread([]) == {"count": 0, "p50": None, "p99": None, "max": None}


BEFORE = """\
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1",loop="a"} 5.0
took_seconds_bucket{le="0.2",loop="a"} 5.0
took_seconds_bucket{le="+Inf",loop="a"} 5.0
took_seconds_sum{loop="a"} 0.2
took_seconds_count{loop="a"} 5.0
"""
AFTER = """\
took_seconds_bucket{le="0.1",loop="a"} 5.0
took_seconds_bucket{le="0.2",loop="a"} 14.0
took_seconds_bucket{le="+Inf",loop="a"} 15.0
took_seconds_sum{loop="a"} 2.2
took_seconds_count{loop="a"} 15.0
took_seconds_bucket{le="+Inf",loop="b"} 99.0
"""


def test_a_histogram_counts_only_what_it_gained_and_says_which_bucket():
    found = histogram(parse_metrics(BEFORE), parse_metrics(AFTER), "took_seconds", loop="a")
    assert (found["count"], found["mean"]) == (10, 0.2)
    assert found["p50"] == pytest.approx(0.1556, abs=1e-4)
    assert found["inside"] == {"p50": [0.1, 0.2], "p99": [0.2, "inf"]}


def test_a_histogram_that_gained_nothing_says_so():
    samples = parse_metrics(AFTER)
    assert histogram(samples, samples, "took_seconds", loop="a")["p99"] is None
    assert total(samples, "took_seconds_count", loop="a") == 15.0
