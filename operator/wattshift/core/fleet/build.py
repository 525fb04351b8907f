"""From a survey to arrays: which workloads the optimiser places, where they may go, at what cost.

A workload whose entry follows a split by origin has a class per origin, each with the placements
within its round trip; any other is one class. What may not be touched is left where it is. Neighbour:
`core/fleet/goal.py`, which solves and reads the answer back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.fleet.ahead import Ahead, ahead
from wattshift.core.fleet.classes import Load, loads_of, routed
from wattshift.core.fleet.limits import LimitRows
from wattshift.core.fleet.places import Places
from wattshift.core.fleet.problem import Booleans, Floats, Integers, Problem
from wattshift.core.fleet.steps import edges
from wattshift.core.planner.cover import owed_to
from wattshift.core.planner.stability import within_dwell
from wattshift.core.power.power import FeedKey
from wattshift.core.survey.survey import Job, Spot, Survey

DAY = 86400.0
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The problem and what its indices stand for."""

    problem: Problem
    jobs: tuple[Job, ...]
    """By workload."""
    spots: tuple[Spot, ...]
    """By place."""
    origins: tuple[str, ...]
    """By class; empty for a workload that is one class."""
    kept: Floats
    """[N] units that stay without paying for a move."""
    least: Integers
    """[N] replicas that a place must keep."""
    idle: Floats
    """[N] money per replica over the first step, however little it carries."""
    devices: dict[tuple[str, str], int]
    """Limit row by (site, resource)."""
    feeds: dict[FeedKey, int]
    """Limit row by connection."""


def build(world: Survey, jobs: tuple[Job, ...], first_seconds: float) -> Fleet | None:
    """The problem of these workloads; None where nothing has two places to choose from.

    Args:
        world: everything that is known.
        jobs: eligible ones (`core/fleet/classes.py`) that are not decided yet.
        first_seconds: length of the first step: the time within which a change must pay back.
    """
    steps, prices = _horizon(world, first_seconds)
    spots: list[Spot] = []
    owner: list[int] = []
    kept: list[Job] = []
    loads: list[Load] = []
    for job in jobs:
        usable = [spot for spot in job.spots if _usable(spot, prices)]
        if len(usable) < 2:
            continue
        numbers = dict(enumerate(usable, start=len(spots)))
        rows = loads_of(job, numbers, len(kept), world.snapshot.settings, steps)
        if not rows:
            continue
        loads += rows
        spots += usable
        owner += [len(kept)] * len(usable)
        kept.append(job)
    if not kept:
        return None
    placed = [(kept[number], spot) for number, spot in zip(owner, spots, strict=True)]
    limits = LimitRows(world, prices, steps, placed)
    hours = np.diff(steps) / 3600
    places = Places(
        kept,
        spots,
        owner,
        prices=prices,
        rows=limits,
        hours=hours,
    )
    problem = _problem(loads, places, limits, owner, hours)
    problem.held[:] = _held(problem, kept, world.now)
    moves = [_moves(job, world.now, float(steps[-1] - steps[0])) for job in kept]
    problem.moves[:] = moves if len(hours) > 1 else np.inf
    return Fleet(
        problem=problem,
        jobs=tuple(kept),
        spots=tuple(spots),
        origins=tuple(row.origin for row in loads),
        kept=np.maximum(problem.at(problem.present), places.paid),
        least=places.least,
        idle=places.idle,
        devices=limits.devices,
        feeds=limits.feeds,
    )


def _horizon(world: Survey, first_seconds: float) -> tuple[Floats, dict[FeedKey, Ahead]]:
    """Edges of the steps, as far as anything is known ahead, and prices over them."""
    most = world.snapshot.settings.horizon_seconds
    steps = edges(world.now, first_seconds, most)
    found = {key: ahead(feed, world, steps) for key, feed in world.feeds.items()}
    until = [row.known_until for row in found.values() if row is not None]
    until += [
        event.start_time + first_seconds
        for site in world.snapshot.sites
        for event in site.events
        if event.start_time > world.now and event.upper_watts is not None
    ]
    fewer = edges(world.now, first_seconds, min(most, max(until, default=0.0) - world.now))
    if fewer.shape[0] < steps.shape[0]:
        steps = fewer
        found = {key: ahead(feed, world, steps) for key, feed in world.feeds.items()}
    return steps, {key: row for key, row in found.items() if row is not None}


