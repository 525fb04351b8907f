"""Measures of tariff components: what quantity of a bill a rate multiplies.

Schemas cannot recurse, so nothing nests: a measure names other components. Formulas: core/contract.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from wattshift.api.base import ApiModel
from wattshift.api.common import (
    Amount,
    Count,
    DecimalText,
    FractionText,
    LocalName,
    Permille,
    PositiveDecimalText,
)
from wattshift.api.demand import BandNames, CapacityMeasure, CoincidentMeasure, DemandMeasure
from wattshift.api.lists import list_set
from wattshift.api.rules import Rule, exactly_one, only_union, present

ComponentNames = Annotated[list[LocalName], list_set(32, 1)]


class EnergyBasis(StrEnum):
    """Which energy counts."""

    IMPORT = "Import"
    EXPORT = "Export"
    GROSS_USE = "GrossUse"
    SELF_USE = "SelfUse"
    AVAILABLE = "Available"
    CURTAILED = "Curtailed"
    IT_LOAD = "ItLoad"


class EnergyMeasure(ApiModel):
    """Energy in kWh."""

    basis: EnergyBasis
    """basis is which energy counts."""
    calendar_name: LocalName | None = None
    """calendarName is the calendar of bandNames."""
    band_names: BandNames | None = None
    """bandNames limit it to bands; absent = all times."""
    loss_factor: PositiveDecimalText | None = None
    """lossFactor multiplies the energy; absent = 1."""


class OverrunScope(StrEnum):
    """What an overrun is charged for."""

    WHOLE_MONTH = "WholeMonth"
    DAYS_EXCEEDED = "DaysExceeded"
    INTERVALS_EXCEEDED = "IntervalsExceeded"


class OverrunMeasure(ApiModel):
    """Demand above an agreed amount."""

    of_component_name: LocalName
    """ofComponentName is the demand component that is compared."""
    above: Amount
    """above is the agreed amount, in the unit of that component."""
    tolerance_permille: Permille | None = None
    """tolerancePermille of `above` is free; absent = 0."""
    charged_for: OverrunScope
    """chargedFor is WholeMonth, DaysExceeded or IntervalsExceeded."""


class ReactiveMeasure(ApiModel):
    """Reactive energy in kvarh."""

    basis: EnergyBasis = EnergyBasis.IMPORT
    """basis is the channel."""
    free_above_power_factor: FractionText | None = None
    """freeAbovePowerFactor: only reactive energy below this power factor counts."""


class DurationUnit(StrEnum):
    """Unit of a standing charge."""

    DAY = "Day"
    MONTH = "Month"
    YEAR = "Year"


class DurationMeasure(ApiModel):
    """Time: a standing charge."""

    unit: DurationUnit
    """unit of time."""
    count: Count | None = None
    """count multiplies it, such as the number of meters; absent = 1."""


class ShareTable(StrEnum):
    """Published tables of power-factor adjustment."""

    CN_STANDARD_090 = "CN-standard-0.90"
    CN_STANDARD_085 = "CN-standard-0.85"
    CN_STANDARD_080 = "CN-standard-0.80"


class ShareMeasure(ApiModel):
    """A share of other components, such as a power-factor adjustment or a tax."""

    rules = (
        exactly_one("factor", "table"),
        Rule(
            cel="has(self.table) == has(self.powerFactor)",
            message="table needs powerFactor, and only table takes it",
            check=lambda self: present(self, "table") == present(self, "power_factor"),
        ),
    )

    of_component_names: ComponentNames
    """ofComponentNames are the components whose sum is multiplied."""
    factor: DecimalText | None = None
    """factor of the sum; negative = a reduction."""
    table: ShareTable | None = None
    """table gives the factor by the power factor."""
    power_factor: FractionText | None = None
    """powerFactor is the average of the period, for the table."""


class SmallestOfMeasure(ApiModel):
    """The smallest of other components."""

    component_names: ComponentNames
    """componentNames are the components that are compared; they are not billed by themselves."""


class MeasureType(StrEnum):
    """Kinds of measures."""

    ENERGY = "Energy"
    DEMAND = "Demand"
    COINCIDENT = "Coincident"
    CAPACITY = "Capacity"
    OVERRUN = "Overrun"
    REACTIVE = "Reactive"
    DURATION = "Duration"
    SHARE = "Share"
    SMALLEST_OF = "SmallestOf"


class Measure(ApiModel):
    """What quantity a component multiplies."""

    atomic = True
    max_properties = 2

    rules = (
        only_union(
            Energy="energy",
            Demand="demand",
            Coincident="coincident",
            Capacity="capacity",
            Overrun="overrun",
            Reactive="reactive",
            Duration="duration",
            Share="share",
            SmallestOf="smallest_of",
        ),
    )

    type: MeasureType
    """type is the kind of measure; the member of that name is set."""
    energy: EnergyMeasure | None = None
    """energy in kWh."""
    demand: DemandMeasure | None = None
    """demand is the highest average power of a period."""
    coincident: CoincidentMeasure | None = None
    """coincident is demand at the peaks of the system."""
    capacity: CapacityMeasure | None = None
    """capacity is a fixed amount."""
    overrun: OverrunMeasure | None = None
    """overrun is demand above an agreed amount."""
    reactive: ReactiveMeasure | None = None
    """reactive is reactive energy."""
    duration: DurationMeasure | None = None
    """duration is time: a standing charge."""
    share: ShareMeasure | None = None
    """share is a share of other components."""
    smallest_of: SmallestOfMeasure | None = None
    """smallestOf is the smallest of other components."""
