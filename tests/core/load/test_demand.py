"""Needed replicas, floors, survivors, and where users can be served from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from tests.core.build import (
    NOW,
    PROFILE,
    TTFT,
    WALL,
    batch,
    engine,
    idle_engine,
    placement,
    reading,
    site,
    workload,
)
from wattshift.core.load.demand import (
    capacity_of,
    floor_of,
    load_of,
    needed_replicas,
    reach,
    round_trip_milliseconds,
    survivors_hold,
)
from wattshift.core.load.guard import judge
from wattshift.core.model import Origin


@pytest.mark.parametrize(
    ("load", "replicas"),
    [(0, 0), (1, 1), (11.6, 1), (11.7, 2), (23.3, 2), (70, 6), (1400, 120)],
)
def test_needed_is_load_with_head_room_over_capacity(load, replicas):
    assert needed_replicas(load, 14) == replicas


def test_growth_is_part_of_the_need():
    assert needed_replicas(70, 14, growth_permille=500) == 9


def test_without_a_capacity_the_need_is_unknown():
    assert needed_replicas(5, 0) is None


def test_capacity_is_seven_tenths_of_the_profile_until_learnt():
    assert capacity_of(placement(), PROFILE) == pytest.approx(14)
    assert capacity_of(placement(learned_concurrency=18.0), PROFILE) == 18
    # no bound by the profile: what was learnt is at most 1.25 x what was observed (core/load/learn.py)
    assert capacity_of(placement(learned_concurrency=90.0), PROFILE) == 90
    assert capacity_of(placement(), None) == 0


@given(st.integers(2, 50), st.floats(0, 500))
def test_removing_one_is_the_survivors_rule(replicas, load):
    expected = load / replicas * replicas / (replicas - 1) <= 14 + 1e-9
    assert survivors_hold(load, replicas, 1, 14.0) is expected


def test_the_last_replica_goes_only_without_load():
    assert survivors_hold(0, 1, 1, 14)
    assert not survivors_hold(0.1, 1, 1, 14)
    assert survivors_hold(500, 1, 0, 14)


def test_the_cache_of_the_survivors_stays_below_eight_tenths():
    assert survivors_hold(1, 4, 1, 14, kv_cache_usage=0.6)
    assert not survivors_hold(1, 4, 2, 14, kv_cache_usage=0.6)


def verdicts(job):
    return tuple(judge(row, (TTFT,), wall_time=WALL) for row in job.placements)


def test_load_is_what_runs_and_what_waits_everywhere():
    job = workload(
        placements=(
            placement("east", 6, engine=engine(20.0, waiting=5)),
            placement("west", 2, engine=engine(4.0, pods=2)),
            placement("north", 0),
        )
    )
    load = load_of(job, verdicts(job), NOW)
    assert load.concurrency == pytest.approx(29)
    assert load.waiting == 5


def test_one_blind_placement_makes_the_load_unknown():
    job = workload(placements=(placement("east", 6, engine=engine()), placement("west", 2)))
    assert load_of(job, verdicts(job), NOW).concurrency is None


def test_idle_placements_have_no_load():
    job = workload(placements=(placement("east", 1, engine=idle_engine()),))
    assert load_of(job, verdicts(job), NOW).concurrency == 0


def test_a_demand_signal_wins_and_may_be_unknown():
    known = workload(demand=reading(33.0, unit="Count"))
    unknown = workload(demand=reading(None, unit="Count"))
    assert load_of(known, verdicts(known), NOW).concurrency == 33
    assert load_of(unknown, verdicts(unknown), NOW).concurrency is None


@pytest.mark.parametrize(
    ("job", "standing", "floor"),
    [
        (workload(min_replicas=3), 6, 3),
        (workload(min_replicas=0), 6, 1),
        (workload(min_replicas=0), 0, 0),
        (batch(), 4, 0),
        (batch(min_replicas=2), 4, 2),
        (workload(placements=(placement(min_replicas=2), placement("w", 0, min_replicas=3))), 6, 5),
    ],
)
def test_floors(job, standing, floor):
    assert floor_of(job, standing) == floor


@pytest.mark.parametrize(
    ("known", "limit", "near"),
    [
        ((("users", 60),), 60, True),
        ((("users", 61),), 60, False),
        ((), 60, False),
        ((), None, True),
        ((("users", 900),), None, True),
    ],
)
def test_the_round_trip_of_every_origin_is_a_hard_limit(known, limit, near):
    origins = (Origin(name="users", share_permille=1000, max_round_trip_milliseconds=limit),)
    for by_origin in (False, True):
        assert (reach("a", dict(known), origins, by_origin=by_origin).far == "") is near


def test_an_origin_without_a_share_does_not_count():
    here = site("a", origin_round_trip_milliseconds=(("users", 10), ("far", 300)))
    rows = (
        Origin(name="users", share_permille=1000, max_round_trip_milliseconds=60),
        Origin(name="far", share_permille=0, max_round_trip_milliseconds=60),
    )
    known = dict(here.origin_round_trip_milliseconds)
    found = reach("a", known, rows, by_origin=False)
    assert (found.far, found.longest, found.least) == ("", 10, 10)
    assert round_trip_milliseconds(here, rows) == 10
    both = (rows[0], replace(rows[1], share_permille=1))
    assert round_trip_milliseconds(here, both) == 300
    found = reach("a", known, both, by_origin=False)
    assert (found.longest, found.least) == (300, 10)
    assert found.far == "300 ms from far to a, longer than the 60 ms it accepts"


def test_an_entry_that_routes_by_origin_needs_one_that_reaches():
    rows = tuple(
        Origin(name=name, share_permille=500, max_round_trip_milliseconds=limit)
        for name, limit in (("near", 60), ("far", 60), ("anywhere", None))
    )
    known = {"near": 20, "far": 300, "anywhere": 90}
    found = reach("a", known, rows[:2], by_origin=True)
    assert (found.far, found.longest, found.least) == ("", 20, 20)
    found = reach("a", known, rows[1:2], by_origin=True)
    assert found.far == "300 ms from far to a, longer than the 60 ms it accepts"
    assert (found.longest, found.least) == (0, 0)
    assert reach("a", known, rows, by_origin=True).longest == 90
