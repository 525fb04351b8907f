"""What arrives at batch work, and what one of its replicas completes, learnt from its backlog alone.

Between two looks a backlog changes by arrivals less completions: `change = a x hours - r x replica-hours`.
While nothing runs it shows a; with another number of replicas also r (least squares). In memory only:
without it work is taken to keep half of its replicas busy (`core/planner/batch.py`). Neighbours: `core/planner/plan_memory.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wattshift.core.freshness import value_of
from wattshift.core.model import BatchState, Snapshot, WorkloadState

KEPT_SECONDS = 86400.0
"""Grid seconds of looks that are kept: a day, as arrivals differ by its hours."""
APART_SECONDS = 240.0
"""Looks closer together are not kept apart; a little under a planning interval."""
LEAST_STRETCHES, LEAST_HOURS = 3, 0.25
"""Stretches between looks, and hours in them, from which anything is said."""
LEAST_SPREAD = 0.02
"""How different replica counts must have been to tell arrivals from completions: 1 less the squared
correlation of hours and replica-hours (0 = always the same count)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A backlog as it was read."""

    time: float
    units: float
    replicas: int
    """In service."""


class Inflow:
    """Looks of all batch workloads, bounded whatever happens."""

    def __init__(self) -> None:
        self._looks: dict[str, deque[Look]] = {}

    def remembered(self, snapshot: Snapshot) -> Snapshot:
        """Keep what a snapshot shows, and put in what has been learnt where nobody has."""
        now, found = snapshot.grid_time, []
        for state in snapshot.workloads:
            batch = state.batch
            if batch is None or not batch.external_dispatch:
                found.append(state)
                continue
            self._note(state, batch, now)
            known = learnt(self._looks.get(state.key, ()), batch)
            found.append(state if known is batch else replace(state, batch=known))
        for key in self._looks.keys() - {row.key for row in found}:
            del self._looks[key]
        if all(a is b for a, b in zip(found, snapshot.workloads, strict=True)):
            return snapshot
        return replace(snapshot, workloads=tuple(found))

    def _note(self, state: WorkloadState, batch: BatchState, now: float) -> None:
        ring = self._looks.setdefault(state.key, deque())
        while ring and ring[0].time < now - KEPT_SECONDS:
            ring.popleft()
        if ring and ring[-1].time > now:
            ring.clear()  # the clock was set back
        units = value_of(batch.backlog_units, now)
        counts = [row.in_service_replicas for row in state.placements]
        if units is None or any(count is None for count in counts):
            return
        assert batch.backlog_units is not None
        seen = batch.backlog_units.source_time
        time = now if seen is None else min(seen, now)
        if not ring or time - ring[-1].time >= APART_SECONDS:
            ring.append(Look(time=time, units=units, replicas=sum(n or 0 for n in counts)))


def learnt(looks: Sequence[Look], batch: BatchState) -> BatchState:
    """The state with arrivals and speed as the looks show them; what is known already stays."""
    rows = [*_stretches(looks)]
    rate = batch.units_per_replica_hour
    if len(rows) < LEAST_STRETCHES or sum(hours for hours, _, _ in rows) < LEAST_HOURS:
        return batch
    arrivals: float | None = None
    if rate is None:
        arrivals, rate = _fitted(rows)
    elif batch.arrivals_per_hour is None:
        change = sum(units + rate * work for _, work, units in rows)
        arrivals = max(0.0, change / sum(hours for hours, _, _ in rows))
    if batch.arrivals_per_hour is not None:
        arrivals = batch.arrivals_per_hour
    if (arrivals, rate) == (batch.arrivals_per_hour, batch.units_per_replica_hour):
        return batch
    return replace(batch, arrivals_per_hour=arrivals, units_per_replica_hour=rate)


def _stretches(looks: Sequence[Look]) -> list[tuple[float, float, float]]:
    """(hours, replica-hours, change of units) while one count of replicas had work to do."""
    found = []
    for index in range(1, len(looks)):
        before, after = looks[index - 1], looks[index]
        idle = after.replicas > 0 and min(before.units, after.units) <= after.replicas
        if before.replicas != after.replicas or idle:
            continue
        hours = (after.time - before.time) / 3600
        found.append((hours, hours * after.replicas, after.units - before.units))
    return found


def _fitted(rows: Sequence[tuple[float, float, float]]) -> tuple[float | None, float | None]:
    """(arrivals per hour, units per replica-hour) by least squares; None = they cannot be told apart."""
    hh = sum(hours * hours for hours, _, _ in rows)
    hn = sum(hours * work for hours, work, _ in rows)
    nn = sum(work * work for _, work, _ in rows)
    hd = sum(hours * units for hours, _, units in rows)
    nd = sum(work * units for _, work, units in rows)
    if nn <= 0:
        return max(0.0, hd / hh), None
    spread = hh * nn - hn * hn
    if spread <= LEAST_SPREAD * hh * nn:
        return None, None
    arrivals = (nn * hd - hn * nd) / spread
    rate = (hn * hd - hh * nd) / spread
    if rate <= 0:
        return None, None
    return max(0.0, arrivals), rate
