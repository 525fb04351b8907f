"""Classes of load: what a workload needs by step, per origin where the entry routes by origin.

Neighbours: `core/fleet/build.py` (asks), `core/load/demand.py` (need).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.fleet.problem import Floats
from wattshift.core.model import Allowed, Settings
from wattshift.core.planner.cover import capacity
from wattshift.core.survey.survey import Job, Spot

MOST_ASKED = 0.15
"""Of the capacity: what the guard is given more per plan while it sees a violation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One class."""

    group: int
    origin: str
    """Empty for a workload that is one class."""
    need: Floats
    """[T] units, head room included."""
    reach: dict[int, float]
    """Tie-break 0..1 by round trip, of each place that may serve it."""
    told: dict[int, float]
    """Share by place that the entry was told last."""


def routed(job: Job) -> bool:
    """Whether the entry follows a split by origin, so that each origin has its own placements."""
    actions = job.state.actions
    return Allowed.SHIFT_TRAFFIC in actions and Allowed.SCALE in actions and bool(job.state.origins)


def eligible(job: Job) -> bool:
    """Whether the optimiser may place a workload at all."""
    if job.outside or job.need is None or job.need <= 0 or len(job.spots) < 2:
        return False
    if routed(job):
        return True  # a veto stops what lowers, not what its users need
    return Allowed.MIGRATE in job.state.actions and not job.verdict.veto


def loads_of(
    job: Job, places: dict[int, Spot], group: int, settings: Settings, steps: Floats
) -> list[Load]:
    """Classes of one workload; empty where what may not be touched carries all of it.

    Args:
        job: an eligible workload.
        places: its usable placements by place number.
        group: its number.
        settings: planning interval.
        steps: edges of the steps.
    """
    assert job.need is not None
    stuck = capacity(job, job.vector)
    stuck -= sum(spot.replicas * spot.capacity for spot in places.values())
    if routed(job):
        stuck = 0.0  # the split sends nothing to what may not be touched: the others carry all
    share = max(0.0, job.need - stuck) / job.need
    if share <= 0:
        return []
    if not routed(job):
        need = _whole(job, steps) * share
        return [Load(group=group, origin="", need=need, reach=dict.fromkeys(places, 0.0), told={})]
    measured = by_origin(job)
    factor = need_factor(job) * share * (1 + asked_more(job))
    split = {name: dict(shares) for name, shares in job.state.split}
    grown = growing(job, settings, float(steps[0]))
    rows = []
    for origin in job.state.origins:
        load = measured.get(origin.name, 0.0)
        if load <= 0:
            continue
        reach = {}
        for number, spot in places.items():
            assert spot.feed is not None
            known = dict(spot.feed.site.origin_round_trip_milliseconds).get(origin.name)
            limit = origin.max_round_trip_milliseconds
            if limit is None or (known is not None and known <= limit):
                reach[number] = float(known or 0)
        far = max(reach.values(), default=0.0) or 1.0
        if reach:
            need = _of_origin(job, origin.name, load, steps) * factor
            near = {number: trip / far for number, trip in reach.items()}
            shares = split.get(origin.name, {})
            need[0] *= grown
            told = {
                number: shares[spot.state.name]
                for number, spot in places.items()
                if number in near and spot.state.name in shares and spot.replicas > 0
            }
            rows.append(Load(group=group, origin=origin.name, need=need, reach=near, told=told))
    return rows


def asked_more(job: Job) -> float:
    """Share of capacity that the guard asks for on top, as long as it sees a violation.

    A queue that waits is no load that lasts: what it asks for is bounded and asked again.
    """
    more = 0.0
    for spot in job.spots:
        if spot.verdict.violated_now:
            wanted = spot.verdict.needed_replicas
            more += max(1.0, (wanted or 0.0) - spot.replicas) * spot.capacity
    standing = capacity(job, job.vector)
    return min(MOST_ASKED, more / standing) if standing > 0 else 0.0


def need_factor(job: Job) -> float:
    """Need over load: head room, and growth over a cold start."""
    assert job.need is not None
    return job.need / job.load.concurrency if job.load.concurrency else 1.0


def by_origin(job: Job) -> dict[str, float]:
    """Load by origin: as measured at the entry, else by the declared shares.

    What belongs to no declared origin, or to no share, is spread like the rest: nobody else serves it.
    """
    measured = {
        name: max(0.0, load) * job.when_full.get(name, 1.0) for name, load in job.state.origin_loads
    }
    names = [row.name for row in job.state.origins]
    whole = sum(measured.values()) or job.load.concurrency or 0.0
    weights = {name: measured.get(name, 0.0) for name in names}
    if not any(weights.values()):
        weights = {row.name: float(row.share_permille) for row in job.state.origins}
    if not any(weights.values()):
        weights = dict.fromkeys(names, 1.0)
    total = sum(weights.values())
    return {name: whole * (weight / total) for name, weight in weights.items()}


def _whole(job: Job, steps: Floats) -> Floats:
    """Need by step: as now, later what all its origins together are forecast to ask for."""
    assert job.need is not None
    need = np.full(steps.shape[0] - 1, job.need)
    factor = need_factor(job)
    middles = (steps[:-1] + steps[1:]) / 2
    total = np.zeros(need.shape)
    for name, forecast in job.state.origins_ahead:
        full = job.when_full.get(name, 1.0)
        for t, time in enumerate(middles.tolist()):
            value = forecast.at(time)
            if value is None:
                return need
            total[t] += value * full
    if job.state.origins_ahead:
        need[1:] = total[1:] * factor
    return need


def _of_origin(job: Job, name: str, load: float, steps: Floats) -> Floats:
    """Sequences of one origin by step: as measured now, later as forecast."""
    amounts = np.full(steps.shape[0] - 1, load)
    forecast = dict(job.state.origins_ahead).get(name)
    if forecast is None:
        return amounts
    full = job.when_full.get(name, 1.0)
    for t in range(1, amounts.shape[0]):
        value = forecast.at(float(steps[t] + steps[t + 1]) / 2)
        amounts[t] = amounts[t - 1] if value is None else value * full
    return amounts


def growing(job: Job, settings: Settings, now: float) -> float:
    """Factor by which all origins together are forecast to grow while a replica starts; never below 1.

    Together, because the errors of single origins cancel.
    """
    starts = [spot.profile.cold_start_seconds for spot in job.spots if spot.profile is not None]
    then = now + settings.plan_interval_seconds + max(starts, default=0)
    soon = present = 0.0
    for _, forecast in job.state.origins_ahead:
        here, there = forecast.at(now), forecast.at(then)
        if here is not None and there is not None:
            present += here
            soon += there
    return max(1.0, soon / present) if present > 0 else 1.0
