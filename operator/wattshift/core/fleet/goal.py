"""What the optimiser wants of every workload: replicas and split, with bound and shadow prices.

`build -> dual -> first-step flow -> integers`. A goal is a wish: `core/planner/planner.py` lets it through the
same checks as any other candidate and carries it out make before break.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wattshift.core.fleet.build import Fleet, build
from wattshift.core.fleet.classes import eligible, routed
from wattshift.core.fleet.dual import Dual, solve
from wattshift.core.fleet.flow import Flow, route
from wattshift.core.fleet.integers import Left, Part, alone, part_of, together
from wattshift.core.fleet.problem import Floats, Integers, Problem
from wattshift.core.planner.stability import horizon_seconds
from wattshift.core.power.power import FeedKey
from wattshift.core.survey.survey import Job, Survey

SMALL, LARGE = 24, 48
"""Iterations of the dual that decisions follow: of a handful of sites, and of thousands of workloads."""
TINY_PAIRS, LARGE_PAIRS = 256, 4000
"""Class x place pairs up to which more, eager iterations may better the bound and prices that are told
(`Settings.told_iterations`), and from which a fleet is large."""
SLACK = 0.02
"""Of what has room of a load that has not all: left free, so that it fits."""
NOBODY = 1e-3
"""Share of a need that may stay unserved by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Target of one workload."""

    vector: tuple[int, ...]
    """Replicas of every placement, those that are not touched included."""
    unserved: float
    """Units for which there is no room anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """All goals of one plan."""

    by_key: dict[str, Goal]
    bound_per_hour: float
    """Money per hour over the horizon below which no plan can be of the load that has room."""
    left_out: float
    """Units of the first step that have no room anywhere within the limits."""
    horizon_hours: float
    shadow: dict[FeedKey, tuple[float, ...]]
    """By connection and step: money per kWh that one more watt there would save."""
    device_shadow: dict[tuple[str, str], float]
    """By (site, resource): money per device and hour, first step."""
    fleet: Fleet
    dual: Dual
    parts: dict[str, Part]
    """By workload whose entry routes by origin."""
    with_room: tuple[Problem, Dual]
    """The same without the load that has no room: what bound and objective are about."""
    worth: Floats
    """[C, F] money per unit for standing at a column in the first step."""


def goals(world: Survey, jobs: tuple[Job, ...]) -> Goals | None:
    """Solve for those of `jobs` that have a choice; None where none has."""
    chosen = tuple(row for row in jobs if eligible(row))
    if not chosen:
        return None
    settings = world.snapshot.settings
    first = min(horizon_seconds(row.state, settings) for row in chosen)
    fleet = build(world, chosen, first)
    if fleet is None:
        return None
    problem = fleet.problem
    large = int(problem.open.sum()) > LARGE_PAIRS
    dual = solve(problem, iterations=LARGE if large else SMALL)
    worth = _worth(problem, dual)
    bonus = problem.start + dual.move_price[problem.owner]
    kept = fleet.kept
    flow = route(problem, worth, kept=kept, bonus=bonus)
    by_key: dict[str, Goal] = {}
    parts: dict[str, Part] = {}
    replicas = np.zeros(problem.places, dtype=np.int64)
    rows_of = _rows_by_owner(problem.owner, problem.groups)
    classes_of = _rows_by_owner(problem.group, problem.groups)
    amounts = problem.at(flow.carried)
    top = np.floor(problem.most / problem.size + 1e-6).astype(np.int64)
    each = np.maximum(problem.cost[0] * problem.size * problem.hours[0], 0.0)
    unit = _by_place(problem, worth)
    left = Left(problem, np.floor(amounts / problem.size + 1e-4))
    for group, job in enumerate(fleet.jobs):
        places, classes = rows_of[group], classes_of[group]
        unserved = float(flow.unserved[classes].sum())
        if problem.held[classes].all():
            replicas[places] = [fleet.spots[k].replicas for k in places.tolist()]
        elif routed(job):
            part = parts[job.key] = part_of(problem, group)
            replicas[places] = together(
                part,
                worth[classes],
                Flow(carried=flow.carried[classes], unserved=flow.unserved[classes]),
                kept=kept[places],
                bonus=bonus[places],
                least=fleet.least[places],
                idle=fleet.idle[places],
            )
        else:
            price = unit[places] * problem.size[places]
            price = price - float(price.min()) + each[places].mean() + 1e-9
            least = np.minimum(fleet.least[places], np.maximum(top[places], 0))
            replicas[places] = alone(
                problem.size[places],
                amounts[places],
                least,
                left.top(places, np.maximum(top[places], fleet.least[places])),
                price,
            )
        left.take(places, replicas[places])
        vector = list(job.vector)
        for k in places.tolist():
            vector[fleet.spots[k].index] = int(replicas[k])
        by_key[job.key] = Goal(vector=tuple(vector), unserved=unserved)
    hours = float(problem.hours.sum())
    room, bounding = _with_room(problem, flow, dual, settings.told_iterations)
    return Goals(
        by_key=by_key,
        bound_per_hour=(bounding.bound + _spare(fleet)) / hours,
        left_out=0.0 if room is problem else float(flow.unserved.sum()),
        horizon_hours=hours,
        shadow={
            key: tuple(float(row) * 1000 for row in bounding.price[:, index])
            for key, index in fleet.feeds.items()
        },
        device_shadow={key: float(bounding.price[0, row]) for key, row in fleet.devices.items()},
        fleet=fleet,
        dual=dual,
        parts=parts,
        with_room=(room, bounding),
        worth=worth,
    )


