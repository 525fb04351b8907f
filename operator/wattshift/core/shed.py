"""Whose replicas go when a feed is over a bound, in the order of harm; stops as soon as it fits.

1 work that somebody outside holds; 2 replicas beyond the need; 3 (committed and harder) down to each
tier's tolerated loss; 4 (mandatory and physical) below floors. All four of acting workloads come
before those of workloads that only watch. Within a step: flexible tiers first, then what the plan wants lowered, then the least recently touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from wattshift.core.cover import EPSILON, capacity
from wattshift.core.limits import Bound, Hardness
from wattshift.core.model import Allowed, Mode, OverrideMode, Tier
from wattshift.core.score import watts_by_feed
from wattshift.core.survey import Feed, Job, Spot
from wattshift.core.watts import replica_watts

TIERS = tuple(Tier)
STEPS = {
    Hardness.PHYSICAL: (1, 2, 3, 4),
    Hardness.MANDATORY: (1, 2, 3, 4),
    Hardness.COMMITTED: (1, 2, 3),
    Hardness.VOLUNTARY: (1, 2),
}


@dataclass(slots=True, kw_only=True)
class Shed:
    """What a feed gives up: vectors by job key change in place."""

    freed_watts: float = 0.0
    touched: list[str] | None = None


def shed(
    feed: Feed,
    bound: Bound,
    excess_watts: float,
    jobs: tuple[Job, ...],
    vectors: dict[str, list[int]],
    *,
    lowering: frozenset[str] = frozenset(),
    most_watts: float = float("inf"),
    first: bool = True,
) -> Shed:
    """Lower `vectors` until `excess_watts` are freed at `feed`, as far as the bound's hardness lets.

    Args:
        feed: the connection that is over its bound.
        bound: the bound; its hardness says how much harm it justifies.
        excess_watts: facility watts to free.
        jobs: all workloads.
        vectors: target replicas by job key, changed in place.
        lowering: keys of workloads that the plan wants lowered: they go first in their tier.
        most_watts: what may be freed in this tick (ramp).
        first: nothing was shed here in this tick yet: one replica, the smallest step, may exceed it.
    """
    result = Shed(touched=[])
    assert result.touched is not None
    if excess_watts <= 0:
        return result
    here = [
        (job, spot)
        for job in jobs
        for spot in job.spots
        if spot.feed is feed and spot.frozen is None and _may_touch(job, bound)
    ]
    bases: dict[str, list[int]] = {}
    by_job: dict[str, float] = {}
    here.sort(key=lambda pair: _order(pair[0], pair[1], lowering))
    acting = [pair for pair in here if pair[0].state.mode is Mode.ENFORCE]
    watching = [pair for pair in here if pair[0].state.mode is not Mode.ENFORCE]
    # What only watches frees nothing: it comes when those that act have given all they may.
    for group, step in product((acting, watching), STEPS[bound.hardness]):
        for job, spot, count in _offers(step, group, vectors, bound):
            vector = vectors[job.key]
            base = bases.setdefault(job.key, list(vector))
            for _ in range(count):
                vector[spot.index] -= 1
                total = _freed(job, feed, base, vector)
                more = total - by_job.get(job.key, 0.0)
                over = result.freed_watts + more > most_watts + EPSILON
                if over and not (first and result.freed_watts <= 0 < most_watts):
                    vector[spot.index] += 1
                    return result
                by_job[job.key] = total
                result.freed_watts += more
                result.touched.append(job.key)
                if result.freed_watts + 1e-6 >= excess_watts:
                    return result
    return result


def replica_freed_watts(job: Job, spot: Spot, feed: Feed) -> float:
    """Facility watts of one replica more or less, without what its tokens cost elsewhere.

    Counted as the figure that is compared counts it: busy where every replica counts as busy; only
    the loaded idle watts while the power model is suspect; the active floor where a meter tells the
    whole but nobody the load.
    """
    profile = spot.profile
    assert profile is not None
    busy, floor = profile.busy_watts or 0, profile.floor_watts or 0
    watts = float(profile.loaded_idle_watts or 0)
    if feed.power.ceiling:
        watts = float(busy)
    elif not feed.power.suspect and (job.outside or job.load.concurrency is None):
        watts = float(busy if feed.power.metered_watts is None else floor)
    return max(1.0, watts * feed.terms.marginal)


def _freed(job: Job, feed: Feed, base: list[int], vector: list[int]) -> float:
    """Facility watts that a job has freed at a feed since `base`; tokens go to its survivors.

    Never more than its replicas draw by their own counters, which is what will be credited.
    """
    gone = [
        (base[spot.index] - vector[spot.index], spot)
        for spot in job.spots
        # a placement that stands may have no profile: nothing is known of its watts
        if spot.feed is feed and base[spot.index] > vector[spot.index]
    ]
    flat = feed.power.ceiling or feed.power.suspect
    if flat or job.outside or job.load.concurrency is None:
        return sum(count * replica_freed_watts(job, spot, feed) for count, spot in gone)
    credited = 0.0
    for count, spot in gone:
        engine, profile = spot.state.engine, spot.profile
        if profile is None:
            continue
        use = None if engine is None or spot.replicas <= 0 else engine.concurrency / spot.replicas
        credited += count * (replica_watts(profile, use) or 0.0) * feed.terms.marginal
    before = watts_by_feed(job, tuple(base)).get(feed.key, 0.0)
    after = watts_by_feed(job, tuple(vector)).get(feed.key, 0.0)
    return max(0.0, min(credited, before - after))


def _may_touch(job: Job, bound: Bound) -> bool:
    state = job.state
    if not state.accepted or not state.originals_known or state.deleting:
        return False
    if bound.hardness <= Hardness.MANDATORY:
        return True
    return may_change(job, bound) and state.intent is None and state.override is None


def may_change(job: Job, bound: Bound) -> bool:
    """Whether the workload allows a change of its count, which a mandatory bound need not ask."""
    if bound.hardness <= Hardness.MANDATORY:
        return True
    wanted = Allowed.PAUSE if job.outside else Allowed.SCALE
    return wanted in job.state.actions or Allowed.SCALE in job.state.actions


def _order(job: Job, spot: Spot, lowering: frozenset[str]) -> tuple[object, ...]:
    state = job.state
    held = state.intent is not None or (
        state.override is not None and state.override.mode is not OverrideMode.RELEASE
    )
    return (
        held,
        -TIERS.index(state.tier),
        state.priority,
        job.key not in lowering,
        state.last_change_time if state.last_change_time is not None else float("-inf"),
        job.key,
        spot.index,
    )


def _offers(
    step: int, here: list[tuple[Job, Spot]], vectors: dict[str, list[int]], bound: Bound
) -> Iterator[tuple[Job, Spot, int]]:
    """(job, placement, replicas that may go); the last step takes one replica a round."""
    if step < 4:
        for job, spot in here:
            count = _spare(step, job, spot, vectors[job.key], bound)
            if count > 0:
                yield job, spot, count
        return
    while True:
        left = [(job, spot) for job, spot in here if vectors[job.key][spot.index] > 0]
        if not left:
            return
        # firm tiers only when the flexible ones have nothing left
        tier = max(TIERS.index(job.state.tier) for job, _ in left)
        for job, spot in left:
            if TIERS.index(job.state.tier) == tier:
                yield job, spot, 1


def _spare(step: int, job: Job, spot: Spot, vector: list[int], bound: Bound) -> int:
    """Replicas that step 1, 2 or 3 may take from a placement, floors kept."""
    here = min(vector[spot.index] - spot.state.min_replicas, sum(vector) - job.floor)
    if job.outside:
        return max(0, here) if step == 1 else 0
    if step == 1:
        return 0
    if here <= 0 or spot.capacity <= 0:
        return 0
    if step == 2:
        if job.need is None or job.verdict.veto:
            return 0
        if bound.hardness is Hardness.VOLUNTARY and not spot.verdict.removal_allowed:
            return 0
        keep = job.need
    else:
        whole = capacity(job, job.vector)
        keep = (whole if job.need is None else min(whole, job.need)) * (
            1 - job.state.tier.tolerated_loss
        )
    slack = capacity(job, tuple(vector)) - keep
    return max(0, min(here, int(slack / spot.capacity + EPSILON)))
