"""`dailyCurve {stepMinutes, values}`: the same curve every local day.

Values belong to the wall clock: on the day that skips an hour its values are left out, on the day
that repeats one they hold twice.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from datetime import timedelta
from typing import ClassVar

from wattshift.adapters.base import (
    Fetched,
    SignalConfig,
    SingleSource,
    SourceContext,
    Step,
)
from wattshift.adapters.times import day_start, local_clock, local_date

MINUTES_PER_DAY = 1440
DAYS_AHEAD = 3
TRANSITION_MINUTES = 15
"""Zones change their offset on quarters of an hour."""


class DailyCurveSource(SingleSource):
    """A curve of the object itself, from yesterday to three days ahead."""

    type_name: ClassVar[str] = "dailyCurve"
    always_valid: ClassVar[bool] = True

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        spec = config.source_spec
        self._step = int(spec["stepMinutes"])
        self._values = tuple(float(value) for value in spec["values"])
        self._zone = str(config.time_zone or "")
        self._context = context
        if not self._zone:
            raise ValueError("the owner of the signal declares no timeZone")
        check_day(self._step, len(self._values))

    @property
    def endpoint(self) -> str:
        """For people."""
        return "dailyCurve"

    @property
    def fetch_key(self) -> Hashable:
        """By content."""
        return ("dailyCurve", self._step, self._values, self._zone)

    async def fetch(self, now: float) -> Fetched:
        """Steps of the days around `now`."""
        return repeat_daily(self._values, self._step, self._zone, now)


def repeat_daily(
    values: tuple[float | None, ...], step_minutes: int, zone: str, now: float
) -> Fetched:
    """Steps of a curve that repeats every local day, from yesterday to three days ahead."""
    today = local_date(now, zone)
    start = day_start(today - timedelta(days=1), zone)
    end = day_start(today + timedelta(days=DAYS_AHEAD + 1), zone)
    steps: list[Step] = []
    held = -1
    stride = math.gcd(step_minutes, TRANSITION_MINUTES)
    for epoch, local in local_clock(start, end, zone, stride * 60):
        index = (local.hour * 60 + local.minute) // step_minutes
        if index != held:
            steps.append(Step(start_time=epoch, value=values[index]))
            held = index
    return Fetched(steps=tuple(steps), end_time=end, issued_time=now)


def check_day(step_minutes: int, count: int) -> None:
    """Refuse a curve that is not one day.

    Raises:
        ValueError: the number of values does not fit the step.
    """
    if step_minutes <= 0 or step_minutes * count != MINUTES_PER_DAY:
        raise ValueError(
            f"{count} values of {step_minutes} min are not a day: "
            f"{MINUTES_PER_DAY // max(1, step_minutes)} are needed"
        )