def _spare(fleet: Fleet) -> float:
    """Money of the first step for replicas that stand idle and stay: nobody can do without them now."""
    problem = fleet.problem
    staying = np.where(problem.held[:, None], problem.present, 0.0)
    held = np.zeros(problem.groups, dtype=np.bool_)
    held[problem.group] = problem.held
    counts = np.asarray([float(spot.replicas) for spot in fleet.spots])
    idle = np.maximum(0.0, counts - problem.at(staying) / problem.size)
    return float((idle * np.maximum(0.0, fleet.idle))[held[problem.owner]].sum())


def _with_room(problem: Problem, flow: Flow, dual: Dual, iterations: int) -> tuple[Problem, Dual]:
    """The problem without what the flow left out, and its dual: else no plan has a finite bound."""
    need, room = problem.need[0], problem
    if (flow.unserved > NOBODY * need).any():
        served = 1 - np.clip(flow.unserved / np.maximum(need, 1e-12), 0.0, 1.0)
        # a little less, so that limits are not just met: their prices would mean nothing
        served = np.where(served < 1, (1 - SLACK) * served, served)
        room = replace(problem, need=problem.need * served)
    return room, told_dual(room, None if room is not problem else dual, iterations)


def told_dual(problem: Problem, dual: Dual | None, iterations: int) -> Dual:
    """Bound and prices that are told: better ones than `dual` where they cost little."""
    pairs = int(problem.open.sum())
    found = dual or solve(problem, iterations=LARGE if pairs > LARGE_PAIRS else SMALL)
    if pairs > TINY_PAIRS or not iterations:
        return found
    eager = solve(problem, iterations=iterations, eager=2.0, begun=found)
    # any prices give a valid bound: the better one, for neither is always it
    return max(found, eager, key=lambda one: one.bound)


def _worth(problem: Problem, dual: Dual) -> Floats:
    """[C, F] money per unit for standing at a column: this step, then the best way on."""
    now = (problem.cost[0] * problem.hours[0])[problem.place]
    later = dual.ahead / np.maximum(problem.need[0], 1e-12)[:, None]
    return np.where(problem.open, now + later, 0.0)


def _by_place(problem: Problem, worth: Floats) -> Floats:
    """[N] money per unit at a place, as its classes see it."""
    counts = np.maximum(problem.at(np.ones(problem.place.shape)), 1.0)
    return problem.at(worth) / counts


def _rows_by_owner(owner: Integers, groups: int) -> list[Integers]:
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.searchsorted(owner[order], np.arange(1, groups)))


def objective(
    found: Goals, vectors: dict[str, tuple[int, ...]], routes: dict[str, Floats]
) -> float:
    """Money per hour over the horizon: this step as decided, the way on at the dual's prices.

    Args:
        found: the goals of this plan.
        vectors: replicas by placement of every workload in it.
        routes: [classes, columns] units, of workloads whose entry routes by origin; others spread
            their load by capacity. What nobody serves counts as where it would cost least: leaving
            users out looks no better than the bound.
    """
    (problem, dual), fleet = found.with_room, found.fleet
    counts = np.zeros(problem.places)
    groups = {job.key: group for group, job in enumerate(fleet.jobs)}
    for k, spot in enumerate(fleet.spots):
        job = fleet.jobs[int(problem.owner[k])]
        counts[k] = vectors.get(job.key, job.vector)[spot.index]
    weights = np.where(problem.open, (counts * problem.size)[problem.place], 0.0)
    share = weights / np.maximum(weights.sum(axis=1), 1e-12)[:, None]
    for key, units in routes.items():
        rows = np.nonzero(problem.group == groups[key])[0]
        share[rows] = units / np.maximum(units.sum(axis=1), 1e-12)[:, None]
    share = _all_served(problem, dual, share)
    at = problem.at(share * problem.need[0][:, None])
    # where a kWh earns money, idle replicas are no reason to look better than the bound
    idle = np.maximum(0.0, counts - at / problem.size) * np.maximum(0.0, fleet.idle)
    hourly = float((problem.cost[0] * at).sum()) + problem.above_supply(at, 0)
    money = hourly * float(problem.hours[0]) + float(idle.sum())
    arriving = np.maximum(0.0, share * problem.need[0][:, None] - problem.present)
    money += float((problem.enter[problem.place] * np.where(problem.open, arriving, 0.0)).sum())
    money += float(np.where(problem.open, share * dual.ahead, 0.0).sum())
    limit = np.where(np.isfinite(problem.limit), problem.limit, 0.0)
    worth = dual.price * limit * problem.hours[:, None]
    # what its limits are worth later is in the way on already
    return (money - float(worth[1:].sum())) / found.horizon_hours


def _all_served(problem: Problem, dual: Dual, share: Floats) -> Floats:
    """Shares in which a class that has none stands where it would cost least."""
    rows = np.nonzero(share.sum(axis=1) <= 0)[0]
    if not rows.size:
        return share
    hourly = problem.cost[0] * problem.hours[0] + problem.enter
    cost = problem.need[0][:, None] * hourly[problem.place] + dual.ahead
    best = np.where(problem.open, cost, np.inf)[rows].argmin(axis=1)
    share = share.copy()
    share[rows, best] = 1.0
    return share
