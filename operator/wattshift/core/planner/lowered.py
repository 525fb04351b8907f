"""Which placements were lowered by their last change: a dwell keeps from turning back, not from going on.

A hand-over lowers what load has left, in several plans, as users' requests follow the split. In memory
only: after a restart every change within the dwell waits. Neighbours: `core/planner/plan_memory.py`
(keeps it), `core/fleet/places.py` (asks).
"""

from __future__ import annotations

from dataclasses import replace

from wattshift.core.model import PlacementState, Snapshot, WorkloadState

Place = tuple[str, str]
"""Workload key and placement name."""


class Lowered:
    """Counts as plans saw them, and whether the last change of each was a lowering."""

    def __init__(self) -> None:
        self._seen: dict[Place, tuple[int, bool]] = {}

    def remembered(self, snapshot: Snapshot) -> Snapshot:
        """Compare with the last snapshot, and put in what was lowered; what is gone is forgotten."""
        seen: dict[Place, tuple[int, bool]] = {}
        jobs = tuple(self._workload(state, seen) for state in snapshot.workloads)
        self._seen = seen
        if all(a is b for a, b in zip(jobs, snapshot.workloads, strict=True)):
            return snapshot
        return replace(snapshot, workloads=jobs)

    def _workload(self, state: WorkloadState, seen: dict[Place, tuple[int, bool]]) -> WorkloadState:
        rows = tuple(self._placement(state.key, row, seen) for row in state.placements)
        if all(a is b for a, b in zip(rows, state.placements, strict=True)):
            return state
        return replace(state, placements=rows)

    def _placement(
        self, key: str, row: PlacementState, seen: dict[Place, tuple[int, bool]]
    ) -> PlacementState:
        place = (key, row.name)
        count = row.observed_replicas if row.desired_replicas is None else row.desired_replicas
        before = self._seen.get(place)
        if count is None:
            if before is not None:
                seen[place] = before
            return row
        lowered = before is not None and (count < before[0] or (count == before[0] and before[1]))
        seen[place] = (count, lowered)
        return replace(row, lowered_last=True) if lowered and not row.lowered_last else row
