"""Make before break: load that moves keeps its old replicas until the new ones can have started.

Without it every rule that moves load would drop requests for the time of a start, and no operator
would run it. Neighbour: `placing.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict

from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.jobs import Flow, Job

LEAST_SHARE = 1e-6


class Handover:
    """Remembers the last flow of each workload and what is still held for a start."""

    def __init__(self) -> None:
        self._before: dict[str, dict[tuple[str, str], float]] = {}
        self._held: dict[str, list[tuple[float, str, float]]] = {}

    def hold(self, orders: Orders, job: Job, flow: Flow, now: float) -> None:
        """Raise counts in `orders` by what leaves a spot for one whose replicas do not serve yet."""
        key = job.state.key
        names = [spot.state.name for spot in job.spots]
        held = [row for row in self._held.get(key, []) if row[0] > now + 1e-6]
        starting = any(
            orders.replicas[key, spot.state.name] > (spot.state.in_service_replicas or 0)
            for spot in job.spots
        )
        if starting:
            seconds = max(spot.profile.cold_start_seconds for spot in job.spots)
            held += [
                (now + seconds, name, amount) for name, amount in self._left(job, flow).items()
            ]
        self._held[key] = held
        self._before[key] = _shares(job, flow)
        extra: dict[str, float] = defaultdict(float)
        for _, name, amount in held:
            extra[name] += amount
        totals: dict[str, float] = defaultdict(float)
        for (_, index), amount in flow.items():
            totals[names[index]] += amount
        for spot in job.spots:
            name = spot.state.name
            if extra[name] > 0:
                wanted = math.ceil((totals[name] + extra[name]) / spot.sequences - 1e-6)
                kept = min(wanted, spot.state.in_service_replicas or 0, spot.most)
                orders.replicas[key, name] = max(orders.replicas[key, name], kept)

    def _left(self, job: Job, flow: Flow) -> dict[str, float]:
        """Sequences that leave each spot, at the load of now."""
        found: dict[str, float] = defaultdict(float)
        shares = _shares(job, flow)
        for (origin, name), share in self._before.get(job.state.key, _standing(job)).items():
            gone = share - shares.get((origin, name), 0.0)
            if gone > LEAST_SHARE:
                found[name] += gone * job.loads.get(origin, 0.0)
        return found


def _standing(job: Job) -> dict[tuple[str, str], float]:
    """Before the first decision: every origin is spread over what serves."""
    room = [spot.sequences * (spot.state.in_service_replicas or 0) for spot in job.spots]
    whole = sum(room)
    return {
        (origin, spot.state.name): part / whole
        for origin in job.loads
        for spot, part in zip(job.spots, room, strict=True)
        if part > 0
    }


def _shares(job: Job, flow: Flow) -> dict[tuple[str, str], float]:
    totals: dict[str, float] = defaultdict(float)
    for (origin, _), amount in flow.items():
        totals[origin] += amount
    return {
        (origin, job.spots[index].state.name): amount / totals[origin]
        for (origin, index), amount in flow.items()
        if totals[origin] > 0
    }
