"""B4: each origin in turn takes the cheapest site in reach that has room, at the rates of now."""

from __future__ import annotations

from wattshift.core.model import Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.costs import per_sequence, rates
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.jobs import Flow, Job
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import fill, place_all


class Myopic:
    """Greedy, without a look ahead and without the cost of a move."""

    name = "b4"

    def __init__(self) -> None:
        self._pace = Pace()
        self._handover = Handover()

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Cheapest first."""
        if not self._pace.due(snapshot, now):
            return Orders()
        by_site = rates(snapshot)

        def rule(job: Job) -> Flow:
            cost = per_sequence(job, by_site, snapshot)
            return fill(job, lambda origin: sorted(job.near[origin], key=cost.__getitem__))

        return place_all(snapshot, rule, handover=self._handover)
