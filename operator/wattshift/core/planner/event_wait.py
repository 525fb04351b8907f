"""What an event holds for a while: who waits for its end, and whether a replica would serve before.

A bound that ends soon takes capacity that comes back with its end: to start replicas for it elsewhere
costs starts, power and a new peak, and serves nobody in time. Pure. Neighbours: `core/governor/governor.py`,
`core/planner/standing.py` (the planner keeps still meanwhile), `core/survey/limits.py`.
"""

from __future__ import annotations

from wattshift.core.model import EventState
from wattshift.core.planner.cover import EPSILON, capacity
from wattshift.core.survey.growth_limits import raise_watts
from wattshift.core.survey.limits import Bound, Hardness
from wattshift.core.survey.survey import Feed, Job, Spot

WORTH_STARTS = 2.0
"""Starts that an event has to last yet: a replica that is started for it serves as long as it starts."""
SETTLED_SECONDS = 120.0
"""Wall seconds after a change before what an event took may return while it is in force."""
ROOMY = 0.25
"""Share of an event's bound that is free where it takes nothing."""


def pressing(feed: Feed, spot: Spot) -> EventState | None:
    """The event that binds a connection now, with less than one replica of `spot` left under it."""
    bound = feed.limits.upper
    event = None if bound is None else _event_of(feed, bound)
    if bound is None or event is None or spot.profile is None:
        return None
    capped = feed.power.cap_saved_watts > 0
    if not capped and feed.room_watts(bound.hardness) >= raise_watts(spot, feed):
        return None
    return event


def held_until(job: Job, now: float) -> tuple[float, str]:
    """(grid time, name) of the last event that presses where the job stands; `(now, "")` = none."""
    until, name = now, ""
    for spot in job.spots:
        if spot.feed is None or not (spot.replicas or spot.state.last_write_time):
            continue
        event = pressing(spot.feed, spot)
        if event is not None and event.end_time > until:
            until, name = event.end_time, event.name
    return until, name


def explained(job: Job, vector: tuple[int, ...]) -> bool:
    """Whether what is short at these counts is no more than the tier tolerates to lose in events."""
    if sum(vector) < job.floor:
        return False
    if job.outside or job.need is None:
        return True
    kept = job.need * (1 - job.state.tier.tolerated_loss)
    return capacity(job, vector) + EPSILON >= kept


def in_time(spot: Spot, until: float, now: float) -> bool:
    """Whether a replica that is started here now serves long enough before `until`."""
    start = 0.0 if spot.profile is None else float(spot.profile.cold_start_seconds)
    return until - now >= WORTH_STARTS * start


def settling(spot: Spot, now: float, speed: float) -> bool:
    """Whether an event that is harder than latency took something here just now, or it still drains.

    Room that is counted meanwhile is not there, and what returned would be taken again.
    """
    feed, written = spot.feed, spot.state.last_write_time
    if feed is None or feed.limits.upper is None:
        return False
    bound = feed.limits.upper
    if bound.hardness > Hardness.COMMITTED or _event_of(feed, bound) is None:
        return False
    if feed.room_watts(bound.hardness) > ROOMY * (bound.upper_watts or 0.0):
        return False  # no event that takes anything leaves so much
    if feed.power.it_watts > feed.power.commanded_it_watts + 1.0:
        return True
    return written is not None and 0 <= now - written < SETTLED_SECONDS * max(1.0, speed)


def _event_of(feed: Feed, bound: Bound) -> EventState | None:
    for event in feed.site.events:
        if event.active and bound.name == f"event {event.name}":
            return event
    return None
