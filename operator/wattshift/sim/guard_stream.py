"""Streams of requests with a known share outside their objective, as an engine's scrapes show them.

Seeded. Latency is lognormal with its 95th percentile at `ratio` x the objective; tokens of one request
share a factor, so that they correlate. Bucket edges are vLLM's. Neighbour: `guard_trial.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wattshift.adapters.latency.exposition import Histogram, PodScrape, SeriesKey
from wattshift.core.engine import Metric

Z95 = 1.6448536269514722
FIRST_EDGES = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5)
"""Upper edges of vLLM's time to first token, seconds (the larger ones left out)."""
TOKEN_EDGES = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Upper edges of vLLM's inter-token latency, seconds."""
SERIES = ("model",)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What one engine serves."""

    metric: Metric = Metric.TIME_TO_FIRST_TOKEN
    threshold_milliseconds: int = 500
    per_minute: float = 60.0
    ratios: tuple[tuple[float, float], ...] = ((0.0, 0.8),)
    """(from second, 95th percentile over the objective), ascending."""
    spread: float = 0.5
    """Standard deviation of the logarithm of latency."""
    shared: float = 0.7
    """Share of that variance which the tokens of one request have in common."""
    tokens: int = 150
    """Output tokens of a request."""
    seconds: float = 10_800.0
    scrape_seconds: float = 15.0
    seed: int = 1
    restart_every_seconds: float = 0.0
    """The process begins anew so often: its counters fall to zero; 0 = never."""
    stalls_at: float = math.inf
    """From here on no request gets a first token: what comes waits."""

    def bad_share(self, ratio: float) -> float:
        """True share of samples outside the objective: P(X > objective)."""
        z = Z95 - math.log(ratio) / self.spread
        return 0.5 * math.erfc(z / math.sqrt(2))


@dataclass(slots=True)
class _Drawn:
    """All requests of a stream."""

    arrivals: Floats
    first: Floats
    """Seconds to the first token."""
    ends: Floats
    token_times: Floats = field(default_factory=lambda: np.zeros(0))
    gaps: Floats = field(default_factory=lambda: np.zeros(0))


def _draw(stream: Stream) -> _Drawn:
    rng = np.random.default_rng(stream.seed)
    expected = stream.per_minute / 60 * stream.seconds
    count = int(rng.poisson(expected))
    arrivals = np.sort(rng.uniform(0.0, stream.seconds, count))
    starts = np.asarray([row[0] for row in stream.ratios])
    ratios = np.asarray([row[1] for row in stream.ratios])
    ratio = ratios[np.maximum(np.searchsorted(starts, arrivals, side="right") - 1, 0)]
    objective = stream.threshold_milliseconds / 1000
    median = ratio * objective * math.exp(-Z95 * stream.spread)
    if stream.metric is Metric.TIME_TO_FIRST_TOKEN:
        first = median * np.exp(stream.spread * rng.standard_normal(count))
        first = np.where(arrivals >= stream.stalls_at, np.inf, first)
        return _Drawn(arrivals, first, arrivals + first + 0.02 * stream.tokens)
    own = stream.spread * math.sqrt(1 - stream.shared)
    common = stream.spread * math.sqrt(stream.shared)
    factor = median * np.exp(common * rng.standard_normal(count))
    gaps = factor[:, None] * np.exp(own * rng.standard_normal((count, stream.tokens)))
    times = arrivals[:, None] + 0.2 + np.cumsum(gaps, axis=1)
    return _Drawn(arrivals, np.full(count, 0.2), times[:, -1], times.ravel(), gaps.ravel())


def scrapes(stream: Stream, pod: str = "engine-0") -> Iterator[PodScrape]:
    """Every scrape of the stream's engine, in order."""
    drawn = _draw(stream)
    first_at = np.sort(drawn.arrivals + drawn.first)
    ends = np.sort(drawn.ends)
    times = np.arange(0.0, stream.seconds + 1e-9, stream.scrape_seconds)
    first = _cumulative(drawn.arrivals + drawn.first, drawn.first, FIRST_EDGES, times)
    tokens = _cumulative(drawn.token_times, drawn.gaps, TOKEN_EDGES, times)
    token_sum = _sums(drawn.token_times, drawn.gaps, times)
    arrived = np.searchsorted(drawn.arrivals, times, side="right")
    begun = np.searchsorted(first_at, times, side="right")
    ended = np.searchsorted(ends, times, side="right")
    zero = 0
    for k, time in enumerate(times.tolist()):
        if stream.restart_every_seconds and time >= (
            (math.floor(times[zero] / stream.restart_every_seconds) + 1)
            * stream.restart_every_seconds
        ):
            zero = k
        waits = int(arrived[k] - begun[k]) if time >= stream.stalls_at else 0
        histograms: dict[tuple[str, SeriesKey], Histogram] = {
            ("timeToFirstToken", SERIES): _histogram(FIRST_EDGES, first[k] - first[zero], 0.0)
        }
        if stream.metric is Metric.INTER_TOKEN_LATENCY:
            histograms["interTokenLatency", SERIES] = _histogram(
                TOKEN_EDGES, tokens[k] - tokens[zero], float(token_sum[k] - token_sum[zero])
            )
        yield PodScrape(
            pod_uid=pod,
            pod_name=pod,
            wall_time=time,
            running=float(begun[k] - ended[k]),
            waiting=float(waits),
            kv_cache_usage=0.2,
            counters={("finished", SERIES): float(ended[k] - ended[zero])},
            histograms=histograms,
            served=True,
        )


def _histogram(edges: tuple[float, ...], counts: Floats, total: float) -> Histogram:
    return Histogram((*edges, math.inf), tuple(counts.tolist()), total)


def _cumulative(at: Floats, values: Floats, edges: tuple[float, ...], times: Floats) -> Floats:
    """Counts at or below each edge (and infinity), of all samples up to each time."""
    place = np.searchsorted(np.asarray(edges), values, side="left")
    step = np.searchsorted(times, at, side="left")
    seen = step < len(times)
    counts = np.zeros((len(times), len(edges) + 1))
    np.add.at(counts, (step[seen], place[seen]), 1.0)
    result: Floats = counts.cumsum(axis=0).cumsum(axis=1)
    return result


def _sums(at: Floats, values: Floats, times: Floats) -> Floats:
    step = np.searchsorted(times, at, side="left")
    seen = step < len(times)
    result: Floats = np.bincount(step[seen], values[seen], len(times)).cumsum()
    return result
