"""Whether work that somebody outside holds should run now or wait for cheaper power.

Run in the cheapest hours before the deadline; unknown backlog means run. Latest start = deadline -
backlog / rate - cold start, with 20 % kept (serving.md 5). Neighbour: `core/planner.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.freshness import value_of
from wattshift.core.prices import FeedPrice, exchange
from wattshift.core.reasons import Reason
from wattshift.core.survey import Feed, Job, Survey

MARGIN = 1.2
"""Hours kept for the work are its estimate and 20 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Run or wait, and why; `until` is when to look again."""

    run: bool
    reason: Reason
    message: str
    saves_per_kilowatt_hour: float = 0.0
    """Waiting: what each kWh of the cheaper hours saves."""
    cheap_hours: float = 0.0
    until: float | None = None


def level_of(job: Job) -> int:
    """Replicas that the work has when it runs: baselines, else what was found, else the maximum."""
    captured = {row.placement_name: row.replicas for row in job.state.originals}
    total = 0
    for spot in job.spots:
        if spot.state.baseline_replicas is not None:
            total += spot.state.baseline_replicas
        else:
            total += captured.get(spot.state.name, 0)
    if total <= 0:
        total = max(job.standing, 0) or job.state.max_replicas
    return min(total, job.state.max_replicas)


def wish(job: Job, survey: Survey) -> Wish:
    """Decide for one job with external dispatch."""
    batch, now = job.state.batch, survey.now
    assert batch is not None
    backlog = value_of(batch.backlog_units, now)
    if backlog is None:
        return Wish(run=True, reason=Reason.DEMAND_GROWTH, message="the backlog is unknown")
    if backlog <= 0:
        return Wish(run=False, reason=Reason.CONSOLIDATION, message="the backlog is empty")
    pause_end = None
    if job.state.max_pause_seconds is not None:
        since = job.state.paused_since_time
        # a pause that began "in the future" began before the clock was set back
        pause_end = (now if since is None else min(since, now)) + job.state.max_pause_seconds
        if pause_end <= now:
            message = f"paused for the longest it accepts, {job.state.max_pause_seconds} s"
            return Wish(run=True, reason=Reason.DEADLINE, message=message)
    hours = _hours(job, backlog)
    latest = _latest_start(job, hours, now)
    if latest is not None and latest <= now:
        message = f"{backlog:.0f} units must start now to be done by the deadline"
        return Wish(run=True, reason=Reason.DEADLINE, message=message)
    ends = [row for row in (pause_end, latest) if row is not None]
    horizon = now + survey.snapshot.settings.horizon_seconds
    return _by_price(job, survey, hours, min([*ends, horizon]))


def _hours(job: Job, backlog: float) -> float | None:
    assert job.state.batch is not None
    rate = job.state.batch.units_per_replica_hour
    return backlog / (rate * level_of(job)) if rate and level_of(job) else None


def _latest_start(job: Job, hours: float | None, now: float) -> float | None:
    """Latest start; with a rate not yet measured half of the time that is left is kept for work."""
    assert job.state.batch is not None
    deadline = job.state.batch.deadline_time
    if deadline is None:
        return None
    if hours is None:
        return now + max(0.0, deadline - now) / 2 if deadline > now else now
    cold = max((row.profile.cold_start_seconds for row in job.spots if row.profile), default=0)
    return deadline - MARGIN * hours * 3600 - cold


def _by_price(job: Job, survey: Survey, hours: float | None, end: float) -> Wish:
    now = survey.now
    steps = _steps(job, survey, end)
    if not steps:
        return Wish(run=True, reason=Reason.PRICE_UNKNOWN, message="no price is known: it runs")
    present = steps[0][1]
    wanted = MARGIN * hours if hours is not None else 0.0
    cheaper = sorted(row for row in ((price, span) for _, price, span in steps) if row[0] < present)
    seconds = sum(span for _, span in cheaper)
    if seconds / 3600 <= wanted or not cheaper:
        message = f"{present:.4f} per kWh is among the cheapest hours left"
        return Wish(run=True, reason=Reason.CHEAPER_POWER, message=message)
    mean = sum(price * span for price, span in cheaper) / seconds
    start = next(start for start, price, _ in steps if price < present)
    return Wish(
        run=False,
        reason=Reason.EXPENSIVE_POWER,
        message=(
            f"{present:.4f} per kWh now, {mean:.4f} on average in {seconds / 3600:.1f} h of "
            f"cheaper power from {start - now:.0f} s on"
        ),
        saves_per_kilowatt_hour=present - mean,
        cheap_hours=seconds / 3600,
        until=start,
    )


def _steps(job: Job, survey: Survey, end: float) -> list[tuple[float, float, float]]:
    """(start, lowest all-in price over the job's placements, seconds) from now to `end`."""
    feeds = {spot.feed.key: spot.feed for spot in job.spots if spot.feed and spot.frozen is None}
    edges = {survey.now}
    for feed in feeds.values():
        if feed.connection is not None:
            edges |= {start for start, _ in feed.connection.price_ahead}
    starts = sorted(row for row in edges if survey.now <= row < end)
    steps = []
    for index, start in enumerate(starts):
        stop = starts[index + 1] if index + 1 < len(starts) else end
        prices = [_price_at(job, feed, survey, start) for feed in feeds.values()]
        known = [row for row in prices if row is not None]
        if known:
            steps.append((start, min(known), stop - start))
    return steps if steps and steps[0][0] == survey.now else []


def _own_price(job: Job, feed: Feed, price: FeedPrice) -> float | None:
    """Mean price of the job's own watts now: what stopping would save, or what starting would cost.

    Not the price of the next watt: a job that runs on surplus uses it up, and would stop and start
    for ever by the price that its own load makes.
    """
    here = sum(spot.replicas for spot in job.spots if spot.feed is feed)
    blocks = price.down if here > 0 else price.up
    if not blocks:
        return None
    replicas = here or job.standing or level_of(job)
    each = max(
        (spot.profile.busy_watts or 0 for spot in job.spots if spot.feed is feed and spot.profile),
        default=0,
    )
    watts = max(1.0, replicas * each * feed.terms.marginal)
    money, left = 0.0, watts
    for block in blocks:
        part = min(left, block.watts)
        money += part * block.rate.total
        left -= part
        if left <= 0:
            break
    return money / (watts - left) if watts > left else blocks[-1].rate.total


def _price_at(job: Job, feed: Feed, survey: Survey, time: float) -> float | None:
    now = survey.price(feed, 0.0)
    if feed.connection is None or time <= survey.now:
        return _own_price(job, feed, now)
    quote = feed.connection.price
    for start, step in feed.connection.price_ahead:
        if start > time:
            break
        quote = step
    if quote is None or quote.up.total is None or not now.up:
        return None
    factor = exchange(survey.snapshot.settings, quote.currency)
    return None if factor is None else float(quote.up.total) * factor + now.up[-1].rate.carbon
