"""Whole replicas from amounts: enough for every class, as few as pay, inside every maximum.

Rounding up everywhere wastes most of a replica per place; here the last replica of a place goes where
its part fits elsewhere for less. Limits that places share are kept by the caller (`core/survey/room.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wattshift.core.fleet.flow import Flow, Network
from wattshift.core.fleet.problem import Floats, Integers, Problem

EPSILON = 1e-4
"""Of a replica: what the integers of the flow may be off."""


class Left:
    """Devices and watts that rounding up may still take: whole parts of all workloads come first."""

    def __init__(self, problem: Problem, whole: Floats) -> None:
        self._problem = problem
        self._whole = whole
        self._rows = ((problem.pool, problem.devices), (problem.feed, problem.watts))
        self._left = np.append(problem.limit[0], np.inf)
        for row, use in self._rows:
            used = np.bincount(row, whole * problem.size * use, minlength=problem.rows + 1)
            self._left -= used

    def top(self, places: Integers, top: Integers) -> Integers:
        """[n] replicas at most, of what `top` allows."""
        more = np.full(places.shape, np.inf)
        for row, use in self._rows:
            each = use[places] * self._problem.size[places]
            free = np.maximum(0.0, self._left[row[places]]) + EPSILON * each
            more = np.minimum(more, free / np.where(each > 0, each, 1e-300))
        most = self._whole[places] + np.floor(np.minimum(more, 1e9))
        found: Integers = np.minimum(top, most).astype(np.int64)
        return found

    def take(self, places: Integers, replicas: Integers) -> None:
        """Use up what was rounded up, or give back what was not needed."""
        more = (replicas - self._whole[places]) * self._problem.size[places]
        for row, use in self._rows:
            np.subtract.at(self._left, row[places], more * use[places])


def alone(size: Floats, amount: Floats, least: Integers, top: Integers, price: Floats) -> Integers:
    """Replicas for one class of load that may use all these places.

    Whole parts stay; the rest is covered by the cheapest further replicas, one that covers it alone
    if that is cheaper.

    Args:
        size: [N] units of one replica.
        amount: [N] units that the flow put there.
        least: [N] replicas to keep.
        top: [N] replicas at most.
        price: [N] money per replica.
    """
    need = float(amount.sum())
    found = np.minimum(np.maximum(np.floor(amount / size + EPSILON), least), top).astype(np.int64)
    while True:
        missing = need - float((found * size).sum())
        if missing <= EPSILON * float(size.min()):
            return found
        free = found < top
        if not free.any():
            return found
        # places that the flow uses come first: others may be full for reasons it knows
        used = free & (amount > EPSILON * size)
        free = used if used.any() else free
        covers = np.minimum(size, missing)
        rank = np.where(free, price / np.where(covers > 0, covers, 1.0), np.inf)
        k = int(rank.argmin())
        # as long as more is missing than any replica covers the same place is the cheapest
        at_once = int(max(1.0, (missing - float(size.max())) // float(size[k])))
        found[k] += min(at_once, int(top[k] - found[k]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One workload of a problem; limits that it shares with others are left out."""

    problem: Problem
    classes: Integers
    """Of the whole problem."""
    places: Integers
    network: Network
    """Replicas that run have their devices and watts: its routes ask for no limits."""


def together(
    part: Part,
    worth: Floats,
    flow: Flow,
    *,
    kept: Floats,
    bonus: Floats,
    least: Integers,
    idle: Floats,
) -> Integers:
    """[N] replicas for several classes that share places: drop the emptiest last replicas that pay.

    Args:
        part: the workload; arrays are of its places and classes only.
        worth: [C, F] money per unit, idle replicas included.
        flow: where the classes go without integers.
        kept: [N] units carried now.
        bonus: [N] money per unit beyond `kept`.
        least: [N] replicas to keep.
        idle: [N] money per replica, however little it carries.
    """
    problem = part.problem
    size = problem.size
    loads = problem.at(flow.carried)
    top = np.floor(problem.most / size + EPSILON)
    found = np.minimum(np.ceil(loads / size - EPSILON), np.maximum(top, 0.0))
    found = np.maximum(found, least)
    spare = float((found * size).sum() - problem.need[0].sum() + flow.unserved.sum())
    last = loads / size - np.floor(loads / size - EPSILON)
    room = (found > least) & (size <= spare + EPSILON * size)
    if not room.any():
        return found.astype(np.int64)
    # what a unit costs beyond the replica that runs anyway
    moving = worth - (idle / size)[problem.place]
    most_unserved = float(flow.unserved.sum()) + EPSILON * float(size.min())
    routes = part.network.at(moving, bonus)

    def judge(levels: Floats) -> float | None:
        """Money of these replicas; None = they leave more unserved."""
        tried = routes.route(kept, levels * size)
        if float(tried.unserved.sum()) > most_unserved:
            return None
        at = problem.at(tried.carried)
        money = float((tried.carried * moving).sum())
        money += float((np.maximum(0.0, at - kept) * bonus).sum())
        return money + float((levels * idle).sum())

    best = judge(found)
    if best is None:
        return found.astype(np.int64)
    for k in np.argsort(last, kind="stable").tolist():
        if not room[k] or size[k] > spare + EPSILON * size[k]:
            continue
        fewer = found.copy()
        fewer[k] -= 1
        tried = judge(fewer)
        if tried is not None and tried < best:
            best, found = tried, fewer
            spare -= float(size[k])
    return found.astype(np.int64)


def part_of(problem: Problem, group: int) -> Part:
    """One workload of a problem."""
    classes = np.nonzero(problem.group == group)[0]
    places = np.nonzero(problem.owner == group)[0]
    new = np.zeros(problem.places, dtype=np.int64)
    new[places] = np.arange(places.shape[0])
    small = replace(
        problem,
        need=problem.need[:, classes],
        place=new[problem.place[classes]],
        open=problem.open[classes],
        cost=problem.cost[:, places],
        start=problem.start[places],
        arrive=problem.arrive[places],
        present=problem.present[classes],
        group=np.zeros(classes.shape[0], dtype=np.int64),
        owner=np.zeros(places.shape[0], dtype=np.int64),
        size=problem.size[places],
        most=problem.most[places],
        pool=problem.pool[places],
        feed=problem.feed[places],
        supply=problem.supply[places],
        devices=problem.devices[places],
        watts=problem.watts[places],
        moves=problem.moves[group : group + 1],
        distance=problem.distance[classes],
        held=problem.held[classes],
    )
    network = Network(small, limits=False)
    return Part(problem=small, classes=classes, places=places, network=network)
