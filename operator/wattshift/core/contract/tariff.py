"""What is measured and charged: quantities, calendars, components and shapes.

Frozen values without behaviour beyond look-ups. Times are epoch seconds, money is `Decimal` in the
contract's currency, energy integer Wh, power integer W. Neighbour: `model` (positions, the whole).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Basis(StrEnum):
    """Metered quantities. `Import` and `Export` are at the connection, `GrossUse` at the load."""

    IMPORT = "Import"
    EXPORT = "Export"
    GROSS_USE = "GrossUse"
    SELF_USE = "SelfUse"
    AVAILABLE = "Available"
    CURTAILED = "Curtailed"
    IT_LOAD = "ItLoad"
    GREEN = "Green"
    """Derived: what the eligible instruments of an obligation sum to; never metered."""
    GREEN_POWER_TRADE = "GreenPowerTrade"
    """Wh of green power trade that were delivered in the interval or month."""
    CANCELLED_CERTIFICATE = "CancelledCertificate"
    """Wh of cancelled certificates of an eligible vintage."""
    STORAGE_LOSS = "StorageLoss"


class Per(StrEnum):
    """What one unit of a rate buys."""

    KILOWATT_HOUR = "kWh"
    MEGAWATT_HOUR = "MWh"
    KILOWATT_DAY = "kW-day"
    KILOWATT_MONTH = "kW-month"
    KILOWATT_YEAR = "kW-year"
    KILOVOLT_AMPERE_DAY = "kVA-day"
    KILOVOLT_AMPERE_MONTH = "kVA-month"
    KILOVOLT_AMPERE_YEAR = "kVA-year"
    DAY = "Day"
    MONTH = "Month"
    YEAR = "Year"


class Span(StrEnum):
    """A billing period: calendar month or calendar year in the contract's time zone."""

    MONTH = "Month"
    YEAR = "Year"


def within(time: float, start: int | None, end: int | None) -> bool:
    """Whether a moment is in `[start, end)`; None = open."""
    return (start is None or time >= start) and (end is None or time < end)


# ---- calendars --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """Local wall-clock minutes `[start, end)` of a day; `end` 1440 is midnight; may wrap it."""

    start_minute: int
    end_minute: int

    def covers(self, minute: int) -> bool:
        """Whether the local minute of the day is inside."""
        if self.start_minute < self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


@dataclass(frozen=True, slots=True)
class Band:
    """A named condition: every part that is given must hold; an empty band always does."""

    name: str
    months: tuple[int, ...] = ()
    day_types: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()

    @property
    def unconditional(self) -> bool:
        """Whether it matches every moment."""
        return not (self.months or self.day_types or self.windows)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Ordered bands, first match wins, the last has no condition: no gaps, no overlaps."""

    name: str
    time_zone: str
    bands: tuple[Band, ...]
    special_days: tuple[tuple[str, str], ...] = ()
    """(ISO date, day type): holidays and adjusted working days, which overrule the weekday."""


# ---- components -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignalRate:
    """Price per kWh that follows an index: `clamp(index x multiplier + adder, floor, cap)`."""

    signal_name: str
    multiplier: Decimal = Decimal(1)
    adder: Decimal = Decimal(0)
    cap: Decimal | None = None
    floor: Decimal | None = None

    def of(self, index: Decimal) -> Decimal:
        """Price per kWh at an index value per kWh."""
        price = index * self.multiplier + self.adder
        if self.cap is not None:
            price = min(price, self.cap)
        return price if self.floor is None else max(price, self.floor)


@dataclass(frozen=True, slots=True)
class Block:
    """One step of a tiered rate: `rate` holds up to `upto_watt_hours` of the month; None = no end."""

    upto_watt_hours: int | None
    rate: Decimal


@dataclass(frozen=True, slots=True)
class EnergyMeasure:
    """Energy of a basis, restricted to `bands` of the component's calendar when given."""

    basis: Basis
    bands: tuple[str, ...] = ()
    loss_factor: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Ratchet:
    """Billed demand is at least `factor` x the highest peak of the last `months` months."""

    factor: Decimal
    months: int
    from_months: tuple[int, ...] = ()
    """Only peaks of these calendar months count; empty = all."""


