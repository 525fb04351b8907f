"""How many replicas the load needs, where they may serve, and whether the survivors would hold.

Load is concurrency (sequences in decode plus what waits); capacity is concurrency per replica at the
latency objective: learnt, else 0.7 x profile. Unknown load is not zero: it allows no removal.
Neighbours: `core/load/guard.py`, serving.md 3 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from wattshift.core.freshness import value_of
from wattshift.core.load.guard import GuardState, GuardVerdict
from wattshift.core.model import Origin, PlacementState, SiteState, WorkloadState
from wattshift.core.power.power_profile import PowerProfile

UNLEARNT_SHARE = 0.7
"""Of the profile's concurrency at the objective, until a capacity is learnt."""
KEY_VALUE_LIMIT = 0.8
"""KV cache use that survivors may reach."""
KEY_VALUE_TELLING = 0.3
"""KV cache use below which its proportion to load is not believed: short prompts, empty engines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load of a workload over all its placements."""

    concurrency: float | None
    """Sequences running and waiting; None = unknown."""
    waiting: int = 0
    source: str = ""


def capacity_of(placement: PlacementState, profile: PowerProfile | None) -> float:
    """Sequences that one replica carries inside the objective; 0 without a profile.

    What was learnt is bounded where it is learnt: by 1.25 x what was observed (`core/load/learn.py`).
    """
    if profile is None:
        return 0.0
    if placement.learned_concurrency is not None:
        return max(0.0, placement.learned_concurrency)
    return prior_of(profile)


def prior_of(profile: PowerProfile) -> float:
    """Sequences per replica that are believed without evidence."""
    return UNLEARNT_SHARE * profile.max_concurrency_at_objective


def cache_capacity(placement: PlacementState, head_room_permille: int) -> float:
    """Sequences per replica at which survivors' KV cache reaches 0.8; infinite where nobody knows.

    The cache fills in proportion to the load. Head room is added, because a need has it in it and the
    limit of the cache is one already.
    """
    engine = placement.engine
    replicas = min(placement.in_service_replicas or 0, engine.pods_scraped if engine else 0)
    if engine is None or engine.kv_cache_usage is None or replicas <= 0:
        return math.inf
    load = max(engine.concurrency, float(engine.running)) / replicas
    if engine.kv_cache_usage < KEY_VALUE_TELLING or load < 1:
        return math.inf
    return load * KEY_VALUE_LIMIT * (1 + head_room_permille / 1000) / engine.kv_cache_usage


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
    queued = value_of(workload.queued, now) if workload.queued is not None else None
    if queued is not None:
        waiting = math.ceil(max(0.0, queued))
        total = float(waiting)
    for placement, verdict in zip(workload.placements, verdicts, strict=True):
        if verdict.state is GuardState.IDLE:
            continue
        engine = placement.engine
        if engine is None or verdict.state is GuardState.BLIND:
            if workload.origin_loads:
                # the entry still counts what the engines of a lost cluster do not tell
                whole = sum(max(0.0, row) for _, row in workload.origin_loads)
                return Load(concurrency=whole, source=f"the entry; {placement.name} is blind")
            return Load(concurrency=None, source=f"{placement.name}: {verdict.message}")
        total += max(engine.concurrency, float(engine.running)) + engine.waiting
        waiting += engine.waiting
    return Load(concurrency=total, waiting=waiting, source="engine metrics")


def needed_concurrency(load: float, room: float, growth_permille: int) -> float:
    """Concurrency to provide: load with head room, and grown over the cold-start horizon.

    Args:
        load: sequences.
        room: head room as a factor; 1 = none.
        growth_permille: 95th percentile of growth over a cold start.
    """
    return load * room * (1 + max(0, growth_permille) / 1000)


def needed_replicas(
    load: float, capacity: float, head_room_permille: int = 200, growth_permille: int = 0
) -> int | None:
    """Replicas of one kind: `ceil(concurrency x 1.2 / capacity)`; None without a capacity."""
    if capacity <= 0:
        return None
    wanted = needed_concurrency(load, 1 + head_room_permille / 1000, growth_permille)
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
    return max(least, sum([row.min_replicas for row in workload.placements]))


def round_trip_milliseconds(site: SiteState, origins: tuple[Origin, ...]) -> int:
    """Longest known round trip from any origin with a share; 0 where none is known."""
    known = dict(site.origin_round_trip_milliseconds)
    return max((known.get(row.name, 0) for row in origins if row.share_permille > 0), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a site lies to the users of a workload."""

    far: str = ""
    """Why new load may not be served there; empty = it may."""
    longest: int = 0
    """Milliseconds of the longest round trip of those that are served there."""
    least: int = 0
    """Shortest round trip of those origins that may be served there; 0 where one is unknown."""


def reach(
    site_name: str, known: Mapping[str, int], origins: tuple[Origin, ...], *, by_origin: bool
) -> Reach:
    """How a site lies to the users of a workload.

    Args:
        site_name: for people.
        known: round trips of the site by origin, ms.
        origins: of the workload.
        by_origin: its entry sends each origin where it may go, so that one that reaches is enough;
            else all must: requests are spread over every in-service replica.
    """
    longest, least, far, near = 0, None, "", False
    for origin in origins:
        limit, trip = origin.max_round_trip_milliseconds, known.get(origin.name)
        shared = origin.share_permille > 0
        inside = limit is None or (trip is not None and trip <= limit)
        near = near or inside
        counts = inside if by_origin else shared
        if counts and trip is not None and trip > longest:
            longest = trip
        if shared and (limit is None or (trip or 0) <= limit):
            least = trip or 0 if least is None else min(least, trip or 0)
        if not inside and shared and not far:
            far = _too_far(site_name, origin, trip)
    return Reach(far="" if by_origin and near else far, longest=longest, least=least or 0)


def _too_far(site_name: str, origin: Origin, trip: int | None) -> str:
    if trip is None:
        return f"round trip from {origin.name} to {site_name} is unknown"
    return (
        f"{trip} ms from {origin.name} to {site_name}, "
        f"longer than the {origin.max_round_trip_milliseconds} ms it accepts"
    )


def gateway_shares(workload: WorkloadState, now: float) -> tuple[float, ...]:
    """Requests at the gateway by placement: as their engines give first tokens, else replicas."""
    queued = value_of(workload.queued, now) if workload.queued is not None else None
    rows = workload.placements
    if queued is None or queued <= 0:
        return (0.0,) * len(rows)
    weights = [row.engine.first_tokens_per_second if row.engine else 0.0 for row in rows]
    if sum(weights) <= 0:
        weights = [float(row.in_service_replicas or 0) for row in rows]
    total = sum(weights)
    return tuple(queued * weight / total if total > 0 else 0.0 for weight in weights)
