"""What only growth has to keep: the way back from events, the billed peak, the reserve of a cooling limit.

Nothing is shed for these. After an event, and below the billed peak, growth is counted at the watts
that it will draw, so that all that stood before fits. Neighbours: `core/survey/room.py` (uses them up),
`core/survey/rebound.py`, `core/survey/peaks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.model import Mode
from wattshift.core.power.power import FeedKey
from wattshift.core.power.watts import replica_watts
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.own_supply import own_supply_watts
from wattshift.core.survey.peaks import peak_watts
from wattshift.core.survey.survey import Feed, Spot, Survey

FILLING_SECONDS = 60.0
"""Wall seconds after a start in which held work fills its replicas."""


def raise_watts(spot: Spot, feed: Feed) -> float:
    """Facility watts to reserve for one more replica: at full load, so that load may come."""
    assert spot.profile is not None
    return max(1.0, feed.terms.marginal * (spot.profile.busy_watts or 0))


def drawn_watts(spot: Spot, feed: Feed) -> float:
    """Facility watts that one more replica will draw at the present load: others give tokens up to it.

    Busy where nobody knows its load, where requests wait that it would take, and for held work.
    """
    profile, engine = spot.profile, spot.state.engine
    assert profile is not None
    known = engine is not None and engine.concurrency > 0 and engine.waiting == 0
    watts = profile.floor_watts if known and not spot.outside else profile.busy_watts
    return max(1.0, feed.terms.marginal * (watts or 0))


def filling_watts(survey: Survey) -> dict[FeedKey, float]:
    """Facility watts that held work draws once its replicas are full: those that came just now show none yet.

    Else the room that they were started for is given away again in the moment in which they serve.
    """
    found: dict[FeedKey, float] = {}
    now, margin = survey.now, FILLING_SECONDS * max(1.0, survey.snapshot.speed)
    for job in survey.jobs:
        if not job.outside or job.state.mode is not Mode.ENFORCE:
            continue
        for spot in job.spots:
            feed, profile, written = spot.feed, spot.profile, spot.state.last_write_time
            if feed is None or profile is None or written is None or spot.replicas <= 0:
                continue
            engine, starts = spot.state.engine, float(profile.cold_start_seconds)
            if engine is None or not 0 <= now - written < starts + margin:
                continue
            each = replica_watts(profile, engine.concurrency / spot.replicas)
            if each is not None:
                more = spot.replicas * ((profile.busy_watts or 0) - each) * feed.terms.marginal
                found[feed.key] = found.get(feed.key, 0.0) + max(0.0, more)
    return found


@dataclass(slots=True)
class GrowthLimit:
    """A bound that only growth has to keep, in watts that are really drawn; a reserve at full load."""

    name: str
    hardness: Hardness
    left: float
    reserve: bool = False

    def each(self, spot: Spot, feed: Feed) -> float:
        """Watts to count for one more replica."""
        return raise_watts(spot, feed) if self.reserve else drawn_watts(spot, feed)


def after_events(feed: Feed) -> list[GrowthLimit]:
    """What events that have ended leave."""
    now = _drawn_now(feed)
    return [
        GrowthLimit(bound.name, bound.hardness, bound.upper_watts - now)
        for bound in feed.limits.recovery
        if bound.upper_watts is not None
    ]


def between_plans(feed: Feed, now: float) -> list[GrowthLimit]:
    """What events that have ended leave, the billed peak, and the reserve of the cooling limit."""
    rows = after_events(feed)
    connection, least = feed.connection, feed.limits.reserve
    if connection is not None:
        own = own_supply_watts(feed.site, now, connection_name=connection.name)
        peak = peak_watts(connection.price, own)
        if peak is not None:
            before = [bound.upper_watts or 0.0 for bound in feed.limits.recovery]
            left = max([peak, *before]) - _drawn_now(feed)
            rows.append(GrowthLimit("the billed peak", Hardness.VOLUNTARY, left))
    if least is not None and least.upper_watts is not None:
        left = least.upper_watts - feed.uncapped_watts
        name = "the reserve of the cooling limit"
        rows.append(GrowthLimit(name, Hardness.PHYSICAL, left, reserve=True))
    return rows


def _drawn_now(feed: Feed) -> float:
    power = feed.power
    if power.committed_watts is None:
        return feed.uncapped_watts
    return power.committed_watts + power.cap_saved_committed_watts
