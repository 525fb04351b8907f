"""Watts that a connection is rid of when replicas go, or gains when they come, as the figure that is compared.

Neighbours: `core/governor/shed.py`, `core/governor/governor.py` (what a lower bound gains), `core/power/power.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from wattshift.core.load.guard import GuardState
from wattshift.core.power.watts import replica_watts
from wattshift.core.survey.survey import Feed, Job, Spot


def replica_freed_watts(job: Job, spot: Spot, feed: Feed) -> float:
    """Facility watts of one replica more or less, without what its tokens cost elsewhere.

    Counted as the figure that is compared counts it: busy where every replica counts as busy; what
    its own counters say of work that goes nowhere else, or whose load is not known everywhere; the
    active floor where a meter tells the whole but nobody the load; else without its tokens. While the
    power model is suspect the part of that which the meter shows (`_believed`).
    """
    profile, engine = spot.profile, spot.state.engine
    assert profile is not None
    busy, floor = profile.busy_watts or 0, profile.floor_watts or 0
    told = job.outside or job.load.concurrency is None
    idle = watts = float(profile.loaded_idle_watts or 0)
    if feed.power.ceiling:
        watts = float(busy)
    elif told and _seen(spot) and engine is not None:
        own = replica_watts(profile, engine.concurrency / max(1, spot.replicas))
        watts = max(float(floor if job.outside else 0), min(float(busy), own or 0.0))
    elif told:
        watts = float(busy if feed.power.metered_watts is None else floor)
    return max(1.0, _believed(watts, idle, feed) * feed.terms.marginal)


def _believed(watts: float, idle: float, feed: Feed) -> float:
    """What of a model's watts may be counted on: while it is suspect, the part that the meter shows.

    Never less than the loaded idle watts, which every replica draws. Too much that was believed is
    shown by the meter as soon as the drain is over, and the next tick takes the rest; to count idle
    watts alone would shed four replicas for one.
    """
    if not feed.power.suspect or feed.power.ceiling:
        return watts
    return max(min(idle, watts), feed.power.trust * watts)


def _seen(spot: Spot) -> bool:
    """Whether the engines of what stands here were read in time."""
    return spot.replicas > 0 and spot.verdict.state is not GuardState.BLIND


def freed_watts(job: Job, feed: Feed, base: Sequence[int], vector: Sequence[int]) -> float:
    """Facility watts that a job has freed at a feed since `base`; tokens go to its survivors.

    Never more than its replicas draw by their own counters, which is what will be credited.
    """
    gone = [
        (base[spot.index] - vector[spot.index], spot)
        for spot in job.spots
        # a placement that stands may have no profile: nothing is known of its watts
        if spot.feed is feed and base[spot.index] > vector[spot.index]
    ]
    if feed.power.ceiling or job.outside or job.load.concurrency is None:
        return sum(count * replica_freed_watts(job, spot, feed) for count, spot in gone)
    credited = idle = 0.0
    for count, spot in gone:
        engine, profile = spot.state.engine, spot.profile
        if profile is None:
            continue
        use = None if engine is None or spot.replicas <= 0 else engine.concurrency / spot.replicas
        credited += count * (replica_watts(profile, use) or 0.0) * feed.terms.marginal
        idle += count * float(profile.loaded_idle_watts or 0) * feed.terms.marginal
    freed = min(credited, drawn_watts(job, feed, base) - drawn_watts(job, feed, vector))
    return max(0.0, _believed(freed, idle, feed))


def gained_watts(
    job: Job, feeds: Sequence[Feed], base: Sequence[int], vector: Sequence[int]
) -> float:
    """Facility watts that feeds draw more of a job with `vector` than with `base`; negative = less.

    Its tokens spread over all its replicas. Where they can't (held work), or nobody knows the load, a
    replica that is added draws what its engines say of those beside it, busy where nothing says it.
    """
    total = 0.0
    for feed in feeds:
        if job.outside or job.load.concurrency is None:
            total += sum(
                (vector[spot.index] - base[spot.index]) * _alone_watts(spot, feed)
                for spot in job.spots
                if spot.feed is feed and spot.profile is not None
            )
            continue
        change = drawn_watts(job, feed, vector) - drawn_watts(job, feed, base)
        idle = sum(
            (vector[spot.index] - base[spot.index]) * float(spot.profile.loaded_idle_watts or 0)
            for spot in job.spots
            if spot.feed is feed and spot.profile is not None
        )
        total += _believed(change, idle * feed.terms.marginal, feed)
    return total


def _alone_watts(spot: Spot, feed: Feed) -> float:
    """Facility watts of one replica that serves as those beside it do."""
    profile, engine = spot.profile, spot.state.engine
    assert profile is not None
    each = None
    if _seen(spot) and engine is not None:
        each = engine.concurrency / max(1, spot.replicas)
    watts = replica_watts(profile, each) or 0.0
    return _believed(watts, float(profile.loaded_idle_watts or 0), feed) * feed.terms.marginal


def drawn_watts(job: Job, feed: Feed, vector: Sequence[int]) -> float:
    """Facility watts of a job's replicas at a feed, its load spread by capacity, also beyond it."""
    whole = sum(count * spot.capacity for count, spot in zip(vector, job.spots, strict=True))
    load, total = job.load.concurrency or 0.0, 0.0
    for spot in job.spots:
        count = vector[spot.index]
        if spot.feed is not feed or spot.profile is None or count <= 0:
            continue
        each = load * spot.capacity / whole if whole > 0 else 0.0
        total += count * (replica_watts(spot.profile, each) or 0.0)
    return total * feed.terms.marginal