def _usable(spot: Spot, prices: dict[FeedKey, Ahead]) -> bool:
    """Whether load may stay or come here, at a price that is known."""
    if spot.frozen is not None or spot.capacity <= 0 or spot.feed is None:
        return False
    if spot.feed.key not in prices:
        return False
    return spot.replicas > 0 or spot.no_raise is None


def _problem(
    loads: list[Load], places: Places, limits: LimitRows, owner: list[int], hours: Floats
) -> Problem:
    shape = (len(loads), max(len(row.reach) for row in loads))
    place = np.zeros(shape, dtype=np.int64)
    opened: Booleans = np.zeros(shape, dtype=np.bool_)
    distance = np.zeros(shape)
    for c, row in enumerate(loads):
        count = len(row.reach)
        place[c, :count] = list(row.reach)
        opened[c, :count] = True
        distance[c, :count] = list(row.reach.values())
    need = np.stack([row.need for row in loads], axis=1)
    # as the entry was told, else each class in proportion to what its placements carry
    weights = np.where(opened, places.carries[place], 0.0)
    for c, row in enumerate(loads):
        told = [row.told.get(number, 0.0) for number in row.reach]
        if sum(told) > 0:
            weights[c, : len(told)] = told
    present = need[0][:, None] * weights / np.maximum(weights.sum(axis=1), 1e-12)[:, None]
    return Problem(
        hours=hours,
        need=need,
        place=place,
        open=opened,
        cost=places.cost,
        start=places.start,
        arrive=places.arrive,
        present=present,
        group=np.asarray([row.group for row in loads], dtype=np.int64),
        owner=np.asarray(owner, dtype=np.int64),
        size=places.size,
        most=places.most,
        pool=places.pool.astype(np.int64),
        feed=places.feed.astype(np.int64),
        supply=places.supply.astype(np.int64),
        devices=places.devices,
        watts=places.watts,
        limit=limits.limit,
        ceiling=limits.ceiling,
        moves=np.full(max(owner) + 1, np.inf),
        distance=distance,
        held=np.zeros(len(loads), dtype=np.bool_),
    )


def _held(problem: Problem, jobs: list[Job], now: float) -> Booleans:
    """[C] what stays where it is in the first step: its workload dwells, owes nothing and breaks no limit.

    Others then plan around it, and the bound is of what the declared dwell times let anybody do.
    """
    waiting = [
        not routed(job) and owed_to(job) is None and within_dwell(job, now) is not None
        for job in jobs
    ]
    held = np.asarray(waiting)[problem.group] & (problem.present.sum(axis=1) > 0)
    at = problem.at(problem.present)
    broken = np.zeros(problem.rows + 1, dtype=np.bool_)
    for row, use in ((problem.pool, problem.devices), (problem.feed, problem.watts)):
        used = np.bincount(row, weights=at * use, minlength=problem.rows + 1)[:-1]
        broken[:-1] |= used > problem.limit[0] * (1 + _ROUNDING)
    over = broken[problem.pool] | broken[problem.feed]
    there = np.where(problem.open, problem.present, 0.0) > 0
    found: Booleans = held & ~(there & over[problem.place]).any(axis=1)
    return found


def _moves(job: Job, now: float, seconds: float) -> float:
    """Units that may move within the horizon: what is left of today, then tomorrow's share."""
    made = job.state.moved_share_today
    made = float(job.state.moves_today) if made is None else made
    today = DAY - now % DAY
    left = max(0.0, job.state.max_moves_per_day - made) * min(1.0, seconds / today)
    left += job.state.max_moves_per_day * max(0.0, seconds - today) / DAY
    return max(left, 1e-3) * (job.need or 0.0)
