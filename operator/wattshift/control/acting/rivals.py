"""Somebody else set a count: theirs stands, and the placement is left alone for an hour.

A rival is a count that we neither wrote nor asked for, seen in two ticks in a row (a watch may lag).
The placement's original is dropped: what the other writer set is the new state found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.records import PlacementRecord
from wattshift.control.record.status import StatusBook
from wattshift.core.model import Snapshot

COOL_OFF_SECONDS = 3600.0
"""Grid seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conceded:
    """A placement that was left to its other writer."""

    workload_key: str
    placement_name: str
    ours: int | None
    theirs: int | None


class Rivals:
    """Remembers suspicions and cool-offs in process memory; a restart looks again."""

    def __init__(self, *, book: StatusBook) -> None:
        self._book = book
        self._suspected: set[tuple[str, str]] = set()
        self._until: dict[tuple[str, str], float] = {}
        self._now = 0.0

    def cooling_off(self, workload_key: str, placement_name: str) -> bool:
        """Whether a rival was met less than an hour ago."""
        return self._until.get((workload_key, placement_name), float("-inf")) > self._now

    def advance(self, snapshot: Snapshot) -> tuple[Conceded, ...]:
        """Concede every placement whose rival was seen twice."""
        self._now = snapshot.grid_time
        self._until = {row: end for row, end in self._until.items() if end > self._now}
        seen: set[tuple[str, str]] = set()
        conceded: list[Conceded] = []
        for workload in snapshot.workloads:
            if workload.deleting or not workload.originals_known:
                continue  # being given back, or frozen: neither copy may be touched
            for placement in workload.placements:
                if not placement.rival:
                    continue
                identity = (workload.key, placement.name)
                if identity not in self._suspected:
                    seen.add(identity)
                    continue
                conceded.append(
                    Conceded(
                        workload_key=workload.key,
                        placement_name=placement.name,
                        ours=placement.last_written_replicas,
                        theirs=placement.observed_replicas,
                    )
                )
                self._until[identity] = snapshot.grid_time + COOL_OFF_SECONDS
                self._concede(ObjectKey.workload(workload.key), placement.name)
        self._suspected = seen
        return tuple(conceded)

    def _concede(self, key: ObjectKey, placement_name: str) -> None:
        record = self._book.workload(key)
        row = record.placement(placement_name)
        clean = PlacementRecord(
            name=row.name, target_uid=row.target_uid, cluster_uid=row.cluster_uid
        )
        involved = record.move is not None and placement_name in (
            record.move.source_name,
            record.move.destination_name,
        )
        self._book.update(
            key,
            replace(
                record,
                originals=tuple(o for o in record.originals if o.placement_name != placement_name),
                placements=record.with_placement(clean),
                move=None if involved else record.move,
            ),
        )
