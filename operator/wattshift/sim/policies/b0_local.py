"""B0: everybody is served at home, the reference of all savings.

Each origin goes to its nearest site with free capacity, and an autoscaler keeps `ceil(need /
capacity)` replicas there.
"""

from __future__ import annotations

from wattshift.core.model import Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.jobs import Flow, Job
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import fill, place_all


def nearest(job: Job) -> Flow:
    """Each origin's spots by round trip."""
    return fill(job, lambda origin: job.near[origin])


class LocalAutoscaler:
    """Static places, autoscaled counts."""

    name = "b0"

    def __init__(self) -> None:
        self._pace = Pace()

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Follow the load."""
        if not self._pace.due(snapshot, now):
            return Orders()
        return place_all(snapshot, nearest)
