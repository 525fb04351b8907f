"""What a workload needs while it moves: in sequences, and all there was where that is unknown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.core.build import PROFILE, engine, placement, snapshot, workload
from wattshift.core.survey.need import needed


def world(**more):
    return snapshot(workloads=(workload(**more),))


def test_the_load_with_head_room_in_sequences():
    given = world()
    found = needed(given.workloads[0], given)
    assert found.capacity == pytest.approx(24.0)
    assert found.of("east") == found.of("west") == pytest.approx(14.0)


def test_each_placement_counts_by_its_own_profile():
    small = replace(PROFILE, name="small", max_concurrency_at_objective=10)
    rows = (
        placement("east", 6, engine=engine(), profile_name="small"),
        placement("west", 2, engine=engine(5)),
    )
    given = snapshot(workloads=(workload(placements=rows),), profiles=(PROFILE, small))
    found = needed(given.workloads[0], given)
    assert (found.of("east"), found.of("west")) == (pytest.approx(7.0), pytest.approx(14.0))


def test_unknown_load_needs_all_there_was():
    given = world(placements=(placement("east", 6), placement("west", 0)))
    assert needed(given.workloads[0], given).capacity == math.inf


def test_a_serving_replica_without_capacity_makes_replicas_count():
    rows = (placement("east", 6, engine=engine(), profile_name="none"), placement("west", 0))
    given = world(placements=rows)
    found = needed(given.workloads[0], given)
    assert found.capacity == math.inf and found.of("east") == found.of("west") == 1.0


def test_a_workload_that_is_gone_needs_all_there_was():
    assert needed(workload("other"), world()).capacity == math.inf
