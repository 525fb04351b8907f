"""From a rule to orders: flows of load to spots, whole replicas for them, splits by origin.

The `b*.py` files hold one rule each. Neighbours: `jobs.py` (what is placed), `handover.py` (make before
break), `sim/transport.py` (the flow of those that solve one).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from wattshift.core.model import Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.jobs import Flow, Job, Spot, devices_of, job_of
from wattshift.sim.scenario import Array
from wattshift.sim.transport import Network, ship


def place_all(
    snapshot: Snapshot,
    rule: Callable[[Job], Flow],
    *,
    most: Callable[[Spot], int] | None = None,
    handover: Handover | None = None,
) -> Orders:
    """Apply one rule to all workloads, ordered by key; each sees the devices that are left.

    `most` lowers the replicas of a spot further; `handover` keeps what serves until what replaces it
    does. Work that can wait runs at once.
    """
    orders, devices = Orders(), devices_of(snapshot)
    profiles = {row.name: row for row in snapshot.profiles}
    sites = {row.name: row for row in snapshot.sites}
    for workload in sorted(snapshot.workloads, key=lambda row: row.key):
        job = job_of(workload, snapshot, (sites, profiles, devices))
        if job is None:
            for row in workload.placements:
                profile = profiles.get(row.profile_name)
                if profile is not None:
                    devices.take(row.site_name, profile, row.observed_replicas or 0)
            continue
        if most is not None:
            for spot in job.spots:
                spot.most = min(spot.most, most(spot))
        flow = rule(job)
        write(orders, job, flow)
        if handover is not None:
            handover.hold(orders, job, flow, snapshot.grid_time)
        for spot in job.spots:
            count = orders.replicas[job.state.key, spot.state.name]
            devices.take(spot.site.name, spot.profile, count)
    return orders


def write(orders: Orders, job: Job, flow: Flow) -> None:
    """Whole replicas for a flow, never under the least counts, and the split by origin."""
    totals = [0.0] * len(job.spots)
    for (_, index), amount in flow.items():
        totals[index] += amount
    key = job.state.key
    counts = [
        min(max(math.ceil(total / spot.sequences - 1e-6), spot.state.min_replicas), spot.most)
        for total, spot in zip(totals, job.spots, strict=True)
    ]
    short = job.state.min_replicas - sum(counts)
    for index in sorted(range(len(counts)), key=lambda row: -totals[row]):
        more = min(max(short, 0), job.spots[index].most - counts[index])
        counts[index] += more
        short -= more
    for spot, count in zip(job.spots, counts, strict=True):
        orders.replicas[key, spot.state.name] = count
    if not job.shifts:
        return
    for origin in job.loads:
        if not origin:
            continue  # batch work comes from nowhere: there is nothing to route
        parts = {
            job.spots[index].state.name: amount
            for (name, index), amount in flow.items()
            if name == origin and amount > 0
        }
        total = sum(parts.values())
        if total > 0:
            orders.split[key, origin] = {name: part / total for name, part in parts.items()}


# ---- rules ------------------------------------------------------------------------------------


def fill(job: Job, order: Callable[[str], Iterable[int]]) -> Flow:
    """Each origin in turn takes the free room of its spots in its own order.

    What has no room anywhere goes to the origin's first spot, where it waits.
    """
    flow: Flow = {}
    room = [spot.room for spot in job.spots]
    for origin, load in job.loads.items():
        left, choice = load, list(order(origin))
        for index in choice:
            part = min(left, max(room[index], 0.0))
            if part > 0:
                flow[origin, index] = flow.get((origin, index), 0.0) + part
                room[index] -= part
                left -= part
        if left > 1e-9 and choice:
            flow[origin, choice[0]] = flow.get((origin, choice[0]), 0.0) + left
    return flow


def cheapest_flow(job: Job, cost: Sequence[float], before: Flow | None = None) -> Flow:
    """Exact least-cost assignment at `cost` per sequence and spot; ties go to what was `before`."""
    origins = [name for name, load in job.loads.items() if load > 0 and job.near[name]]
    if not origins:
        return {}
    arcs = [(row, index) for row, name in enumerate(origins) for index in job.near[name]]
    demand = np.array([job.loads[name] for name in origins])
    spread = max(cost) - min(cost)
    tie = 1e-5 * (spread or max(abs(row) for row in cost) or 1.0)
    leave = None
    if before is not None:
        parts = [before.get((origins[row], index), 0.0) / demand[row] for row, index in arcs]
        leave = tie * (1.0 - np.minimum(np.array(parts), 1.0))
    done = ship(
        Network(
            classes=len(origins),
            pools=len(job.spots),
            arc_class=np.array([row for row, _ in arcs], dtype=np.int64),
            arc_pool=np.array([index for _, index in arcs], dtype=np.int64),
            block_pool=np.arange(len(job.spots), dtype=np.int64),
        ),
        demand,
        np.array([spot.room for spot in job.spots]),
        np.array(cost, dtype=float),
        leave,
    )
    flow = _flow(done.arcs, origins, arcs)
    for row, name in enumerate(origins):
        if done.unmet[row] > 1e-9 * demand[row]:
            first = job.near[name][0]
            flow[name, first] = flow.get((name, first), 0.0) + float(done.unmet[row])
    return flow


def _flow(amounts: Array, origins: list[str], arcs: list[tuple[int, int]]) -> Flow:
    return {
        (origins[row], index): float(amount)
        for (row, index), amount in zip(arcs, amounts, strict=True)
        if amount > 0
    }
