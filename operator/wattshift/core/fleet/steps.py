"""The horizon in non-uniform steps, and step functions averaged over them.

The first step is as long as a change has to pay back at least; then whole hours, later longer ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wattshift.core.fleet.problem import Floats

HOUR = 3600.0
LATER_HOURS = (1, 1, 1, 2, 3, 4, 6, 6, 12, 12, 24)
"""Lengths after the first step, from its next whole hour on."""


def edges(now: float, first_seconds: float, horizon_seconds: float) -> Floats:
    """Edges of the steps from `now`: at least one step, none past the horizon."""
    end = now + max(horizon_seconds, first_seconds)
    times = [now, now + first_seconds]
    mark = (times[-1] // HOUR + 1) * HOUR
    if mark - times[-1] < HOUR / 4:
        mark += HOUR
    for hours in LATER_HOURS:
        if mark >= end:
            break
        times.append(mark)
        mark += hours * HOUR
    if times[-1] < end:
        times.append(end)
    return np.asarray(times)


def means(times: Sequence[float], values: Sequence[float], steps: Floats) -> Floats:
    """Mean of a step function over each step; `values[k]` holds from `times[k]` on.

    Before the first time its value holds too. One value for each of `len(steps) - 1` steps.
    """
    if len(values) == 1:
        return np.full(steps.shape[0] - 1, float(values[0]))
    starts, levels = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    area = np.concatenate([[0.0], np.cumsum(np.diff(starts) * levels[:-1])])
    last = max(float(steps[-1]), float(starts[-1])) + 1.0
    first = min(float(steps[0]), float(starts[0])) - 1.0
    starts = np.concatenate([[first], starts, [last]])
    begin = -(starts[1] - first) * levels[0]
    area = np.concatenate([[begin], area, [area[-1] + (last - starts[-2]) * levels[-1]]])
    at = np.interp(steps, starts, area)
    found: Floats = np.diff(at) / np.diff(steps)
    return found
