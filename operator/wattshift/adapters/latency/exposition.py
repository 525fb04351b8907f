"""From the text an engine exposes, or samples Prometheus returns, to one `PodScrape`.

Keeps series apart by the profile's labels, so that a reset of one is seen. An absent metric is
not zero, except that a process that never served shows no counters yet (`lazyCounters`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from wattshift.adapters.latency.profile import HISTOGRAMS, EngineProfile

SeriesKey = tuple[str, ...]
"""Values of the profile's series labels."""

RawSample = tuple[str, Mapping[str, str], float]
"""(name, labels, value)"""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts at upper bounds in seconds; the last bound is infinity."""

    bounds: tuple[float, ...]
    cumulative: tuple[float, ...]
    sum_seconds: float

    @property
    def count(self) -> float:
        """All samples."""
        return self.cumulative[-1] if self.cumulative else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodScrape:
    """What one engine process said at one moment of the wall clock."""

    pod_uid: str
    pod_name: str
    wall_time: float
    running: float
    waiting: float
    kv_cache_usage: float | None
    counters: Mapping[tuple[str, SeriesKey], float]
    """(meaning, series); `finished` and `aborted` are apart."""
    histograms: Mapping[tuple[str, SeriesKey], Histogram]
    served: bool
    """Whether the counters are there; False = a fresh process that shows none yet."""

    def total(self, meaning: str) -> float | None:
        """Sum of a counter over the series; None where it is absent."""
        values = [value for (name, _), value in self.counters.items() if name == meaning]
        return sum(values) if values else None


class MetricMissing(ValueError):
    """The scrape lacks a metric without which it means nothing; names it."""


def parse_text(text: str, profile: EngineProfile) -> list[RawSample]:
    """Samples of the profile's series in a text exposition.

    Other lines are dropped before the parser sees them: an engine exposes some 300 lines.

    Raises:
        ValueError: not the exposition format.
    """
    wanted = profile.sample_names
    kept = [
        line
        for line in text.splitlines()
        if line and line[0] != "#" and line.partition("{")[0].partition(" ")[0] in wanted
    ]
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families("\n".join(kept) + "\n")
        for sample in family.samples
    ]


def build_scrape(
    samples: Iterable[RawSample],
    profile: EngineProfile,
    *,
    pod_uid: str,
    pod_name: str,
    wall_time: float,
) -> PodScrape:
    """Sort samples by meaning and series.

    Raises:
        MetricMissing: a gauge is absent, or a counter that this engine always shows.
    """
    gauges: dict[str, list[float]] = {}
    counters: dict[tuple[str, SeriesKey], float] = {}
    parts: dict[tuple[str, SeriesKey], dict[float, float]] = {}
    sums: dict[tuple[str, SeriesKey], float] = {}
    names = _first_names(samples := list(samples), profile)
    meanings = profile.sample_names
    for name, labels, value in samples:
        meaning = meanings.get(name)
        if meaning is None or math.isnan(value) or name not in names[meaning]:
            continue
        if any(labels.get(key, want) != want for key, want in profile.only_where.items()):
            continue
        series = tuple(labels.get(key, "") for key in profile.series_labels)
        family, dot, part = meaning.partition(".")
        if dot:
            if part == "bucket":
                edges = parts.setdefault((family, series), {})
                edge = float(labels.get("le", "inf"))
                edges[edge] = edges.get(edge, 0.0) + value
            elif part == "sum":
                sums[family, series] = sums.get((family, series), 0.0) + value
        elif meaning in {"running", "waiting", "kvCacheUsage"}:
            gauges.setdefault(meaning, []).append(value)
        else:
            key = (_finished(meaning, labels, profile), series)
            counters[key] = counters.get(key, 0.0) + value
    histograms = {
        key: Histogram(
            tuple(sorted(edges)), tuple(edges[e] for e in sorted(edges)), sums.get(key, 0.0)
        )
        for key, edges in parts.items()
        if math.inf in edges
    }
    return _checked(gauges, counters, histograms, profile, (pod_uid, pod_name, wall_time))


def _first_names(samples: list[RawSample], profile: EngineProfile) -> Mapping[str, frozenset[str]]:
    """Per meaning the one family to read: engines show old and new names side by side."""
    present = {name for name, _, _ in samples}
    result: dict[str, frozenset[str]] = {}
    for meaning, names in profile.metrics.items():
        if meaning in HISTOGRAMS:
            chosen = next((name for name in names if f"{name}_bucket" in present), None)
            for part in ("bucket", "sum", "count"):
                result[f"{meaning}.{part}"] = frozenset({f"{chosen}_{part}"})
        else:
            found = next((name for name in names if name in present), None)
            result[meaning] = frozenset({found} if found else ())
    return result


def _finished(meaning: str, labels: Mapping[str, str], profile: EngineProfile) -> str:
    """Aborted and failed requests are a counter of their own."""
    if meaning != "finished":
        return meaning
    reason = next((labels[key] for key in profile.finished_reason_labels if key in labels), "")
    return "aborted" if reason in profile.aborted_reasons else "finished"


def _checked(
    gauges: Mapping[str, list[float]],
    counters: Mapping[tuple[str, SeriesKey], float],
    histograms: Mapping[tuple[str, SeriesKey], Histogram],
    profile: EngineProfile,
    identity: tuple[str, str, float],
) -> PodScrape:
    for meaning in ("running", "waiting"):
        if meaning not in gauges:
            raise MetricMissing(f"no {' or '.join(profile.metrics[meaning])}")
    running, waiting = sum(gauges["running"]), sum(gauges["waiting"])
    served = any(meaning in {"finished", "aborted"} for meaning, _ in counters)
    if not served and not profile.lazy_counters:
        raise MetricMissing(f"no {' or '.join(profile.metrics['finished'])}")
    usage = gauges.get("kvCacheUsage")
    pod_uid, pod_name, wall_time = identity
    return PodScrape(
        pod_uid=pod_uid,
        pod_name=pod_name,
        wall_time=wall_time,
        running=running,
        waiting=waiting,
        kv_cache_usage=max(usage) if usage else None,
        counters=counters,
        histograms=histograms,
        served=served,
    )
