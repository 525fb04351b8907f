"""Latency samples of the engines in sliding windows, counted from the plant's distributions.

Samples are expected counts, rounded, so that the real guard judges what a real engine would report.
Queueing is in the time to the first token; the round trip is not. Neighbour: `world.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from wattshift.core.engine import Counts, LatencyWindow, Metric
from wattshift.sim.curves import share_above
from wattshift.sim.layout import Layout
from wattshift.sim.plant import Latency, Record
from wattshift.sim.scenario import Array

FAST_PART = 0.1
LEAST_FAST_SECONDS = 10.0


@dataclass(slots=True)
class _Samples:
    seconds: float
    total: Array
    bad: Array
    requests: Array


class _Ring:
    """Sums over the last `seconds`; a longer span counts by the part that fits."""

    def __init__(self, seconds: float, size: int) -> None:
        self.seconds = seconds
        self._rows: deque[_Samples] = deque()
        self._held = 0.0
        self.total, self.bad, self.requests = np.zeros(size), np.zeros(size), np.zeros(size)
        self._lists: tuple[list[float], list[float], list[float]] | None = None

    def of(self, probe: int) -> tuple[Counts, int]:
        """(samples, requests) of one probe."""
        if self._lists is None:
            self._lists = (self.total.tolist(), self.bad.tolist(), self.requests.tolist())
        totals, bads, requests = self._lists
        total = max(0, round(totals[probe]))
        bad = min(total, max(0, round(bads[probe])))
        return Counts(good=total - bad, bad=bad), round(requests[probe])

    def add(self, row: _Samples) -> None:
        self._lists = None
        if row.seconds >= self.seconds:
            part = self.seconds / row.seconds
            self._rows.clear()
            self._held = 0.0
            self.total, self.bad = row.total * part, row.bad * part
            self.requests = row.requests * part
            return
        if not self._rows:
            self.total, self.bad = np.zeros_like(row.total), np.zeros_like(row.bad)
            self.requests = np.zeros_like(row.requests)
        self._rows.append(row)
        self._held += row.seconds
        self.total = self.total + row.total
        self.bad = self.bad + row.bad
        self.requests = self.requests + row.requests
        while self._held - self._rows[0].seconds >= self.seconds - 1e-9:
            old = self._rows.popleft()
            self._held -= old.seconds
            self.total = self.total - old.total
            self.bad = self.bad - old.bad
            self.requests = self.requests - old.requests


class Windows:
    """Slow and fast windows of every probe."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        probes = layout.probes
        size = len(probes.placement)
        self._lengths = sorted({float(row) for row in probes.window_seconds})
        self._slow = {row: _Ring(row, size) for row in self._lengths}
        fast = {max(LEAST_FAST_SECONDS, row * FAST_PART) for row in self._lengths}
        self._fast = {row: _Ring(row, size) for row in fast}
        places = len(layout.names)
        self._of: list[list[tuple[Metric, int, _Ring, _Ring, int]]] = [[] for _ in range(places)]
        """By placement: (metric, threshold in ms, slow and fast ring, probe)."""
        for probe, place in enumerate(probes.placement.tolist()):
            seconds = float(probes.window_seconds[probe])
            short = max(LEAST_FAST_SECONDS, seconds * FAST_PART)
            threshold = round(float(probes.threshold[probe]))
            rings = (self._slow[seconds], self._fast[short])
            self._of[place].append((probes.metric[probe], threshold, *rings, probe))
        self.idle_seconds = np.zeros(places)

    def add(self, record: Record) -> None:
        """Count the samples of one span."""
        probes, layout = self._layout.probes, self._layout
        active = (record.served > 0) | (record.queue > 0)
        self.idle_seconds = np.where(active, 0.0, self.idle_seconds + record.seconds)
        if not len(probes.placement):
            return
        place = probes.placement
        tokens = record.served[place] * record.seconds
        requests = tokens / np.maximum(layout.output_tokens[place], 1.0)
        total = np.where(probes.is_inter, tokens, requests)
        bad = total * bad_share(
            layout,
            record.latency,
            place,
            probes.threshold,
            is_first=probes.is_first,
            is_inter=probes.is_inter,
        )
        row = _Samples(seconds=record.seconds, total=total, bad=bad, requests=requests)
        for ring in (*self._slow.values(), *self._fast.values()):
            ring.add(row)

    def of(self, place: int) -> tuple[LatencyWindow, ...]:
        """Windows of one placement."""
        found = []
        for metric, threshold, slow, fast, probe in self._of[place]:
            many, requests_slow = slow.of(probe)
            few, requests_fast = fast.of(probe)
            found.append(
                LatencyWindow(
                    metric=metric,
                    threshold_milliseconds=threshold,
                    slow=many,
                    fast=few,
                    slow_seconds=slow.seconds,
                    fast_seconds=fast.seconds,
                    requests_slow=requests_slow,
                    requests_fast=requests_fast,
                )
            )
        return tuple(found)


def bad_share(
    layout: Layout,
    latency: Latency,
    place: np.ndarray[tuple[int], np.dtype[np.intp]],
    threshold: Array,
    *,
    is_first: Array | np.ndarray[tuple[int], np.dtype[np.bool_]],
    is_inter: Array | np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Array:
    """Share of samples above a threshold in ms, by row of `place`; the wait counts from arrival.

    End to end is the first token plus the answer's tokens, whose spread shrinks with their number.
    """
    tokens = np.maximum(layout.output_tokens[place], 1.0)
    inter_p50, inter_p99 = latency.inter_p50[place], latency.inter_p99[place]
    first_p50, first_p99 = latency.first_p50[place], latency.first_p99[place]
    whole_p50 = first_p50 + tokens * inter_p50
    whole_p99 = first_p99 + tokens * inter_p50 + np.sqrt(tokens) * (inter_p99 - inter_p50)
    p50 = np.where(is_inter, inter_p50, np.where(is_first, first_p50, whole_p50))
    p99 = np.where(is_inter, inter_p99, np.where(is_first, first_p99, whole_p99))
    left = threshold - np.where(is_inter, 0.0, latency.wait[place])
    return share_above(left, np.maximum(p50, 1e-6), np.maximum(p99, 1e-6))


def is_kind(
    metrics: tuple[Metric, ...], kind: Metric
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mask of one metric."""
    return np.asarray([metric is kind for metric in metrics], dtype=bool)
