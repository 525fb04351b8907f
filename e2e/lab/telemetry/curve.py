"""Curves over the day on the grid clock, from small CSV files; linear between points, cyclic."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


def read_day_curve(
    path: Path | str, column: str, *, zone_offset_seconds: float = 0.0, step: bool = False
) -> DayCurve:
    """Column of a CSV with `time` = HH:MM; lines that start with `#` are comments.

    Raises ValueError when the times do not rise or the column is absent.
    """
    lines = [
        line for line in Path(path).read_text().splitlines() if line and not line.startswith("#")
    ]
    rows = list(csv.DictReader(lines))
    if not rows or column not in rows[0]:
        raise ValueError(f"{path}: no column {column!r}")
    seconds = []
    for row in rows:
        hour, _, minute = row["time"].partition(":")
        seconds.append(int(hour) * 3600.0 + int(minute or 0) * 60.0)
    if seconds != sorted(set(seconds)):
        raise ValueError(f"{path}: times must rise")
    values = [float(row[column]) for row in rows]
    return DayCurve(seconds, values, zone_offset_seconds, step)
