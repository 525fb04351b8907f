"""First step as a min-cost flow: classes -> places -> devices -> watts; what stays is cheaper.

The only file that imports a solver. Costs and amounts become integers here and arcs go in in bulk.
Ties go to staying, then to the nearest place. Limits in devices and watts are turned into flow units
at the mean rate of the places behind them; `core/fleet/integers.py` and `core/survey/room.py` are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.graph.python import min_cost_flow

from wattshift.core.fleet.problem import Floats, Integers, Problem

AMOUNTS = 1e9
"""Integer units that the largest amount is told apart into: small workloads stand beside large ones."""
COSTS = 1e7
"""Integer units of the widest cost difference."""
TIES = 64
"""Finer units below them, for ties."""
UNSERVED = 20
"""What a unit that nobody carries costs, in widest cost differences."""
WIDEST = 1e3
"""Of a typical cost difference: wider ones count as this wide, so that one price beyond all sense
leaves the others apart."""
_MOST = 4e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Units by class and column, and what found no place."""

    carried: Floats
    """[C, F]."""
    unserved: Floats
    """[C]."""


def route(
    problem: Problem,
    worth: Floats,
    *,
    kept: Floats,
    bonus: Floats,
    most: Floats | None = None,
    limits: bool = True,
    moves: bool = True,
) -> Flow:
    """Cheapest assignment of the first step's need.

    Args:
        problem: classes, columns and limits.
        worth: [C, F] money per unit for standing at a column.
        kept: [N] units that a place carries now.
        bonus: [N] money per unit for what goes beyond `kept`.
        most: [N] units that a place may carry; None = the problem's.
        limits: whether devices and watts count; replicas that run already have theirs.
        moves: whether a class that changes its place pays for it.
    """
    network = Network(problem, limits=limits, moves=moves)
    return network.at(worth, bonus).route(kept, problem.most if most is None else most)


