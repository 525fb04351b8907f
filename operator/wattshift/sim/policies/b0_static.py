"""B0s: as B0, and replicas are never switched off: what there is without consolidation.

A site keeps as many replicas as its load has ever needed: a static deployment that was sized for the
peak seen so far. The reference of energy per token, whose concurrency is told beside it.
"""

from __future__ import annotations

from wattshift.core.model import Snapshot
from wattshift.sim.policies.b0_local import nearest
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import place_all


class LocalAtPeak:
    """Static places, counts that only grow."""

    name = "b0s"

    def __init__(self) -> None:
        self._pace = Pace()
        self._highest: dict[tuple[str, str], int] = {}

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Follow the load upwards; batch work, which ends by itself, both ways."""
        if not self._pace.due(snapshot, now):
            return Orders()
        orders = place_all(snapshot, nearest)
        batch = {row.key for row in snapshot.workloads if row.batch is not None}
        for key, count in orders.replicas.items():
            if key[0] not in batch:
                self._highest[key] = max(count, self._highest.get(key, 0))
                orders.replicas[key] = self._highest[key]
        return orders
