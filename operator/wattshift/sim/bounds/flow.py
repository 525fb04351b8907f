"""B8: the least any schedule can cost with perfect knowledge, one exact min-cost flow a step.

Holds where a site has one pool of replicas, so that its limits are limits on tokens; other instances
go to `lp.py`. All steps are built at once as arrays; equal steps are solved once. The cost of a pool
in tokens is convex: the least of `price x watts` over all watts between the hulls (`hull.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wattshift.sim.bounds.hull import Points
from wattshift.sim.bounds.instance import Instance
from wattshift.sim.scenario import Array
from wattshift.sim.transport import Network, ship


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Objective: `money x cost + carbon x grams`; the frontier normalises both by B0."""

    money: float
    carbon: float


MONEY = Weights(money=1.0, carbon=0.0)
CARBON = Weights(money=0.0, carbon=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """What the bound costs and where it runs."""

    objective: float
    """Over all steps, fixed load included."""
    by_step: Array
    it_watts: Array
    """[T, S]."""
    tokens: Array
    """[T, P] tokens/s."""
    unmet: Array
    """[T] tokens/s for which no permitted room exists."""
    money: float
    grams: float
    share_value: float = 0.0
    """Dual of a green share, per kWh that is green; 0 where none was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """[T, S] objective per kWh of own supply and of import."""

    own: Array
    grid: Array


def costs_of(
    instance: Instance, weights: Weights, *, green_value: float = 0.0, share: float = 0.0
) -> Costs:
    """Objective per kWh; `green_value` pays for each green kWh above `share` of all (a dual)."""
    grid = weights.money * instance.price + weights.carbon * instance.carbon
    own = weights.money * instance.own_price
    grid = grid + green_value * (share - instance.green)
    own = own + green_value * (share - 1.0)
    # own supply may be left unused for the grid where that is cheaper: a relaxation
    return Costs(own=np.minimum(own, grid), grid=grid)


def fits(instance: Instance) -> bool:
    """Whether flow is exact here: one pool a site, nothing that couples steps."""
    counts = np.bincount(instance.pool_site, minlength=len(instance.names))
    return not instance.coupled and int(counts.max(initial=0)) <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """[T, B] blocks of all pools."""

    pool: np.ndarray
    tokens: Array
    cost: Array
    """Objective per step of one token/s more."""
    watts: Array
    """IT W of one token/s more."""


def solve(
    instance: Instance, weights: Weights, *, idle_earns: bool = True, costs: Costs | None = None
) -> Optimum:
    """Exact optimum of the relaxed instance.

    Args:
        instance: one pool a site (`fits`).
        weights: what is minimised.
        idle_earns: False leaves out replicas that are on without work where a kWh earns money. That
            is no bound then, but what work alone can reach.
        costs: instead of those of `weights`, for duals.
    """
    if not fits(instance):
        raise ValueError("several pools share a site or work can wait: use the LP")
    costs = costs or costs_of(instance, weights)
    blocks, rest = _blocks(instance, costs, idle_earns=idle_earns)
    network = Network(
        classes=instance.demand.shape[1],
        pools=len(instance.hulls),
        arc_class=instance.arc_class,
        arc_pool=instance.arc_pool,
        block_pool=blocks.pool,
    )
    steps = instance.steps
    taken = np.zeros(blocks.tokens.shape)
    unmet = np.zeros(steps)
    known: dict[bytes, int] = {}
    rows = np.concatenate([instance.demand, blocks.tokens, blocks.cost], axis=1)
    for t in range(steps):
        key = rows[t].tobytes()
        if key in known:
            taken[t], unmet[t] = taken[known[key]], unmet[known[key]]
            continue
        known[key] = t
        done = ship(network, instance.demand[t], blocks.tokens[t], blocks.cost[t])
        taken[t], unmet[t] = done.blocks, float(done.unmet.sum())
    pools = len(instance.hulls)
    pool_watts, tokens = np.zeros((steps, pools)), np.zeros((steps, pools))
    for p in range(pools):
        mine = blocks.pool == p
        pool_watts[:, p] = rest[:, p] + (taken[:, mine] * blocks.watts[:, mine]).sum(axis=1)
        tokens[:, p] = taken[:, mine].sum(axis=1)
    it_watts = np.zeros((steps, len(instance.names)))
    for p, s in enumerate(instance.pool_site):
        it_watts[:, s] += pool_watts[:, p]
    return optimum(instance, weights, costs, it_watts=it_watts, tokens=tokens, unmet=unmet)


def optimum(
    instance: Instance,
    weights: Weights,
    costs: Costs,
    *,
    it_watts: Array,
    tokens: Array,
    unmet: Array,
) -> Optimum:
    """Price IT watts: money and grams by their own prices, the objective by `costs`."""
    load = instance.marginal * it_watts
    hours = instance.kilowatt_hours
    by_step = hours * _least(costs, load, instance.supply).sum(axis=1)
    base = weights.money * instance.base_money + weights.carbon * instance.base_grams
    by_step = by_step + base.sum(axis=1)
    money, grams = figures(instance, it_watts)
    return Optimum(
        objective=float(by_step.sum()),
        by_step=by_step,
        it_watts=it_watts,
        tokens=tokens,
        unmet=unmet,
        money=float(money.sum()),
        grams=float(grams.sum()),
    )


def figures(instance: Instance, it_watts: Array) -> tuple[Array, Array]:
    """([T] money, [T] grams) of a schedule as bounds count them, fixed load included.

    Policies are compared with a bound by these figures of their own IT watts, so that both are
    priced alike. Own supply is used before import, and has no grams.
    """
    load = instance.marginal * it_watts
    own = np.minimum(load, instance.supply)
    bought = load - own
    hours = instance.kilowatt_hours
    money = hours * (instance.own_price * own + instance.price * bought) + instance.base_money
    grams = hours * instance.carbon * bought + instance.base_grams
    return money.sum(axis=1), grams.sum(axis=1)


def _least(costs: Costs, load: Array, supply: Array) -> Array:
    own = np.minimum(load, supply)
    least: Array = costs.own * own + costs.grid * (load - own)
    return least


def _blocks(instance: Instance, costs: Costs, *, idle_earns: bool) -> tuple[_Blocks, Array]:
    """Convex cost of each pool in tokens by blocks, and its [T, P] watts at no tokens.

    At `x` tokens a pool may draw any `L(x) <= w <= min(U(x), limit)`. With prices `own <= grid` the
    best is the `w` nearest to `a`: 0 where own supply costs, all of it where that earns, the limit
    where the grid pays too. So `w` runs along `U` up to `a`, stays there, then runs along `L`.
    """
    most = instance.pool_replicas()
    pool, tokens, cost, watts = [], [], [], []
    rest = np.zeros((instance.steps, len(instance.hulls)))
    for p, hulls in enumerate(instance.hulls):
        s = int(instance.pool_site[p])
        count = most[p] * instance.open[:, s]
        limit = instance.it_limit[:, s]
        own_room = np.minimum(instance.supply[:, s] / instance.marginal[:, s], limit)
        own, grid = costs.own[:, s], costs.grid[:, s]
        aim = np.where(grid < 0, limit, np.where(own < 0, own_room, 0.0))
        if not idle_earns:
            aim = np.zeros_like(aim)
        unit = instance.marginal[:, s] * instance.kilowatt_hours
        begin = np.minimum(count * hulls.upper[0][1], aim)
        rest[:, p] = begin
        at = np.zeros(instance.steps)
        edge = np.minimum(aim, count * hulls.upper[-1][1])
        pieces = _along(hulls.upper, count, begin, edge, at)
        at = sum((piece[0] for piece in pieces), start=np.zeros(instance.steps))
        level = begin + sum(
            (piece[0] * piece[1] for piece in pieces), start=np.zeros(instance.steps)
        )
        flat = np.maximum(_inverse(hulls.lower, count, level) - at, 0.0)
        pieces.append((flat, 0.0))
        pieces += _along(hulls.lower, count, level, limit, at + flat)
        position = begin
        for room, slope in pieces:
            step_watts = room * slope
            below = np.clip(own_room - position, 0.0, step_watts)
            first = np.minimum(room, below / slope) if slope > 0 else room
            for part, price in ((first, own), (room - first, grid)):
                pool.append(p)
                tokens.append(np.maximum(part, 0.0))
                cost.append(price * slope * unit)
                watts.append(np.full(instance.steps, slope))
            position = position + step_watts
    return (
        _Blocks(
            pool=np.array(pool, dtype=np.int64),
            tokens=np.stack(tokens, axis=1),
            cost=np.stack(cost, axis=1),
            watts=np.stack(watts, axis=1),
        ),
        rest,
    )


def _along(
    points: Points, count: Array, low: Array, high: Array, start: Array
) -> list[tuple[Array, float]]:
    """Pieces (tokens, W per token) of `count` replicas on a hull, from (start, low) up to `high` W."""
    pieces = []
    for (x1, w1), (x2, w2) in pairwise(points):
        slope = (w2 - w1) / (x2 - x1)
        room = count * (x2 - x1) - np.clip(start - count * x1, 0.0, count * (x2 - x1))
        if slope > 0:
            room = np.minimum(room, np.maximum(high - np.maximum(low, count * w1), 0.0) / slope)
        pieces.append((np.where(high > low, room, 0.0), slope))
    return pieces


def _inverse(points: Points, count: Array, watts: Array) -> Array:
    """Most tokens of `count` replicas whose lower hull stays at or under `watts`."""
    tokens = np.zeros_like(watts)
    for (x1, w1), (x2, w2) in pairwise(points):
        slope = (w2 - w1) / (x2 - x1)
        if slope > 0:
            tokens = tokens + np.clip((watts - count * w1) / slope, 0.0, count * (x2 - x1))
        else:
            tokens = tokens + np.where(watts >= count * w1, count * (x2 - x1), 0.0)
    return tokens