class Network:
    """Nodes and arcs of a problem: routes at many prices and maxima share them."""

    def __init__(self, problem: Problem, *, limits: bool = True, moves: bool = True) -> None:
        """As for `route`."""
        self.problem = problem
        rows, columns = np.nonzero(problem.open)
        places = problem.place[rows, columns]
        weight = _weights(problem)
        at_group = weight[problem.group]
        units = problem.need[0] * at_group
        amount = AMOUNTS / max(float(units.max(initial=0.0)), 1e-12)
        at_place = weight[problem.owner]
        supply = np.rint(units * amount).astype(np.int64)
        at_class = at_group[rows]
        classes, n = problem.classes, problem.places
        tree = _limits(problem, at_place, amount) if limits else _free(n)
        sink = classes + n + tree.nodes
        spill = sink + 1
        there = _integers(problem.present[rows, columns] * at_class * amount)
        there = np.minimum(there, supply[rows])
        elsewhere = np.where(problem.held[rows], 0, supply[rows] - there)
        every = np.arange(classes, dtype=np.int32)
        place_nodes = classes + np.arange(n, dtype=np.int32)
        after = _nodes(tree.after, classes + n, sink)
        ins, outs = rows.astype(np.int32), (classes + places).astype(np.int32)
        last = np.asarray([spill], dtype=np.int32)
        self.rows, self.columns, self.count, self.tree = rows, columns, rows.shape[0], tree
        self.amount, self.at_place, self.at_group, self.at_class = (
            amount,
            at_place,
            at_group,
            at_class,
        )
        self.arrive = problem.arrive[places] / at_class if moves else np.zeros(self.count)
        self.usual = max(_usual(self.arrive), _usual(tree.price))
        """Money per flow unit that arcs cost whatever the prices."""
        near = problem.distance[rows, columns] * (TIES // 2 - 2)
        self.near = np.rint(near).astype(np.int64)
        self.tail = np.concatenate(
            [ins, ins, place_nodes, place_nodes, _nodes(tree.tail, classes + n, sink), every, last]
        )
        self.head = np.concatenate(
            [
                outs,
                outs,
                after,
                after,
                _nodes(tree.head, classes + n, sink),
                np.full(classes, spill, dtype=np.int32),
                np.asarray([sink], dtype=np.int32),
            ]
        )
        total = int(supply.sum())
        # what places may carry comes with each route
        free = np.zeros(2 * n, dtype=np.int64)
        self.capacity = np.concatenate([there, elsewhere, free, tree.capacity, supply, [total]])
        self.nodes = np.append(every, np.int32(sink))
        self.supplies = np.append(supply, -total)

    def at(self, worth: Floats, bonus: Floats) -> Routes:
        """Routes at these prices; as for `route`."""
        return Routes(self, worth, bonus)


class Routes:
    """Cheapest assignments at given prices."""

    def __init__(self, network: Network, worth: Floats, bonus: Floats) -> None:
        """As for `route`."""
        self._network = network
        problem, tree = network.problem, network.tree
        # what all ways of a class cost alike says nothing about which to take
        going = worth[network.rows, network.columns] / network.at_class
        least = np.full(problem.classes, np.inf)
        np.minimum.at(least, network.rows, going)
        going -= least[network.rows]
        more = np.maximum(0.0, bonus) / network.at_place
        widest = WIDEST * max(_usual(going), _usual(more), network.usual)
        costs = (going, network.arrive, more, tree.price)
        going, arrive, more, above = (np.minimum(row, widest) for row in costs)
        spread = sum(_highest(row) for row in (going, arrive, more, above))
        money = COSTS / max(spread, 1e-300)
        stays = np.rint(going * money).astype(np.int64) * TIES + network.near
        moving = stays + np.rint(arrive * money).astype(np.int64) * TIES + 1
        price = np.zeros(network.capacity.shape, dtype=np.int64)
        first = network.count
        price[:first] = stays
        price[first : 2 * first] = moving
        n = 2 * first + problem.places
        price[n : n + problem.places] = np.rint(more * money).astype(np.int64) * TIES + TIES // 2
        n += problem.places
        price[n : n + above.shape[0]] = np.rint(above * money).astype(np.int64) * TIES
        price[-1 - problem.classes : -1] = int(UNSERVED * COSTS) * TIES
        self._solver = min_cost_flow.SimpleMinCostFlow()
        self._capacity = network.capacity.copy()
        self._arcs = self._solver.add_arcs_with_capacity_and_unit_cost(
            network.tail, network.head, self._capacity, price
        )
        self._solver.set_nodes_supplies(network.nodes, network.supplies)

    def route(self, kept: Floats, most: Floats) -> Flow:
        """Cheapest assignment; as for `route`."""
        network, solver = self._network, self._solver
        problem, count, n = network.problem, network.count, network.problem.places
        full = _integers(np.minimum(most, _MOST) * network.at_place * network.amount)
        have = _integers(np.maximum(kept, 0.0) * network.at_place * network.amount)
        have = np.minimum(have, full)
        self._capacity[2 * count : 2 * count + n] = have
        self._capacity[2 * count + n : 2 * count + 2 * n] = full - have
        solver.set_arc_capacities(self._arcs, self._capacity)
        if solver.solve() != solver.OPTIMAL:
            raise ArithmeticError("the flow has no solution")
        flow = np.asarray(solver.flows(self._arcs), dtype=np.float64)
        carried = np.zeros(problem.place.shape)
        carried[network.rows, network.columns] = (
            (flow[:count] + flow[count : 2 * count]) / network.amount / network.at_class
        )
        unserved = flow[-1 - problem.classes : -1] / network.amount / network.at_group
        return Flow(carried=carried, unserved=unserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """Nodes behind the places: devices, then watts; -1 stands for the sink."""

    nodes: int
    after: Integers
    tail: Integers
    head: Integers
    capacity: Integers
    price: Floats
    """Money per flow unit."""


def _usual(costs: Floats) -> float:
    """Median of what costs anything."""
    some = costs[costs > 0]
    if not some.size:
        return 0.0
    middle = some.size // 2
    some.partition(middle)
    return float(some[middle])


def _highest(costs: Floats) -> float:
    return float(np.maximum.reduce(costs, initial=0.0))


def _nodes(rows: Integers, base: int, sink: int) -> NDArray[np.int32]:
    """Nodes of limit rows; -1 is the sink."""
    return np.where(rows >= 0, base + rows, sink).astype(np.int32)


def _free(n: int) -> _Tree:
    none = np.zeros(0, dtype=np.int64)
    free = np.zeros(0)
    return _Tree(nodes=0, after=np.full(n, -1), tail=none, head=none, capacity=none, price=free)


def _limits(problem: Problem, at_place: Floats, amount: float) -> _Tree:
    """Limits of the first step as nodes: row r becomes node r; own supply is the cheaper part."""
    rows, pool, feed, own = problem.rows, problem.pool, problem.feed, problem.supply
    top = np.where(feed < rows, feed, np.where(own < rows, own, -1))
    rate = _rates(problem, at_place)
    capacity = _integers(np.minimum(problem.limit[0], _MOST) * rate * amount)
    parent = np.full(rows, -1, dtype=np.int64)
    parent[pool[pool < rows]] = top[pool < rows]
    supply_of = np.full(rows, -1, dtype=np.int64)
    supply_of[top[own < rows]] = own[own < rows]
    used = np.unique(np.concatenate([pool[pool < rows], top[top >= 0]]))
    behind = supply_of[used]
    bare, priced = used[behind < 0], used[behind >= 0]
    behind = behind[behind >= 0]
    whole = np.where(priced == behind, np.int64(_MOST), capacity[priced])
    cheap = np.minimum(capacity[behind], whole)
    # what is above own supply costs the difference to the grid, per flow unit
    per_watt = np.where(np.isfinite(problem.ceiling[0]), problem.ceiling[0], 0.0)[behind]
    extra = per_watt * problem.hours[0] / np.maximum(rate[behind], 1e-300)
    return _Tree(
        nodes=rows,
        after=np.where(pool < rows, pool, top),
        tail=np.concatenate([bare, priced, priced]),
        head=np.concatenate([parent[bare], parent[priced], parent[priced]]),
        capacity=np.concatenate([capacity[bare], cheap, whole - cheap]),
        price=np.concatenate([np.zeros(bare.shape[0] + priced.shape[0]), extra]),
    )


def _rates(problem: Problem, at_place: Floats) -> Floats:
    """[R] flow units per unit of a limit: the mean of the places that count against it."""
    sums, counts = np.zeros(problem.rows + 1), np.zeros(problem.rows + 1)
    for row, use in (
        (problem.pool, problem.devices),
        (problem.feed, problem.watts),
        (problem.supply, problem.watts),
    ):
        counted = use > 0
        np.add.at(sums, row[counted], at_place[counted] / use[counted])
        np.add.at(counts, row[counted], 1.0)
    return (sums / np.maximum(counts, 1.0))[:-1]


def _integers(amounts: Floats) -> Integers:
    return np.floor(np.minimum(amounts, _MOST) + 1e-6).astype(np.int64)


def _weights(problem: Problem) -> Floats:
    """[G] flow units per capacity unit: devices, so that models of any size share a limit."""
    sums = np.bincount(problem.owner, weights=problem.devices, minlength=problem.groups)
    counts = np.bincount(problem.owner, minlength=problem.groups)
    mean = sums / np.maximum(counts, 1)
    return np.where(mean > 0, mean, 1.0)
