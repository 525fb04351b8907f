"""Status of an EnergyContract: price now, next change, period to date, pace of obligations.

`period` must survive a restart: peaks are written when they rise, totals hourly.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import (
    Conditions,
    Currency,
    DecimalText,
    Generation,
    LocalName,
    Seconds,
    SignedWatts,
    Text,
    Time,
    WattHours,
    Watts,
)
from wattshift.api.lists import list_map
from wattshift.api.site_status import GridClockSpeed


class MeteredQuantity(StrEnum):
    """Energies that are counted in a period."""

    IMPORT = "Import"
    EXPORT = "Export"
    GROSS_USE = "GrossUse"
    SELF_USE = "SelfUse"
    AVAILABLE = "Available"
    CURTAILED = "Curtailed"
    IT_LOAD = "ItLoad"
    GREEN = "Green"


class Finality(StrEnum):
    """How final a price is."""

    FORECAST = "Forecast"
    PUBLISHED = "Published"
    SETTLED = "Settled"


class MarginalPrice(ApiModel):
    """Price of the next kWh, in the contract's currency."""

    energy: DecimalText
    """energy is the part of the energy components and positions."""
    demand_adder: DecimalText | None = None
    """demandAdder is the expected cost of a higher demand peak."""
    obligation_adder: DecimalText | None = None
    """obligationAdder is the expected cost of missing an obligation."""
    total: DecimalText
    """total is the sum."""


class NextChange(ApiModel):
    """When the price changes next, and to what."""

    time: Time
    """time of the change."""
    band_name: LocalName | None = None
    """bandName is the band from then on."""
    total: DecimalText | None = None
    """total is the marginal price from then on, where it is known."""


class PeriodQuantity(ApiModel):
    """Energy of the period to date."""

    quantity: MeteredQuantity
    """quantity is which energy."""
    watt_hours: WattHours
    """wattHours to date."""


class PeriodPeak(ApiModel):
    """Peak of one demand component in the period."""

    component_name: LocalName
    """componentName is the demand component."""
    month: Annotated[str, Field(min_length=7, max_length=7, pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    """month of the peak; earlier months are kept as long as a ratchet needs them."""
    peak_watts: Watts
    """peakWatts is the highest average (volt-amperes of a kVA component)."""
    time: Time | None = None
    """time is the start of its interval."""


class PeriodStatus(ApiModel):
    """The billing period to date."""

    start_time: Time
    """startTime of the period."""
    until_time: Time | None = None
    """untilTime is up to when the figures count."""
    watt_hours: Annotated[list[PeriodQuantity], list_map("quantity", max_items=8)] = Field(
        default_factory=list
    )
    """wattHours by quantity."""
    peaks: Annotated[list[PeriodPeak], list_map("component_name", "month", max_items=128)] = Field(
        default_factory=list
    )
    """peaks by component."""
    missing_seconds: Seconds = 0
    """missingSeconds is time without a meter reading."""
    books: Annotated[str, Field(max_length=131_072)] | None = None
    """books is the whole state of the meter as JSON, for a restart; not for people."""


class CostLine(ApiModel):
    """One line of the bill to date."""

    name: LocalName
    """name is the component or position."""
    amount: DecimalText
    """amount to date, in the contract's currency."""


class CostStatus(ApiModel):
    """The bill to date."""

    total: DecimalText
    """total to date, in the contract's currency."""
    currency: Currency
    """currency of the amounts."""
    lines: Annotated[list[CostLine], list_map("name", max_items=80)] = Field(default_factory=list)
    """lines of the bill."""
    finality: Finality | None = None
    """finality of the least final price in it."""


class ObligationPace(ApiModel):
    """Where an obligation stands."""

    name: LocalName
    """name of the obligation."""
    slack_watt_hours: WattHours
    """slackWattHours is the linear form to date; negative = behind."""
    share: DecimalText | None = None
    """share to date, of a ratio."""
    required_share: DecimalText | None = None
    """requiredShare of what is left of the period."""
    adder: DecimalText | None = None
    """adder on a kWh now."""


class ContractShadowPrices(ApiModel):
    """What the last plan would pay, in the contract's currency."""

    peak_kilowatt: DecimalText | None = None
    """peakKilowatt is the value of one kW less of peak."""
    green_kilowatt_hour: DecimalText | None = None
    """greenKilowattHour is the value of one more green kWh."""


class EnergyContractSummary(ApiModel):
    """Strings for the printer columns."""

    band: Text | None = None
    """band is the band now."""
    price: Text | None = None
    """price is the marginal price now, such as 0.5981 CNY/kWh."""
    next: Text | None = None
    """next is the next change, such as Peak 18:00."""
    cost: Text | None = None
    """cost of the period to date."""
    peak: Text | None = None
    """peak of the period to date."""
    green: Text | None = None
    """green is the share to date and the target."""


class EnergyContractStatus(ApiModel):
    """The price now and the period so far."""

    conditions: Conditions = Field(default_factory=list)
    """conditions are Accepted, Ready, InForce, PriceKnown, GreenOnTrack, WithinCapacity."""
    observed_generation: Generation | None = None
    """observedGeneration is the generation of the spec that was judged."""
    grid_clock_speed: GridClockSpeed | None = None
    """gridClockSpeed is present in a replay only: how fast the grid clock runs."""
    band_name: LocalName | None = None
    """bandName is the band now, of the first calendar that a component uses."""
    marginal_price_up: MarginalPrice | None = None
    """marginalPriceUp is the price of the next kWh more."""
    marginal_price_down: MarginalPrice | None = None
    """marginalPriceDown is what the next kWh less saves."""
    price_finality: Finality | None = None
    """priceFinality is how final the price now is."""
    next_change: NextChange | None = None
    """nextChange is when the price changes next."""
    period: PeriodStatus | None = None
    """period is the billing period to date."""
    cost: CostStatus | None = None
    """cost is the bill to date."""
    pace: Annotated[list[ObligationPace], list_map("name", max_items=16)] = Field(
        default_factory=list
    )
    """pace is where the obligations stand."""
    carbon_grams: WattHours | None = None
    """carbonGrams of the period to date, by the contract's method."""
    headroom_watts: SignedWatts | None = None
    """headroomWatts is maximumWatts less the power now, the least of all points."""
    shadow_prices: ContractShadowPrices | None = None
    """shadowPrices are those of the last plan."""
    summary: EnergyContractSummary | None = None
    """summary are strings for people."""
