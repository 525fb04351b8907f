"""Tariff of an EnergyContract: components (measure x rate), shapes per band, regimes.

Decimal strings throughout. A new month's price is a new component: the past is never rewritten.
Neighbours: `measures.py`, `calendars.py`, `obligations.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import Amount, DecimalText, LocalName, PositiveDecimalText, Time
from wattshift.api.endpoints import ConfigMapRef
from wattshift.api.lists import list_atomic
from wattshift.api.measures import ComponentNames, Measure, MeasureType
from wattshift.api.rules import Rule, before, count_of, present


class Per(StrEnum):
    """What a rate is paid for."""

    KWH = "kWh"
    MWH = "MWh"
    KVARH = "kvarh"
    KW_DAY = "kW-day"
    KW_MONTH = "kW-month"
    KW_YEAR = "kW-year"
    KVA_DAY = "kVA-day"
    KVA_MONTH = "kVA-month"
    KVA_YEAR = "kVA-year"
    MW_DAY = "MW-day"
    MW_MONTH = "MW-month"
    MW_YEAR = "MW-year"
    DAY = "Day"
    MONTH = "Month"
    YEAR = "Year"


class BandRate(ApiModel):
    """The rate in one band."""

    band_name: LocalName
    """bandName is a band of the component's calendar."""
    rate: DecimalText
    """rate in the contract's currency."""


class SignalRate(ApiModel):
    """A rate that follows a price signal: min(cap, max(floor, signal x multiplier + adder))."""

    atomic = True

    signal_name: LocalName
    """signalName is an EnergyPrice or ExportPrice signal of the contract."""
    multiplier: DecimalText | None = None
    """multiplier of the signal; absent = 1."""
    adder: DecimalText | None = None
    """adder per kWh; absent = 0."""
    floor: DecimalText | None = None
    """floor is the least rate."""
    cap: DecimalText | None = None
    """cap is the greatest rate."""


class Block(ApiModel):
    """A rate for a range of the period's quantity."""

    up_to: Amount | None = None
    """upTo is the end of the block in the unit of `per`; absent in the last block."""
    rate: DecimalText
    """rate in the contract's currency."""


class PriceList(ApiModel):
    """Rates by time, in a ConfigMap of the operator's namespace."""

    atomic = True

    config_map_ref: ConfigMapRef
    """configMapRef names the CSV document."""
    time_column: Annotated[str, Field(min_length=1, max_length=64)] = "time"
    """timeColumn has the start of each step."""
    value_column: Annotated[str, Field(min_length=1, max_length=64)] = "rate"
    """valueColumn has the rates."""


class Rebate(ApiModel):
    """A factor on the component when the load is used well."""

    factor: PositiveDecimalText
    """factor multiplies the component."""
    when_kilowatt_hours_per_kilovolt_ampere_at_least: Amount
    """whenKilowattHoursPerKilovoltAmpereAtLeast is the monthly use from which on it applies."""
    connected_kilovolt_amperes: Annotated[
        int, Field(strict=True, ge=1, le=10_000_000, json_schema_extra={"format": "int64"})
    ]
    """connectedKilovoltAmperes is the connected transformer capacity."""


class Treatment(StrEnum):
    """How a component counts in decisions."""

    COST = "Cost"
    RECOVERABLE_VAT = "RecoverableVAT"


class RegimeSide(StrEnum):
    """Side of a regime's threshold."""

    BELOW = "Below"
    AT_OR_ABOVE = "AtOrAbove"


class RegimeRef(ApiModel):
    """The regime in which a component is billed."""

    atomic = True

    regime_name: LocalName
    """regimeName is a regime of the contract."""
    side: RegimeSide
    """side of its threshold."""


class RegimeSelector(StrEnum):
    """What decides between regimes."""

    ANNUAL_USE_HOURS = "AnnualUseHours"
    CONTRACTED_WATTS = "ContractedWatts"
    ANNUAL_KILOWATT_HOURS = "AnnualKilowattHours"


class Regime(ApiModel):
    """A switch between two sets of components."""

    atomic = True

    name: LocalName
    """name is what components call the regime."""
    select_by: RegimeSelector
    """selectBy is what is compared with the threshold."""
    threshold: PositiveDecimalText
    """threshold between Below and AtOrAbove."""


_RATES = ("rate", "band_rates", "signal_rate", "blocks", "price_list")
_WITHOUT_RATE = {MeasureType.SHARE, MeasureType.SMALLEST_OF}


class Component(ApiModel):
    """One line of the bill: measure x rate."""

    atomic = True

    rules = (
        Rule(
            cel=f"{count_of(*_RATES)} == (self.measure.type in ['Share', 'SmallestOf'] ? 0 : 1)",
            message="set exactly one of rate, bandRates, signalRate, blocks, priceList; "
            "the measures Share and SmallestOf take none",
            check=lambda self: (
                sum(present(self, name) for name in _RATES)
                == (0 if self.measure.type in _WITHOUT_RATE else 1)
            ),
        ),
        Rule(
            cel="(self.measure.type in ['Share', 'SmallestOf']) != has(self.per)",
            message="set per; only the measures Share and SmallestOf take none",
            check=lambda self: (self.measure.type in _WITHOUT_RATE) != present(self, "per"),
        ),
        Rule(
            cel="!has(self.bandRates) || has(self.calendarName)",
            message="bandRates need calendarName",
            check=lambda self: not present(self, "band_rates") or present(self, "calendar_name"),
        ),
        before("from_time", "until_time"),
    )

    name: LocalName
    """name is the name of the line."""
    measure: Measure
    """measure is what quantity is billed."""
    rate: DecimalText | None = None
    """rate in the contract's currency, per `per`."""
    calendar_name: LocalName | None = None
    """calendarName is the calendar of bandRates."""
    band_rates: Annotated[list[BandRate], list_atomic(16, 1)] | None = None
    """bandRates are the rates by band."""
    signal_rate: SignalRate | None = None
    """signalRate follows a price signal."""
    blocks: Annotated[list[Block], list_atomic(12, 1)] | None = None
    """blocks are rates for ranges of the period's quantity, ascending."""
    price_list: PriceList | None = None
    """priceList are rates by time in a ConfigMap."""
    per: Per | None = None
    """per is what the rate is paid for."""
    regime: RegimeRef | None = None
    """regime in which the component is billed; absent = always."""
    rebates: Annotated[list[Rebate], list_atomic(4)] = Field(default_factory=list)
    """rebates are factors when the load is used well."""
    treatment: Treatment = Treatment.COST
    """treatment is Cost, or RecoverableVAT (on the bill, not in decisions)."""
    from_time: Time | None = None
    """fromTime is when it begins; absent = with the contract."""
    until_time: Time | None = None
    """untilTime is when it ends; absent = with the contract."""


class BandFactor(ApiModel):
    """The factor in one band."""

    band_name: LocalName
    """bandName is a band of the shape's calendar."""
    factor: PositiveDecimalText
    """factor on the components."""


class Shape(ApiModel):
    """Factors per band on named components: time-of-use multiplies some and not others."""

    atomic = True

    calendar_name: LocalName
    """calendarName is the calendar of the bands."""
    of_component_names: ComponentNames
    """ofComponentNames are the components that are multiplied."""
    factors: Annotated[list[BandFactor], list_atomic(16, 1)]
    """factors by band; a band without one counts 1."""
    from_time: Time | None = None
    """fromTime is when it begins; absent = with the contract."""
    until_time: Time | None = None
    """untilTime is when it ends; absent = with the contract."""
