"""How long an advantage lasts: by what is known ahead, else by how long such advantages lasted lately.

A move whose advantage ends within half an hour would be turned back within half an hour, and uses up a
move of the day for it. It only ever refuses savings. Neighbours: `core/planner/plan_memory.py` (what is remembered),
`core/planner/stability.py` (the other reasons to wait).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

import numpy as np

from wattshift.core.fleet.ahead import ahead
from wattshift.core.fleet.problem import Floats
from wattshift.core.planner.candidates import Candidate
from wattshift.core.power.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import Job, Survey

LEAST_SECONDS = 1800.0
"""What turns back sooner is a reversal."""
SEGMENT_SECONDS = 300.0
SEGMENTS = 9
"""Of what is looked at ahead: an advantage that begins within a quarter of an hour, and its half hour."""
LEAST_SPELLS = 3
"""Advantages that were seen to end, from which they are a pattern; one or two are no reason to wait."""
EQUAL = 0.02
"""Share of the money that is moved below which two places cost the same."""

_Watts = Mapping[FeedKey, float]


class Lasting:
    """Prices around now by connection, read once a plan and only where something would move."""

    def __init__(self, world: Survey) -> None:
        self._world = world
        self._edges = world.now + SEGMENT_SECONDS * np.arange(SEGMENTS + 1, dtype=float)
        self._ahead: dict[FeedKey, Floats | None] = {}

    def refuses(self, job: Job, candidate: Candidate) -> tuple[Reason, str] | None:
        """Why a candidate that moves load would be turned back soon; None = it would not."""
        score, vector = candidate.score, candidate.priced or candidate.vector
        if score is None or score.own_supply:
            return None
        if all(n <= spot.replicas for n, spot in zip(vector, job.spots, strict=True)):
            return None
        if any(spot.feed is not None and spot.feed.excess_watts() > 0 for spot in job.spots):
            return None
        watts = {key: amount for key, amount in score.watts.items() if abs(amount) > 1.0}
        if not any(w > 0 for w in watts.values()) or not any(w < 0 for w in watts.values()):
            return None
        left = self._known(watts)
        if left is not None:
            return (
                Reason.PAYBACK_TOO_LONG,
                f"what it saves is known to end {left:.0f} s after it begins",
            )
        return self._lately(watts)

    def _known(self, watts: _Watts) -> float | None:
        """Seconds after which the advantage is known to end; None = not within half an hour."""
        saves = np.zeros(SEGMENTS)
        for key, amount in watts.items():
            prices = self._prices(key)
            if prices is None:
                return None
            saves -= amount * prices
        good = np.nonzero(saves > 0)[0]
        if not good.size:
            return None  # it pays for other reasons than prices
        first = int(good[0])
        ends = np.nonzero(saves[first:] <= 0)[0]
        left = float(ends[0]) * SEGMENT_SECONDS if ends.size else np.inf
        return left if left < LEAST_SECONDS else None

    def _prices(self, key: FeedKey) -> Floats | None:
        if key not in self._ahead:
            found = ahead(self._world.feeds[key], self._world, self._edges)
            self._ahead[key] = None if found is None else found.grid
        return self._ahead[key]

    def _lately(self, watts: _Watts) -> tuple[Reason, str] | None:
        """The same by the last two hours: what has just begun lasts as long as what was before it."""
        now = self._world.now
        began, ended = self._spells(watts)
        if began is None or len(ended) < LEAST_SPELLS:
            return None
        age, usual = now - began, median(ended)
        if age >= max(usual, LEAST_SECONDS) or usual - age >= LEAST_SECONDS:
            return None
        return (
            Reason.PAYBACK_TOO_LONG,
            f"it has saved for {age:.0f} s, and lately such an advantage ended after {usual:.0f} s",
        )

    def _spells(self, watts: _Watts) -> tuple[float | None, list[float]]:
        """(since when it saves, None = not now; lengths of the spells before it that were seen whole)."""
        rows = {}
        for key in watts:
            feed = self._world.feeds[key]
            before = feed.connection.prices_before if feed.connection is not None else ()
            present = self._world.price(feed, 0.0)
            if not before or present.grid is None:
                return None, []
            rows[key] = (*before, (self._world.now, present.grid.volumetric))
        start = max(row[0][0] for row in rows.values())
        times = sorted({time for row in rows.values() for time, _ in row if time >= start})
        began: float | None = None
        whole, ended = False, []
        for time in times:
            money = {key: watts[key] * _at(row, time) for key, row in rows.items()}
            good = -sum(money.values()) > EQUAL * sum(abs(row) for row in money.values()) / 2
            if good and began is None:
                began, whole = time, time > start
            elif not good and began is not None:
                if whole:
                    ended.append(time - began)
                began = None
        return began, ended


def _at(rows: tuple[tuple[float, float], ...], time: float) -> float:
    value = rows[0][1]
    for start, price in rows:
        if start > time:
            break
        value = price
    return value
