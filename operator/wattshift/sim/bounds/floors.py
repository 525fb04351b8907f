"""Load that each workload has at least in watts because replicas are whole: tightens the bound.

Over all its sites a workload runs at least `ceil(load / capacity)` replicas and its own minimum. With
`r` replicas that carry `d` tokens it draws at least `W = r x w(d / r)`. Splitting over sites cannot
lower that, so that demand of `W / (watts per token of a full replica)` instead of `d` still is a
relaxation: any real schedule, read as shares of its watts, fits the same reach and devices at no more
cost. Holds where all placements have one table whose best use is a full replica, where all origins
reach the same places (else one of them may leave its idle watts to another), and where no kWh earns.
With many small workloads this is most of what the plain bound misses.
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
    each = np.divide(load, count, out=np.zeros_like(load), where=count > 0)
    tokens, watts = zip(*hulls.running, strict=True)
    drawn = count * np.interp(each, tokens, watts)
    full = drawn * hulls.tokens / hulls.lower[-1][1]
    factor = np.divide(full, load, out=np.ones_like(load), where=load > 0)
    scaled: Array = np.where(earns[:, None], demand, demand * np.maximum(factor, 1.0)[:, None])
    return scaled
