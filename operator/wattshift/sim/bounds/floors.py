"""Load that each workload has at least in watts because replicas are whole: tightens the bound.

Over all its sites a workload runs at least `ceil(load / capacity)` replicas and its own minimum, and
draws at least `W`: as many full ones as the load fills, one with the rest, idle ones (`_least_watts`).
Demand of `W / (watts per token of a full replica)` instead of the load still is a relaxation: any real
schedule, read as shares of its watts, fits the same reach and devices at no more cost. Holds where all
placements have one table whose best use is a full replica, where all origins reach the same places
(else one of them may leave its idle watts to another), and where no kWh earns. With many small
workloads this is most of what the plain bound misses.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wattshift.sim.bounds.hull import Hulls
from wattshift.sim.scenario import Array, SimWorkload

Flags: TypeAlias = NDArray[np.bool_]


def whole_replicas(workload: SimWorkload, hulls: Hulls, earns: Flags) -> Array:
    """[steps, origins] demand in tokens/s of full replicas; where `earns` it stays as it is."""
    demand = np.asarray(workload.demand_tokens_per_second, dtype=float)
    profiles = {row.profile_name for row in workload.placements}
    if len(profiles) != 1 or len(hulls.lower) != 2:
        return demand
    load = demand.sum(axis=1)
    least = max(workload.min_replicas, sum(row.min_replicas for row in workload.placements))
    count = np.maximum(np.ceil(load / hulls.tokens - 1e-9), least)
    drawn = _least_watts(hulls, load, count)
    full = drawn * hulls.tokens / hulls.lower[-1][1]
    factor = np.divide(full, load, out=np.ones_like(load), where=load > 0)
    scaled: Array = np.where(earns[:, None], demand, demand * np.maximum(factor, 1.0)[:, None])
    return scaled


def _least_watts(hulls: Hulls, load: Array, count: Array) -> Array:
    """Least W of `count` replicas that carry `load` in any split.

    Of concave curves the extreme split draws least: full ones, one in between, idle ones. The upper
    hull is concave; scaled down until it is nowhere above the table it bounds the table from below.
    """
    tokens, watts = (np.array(row) for row in zip(*hulls.points, strict=True))
    high_tokens, high_watts = (np.array(row) for row in zip(*hulls.upper, strict=True))
    scale = float((watts / np.maximum(np.interp(tokens, high_tokens, high_watts), 1e-9)).min())
    full = np.minimum(np.floor(load / hulls.tokens + 1e-9), count)
    rest = np.maximum(load - full * hulls.tokens, 0.0)
    between = np.where(rest > 1e-9 * hulls.tokens, 1.0, 0.0)
    idle = np.maximum(count - full - between, 0.0)
    drawn = full * high_watts[-1] + idle * high_watts[0]
    least: Array = scale * (drawn + between * np.interp(rest, high_tokens, high_watts))
    return least
