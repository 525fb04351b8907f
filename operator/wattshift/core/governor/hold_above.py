"""Keeping every connection above its lower bound: held work first, as little too much as can be.

Counted by what the whole workload draws with more replicas: its tokens spread, and come from elsewhere.
Neighbours: `core/governor/governor.py` (the tick), `core/survey/room.py` (upper bounds), `core/governor/freed.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from wattshift.core.governor.freed import gained_watts
from wattshift.core.governor.hold_under import Cause
from wattshift.core.governor.shed import may_change
from wattshift.core.model import Mode
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Bound, Hardness
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Feed, Job, Spot

_NOTICEABLE_WATTS = 1.0
"""A replica that adds less does nothing for a lower bound."""


class Above:
    """What one tick adds for lower bounds; `vectors` change in place and room is used up."""

    def __init__(self, room: Room, vectors: dict[str, list[int]]) -> None:
        self._room = room
        self._vectors = vectors

    def keep(self, feed: Feed, order: Sequence[Job]) -> list[Cause]:
        """Raise at `feed` in `order` until its lower bound is met, or nothing more fits."""
        bound, power = feed.limits.lower, feed.power.committed_watts
        if bound is None or bound.lower_watts is None or power is None:
            return []
        # device caps are lifted before anything is added
        missing = bound.lower_watts - power - feed.power.cap_saved_committed_watts
        acting = [job for job in order if job.state.mode is Mode.ENFORCE]
        for job in acting:
            vector = self._vectors[job.key]
            if tuple(vector) != job.vector:
                missing -= gained_watts(job, _counted(job, feed, bound), job.vector, vector)
        causes: list[Cause] = []
        left = self._fill(feed, bound, acting, missing, causes)
        # what only watches draws nothing more: it is told what it would do for the rest
        watching = [job for job in order if job.state.mode is not Mode.ENFORCE]
        self._fill(feed, bound, watching, left, causes)
        return causes

    def _fill(
        self, feed: Feed, bound: Bound, jobs: Sequence[Job], missing: float, causes: list[Cause]
    ) -> float:
        """Raise jobs in their order; returns the watts that are missing yet."""
        last: list[tuple[Job, Spot]] = []
        for job, spot in _raisable(feed, bound, jobs):
            if missing <= 0:
                break
            most = self._most(job, spot, bound)
            if most <= 0 or self._gain(job, spot, 1, bound) < _NOTICEABLE_WATTS:
                continue
            count = bisect_right(
                range(1, most + 1), missing, key=lambda n: self._gain(job, spot, n, bound)
            )
            if count > 0:
                gain = self._gain(job, spot, count, bound)
                causes.append(self._raise(job, spot, count, bound, missing))
                missing -= gain
            if most > count:
                last.append((job, spot))
        # the one that goes beyond the bound is the smallest that reaches it
        sized = [(self._gain(job, spot, 1, bound), job, spot) for job, spot in last]
        for each, job, spot in sorted(sized, key=lambda row: row[0]):
            if 0 < missing <= each and self._most(job, spot, bound) > 0:
                causes.append(self._raise(job, spot, 1, bound, missing))
                missing -= each
        return missing

    def _gain(self, job: Job, spot: Spot, count: int, bound: Bound) -> float:
        assert spot.feed is not None
        vector = self._vectors[job.key]
        more = list(vector)
        more[spot.index] += count
        return gained_watts(job, _counted(job, spot.feed, bound), vector, more)

    def _most(self, job: Job, spot: Spot, bound: Bound) -> int:
        """Replicas that may be added: an order asks no softer bound, no billed peak and no reserve."""
        vector = self._vectors[job.key]
        whole = job.state.max_replicas - sum(vector)
        room = self._room.claimed() if bound.hardness <= Hardness.COMMITTED else self._room
        most = room.most(spot, max(bound.hardness, Hardness.COMMITTED))
        return min(most, spot.state.max_replicas - vector[spot.index], whole)

    def _raise(self, job: Job, spot: Spot, count: int, bound: Bound, missing: float) -> Cause:
        assert spot.feed is not None
        self._vectors[job.key][spot.index] += count
        self._room.take(spot, count)
        words = f"{spot.feed.site.name}: {missing:.0f} W below {bound.name}"
        return Cause(job.key, Reason.EVENT_FLOOR, words)


def _counted(job: Job, feed: Feed, bound: Bound) -> list[Feed]:
    """Connections whose watts count for a bound, of those where a job may stand."""
    if not bound.whole_site:
        return [feed]
    found = {
        spot.feed.key: spot.feed
        for spot in job.spots
        if spot.feed is not None and spot.feed.site.name == feed.site.name
    }
    return list(found.values())


def _raisable(feed: Feed, bound: Bound, order: Sequence[Job]) -> Iterator[tuple[Job, Spot]]:
    """Placements that may be raised for a lower bound."""
    for job in order:
        state = job.state
        held = state.intent is not None or state.override is not None or state.deleting
        if held or not state.accepted or not state.originals_known or not may_change(job, bound):
            continue
        for spot in job.spots:
            if spot.feed is feed and spot.profile is not None and spot.frozen is None:
                yield job, spot
