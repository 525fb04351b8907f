"""`schedule {entries [{fromTime, value}], untilTime}`: values at times, each until the next.

Before the first entry, and after `untilTime`, there is no value.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import ClassVar

from wattshift.adapters.base import (
    Fetched,
    SignalConfig,
    SingleSource,
    SourceContext,
    Step,
)
from wattshift.adapters.times import parse_iso, to_epoch

OPEN_END_SECONDS = 7 * 86_400
"""How far ahead an entry without an end is published as a forecast."""


class ScheduleSource(SingleSource):
    """A timetable of the object itself."""

    type_name: ClassVar[str] = "schedule"
    always_valid: ClassVar[bool] = True

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        spec = config.source_spec
        self._steps = tuple(
            Step(
                start_time=to_epoch(parse_iso(str(entry["fromTime"])), config.time_zone),
                value=float(entry["value"]),
            )
            for entry in spec["entries"]
        )
        until = spec.get("untilTime")
        self._end = None if until is None else to_epoch(parse_iso(str(until)), config.time_zone)
        self._context = context
        if not self._steps:
            raise ValueError("entries is empty")
        if any(one.start_time >= two.start_time for one, two in pairwise(self._steps)):
            raise ValueError("entries must be ordered by fromTime, without repeats")
        if self._end is not None and self._end <= self._steps[-1].start_time:
            raise ValueError("untilTime is not after the last fromTime")

    @property
    def endpoint(self) -> str:
        """For people."""
        return "schedule"

    @property
    def fetch_key(self) -> Hashable:
        """By content."""
        return ("schedule", self._steps, self._end)

    async def fetch(self, now: float) -> Fetched:
        """All entries."""
        open_end = max(now, self._steps[-1].start_time) + OPEN_END_SECONDS
        end = open_end if self._end is None else self._end
        return Fetched(steps=self._steps, end_time=end, issued_time=now)
