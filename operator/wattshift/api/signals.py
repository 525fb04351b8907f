"""Signals: a quantity over time with its unit, source, age limit and what to assume when it is old.

Declared once, in a PowerSite or an EnergyContract; everywhere else `...SignalName` refers to them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import DecimalText, LocalName, PositiveSeconds, UnitName
from wattshift.api.lists import list_map
from wattshift.api.rules import Rule, budget, present
from wattshift.api.sources import Source


class Quantity(StrEnum):
    """What a signal measures."""

    ENERGY_PRICE = "EnergyPrice"
    EXPORT_PRICE = "ExportPrice"
    CARBON_INTENSITY_AVERAGE = "CarbonIntensityAverage"
    CARBON_INTENSITY_MARGINAL = "CarbonIntensityMarginal"
    GREEN_SHARE = "GreenShare"
    SUPPLY_POWER = "SupplyPower"
    SITE_POWER = "SitePower"
    IT_POWER = "ItPower"
    UNCONTROLLED_POWER = "UncontrolledPower"
    COOLING_LIMIT_POWER = "CoolingLimitPower"
    SUPPLY_TEMPERATURE = "SupplyTemperature"
    OUTDOOR_TEMPERATURE = "OutdoorTemperature"
    LEAK_STATE = "LeakState"
    UPS_STATE = "UpsState"
    STATE_OF_CHARGE = "StateOfCharge"
    BACKLOG_UNITS = "BacklogUnits"


class SignalKind(StrEnum):
    """Observation of now, or forecast of later."""

    OBSERVATION = "Observation"
    FORECAST = "Forecast"


class OnStaleType(StrEnum):
    """What a signal that is too old counts as."""

    HOLD = "Hold"
    USE_FALLBACK = "UseFallback"
    ASSUME_WORST = "AssumeWorst"
    IGNORE = "Ignore"


class OnStale(ApiModel):
    """What a signal that is older than `staleAfterSeconds` counts as."""

    atomic = True

    rules = (
        Rule(
            cel="(self.type == 'UseFallback') == has(self.fallbackValue)",
            message="type UseFallback needs fallbackValue, and only UseFallback takes it",
            check=lambda self: (
                (self.type is OnStaleType.USE_FALLBACK) == present(self, "fallback_value")
            ),
        ),
    )

    type: OnStaleType
    """type is Hold (the last value), UseFallback, AssumeWorst or Ignore (as if not declared)."""
    fallback_value: DecimalText | None = None
    """fallbackValue is the value of UseFallback, in the unit of the signal."""


class Plausible(ApiModel):
    """Bounds outside of which a value is refused as a fault of the source."""

    atomic = True

    minimum: DecimalText | None = None
    """minimum is the smallest plausible value, in the unit of the signal."""
    maximum: DecimalText | None = None
    """maximum is the largest plausible value, in the unit of the signal."""


_NEVER_STALE = ("constant", "daily_curve", "schedule")


class Signal(ApiModel):
    """One quantity over time."""

    atomic = True

    rules = (
        Rule(
            cel="(has(self.staleAfterSeconds) && has(self.onStale)) || has(self.source.constant) "
            "|| has(self.source.dailyCurve) || has(self.source.schedule)",
            message="set staleAfterSeconds and onStale: only the sources constant, dailyCurve and "
            "schedule do without",
            check=lambda self: (
                (present(self, "stale_after_seconds") and present(self, "on_stale"))
                or any(getattr(self.source, name) is not None for name in _NEVER_STALE)
            ),
        ),
    )

    name: LocalName
    """name is what the rest of the object calls the signal."""
    quantity: Quantity
    """quantity is what the signal measures."""
    kind: SignalKind = SignalKind.OBSERVATION
    """kind is Observation (of now) or Forecast (of later)."""
    unit: UnitName
    """unit is the unit of the source; prices are CNYPerMegawattHour, EURPerKilowattHour, ..."""
    rank: Annotated[int, Field(strict=True, ge=0, le=15, json_schema_extra={"format": "int32"})] = 0
    """rank orders signals of one quantity: the lowest that is known counts."""
    source: Source
    """source is where the value comes from."""
    poll_period_seconds: Annotated[
        int, Field(strict=True, ge=1, le=86_400, json_schema_extra={"format": "int32"})
    ] = 60
    """pollPeriodSeconds is the time between two requests; staleAfterSeconds / 2 where that is not 1.5 times as long."""
    stale_after_seconds: PositiveSeconds | None = None
    """staleAfterSeconds is the age of the source's time from which on the value is stale."""
    on_stale: OnStale | None = None
    """onStale is what the signal counts as when it is stale or unknown."""
    plausible: Plausible | None = None
    """plausible bounds the values that are believed."""


SIGNAL_BUDGETS = (
    budget("signals", "source.daily_curve.values", 480, "the values of daily curves"),
    budget("signals", "source.schedule.entries", 96, "the entries of schedules"),
)
"""Rules of a spec with `signals`: longer series belong in a ConfigMap (source `file`)."""
ContractSignals = Annotated[list[Signal], list_map("name", max_items=16)]
Signals = Annotated[list[Signal], list_map("name", max_items=32)]
