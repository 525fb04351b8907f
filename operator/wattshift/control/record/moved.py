"""How much of a workload's load changed its placement today: what `maxMovesPerDay` is held against.

The sum of positive changes of the placements' shares, as the simulator counts it: a whole hand-over is
one move, half of one is half. The sum is kept in status; shares begin anew with the process. It decides
nothing. Neighbours: `control/inputs/gather_workload.py` (gives the sum to decisions), `totals.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from wattshift.control.hub.keys import ObjectKey
from wattshift.control.inputs.gather_workload import move_day
from wattshift.control.record.records import WorkloadRecord
from wattshift.core.load.demand import capacity_of
from wattshift.core.model import Mode, PlacementState, Snapshot, WorkloadState
from wattshift.core.power.power_profile import PowerProfile

MOST_PERMILLE = 1_000_000
"""What the status' schema has as the most."""


class Book(Protocol):
    """What is used of the status book."""

    def workload(self, key: ObjectKey) -> WorkloadRecord:
        """Current record."""
        ...

    def update(self, key: ObjectKey, record: WorkloadRecord) -> None:
        """Put a record in place."""
        ...


class Moved:
    """Replicas that serve, by workload and placement. Event loop's thread only."""

    def __init__(self, *, book: Book) -> None:
        self._book = book
        self._serving: dict[str, dict[str, int]] = {}

    def advance(self, snapshot: Snapshot) -> None:
        """Count what has changed since the last snapshot, where the counts are ours."""
        profiles = {profile.name: profile for profile in snapshot.profiles}
        known = {row.key for row in snapshot.workloads}
        for gone in self._serving.keys() - known:
            del self._serving[gone]
        for workload in snapshot.workloads:
            before = self._serving.get(workload.key, {})
            now = {
                row.name: _serving(row, before.get(row.name))
                for row in workload.placements
                if row.observed_replicas is not None and row.in_service_replicas is not None
            }
            self._serving[workload.key] = now
            # one that was not seen until now moved nothing
            if workload.mode is Mode.ENFORCE and now != before and now.keys() == before.keys():
                self._count(workload, _gained(before, now, _weights(workload, profiles)), snapshot)

    def _count(self, workload: WorkloadState, share: float, snapshot: Snapshot) -> None:
        permille = round(1000 * share)
        if permille <= 0:
            return
        key = ObjectKey.workload(workload.key)
        record = self._book.workload(key).on_day(move_day(snapshot.grid_time))
        total = min(MOST_PERMILLE, record.moved_permille + permille)
        self._book.update(key, replace(record, moved_permille=total))


def _serving(row: PlacementState, before: int | None) -> int:
    """Replicas that have served and are asked for yet: a pod that fails for a while is no move."""
    assert row.observed_replicas is not None
    assert row.in_service_replicas is not None
    return min(row.observed_replicas, max(row.in_service_replicas, before or 0))


def _weights(workload: WorkloadState, profiles: Mapping[str, PowerProfile]) -> dict[str, float]:
    """Load that one replica takes, by placement; 1 everywhere where one is not known."""
    found = {
        row.name: capacity_of(row, profiles.get(row.profile_name)) for row in workload.placements
    }
    return found if all(value > 0 for value in found.values()) else dict.fromkeys(found, 1.0)


def _gained(
    before: Mapping[str, int], now: Mapping[str, int], weights: Mapping[str, float]
) -> float:
    """Sum of positive changes of shares; from nothing, or to nothing, no load moves."""
    old = {name: count * weights[name] for name, count in before.items()}
    new = {name: count * weights[name] for name, count in now.items()}
    if not sum(old.values()) or not sum(new.values()):
        return 0.0
    return sum(
        max(0.0, new[name] / sum(new.values()) - old[name] / sum(old.values())) for name in new
    )
