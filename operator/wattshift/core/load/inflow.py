"""What arrives at batch work, and what one of its replicas completes, learnt from its backlog alone.

Between two looks a backlog changes by arrivals less completions: `change = a x hours - r x replica-hours`.
While nothing runs it shows a; with another number of replicas also r (least squares). Without it
work is taken to keep half of its replicas busy (`core/planner/batch.py`). Neighbours: `inflow_text.py` and
`control/inputs/inflow_book.py` (keep it over a restart), `core/planner/plan_memory.py`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wattshift.core.freshness import value_of
from wattshift.core.load.demand import UNLEARNT_SHARE
from wattshift.core.model import BatchState, Snapshot, WorkloadState
from wattshift.core.power.power_profile import PowerProfile

KEPT_SECONDS = 86400.0
"""Grid seconds of looks that are kept: a day, as arrivals differ by its hours."""
APART_SECONDS = 240.0
"""Looks closer together are not kept apart; a little under a planning interval."""
LEAST_STRETCHES, LEAST_HOURS = 3, 0.25
"""Stretches between looks, and hours in them, from which anything is said."""
LEAST_SPREAD = 0.02
"""How different replica counts must have been to tell arrivals from completions: 1 less the squared
correlation of hours and replica-hours (0 = always the same count)."""
ALL_AT_ONCE = 0.1
"""A stretch that is off the line by that share of all that came and went tells nothing of speed."""

_Stretch = tuple[float, float, float]
"""(hours, replica-hours, change of units)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A backlog as it was read."""

    time: float
    units: float
    replicas: int
    """In service."""
    apart: bool = False
    """What was since the look before was not followed: backlog or replicas were unknown, or changed."""


@dataclass(slots=True, kw_only=True)
class _Kept:
    """What is kept of one workload."""

    uid: str
    looks: deque[Look] = field(default_factory=deque)
    broken: bool = False
    """The next look stands apart."""
    since: float | None = None
    """Grid time since which there has been work before the deadline."""
    deadline: float | None = None
    """That `since` belongs to; None = an earlier process noted it, for whatever deadline there is."""


class Inflow:
    """Looks of all batch workloads, bounded whatever happens."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def restore(self, state: WorkloadState, looks: Sequence[Look], since: float | None) -> None:
        """Begin with what an earlier process has left; without effect on what is followed already."""
        found = self._kept.get(state.key)
        if found is None or found.uid != state.uid:
            self._kept[state.key] = _Kept(
                uid=state.uid, looks=deque(looks), broken=True, since=since
            )

    def follows(self, state: WorkloadState) -> bool:
        """Whether anything is kept of this very workload."""
        found = self._kept.get(state.key)
        return found is not None and found.uid == state.uid

    def looks(self, workload_key: str) -> tuple[Look, ...]:
        """What is kept, oldest first."""
        found = self._kept.get(workload_key)
        return () if found is None else tuple(found.looks)

    def remembered(self, snapshot: Snapshot) -> Snapshot:
        """Keep what a snapshot shows, and put in what has been learnt where nobody has."""
        now, rows = snapshot.grid_time, []
        followed = set()
        for state in snapshot.workloads:
            batch = state.batch
            if batch is None or not batch.external_dispatch:
                rows.append(state)
                continue
            followed.add(state.key)
            kept = self._kept.get(state.key)
            if kept is None or kept.uid != state.uid:
                kept = self._kept[state.key] = _Kept(uid=state.uid)
            _note(kept, state, batch, now)
            known = learnt(kept.looks, batch)
            speed = None if known.units_per_replica_hour else expected(state, snapshot.profiles)
            if speed is not None:
                known = learnt(kept.looks, replace(batch, units_per_replica_hour=speed))
            if known.work_since_time is None and kept.since is not None:
                known = replace(known, work_since_time=kept.since)
            rows.append(state if known is batch else replace(state, batch=known))
        for key in self._kept.keys() - followed:
            del self._kept[key]
        if all(a is b for a, b in zip(rows, snapshot.workloads, strict=True)):
            return snapshot
        return replace(snapshot, workloads=tuple(rows))


