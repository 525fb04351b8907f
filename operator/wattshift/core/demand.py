"""How many replicas the load needs, where they may serve, and whether the survivors would hold.

Load is concurrency (sequences in decode plus what waits); capacity is concurrency per replica at the
latency objective: learnt, else 0.7 x profile. Unknown load is not zero: it allows no removal.
Neighbours: `core/guard.py`, serving.md 3 and 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wattshift.core.freshness import value_of
from wattshift.core.guard import GuardState, GuardVerdict
from wattshift.core.model import Origin, PlacementState, SiteState, WorkloadState
from wattshift.core.power_profile import PowerProfile

UNLEARNT_SHARE = 0.7
"""Of the profile's concurrency at the objective, until a capacity is learnt."""
EXTRAPOLATION = 1.25
"""Nobody trusts a learnt capacity further than this times the prior."""
KEY_VALUE_LIMIT = 0.8
"""KV cache use that survivors may reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load of a workload over all its placements."""

    concurrency: float | None
    """Sequences running and waiting; None = unknown."""
    waiting: int = 0
    source: str = ""


def capacity_of(placement: PlacementState, profile: PowerProfile | None) -> float:
    """Sequences that one replica carries inside the objective; 0 without a profile."""
    if profile is None:
        return 0.0
    prior = UNLEARNT_SHARE * profile.max_concurrency_at_objective
    if placement.learned_concurrency is None:
        return prior
    return min(placement.learned_concurrency, EXTRAPOLATION * profile.max_concurrency_at_objective)


def load_of(workload: WorkloadState, verdicts: tuple[GuardVerdict, ...], now: float) -> Load:
    """Load of the workload; `verdicts` are the guard's, in the order of the placements.

    A demand signal wins where one is declared. One blind placement makes the whole unknown.
    """
    if workload.demand is not None:
        value = value_of(workload.demand, now)
        if value is not None:
            return Load(concurrency=max(0.0, value), source="demand signal")
        return Load(concurrency=None, source="the demand signal is unknown")
    total, waiting = 0.0, 0
    for placement, verdict in zip(workload.placements, verdicts, strict=True):
        if verdict.state is GuardState.IDLE:
            continue
        engine = placement.engine
        if engine is None or verdict.state is GuardState.BLIND:
            return Load(concurrency=None, source=f"{placement.name}: {verdict.message}")
        total += max(engine.concurrency, float(engine.running)) + engine.waiting
        waiting += engine.waiting
    return Load(concurrency=total, waiting=waiting, source="engine metrics")


def needed_concurrency(load: float, head_room_permille: int, growth_permille: int) -> float:
    """Concurrency to provide: load with head room, and grown over the cold-start horizon."""
    return load * (1 + head_room_permille / 1000) * (1 + max(0, growth_permille) / 1000)


def needed_replicas(
    load: float, capacity: float, head_room_permille: int = 200, growth_permille: int = 0
) -> int | None:
    """Replicas of one kind: `ceil(concurrency x 1.2 / capacity)`; None without a capacity."""
    if capacity <= 0:
        return None
    wanted = needed_concurrency(load, head_room_permille, growth_permille)
    return math.ceil(wanted / capacity - 1e-9)


def survivors_hold(
    load: float,
    replicas: int,
    removed: int,
    capacity: float,
    *,
    growth_permille: int = 0,
    kv_cache_usage: float | None = None,
) -> bool:
    """Whether what stays carries the load: per replica `load/N x N/(N-k) x growth <= capacity`.

    Also the KV cache, which fills in the same proportion, stays at or below 0.8.
    """
    left = replicas - removed
    if removed <= 0:
        return True
    if left <= 0:
        return load <= 0
    if load / left * (1 + max(0, growth_permille) / 1000) > capacity + 1e-9:
        return False
    return kv_cache_usage is None or kv_cache_usage * replicas / left <= KEY_VALUE_LIMIT


def floor_of(workload: WorkloadState, standing: int) -> int:
    """Fewest replicas over all placements that savings must leave.

    Zero only where somebody outside holds the work (batch with external dispatch), or where
    nothing runs and nothing is asked for.
    """
    outside = workload.batch is not None and workload.batch.external_dispatch
    least = workload.min_replicas
    if not outside and standing > 0:
        least = max(1, least)
    return max(least, sum(row.min_replicas for row in workload.placements))


def round_trip_milliseconds(site: SiteState, origins: tuple[Origin, ...]) -> int:
    """Longest known round trip from any origin with a share; 0 where none is known."""
    known = dict(site.origin_round_trip_milliseconds)
    return max((known.get(row.name, 0) for row in origins if row.share_permille > 0), default=0)


def too_far(site: SiteState, origins: tuple[Origin, ...]) -> str:
    """Why new load of these origins may not be served from a site; empty = it may.

    All origins must reach it: the entry spreads requests over every in-service replica.
    """
    known = dict(site.origin_round_trip_milliseconds)
    for origin in origins:
        limit = origin.max_round_trip_milliseconds
        if limit is None or origin.share_permille <= 0:
            continue
        if origin.name not in known:
            return f"round trip from {origin.name} to {site.name} is unknown"
        if known[origin.name] > limit:
            return (
                f"{known[origin.name]} ms from {origin.name} to {site.name}, "
                f"longer than the {limit} ms it accepts"
            )
    return ""


def some_reach(site: SiteState, origins: tuple[Origin, ...]) -> tuple[str, int]:
    """For an entry that routes by origin: (why no origin may be served here, longest round trip).

    The round trip is the longest of those origins that may be served from the site.
    """
    known = dict(site.origin_round_trip_milliseconds)
    trips, nobody = [], ""
    for origin in origins:
        limit, trip = origin.max_round_trip_milliseconds, known.get(origin.name)
        if limit is None or (trip is not None and trip <= limit):
            trips.append(trip or 0)
        elif not nobody:
            nobody = too_far(site, (origin,))
    return ("" if trips else nobody, max(trips, default=0))
