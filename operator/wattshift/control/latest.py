"""What the two loops and the API share: the last plan and snapshot. Values only, no logic."""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.control.act import Acted
from wattshift.core.decision import Governance, Plan
from wattshift.core.model import Snapshot


@dataclass(slots=True)
class Latest:
    """Written by the loops, read by each other, the status and `/v1`."""

    snapshot: Snapshot | None = None
    """Of the last tick of either loop."""
    plan_snapshot: Snapshot | None = None
    plan: Plan | None = None
    plan_acted: tuple[Acted, ...] = ()
    governance: Governance | None = None
