"""What a policy is: a Snapshot in, orders out. It never sees a Scenario, so it cannot read the future."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from wattshift.core.model import Snapshot


@dataclass(slots=True, kw_only=True)
class Orders:
    """Absolute targets; what is not named stays as it is."""

    replicas: dict[tuple[str, str], int] = field(default_factory=dict)
    """(workload key, placement name) -> replicas in service or starting."""
    split: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    """(workload key, origin) -> share of its requests by placement name; sums to 1. Only followed
    for workloads that allow ShiftTraffic; absent = nearest placements with free capacity first."""
    caps: dict[tuple[str, str], float] = field(default_factory=dict)
    """(workload key, placement) -> device power cap as a share of busy watts; absent = none."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Workload key -> reason constant, for reports."""
    plan_seconds: float = 0.0
    govern_seconds: float = 0.0
    """CPU seconds of this call, for the decision times."""
    bound_per_hour: float | None = None


class Policy(Protocol):
    """One decider for one run; it may keep state between calls, and starts fresh in each run."""

    name: str

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Called every `govern_every_seconds`; `now` is grid seconds and equals the snapshot's."""
        ...
