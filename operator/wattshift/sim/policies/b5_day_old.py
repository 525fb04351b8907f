"""B5: what was cheap at this time yesterday is taken for cheap today; the flow does the rest."""

from __future__ import annotations

from collections import deque

from wattshift.core.model import Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.costs import per_sequence, rates
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.jobs import Flow, Job
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import cheapest_flow, place_all

DAY = 86400.0


class DayOld:
    """Min-cost flow at the rates of 24 hours ago."""

    name = "b5"

    def __init__(self) -> None:
        self._pace = Pace()
        self._handover = Handover()
        self._seen: deque[tuple[float, dict[str, tuple[float, float]]]] = deque()
        self._before: dict[str, Flow] = {}

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """On the first day: the rates of now."""
        if not self._pace.due(snapshot, now):
            return Orders()
        self._seen.append((now, rates(snapshot)))
        while len(self._seen) > 1 and self._seen[1][0] <= now - DAY:
            self._seen.popleft()
        then, by_site = self._seen[0]
        if then > now - DAY:
            by_site = self._seen[-1][1]

        def rule(job: Job) -> Flow:
            flow = cheapest_flow(
                job, per_sequence(job, by_site, snapshot), self._before.get(job.state.key)
            )
            self._before[job.state.key] = flow
            return flow

        return place_all(snapshot, rule, handover=self._handover)
