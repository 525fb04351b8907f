"""Lower bound and shadow prices of the time-coupled problem: Lagrangian over limits, paths per class.

Limits and the budget of moves are priced; what is left is one shortest path per class over (place,
step), solved for all classes at once. Any prices give a valid bound, so a few dozen iterations do;
their number, not a clock, ends it. Neighbours: `core/fleet/flow.py` uses the prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.fleet.problem import Booleans, Floats, Integers, Problem

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


@dataclass(slots=True, kw_only=True)
class _Paths:
    value: Floats
    """[C, F] money from step 0 on, by where a class stands before it."""
    later: list[Floats]
    """By step: [C, F] money after it."""
    stays: list[Booleans]
    target: list[Integers]


def values(problem: Problem, dual: Dual) -> list[Floats]:
    """By step: [C, F] money after the step of a class that stands at a column in it."""
    return _backward(problem, dual.price, dual.move_price).later


def solve(problem: Problem, *, iterations: int) -> Dual:
    """Best bound and prices after `iterations` subgradient steps; 0 = prices of nothing."""
    hard = np.isfinite(problem.limit)
    limit = np.where(hard, problem.limit, 0.0)
    per = np.where(limit > 0, limit, 1.0)
    budget = np.isfinite(problem.moves)
    allowed = np.where(budget, problem.moves, 0.0)
    typical = _typical(problem)
    scale = _scale(problem, typical)
    price, move = np.zeros(problem.limit.shape), np.zeros(problem.moves.shape)
    sums, weight = (np.zeros_like(price), np.zeros_like(move)), 0
    best = (-np.inf, price, move)
    for count in range(iterations + 1):
        if count == iterations and weight:
            price, move = sums[0] / weight, sums[1] / weight
        paths = _backward(problem, price, move)
        usage, moved, value = _forward(problem, paths)
        value -= float((price * limit * problem.hours[:, None]).sum())
        value -= float((move * allowed).sum())
        if value > best[0]:
            best = (value, price, move)
        if count == iterations:
            break
        step = 1.0 / (1 + count) ** 0.6
        excess = np.where(hard, np.clip((usage - limit) / per, -1.0, 3.0), 0.0)
        price = np.minimum(np.maximum(0.0, price + step * scale * excess), problem.ceiling)
        if budget.any():
            over = np.clip(moved / np.maximum(allowed, 1e-12) - 1, -1.0, 3.0)
            move = np.where(budget, np.maximum(0.0, move + step * typical * over), 0.0)
        if 2 * count >= iterations:
            sums[0].__iadd__(price)
            sums[1].__iadd__(move)
            weight += 1
        if not price.any() and not move.any():
            break  # nothing binds: these prices are exact
    paths = _backward(problem, best[1], best[2])
    return Dual(bound=best[0], price=best[1], move_price=best[2], ahead=paths.later[0])


def _typical(problem: Problem) -> float:
    """Spread of the unit costs: what places differ by."""
    costs = problem.cost[0]
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


def charge(problem: Problem, price: Floats) -> Floats:
    """[T, N] what a unit at a place pays for limits per hour."""
    padded = np.concatenate([price, np.zeros((price.shape[0], 1))], axis=1)
    total = np.zeros((price.shape[0], problem.places))
    for rows, use in _counted(problem):
        total += padded[:, rows] * use
    return total


def _backward(problem: Problem, price: Floats, move: Floats) -> _Paths:
    extra = move[problem.group][:, None] + problem.enter[problem.place]
    extra = np.where(problem.open, extra, FAR)
    need = problem.need
    rows = np.arange(problem.classes)
    each = (problem.cost + charge(problem, price))[:, problem.place]
    standing = (need * problem.hours[:, None])[:, :, None] * each
    standing = np.where(problem.open, standing, FAR)
    entering = need[:, :, None] * extra
    stays: list[Booleans] = []
    target: list[Integers] = []
    later: list[Floats] = []
    value = np.zeros(problem.place.shape)
    for t in range(need.shape[0] - 1, -1, -1):
        later.append(value)
        value = value + standing[t]
        enter = value + entering[t]
        to = enter.argmin(axis=1)
        best = enter[rows, to][:, None]
        stays.append(value <= best)
        target.append(to)
        value = np.minimum(value, best)
    later.reverse()
    stays.reverse()
    target.reverse()
    return _Paths(value=value, later=later, stays=stays, target=target)


def _forward(problem: Problem, paths: _Paths) -> tuple[Floats, Floats, float]:
    """(usage [T, R], moved units [G], money) of the paths from where the load is now."""
    rows = np.arange(problem.classes)
    need = problem.need
    steps = need.shape[0]
    have = np.where(problem.open, problem.present, 0.0)
    share = have / np.maximum(np.maximum(need[0], have.sum(axis=1)), 1e-12)[:, None]
    fresh = np.maximum(0.0, 1 - share.sum(axis=1))
    money = float((share * paths.value).sum())
    shares = np.empty((steps, *share.shape))
    left = np.empty((steps, problem.classes))
    for t in range(steps):
        kept = share * paths.stays[t]
        leaving = share.sum(axis=1) - kept.sum(axis=1)
        left[t] = leaving
        if t == 0:
            # what is new may begin anywhere, and pays for it as what moves does
            money += float((fresh * paths.value[rows, paths.target[0]]).sum())
            leaving = leaving + fresh
        kept[rows, paths.target[t]] += leaving
        shares[t] = share = kept
    moved = np.bincount(
        problem.group, weights=(np.maximum(left, 0.0) * need).sum(axis=0), minlength=problem.groups
    )
    shares *= np.where(problem.open, need[:, :, None], 0.0)
    at = _by_step(problem.place.ravel(), shares.reshape(steps, -1), problem.places)
    usage = np.zeros((steps, problem.rows + 1))
    for row, use in _counted(problem):
        usage += _by_step(row, at * use, problem.rows + 1)
    return usage[:, :-1], moved.astype(np.float64, copy=False), money


def _by_step(index: Integers, weights: Floats, count: int) -> Floats:
    """[T, count] sums of `weights` [T, M] by `index` [M]."""
    steps = weights.shape[0]
    flat = (np.arange(steps)[:, None] * count + index).ravel()
    sums = np.bincount(flat, weights=weights.ravel(), minlength=steps * count)
    return sums.astype(np.float64, copy=False).reshape(steps, count)
