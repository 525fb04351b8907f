"""Batch work: units arrive, replicas complete them in order, each is due a while after it came.

Neighbours: `plant.py` (drives it), `world.py` (shows backlog and next deadline).
"""

from __future__ import annotations

import numpy as np

from wattshift.sim.layout import Layout
from wattshift.sim.scenario import Array


class BatchWork:
    """Backlogs of all batch workloads; first come, first served."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        workloads = layout.scenario.workloads
        self._rows = [w for w, row in enumerate(workloads) if row.batch is not None]
        self._step_seconds = layout.scenario.step_seconds
        self._arrived = {}
        for w in self._rows:
            batch = workloads[w].batch
            assert batch is not None
            self._arrived[w] = np.concatenate(([0.0], np.cumsum(batch.arrivals_units)))
        count = len(workloads)
        self.done = np.zeros(count)
        self.late = np.zeros(count)
        self._due = np.zeros(count)

    def begin(self, now: float) -> None:
        """Start at `now` with nothing owed from before."""
        for w in self._rows:
            self.done[w] = self._due[w] = self._at(w, now)
        self.late[:] = 0.0

    def _at(self, workload: int, now: float) -> float:
        """Units that had arrived by scenario second `now`; within a step they come evenly."""
        series = self._arrived[workload]
        place = min(max(now / self._step_seconds, 0.0), len(series) - 1.0)
        low = int(place)
        high = min(low + 1, len(series) - 1)
        return float(series[low] + (place - low) * (series[high] - series[low]))

    def backlog(self, workload: int, now: float) -> float:
        """Units that wait."""
        return max(0.0, self._at(workload, now) - float(self.done[workload]))

    def arrived(self, workload: int, now: float) -> float:
        """Units so far."""
        return self._at(workload, now)

    def deadline(self, workload: int, now: float) -> float | None:
        """Scenario second by which the oldest unit that waits is due; None = nothing waits."""
        batch = self._layout.scenario.workloads[workload].batch
        assert batch is not None
        if self.backlog(workload, now) <= 1e-9:
            return None
        series = self._arrived[workload]
        oldest = int(np.searchsorted(series, self.done[workload] + 1e-9, side="left")) - 1
        return max(0, oldest) * self._step_seconds + batch.due_seconds

    def advance(
        self, step: int, now: float, seconds: float, serving: Array, speed: Array
    ) -> tuple[Array, Array]:
        """(busy share of each placement's replicas, units done by workload) in a span."""
        del step
        busy = np.zeros(len(serving))
        finished = np.zeros(len(self.done))
        for w in self._rows:
            batch = self._layout.scenario.workloads[w].batch
            assert batch is not None
            first, last = self._layout.first[w], self._layout.first[w + 1]
            rate = serving[first:last] * speed[first:last] * batch.units_per_replica_hour / 3600
            can = float(rate.sum()) * seconds
            waiting = max(0.0, self._at(w, now + seconds) - float(self.done[w]))
            part = min(can, waiting)
            if can > 0:
                busy[first:last] = part / can
            self.done[w] += part
            finished[w] = part
            due = self._at(w, now + seconds - batch.due_seconds)
            self.late[w] += max(0.0, due - max(float(self.done[w]), float(self._due[w])))
            self._due[w] = max(float(self._due[w]), due)
        return busy, finished
