"""Latency attainment as users feel it: by objective and class of origins, round trip included.

Requests that were lost or left a queue count as bad. Neighbours: `windows.py` (what engines count),
`books.py` (sums).
"""

from __future__ import annotations

import numpy as np

from wattshift.core.engine import Metric
from wattshift.sim.curves import sums
from wattshift.sim.layout import Layout
from wattshift.sim.plant import Record
from wattshift.sim.scenario import Array
from wattshift.sim.windows import bad_share, is_kind

ANYWHERE = "any"


class Attainment:
    """Groups of (objective, class) and their counts."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        scenario, arcs = layout.scenario, layout.arcs
        self.groups: list[tuple[str, str]] = []
        """(objective, class)."""
        index: dict[tuple[str, str], int] = {}
        class_of: list[str] = []
        for workload in scenario.workloads:
            for origin in workload.origins:
                limit = origin.max_round_trip_milliseconds
                class_of.append(ANYWHERE if limit is None else f"{limit} ms")
        rows: list[tuple[int, int, float, Metric]] = []
        loads: list[tuple[int, int]] = []
        by_load: dict[int, list[int]] = {}
        for arc, load in enumerate(arcs.load.tolist()):
            by_load.setdefault(load, []).append(arc)
        for load, w in enumerate(layout.load_workload.tolist()):
            for objective in scenario.workloads[w].objectives:
                name = f"{objective.metric.value} {objective.threshold_milliseconds} ms"
                key = (name, class_of[load])
                group = index.setdefault(key, len(index))
                loads.append((load, group))
                for arc in by_load.get(load, []):
                    left = float(objective.threshold_milliseconds)
                    if objective.metric is not Metric.INTER_TOKEN_LATENCY:
                        left -= float(arcs.round_trip[arc])
                    rows.append((arc, group, left, objective.metric))
        self.groups = list(index)
        self.classes = sorted(set(class_of))
        self._arc = np.asarray([row[0] for row in rows], dtype=np.intp)
        self._group = np.asarray([row[1] for row in rows], dtype=np.intp)
        self._left = np.asarray([row[2] for row in rows])
        metrics = tuple(row[3] for row in rows)
        self._first = is_kind(metrics, Metric.TIME_TO_FIRST_TOKEN)
        self._inter = is_kind(metrics, Metric.INTER_TOKEN_LATENCY)
        self._loads = np.asarray([row[0] for row in loads], dtype=np.intp)
        self._load_groups = np.asarray([row[1] for row in loads], dtype=np.intp)
        answer = np.asarray([max(1.0, w.output_tokens_per_request) for w in scenario.workloads])
        self._per_token = 1.0 / answer[layout.load_workload] if len(answer) else np.zeros(0)

    def count(self, record: Record) -> tuple[Array, Array]:
        """(requests, bad requests) by group in one span."""
        size = len(self.groups)
        if not size:
            return np.zeros(0), np.zeros(0)
        arcs = self._layout.arcs
        flow = record.flow[self._arc]
        rows = np.flatnonzero(flow > 0)
        arc, group = self._arc[rows], self._group[rows]
        place = arcs.placement[arc]
        offered = record.offered[place] * record.seconds
        left = np.zeros(len(rows))
        np.divide(record.gave_up[place], offered, out=left, where=offered > 0)
        left = np.minimum(left, 1.0)
        requests = flow[rows] * self._per_token[arcs.load[arc]] * record.seconds
        bad = bad_share(
            self._layout,
            record.latency,
            place,
            self._left[rows],
            is_first=self._first[rows],
            is_inter=self._inter[rows],
        )
        bad = left + (1.0 - left) * bad
        lost = (record.lost * self._per_token)[self._loads] * record.seconds
        lost_sum = sums(self._load_groups, lost, size)
        return (
            sums(group, requests, size) + lost_sum,
            sums(group, requests * bad, size) + lost_sum,
        )
