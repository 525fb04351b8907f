"""Capacity that the present load of one workload needs, and what one replica of each placement gives.

Pure. The hand-over's last check before a side is lowered. In sequences, because the two sides may
have different accelerators: four replicas of one may be two of the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from wattshift.core.model import Snapshot, WorkloadState
from wattshift.core.survey.survey import survey_one


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Load and capacities in one unit."""

    capacity: float
    """Sequences in flight that must fit, head room included; infinite = unknown."""
    by_placement: Mapping[str, float]
    """Sequences of one replica; 1 everywhere where any is unknown, so that replicas are counted."""

    def of(self, placement_name: str) -> float:
        """Capacity of one replica."""
        return self.by_placement.get(placement_name, 1.0)


def needed(workload: WorkloadState, snapshot: Snapshot) -> Needed:
    """What must stay in service now; unknown load or capacity needs all that there was."""
    view = survey_one(snapshot, snapshot.grid_time, workload.key)
    if view is None:
        return Needed(capacity=math.inf, by_placement={})
    job = next(row for row in view.jobs if row.key == workload.key)
    capacities = {spot.state.name: spot.capacity for spot in job.spots}
    used = [spot.capacity for spot in job.spots if spot.replicas > 0]
    if any(capacity <= 0 for capacity in used):
        return Needed(capacity=math.inf, by_placement={})
    if job.need is None:
        return Needed(capacity=math.inf, by_placement=capacities)
    return Needed(capacity=job.need, by_placement=capacities)
