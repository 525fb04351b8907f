"""Accumulates scrapes of one placement into windows: deltas, resets, vanished pods, merged buckets.

No I/O and no clock: wall time comes in. A falling counter is a reset, its delta the current value.
A pod that vanishes keeps its deltas up to its last scrape, and the window is marked incomplete.
Histograms of different engines are merged on the bounds they have in common. Cells of a few
seconds keep a fine ring, older ones are merged into minutes, so that an hour stays small.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wattshift.adapters.latency.exposition import Histogram, PodScrape
from wattshift.core.engine import Counts

CELL_SECONDS = 5.0
COARSE_SECONDS = 60.0
FINE_FOR_SECONDS = 900.0
KEEP_SECONDS = 3600.0
EDGE_TOLERANCE = 1e-9
SAME_SCRAPE_SECONDS = 0.5
"""Through Prometheus one scrape is seen several times, its time known to some tenths."""
UNSEEN_SECONDS = 20.0
"""A pod that vanished longer after its last scrape took with it what nobody can bound."""
STALL_SECONDS = 10.0
"""An engine that runs requests for that long without a token stands still: no load explains it, not even
a long prompt, as others decode beside it."""


def counter_delta(before: float | None, after: float) -> float:
    """Increase of a counter; after a reset, or on its first appearance, the current value."""
    return after if before is None or after < before else after - before


def histogram_delta(before: Histogram | None, after: Histogram) -> Histogram:
    """Increase of a histogram; a change of bounds or any falling count is a reset."""
    if before is None or before.bounds != after.bounds:
        return after
    counts = tuple(a - b for a, b in zip(after.cumulative, before.cumulative, strict=True))
    if any(count < 0 for count in counts):
        return after
    return Histogram(after.bounds, counts, max(0.0, after.sum_seconds - before.sum_seconds))


def merge(one: Histogram | None, two: Histogram) -> Histogram:
    """Sum of two histograms on their common bounds; infinity is always common."""
    if one is None:
        return two
    if one.bounds == two.bounds:
        counts = tuple(a + b for a, b in zip(one.cumulative, two.cumulative, strict=True))
        return Histogram(one.bounds, counts, one.sum_seconds + two.sum_seconds)
    left = dict(zip(one.bounds, one.cumulative, strict=True))
    right = dict(zip(two.bounds, two.cumulative, strict=True))
    common = tuple(bound for bound in one.bounds if bound in right)
    return Histogram(
        common,
        tuple(left[bound] + right[bound] for bound in common),
        one.sum_seconds + two.sum_seconds,
    )


def classify(histogram: Histogram, threshold_seconds: float) -> Counts:
    """Samples against a threshold.

    Good: in buckets that end at or below it; bad: in those that begin there or above; ambiguous:
    in the bucket that it cuts.
    """
    good = 0.0
    reached = 0.0
    """Samples up to and including the bucket that holds the threshold."""
    for bound, count in zip(histogram.bounds, histogram.cumulative, strict=True):
        if bound <= threshold_seconds + EDGE_TOLERANCE:
            good = reached = count
        else:
            exact = _is_edge(histogram.bounds, threshold_seconds)
            reached = good if exact else count
            break
    bad = histogram.count - reached
    return Counts(good=round(good), bad=round(bad), ambiguous=round(histogram.count - good - bad))


def _restarted(before: PodScrape, after: PodScrape) -> bool:
    """Whether the process behind a pod began anew: one of its counters fell."""
    return any(value < before.counters.get(key, 0.0) for key, value in after.counters.items())


def _is_edge(bounds: Iterable[float], threshold: float) -> bool:
    return any(abs(bound - threshold) <= EDGE_TOLERANCE for bound in bounds)


@dataclass(slots=True)
class Cell:
    """Deltas of all pods that ended within one stretch of wall time."""

    start: float
    """Earliest beginning of an interval in it."""
    end: float
    counters: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    in_flight: float = 0.0
    """Running and waiting over all pods, after the last scrape in the cell."""
    missing: float = 0.0
    """Requests that vanished pods took with them, at most; infinite = nobody knows."""
    changed: bool = False
    """A pod came or went: what was served before and after was served by other replicas."""
    stalled: bool = False
    """An engine stood still: what it did not give then, or gave at once after, belongs to no load."""
    least_running: float = math.inf
    """Fewest requests that ran over all pods at a scrape, from the one before the cell on."""
    most_running: float = 0.0
    """Most of them."""

    def absorb(self, other: Cell) -> None:
        """Add a later cell."""
        self.start = min(self.start, other.start)
        self.end = max(self.end, other.end)
        for name, value in other.counters.items():
            self.counters[name] = self.counters.get(name, 0.0) + value
        for name, histogram in other.histograms.items():
            self.histograms[name] = merge(self.histograms.get(name), histogram)
        self.in_flight = other.in_flight
        self.missing += other.missing
        self.changed = self.changed or other.changed
        self.stalled = self.stalled or other.stalled
        self.least_running = min(self.least_running, other.least_running)
        self.most_running = max(self.most_running, other.most_running)


@dataclass(frozen=True, slots=True)
class Sums:
    """Everything in one window."""

    seconds: float
    """Wall time that the deltas cover."""
    counters: Mapping[str, float]
    histograms: Mapping[str, Histogram]
    missing: float
    """Requests that vanished pods took with them, at most; infinite = nobody knows."""
    in_flight_change: float
    changed: bool = False
    """A pod came or went."""
    stalled: bool = False
    """An engine stood still."""
    running: tuple[float, float] = (0.0, 0.0)
    """Fewest and most requests that ran over all pods at a scrape."""


class PlacementWindow:
    """Ring of cells of one placement."""

    def __init__(self) -> None:
        self._cells: deque[Cell] = deque()
        self._last: dict[str, PodScrape] = {}
        self._waiting_since: dict[str, float] = {}
        self._active_at: float | None = None
        self._first_at: float | None = None
        self._was_busy: set[str] = set()
        self._spacing: dict[str, float] = {}
        self._rates: dict[str, float] = {}
        """Requests per second that each pod ended between its last two scrapes."""
        self._still_since: dict[str, float] = {}
        """Since when a pod runs requests and gives nothing."""
        self._running = 0.0
        """Requests that ran over all pods at the last scrape of each."""

    @property
    def pods(self) -> Mapping[str, PodScrape]:
        """Last scrape of every pod that has not vanished, by UID."""
        return self._last

    @property
    def newest(self) -> float | None:
        """Wall time of the newest scrape."""
        return max((scrape.wall_time for scrape in self._last.values()), default=None)

    @property
    def spacing_seconds(self) -> float:
        """Seconds between the last two scrapes of the pod that is scraped most often."""
        return min(self._spacing.values(), default=0.0)

    @property
    def active_at(self) -> float | None:
        """Wall time of the last sign of a request; of the first scrape if there was none."""
        return self._active_at if self._active_at is not None else self._first_at

    def lacks_counters(self, pod_uid: str) -> bool:
        """Whether a pod was seen at work and is idle again, yet never showed a counter.

        Its metric names are not those of the profile: its silence proves nothing.
        """
        scrape = self._last[pod_uid]
        idle = scrape.running + scrape.waiting <= 0
        return idle and not scrape.served and pod_uid in self._was_busy

    def waiting_longest(self) -> float:
        """Seconds for which requests of some pod waited, up to its last scrape, with no first token.

        Not up to now: between two scrapes a quarter of a minute apart any queue may come and go.
        """
        return max(
            (self._last[uid].wall_time - since for uid, since in self._waiting_since.items()),
            default=0.0,
        )

    def add(self, scrape: PodScrape) -> None:
        """Take one scrape; one that is not newer than the last of its pod says nothing new."""
        before = self._last.get(scrape.pod_uid)
        if before is not None:
            spacing = scrape.wall_time - before.wall_time
            if spacing < SAME_SCRAPE_SECONDS:
                return
            self._spacing[scrape.pod_uid] = spacing
        self._first_at = scrape.wall_time if self._first_at is None else self._first_at
        self._last[scrape.pod_uid] = scrape
        if scrape.running + scrape.waiting > 0:
            self._was_busy.add(scrape.pod_uid)
        if before is None:
            self._baseline(scrape)
            self._push(Cell(start=scrape.wall_time, end=scrape.wall_time, changed=True))
            return
        cell = Cell(start=before.wall_time, end=scrape.wall_time)
        for (meaning, series), value in scrape.counters.items():
            delta = counter_delta(before.counters.get((meaning, series)), value)
            cell.counters[meaning] = cell.counters.get(meaning, 0.0) + delta
        for (meaning, series), histogram in scrape.histograms.items():
            delta_histogram = histogram_delta(before.histograms.get((meaning, series)), histogram)
            cell.histograms[meaning] = merge(cell.histograms.get(meaning), delta_histogram)
        if _restarted(before, scrape):
            cell.changed = True
            cell.missing = self._unseen(before, scrape.wall_time)
        self._note(scrape, cell, before)
        cell.stalled = self._stood_still(before, scrape, cell)
        self._push(cell)

    def _stood_still(self, before: PodScrape, after: PodScrape, cell: Cell) -> bool:
        """Whether a pod gave nothing for long though it ran requests; also as it gives again."""
        given = sum(value for name, value in cell.counters.items() if name != "iterations")
        given += sum(row.count for row in cell.histograms.values())
        tells = "generationTokens" in cell.counters or "interTokenLatency" in cell.histograms
        still = tells and given <= 0 and min(before.running, after.running) > 0
        if still:
            since = self._still_since.setdefault(after.pod_uid, before.wall_time)
            return after.wall_time - since >= STALL_SECONDS
        known = self._still_since.pop(after.pod_uid, None)
        return known is not None and before.wall_time - known >= STALL_SECONDS

    def _baseline(self, scrape: PodScrape) -> None:
        """A pod seen for the first time has no deltas; its past is not of this window."""
        if scrape.running + scrape.waiting > 0:
            self._active_at = scrape.wall_time
        if scrape.waiting > 0:
            self._waiting_since[scrape.pod_uid] = scrape.wall_time

    def _note(self, scrape: PodScrape, cell: Cell, before: PodScrape) -> None:
        """Signs of life, and since when requests wait in vain."""
        first = cell.histograms.get("timeToFirstToken")
        first_tokens = 0.0 if first is None else first.count
        finished = cell.counters.get("finished", 0.0) + cell.counters.get("aborted", 0.0)
        self._rates[scrape.pod_uid] = max(finished, first_tokens) / (
            scrape.wall_time - before.wall_time
        )
        busy = scrape.running + scrape.waiting > 0 or before.running + before.waiting > 0
        if busy or first_tokens > 0 or finished > 0 or cell.counters.get("promptTokens", 0) > 0:
            self._active_at = scrape.wall_time
        if scrape.waiting <= 0:
            self._waiting_since.pop(scrape.pod_uid, None)
        elif first_tokens > 0:
            self._waiting_since[scrape.pod_uid] = scrape.wall_time
        else:
            self._waiting_since.setdefault(scrape.pod_uid, scrape.wall_time)

    def vanish(self, pod_uid: str, now: float) -> None:
        """A pod is gone: its deltas stay, what it did since its last scrape is not known.

        At most what it had in flight, and what it ended at its last rate since then: one that was
        drained before takes nothing with it.
        """
        gone = self._last.pop(pod_uid, None)
        self._waiting_since.pop(pod_uid, None)
        self._was_busy.discard(pod_uid)
        self._spacing.pop(pod_uid, None)
        self._still_since.pop(pod_uid, None)
        if gone is not None:
            missing = self._unseen(gone, now)
            self._push(Cell(start=now, end=now, missing=missing, changed=True))
        self._rates.pop(pod_uid, None)

    def _unseen(self, last: PodScrape, now: float) -> float:
        """Requests that a process took with it after its last scrape, at most."""
        unseen = max(0.0, now - last.wall_time)
        lost = last.running + last.waiting + math.ceil(self._rates.get(last.pod_uid, 0.0) * unseen)
        return math.inf if lost > 0 and unseen > UNSEEN_SECONDS else lost

    def keep_only(self, pod_uids: Iterable[str], now: float) -> None:
        """Let every pod vanish that is not among these."""
        for pod_uid in self._last.keys() - set(pod_uids):
            self.vanish(pod_uid, now)

    def _push(self, cell: Cell) -> None:
        running = sum(scrape.running for scrape in self._last.values())
        cell.in_flight = running + sum(scrape.waiting for scrape in self._last.values())
        cell.least_running = min(running, self._running)
        cell.most_running = max(running, self._running)
        self._running = running
        if (self._cells and cell.end - self._cells[-1].start <= CELL_SECONDS) or (
            self._cells and cell.end <= self._cells[-1].end
        ):
            self._cells[-1].absorb(cell)
        else:
            self._cells.append(cell)
        self._age(self._cells[-1].end)

    def _age(self, now: float) -> None:
        while self._cells and self._cells[0].end < now - KEEP_SECONDS:
            self._cells.popleft()
        old = 0
        while old + 1 < len(self._cells) and self._cells[old + 1].end < now - FINE_FOR_SECONDS:
            old += 1
        if old == 0:
            return
        one, two = self._cells[old - 1], self._cells[old]
        if math.floor(one.end / COARSE_SECONDS) == math.floor(two.end / COARSE_SECONDS):
            one.absorb(two)
            del self._cells[old]

    def sums(self, now: float, window_seconds: float) -> Sums:
        """Deltas that ended within the last `window_seconds`."""
        total = Cell(start=math.inf, end=-math.inf)
        before: float | None = None
        for cell in self._cells:
            if cell.end <= now - window_seconds:
                before = cell.in_flight
                continue
            total.absorb(cell)
        empty = not math.isfinite(total.start)
        return Sums(
            seconds=0.0 if empty else total.end - total.start,
            counters=total.counters,
            histograms=total.histograms,
            missing=total.missing,
            in_flight_change=0.0 if empty or before is None else total.in_flight - before,
            changed=total.changed,
            stalled=total.stalled,
            running=(0.0, 0.0) if empty else (total.least_running, total.most_running),
        )
