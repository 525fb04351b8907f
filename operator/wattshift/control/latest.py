"""What the two loops and the API share: the last plan and snapshot. Values only, no logic."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

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
    told: dict[str, Acted] = field(default_factory=dict)
    """By workload: the last outcome that was logged."""

    def is_news(self, row: Acted) -> bool:
        """Whether an outcome differs from the last one of its workload; remembers it.

        What is refused, or not acted on in Observe, is decided again every tick: once is enough.
        """
        done = row.result in ("Done", "Started")
        if not done and self.told.get(row.workload_key) == row:
            return False
        self.told[row.workload_key] = row
        return True

    def forget(self, kept: AbstractSet[str]) -> None:
        """Drop what was told of workloads that are gone."""
        self.told = {key: row for key, row in self.told.items() if key in kept}
