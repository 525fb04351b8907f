"""Lower bound and shadow prices of the time-coupled problem: Lagrangian over limits, paths per class.

Limits and the budget of moves are priced; what is left is one shortest path per class over (place,
step), solved for all classes at once. Any prices give a valid bound, so a few dozen iterations do;
their number, not a clock, ends it. Neighbours: `core/fleet/flow.py` uses the prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.fleet.problem import Booleans, Floats, Integers, Problem

MEMORY = 0.7
"""Of the direction before, in each: excesses that alternate cancel, and a third of the iterations does."""
BEYOND = 1e3
"""Of the usual cost: from there on a cost says nothing about what places differ by."""
FAR = 1e30
"""Cost of a column that a class may not use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dual:
    """Prices, what they say a place is worth later, and the bound."""

    bound: float
    """Money over the horizon below which no plan can be."""
    price: Floats
    """[T, R] money per unit of a limit and hour."""
    move_price: Floats
    """[G] money per unit moved, beyond what the move itself costs."""
    ahead: Floats
    """[C, F] money from step 1 on of a class that stands at a column after step 0."""


class _Columns:
    """Arrays by step, column and class that no price changes: made once, read in every iteration.

    Columns come before classes here, so that the least over the columns is quick.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.place = np.ascontiguousarray(problem.place.T)
        self.open = np.ascontiguousarray(problem.open.T)
        need, hours = problem.need[:, None, :], problem.hours[:, None, None]
        self.enter = np.where(self.open, problem.enter[self.place], FAR)
        self.limits: list[tuple[Integers, Floats, Integers]] = []
        """By kind of limit: row of each column, what standing there uses, row and step in one index."""
        self._standing = np.where(self.open, need * hours * problem.cost[:, self.place], FAR)
        self._total, self._part = np.empty_like(self._standing), np.empty_like(self._standing)
        steps = np.arange(problem.hours.shape[0])[:, None] * (problem.rows + 1)
        for rows, use in _counted(problem):
            row = rows[self.place]
            if (row < problem.rows).any():
                used = need * np.where(self.open, use[self.place], 0.0)
                self.limits.append((row, used, (steps + row.ravel()).ravel()))

    def cost(self, price: Floats) -> Floats:
        """[T, F, C] money of a class that stands at a column in a step, limits paid; until called again."""
        hourly = np.zeros((price.shape[0], price.shape[1] + 1))
        hourly[:, :-1] = price * self.problem.hours[:, None]
        total, part = self._total, self._part
        np.copyto(total, self._standing)
        for row, used, _ in self.limits:
            np.take(hourly, row, axis=1, out=part, mode="clip")
            part *= used
            total += part
        return total

    def usage(self, shares: Floats) -> Floats:
        """[T, R] what shares [T, F, C] of the classes use of each limit."""
        steps, rows = shares.shape[0], self.problem.rows + 1
        total = np.zeros(steps * rows)
        for _, used, index in self.limits:
            np.multiply(shares, used, out=self._part)
            total += np.bincount(index, weights=self._part.ravel(), minlength=steps * rows)
        return total.reshape(steps, rows)[:, :-1]


@dataclass(slots=True, kw_only=True)
class _Paths:
    value: Floats
    """[F, C] money from step 0 on, by where a class stands before it."""
    later: Floats
    """[T, F, C] money after a step."""
    leaves: Booleans
    """[T, F, C] whether a class that stands there before a step leaves."""
    target: Integers
    """[T, C] column to which a class goes that leaves."""


def values(problem: Problem, dual: Dual) -> list[Floats]:
    """By step: [C, F] money after the step of a class that stands at a column in it."""
    paths = _backward(_Columns(problem), dual.price, dual.move_price)
    return [row.T for row in paths.later]


def solve(
    problem: Problem, *, iterations: int, eager: float = 1.0, begun: Dual | None = None
) -> Dual:
    """Best bound and prices after `iterations` subgradient steps; 0 = prices of nothing.

    `eager` makes more of a slight excess: few classes make usage coarse, and are near either way.
    `begun` gives the prices to start from; without it they are 0.
    """
    hard = np.isfinite(problem.limit)
    limit = np.where(hard, problem.limit, 0.0)
    per = np.where(limit > 0, limit, 1.0)
    budget = np.isfinite(problem.moves)
    allowed = np.where(budget, problem.moves, 0.0)
    typical = _typical(problem)
    scale = _scale(problem, typical)
    price, move = np.zeros(problem.limit.shape), np.zeros(problem.moves.shape)
    if begun is not None:
        price, move = begun.price, begun.move_price
    sums, weight = (np.zeros_like(price), np.zeros_like(move)), 0
    ways = (np.zeros_like(price), np.zeros_like(move))
    best = (-np.inf, price, move, np.zeros(problem.place.T.shape))
    columns = _Columns(problem)
    for count in range(iterations + 1):
        if count == iterations and weight:
            price, move = sums[0] / weight, sums[1] / weight
        paths = _backward(columns, price, move)
        usage, moved, value = _forward(columns, paths)
        value -= float((price * limit * problem.hours[:, None]).sum())
        value -= float((move * allowed).sum())
        if value > best[0]:
            best = (value, price, move, paths.later[0])
        if count == iterations:
            break
        step = 1.0 / (1 + count) ** 0.6
        excess = np.where(hard, _within(eager * (usage - limit) / per), 0.0)
        beyond = eager * (moved / np.maximum(allowed, 1e-12) - 1)
        over = np.where(budget, _within(beyond), 0.0)
        ways = (_turned(ways[0], excess), _turned(ways[1], over))
        price = np.minimum(np.maximum(0.0, price + step * scale * ways[0]), problem.ceiling)
        move = np.maximum(0.0, move + step * typical * ways[1])
        if 2 * count >= iterations:
            sums[0].__iadd__(price)
            sums[1].__iadd__(move)
            weight += 1
        if not price.any() and not move.any():
            break  # nothing binds: these prices are exact
    return Dual(
        bound=best[0],
        price=best[1],
        move_price=best[2],
        ahead=np.ascontiguousarray(best[3].T),
    )


def _within(excess: Floats) -> Floats:
    """No excess counts for more than this: as `np.clip`, quicker on a handful of numbers."""
    return np.minimum(np.maximum(excess, -1.0), 3.0)


def _turned(way: Floats, excess: Floats) -> Floats:
    """The direction of a step: the one before, and what is over now."""
    return MEMORY * way + (1 - MEMORY) * excess


def _typical(problem: Problem) -> float:
    """Spread of the unit costs: what places differ by, whatever a price beyond all sense says."""
    costs = problem.cost[0]
    most = BEYOND * float(np.median(np.abs(costs)))
    costs = np.clip(costs, -most, most) if most > 0 else costs
    return float(costs.std()) or float(np.abs(costs).mean()) or 1.0


def _scale(problem: Problem, typical: float) -> Floats:
    """[R] money per unit of a limit by which a step of one changes its price."""
    each = np.zeros(problem.rows + 1)
    count = np.zeros(problem.rows + 1)
    for rows, use in _counted(problem):
        np.add.at(each, rows, use)
        np.add.at(count, rows, 1.0)
    mean = each / np.maximum(count, 1.0)
    return typical / np.where(mean > 0, mean, 1.0)[:-1]


def _counted(problem: Problem) -> tuple[tuple[Integers, Floats], ...]:
    """(row, use per unit) of every place, for each kind of limit."""
    return (
        (problem.pool, problem.devices),
        (problem.feed, problem.watts),
        (problem.supply, problem.watts),
    )


def _backward(columns: _Columns, price: Floats, move: Floats) -> _Paths:
    problem = columns.problem
    need = problem.need
    extra = np.minimum(columns.enter + move[problem.group], FAR)
    entered = extra * need[:, None, :]
    standing = columns.cost(price)
    later = np.zeros(standing.shape)
    best = np.empty(need.shape)
    value = np.empty(extra.shape)
    for t in range(need.shape[0] - 1, -1, -1):
        now, enter = standing[t], entered[t]
        if t == 0:
            enter[:, problem.held] = FAR
        now += later[t]
        enter += now
        np.minimum.reduce(enter, axis=0, out=best[t])
        np.minimum(now, best[t], out=later[t - 1] if t else value)
    leaves = standing > best[:, None, :]
    return _Paths(value=value, later=later, leaves=leaves, target=entered.argmin(axis=1))


def _forward(columns: _Columns, paths: _Paths) -> tuple[Floats, Floats, float]:
    """(usage [T, R], moved units [G], money) of the paths from where the load is now."""
    problem = columns.problem
    every = np.arange(problem.classes)
    need = problem.need
    steps = need.shape[0]
    have = np.where(columns.open, problem.present.T, 0.0)
    share = have / np.maximum(np.maximum(need[0], have.sum(axis=0)), 1e-12)
    standing = share.sum(axis=0)
    fresh = np.maximum(0.0, 1 - standing)
    money = float((share * paths.value).sum())
    # what is new may begin anywhere, and pays for it as what moves does
    money += float((fresh * paths.value[paths.target[0], every]).sum())
    shares = np.empty((steps, *share.shape))
    left = np.empty((steps, problem.classes))
    to = paths.target * problem.classes + every
    t = 0
    while t < steps:
        kept = shares[t]
        np.copyto(kept, share)
        kept[paths.leaves[t]] = 0.0
        leaving = np.subtract(standing, np.add.reduce(kept, axis=0), out=left[t])
        if t == 0:
            leaving = leaving + fresh
            standing = standing + fresh
        t += 1
        if leaving.any():
            kept.reshape(-1)[to[t - 1]] += leaving
        else:
            # all stand still until somebody leaves: those steps are alike
            going = (paths.leaves[t:] & (kept != 0)).any(axis=(1, 2))
            alike = int(going.argmax()) if going.any() else steps - t
            shares[t : t + alike] = kept
            left[t : t + alike] = 0.0
            t += alike
        share = kept
    moved = np.bincount(
        problem.group, weights=(np.maximum(left, 0.0) * need).sum(axis=0), minlength=problem.groups
    )
    return columns.usage(shares), moved.astype(np.float64, copy=False), money
