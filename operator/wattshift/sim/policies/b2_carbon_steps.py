"""B2: the most replicas step down as the grid gets dirtier, as carbon-aware-keda-operator does it.

One cluster at a time and no move: each site compares its intensity with its own last week. What the
ceiling leaves without a replica waits, or is served by whoever has room.
"""

from __future__ import annotations

from collections import deque

from wattshift.core.model import Snapshot
from wattshift.core.survey.prices import carbon_intensity
from wattshift.sim.policies.b0_local import nearest
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import place_all

STEPS = ((1 / 3, 1.0), (2 / 3, 0.75), (1.0, 0.5))
"""(quantile of the last week up to which, share of the most replicas)."""
MEMORY_SECONDS = 7 * 86400.0


class CarbonSteps:
    """Carbon intensity to a ceiling on replicas."""

    name = "b2"

    def __init__(self) -> None:
        self._pace = Pace()
        self._seen: dict[str, deque[tuple[float, float]]] = {}

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """B0 under the ceilings of this moment."""
        if not self._pace.due(snapshot, now):
            return Orders()
        orders = place_all(snapshot, nearest)
        shares = {
            row.name: self._share(row.name, carbon_intensity(row, now), now)
            for row in snapshot.sites
        }
        for workload in snapshot.workloads:
            for row in workload.placements:
                ceiling = max(1, int(row.max_replicas * shares[row.site_name]))
                key = (workload.key, row.name)
                if key in orders.replicas:
                    orders.replicas[key] = min(orders.replicas[key], ceiling)
        return orders

    def _share(self, name: str, grams: float | None, now: float) -> float:
        if grams is None:
            return 1.0
        rows = self._seen.setdefault(name, deque())
        rows.append((now, grams))
        while rows[0][0] < now - MEMORY_SECONDS:
            rows.popleft()
        below = sum(1 for _, value in rows if value < grams) / len(rows)
        return next(share for quantile, share in STEPS if below < quantile or quantile == 1.0)
