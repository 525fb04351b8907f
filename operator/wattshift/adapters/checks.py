"""Judges what a source said: unit, zone, time, number, plausibility, spikes. Pure.

Refuses with a reason; never repairs a value. A refused value leaves the last good one in place,
which then ages. Neighbours: `poller.py` calls it, `reasons.py` says what each reason means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wattshift.adapters.base import Fetched, Observation, SignalConfig
from wattshift.adapters.reasons import SourceReason
from wattshift.core.units import (
    DIMENSION,
    Dimension,
    Quantity,
    UnitError,
    price_currency,
    to_canonical,
)

FUTURE_TOLERANCE_SECONDS = 30.0
SPIKE_FACTOR = 10.0
MAGNITUDE_LIMIT = 1e12
"""A terawatt: what the API can hold; above it no unit makes sense."""
TIME_TOLERANCE_SECONDS = 0.05
MAY_BE_NEGATIVE = frozenset({Quantity.SITE_POWER})
"""Besides prices and temperatures: a meter that exports reads below zero."""
NO_SPIKES = frozenset({Dimension.STATE, Dimension.TEMPERATURE})
TEMPERATURE_RANGE = (-90.0, 150.0)

_CANONICAL = {
    Dimension.POWER: "Watt",
    Dimension.CARBON: "GramPerKilowattHour",
    Dimension.RATIO: "Ratio",
    Dimension.TEMPERATURE: "DegreeCelsius",
    Dimension.STATE: "State",
    Dimension.COUNT: "Count",
}
_ALIASES = {
    "W": "Watt",
    "kW": "Kilowatt",
    "MW": "Megawatt",
    "mW": "Milliwatt",
    "gCO2eq/kWh": "GramPerKilowattHour",
    "gCO2/kWh": "GramPerKilowattHour",
    "g/kWh": "GramPerKilowattHour",
    "kgCO2eq/MWh": "KilogramPerMegawattHour",
    "kg/MWh": "KilogramPerMegawattHour",
    "lbs_co2_per_mwh": "PoundPerMegawattHour",
    "lb/MWh": "PoundPerMegawattHour",
    "%": "Percent",
    "percent": "Percent",
    "ratio": "Ratio",
    "C": "DegreeCelsius",
    "Cel": "DegreeCelsius",
    "F": "DegreeFahrenheit",
    "K": "Kelvin",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a value was not taken."""

    reason: str
    """A `SourceReason`, or the reason of the credential store."""
    message: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A value in the canonical unit."""

    value: float
    source_time: float


@dataclass(frozen=True, slots=True)
class Pending:
    """A value that counts when the next reading repeats it."""

    reason: SourceReason
    value: float
    source_time: float


def canonical_unit(config: SignalConfig) -> str:
    """Name of the unit behind the edge; the declared unit where it measures nothing."""
    dimension = DIMENSION[config.quantity]
    if dimension is not Dimension.PRICE:
        return _CANONICAL[dimension]
    currency = price_currency(config.unit)
    return config.unit if currency is None else f"{currency}PerKilowattHour"


def unit_name(text: str) -> str:
    """Our name of a unit as a source writes it: `EUR/MWh` and `kW` included."""
    known = _ALIASES.get(text)
    if known is not None:
        return known
    currency, slash, per = text.partition("/")
    if slash and len(currency) == 3 and per in {"kWh", "MWh"}:
        return f"{currency.upper()}Per{'Kilowatt' if per == 'kWh' else 'Megawatt'}Hour"
    return text


def check_provenance(
    config: SignalConfig, fetched: Fetched, zone_asked: str | None
) -> Refusal | None:
    """Unit and zone of the whole answer."""
    try:
        to_canonical(config.quantity, 1.0, config.unit)
    except UnitError as error:
        return Refusal(SourceReason.WRONG_UNIT, str(error))
    if fetched.unit is not None and unit_name(fetched.unit) != config.unit:
        return Refusal(
            SourceReason.WRONG_UNIT,
            f"the source says {fetched.unit!r}, the signal declares {config.unit!r}",
        )
    if fetched.zone is not None and zone_asked is not None and fetched.zone != zone_asked:
        return Refusal(
            SourceReason.WRONG_ZONE,
            f"asked for zone {zone_asked!r}, the answer is for {fetched.zone!r}",
        )
    return None


def check_value(config: SignalConfig, value: float) -> Refusal | float:
    """The value in the canonical unit, or why it cannot be one.

    The unit has been checked before; raises nothing.
    """
    if math.isnan(value):
        return Refusal(SourceReason.NOT_A_NUMBER, "the value is NaN")
    if math.isinf(value):
        return Refusal(SourceReason.NOT_FINITE, "the value is infinite")
    low, high = config.plausible_minimum, config.plausible_maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return Refusal(
            SourceReason.IMPLAUSIBLE,
            f"{value:g} {config.unit} is outside plausible [{_bound(low)}, {_bound(high)}]",
        )
    canonical = to_canonical(config.quantity, value, config.unit)
    dimension = DIMENSION[config.quantity]
    signed = dimension in {Dimension.PRICE, Dimension.TEMPERATURE}
    if canonical < 0 and not signed and config.quantity not in MAY_BE_NEGATIVE:
        return Refusal(SourceReason.NEGATIVE, f"{value:g} {config.unit}: cannot be below zero")
    impossible = (
        not abs(canonical) < MAGNITUDE_LIMIT
        or (dimension is Dimension.RATIO and canonical > 1.0 + 1e-9)
        or (dimension is Dimension.STATE and canonical not in {0.0, 1.0})
        or (
            dimension is Dimension.TEMPERATURE
            and not TEMPERATURE_RANGE[0] <= canonical <= TEMPERATURE_RANGE[1]
        )
    )
    if impossible:
        return Refusal(
            SourceReason.IMPLAUSIBLE,
            f"{value:g} {config.unit} cannot be a {config.quantity}: is the unit right?",
        )
    return canonical


def _bound(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def check_observation(
    config: SignalConfig,
    observation: Observation,
    *,
    last: Accepted | None,
    pending: Pending | None,
    now: float,
    speed: float = 1.0,
) -> Accepted | Refusal | Pending:
    """Judge one observation against the clock and the value held.

    `Pending` is a refusal that the next reading may turn into an acceptance: a spike that repeats
    itself is a step, a second value for one time that repeats itself is a revision.
    """
    judged = check_value(config, observation.value)
    if isinstance(judged, Refusal):
        return judged
    time = observation.source_time
    if time > now + FUTURE_TOLERANCE_SECONDS * max(1.0, speed):
        return Refusal(
            SourceReason.FROM_THE_FUTURE, f"the source time lies {time - now:.0f} s ahead"
        )
    accepted = Accepted(judged, min(time, now))
    if last is None:
        return accepted
    # live time stamps pass through two clocks of a replay: equal within their reading error
    tolerance = TIME_TOLERANCE_SECONDS * max(1.0, speed)
    same_time = abs(time - last.source_time) <= tolerance
    if observation.exact_time and time < last.source_time and not same_time:
        return Refusal(
            SourceReason.OUT_OF_ORDER, f"{last.source_time - time:.0f} s older than the one held"
        )
    if observation.exact_time and same_time and judged != last.value:
        repeated = pending is not None and pending.value == judged
        return accepted if repeated else Pending(SourceReason.DUPLICATE_TIME, judged, time)
    if _is_spike(config, judged, last.value):
        repeated = (
            pending is not None
            and pending.reason is SourceReason.SPIKE_UNCONFIRMED
            and abs(pending.source_time - time) > tolerance
            and not _jump(judged, pending.value)
        )
        return accepted if repeated else Pending(SourceReason.SPIKE_UNCONFIRMED, judged, time)
    return accepted


def _is_spike(config: SignalConfig, value: float, last: float) -> bool:
    """Whether `plausible` leaves the direction of a jump unbounded."""
    if DIMENSION[config.quantity] in NO_SPIKES or not _jump(value, last):
        return False
    return (config.plausible_maximum if value > last else config.plausible_minimum) is None


def _jump(value: float, last: float) -> bool:
    """More than ten times as large or as small; from zero every value is possible."""
    if last == 0.0:
        return False
    return abs(value) > SPIKE_FACTOR * abs(last) or abs(value) < abs(last) / SPIKE_FACTOR


def explain_pending(pending: Pending) -> str:
    """What a pending value waits for, for people."""
    what = (
        "more than ten times off the last good value"
        if pending.reason is SourceReason.SPIKE_UNCONFIRMED
        else "a second value for one source time"
    )
    return f"{pending.value:g} is {what}: counts when the next reading repeats it"
