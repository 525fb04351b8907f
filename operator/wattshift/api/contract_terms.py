"""Terms of an EnergyContract beside the tariff: positions, settlement, obligations, programs, carbon.

Neighbours: `tariff.py` (components), `energycontract.py` (the kind).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel, Rule, at_most_one, list_atomic, list_map, list_set, present
from wattshift.api.calendars import DayType
from wattshift.api.common import (
    Amount,
    Count,
    DecimalText,
    FractionText,
    LocalName,
    Month,
    Permille,
    PositiveDecimalText,
    PositiveSeconds,
    Seconds,
    TimeOfDayText,
    Watts,
    WindowText,
)
from wattshift.api.measures import Period
from wattshift.api.site_events import Firmness
from wattshift.api.tariff import SignalRate

_INT32 = {"format": "int32"}


class PositionType(StrEnum):
    """How energy is bought."""

    LOAD_FOLLOWING = "LoadFollowing"
    RESIDUAL = "Residual"
    FIXED_VOLUME = "FixedVolume"
    PAY_AS_CONSUMED = "PayAsConsumed"
    PAY_AS_PRODUCED = "PayAsProduced"
    PAY_AS_AVAILABLE = "PayAsAvailable"
    CONTRACT_FOR_DIFFERENCE = "ContractForDifference"


class SurplusUse(StrEnum):
    """What happens to energy that is not used."""

    EXPORT = "Export"
    CURTAIL = "Curtail"
    STORE = "Store"


class SurplusOwner(StrEnum):
    """Who is paid for the surplus."""

    GENERATOR = "Generator"
    CONSUMER = "Consumer"


class Surplus(ApiModel):
    """What happens to bought energy that is not used, and who is paid for it."""

    rules = (at_most_one("rate", "signal_rate"),)

    use: SurplusUse
    """use is Export, Curtail or Store."""
    rate: DecimalText | None = None
    """rate per kWh that is paid for it."""
    signal_rate: SignalRate | None = None
    """signalRate follows a price signal."""
    owner: SurplusOwner
    """owner is who is paid."""


class TakeOrPay(ApiModel):
    """A least quantity that is paid anyway."""

    kilowatt_hours: Amount
    """kilowattHours is the least quantity of the period."""
    period: Period
    """period of the quantity."""
    rate: DecimalText | None = None
    """rate per kWh that is missing; absent = the rate of the position."""


_SUPPLY_TYPES = {
    PositionType.PAY_AS_CONSUMED,
    PositionType.PAY_AS_PRODUCED,
    PositionType.PAY_AS_AVAILABLE,
}


class Position(ApiModel):
    """Energy that is bought."""

    rules = (
        Rule(
            cel="has(self.rate) != has(self.signalRate)",
            message="set exactly one of rate, signalRate",
            check=lambda self: present(self, "rate") != present(self, "signal_rate"),
        ),
        Rule(
            cel="!(self.type in ['PayAsConsumed', 'PayAsProduced', 'PayAsAvailable']) "
            "|| has(self.supplyName)",
            message="this type of position needs supplyName",
            check=lambda self: self.type not in _SUPPLY_TYPES or present(self, "supply_name"),
        ),
        Rule(
            cel="(self.type in ['FixedVolume', 'ContractForDifference']) == has(self.kilowatts)",
            message="types FixedVolume and ContractForDifference need kilowatts, and only they",
            check=lambda self: (
                (self.type in {PositionType.FIXED_VOLUME, PositionType.CONTRACT_FOR_DIFFERENCE})
                == present(self, "kilowatts")
            ),
        ),
    )

    name: LocalName
    """name is the name of the line."""
    type: PositionType
    """type is how energy is bought."""
    supply_name: LocalName | None = None
    """supplyName is a supply of the contract's sites."""
    rate: DecimalText | None = None
    """rate per kWh; the strike of a ContractForDifference."""
    signal_rate: SignalRate | None = None
    """signalRate follows a price signal."""
    reference_signal_name: LocalName | None = None
    """referenceSignalName is the index of a ContractForDifference."""
    kilowatts: Amount | None = None
    """kilowatts is the constant power of a fixed volume."""
    share: FractionText | None = None
    """share of the load that it covers; absent = all that is left."""
    surplus: Surplus | None = None
    """surplus is what happens to energy that is not used."""
    take_or_pay: TakeOrPay | None = None
    """takeOrPay is a least quantity."""


