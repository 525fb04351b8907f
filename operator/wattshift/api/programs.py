"""Demand-response programs of an EnergyContract: what was sold, when, and how it is settled."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.calendars import DayType
from wattshift.api.common import (
    Count,
    LocalName,
    Month,
    Permille,
    PositiveDecimalText,
    PositiveSeconds,
    Seconds,
    Watts,
    WindowText,
)
from wattshift.api.lists import list_atomic, list_set
from wattshift.api.rules import Rule, ordered
from wattshift.api.site_events import Firmness

_INT32 = {"format": "int32"}


class Product(StrEnum):
    """Demand-response products."""

    LOAD_DECREASE = "LoadDecrease"
    LOAD_INCREASE = "LoadIncrease"
    CAPACITY_LIMIT = "CapacityLimit"
    FREQUENCY_RESERVE = "FrequencyReserve"


class BaselineMethod(StrEnum):
    """How the load without an event is estimated."""

    LAST_SIMILAR_DAYS = "LastSimilarDays"
    HIGH_X_OF_Y = "HighXofY"
    FIRM_SERVICE_LEVEL = "FirmServiceLevel"


class BaselineParameters(ApiModel):
    """Parameters of the baseline."""

    atomic = True

    rules = (ordered("days", "of_days"),)

    days: Annotated[int, Field(strict=True, ge=1, le=60, json_schema_extra=_INT32)] | None = None
    """days is X of HighXofY, or N of LastSimilarDays."""
    of_days: Annotated[int, Field(strict=True, ge=1, le=60, json_schema_extra=_INT32)] | None = None
    """ofDays is Y of HighXofY."""
    adjustment_cap_permille: Permille | None = None
    """adjustmentCapPermille bounds the same-day adjustment; absent = none is made."""
    firm_service_level_watts: Watts | None = None
    """firmServiceLevelWatts is the level of FirmServiceLevel."""


class Commitment(ApiModel):
    """When power is committed."""

    months: Annotated[list[Month], list_set(12, 1)] | None = None
    """months of the year; absent = all."""
    day_types: Annotated[list[DayType], list_set(10, 1)] | None = None
    """dayTypes are kinds of days; absent = all."""
    windows: Annotated[list[WindowText], list_atomic(6, 1)] | None = None
    """windows are local times of day; absent = all day."""
    watts: Watts
    """watts that are committed."""


class OptIn(StrEnum):
    """Who accepts events of a program."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class Program(ApiModel):
    """A demand-response product that was sold."""

    atomic = True

    rules = (
        ordered("paid_from_permille", "paid_up_to_permille"),
        Rule(
            cel="self.baselineMethod != 'FirmServiceLevel' "
            "|| (has(self.baseline) && has(self.baseline.firmServiceLevelWatts))",
            message="baselineMethod FirmServiceLevel needs baseline.firmServiceLevelWatts",
            check=lambda self: (
                self.baseline_method is not BaselineMethod.FIRM_SERVICE_LEVEL
                or (
                    self.baseline is not None and self.baseline.firm_service_level_watts is not None
                )
            ),
        ),
    )

    name: LocalName
    """name is what events call the program."""
    product: Product
    """product that was sold."""
    firmness: Firmness = Firmness.COMMITTED
    """firmness of its events."""
    notice_seconds: Seconds
    """noticeSeconds is the least time between notice and start."""
    response_seconds: Seconds | None = None
    """responseSeconds is the time in which the target must be reached."""
    max_duration_seconds: PositiveSeconds
    """maxDurationSeconds is the longest event."""
    recovery_seconds: Seconds | None = None
    """recoverySeconds is the least time between events."""
    max_events_per_month: Count | None = None
    """maxEventsPerMonth is the most events."""
    committed_watts: Watts
    """committedWatts is what was sold at all times of `commitments`."""
    commitments: Annotated[list[Commitment], list_atomic(6)] = Field(default_factory=list)
    """commitments are when and how much; absent = committedWatts at all times."""
    baseline_method: BaselineMethod
    """baselineMethod is how the load without an event is estimated."""
    baseline: BaselineParameters | None = None
    """baseline are its parameters."""
    availability_rate: PositiveDecimalText | None = None
    """availabilityRate per kW and month."""
    energy_rate: PositiveDecimalText | None = None
    """energyRate per kWh that was reduced."""
    paid_from_permille: Permille | None = None
    """paidFromPermille of the commitment is the least performance that is paid."""
    paid_up_to_permille: (
        Annotated[int, Field(strict=True, ge=0, le=5000, json_schema_extra=_INT32)] | None
    ) = None
    """paidUpToPermille of the commitment is the most that is paid."""
    penalty_rate: PositiveDecimalText | None = None
    """penaltyRate per kWh that is missing."""
    exclusive_with: Annotated[list[LocalName], list_set(8)] = Field(default_factory=list)
    """exclusiveWith are programs that may not be sold for the same time."""
    attainment_floor_permille: Permille | None = None
    """attainmentFloorPermille of the latency objectives below which it is declined; absent = none."""
    opt_in: OptIn = OptIn.AUTOMATIC
    """optIn is Automatic (only within commitments) or Manual."""
