"""A count that somebody else set is conceded after two looks, and left alone for an hour."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

from wattshift.control.clock import ManualClock
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.records import MoveRecord, PlacementRecord
from wattshift.control.acting.rivals import COOL_OFF_SECONDS, Rivals
from wattshift.control.record.status import StatusBook, StatusPace
from wattshift.core.model import Original, Snapshot
from wattshift.kube.client import ClusterClient

_SPEC = importlib.util.spec_from_file_location(
    "core_build", Path(__file__).parents[2] / "core" / "build.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
build = importlib.util.module_from_spec(_SPEC)
sys.modules["core_build"] = build
_SPEC.loader.exec_module(build)


def world(*, rival: bool, at: float = 0.0, deleting: bool = False) -> Snapshot:
    snapshot = build.snapshot()
    (workload,) = snapshot.workloads
    first, *rest = workload.placements
    first = replace(first, rival=rival, last_written_replicas=4, observed_replicas=7)
    workload = replace(workload, placements=(first, *rest), deleting=deleting)
    return replace(snapshot, workloads=(workload,), grid_time=build.NOW + at)


WORKLOAD = world(rival=False).workloads[0]
NAME = WORKLOAD.placements[0].name
OTHER = WORKLOAD.placements[1].name
KEY = ObjectKey.workload(WORKLOAD.key)


def book(move: MoveRecord | None = None) -> StatusBook:
    found = StatusBook(client=cast("ClusterClient", None), clock=ManualClock(), pace=StatusPace())
    found.observe(KEY, uid=WORKLOAD.uid, generation=1, status={}, version="1")
    record = found.workload(KEY)
    rows = tuple(
        PlacementRecord(name=name, target_uid="t", desired_replicas=4, last_written_replicas=4)
        for name in sorted((NAME, OTHER))
    )
    originals = tuple(
        Original(
            placement_name=name, cluster_uid="c", target_uid="t", replicas=6, captured_time=0.0
        )
        for name in sorted((NAME, OTHER))
    )
    found.update(KEY, replace(record, placements=rows, originals=originals, move=move))
    return found


def test_one_look_is_not_enough_because_a_watch_may_lag():
    rivals = Rivals(book=book())
    assert rivals.advance(world(rival=True)) == ()
    assert not rivals.cooling_off(WORKLOAD.key, NAME)


def test_the_second_look_in_a_row_concedes_and_keeps_the_other_placement():
    kept = book()
    rivals = Rivals(book=kept)
    rivals.advance(world(rival=True))
    (row,) = rivals.advance(world(rival=True))
    assert (row.workload_key, row.placement_name) == (WORKLOAD.key, NAME)
    assert (row.ours, row.theirs) == (4, 7)
    record = kept.workload(KEY)
    assert [item.placement_name for item in record.originals] == [OTHER]
    assert record.placement(NAME).last_written_replicas is None
    assert record.placement(NAME).desired_replicas is None
    assert record.placement(OTHER).last_written_replicas == 4


def test_a_look_between_without_a_rival_starts_over():
    rivals = Rivals(book=book())
    rivals.advance(world(rival=True))
    rivals.advance(world(rival=False))
    assert rivals.advance(world(rival=True)) == ()


def test_it_is_left_alone_for_an_hour_of_grid_time():
    rivals = Rivals(book=book())
    rivals.advance(world(rival=True))
    rivals.advance(world(rival=True, at=10))
    rivals.advance(world(rival=False, at=10 + COOL_OFF_SECONDS - 1))
    assert rivals.cooling_off(WORKLOAD.key, NAME)
    rivals.advance(world(rival=False, at=10 + COOL_OFF_SECONDS))
    assert not rivals.cooling_off(WORKLOAD.key, NAME)


def test_a_workload_that_is_deleted_is_the_releasers_business():
    rivals = Rivals(book=book())
    rivals.advance(world(rival=True, deleting=True))
    assert rivals.advance(world(rival=True, deleting=True)) == ()


def move(source: str, destination: str) -> MoveRecord:
    return MoveRecord(
        id="m",
        source_name=source,
        destination_name=destination,
        source_before=6,
        destination_before=0,
        source_replicas=0,
        destination_replicas=6,
        started_time=0.0,
        deadline_utc=1e12,
        reason="CheaperPower",
    )


def test_a_hand_over_from_or_to_the_placement_ends_where_it_stands():
    for intent in (move(NAME, OTHER), move(OTHER, NAME)):
        kept = book(intent)
        rivals = Rivals(book=kept)
        rivals.advance(world(rival=True))
        assert kept.workload(KEY).move is not None
        rivals.advance(world(rival=True))
        assert kept.workload(KEY).move is None


def test_a_hand_over_between_others_goes_on():
    kept = book(move(OTHER, "third"))
    rivals = Rivals(book=kept)
    rivals.advance(world(rival=True))
    rivals.advance(world(rival=True))
    assert kept.workload(KEY).move is not None
