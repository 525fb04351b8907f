"""Raising: how much capacity is owed to a workload now, and where it fits at the lowest price.

Shared by planner and governor. Latency outranks voluntary events: what is owed may use their room.
Neighbours: `core/load/demand.py` (need), `core/survey/room.py` (what is left).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wattshift.core.planner.score import Pricer
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Job, Spot

EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """Capacity that must be there; nothing is owed when both are covered."""

    concurrency: float
    replicas: int
    reason: Reason
    message: str


def capacity(job: Job, vector: tuple[int, ...]) -> float:
    """Concurrency that a vector carries inside the objective."""
    return sum(count * spot.capacity for count, spot in zip(vector, job.spots, strict=True))


def cover(
    job: Job,
    room: Room,
    pricer: Pricer | None,
    owed: Owed,
    *,
    hardness: Hardness = Hardness.COMMITTED,
    base: tuple[int, ...] | None = None,
    avoid: frozenset[int] = frozenset(),
) -> tuple[tuple[int, ...], str]:
    """Raise at the cheapest placements until what is owed is provided, inside `hardness` bounds.

    Returns the vector (`base`, by default the job's own, where nothing fits) and, where it falls
    short, why. Placements
    that serve already win ties; unknown prices come last, since capacity is not a saving.
    """
    vector = list(job.vector if base is None else base)
    missing = owed.concurrency - capacity(job, tuple(vector))
    fewer = owed.replicas - sum(vector)
    limit = job.state.max_replicas - sum(vector)

    def rank(spot: Spot) -> tuple[float, int, str]:
        cost = pricer.unit_cost(spot) if pricer is not None else None
        return (math.inf if cost is None else cost, 0 if spot.replicas else 1, spot.state.name)

    short: list[str] = []
    scratch = room
    for spot in sorted(job.spots, key=rank):
        if missing <= EPSILON and fewer <= 0:
            break
        if spot.capacity <= 0 or spot.index in avoid:
            continue
        wanted = max(math.ceil(missing / spot.capacity - EPSILON), fewer)
        count = min(wanted, scratch.most(spot, hardness), limit)
        if count < wanted:
            short.append(scratch.why_not(spot, hardness) or f"{job.key} is at its maximum")
        if count <= 0:
            continue
        vector[spot.index] += count
        # placements of one connection share its room; callers take it when they choose the vector
        scratch = room.copy() if scratch is room else scratch
        scratch.take(spot, count)
        missing -= count * spot.capacity
        fewer -= count
        limit -= count
    why = ""
    if missing > EPSILON or fewer > 0:
        why = "; ".join(dict.fromkeys(row for row in short if row)) or "no placement can take more"
    return tuple(vector), why


def owed_to(job: Job) -> Owed | None:
    """What the guard, the load and the floor ask for beyond what is commanded; None = nothing.

    A violation asks for room for what waits, counted against replicas that were asked for already,
    so that a slow start is not asked for twice.
    """
    more = 0
    for spot in job.spots:
        verdict = spot.verdict
        if not verdict.violated_now:
            continue
        wanted = verdict.needed_replicas
        if wanted is None:
            wanted = max(1, spot.replicas)
        more += max(0, wanted - spot.replicas)
    if more > 0:
        reason = job.verdict.reason or Reason.LATENCY_GUARD
        return Owed(
            concurrency=job.need or 0.0,
            replicas=max(job.standing + more, job.floor),
            reason=reason,
            message=job.verdict.message,
        )
    if job.standing < job.floor:
        return Owed(
            concurrency=job.need or 0.0,
            replicas=job.floor,
            reason=Reason.DEMAND_GROWTH,
            message=f"{job.standing} replicas, at least {job.floor} are wanted",
        )
    if job.outside or job.need is None:
        return None
    has = capacity(job, job.vector)
    # half of the head room is slack, so that a load that trembles does not start replicas
    least = (job.need + (job.load.concurrency or 0.0)) / 2
    if has + EPSILON >= least or job.standing >= job.state.max_replicas:
        return None
    return Owed(
        concurrency=job.need,
        replicas=job.floor,
        reason=Reason.DEMAND_GROWTH,
        message=f"{job.load.concurrency or 0:.1f} concurrent requests, capacity {has:.1f} with head room",
    )
