"""Whom to ask first among equals: what the last plan would have lowered, then what its prices say.

Only an order inside one rung and one tier; it never makes a step more or less harmful. Costs count by
powers of two, so that who gave last still gives later. Neighbours: `core/governor/shed.py`, `core/decision.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from wattshift.core.decision import Action, Decision, Plan, Target
from wattshift.core.survey.survey import Spot

_FREE = 1e-9
"""Reporting currency per watt and hour below which giving costs nothing."""


@dataclass(frozen=True, slots=True)
class Preference:
    """What the plan says about giving replicas up; empty without a plan."""

    lowering: frozenset[str] = frozenset()
    """Workloads that the plan lowers or moves away: they go first in their tier."""
    costs: dict[str, float] = field(default_factory=dict)
    """Reporting currency per hour that the cheapest rejected lowering costs per replica, by workload."""
    usual: float = 0.0
    """Of a workload whose cost the plan does not tell: the median of the others."""

    def rank(self, key: str, spot: Spot) -> tuple[bool, int]:
        """Sort key: what the plan lowers, then the octave of the cost per watt."""
        busy = max(1, (spot.profile.busy_watts or 1) if spot.profile is not None else 1)
        each = self.costs.get(key, self.usual) / busy
        octave = math.floor(math.log2(each / _FREE)) if each > _FREE else 0
        return (key not in self.lowering, octave)


def preference(plan: Plan | None) -> Preference:
    """Read a plan, however old: prices grow stale slowly and only order equals."""
    if plan is None:
        return Preference()
    lowering, costs = set(), {}
    for row in plan.decisions:
        if row.targets != row.basis and (
            _sum(row.targets) < _sum(row.basis) or row.action is Action.MIGRATE
        ):
            lowering.add(row.workload_key)
        cost = _cost(row)
        if cost is not None:
            costs[row.workload_key] = cost
    return Preference(frozenset(lowering), costs, median(costs.values()) if costs else 0.0)


def _cost(row: Decision) -> float | None:
    """Cheapest lowering that the plan scored and did not choose, per replica; never below zero."""
    best: float | None = None
    before = {target.placement_name: target.replicas for target in row.basis}
    for other in row.alternatives:
        if other.score is None:
            continue
        # an alternative names what it would change: the rest stays as it was found
        named = {target.placement_name: target.replicas for target in other.targets}
        fewer = _sum(row.targets) - sum((before | named).values())
        if fewer <= 0:
            continue
        cost = max(0.0, other.score - (row.score or 0.0)) / fewer
        best = cost if best is None else min(best, cost)
    return best


def _sum(targets: tuple[Target, ...]) -> int:
    return sum(row.replicas for row in targets)
