"""The latency guard: may a saving act here, and must capacity come back now (serving.md 3).

Violated, within, idle, blind and unknown are apart: unknown allows no removal and causes no panic.
A veto is remembered until three slow windows are clean. Neighbours: `core/load/latency.py` (the tests of samples), `core/load/demand.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from wattshift.core.engine import EngineStats
from wattshift.core.load.latency import not_shown, thresholds_milliseconds, violation
from wattshift.core.model import Objective, PlacementState
from wattshift.core.reasons import Reason

__all__ = [
    "NO_REPLICA",
    "GuardState",
    "GuardVerdict",
    "freeze",
    "judge",
    "merge",
    "thresholds_milliseconds",
]

IDLE_WALL_SECONDS = 600.0
"""Without any arrival for this long a placement is idle."""
CLEAN_WINDOWS = 3
"""Slow windows without a violation that end a veto."""


class GuardState(StrEnum):
    """What is known about the objective at a placement."""

    WITHIN = "Within"
    VIOLATED = "Violated"
    UNKNOWN = "Unknown"
    IDLE = "Idle"
    BLIND = "Blind"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardVerdict:
    """Verdict over one placement (or, merged, over one workload)."""

    state: GuardState
    veto: bool
    """No saving may act and capacity is to be given back."""
    removal_allowed: bool
    """A replica may be taken away, as far as latency is concerned."""
    reason: Reason | None
    message: str
    violated_now: bool = False
    """The violation is seen in these windows, not remembered: the loop notes the wall time."""
    needed_replicas: int | None = None
    """Replicas here that would carry the running and the waiting; None = not known."""


_RANK = {
    state: rank
    for rank, state in enumerate(
        (
            GuardState.VIOLATED,
            GuardState.BLIND,
            GuardState.UNKNOWN,
            GuardState.WITHIN,
            GuardState.IDLE,
        )
    )
}
"""Worst first."""
NO_REPLICA = GuardVerdict(
    state=GuardState.IDLE,
    veto=False,
    removal_allowed=True,
    reason=None,
    message="no replica",
    needed_replicas=0,
)
"""Of a placement with nothing to judge."""
_NOTHING_SERVES = replace(NO_REPLICA, message="nothing serves")


def judge(
    placement: PlacementState,
    objectives: tuple[Objective, ...],
    *,
    wall_time: float,
    round_trip_milliseconds: int = 0,
    least_round_trip_milliseconds: int | None = None,
    gateway_waiting: float = 0.0,
    stale_intervals: int = 3,
) -> GuardVerdict:
    """Verdict over one placement.

    Args:
        placement: with engine statistics in wall-clock windows.
        objectives: of the workload; none = nothing to violate.
        wall_time: monotonic seconds of the snapshot.
        round_trip_milliseconds: longest from any origin that is served here: a removal must hold for it.
        least_round_trip_milliseconds: shortest: what every user adds, so that a veto is none of one
            origin's alone; None = as the longest.
        gateway_waiting: requests that wait at the gateway for this placement.
        stale_intervals: scrapes that may be missed before the placement counts as blind.
    """
    least = round_trip_milliseconds
    if least_round_trip_milliseconds is not None:
        least = min(least, least_round_trip_milliseconds)
    engine = placement.engine
    serving = max(placement.in_service_replicas or 0, placement.ready_replicas or 0)
    if engine is None or engine.age_seconds > engine.scrape_interval_seconds * stale_intervals:
        return _without_metrics(placement, objectives, serving)
    if _idle(engine) and gateway_waiting <= 0:
        return GuardVerdict(
            state=GuardState.IDLE,
            veto=False,
            removal_allowed=True,
            reason=None,
            message=f"no request for {engine.idle_seconds:.0f} s",
            needed_replicas=0,
        )
    found = violation(engine, objectives, least, gateway_waiting)
    if found is not None:
        return GuardVerdict(
            state=GuardState.VIOLATED,
            veto=True,
            removal_allowed=False,
            reason=found[0],
            message=found[1],
            violated_now=True,
            needed_replicas=_needed(engine, serving, gateway_waiting),
        )
    reason, message = not_shown(engine, objectives, round_trip_milliseconds, gateway_waiting)
    state = GuardState.WITHIN if reason is None else GuardState.UNKNOWN
    veto, note = _remembered(placement, objectives, wall_time)
    if veto:
        reason = Reason.LATENCY_GUARD
        message = note
    return GuardVerdict(
        state=state,
        veto=veto,
        removal_allowed=state is GuardState.WITHIN and not veto,
        reason=reason,
        message=message,
    )


def freeze(verdict: GuardVerdict, *, seconds_since: float, dwell_seconds: float) -> GuardVerdict:
    """A verdict whose savings are frozen: after a violation a workload keeps still for its dwell time.

    Args:
        verdict: over one placement of the workload.
        seconds_since: wall seconds since the guard last saw a violation at any of its placements.
        dwell_seconds: of the workload, in wall seconds.
    """
    if not verdict.removal_allowed or not 0 <= seconds_since < dwell_seconds:
        return verdict
    return replace(
        verdict,
        removal_allowed=False,
        reason=Reason.LATENCY_GUARD,
        message=(
            f"outside its objective {seconds_since:.0f} s ago, keeps still for {dwell_seconds:.0f} s"
        ),
    )


def merge(verdicts: tuple[GuardVerdict, ...]) -> GuardVerdict:
    """Verdict over a workload: the worst placement that serves decides."""
    if not verdicts:
        return _NOTHING_SERVES
    worst, vetoing = verdicts[0], None
    removal, violated = True, False
    for row in verdicts:
        if (_RANK[row.state], not row.veto) < (_RANK[worst.state], not worst.veto):
            worst = row
        if vetoing is None and row.veto:
            vetoing = row
        removal = removal and row.removal_allowed
        violated = violated or row.violated_now
    told = worst if vetoing is None or worst.veto else vetoing
    return GuardVerdict(
        state=worst.state,
        veto=vetoing is not None,
        removal_allowed=removal,
        reason=told.reason,
        message=told.message,
        violated_now=violated,
    )


def _without_metrics(
    placement: PlacementState, objectives: tuple[Objective, ...], serving: int
) -> GuardVerdict:
    if not serving and not placement.observed_replicas and placement.observed_replicas is not None:
        return NO_REPLICA
    if not objectives and placement.engine is None:
        return GuardVerdict(
            state=GuardState.UNKNOWN,
            veto=False,
            removal_allowed=True,
            reason=Reason.OBJECTIVE_UNKNOWN,
            message="no latency objective is set and no engine reports",
        )
    age = "" if placement.engine is None else f" for {placement.engine.age_seconds:.0f} s"
    return GuardVerdict(
        state=GuardState.BLIND,
        veto=False,
        removal_allowed=False,
        reason=Reason.METRICS_STALE,
        message=f"no engine of {placement.name} was scraped{age}",
    )


def _idle(engine: EngineStats) -> bool:
    return (
        engine.pods_scraped >= engine.pods_expected
        and engine.running == 0
        and engine.waiting == 0
        and engine.idle_seconds >= IDLE_WALL_SECONDS
    )


def _remembered(
    placement: PlacementState, objectives: tuple[Objective, ...], wall_time: float
) -> tuple[bool, str]:
    if placement.veto_wall_time is None or not objectives:
        return False, ""
    clean = wall_time - placement.veto_wall_time
    wanted = CLEAN_WINDOWS * max(row.window_seconds for row in objectives)
    if 0 <= clean < wanted:
        return True, f"clean for {clean:.0f} s of the {wanted} s that end a veto"
    return False, ""


def _needed(engine: EngineStats, serving: int, gateway_waiting: float) -> int | None:
    """Replicas that give what waits the same room as what runs; at least one more."""
    if serving <= 0:
        return None
    running = max(1.0, float(engine.running), engine.concurrency)
    waiting = engine.waiting + max(0.0, gateway_waiting)
    return max(serving + 1, math.ceil(serving * (running + waiting) / running))
