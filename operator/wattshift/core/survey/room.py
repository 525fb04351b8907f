"""What may still be added: watts under the bounds, watts per minute under the ramp, free devices.

One tracker is used up while a plan or a governor tick gives room away, so that decisions of one step
together never break a bound that each alone would keep. Freed room is not given away in the same
step: make before break. Neighbours: `core/survey/limits.py`, `core/survey/growth_limits.py`,
`core/survey/survey.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy

from wattshift.core.power.power import FeedKey
from wattshift.core.survey.growth_limits import (
    GrowthLimit,
    after_events,
    between_plans,
    filling_watts,
    raise_watts,
)
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.survey import Spot, Survey

STILL = 0.01
"""Share of a ramp below which nothing counts as under way."""
ARRIVING = 3.0
"""Watts at first for each watt of load that arrives: its prompts are computed again."""


class Room:
    """Mutable budget of one decision step over all sites."""

    def __init__(self, survey: Survey, *, growth: bool = False) -> None:
        """What is left at the time of a survey.

        Args:
            survey: of the step.
            growth: of the governor, between plans: no new billed peak that no bound asks for, and the
                reserve of a cooling limit stays free but for who has a claim.
        """
        self._survey = survey
        self.has_claim = False
        """Of an objective that is missed, or an order: the reserve is for it."""
        self._watts: dict[Hardness, dict[FeedKey, float]] = {rank: {} for rank in Hardness}
        self._down: dict[FeedKey, float] = {}
        self._ramp: dict[str, float | None] = {}
        self._stepped: set[str] = set()
        self._devices = dict(survey.accelerators)
        self._soft: dict[FeedKey, list[GrowthLimit]] = {}
        pending: dict[str, float] = {}
        filling = filling_watts(survey)
        self._by_site: dict[str, list[FeedKey]] = {}
        for key, feed in survey.feeds.items():
            self._by_site.setdefault(feed.site.name, []).append(key)
            for rank, watts in self._watts.items():
                watts[key] = max(0.0, feed.room_watts(rank) - filling.get(key, 0.0))
            soft = between_plans(feed, survey.now) if growth else after_events(feed)
            for row in soft:
                row.left -= filling.get(key, 0.0)
            if soft:
                self._soft[key] = soft
            lower = feed.limits.lower_watts
            if lower is not None:
                # what starts draws nothing yet: it makes nothing free that draws now
                committed, now = feed.power.committed_watts or 0.0, feed.power.now_watts
                self._down[key] = max(
                    0.0, min(committed, committed if now is None else now) - lower
                )
            name = feed.site.name
            pending[name] = pending.get(name, 0.0) + max(0.0, feed.power.pending_up_watts)
        for feed in survey.feeds.values():
            limit = feed.site.ramp_up_watts_per_minute
            risen = max(pending[feed.site.name], self._risen(feed.site.name))
            left = None if limit is None else max(0.0, limit - risen)
            self._ramp[feed.site.name] = left
            if risen > STILL * (limit or 0.0):
                self._stepped.add(feed.site.name)

    @property
    def now(self) -> float:
        """Grid time of the decision."""
        return self._survey.now

    def claimed(self) -> Room:
        """The same room, used up together, for an objective that is missed or an order: with the reserve."""
        other = copy(self)
        other.has_claim = True
        return other

    def copy(self) -> Room:
        """What is left now, to be used up apart from this."""
        other = copy(self)
        vars(other).update(
            _watts={rank: dict(watts) for rank, watts in self._watts.items()},
            _down=dict(self._down),
            _ramp=dict(self._ramp),
            _stepped=set(self._stepped),
            _devices=dict(self._devices),
            _soft={key: [copy(row) for row in rows] for key, rows in self._soft.items()},
        )
        return other

    def _risen(self, site_name: str) -> float:
        """Watts by which a site has risen in the last minute, as far as that is remembered."""
        total = 0.0
        for key in self._by_site[site_name]:
            feed = self._survey.feeds[key]
            least = feed.connection.least_watts if feed.connection is not None else None
            if least is not None and feed.power.committed_watts is not None:
                total += feed.power.committed_watts - least
        return max(0.0, total)

    def watts_of(self, key: FeedKey, hardness: Hardness = Hardness.VOLUNTARY) -> float:
        """Facility watts that may still be added at a connection under bounds that hard."""
        return self._watts[hardness].get(key, 0.0)

    def most(self, spot: Spot, hardness: Hardness = Hardness.VOLUNTARY) -> int:
        """Replicas that may be added at a placement, by every limit and its own maximum."""
        feed = spot.feed
        if feed is None or spot.frozen is not None or spot.no_raise is not None:
            return 0
        count = spot.state.max_replicas - spot.replicas
        if count <= 0 or spot.profile is None:
            return 0
        watts = raise_watts(spot, feed)
        room = self._watts[hardness][feed.key]
        if room != float("inf"):
            count = min(count, int(room / watts + 1e-9))
        for row in self._kept(feed.key, hardness):
            count = min(count, int(row.left / row.each(spot, feed) + 1e-9))
        ramp = self._ramp[feed.site.name]
        if ramp is not None:
            # a replica is the smallest step there is: one may go where none is under way
            least = 0 if feed.site.name in self._stepped else 1
            count = min(count, max(least, int(ramp / watts + 1e-9)))
        if spot.state.site_name in self._survey.declared:
            key = (spot.state.site_name, spot.profile.resource_name)
            each = max(1, spot.profile.devices_per_replica)
            count = min(count, max(0, self._devices.get(key, 0)) // each)
        return max(0, count)

    def why_not(self, spot: Spot, hardness: Hardness = Hardness.VOLUNTARY, count: int = 1) -> str:
        """Which limit stops `count` more replicas here, for people; empty = none."""
        if spot.frozen is not None:
            return spot.frozen[1]
        if spot.no_raise is not None:
            return spot.no_raise[1]
        if spot.replicas + count > spot.state.max_replicas:
            return f"{spot.state.name} is at its maximum of {spot.state.max_replicas}"
        if self.most(spot, hardness) >= count or spot.feed is None or spot.profile is None:
            return ""
        feed = spot.feed
        left = self._watts[hardness][feed.key]
        if left < count * raise_watts(spot, feed):
            bound = feed.limits.upper_at(hardness)
            words = "unknown power"
            if bound is not None and bound.upper_watts is not None:
                words = f"{bound.name} of {bound.upper_watts:.0f} W"
            return f"{feed.site.name}: {left:.0f} W left under {words}"
        for row in self._kept(feed.key, hardness):
            if row.left < count * row.each(spot, feed):
                return f"{feed.site.name}: {max(0.0, row.left):.0f} W left under {row.name}"
        return f"{feed.site.name}: no {spot.profile.resource_name} is free, or its ramp is used up"

    def _kept(self, key: FeedKey, hardness: Hardness) -> Iterator[GrowthLimit]:
        for row in self._soft.get(key, ()):
            if row.hardness <= hardness and not (row.reserve and self.has_claim):
                yield row

    def may_free(self, change: Mapping[FeedKey, float]) -> bool:
        """Whether watts that leave keep every connection at or above its lower bound."""
        return all(
            -watts <= self._down[key] + 1e-6
            for key, watts in change.items()
            if watts < 0 and key in self._down
        )

    def may_arrive(self, change: Mapping[FeedKey, float]) -> bool:
        """Whether load that comes keeps what events that have ended leave for a while."""
        return all(
            ARRIVING * watts <= max(0.0, row.left) + 1e-6
            for key, watts in change.items()
            if watts > 0
            for row in self._soft.get(key, ())
            if not row.reserve
        )

    def free(self, change: Mapping[FeedKey, float]) -> None:
        """Use up what may leave; what is freed is not given to others in the same step."""
        for key, watts in change.items():
            if watts >= 0:
                continue
            for row in self._by_site.get(key[0], ()):
                # bounds of the site as a whole are shared by its connections
                if row in self._down:
                    self._down[row] = max(0.0, self._down[row] + watts)

    def take(self, spot: Spot, count: int) -> None:
        """Use up the room of `count` more replicas at a placement."""
        feed = spot.feed
        if feed is None or count <= 0 or spot.profile is None:
            return
        watts = count * raise_watts(spot, feed)
        for left in self._watts.values():
            for key in self._by_site[feed.site.name]:
                # bounds of the site as a whole are shared by its connections
                left[key] = max(0.0, left[key] - watts)
        for key in self._by_site[feed.site.name]:
            for row in self._soft.get(key, ()):
                row.left -= count * row.each(spot, feed)
        ramp = self._ramp[feed.site.name]
        if ramp is not None:
            self._ramp[feed.site.name] = max(0.0, ramp - watts)
            self._stepped.add(feed.site.name)
        key2 = (spot.state.site_name, spot.profile.resource_name)
        if key2 in self._devices:
            self._devices[key2] -= count * spot.profile.devices_per_replica
