"""Positions of an EnergyContract: energy that is bought, its surplus, and how it is settled.

Neighbours: `tariff.py` (components), `energycontract.py` (the kind).
"""

from __future__ import annotations

from enum import StrEnum

from wattshift.api.base import ApiModel
from wattshift.api.common import Amount, DecimalText, FractionText, LocalName, TimeOfDayText
from wattshift.api.demand import Period
from wattshift.api.rules import Rule, at_most_one, present
from wattshift.api.tariff import SignalRate


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

    atomic = True

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

    atomic = True

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

    atomic = True

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

    atomic = True

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
