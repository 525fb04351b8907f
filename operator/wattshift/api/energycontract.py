"""EnergyContract: what power costs and what was promised, executable. Cluster-scoped, `econtract`.

Parts: `calendars.py`, `tariff.py`, `measures.py`, `obligations.py`; status in
`contract_status.py`. Physics is in the PowerSite.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wattshift.api.base import ApiModel, Column, Resource
from wattshift.api.calendars import Calendar
from wattshift.api.common import (
    Currency,
    DecimalText,
    IntervalMinutes,
    LocalName,
    ObjectName,
    Time,
    WattHours,
    Watts,
    ZoneName,
)
from wattshift.api.contract_status import EnergyContractStatus, MeteredQuantity
from wattshift.api.lists import list_atomic, list_map
from wattshift.api.obligations import Carbon, Obligation
from wattshift.api.positions import Position, Settlement
from wattshift.api.programs import Program
from wattshift.api.rules import Rule, before, budget, ordered, present
from wattshift.api.signals import SIGNAL_BUDGETS, ContractSignals
from wattshift.api.tariff import Component, Regime, Shape


class Role(StrEnum):
    """Which part of the bill the contract is."""

    COMPLETE = "Complete"
    SUPPLY = "Supply"
    NETWORK = "Network"
    GENERATION = "Generation"
    FLEXIBILITY = "Flexibility"
    TENANT_PASS_THROUGH = "TenantPassThrough"  # noqa: S105


class Point(ApiModel):
    """A metering point that the contract bills."""

    atomic = True

    rules = (ordered("contracted_watts", "maximum_watts"),)

    site_name: ObjectName
    """siteName is the PowerSite."""
    connection_name: LocalName
    """connectionName is the connection there."""
    contracted_watts: Watts | None = None
    """contractedWatts is the ordered power: priced, not a limit."""
    maximum_watts: Watts | None = None
    """maximumWatts is the most power that the contract allows: a limit."""


class OpeningQuantity(ApiModel):
    """Energy of the period before the installation."""

    quantity: MeteredQuantity
    """quantity is which energy."""
    watt_hours: WattHours
    """wattHours of the period so far."""


class OpeningPeak(ApiModel):
    """A peak of the period, or of earlier months, before the installation."""

    component_name: LocalName
    """componentName is the demand component."""
    month: Annotated[str, Field(min_length=7, max_length=7, pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    """month of the peak, such as 2026-07."""
    watts: Watts
    """watts of the peak (volt-amperes of a kVA component)."""


class OpeningPeriod(ApiModel):
    """What the period already has when wattshift is installed in mid-month."""

    atomic = True

    rules = (before("start_time", "until_time"),)

    start_time: Time
    """startTime of the period."""
    until_time: Time
    """untilTime is up to when the figures count."""
    quantities: Annotated[list[OpeningQuantity], list_map("quantity", max_items=8)] = Field(
        default_factory=list
    )
    """quantities are the energies so far."""
    peaks: Annotated[list[OpeningPeak], list_map("component_name", "month", max_items=64)] = Field(
        default_factory=list
    )
    """peaks so far, and those of earlier months for ratchets."""
    cost: DecimalText | None = None
    """cost so far, in the contract's currency."""


class EnergyContractSpec(ApiModel):
    """What power costs and what was promised."""

    rules = (
        before("valid_from_time", "valid_until_time"),
        *SIGNAL_BUDGETS,
        budget("calendars", "bands", 36, "the bands of calendars"),
        budget("components", "band_rates", 144, "the bandRates of components"),
        budget("components", "blocks", 48, "the blocks of components"),
        Rule(
            cel="has(self.components) || has(self.positions) || has(self.programs)",
            message="set components, positions or programs: an empty contract says nothing",
            check=lambda self: any(
                present(self, name) for name in ("components", "positions", "programs")
            ),
        ),
    )
    immutable_fields: ClassVar[dict[str, str]] = {
        "currency": "currency is immutable: make a new EnergyContract"
    }

    role: Role
    """role is which part of the bill this is."""
    points: Annotated[
        list[Point], list_map("site_name", "connection_name", max_items=16, min_items=1)
    ]
    """points are the metering points it bills."""
    currency: Currency
    """currency is the ISO 4217 code of all money here; immutable."""
    time_zone: ZoneName
    """timeZone is the IANA zone of bands, days and months."""
    interval_minutes: IntervalMinutes = 15
    """intervalMinutes is the metering interval."""
    valid_from_time: Time
    """validFromTime is when the contract begins."""
    valid_until_time: Time | None = None
    """validUntilTime is when it ends; absent = open."""
    signals: ContractSignals = Field(default_factory=list)
    """signals are the price indices of the contract."""
    calendars: Annotated[list[Calendar], list_map("name", max_items=6)] = Field(
        default_factory=list
    )
    """calendars are ordered bands."""
    components: Annotated[list[Component], list_map("name", max_items=48)] = Field(
        default_factory=list
    )
    """components are the lines of the bill; a new price is a new component."""
    regimes: Annotated[list[Regime], list_map("name", max_items=8)] = Field(default_factory=list)
    """regimes switch between sets of components."""
    shapes: Annotated[list[Shape], list_atomic(8)] = Field(default_factory=list)
    """shapes are factors per band on components."""
    positions: Annotated[list[Position], list_map("name", max_items=8)] = Field(
        default_factory=list
    )
    """positions are the energy that is bought."""
    settlement: Settlement | None = None
    """settlement is how energy is settled; absent = SingleIndex."""
    obligations: Annotated[list[Obligation], list_map("name", max_items=8)] = Field(
        default_factory=list
    )
    """obligations must hold at the end of their period."""
    programs: Annotated[list[Program], list_map("name", max_items=8)] = Field(default_factory=list)
    """programs are the demand-response products that were sold."""
    carbon: Carbon | None = None
    """carbon is the price of carbon in decisions; absent = none."""
    opening_period: OpeningPeriod | None = None
    """openingPeriod is what the period already has when wattshift is installed."""


class EnergyContract(Resource):
    """What power costs at metering points and what was promised there."""

    plural: ClassVar[str] = "energycontracts"
    short_name: ClassVar[str] = "econtract"
    scope: ClassVar[Literal["Cluster", "Namespaced"]] = "Cluster"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Band", ".status.summary.band"),
        Column("Price", ".status.summary.price"),
        Column("Next", ".status.summary.next"),
        Column("Cost", ".status.summary.cost"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Role", ".spec.role", priority=1),
        Column("Peak", ".status.summary.peak", priority=1),
        Column("Green", ".status.summary.green", priority=1),
    )

    kind: Literal["EnergyContract"]
    """kind is EnergyContract."""
    spec: EnergyContractSpec
    """spec is what power costs and what was promised."""
    status: EnergyContractStatus | None = None
    """status is the price now and the period so far."""
