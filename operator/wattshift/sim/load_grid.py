"""The grid of steps of a scenario: epoch seconds, local clocks and calendar days, computed once.

Local times follow the IANA zone with its changes of clocks: 23 and 25 hour days come out right.
"""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from wattshift.sim.load_csv import Points, offset_seconds, when
from wattshift.sim.load_text import ScenarioError
from wattshift.sim.scenario import Array
from wattshift.sim.schema_series import Interpolation


@lru_cache(maxsize=512)
def offsets(name: str, start: float, hours: int) -> Array:
    """Offset from UTC in seconds at each full hour of a span."""
    zone = ZoneInfo(name)
    values = np.array([offset_seconds(start + 3600 * hour, zone) for hour in range(hours)])
    values.setflags(write=False)
    return values


class Grid:
    """Steps of `step` seconds from `start` on (epoch seconds, a full hour)."""

    def __init__(self, start: float, step: float, steps: int) -> None:
        self.start, self.step, self.steps = start, step, steps
        self.times: Array = start + step * np.arange(steps, dtype=np.float64)
        self._local: dict[str, Array] = {}

    @property
    def end(self) -> float:
        """Epoch seconds after the last step."""
        return self.start + self.step * self.steps

    def local(self, zone: str) -> Array:
        """Local clock time of each step, as seconds since 1970-01-01 00:00 on that clock."""
        if zone not in self._local:
            hours = int((self.end - self.start) // 3600) + 1
            shift = offsets(zone, self.start, hours)
            which = ((self.times - self.start) // 3600).astype(np.int64)
            self._local[zone] = self.times + shift[which]
        return self._local[zone]

    def hour_of_day(self, zone: str) -> Array:
        """Local hour of day, 0 to 24 with fractions."""
        return np.asarray((self.local(zone) % 86400) / 3600)

    def weekday(self, zone: str) -> NDArray[np.int64]:
        """Local day of the week, Monday = 0."""
        days: NDArray[np.int64] = (self.local(zone) // 86400).astype(np.int64)
        return (days + 3) % 7  # 1970-01-01 was a Thursday

    def day_number(self, zone: str) -> NDArray[np.int64]:
        """Local days since 1970-01-01."""
        days: NDArray[np.int64] = (self.local(zone) // 86400).astype(np.int64)
        return days

    def day_of_year(self) -> Array:
        """Days since 1 January UTC, with fractions."""
        dates = self.times.astype("datetime64[s]")
        years = dates.astype("datetime64[Y]").astype("datetime64[s]")
        return np.asarray((dates - years).astype(np.float64) / 86400)

    def sample(self, points: Points, interpolation: Interpolation, what: str) -> Array:
        """A regular series on the steps: held or joined when coarser, averaged else.

        Raises:
            ScenarioError: it does not cover the scenario.
        """
        last = points.start + points.step * len(points.values)
        if points.start > self.start + 1 or last < self.end - 1:
            span = f"{when(points.start)} to {when(last)}"
            raise ScenarioError(
                f"{what}: covers {span}, the scenario {when(self.start)} to {when(self.end)}: "
                "change startTime and days, or give longer data"
            )
        place = (self.times - points.start) / points.step
        if points.step >= self.step and interpolation is Interpolation.LINEAR:
            return np.interp(place, np.arange(len(points.values)), points.values)
        if points.step % self.step == 0 and (self.start - points.start) % self.step == 0:
            index = np.floor(place + 1e-9).astype(np.int64)
            return np.asarray(points.values[np.clip(index, 0, len(points.values) - 1)])
        # Finer data, or grids that do not divide: exact means over each step.
        total = np.concatenate([[0.0], np.cumsum(points.values)])
        edges = (np.append(self.times, self.end) - points.start) / points.step
        sums = np.interp(edges, np.arange(len(total)), total)
        return np.asarray(np.diff(sums) * points.step / self.step)
