"""Keeping every connection above its lower bound: held work first, as little too much as can be.

Neighbours: `core/governor/governor.py` (the tick), `core/survey/room.py` (upper bounds, which always win here).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wattshift.core.governor.freed import replica_freed_watts
from wattshift.core.governor.hold_under import Cause
from wattshift.core.governor.shed import may_change
from wattshift.core.model import Mode
from wattshift.core.power.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Bound
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Feed, Job, Spot


class Above:
    """What one tick adds for lower bounds; `vectors` change in place and room is used up."""

    def __init__(self, room: Room, vectors: dict[str, list[int]]) -> None:
        self._room = room
        self._vectors = vectors
        self._added: dict[FeedKey, float] = {}

    def keep(self, feed: Feed, order: Sequence[Job]) -> list[Cause]:
        """Raise at `feed` in `order` until its lower bound is met, or nothing more fits."""
        bound, power = feed.limits.lower, feed.power.committed_watts
        if bound is None or bound.lower_watts is None or power is None:
            return []
        missing = bound.lower_watts - power
        if bound.whole_site:
            name, key = feed.site.name, feed.key
            missing -= sum(w for row, w in self._added.items() if row[0] == name and row != key)
        causes: list[Cause] = []
        last: list[tuple[float, Job, Spot]] = []
        for job, spot, each in _raisable(feed, bound, order):
            if missing <= 0:
                break
            most = self._most(job, spot)
            count = min(most, int(missing / each))
            if count > 0:
                causes.append(self._raise(job, spot, count, bound, missing))
                missing -= count * each
            if most > count:
                last.append((each, job, spot))
        # the one that goes beyond the bound is the smallest that reaches it
        for each, job, spot in sorted(last, key=lambda row: row[0]):
            if 0 < missing <= each and self._most(job, spot) > 0:
                causes.append(self._raise(job, spot, 1, bound, missing))
                missing -= each
        return causes

    def _most(self, job: Job, spot: Spot) -> int:
        vector = self._vectors[job.key]
        whole = job.state.max_replicas - sum(vector)
        return min(self._room.most(spot), spot.state.max_replicas - vector[spot.index], whole)

    def _raise(self, job: Job, spot: Spot, count: int, bound: Bound, missing: float) -> Cause:
        assert spot.feed is not None
        key = spot.feed.key
        self._vectors[job.key][spot.index] += count
        self._room.take(spot, count)
        if job.state.mode is Mode.ENFORCE:  # what only watches draws nothing more
            each = replica_freed_watts(job, spot, spot.feed)
            self._added[key] = self._added.get(key, 0.0) + count * each
        words = f"{spot.feed.site.name}: {missing:.0f} W below {bound.name}"
        return Cause(job.key, Reason.EVENT_FLOOR, words)


def _raisable(feed: Feed, bound: Bound, order: Sequence[Job]) -> Iterator[tuple[Job, Spot, float]]:
    """Placements that may be raised for a lower bound, with the watts of one replica."""
    for job in order:
        state = job.state
        held = state.intent is not None or state.override is not None or state.deleting
        if held or not state.accepted or not state.originals_known or not may_change(job, bound):
            continue
        for spot in job.spots:
            if spot.feed is feed and spot.profile is not None and spot.frozen is None:
                yield job, spot, replica_freed_watts(job, spot, feed)
