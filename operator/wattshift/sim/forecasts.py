"""Issued forecasts: what anybody could have said at a moment, from what had been published by then.

One issuer per quantity, for one or many series at once. Only `Published` and `Noisy` use truth
after the moment of issue: the first because the market had published it, the second as a stand-in
for a bought forecast with a declared error. Neighbours: `observed.py`, `world.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from wattshift.core.signal import Forecast, ForecastPoint
from wattshift.sim.scenario import Array, Forecasting, ForecastModel

DAY = 86400.0
HISTORY_DAYS = 14
FADE_SECONDS = 3 * 3600.0
"""HourOfDay: what the last value is off its usual hour fades with this time constant."""
FINE_SECONDS = 3600.0
"""Lead up to which forecasts have the scenario's own steps; beyond it they are hourly."""
ERROR_HOURS = 6.0
"""Correlation time of a Noisy forecast's error."""
LONGEST_ERROR_HOURS = 24.0
REISSUE_SECONDS = 900.0
"""A forecast is made anew this often; where data are an hour or more late, every hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One forecast of several series."""

    issued: float
    """Scenario seconds."""
    starts: Array
    """Scenario seconds from which each value holds."""
    values: Array
    """[starts, series]"""
    end: float


class Issuer:
    """Forecasts of series that share one model."""

    def __init__(
        self,
        values: Array,
        forecasting: Forecasting,
        *,
        step_seconds: float,
        start_time: float,
        time_zone: str = "UTC",
        seed: int = 0,
    ) -> None:
        self._values = values.reshape(len(values), -1)
        self._how = forecasting
        self._dt = step_seconds
        self._start = start_time
        self._zone = ZoneInfo(time_zone)
        self._day = max(1, round(DAY / step_seconds))
        self._errors: Array | None = None
        self._seed = seed
        self._last: tuple[object, Issue] | None = None
        self._edges: NDArray[np.intp] | None = None
        self._until = (-1.0, 0.0)
        late = forecasting.delay_seconds >= FINE_SECONDS
        self._every = max(step_seconds, FINE_SECONDS if late else REISSUE_SECONDS)

    # ---- what is known ------------------------------------------------------------------------

    def known(self, now: float) -> int | None:
        """Step of the newest value that anybody can know at scenario second `now`."""
        if self._how.model is ForecastModel.PUBLISHED:
            step = int(now // self._dt)
        else:
            step = int(np.floor((now - self._how.delay_seconds) / self._dt))
        return min(step, len(self._values) - 1) if step >= 0 else None

    def seen(self, now: float) -> tuple[float, Array] | None:
        """(source time in scenario seconds, newest values known); None before the first."""
        step = self.known(now)
        if step is None:
            return None
        return step * self._dt, self._values[step]

    # ---- forecasts ----------------------------------------------------------------------------

    def issue(self, now: float) -> Issue | None:
        """The forecast that is valid at `now`; None without a model or before the first value."""
        how = self._how
        if how.model is ForecastModel.NONE:
            return None
        if how.model is ForecastModel.PUBLISHED:
            return self._published(now)
        known = self.known(now)
        if known is None:
            return None
        key = int(now // self._every)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        starts = self._grid(now)
        target = np.minimum(self._middle(starts), 2**31).astype(np.int64)
        match how.model:
            case ForecastModel.PERSISTENCE:
                values = np.repeat(self._values[known][None, :], len(starts), axis=0)
            case ForecastModel.DAY_OLD:
                values = self._values[np.clip(self._days_back(target, known, 1)[0], 0, known)]
            case ForecastModel.HOUR_OF_DAY:
                values = self._hour_of_day(target, known, starts)
            case _:
                values = self._noisy(target, starts, now)
        issue = Issue(
            issued=now,
            starts=starts,
            values=values * (1.0 + how.bias),
            end=now + how.horizon_seconds,
        )
        self._last = (key, issue)
        return issue

    def _grid(self, now: float) -> Array:
        """Fine steps first, then full hours up to the horizon."""
        first = np.floor(now / self._dt) * self._dt
        end = now + self._how.horizon_seconds
        if self._dt >= FINE_SECONDS:
            grid: Array = np.arange(first, end, self._dt)
            return grid
        clock = (self._start + first) % 3600.0
        turn = first + FINE_SECONDS + (3600.0 - clock) % 3600.0
        fine = np.arange(first, min(turn, end), self._dt)
        hours = np.arange(turn, end, 3600.0)
        return np.concatenate((fine, hours))

    def _middle(self, starts: Array) -> Array:
        """Step in the middle of each span of the grid."""
        ends = np.append(starts[1:], starts[-1] + max(self._dt, 0.0))
        span = np.minimum(ends - starts, 3600.0)
        middle: Array = np.floor((starts + span / 2) / self._dt + 1e-9)
        return middle

    def _days_back(
        self, target: np.ndarray[tuple[int], np.dtype[np.int64]], known: int, count: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Steps of the same time of day, the newest known first: [count, targets]."""
        first = np.maximum(1, -(-(target - known) // self._day))
        back = first[None, :] + np.arange(count)[:, None]
        return np.asarray(target[None, :] - back * self._day, dtype=np.int64)

    def _usual(
        self, target: np.ndarray[tuple[int], np.dtype[np.int64]], known: int
    ) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        rows = self._days_back(target, known, HISTORY_DAYS)
        there = rows >= 0
        found = self._values[np.maximum(rows, 0)] * there[:, :, None]
        count = there.sum(axis=0)
        return found.sum(axis=0) / np.maximum(count, 1)[:, None], count > 0

    def _hour_of_day(
        self, target: np.ndarray[tuple[int], np.dtype[np.int64]], known: int, starts: Array
    ) -> Array:
        usual, has = self._usual(target, known)
        now_usual, now_has = self._usual(np.asarray([known], dtype=np.int64), known)
        last = self._values[known]
        if not now_has[0]:
            return np.repeat(last[None, :], len(starts), axis=0)
        weight = np.exp(-np.maximum(starts - known * self._dt, 0.0) / FADE_SECONDS)[:, None]
        values = usual + weight * (last - now_usual[0])[None, :]
        if np.all(self._values[: known + 1] >= 0):
            values = np.maximum(values, 0.0)
        result: Array = np.where(has[:, None], values, last[None, :])
        return result

    def _noisy(
        self, target: np.ndarray[tuple[int], np.dtype[np.int64]], starts: Array, now: float
    ) -> Array:
        if self._errors is None:
            self._errors = correlated(
                self._values.shape, self._seed, np.exp(-self._dt / (ERROR_HOURS * 3600.0))
            )
        rows = np.clip(target, 0, len(self._values) - 1)
        # from the newest value that anybody knows: late data are no exact nowcast
        ahead = starts - now + self._how.delay_seconds
        lead = np.clip(ahead / 3600.0, 0.0, LONGEST_ERROR_HOURS)
        size = self._how.relative_error * np.sqrt(lead)
        values: Array = self._values[rows] * (1.0 + size[:, None] * self._errors[rows])
        return values

    # ---- published ----------------------------------------------------------------------------

    def _published(self, now: float) -> Issue | None:
        """Exact values to the end of the last local day that has been published, by change."""
        until = self._known_until(now)
        if self._last is not None and self._last[0] == until:
            return self._last[1]
        first = max(0, int(now // self._dt))
        last = min(len(self._values), round(until / self._dt))
        if last <= first:
            return None
        part = self._values[first:last]
        if self._edges is None:
            whole = np.any(self._values[1:] != self._values[:-1], axis=1)
            self._edges = np.flatnonzero(np.concatenate(([True], whole)))
        low, high = np.searchsorted(self._edges, (first, last))
        steps = np.unique(np.concatenate(([first], self._edges[low:high]))).astype(int)
        issue = Issue(
            issued=now,
            starts=steps * self._dt,
            values=part[steps - first] * (1.0 + self._how.bias),
            end=last * self._dt,
        )
        self._last = (until, issue)
        return issue

    def _known_until(self, now: float) -> float:
        """Scenario second at which the last published local day ends."""
        if now < self._until[0]:
            return self._until[1]
        here = datetime.fromtimestamp(self._start + now, self._zone)
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        publishes = midnight.replace(hour=self._how.published_at_hour % 24)
        days = 2 if here >= publishes else 1
        edge = midnight + timedelta(days=days)
        following = publishes if days == 1 else publishes + timedelta(days=1)
        until = edge.timestamp() - self._start
        self._until = (following.timestamp() - self._start, until)
        return until


def correlated(shape: tuple[int, ...], seed: int, keep: float) -> Array:
    """Seeded AR(1) noise along the first axis, mean 0, standard deviation 1."""
    steps = np.random.default_rng(seed).standard_normal(shape)
    steps[1:] *= np.sqrt(max(0.0, 1.0 - keep * keep))
    for row in range(1, shape[0]):
        steps[row] += keep * steps[row - 1]
    return steps


def to_core(
    issue: Issue, series: int, start_time: float, source: str, factor: float = 1.0
) -> Forecast:
    """One series of an issue as the core has it."""
    times = (issue.starts + start_time).tolist()
    values = (issue.values[:, series] * factor).tolist()
    return Forecast(
        issued_time=issue.issued + start_time,
        end_time=issue.end + start_time,
        points=tuple(
            ForecastPoint(start_time=time, value=value)
            for time, value in zip(times, values, strict=True)
        ),
        source=source,
    )
