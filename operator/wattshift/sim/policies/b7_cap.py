"""B7: round robin over all sites in reach, and a power cap where a site's limit would be broken.

Replicas follow the load; only the cap follows power, at once and never below half of busy watts,
under which throughput collapses.
"""

from __future__ import annotations

from wattshift.core.model import SiteState, Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.costs import room_watts
from wattshift.sim.policies.jobs import Flow, Job
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import place_all

LOWEST_CAP = 0.5


class RoundRobinCap:
    """Equal shares and device power caps."""

    name = "b7"

    def __init__(self) -> None:
        self._pace = Pace()
        self._replicas: dict[tuple[str, str], int] = {}

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Shares once per plan interval, caps every time."""
        orders = place_all(snapshot, _equally) if self._pace.due(snapshot, now) else Orders()
        self._replicas.update(orders.replicas)
        profiles = {row.name: row for row in snapshot.profiles}
        here: dict[str, list[tuple[tuple[str, str], float]]] = {}
        for workload in snapshot.workloads:
            for row in workload.placements:
                key = (workload.key, row.name)
                if self._replicas.get(key) and row.profile_name in profiles:
                    busy = float(profiles[row.profile_name].busy_watts or 0)
                    here.setdefault(row.site_name, []).append((key, busy))
        for site in snapshot.sites:
            self._cap(orders, site, here.get(site.name, []), now)
        return orders

    def _cap(
        self,
        orders: Orders,
        site: SiteState,
        here: list[tuple[tuple[str, str], float]],
        now: float,
    ) -> None:
        busy = sum(self._replicas[key] * watts for key, watts in here)
        share = room_watts(site, now) / busy if busy > 0 else 1.0
        if share < 1:
            for key, _ in here:
                orders.caps[key] = max(LOWEST_CAP, share)


def _equally(job: Job) -> Flow:
    """Every origin in equal parts over its spots; what does not fit goes round again."""
    flow: Flow = {}
    room = [spot.room for spot in job.spots]
    for origin, load in job.loads.items():
        left, open_spots = load, [i for i in job.near[origin] if room[i] > 0]
        while left > 1e-9 and open_spots:
            part = left / len(open_spots)
            for index in open_spots:
                given = min(part, room[index])
                flow[origin, index] = flow.get((origin, index), 0.0) + given
                room[index] -= given
                left -= given
            open_spots = [i for i in open_spots if room[i] > 1e-9]
        if left > 1e-9 and job.near[origin]:
            first = job.near[origin][0]
            flow[origin, first] = flow.get((origin, first), 0.0) + left
    return flow
