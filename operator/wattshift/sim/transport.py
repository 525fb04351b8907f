"""One transport problem as exact min-cost flow: classes of demand to pools that cost by blocks.

Used for a single moment (policies that know costs and demand) and step after step by the bounds.
Quantities and costs are floats outside and integers inside: demand is resolved to about 1e-9 of the
total, costs to 1e-7 of their range. Bulk arrays only: an arc loop in Python costs more than solving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from ortools.graph.python import min_cost_flow

from wattshift.errors import Bug
from wattshift.sim.scenario import Array

Index: TypeAlias = NDArray[np.int64]

_QUANTITY_STEPS = 1_000_000_000
_COST_STEPS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What stays from step to step: which class reaches which pool, which block is of which pool."""

    classes: int
    pools: int
    arc_class: Index
    arc_pool: Index
    block_pool: Index
    """A pool's blocks may come in any order: the flow fills the cheapest first, so they must be
    convex in cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """Who is served where."""

    arcs: Array
    """[arcs] quantity."""
    blocks: Array
    """[blocks] quantity."""
    unmet: Array
    """[classes] quantity for which there was no room; served first of all that can be."""


def ship(
    network: Network, demand: Array, capacity: Array, cost: Array, arc_cost: Array | None = None
) -> Shipment:
    """Serve `demand` [classes] at least cost; what has no room anywhere stays unmet.

    Args:
        network: the structure.
        demand: per class, not negative.
        capacity: per block, not negative; infinity counts as all demand.
        cost: per block and unit; may be negative.
        arc_cost: per arc and unit, such as the price of leaving a site; None = 0.

    Raises:
        Bug: the solver did not find an optimum, which the unmet arcs make impossible.
    """
    total = float(demand.sum())
    if total <= 0:
        return Shipment(
            arcs=np.zeros(len(network.arc_class)),
            blocks=np.zeros(len(network.block_pool)),
            unmet=np.zeros(network.classes),
        )
    unit = total / _QUANTITY_STEPS
    supply = np.rint(demand / unit).astype(np.int64)
    room = np.rint(np.minimum(capacity, total) / unit).astype(np.int64)
    used = np.flatnonzero(room)
    on_arcs = np.zeros(len(network.arc_class)) if arc_cost is None else arc_cost
    span = max(float(np.abs(cost[used]).max(initial=0.0)), float(np.abs(on_arcs).max(initial=0.0)))
    scale = _COST_STEPS / span if span > 0 else 0.0
    first_pool, sink = network.classes, network.classes + network.pools
    # every path without an unmet arc costs at most 2 x range; an exchange visits each pool once
    never = 4 * _COST_STEPS * (network.pools + 2)
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate(
            [network.arc_class, first_pool + network.block_pool[used], np.arange(network.classes)]
        ),
        np.concatenate(
            [
                first_pool + network.arc_pool,
                np.full(len(used), sink),
                np.full(network.classes, sink),
            ]
        ),
        np.concatenate([supply[network.arc_class], room[used], supply]),
        np.concatenate(
            [
                np.rint(on_arcs * scale).astype(np.int64),
                np.rint(cost[used] * scale).astype(np.int64),
                np.full(network.classes, never),
            ]
        ),
    )
    nodes = np.zeros(sink + 1, dtype=np.int64)
    nodes[: network.classes] = supply
    nodes[sink] = -supply.sum()
    flow.set_nodes_supplies(np.arange(sink + 1), nodes)
    status = flow.solve()
    if status != flow.OPTIMAL:
        raise Bug(f"min-cost flow ended with {status}")
    taken = flow.flows(np.arange(len(network.arc_class) + len(used) + network.classes))
    arcs, rest = len(network.arc_class), len(network.arc_class) + len(used)
    blocks = np.zeros(len(network.block_pool))
    blocks[used] = taken[arcs:rest] * unit
    return Shipment(arcs=taken[:arcs] * unit, blocks=blocks, unmet=taken[rest:] * unit)
