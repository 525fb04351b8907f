"""Curves on the grid clock from small CSV files: days that repeat, or series of times."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.telemetry.clock import parse_time

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class DayCurve:
    """Values at seconds of a day (`zone_offset_seconds` east of UTC); repeats every day."""

    seconds: Sequence[float]
    values: Sequence[float]
    zone_offset_seconds: float = 0.0
    step: bool = False
    """Hold the last value (prices) instead of interpolating (wind, load)."""

    def at(self, grid_time: float) -> float:
        """Value at a grid time."""
        second = (grid_time + self.zone_offset_seconds) % DAY_SECONDS
        index = bisect_right(self.seconds, second) - 1
        left, value = self.seconds[index], self.values[index]
        if self.step:
            return value
        last = index + 1 >= len(self.seconds) or index < 0
        right = self.seconds[0] + DAY_SECONDS if last else self.seconds[index + 1]
        if index < 0:
            left, right = left - DAY_SECONDS, self.seconds[0]
        after = self.values[0] if last else self.values[index + 1]
        return value + (after - value) * (second - left) / (right - left)

    @property
    def peak(self) -> float:
        """Largest value."""
        return max(self.values)


def constant(value: float) -> DayCurve:
    """The same all day."""
    return DayCurve((0.0,), (float(value),))


@dataclass(frozen=True, slots=True)
class SeriesCurve:
    """Values at grid times, as a ConfigMap of the product has them; clamped at both ends."""

    times: Sequence[float]
    values: Sequence[float]
    step: bool = False

    def at(self, grid_time: float) -> float:
        """Value at a grid time."""
        index = bisect_right(self.times, grid_time) - 1
        if index < 0:
            return self.values[0]
        if self.step or index + 1 >= len(self.times):
            return self.values[index]
        left, right = self.times[index], self.times[index + 1]
        share = (grid_time - left) / (right - left)
        return self.values[index] + share * (self.values[index + 1] - self.values[index])

    @property
    def peak(self) -> float:
        """Largest value."""
        return max(self.values)


Curve = DayCurve | SeriesCurve


def read_curve(
    path: Path | str,
    column: str,
    *,
    time_column: str = "time",
    zone_offset_seconds: float = 0.0,
    step: bool = False,
    scale: float = 1.0,
) -> Curve:
    """Column of a CSV: times as HH:MM make a day that repeats, RFC 3339 times a series.

    Lines that start with `#` are comments; values are multiplied by `scale` (units). Raises
    ValueError when a column is absent, times do not rise, or one has no zone.
    """
    lines = [
        line for line in Path(path).read_text().splitlines() if line and not line.startswith("#")
    ]
    rows = list(csv.DictReader(lines))
    for name in (column, time_column):
        if not rows or name not in rows[0]:
            raise ValueError(f"{path}: no column {name!r}")
    texts = [row[time_column].strip() for row in rows]
    daily = all(len(text) <= 5 for text in texts)
    times = [_second_of_day(text) if daily else parse_time(text) for text in texts]
    if times != sorted(set(times)):
        raise ValueError(f"{path}: times must rise")
    values = [float(row[column]) * scale for row in rows]
    if daily:
        return DayCurve(times, values, zone_offset_seconds, step)
    return SeriesCurve(times, values, step)


def _second_of_day(text: str) -> float:
    hour, _, minute = text.partition(":")
    return int(hour) * 3600.0 + int(minute or 0) * 60.0
