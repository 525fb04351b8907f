"""When the planner should look again before its tick: price bands, events, batch, overrides, dwell.

A price or a forecast that is renewed more often than plans are made (one-minute signals) asks for no
plan of its own: the next tick sees it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

from wattshift.core.planner.batch import Wish, end_of
from wattshift.core.survey.survey import Survey


def next_wake_time(world: Survey, wishes: list[Wish | None]) -> float | None:
    """Earliest boundary after now that is known to change a decision; None = only the tick."""
    now = world.now
    tick = world.snapshot.settings.plan_interval_seconds
    times: list[float] = []
    for feed in world.feeds.values():
        if feed.connection is None:
            continue
        starts = [start for start, _ in feed.connection.price_ahead]
        if feed.connection.price is not None:
            starts.append(feed.connection.price.next_change_time or 0.0)
        times += _lasting(starts, tick)
    for site in world.snapshot.sites:
        for event in site.events:
            times += [event.start_time, event.end_time]
        if site.override is not None:
            times.append(site.override.until_time)
        for row in site.signals:
            if row.forecast is not None:
                times += _lasting((point.start_time for point in row.forecast.points), tick)
    for job in world.jobs:
        state = job.state
        if state.override is not None:
            times.append(state.override.until_time)
        if state.paused_since_time is not None and state.max_pause_seconds is not None:
            times.append(state.paused_since_time + state.max_pause_seconds)
        if state.batch is not None and state.batch.deadline_time is not None:
            times.append(state.batch.deadline_time)
            if job.outside and not state.batch.units_per_replica_hour:
                times.append(end_of(job, now) or 0.0)
    times += [row.until for row in wishes if row is not None and row.until is not None]
    return min((time for time in times if time > now), default=None)


def _lasting(starts: Iterable[float], seconds: float) -> Iterator[float]:
    """The starts of stretches that last that long at least; the last one has no end."""
    rows = [*sorted(set(starts)), math.inf]
    for start, end in pairwise(rows):
        if end - start >= seconds:
            yield start
