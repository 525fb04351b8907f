"""Whether and how wide work that somebody outside holds should run now, or wait for cheaper power.

The work, with what arrives until then, goes into the cheapest hours before its deadline, spread over
all that cost about the same, and waits only for a gain that is worth it; unknown backlog means run.
20 % more time than it needs is kept (serving.md 5). Neighbours: `core/fleet/agenda.py` (hours, prices,
surplus), `core/load/inflow.py` (arrivals, speed), `core/planner/planner.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wattshift.core.fleet.agenda import Agenda, acting
from wattshift.core.fleet.spells import EPSILON, Work, delayed, filled, spread_seconds, whole
from wattshift.core.freshness import value_of
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import Job, Survey

MARGIN = 1.2
"""Hours kept for the work are its estimate and 20 %."""
LEAST_RUN_SECONDS = 3600.0
"""A start is worth at least that much work, and is spread over it when prices are compared."""
STOPS, STOP_GAIN = 2.0, 0.05
"""Work that runs stops for a gain of so many times the energy of a start, and of that share of its energy
cost at least: what it has begun is done again."""
UNKNOWN_SHARE = 0.5
"""Work of unknown speed is taken to keep that share of its replicas busy all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Run or wait, how wide, and why; `until` is when to look again."""

    run: bool
    reason: Reason
    message: str
    replicas: int = 0
    """Replicas that the work should have at least now."""
    most: int | None = None
    """More than that would stand idle before long; None = it is not known what they get done."""
    dear: tuple[tuple[int, int], ...] = ()
    """(placement index, replicas) that run at a price at which the work can wait."""
    avoid: frozenset[int] = frozenset()
    """Placements where it is too dear to begin."""
    saves_per_kilowatt_hour: float = 0.0
    """Waiting: what each kWh of the cheaper hours saves."""
    cheap_hours: float = 0.0
    until: float | None = None


def level_of(job: Job) -> int:
    """Replicas that the work has when it runs: baselines, else what was found, else the maximum."""
    total = _found(job)
    held = job.state.originals or any(row.state.baseline_replicas is not None for row in job.spots)
    if total <= 0 and not held:  # as found; else what it happens to have now would be its measure
        total = max(job.standing, 0)
    return min(total or job.state.max_replicas, job.state.max_replicas)


def _found(job: Job) -> int:
    captured = {row.placement_name: row.replicas for row in job.state.originals}
    return sum(
        captured.get(spot.state.name, 0)
        if spot.state.baseline_replicas is None
        else spot.state.baseline_replicas
        for spot in job.spots
    )


def _widest(job: Job) -> int:
    """Replicas that work of known speed may have while it follows prices."""
    return min(_found(job) or job.state.max_replicas, job.state.max_replicas)


def wishes(survey: Survey, jobs: Sequence[Job]) -> dict[str, Wish]:
    """What every batch job should do: those that are due first choose first."""
    held = [job for job in jobs if job.outside]
    if not held:
        return {}
    agenda = Agenda(survey, held)
    return {job.key: _wish(job, survey, agenda) for job in sorted(held, key=_first)}


def _first(job: Job) -> tuple[bool, float, str]:
    batch = job.state.batch
    due = batch.deadline_time if batch is not None else None
    return (not acting(job), math.inf if due is None else due, job.key)


def _wish(job: Job, survey: Survey, agenda: Agenda) -> Wish:
    batch, now = job.state.batch, survey.now
    assert batch is not None
    backlog = value_of(batch.backlog_units, now)
    level = level_of(job)
    if backlog is None:
        message = "the backlog is unknown"
        return Wish(run=True, reason=Reason.DEMAND_GROWTH, message=message, replicas=level)
    work = _work(job, backlog, survey.snapshot.settings.plan_interval_seconds)
    if backlog <= 0 and (work is None or job.standing == 0 or not _dry_for_a_moment(job, work)):
        return Wish(run=False, reason=Reason.CONSOLIDATION, message="the backlog is empty")
    pause_end = None
    if job.state.max_pause_seconds is not None:
        since = job.state.paused_since_time
        # a pause that began "in the future" began before the clock was set back
        pause_end = (now if since is None else min(since, now)) + job.state.max_pause_seconds
    end = end_of(job, now)
    must = _must(job, pause_end, work, end, now)
    if must is not None:
        return must
    horizon = now + survey.snapshot.settings.horizon_seconds
    ends = [row for row in (pause_end, end, horizon) if row is not None]
    return _by_price(job, survey, agenda, work, min(ends))


def _work(job: Job, backlog: float, interval: float) -> Work | None:
    """What there is to do, where the speed is known; of an empty queue what comes until the next plan."""
    batch = job.state.batch
    assert batch is not None
    if not batch.units_per_replica_hour:
        return None
    each = MARGIN * 3600 / batch.units_per_replica_hour
    arrivals = batch.arrivals_per_hour or 0.0
    units = backlog if backlog > 0 else arrivals * interval / 3600
    return Work(waiting=each * units, inflow=each * arrivals / 3600)


def _dry_for_a_moment(job: Job, work: Work) -> bool:
    """Whether an empty queue is worth a start again before stopping has saved the energy of one."""
    cold = max((row.profile.cold_start_seconds for row in job.spots if row.profile), default=0)
    return work.inflow * STOPS * cold > LEAST_RUN_SECONDS


def end_of(job: Job, now: float) -> float | None:
    """When all must be done, less a start; with a rate not yet measured, half of the time that it had.

    Half of what is left at each look would never come.
    """
    batch = job.state.batch
    assert batch is not None
    deadline = batch.deadline_time
    if deadline is None:
        return None
    if not batch.units_per_replica_hour:
        since = batch.work_since_time
        if since is None:
            since = job.state.paused_since_time
        since = now if since is None else min(since, now)
        return since + max(0.0, deadline - since) / 2
    cold = max((row.profile.cold_start_seconds for row in job.spots if row.profile), default=0)
    return deadline - cold


def _must(
    job: Job, pause_end: float | None, work: Work | None, end: float | None, now: float
) -> Wish | None:
    """Work that cannot wait: paused for the longest it accepts, or due."""
    level = level_of(job)
    if pause_end is not None and pause_end <= now:
        message = f"paused for the longest it accepts, {job.state.max_pause_seconds} s"
        return Wish(run=True, reason=Reason.DEADLINE, message=message, replicas=level)
    if end is None:
        return None
    assert job.state.batch is not None
    assert job.state.batch.backlog_units is not None
    left = end - now
    if work is None:
        if left > 0:
            return None
        wanted = level
    else:
        if left > 0 and work.waiting < left * _widest(job):
            return None
        wanted = math.ceil(work.waiting / left - EPSILON) if left > 0 else job.state.max_replicas
        wanted = min(max(wanted, _widest(job)), job.state.max_replicas)
    units = job.state.batch.backlog_units.value or 0.0
    message = f"{units:.0f} units must start now to be done by the deadline"
    return Wish(run=True, reason=Reason.DEADLINE, message=message, replicas=wanted)


def _by_price(job: Job, survey: Survey, agenda: Agenda, work: Work | None, end: float) -> Wish:
    """The cheapest hours before `end` that hold the work and what arrives until they begin."""
    most = level_of(job) if work is None else _widest(job)
    slots, standing = agenda.slots(job, most, end), agenda.standing(job)
    if not slots or not any(row.step == 0 for row in (*slots, *standing)):
        reason, message = Reason.PRICE_UNKNOWN, "no price is known: it runs"
        if slots or standing:
            reason, message = Reason.CAPACITY_SHORT, "there is no room for more of it now"
        return Wish(run=True, reason=reason, message=message, replicas=most)
    present = min(row.price for row in (*slots, *standing) if row.step == 0)
    share = _start_share(job)
    spread = spread_seconds(end - survey.now)
    slots = delayed(slots, agenda, present, spread)
    amount = work or Work(waiting=1.0, inflow=UNKNOWN_SHARE * most)
    used, edge = filled(slots, amount, agenda, share, spread)
    agenda.take(job, used)
    start = share * abs(edge)
    begin = sum(count for slot, count in used if slot.step == 0)
    dear = [
        row
        for row in standing
        if row.price > edge + max(STOPS * start, STOP_GAIN * abs(row.price)) + EPSILON
    ]
    cheap = [row for row in slots if row.step == 0 and row.price <= edge + start + EPSILON]
    avoid = frozenset(row.index for row in job.spots) - {row.index for row in cheap}
    if not dear and (cheap or job.standing > 0):
        wanted = most if work is None else whole(begin, slots)
        small = _not_worth(job, survey, work, end)
        if small and job.standing == 0:
            return Wish(run=False, reason=Reason.CONSOLIDATION, message=small)
        return Wish(
            run=True,
            reason=Reason.CHEAPER_POWER,
            message=f"{present:.4f} per kWh is among the cheapest hours left",
            replicas=max(wanted, 1),
            most=_busy(job, survey, work, wanted),
            avoid=avoid,
        )
    later = [(slot, count) for slot, count in used if slot.step > 0]
    weight = sum(count * slot.seconds for slot, count in later)
    mean = edge
    if weight > 0:
        mean = sum(slot.price * count * slot.seconds for slot, count in later) / weight
    paid = min((row.price for row in dear), default=present)
    hours = sum({slot.step: slot.seconds for slot, _ in later}.values()) / 3600
    first = min((agenda.start_of(slot.step) for slot, _ in later), default=end)
    return Wish(
        run=bool(cheap),
        reason=Reason.EXPENSIVE_POWER,
        message=(
            f"{paid:.4f} per kWh now, {mean:.4f} on average in {hours:.1f} h of cheaper power "
            f"from {first - survey.now:.0f} s on"
        ),
        replicas=math.ceil(begin - EPSILON) if cheap and work is not None else 0,
        dear=tuple(
            (index, math.floor(sum(row.replicas for row in dear if row.index == index) + EPSILON))
            for index in sorted({row.index for row in dear})
        ),
        avoid=avoid,
        saves_per_kilowatt_hour=paid - mean,
        cheap_hours=hours,
        until=first,
    )


def _start_share(job: Job) -> float:
    """Energy of a start as a share of what a replica uses in the time that it should run at least."""
    shares = [
        (row.profile.loaded_idle_watts or 0)
        * row.profile.cold_start_seconds
        / max(1, row.profile.busy_watts or 0)
        for row in job.spots
        if row.profile is not None
    ]
    return max(shares, default=0.0) / max(LEAST_RUN_SECONDS, job.state.min_dwell_seconds)


def _busy(job: Job, survey: Survey, work: Work | None, wanted: int) -> int | None:
    """Replicas that the work keeps busy for a while; more of them would soon be idle."""
    if work is None:
        return None
    interval = survey.snapshot.settings.plan_interval_seconds
    keep = max(LEAST_RUN_SECONDS, job.state.min_dwell_seconds, 2 * interval)
    return max(1, wanted, math.ceil(work.until(keep) / keep - EPSILON))


def _not_worth(job: Job, survey: Survey, work: Work | None, end: float) -> str:
    """Why work that stopped a moment ago is not started again yet; empty = it may."""
    changed = job.state.last_change_time
    if work is None or changed is None or work.waiting >= LEAST_RUN_SECONDS:
        return ""
    since, seconds = survey.now - changed, work.waiting
    if not 0 <= since < LEAST_RUN_SECONDS or survey.now + seconds + LEAST_RUN_SECONDS > end:
        return ""
    return (
        f"stopped {since:.0f} s ago, and what waits is {seconds:.0f} s of work: not worth a start"
    )
