"""Latency attainment as clients saw it: per window and over all, failures counted as bad."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.lab.traffic.request import Outcome


@dataclass(frozen=True, slots=True)
class Objectives:
    """Limits in milliseconds; None = not judged."""

    ttft_ms: float | None = None
    itl_ms: float | None = None

    @classmethod
    def from_config(cls, document: Mapping[str, Any]) -> Objectives:
        """Of `{ttftMilliseconds, itlMilliseconds}`."""
        return cls(document.get("ttftMilliseconds"), document.get("itlMilliseconds"))

    def met(self, outcome: Outcome) -> bool:
        """Whether the request succeeded within every limit."""
        if not outcome.ok:
            return False
        ttft = self.ttft_ms is None or (outcome.ttft_ms or math.inf) <= self.ttft_ms
        itl = self.itl_ms is None or (outcome.itl_mean_ms or 0.0) <= self.itl_ms
        return ttft and itl


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _figures(outcomes: Sequence[Outcome], objectives: Objectives) -> dict[str, Any]:
    met = sum(objectives.met(item) for item in outcomes)
    ttft = [item.ttft_ms for item in outcomes if item.ttft_ms is not None]
    itl = [item.itl_mean_ms for item in outcomes if item.itl_mean_ms is not None]
    return {
        "requests": len(outcomes),
        "succeeded": sum(item.ok for item in outcomes),
        "withinObjectives": met,
        "attainment": met / len(outcomes) if outcomes else None,
        "tokens": sum(item.tokens for item in outcomes),
        "ttftMilliseconds": {"p50": percentile(ttft, 0.5), "p95": percentile(ttft, 0.95)},
        "itlMilliseconds": {"p50": percentile(itl, 0.5), "p95": percentile(itl, 0.95)},
    }


def summarise(
    outcomes: Sequence[Outcome], objectives: Objectives, *, window_seconds: float = 60.0
) -> dict[str, Any]:
    """Figures over all and per window of arrival, with the errors seen and how often."""
    windows: dict[int, list[Outcome]] = {}
    start = min((item.scheduled_time for item in outcomes), default=0.0)
    errors: dict[str, int] = {}
    for item in outcomes:
        windows.setdefault(int((item.scheduled_time - start) / window_seconds), []).append(item)
        if not item.ok:
            key = item.error.split(":")[0][:80]
            errors[key] = errors.get(key, 0) + 1
    return {
        **_figures(outcomes, objectives),
        "errors": errors,
        "windows": [
            {
                "startTime": start + index * window_seconds,
                **_figures(windows[index], objectives),
            }
            for index in sorted(windows)
        ],
    }
