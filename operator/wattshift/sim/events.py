"""Power during events, and how well each was kept: time to shed, error, overshoot, rebound.

Judged on the true import of the site, not on what a policy was shown; definitions: docs/simulator.md.
Neighbours: `run.py` (feeds it), `called.py` (which are judged), `withheld.py`, `result.py` (sums up).
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from wattshift.sim.layout import Index, Layout
from wattshift.sim.plant import Plant, Record
from wattshift.sim.policies.base import Orders
from wattshift.sim.scenario import Array, FaultKind, SimEvent
from wattshift.sim.withheld import Withheld

BEFORE_SECONDS = 120.0
RECOVERY_SECONDS = 1800.0
SHED_SHARE = 0.95
LEAST_RAMP_SECONDS = 30.0
"""What is not asked for faster than this counts from here on."""
SAMPLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventResult:
    """One event at one site; shares are of the committed watts."""

    name: str
    site: str
    duration_seconds: float
    reference_watts: float
    upper_watts: float | None
    lower_watts: float | None
    seconds_to_shed: float | None
    """Order to 95 % of the target; None = never reached."""
    error: float
    """Mean of what was above the upper or below the lower bound after the ramp."""
    over_curtailment: float
    """Mean of what was below the upper bound after the ramp, as far as events withheld it."""
    below_upper: float
    """Mean of all that was below the upper bound after the ramp, whatever the cause."""
    rebound: float
    """Highest whole minute of the recovery in which the work draws more than before at the demand of that
    minute; 0 without an upper bound: nothing was put off."""
    samples: int
    samples_inside: int

    @property
    def met(self) -> bool:
        """Reached, and inside the bounds in at least 99.5 % of the minutes after the ramp."""
        reached = self.upper_watts is None or self.seconds_to_shed is not None
        return reached and self.samples_inside >= 0.995 * self.samples


Row: TypeAlias = tuple[float, float, float, float, float, float]
"""A span of a site: start, seconds, watts imported, watts that events withhold at most, facility watts
above the fixed part, and output tokens/s that all users ask for."""


class EventLog:
    """Traces around events."""

    def __init__(self, plant: Plant, refused: AbstractSet[str] = frozenset()) -> None:
        """Log the events of a plant; `refused` = those that are not called, as they become known."""
        scenario = plant.scenario
        self._plant = plant
        self._refused = refused
        self._events = sorted(scenario.events, key=lambda row: row.start_seconds)
        self._site = {site.name: s for s, site in enumerate(scenario.sites)}
        self._rows: dict[str, list[Row]] = {row.name: [] for row in self._events}
        self._lost = lost_spans(plant.layout)
        self._withheld = Withheld(plant.layout)
        self._first = 0
        self._seen = 0.0

    def ordered(self, orders: Orders, before: Index, after: Index, now: float) -> None:
        """Orders were carried out: targets by placement before and after."""
        bound = {
            self._site[row.site_name]
            for row in self._events[self._first :]
            if row.start_seconds <= now < row.start_seconds + row.duration_seconds
            and row.name not in self._refused
        }
        self._withheld.ordered(orders, before, after, bound)

    def see(self, record: Record) -> None:
        """Keep the import of sites with an event near."""
        self._seen = record.start + record.seconds
        rows: list[Row] | None = None
        for index in range(self._first, len(self._events)):
            event = self._events[index]
            if record.start < event.start_seconds - BEFORE_SECONDS:
                break  # they are in order of their starts
            end = event.start_seconds + event.duration_seconds + RECOVERY_SECONDS
            if record.start >= end or event.name in self._refused:
                continue
            if rows is None:
                rows = self._now(record)
            self._rows[event.name].append(rows[self._site[event.site_name]])
        while self._first < len(self._events) and self._over(self._events[self._first], record):
            self._first += 1

    def _now(self, record: Record) -> list[Row]:
        """A span by site."""
        truth, flows = self._plant.truth, record.flows
        held = self._withheld.watts(record, truth.marginal[record.step])
        work = flows.facility - truth.fixed[record.step]
        demand = float(record.demand.sum())
        found = np.stack((flows.imported, held, work), axis=1).tolist()
        return [(record.start, record.seconds, *row, demand) for row in found]

    @staticmethod
    def _over(event: SimEvent, record: Record) -> bool:
        end = event.start_seconds + event.duration_seconds + RECOVERY_SECONDS
        return record.start >= end

    def traces(self, names: Sequence[str]) -> dict[str, Array]:
        """Rows of (start, seconds, watts) of these events."""
        return {name: np.asarray(self._rows[name])[:, :3] for name in names}

    def judge(self, start: float, end: float) -> tuple[EventResult, ...]:
        """Called events that began inside `[start, end)` and were over when the run ended.

        To be asked once all is run: an event may end, and power come back, after its window.
        """
        return tuple(
            judge(event, np.asarray(self._rows[event.name]), self._lost.get(event.site_name, ()))
            for event in self._finished(start, end)
            if event.name not in self._refused and self._rows[event.name]
        )

    def not_called(self, start: float, end: float) -> int:
        """Events of the same stretch that were not called."""
        return sum(event.name in self._refused for event in self._finished(start, end))

    def _finished(self, start: float, end: float) -> list[SimEvent]:
        return [
            event
            for event in self._events
            if start <= event.start_seconds < end
            and event.start_seconds + event.duration_seconds - 1e-6 <= self._seen
        ]


def lost_spans(layout: Layout) -> dict[str, list[tuple[float, float]]]:
    """Seconds in which a fault leaves nothing at a site, restarts included."""
    scenario = layout.scenario
    found: dict[str, list[tuple[float, float]]] = {}
    for fault in scenario.faults:
        if fault.kind is not FaultKind.SITE_LOSS:
            continue
        starts = [
            scenario.tables[m].start_seconds
            for m, s in zip(layout.table_of, layout.site_of, strict=True)
            if scenario.sites[s].name == fault.site_name
        ]
        end = fault.start_seconds + fault.duration_seconds + max(starts, default=0.0)
        found.setdefault(fault.site_name, []).append((fault.start_seconds, end))
    return found


def judge(event: SimEvent, rows: Array, lost: Sequence[tuple[float, float]] = ()) -> EventResult:
    """One event from its trace.

    Args:
        event: with its bounds, or shares of the power before it.
        rows: as in `Row`.
        lost: spans in which a fault leaves nothing at the site: nobody is judged by them.
    """
    begin, length, watts, held, work, demand = rows.T
    first, last = event.start_seconds, event.start_seconds + event.duration_seconds
    before = begin < first
    reference = float(watts[before][-1]) if before.any() else float(watts[0])
    upper = event.upper_watts
    if event.reduction_share is not None:
        upper = reference * (1.0 - event.reduction_share)
    lower = event.lower_watts
    if event.lower_share is not None:
        lower = reference * event.lower_share
    inside = (begin >= first) & (begin < last)
    ramp = max(LEAST_RAMP_SECONDS, event.ramp_seconds)
    settled = inside & (begin >= first + ramp)
    for a, b in lost:
        settled &= (begin + length <= a) | (begin >= b)
    weight = np.where(settled, length, 0.0)
    weight /= max(1e-9, float(weight.sum()))
    committed = max(1.0, reference - upper) if upper is not None else max(1.0, reference)
    shed: float | None = None
    error = over = below = rebound = 0.0
    minutes = _minutes(rows, (first + ramp, last), lost)
    good = np.ones(len(minutes), dtype=bool)
    if upper is not None:
        goal = reference - SHED_SHARE * max(0.0, reference - upper)
        hit = np.flatnonzero(inside & (watts <= max(goal, upper) + 1e-6))
        if hit.size:
            shed = 0.0 if begin[hit[0]] <= first else float(begin[hit[0]] - first)
        under = np.maximum(0.0, upper - watts)
        error = float(np.maximum(0.0, watts - upper) @ weight) / committed
        below = float(under @ weight) / committed
        over = float(np.minimum(under, held) @ weight) / committed
        good &= minutes <= upper + 0.5
        then = int(np.flatnonzero(before)[-1]) if before.any() else 0
        grown = np.maximum(1.0, demand / demand[then]) if demand[then] > 0 else 1.0
        more = np.stack((begin, length, work - work[then] * grown), axis=1)
        back = _minutes(more, (last, last + RECOVERY_SECONDS), lost)
        rebound = float(back.max(initial=0.0)) / committed
    if lower is not None:
        error += float(np.maximum(0.0, lower - watts) @ weight) / committed
        good &= minutes >= lower - 0.5
    return EventResult(
        name=event.name,
        site=event.site_name,
        duration_seconds=event.duration_seconds,
        reference_watts=reference,
        upper_watts=upper,
        lower_watts=lower,
        seconds_to_shed=shed,
        error=error,
        over_curtailment=over,
        below_upper=below,
        rebound=rebound,
        samples=len(minutes),
        samples_inside=int(good.sum()),
    )


def _minutes(
    rows: Array, within: tuple[float, float], lost: Sequence[tuple[float, float]]
) -> Array:
    """Means of the whole minutes of a stretch, however long the spans are; one where it is shorter.

    Without minutes that a fault touches.
    """
    begin, length, watts = rows[:, 0], rows[:, 1], rows[:, 2]
    first, last = max(within[0], float(begin[0])), min(within[1], float(begin[-1] + length[-1]))
    if last - first <= 0:
        return np.zeros(0)
    count = max(1, int((last - first) / SAMPLE_SECONDS + 1e-9))
    edges = first + np.minimum(SAMPLE_SECONDS * np.arange(count + 1), last - first)
    joules = np.concatenate(([0.0], np.cumsum(watts * length)))
    at = np.interp(edges, np.append(begin, begin[-1] + length[-1]), joules)
    kept = np.ones(count, dtype=bool)
    for a, b in lost:
        kept &= (edges[1:] <= a) | (edges[:-1] >= b)
    result: Array = (np.diff(at) / np.diff(edges))[kept]
    return result
