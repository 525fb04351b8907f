"""What the engines of one placement report, as numbers the guard and the planner can judge.

Filled by `adapters/latency/`; read by `core/load/guard.py` and `core/power/power.py`. Windows run on the wall
clock: latency is real even where the grid clock of a replay runs faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Metric(StrEnum):
    """Latency metrics an objective may name (`objectives[].metric`)."""

    TIME_TO_FIRST_TOKEN = "TimeToFirstToken"  # noqa: S105 - not a secret
    INTER_TOKEN_LATENCY = "InterTokenLatency"  # noqa: S105 - not a secret
    END_TO_END = "EndToEndLatency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Samples of one window: good, bad, and those in the bucket that the threshold cuts."""

    good: int = 0
    bad: int = 0
    ambiguous: int = 0

    @property
    def total(self) -> int:
        """All samples."""
        return self.good + self.bad + self.ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyWindow:
    """Counts against one objective over its slow window and over the fast one (a tenth of it)."""

    metric: Metric
    threshold_milliseconds: int
    slow: Counts
    fast: Counts
    slow_seconds: float
    fast_seconds: float
    requests_slow: int = 0
    """Requests behind the samples: token samples of one request correlate."""
    requests_fast: int = 0
    incomplete: bool = False
    """A pod vanished with work in flight: its last samples are missing."""
    missing: int | None = None
    """Where incomplete: at most so many requests are missing; None = nobody can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounters:
    """Last scrape of one engine process: the evidence for warm and for drained."""

    pod_uid: str
    pod_name: str
    scrape_wall_time: float
    running: int
    waiting: int
    success_total: int
    aborted_total: int
    prompt_tokens_total: int
    generation_tokens_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """All engines of one placement together; rates per second over the fast window."""

    age_seconds: float
    """Wall seconds since the last good scrape of any pod."""
    scrape_interval_seconds: float
    pods_scraped: int
    pods_expected: int
    running: int
    waiting: int
    waiting_longest_seconds: float
    """Wall seconds for which requests have waited while no first token came; 0 while they come."""
    first_tokens_per_second: float
    output_tokens_per_second: float
    prompt_tokens_per_second: float
    requests_per_second: float
    concurrency: float
    """delta(inter-token latency sum) / delta t: exact mean of sequences in decode."""
    kv_cache_usage: float | None
    """Share 0..1 of the fullest engine; None where the engine does not say."""
    preemptions: int
    """In the window of the rates."""
    idle_seconds: float
    """Wall seconds since the last arrival, running or waiting request."""
    duty: float | None = None
    """Share 0..1 of time in which an engine decodes, per pod; None where it does not say."""
    windows: tuple[LatencyWindow, ...] = ()
    pods: tuple[PodCounters, ...] = ()
