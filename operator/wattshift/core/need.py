"""Replicas that the present load of one workload needs over all its placements.

Pure. The hand-over's last check before the source is lowered; counted in the least capable replica
that is used, so that it errs on the side of more.
"""

from __future__ import annotations

import math

from wattshift.core.model import Snapshot, WorkloadState
from wattshift.core.survey import survey_one


def needed_total(workload: WorkloadState, snapshot: Snapshot) -> int:
    """Replicas needed now; unknown load needs all that is commanded."""
    view = survey_one(snapshot, snapshot.grid_time, workload.key)
    if view is None:
        return workload.max_replicas
    job = next(row for row in view.jobs if row.key == workload.key)
    capacities = [spot.capacity for spot in job.spots if spot.capacity > 0 and spot.replicas > 0]
    if job.need is None or not capacities:
        return max(job.floor, job.standing)
    return max(job.floor, math.ceil(job.need / min(capacities) - 1e-9))
