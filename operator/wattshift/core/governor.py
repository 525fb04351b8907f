"""The fast loop's decision: power under the tightest bound, capacity back on a latency veto."""

from __future__ import annotations

from wattshift.core.decision import Governance, Plan
from wattshift.core.model import Snapshot


def govern(snapshot: Snapshot, plan: Plan | None, now: float) -> Governance:
    """Only the workloads that must change now; pure. `plan` may be old or absent."""
    return Governance(grid_time=now, decisions=(), sites=())
