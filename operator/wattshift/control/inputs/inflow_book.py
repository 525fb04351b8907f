"""Carries what a backlog has shown of batch work between memory and status, so that a restart forgets nothing.

Since when there has been work before a deadline goes into status at once: it is what the deadline of
work of unknown speed is kept by. It decides nothing. Neighbours: `core/load/inflow.py` (the memory),
`learning.py` (capacity and growth).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.status import StatusBook
from wattshift.core.load.inflow import Inflow
from wattshift.core.model import BatchState, Snapshot, WorkloadState


class InflowBook:
    """Between one memory and the status book. Event loop's thread only."""

    def __init__(self, *, book: StatusBook, memory: Inflow) -> None:
        self._book = book
        self._memory = memory

    def restore(self, snapshot: Snapshot) -> None:
        """Begin with what an earlier process left, for work that is not followed yet; before a plan."""
        for state, _ in _held_outside(snapshot):
            if not self._memory.follows(state):
                record = self._book.workload(ObjectKey.workload(state.key))
                self._memory.restore(state, (), record.work_since_time)

    def note(self, snapshot: Snapshot) -> None:
        """Put what is remembered into the status book."""
        for state, batch in _held_outside(snapshot):
            key = ObjectKey.workload(state.key)
            record = self._book.workload(key)
            if record.work_since_time != batch.work_since_time:
                self._book.update(key, replace(record, work_since_time=batch.work_since_time))


def _held_outside(snapshot: Snapshot) -> Iterator[tuple[WorkloadState, BatchState]]:
    for state in snapshot.workloads:
        if state.batch is not None and state.batch.external_dispatch:
            yield state, state.batch