@dataclass(frozen=True, slots=True)
class DemandMeasure:
    """Highest block average of a basis in a period."""

    basis: Basis
    averaging_minutes: int
    period: Span
    bands: tuple[str, ...] = ()
    floor_watts: int = 0
    ratchet: Ratchet | None = None
    unit_watts: int = 1000
    """W of the unit that the tariff states this demand in (kW or MW)."""


@dataclass(frozen=True, slots=True)
class CapacityMeasure:
    """A subscribed amount (kW, kVA or pieces), used or not: it is sunk and has no margin."""

    amount: Decimal
    unit: str
    hours_equivalent: Decimal | None = None
    """With `load_factor`: an energy-like charge on an assumed use, per month."""
    load_factor: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OverrunMeasure:
    """What the peak of a demand component exceeds a limit by."""

    of_component: str
    above_watts: int
    tolerance: Decimal = Decimal(0)
    """Fraction of `above` that is free."""


@dataclass(frozen=True, slots=True)
class ShareMeasure:
    """A factor on the amounts of other components or positions (-0.0075 = 0.75 % off)."""

    of_components: tuple[str, ...]
    factor: Decimal


Measure = EnergyMeasure | DemandMeasure | CapacityMeasure | OverrunMeasure | ShareMeasure


@dataclass(frozen=True, slots=True)
class Rebate:
    """`factor` on the amount when the month's kWh per connected kVA reach the threshold."""

    factor: Decimal
    kilowatt_hours_per_kilovolt_ampere: Decimal
    connected_kilovolt_amperes: Decimal


class RegimeSelector(StrEnum):
    """What a regime compares with its threshold."""

    ANNUAL_USE_HOURS = "AnnualUseHours"
    """kWh of the year over its peak kW."""
    ANNUAL_KILOWATT_HOURS = "AnnualKilowattHours"
    CONTRACTED_WATTS = "ContractedWatts"


class Side(StrEnum):
    """Side of a regime's threshold."""

    BELOW = "Below"
    AT_OR_ABOVE = "AtOrAbove"


@dataclass(frozen=True, slots=True)
class Regime:
    """A switch between two sets of components."""

    name: str
    select_by: RegimeSelector
    threshold: Decimal


@dataclass(frozen=True, slots=True)
class Component:
    """One line of a bill. Exactly one of `rate`, `band_rates`, `signal_rate`, `blocks` is set.

    A share has none. `rate` is per `per`; all per-energy rates are kept per kWh (converted by parse).
    """

    name: str
    measure: Measure
    per: Per | None = None
    rate: Decimal | None = None
    calendar_name: str = ""
    band_rates: tuple[tuple[str, Decimal], ...] = ()
    signal_rate: SignalRate | None = None
    blocks: tuple[Block, ...] = ()
    rebates: tuple[Rebate, ...] = ()
    from_time: int | None = None
    until_time: int | None = None
    """Valid in `[from_time, until_time)`; a new price is a new component, the past is kept."""
    regime: tuple[str, Side] | None = None
    recoverable: bool = False
    """Recoverable tax: printed, but neither cost nor margin."""

    def in_force(self, time: float) -> bool:
        """Whether it is valid at a moment."""
        return within(time, self.from_time, self.until_time)


@dataclass(frozen=True, slots=True)
class Shape:
    """Factors per band on named energy components or positions; a band without one has 1."""

    calendar_name: str
    of_components: tuple[str, ...]
    factors: tuple[tuple[str, Decimal], ...]
    from_time: int | None = None
    until_time: int | None = None

    def in_force(self, time: float) -> bool:
        """Whether it is valid at a moment."""
        return within(time, self.from_time, self.until_time)

    def factor(self, band: str) -> Decimal:
        """Factor in a band."""
        for name, factor in self.factors:
            if name == band:
                return factor
        return Decimal(1)
