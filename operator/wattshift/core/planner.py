"""The slow loop's decision: one Decision per workload, coupled through what sites can bear."""

from __future__ import annotations

from wattshift.core.decision import Plan
from wattshift.core.model import Snapshot


def plan(snapshot: Snapshot, now: float) -> Plan:
    """Decide for every workload; pure and deterministic. `now` is grid time."""
    return Plan(
        id="0" * 12,
        grid_time=now,
        valid_until=now + snapshot.settings.plan_interval_seconds,
        decisions=(),
        sites=(),
    )
