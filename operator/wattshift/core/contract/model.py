"""What a contract is: points, positions, obligations, programs and the whole.

Plain frozen values without behaviour beyond look-ups; `parse.from_spec` builds and checks them.
Times are epoch seconds, money is `Decimal` in the contract's currency, power is integer W.
Re-exports `tariff`, so that readers import the model from one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from wattshift.core.contract.tariff import (
    Band,
    Basis,
    Block,
    Calendar,
    CapacityMeasure,
    Component,
    DemandMeasure,
    EnergyMeasure,
    Measure,
    OverrunMeasure,
    Per,
    Ratchet,
    Rebate,
    Regime,
    RegimeSelector,
    Shape,
    ShareMeasure,
    Side,
    SignalRate,
    Span,
    Window,
    within,
)

__all__ = [
    "DIRECT_SUPPLY",
    "Band",
    "Basis",
    "Block",
    "Calendar",
    "CapacityMeasure",
    "CarbonTerms",
    "Component",
    "Contract",
    "DemandMeasure",
    "EnergyMeasure",
    "Instrument",
    "Measure",
    "Obligation",
    "Opening",
    "OverrunMeasure",
    "Per",
    "Point",
    "Position",
    "PositionType",
    "Program",
    "Ratchet",
    "Rebate",
    "Regime",
    "RegimeSelector",
    "Role",
    "Shape",
    "ShareMeasure",
    "Side",
    "SignalRate",
    "Span",
    "Surplus",
    "SurplusOwner",
    "SurplusUse",
    "Window",
]


class Role(StrEnum):
    """Which part of the supply an object settles."""

    COMPLETE = "Complete"
    SUPPLY = "Supply"
    NETWORK = "Network"
    GENERATION = "Generation"
    FLEXIBILITY = "Flexibility"
    TENANT_PASS_THROUGH = "TenantPassThrough"  # noqa: S105 - a role, not a password


# ---- positions --------------------------------------------------------------------------------


class PositionType(StrEnum):
    """What is bought, and which quantity it pays for."""

    RESIDUAL = "Residual"
    """Import that no other position covers."""
    FIXED_VOLUME = "FixedVolume"
    """A constant power, paid whether used or not; what is not used follows the surplus rule."""
    LOAD_FOLLOWING = "LoadFollowing"
    """A share of every imported kWh."""
    PAY_AS_CONSUMED = "PayAsConsumed"
    """Direct supply, paid for SelfUse."""
    PAY_AS_PRODUCED = "PayAsProduced"
    """Direct supply, paid for Available - Curtailed."""
    PAY_AS_AVAILABLE = "PayAsAvailable"
    """Direct supply, paid for Available (deemed generation)."""
    CONTRACT_FOR_DIFFERENCE = "ContractForDifference"
    """A constant power settled at strike - reference index, whatever is used: it is sunk."""


class SurplusUse(StrEnum):
    """Where supply goes that is not used."""

    EXPORT = "Export"
    CURTAIL = "Curtail"


class SurplusOwner(StrEnum):
    """Who is paid for the surplus."""

    CONSUMER = "Consumer"
    GENERATOR = "Generator"


@dataclass(frozen=True, slots=True)
class Surplus:
    """Use, price per kWh and owner of what is bought or produced but not used."""

    use: SurplusUse
    owner: SurplusOwner
    rate: Decimal | None = None
    signal_rate: SignalRate | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """One purchase at a rate per kWh, fixed or indexed."""

    name: str
    type: PositionType
    rate: Decimal | None = None
    signal_rate: SignalRate | None = None
    supply_name: str = ""
    watts: int = 0
    """FixedVolume and ContractForDifference: the constant power."""
    reference_signal_name: str = ""
    """ContractForDifference: the index that the strike `rate` is settled against."""
    share: Decimal = Decimal(1)
    """LoadFollowing: the part of import it covers."""
    surplus: Surplus | None = None


DIRECT_SUPPLY = frozenset(
    {PositionType.PAY_AS_CONSUMED, PositionType.PAY_AS_PRODUCED, PositionType.PAY_AS_AVAILABLE}
)


# ---- obligations, programs, the whole ---------------------------------------------------------


class Instrument(StrEnum):
    """What counts as green for an obligation."""

    DIRECT_SELF_USE = "DirectSelfUse"
    GREEN_POWER_TRADE = "GreenPowerTrade"
    CANCELLED_CERTIFICATE = "CancelledCertificate"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A linear form `sum(coefficient x quantity) >= 0` over a month or year."""

    name: str
    period: Span
    terms: tuple[tuple[Basis, Decimal], ...]
    eligible: tuple[Instrument, ...] = ()
    """What counts as Green."""
    shortfall_rate: Decimal | None = None
    """Price per kWh of shortfall; None = the contract names none."""
    hard: bool = False
    """No money buys it off: plans keep it as a constraint."""


@dataclass(frozen=True, slots=True)
class Program:
    """A demand-response product of the contract; the governor and the decision read it."""

    name: str
    product: str
    notice_seconds: int | None = None
    max_events_per_month: int | None = None
    max_duration_seconds: int | None = None
    committed_watts: int | None = None
    baseline_method: str = ""
    firmness: str = ""
    energy_rate: Decimal | None = None
    availability_rate: Decimal | None = None
    penalty_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CarbonTerms:
    """Method of the inventory and an internal price per tonne."""

    method: str = "LocationBased"
    rate_per_tonne: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A metering point: the site's grid connection with what was contracted there."""

    site_name: str
    connection_name: str = ""
    contracted_watts: int | None = None
    """Priced, never a limit."""
    maximum_watts: int | None = None
    """A limit the planner keeps."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the meter had already counted when the installation began in mid-period."""

    start_time: int
    until_time: int
    watt_hours: tuple[tuple[Basis, int], ...] = ()
    peak_watts: tuple[tuple[str, str, int], ...] = ()
    """(component, month as `2026-07`, W); earlier months serve ratchets."""
    cost: Decimal | None = None
    """Energy cost so far as billed; then the energy of the opening is not priced again."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One EnergyContract, checked: every name resolves, every part can be billed."""

    name: str
    role: Role
    currency: str
    time_zone: str
    interval_minutes: int
    valid_from: int | None = None
    valid_until: int | None = None
    points: tuple[Point, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    components: tuple[Component, ...] = ()
    shapes: tuple[Shape, ...] = ()
    positions: tuple[Position, ...] = ()
    regimes: tuple[Regime, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    carbon: CarbonTerms = field(default_factory=CarbonTerms)
    programs: tuple[Program, ...] = ()
    signal_names: tuple[str, ...] = ()
    """Indices the prices need; all of them must be declared in the object's own `signals[]`."""
    opening: Opening | None = None

    def in_force(self, time: float) -> bool:
        """Whether the contract is valid at a moment."""
        return within(time, self.valid_from, self.valid_until)

    def calendar(self, name: str) -> Calendar:
        """The calendar of that name; parse made sure that it exists."""
        return next(calendar for calendar in self.calendars if calendar.name == name)

    def component(self, name: str) -> Component | None:
        """The component of that name."""
        return next((part for part in self.components if part.name == name), None)

    @property
    def contracted_watts(self) -> int | None:
        """Sum over the points; None when any point has none."""
        values = [point.contracted_watts for point in self.points]
        if not values or any(value is None for value in values):
            return None
        return sum(value for value in values if value is not None)

    @property
    def maximum_watts(self) -> int | None:
        """Sum over the points; None when any point has none."""
        values = [point.maximum_watts for point in self.points]
        if not values or any(value is None for value in values):
            return None
        return sum(value for value in values if value is not None)
