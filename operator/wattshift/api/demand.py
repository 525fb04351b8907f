"""Demand measures of a tariff: peaks of a period, ratchets, coincident peaks, fixed capacity.

Neighbour: `measures.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import (
    Amount,
    FractionText,
    IntervalMinutes,
    LocalName,
    Month,
    PositiveDecimalText,
)
from wattshift.api.endpoints import ConfigMapRef
from wattshift.api.lists import list_set

_INT32 = {"format": "int32"}
BandNames = Annotated[list[LocalName], list_set(16, 1)]


class DemandUnit(StrEnum):
    """Unit of demand or capacity."""

    KW = "kW"
    KVA = "kVA"
    MW = "MW"


class DemandBasis(StrEnum):
    """Which power counts as demand."""

    IMPORT = "Import"
    IT_LOAD = "ItLoad"


class DemandWindow(StrEnum):
    """How power is averaged."""

    BLOCK = "Block"
    SLIDING = "Sliding"


class Period(StrEnum):
    """Accounting period, in local time."""

    DAY = "Day"
    MONTH = "Month"
    QUARTER = "Quarter"
    YEAR = "Year"


class Ratchet(ApiModel):
    """A part of earlier peaks is the floor of later demand."""

    factor: FractionText
    """factor of the highest earlier peak."""
    months: Annotated[int, Field(strict=True, ge=1, le=36, json_schema_extra=_INT32)]
    """months is how far back peaks count."""
    from_months: Annotated[list[Month], list_set(12, 1)] | None = None
    """fromMonths are the months whose peaks count; absent = all."""


class DemandMeasure(ApiModel):
    """The highest average power of a period."""

    unit: DemandUnit
    """unit of the demand."""
    basis: DemandBasis = DemandBasis.IMPORT
    """basis is which power counts."""
    averaging_minutes: IntervalMinutes
    """averagingMinutes is the averaging time."""
    window: DemandWindow = DemandWindow.BLOCK
    """window is Block or Sliding."""
    period: Period
    """period after which the peak starts anew."""
    calendar_name: LocalName | None = None
    """calendarName is the calendar of bandNames."""
    band_names: BandNames | None = None
    """bandNames limit it to bands; absent = all times."""
    floor: Amount | None = None
    """floor is the least demand that is billed, in `unit`."""
    ratchet: Ratchet | None = None
    """ratchet makes earlier peaks a floor."""


class CoincidentMeasure(ApiModel):
    """Demand at the peaks of the system, published afterwards."""

    unit: DemandUnit
    """unit of the demand."""
    peak_count: Annotated[int, Field(strict=True, ge=1, le=100, json_schema_extra=_INT32)]
    """peakCount is the number of peaks that are averaged."""
    averaging_minutes: IntervalMinutes
    """averagingMinutes is the averaging time."""
    period: Period
    """period in which peaks are chosen."""
    peaks: ConfigMapRef | None = None
    """peaks is the list of published peaks (CSV with a column `time`)."""
    probability_signal_name: LocalName | None = None
    """probabilitySignalName is the chance that now is a peak; absent = 0 outside of `peaks`."""


class CapacityMeasure(ApiModel):
    """A fixed capacity, whatever is used."""

    amount: Amount
    """amount of capacity, in `unit`."""
    unit: DemandUnit
    """unit of the capacity."""
    hours_equivalent: PositiveDecimalText | None = None
    """hoursEquivalent turns capacity into energy: amount x hours x loadFactor."""
    load_factor: FractionText | None = None
    """loadFactor of hoursEquivalent; absent = 1."""
