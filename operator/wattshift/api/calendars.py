"""Calendars of an EnergyContract: ordered bands, first match wins, the last has no condition.

So gaps and overlaps cannot exist. Local times of the contract's zone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import DateText, DecimalText, LocalName, Month, WindowText
from wattshift.api.lists import list_atomic, list_set
from wattshift.api.rules import Rule, present


class DayType(StrEnum):
    """Kinds of days; a dated holiday or working day of the calendar beats the day of the week."""

    WORKDAY = "Workday"
    WEEKEND = "Weekend"
    HOLIDAY = "Holiday"
    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


class BandSignal(ApiModel):
    """A condition on a signal: some sharp-peak bands depend on the weather."""

    rules = (
        Rule(
            cel="has(self.above) || has(self.below)",
            message="set above or below",
            check=lambda self: present(self, "above") or present(self, "below"),
        ),
    )

    signal_name: LocalName
    """signalName is a signal of the contract."""
    above: DecimalText | None = None
    """above: the band holds while the signal is greater than this."""
    below: DecimalText | None = None
    """below: the band holds while the signal is less than this."""


_CONDITIONS = ("months", "day_types", "windows", "signal")


class Band(ApiModel):
    """A set of times; all conditions must hold."""

    name: LocalName
    """name is what rates and factors call the band; several bands may share it."""
    months: Annotated[list[Month], list_set(12, 1)] | None = None
    """months of the year; absent = all."""
    day_types: Annotated[list[DayType], list_set(10, 1)] | None = None
    """dayTypes are kinds of days; absent = all."""
    windows: Annotated[list[WindowText], list_atomic(6, 1)] | None = None
    """windows are local times of day, such as 18:00-23:00; absent = all day."""
    signal: BandSignal | None = None
    """signal is a condition on a signal; absent = none."""

    @property
    def conditional(self) -> bool:
        """Whether the band has any condition."""
        return any(present(self, name) for name in _CONDITIONS)


_LAST = "self.bands[size(self.bands) - 1]"


class Calendar(ApiModel):
    """Ordered bands: the first that matches wins."""

    atomic = True

    rules = (
        Rule(
            cel=" && ".join(
                f"!has({_LAST}.{name})" for name in ("months", "dayTypes", "windows", "signal")
            ),
            message="the last band must have no condition, so that every time has a band",
            check=lambda self: not self.bands[-1].conditional,
        ),
    )

    name: LocalName
    """name is what components and shapes call the calendar."""
    holiday_dates: Annotated[list[DateText], list_atomic(40)] = Field(default_factory=list)
    """holidayDates are days that count as Holiday."""
    working_dates: Annotated[list[DateText], list_atomic(40)] = Field(default_factory=list)
    """workingDates are adjusted working days: Workday although the week says otherwise."""
    bands: Annotated[list[Band], list_atomic(16, 1)]
    """bands are tried in order; the last has no condition."""
