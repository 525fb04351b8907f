"""Names of an engine's metrics as data: which series mean running, waiting, tokens, latency.

Vendors rename metrics; a new engine is a YAML file under `profiles/`, never code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

GAUGES = ("running", "waiting", "kvCacheUsage")
COUNTERS = (
    "preemptions",
    "promptTokens",
    "cachedPromptTokens",
    "generationTokens",
    "finished",
    "iterations",
)
HISTOGRAMS = ("timeToFirstToken", "interTokenLatency", "endToEnd")
REQUIRED = ("running", "waiting", "finished", "timeToFirstToken")


class EngineProfileError(ValueError):
    """A profile file that cannot be used; the message names file and field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """Metric names of one family of engines."""

    engines: tuple[str, ...]
    """Values of `engine.type` in the API."""
    metrics: Mapping[str, tuple[str, ...]]
    """Meaning -> names, the first that a scrape holds counts."""
    series_labels: tuple[str, ...]
    """Labels that tell independent series of one process apart."""
    only_where: Mapping[str, str]
    """Label values that count where the label is present: ranks that repeat numbers."""
    lazy_counters: bool
    """A fresh process shows no counters until its first request."""
    finished_reason_labels: tuple[str, ...]
    aborted_reasons: frozenset[str]
    source: str

    @property
    def sample_names(self) -> Mapping[str, str]:
        """Every series name to read -> its meaning (`running`, `timeToFirstToken.bucket`)."""
        result: dict[str, str] = {}
        for meaning, names in self.metrics.items():
            for name in names:
                if meaning in HISTOGRAMS:
                    for part in ("bucket", "sum", "count"):
                        result.setdefault(f"{name}_{part}", f"{meaning}.{part}")
                else:
                    result.setdefault(name, meaning)
        return result


def parse_profile(document: Any, where: str) -> EngineProfile:
    """One profile of a YAML document.

    Raises:
        EngineProfileError: a field is missing, unknown or of the wrong type.
    """
    if not isinstance(document, Mapping):
        raise EngineProfileError(f"{where}: not a mapping")
    metrics = document.get("metrics")
    if not isinstance(metrics, Mapping):
        raise EngineProfileError(f"{where}: metrics is missing")
    known = {*GAUGES, *COUNTERS, *HISTOGRAMS}
    for meaning, names in metrics.items():
        if meaning not in known:
            raise EngineProfileError(f"{where}: metrics.{meaning} is not one of {sorted(known)}")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise EngineProfileError(f"{where}: metrics.{meaning} must be a list of names")
    missing = [meaning for meaning in REQUIRED if not metrics.get(meaning)]
    if missing or not document.get("engines"):
        raise EngineProfileError(f"{where}: {', '.join(missing) or 'engines'} is missing")
    return EngineProfile(
        engines=tuple(document["engines"]),
        metrics={meaning: tuple(names) for meaning, names in metrics.items()},
        series_labels=tuple(document.get("seriesLabels") or ()),
        only_where=dict(document.get("onlyWhere") or {}),
        lazy_counters=bool(document.get("lazyCounters", False)),
        finished_reason_labels=tuple(document.get("finishedReasonLabels") or ()),
        aborted_reasons=frozenset(document.get("abortedReasons") or ()),
        source=str(document.get("source") or ""),
    )


@lru_cache(maxsize=1)
def engine_profiles() -> Mapping[str, EngineProfile]:
    """Packaged profiles by engine type of the API.

    Raises:
        EngineProfileError: a packaged file is wrong, or two claim one engine.
    """
    result: dict[str, EngineProfile] = {}
    folder = files("wattshift.adapters.latency") / "profiles"
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".yaml"):
            continue
        profile = parse_profile(yaml.safe_load(entry.read_text("utf-8")), entry.name)
        for engine in profile.engines:
            if engine in result:
                raise EngineProfileError(f"{entry.name}: engine {engine} is claimed twice")
            result[engine] = profile
    return result
