"""When the planner should look again before its tick: price bands, events, batch, overrides, dwell."""

from __future__ import annotations

from wattshift.core.planner.batch import Wish, end_of
from wattshift.core.survey.survey import Survey


def next_wake_time(world: Survey, wishes: list[Wish | None]) -> float | None:
    """Earliest boundary after now that is known to change a decision; None = only the tick."""
    now = world.now
    times: list[float] = []
    for feed in world.feeds.values():
        if feed.connection is None:
            continue
        if feed.connection.price is not None:
            times.append(feed.connection.price.next_change_time or 0.0)
        times += [start for start, _ in feed.connection.price_ahead]
    for site in world.snapshot.sites:
        for event in site.events:
            times += [event.start_time, event.end_time]
        if site.override is not None:
            times.append(site.override.until_time)
        for row in site.signals:
            if row.forecast is not None:
                times += [point.start_time for point in row.forecast.points]
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