def _note(kept: _Kept, state: WorkloadState, batch: BatchState, now: float) -> None:
    ring = kept.looks
    while ring and ring[0].time < now - KEPT_SECONDS:
        ring.popleft()
    if ring and ring[-1].time > now:
        ring.clear()  # the clock was set back
    units = value_of(batch.backlog_units, now)
    _since(kept, batch, units, now)
    counts = [row.in_service_replicas for row in state.placements]
    if units is None or not math.isfinite(units) or any(count is None for count in counts):
        kept.broken = True
        return
    assert batch.backlog_units is not None
    seen = batch.backlog_units.source_time
    time, replicas = now if seen is None else min(seen, now), sum(n or 0 for n in counts)
    if not ring or time - ring[-1].time >= APART_SECONDS:
        ring.append(Look(time=time, units=units, replicas=replicas, apart=kept.broken))
        kept.broken = False
    elif ring[-1].replicas != replicas:
        kept.broken = True


def _since(kept: _Kept, batch: BatchState, units: float | None, now: float) -> None:
    """Since when there is work before this deadline; running it does not change that, only its end."""
    deadline = batch.deadline_time
    if deadline is None or (units is not None and units <= 0):
        kept.since = kept.deadline = None
        return
    if kept.since is None or kept.deadline not in (None, deadline):
        if units is None:
            return
        kept.since = now
    kept.since, kept.deadline = min(kept.since, now), deadline


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


def expected(state: WorkloadState, profiles: Sequence[PowerProfile]) -> float | None:
    """Units per replica and hour by the tokens of a unit, as the slowest of its replicas gives them.

    0.7 x the profile's rate at the objective, as its capacity is believed; None = nobody says.
    """
    tokens = None if state.batch is None else state.batch.tokens_per_unit
    if not tokens:
        return None
    names = {row.profile_name for row in state.placements}
    rates = [row.output_tokens_per_second_at_objective for row in profiles if row.name in names]
    known = [rate for rate in rates if rate]
    if not known or len(known) < len(names):
        return None
    return UNLEARNT_SHARE * min(known) * 3600 / tokens


def _stretches(looks: Sequence[Look]) -> list[_Stretch]:
    """(hours, replica-hours, change of units) while one count of replicas had work to do."""
    found = []
    for index in range(1, len(looks)):
        before, after = looks[index - 1], looks[index]
        idle = after.replicas > 0 and min(before.units, after.units) <= after.replicas
        if before.replicas != after.replicas or idle or after.apart:
            continue
        hours = (after.time - before.time) / 3600
        found.append((hours, hours * after.replicas, after.units - before.units))
    return found


def _fitted(rows: Sequence[_Stretch]) -> tuple[float | None, float | None]:
    """(arrivals per hour, units per replica-hour) by least squares; None = they cannot be told apart.

    What comes, or goes, all at once tells nothing about speed: by chance it fell on a time in which work
    ran or rested. It counts as arrivals.
    """
    calm, (arrivals, rate) = list(rows), _line(rows)
    while rate is not None and arrivals is not None:
        most = ALL_AT_ONCE * sum(abs(units) for _, _, units in calm)
        left = [row for row in calm if abs(row[2] - row[0] * arrivals + row[1] * rate) <= most]
        if len(left) == len(calm) or len(left) < LEAST_STRETCHES:
            break
        calm, (arrivals, rate) = left, _line(left)
    if rate is not None and rate <= 0:
        return None, None
    if rate is None and any(work > 0 for _, work, _ in rows):
        return None, None
    change = sum(units + (rate or 0.0) * work for _, work, units in rows)
    return max(0.0, change / sum(hours for hours, _, _ in rows)), rate


def _line(rows: Sequence[_Stretch]) -> tuple[float | None, float | None]:
    """Least squares of the changes over hours and replica-hours."""
    hh = sum(hours * hours for hours, _, _ in rows)
    hn = sum(hours * work for hours, work, _ in rows)
    nn = sum(work * work for _, work, _ in rows)
    hd = sum(hours * units for hours, _, units in rows)
    nd = sum(work * units for _, work, units in rows)
    spread = hh * nn - hn * hn
    if spread <= LEAST_SPREAD * hh * nn:
        return None, None
    return (nn * hd - hn * nd) / spread, (hn * hd - hh * nd) / spread
