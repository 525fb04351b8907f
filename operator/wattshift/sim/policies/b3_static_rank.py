"""B3: sites ranked once and for all by their mean cost; the flow fills the best first.

The means are given (last year's figures, which favours this baseline), or learnt as it runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from wattshift.core.model import Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.costs import per_sequence, rates
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.jobs import Flow, Job
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import cheapest_flow, place_all


class StaticRank:
    """Min-cost flow at mean rates."""

    name = "b3"

    def __init__(self, means: Mapping[str, tuple[float, float]] | None = None) -> None:
        """`means` are (money, grams) per kWh by site; None = the mean of what was seen so far."""
        self._pace = Pace()
        self._handover = Handover()
        self._given = dict(means) if means is not None else None
        self._sums: dict[str, tuple[float, float]] = {}
        self._count = 0
        self._before: dict[str, Flow] = {}

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Follow the ranks."""
        if not self._pace.due(snapshot, now):
            return Orders()
        means = self._given or self._learn(snapshot)

        def rule(job: Job) -> Flow:
            flow = cheapest_flow(
                job, per_sequence(job, means, snapshot), self._before.get(job.state.key)
            )
            self._before[job.state.key] = flow
            return flow

        return place_all(snapshot, rule, handover=self._handover)

    def _learn(self, snapshot: Snapshot) -> dict[str, tuple[float, float]]:
        self._count += 1
        for name, (money, grams) in rates(snapshot).items():
            before = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (before[0] + money, before[1] + grams)
        return {
            name: (money / self._count, grams / self._count)
            for name, (money, grams) in self._sums.items()
        }