class SettlementType(StrEnum):
    """How energy is settled."""

    SINGLE_INDEX = "SingleIndex"
    TWO_SETTLEMENT = "TwoSettlement"


class Settlement(ApiModel):
    """How energy is settled."""

    rules = (
        Rule(
            cel="self.type != 'TwoSettlement' "
            "|| (has(self.dayAheadSignalName) && has(self.realTimeSignalName))",
            message="type TwoSettlement needs dayAheadSignalName and realTimeSignalName",
            check=lambda self: (
                self.type is not SettlementType.TWO_SETTLEMENT
                or (
                    present(self, "day_ahead_signal_name")
                    and present(self, "real_time_signal_name")
                )
            ),
        ),
    )

    type: SettlementType
    """type is SingleIndex or TwoSettlement."""
    day_ahead_signal_name: LocalName | None = None
    """dayAheadSignalName is the day-ahead price."""
    real_time_signal_name: LocalName | None = None
    """realTimeSignalName is the price of deviations."""
    day_ahead_close: TimeOfDayText | None = None
    """dayAheadClose is the local time of day when tomorrow's volumes are fixed."""


class ObligationQuantity(StrEnum):
    """Quantities of obligations."""

    GREEN = "Green"
    GROSS_USE = "GrossUse"
    SELF_USE = "SelfUse"
    AVAILABLE = "Available"
    EXPORT = "Export"
    IMPORT = "Import"
    CURTAILED = "Curtailed"


class ObligationTerm(ApiModel):
    """One term of a linear form."""

    quantity: ObligationQuantity
    """quantity in kWh of the period."""
    coefficient: DecimalText
    """coefficient of the quantity."""


class Instrument(StrEnum):
    """What counts as green."""

    DIRECT_SELF_USE = "DirectSelfUse"
    GREEN_POWER_TRADE = "GreenPowerTrade"
    CANCELLED_CERTIFICATE = "CancelledCertificate"


class ObligationEnforcement(StrEnum):
    """How binding an obligation is in plans."""

    PRICED = "Priced"
    HARD = "Hard"


class Obligation(ApiModel):
    """A linear form that must not be negative at the end of the period."""

    name: LocalName
    """name is the name of the obligation."""
    period: Period
    """period at whose end it is judged."""
    terms: Annotated[list[ObligationTerm], list_map("quantity", max_items=7, min_items=1)]
    """terms: sum of coefficient x quantity >= 0."""
    eligible: Annotated[list[Instrument], list_set(3)] = Field(default_factory=list)
    """eligible are the instruments that count as Green."""
    shortfall_rate: PositiveDecimalText | None = None
    """shortfallRate per missing kWh."""
    enforcement: ObligationEnforcement = ObligationEnforcement.PRICED
    """enforcement is Priced, or Hard."""
    vintage_months: Count | None = None
    """vintageMonths is the greatest age of a certificate; absent = any."""


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
    windows: Annotated[list[WindowText], list_atomic(8, 1)] | None = None
    """windows are local times of day; absent = all day."""
    watts: Watts
    """watts that are committed."""


class OptIn(StrEnum):
    """Who accepts events of a program."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class Program(ApiModel):
    """A demand-response product that was sold."""

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
    commitments: Annotated[list[Commitment], list_atomic(12)] = Field(default_factory=list)
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
    opt_in: OptIn = OptIn.AUTOMATIC
    """optIn is Automatic (only within commitments) or Manual."""


class CarbonMethod(StrEnum):
    """Which carbon factor is priced in decisions; reports keep both books."""

    LOCATION_BASED = "LocationBased"
    MARKET_BASED = "MarketBased"
    MARGINAL = "Marginal"


class Carbon(ApiModel):
    """Price of carbon in decisions."""

    method: CarbonMethod
    """method is which factor counts."""
    rate_per_tonne: PositiveDecimalText
    """ratePerTonne of CO2 equivalent, in the contract's currency."""
