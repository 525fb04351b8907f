"""Quantities and canonical units of every signal, and the conversion from the unit of a source.

A source says its own unit; everything behind the edge uses the canonical one of the quantity.
Neighbours: `core/signal.py` (readings), `adapters/base.py` (the edge that converts).
"""

from __future__ import annotations

import re
from enum import StrEnum


class Quantity(StrEnum):
    """What a signal measures; the names are those of the API (`signals[].quantity`)."""

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


class Dimension(StrEnum):
    """Groups of units that convert into each other."""

    PRICE = "price"
    CARBON = "carbon"
    POWER = "power"
    RATIO = "ratio"
    TEMPERATURE = "temperature"
    STATE = "state"
    COUNT = "count"


DIMENSION: dict[Quantity, Dimension] = {
    Quantity.ENERGY_PRICE: Dimension.PRICE,
    Quantity.EXPORT_PRICE: Dimension.PRICE,
    Quantity.CARBON_INTENSITY_AVERAGE: Dimension.CARBON,
    Quantity.CARBON_INTENSITY_MARGINAL: Dimension.CARBON,
    Quantity.GREEN_SHARE: Dimension.RATIO,
    Quantity.SUPPLY_POWER: Dimension.POWER,
    Quantity.SITE_POWER: Dimension.POWER,
    Quantity.IT_POWER: Dimension.POWER,
    Quantity.UNCONTROLLED_POWER: Dimension.POWER,
    Quantity.COOLING_LIMIT_POWER: Dimension.POWER,
    Quantity.SUPPLY_TEMPERATURE: Dimension.TEMPERATURE,
    Quantity.OUTDOOR_TEMPERATURE: Dimension.TEMPERATURE,
    Quantity.LEAK_STATE: Dimension.STATE,
    Quantity.UPS_STATE: Dimension.STATE,
    Quantity.STATE_OF_CHARGE: Dimension.RATIO,
    Quantity.BACKLOG_UNITS: Dimension.COUNT,
}

# Canonical: W, g/kWh, currency/kWh, ratio 0..1, degC, state 0 or 1, count.
# Each entry is (factor, offset): canonical = value * factor + offset.
_UNITS: dict[str, tuple[Dimension, float, float]] = {
    "Watt": (Dimension.POWER, 1.0, 0.0),
    "Kilowatt": (Dimension.POWER, 1e3, 0.0),
    "Megawatt": (Dimension.POWER, 1e6, 0.0),
    "Milliwatt": (Dimension.POWER, 1e-3, 0.0),
    "GramPerKilowattHour": (Dimension.CARBON, 1.0, 0.0),
    "KilogramPerMegawattHour": (Dimension.CARBON, 1.0, 0.0),
    "KilogramPerKilowattHour": (Dimension.CARBON, 1e3, 0.0),
    # avoirdupois pound, NIST SP 811: 0.45359237 kg
    "PoundPerMegawattHour": (Dimension.CARBON, 0.45359237, 0.0),
    "Ratio": (Dimension.RATIO, 1.0, 0.0),
    "Percent": (Dimension.RATIO, 0.01, 0.0),
    "Permille": (Dimension.RATIO, 0.001, 0.0),
    "DegreeCelsius": (Dimension.TEMPERATURE, 1.0, 0.0),
    "Millicelsius": (Dimension.TEMPERATURE, 1e-3, 0.0),
    "DegreeFahrenheit": (Dimension.TEMPERATURE, 5 / 9, -160 / 9),
    "Kelvin": (Dimension.TEMPERATURE, 1.0, -273.15),
    "State": (Dimension.STATE, 1.0, 0.0),
    "Count": (Dimension.COUNT, 1.0, 0.0),
}
UNIT_NAMES: tuple[str, ...] = tuple(_UNITS)

# <ISO 4217 code>Per{KilowattHour,MegawattHour}; pence and cents appear as GBX-like subunits of sources
_PRICE_PATTERN = re.compile(r"^([A-Z]{3})(Cent)?Per(KilowattHour|MegawattHour)$")


class UnitError(ValueError):
    """A unit that does not exist, or that does not measure the quantity; the message says which do."""


def price_currency(unit: str) -> str | None:
    """The ISO 4217 code in a price unit such as `CNYPerMegawattHour`; None if it is no price unit."""
    match = _PRICE_PATTERN.match(unit)
    return match.group(1) if match else None


def to_canonical(quantity: Quantity, value: float, unit: str) -> float:
    """Convert `value` in `unit` to the canonical unit of `quantity`.

    Raises:
        UnitError: the unit is unknown or belongs to another dimension.
    """
    dimension = DIMENSION[quantity]
    if dimension is Dimension.PRICE:
        match = _PRICE_PATTERN.match(unit)
        if match is None:
            raise UnitError(
                f"unit {unit!r} is no price: use <CUR>PerKilowattHour or <CUR>PerMegawattHour"
            )
        factor = 1.0 if match.group(3) == "KilowattHour" else 1e-3
        return value * factor * (0.01 if match.group(2) else 1.0)
    known = _UNITS.get(unit)
    if known is None or known[0] is not dimension:
        allowed = ", ".join(name for name, row in _UNITS.items() if row[0] is dimension)
        raise UnitError(f"unit {unit!r} does not measure {quantity}: use one of {allowed}")
    return value * known[1] + known[2]
