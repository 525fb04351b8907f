"""Power during events, and how well each was kept: time to shed, error, overshoot, rebound.

Judged on the true import of the site, not on what a policy was shown. Definitions: benchmark.md 6.
Neighbours: `run.py` (feeds it), `result.py` (sums up).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattshift.sim.plant import Record
from wattshift.sim.scenario import Array, Scenario, SimEvent

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
    """Mean of what was below the upper bound after the ramp."""
    rebound: float
    """Highest whole minute of the recovery above the reference: as metered for compliance."""
    samples: int
    samples_inside: int

    @property
    def met(self) -> bool:
        """Reached, and inside the bounds in at least 99.5 % of the minutes after the ramp."""
        reached = self.upper_watts is None or self.seconds_to_shed is not None
        return reached and self.samples_inside >= 0.995 * self.samples


class EventLog:
    """Traces around events."""

    def __init__(self, scenario: Scenario) -> None:
        self._events = sorted(scenario.events, key=lambda row: row.start_seconds)
        self._site = {site.name: s for s, site in enumerate(scenario.sites)}
        self._rows: dict[str, list[tuple[float, float, float]]] = {
            row.name: [] for row in self._events
        }
        self._first = 0

    def see(self, record: Record) -> None:
        """Keep the import of sites with an event near."""
        for index in range(self._first, len(self._events)):
            event = self._events[index]
            if record.start < event.start_seconds - BEFORE_SECONDS:
                break  # they are in order of their starts
            if record.start >= event.start_seconds + event.duration_seconds + RECOVERY_SECONDS:
                continue
            watts = float(record.flows.imported[self._site[event.site_name]])
            self._rows[event.name].append((record.start, record.seconds, watts))
        while self._first < len(self._events) and self._over(self._events[self._first], record):
            self._first += 1

    @staticmethod
    def _over(event: SimEvent, record: Record) -> bool:
        end = event.start_seconds + event.duration_seconds + RECOVERY_SECONDS
        return record.start >= end

    def traces(self, names: Sequence[str]) -> dict[str, Array]:
        """Rows of (start, seconds, watts) of these events."""
        return {name: np.asarray(self._rows[name]) for name in names}

    def judge(self, start: float, end: float) -> tuple[EventResult, ...]:
        """Events that began inside `[start, end)` and were over when the run ended.

        To be asked once all is run: an event may end, and power come back, after its window.
        """
        found = []
        for event in self._events:
            rows = np.asarray(self._rows[event.name])
            if not start <= event.start_seconds < end or not len(rows):
                continue
            seen = float(rows[-1, 0] + rows[-1, 1])
            if seen >= event.start_seconds + event.duration_seconds - 1e-6:
                found.append(judge(event, rows))
        return tuple(found)


def judge(event: SimEvent, rows: Array) -> EventResult:
    """One event from its trace: rows of (start, seconds, watts)."""
    begin, length, watts = rows[:, 0], rows[:, 1], rows[:, 2]
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
    committed = max(1.0, reference - upper) if upper is not None else max(1.0, reference)
    shed: float | None = None
    error = over = rebound = 0.0
    if upper is not None:
        goal = reference - SHED_SHARE * max(0.0, reference - upper)
        hit = np.flatnonzero(inside & (watts <= max(goal, upper) + 1e-6))
        if hit.size:
            shed = 0.0 if begin[hit[0]] <= first else float(begin[hit[0]] - first)
        weight = length[settled]
        if weight.sum() > 0:
            above = np.maximum(0.0, watts[settled] - upper)
            below = np.maximum(0.0, upper - watts[settled])
            error = float((above * weight).sum() / weight.sum() / committed)
            over = float((below * weight).sum() / weight.sum() / committed)
    after = begin >= last
    if lower is not None and length[settled].sum() > 0:
        under = np.maximum(0.0, lower - watts[settled]) * length[settled]
        error += float(under.sum() / length[settled].sum() / committed)
    if after.any():
        back = _minutes(begin, length, watts, (last, last + RECOVERY_SECONDS))
        rebound = max(0.0, float(back.max(initial=0.0)) - reference) / committed
    minutes = _minutes(begin, length, watts, (first + ramp, last))
    good = np.ones(len(minutes), dtype=bool)
    if upper is not None:
        good &= minutes <= upper + 0.5
    if lower is not None:
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
        rebound=rebound,
        samples=len(minutes),
        samples_inside=int(good.sum()),
    )


def _minutes(begin: Array, length: Array, watts: Array, within: tuple[float, float]) -> Array:
    """Means of the whole minutes of a stretch, however long the spans are; one where it is shorter."""
    first, last = max(within[0], float(begin[0])), min(within[1], float(begin[-1] + length[-1]))
    if last - first <= 0:
        return np.zeros(0)
    count = max(1, int((last - first) / SAMPLE_SECONDS + 1e-9))
    edges = first + np.minimum(SAMPLE_SECONDS * np.arange(count + 1), last - first)
    joules = np.concatenate(([0.0], np.cumsum(watts * length)))
    at = np.interp(edges, np.append(begin, begin[-1] + length[-1]), joules)
    result: Array = np.diff(at) / np.diff(edges)
    return result
