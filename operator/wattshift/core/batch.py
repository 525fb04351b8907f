"""Whether and how wide work that somebody outside holds should run now, or wait for cheaper power.

The work goes into the cheapest hours before its deadline, spread over all that cost about the same;
unknown backlog means run. 20 % more time than it needs is kept (serving.md 5). Neighbours:
`core/fleet/agenda.py` (hours, prices, surplus), `core/planner.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wattshift.core.fleet.agenda import Agenda, Slot, acting
from wattshift.core.freshness import value_of
from wattshift.core.reasons import Reason
from wattshift.core.survey import Job, Survey

MARGIN = 1.2
"""Hours kept for the work are its estimate and 20 %."""
LEAST_RUN_SECONDS = 3600.0
"""A start is worth at least that much work, and is spread over it when prices are compared."""
SPREAD_SECONDS, SPREAD_SHARE = 7200.0, 0.125
"""Where the price is the same work is spread over that long, or over that share of the time that is left:
wide enough that what comes next finds room, narrow enough to spare starts and peaks."""
STOPS = 2.0
"""Work that runs stops at so many times the price difference at which stopped work would not wait."""
EPSILON = 1e-6


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
    if total <= 0:
        total = max(job.standing, 0) or job.state.max_replicas
    return min(total, job.state.max_replicas)


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
    if backlog <= 0:
        return Wish(run=False, reason=Reason.CONSOLIDATION, message="the backlog is empty")
    pause_end = None
    if job.state.max_pause_seconds is not None:
        since = job.state.paused_since_time
        # a pause that began "in the future" began before the clock was set back
        pause_end = (now if since is None else min(since, now)) + job.state.max_pause_seconds
    rate = batch.units_per_replica_hour
    work = MARGIN * 3600 * backlog / rate if rate else None
    end = _end(job, now)
    must = _must(job, pause_end, work, end, now)
    if must is not None:
        return must
    horizon = now + survey.snapshot.settings.horizon_seconds
    ends = [row for row in (pause_end, end, horizon) if row is not None]
    return _by_price(job, survey, agenda, work, min(ends))


def _end(job: Job, now: float) -> float | None:
    """When all must be done, less a start; with a rate not yet measured, half of the time left."""
    assert job.state.batch is not None
    deadline = job.state.batch.deadline_time
    if deadline is None:
        return None
    if not job.state.batch.units_per_replica_hour:
        return now + max(0.0, deadline - now) / 2
    cold = max((row.profile.cold_start_seconds for row in job.spots if row.profile), default=0)
    return deadline - cold


def _must(
    job: Job, pause_end: float | None, work: float | None, end: float | None, now: float
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
        if left > 0 and work < left * _widest(job):
            return None
        wanted = math.ceil(work / left - EPSILON) if left > 0 else job.state.max_replicas
        wanted = min(max(wanted, _widest(job)), job.state.max_replicas)
    units = job.state.batch.backlog_units.value or 0.0
    message = f"{units:.0f} units must start now to be done by the deadline"
    return Wish(run=True, reason=Reason.DEADLINE, message=message, replicas=wanted)


def _by_price(job: Job, survey: Survey, agenda: Agenda, work: float | None, end: float) -> Wish:
    """The cheapest hours before `end` that hold `work` replica-seconds."""
    most = level_of(job) if work is None else _widest(job)
    slots = sorted(agenda.slots(job, most, end), key=lambda row: (row.price, row.step, row.index))
    standing = agenda.standing(job)
    if not slots or not any(row.step == 0 for row in (*slots, *standing)):
        message = "no price is known: it runs"
        return Wish(run=True, reason=Reason.PRICE_UNKNOWN, message=message, replicas=most)
    share = _start_share(job)
    spread = max(SPREAD_SECONDS, SPREAD_SHARE * (end - survey.now))
    used, edge = _cheapest(slots, work, share, spread)
    agenda.take(job, used)
    start = share * abs(edge)
    begin = sum(count for slot, count in used if slot.step == 0)
    dear = [row for row in standing if row.price > edge + STOPS * start + EPSILON]
    cheap = [row for row in slots if row.step == 0 and row.price <= edge + start + EPSILON]
    avoid = frozenset(row.index for row in job.spots) - {row.index for row in cheap}
    present = min(row.price for row in (*slots, *standing) if row.step == 0)
    if not dear and (cheap or job.standing > 0):
        wanted = most if work is None else math.ceil(begin - EPSILON)
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


def _cheapest(
    slots: list[Slot], work: float | None, share: float, spread: float
) -> tuple[list[tuple[Slot, float]], float]:
    """(slot, replicas) that hold the work, and the highest price among them.

    What costs the same within a start's share is used evenly: fewer replicas for longer, but soon. Work
    of unknown length takes the cheapest hour there is, and all that cost the same.
    """
    edge, left = slots[0].price, work or 0.0
    for slot in slots:
        if left <= 0 and slot.price > edge:
            break
        edge = slot.price
        left -= slot.replicas * slot.seconds
    band = share * abs(edge) + EPSILON
    full = [row for row in slots if row.price < edge - band]
    even = [row for row in slots if edge - band <= row.price <= edge + band]
    if work is None:
        return [(row, row.replicas) for row in (*full, *even)], edge
    rest = max(0.0, work - sum(row.replicas * row.seconds for row in full))
    even = _soonest(even, rest, spread)
    room = sum(row.replicas * row.seconds for row in even)
    part = min(1.0, rest / room) if room > 0 else 0.0
    used = [(row, row.replicas) for row in full] + [(row, part * row.replicas) for row in even]
    return [row for row in used if row[1] > 0], edge


def _soonest(slots: list[Slot], work: float, spread: float) -> list[Slot]:
    """Of slots that cost the same the first that hold the work, over `spread` seconds at least.

    Nothing is gained by being late, and a little by being narrow: fewer starts, a lower peak.
    """
    found: list[Slot] = []
    last, span, room = -1, 0.0, 0.0
    for row in sorted(slots, key=lambda row: (row.step, row.price, row.index)):
        if row.step != last and span >= spread and room >= work:
            break
        span += 0.0 if row.step == last else row.seconds
        last = row.step
        room += row.replicas * row.seconds
        found.append(row)
    return found


def _busy(job: Job, survey: Survey, work: float | None, wanted: int) -> int | None:
    """Replicas that the work keeps busy for a while; more of them would soon be idle."""
    if work is None:
        return None
    interval = survey.snapshot.settings.plan_interval_seconds
    keep = max(LEAST_RUN_SECONDS, job.state.min_dwell_seconds, 2 * interval)
    return max(1, wanted, math.ceil(work / keep - EPSILON))


def _not_worth(job: Job, survey: Survey, work: float | None, end: float) -> str:
    """Why work that stopped a moment ago is not started again yet; empty = it may."""
    changed = job.state.last_change_time
    if work is None or changed is None or work >= LEAST_RUN_SECONDS:
        return ""
    since = survey.now - changed
    if not 0 <= since < LEAST_RUN_SECONDS or survey.now + work + LEAST_RUN_SECONDS > end:
        return ""
    return f"stopped {since:.0f} s ago, and what waits is {work:.0f} s of work: not worth a start"
