"""Carries what a backlog has shown of batch work between memory and status, so that a restart forgets nothing.

The looks go into the status book every ten minutes and reach status with what is learnt; since when there has been
work before a deadline reaches it at once, as the deadline of work of unknown speed is kept by it. It
decides nothing. Neighbours: `core/load/inflow.py` (the memory), `learning.py` (capacity and growth).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace

from wattshift.api.workload_status import Learnt, LearntBatch
from wattshift.control.clock import Clock
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.inputs.learning import NOTE_SECONDS
from wattshift.control.record.records import WorkloadRecord
from wattshift.control.record.show_site import fixed_text
from wattshift.control.record.status import StatusBook
from wattshift.core.load.inflow import Inflow, Look
from wattshift.core.load.inflow_text import looks_from, looks_text
from wattshift.core.model import BatchState, Snapshot, WorkloadState

log = logging.getLogger(__name__)


class InflowBook:
    """Between one memory and the status book. Event loop's thread only."""

    def __init__(self, *, book: StatusBook, memory: Inflow, clock: Clock) -> None:
        self._book = book
        self._memory = memory
        self._clock = clock
        self._noted: dict[str, float] = {}
        """Wall time of the last note of looks, by workload."""

    def restore(self, snapshot: Snapshot) -> None:
        """Begin with what an earlier process left, for work that is not followed yet; before a plan."""
        for state, _ in _held_outside(snapshot):
            if self._memory.follows(state):
                continue
            key = ObjectKey.workload(state.key)
            record = self._book.workload(key)
            looks = _looks(record, key, snapshot.grid_time)
            self._memory.restore(state, looks, record.work_since_time)

    def note(self, snapshot: Snapshot) -> None:
        """Put what is remembered into the status book."""
        now = self._clock.monotonic()
        for state, batch in _held_outside(snapshot):
            key = ObjectKey.workload(state.key)
            record = self._book.workload(key)
            noted = replace(record, work_since_time=batch.work_since_time)
            if now - self._noted.get(state.key, -math.inf) >= NOTE_SECONDS:
                self._noted[state.key] = now
                noted = replace(noted, learnt=_learnt(record, batch, self._memory, state.key))
            if noted != record:
                self._book.update(key, noted)
        held = {state.key for state, _ in _held_outside(snapshot)}
        for gone in self._noted.keys() - held:
            del self._noted[gone]
        for state in snapshot.workloads:
            key = ObjectKey.workload(state.key)
            record = self._book.workload(key)
            if state.key not in held and record.work_since_time is not None:
                self._book.update(key, replace(record, work_since_time=None))


def _held_outside(snapshot: Snapshot) -> Iterator[tuple[WorkloadState, BatchState]]:
    for state in snapshot.workloads:
        if state.batch is not None and state.batch.external_dispatch:
            yield state, state.batch


def _looks(record: WorkloadRecord, key: ObjectKey, now: float) -> tuple[Look, ...]:
    """What status has of the last day; what cannot be read begins anew."""
    kept = None if record.learnt is None else record.learnt.batch
    if kept is None:
        return ()
    try:
        return looks_from(kept.looks, now)
    except ValueError as error:
        told = {"object": str(key), "reason": "BinsUnreadable"}
        log.warning("arrivals and speed of batch work begin anew: %s", error, extra=told)
        return ()


def _learnt(
    record: WorkloadRecord, batch: BatchState, memory: Inflow, workload_key: str
) -> Learnt | None:
    looks = memory.looks(workload_key)
    if not looks:
        return record.learnt
    row = LearntBatch(
        units_per_replica_hour=fixed_text(batch.units_per_replica_hour),
        arrivals_per_hour=fixed_text(batch.arrivals_per_hour),
        looks=looks_text(looks),
    )
    return (record.learnt or Learnt()).model_copy(update={"batch": row})
