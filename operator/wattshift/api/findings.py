"""What is wrong with an object, and the checks that several kinds share: zones, signals, windows.

A finding becomes `Accepted=False`; its message says what to change. Neighbour: `validate.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from zoneinfo import ZoneInfo

from wattshift.api.reasons import SpecReason
from wattshift.api.signals import Quantity, Signal, SignalKind


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `reason` for machines, `path` to the field, `message` that says what to change."""

    reason: StrEnum
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


_LISTED = 8
_POWER = ["Watt", "Kilowatt", "Megawatt", "Milliwatt"]
_CARBON = [
    "GramPerKilowattHour",
    "KilogramPerMegawattHour",
    "KilogramPerKilowattHour",
    "PoundPerMegawattHour",
]
_RATIO = ["Ratio", "Percent", "Permille"]
_TEMPERATURE = ["DegreeCelsius", "Millicelsius", "DegreeFahrenheit", "Kelvin"]
_TOP = {"Ratio": "1", "Percent": "100", "Permille": "1000", "State": "1"}
_LARGE = {"Megawatt": "1e6", "Kilowatt": "1e9", "KilogramPerKilowattHour": "1e9"}
_UNITS: dict[Quantity, list[str]] = {
    Quantity.CARBON_INTENSITY_AVERAGE: _CARBON,
    Quantity.CARBON_INTENSITY_MARGINAL: _CARBON,
    Quantity.GREEN_SHARE: _RATIO,
    Quantity.SUPPLY_POWER: _POWER,
    Quantity.SITE_POWER: _POWER,
    Quantity.IT_POWER: _POWER,
    Quantity.UNCONTROLLED_POWER: _POWER,
    Quantity.COOLING_LIMIT_POWER: _POWER,
    Quantity.SUPPLY_TEMPERATURE: _TEMPERATURE,
    Quantity.OUTDOOR_TEMPERATURE: _TEMPERATURE,
    Quantity.LEAK_STATE: ["State"],
    Quantity.UPS_STATE: ["State"],
    Quantity.STATE_OF_CHARGE: _RATIO,
    Quantity.BACKLOG_UNITS: ["Count"],
}
PRICES = frozenset({Quantity.ENERGY_PRICE, Quantity.EXPORT_PRICE})


def units_of(quantity: Quantity) -> list[str]:
    """Units that measure a quantity; empty = prices, which are `<CUR>Per...`."""
    return _UNITS.get(quantity, [])


def known(names: Iterable[str]) -> str:
    """The names that exist, for a message."""
    listed = sorted(set(names))
    if not listed:
        return "it has none"
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"it has {', '.join(listed[:_LISTED])}{more}"


def zone(name: str, path: str) -> Iterator[Finding]:
    """Whether a time zone exists."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        yield Finding(
            SpecReason.UNKNOWN_TIME_ZONE,
            path,
            f"time zone {name} does not exist: name one of the IANA data base, such as "
            "Asia/Shanghai",
        )


def dates(values: Iterable[str], path: str) -> Iterator[Finding]:
    """Whether days exist in the calendar."""
    for value in values:
        try:
            dt.date.fromisoformat(value)
        except ValueError:
            yield Finding(SpecReason.INVALID_DATE, path, f"the day {value} does not exist")


def windows(values: Iterable[str] | None, path: str) -> Iterator[Finding]:
    """Whether windows of times of day end after they start."""
    for value in values or ():
        start, end = value.split("-")
        if end <= start:
            yield Finding(
                SpecReason.WINDOW_ENDS_BEFORE_START,
                path,
                f"window {value} ends before it starts: split it at midnight, "
                f"{start}-24:00 and 00:00-{end}",
            )


def decimal_range(value: str | None, low: str, high: str, path: str) -> Iterator[Finding]:
    """Whether a decimal number lies within bounds that make sense."""
    if value is not None and not Decimal(low) <= Decimal(value) <= Decimal(high):
        yield Finding(
            SpecReason.DECIMAL_OUT_OF_RANGE, path, f"{value} must lie between {low} and {high}"
        )


def decimal_order(
    low: str | None, high: str | None, path: str, names: tuple[str, str]
) -> Iterator[Finding]:
    """Whether a decimal minimum is not above its maximum."""
    if low is not None and high is not None and Decimal(low) > Decimal(high):
        yield Finding(
            SpecReason.MINIMUM_ABOVE_MAXIMUM,
            path,
            f"{names[0]} {low} is greater than {names[1]} {high}: exchange or correct them",
        )


def signals(declared: Iterable[Signal], currency: str | None = None) -> Iterator[Finding]:
    """Faults of declared signals; `currency` is that of the contract which declares them."""
    for signal in declared:
        path = f"spec.signals[{signal.name}]"
        units = units_of(signal.quantity)
        is_price = signal.quantity in PRICES
        if (is_price and "Per" not in signal.unit[3:]) or (is_price and signal.unit in _CARBON):
            yield _unit(signal, path, "a price such as CNYPerMegawattHour")
        elif not is_price and signal.unit not in units:
            yield _unit(signal, path, "one of " + ", ".join(units))
        elif is_price and currency is not None and not signal.unit.startswith(currency):
            yield Finding(
                SpecReason.CURRENCY_MISMATCH,
                f"{path}.unit",
                f"unit {signal.unit} is not in the contract's currency {currency}: "
                "use a signal in it, or make a contract in the other currency",
            )
        yield from _values(signal, path)


def _unit(signal: Signal, path: str, allowed: str) -> Finding:
    return Finding(
        SpecReason.UNIT_DOES_NOT_FIT,
        f"{path}.unit",
        f"unit {signal.unit} does not measure {signal.quantity}: use {allowed}",
    )


def _possible(signal: Signal) -> tuple[str, str]:
    """What the quantity can be, in the signal's unit; a reading outside of it is refused too."""
    if signal.unit in _TOP:
        return "0", _TOP[signal.unit]
    high = _LARGE.get(signal.unit, "1e12")
    signed = signal.quantity in PRICES or signal.unit in _TEMPERATURE
    return (f"-{high}" if signed or signal.quantity is Quantity.SITE_POWER else "0"), high


def _values(signal: Signal, path: str) -> Iterator[Finding]:
    low, high = _possible(signal)
    plausible = signal.plausible
    faults: list[Finding] = []
    if plausible is not None:
        faults += decimal_order(
            plausible.minimum, plausible.maximum, f"{path}.plausible", ("minimum", "maximum")
        )
        yield from faults
        low = max(low, plausible.minimum or low, key=Decimal)
        high = min(high, plausible.maximum or high, key=Decimal)
    if signal.on_stale is not None and not faults:
        yield from decimal_range(
            signal.on_stale.fallback_value, low, high, f"{path}.onStale.fallbackValue"
        )
    schedule = signal.source.schedule
    if schedule is not None:
        times = [entry.from_time for entry in schedule.entries]
        if any(later <= earlier for earlier, later in pairwise(times)):
            yield Finding(
                SpecReason.TIMES_NOT_ASCENDING,
                f"{path}.source.schedule.entries",
                "the times of a schedule must ascend: sort the entries and remove doubles",
            )
    if signal.source.file is not None and signal.source.file.time_zone is not None:
        yield from zone(signal.source.file.time_zone, f"{path}.source.file.timeZone")


@dataclass(frozen=True, slots=True)
class SignalUse:
    """A field that names a signal, and what that signal must measure."""

    path: str
    name: str | None
    quantities: frozenset[Quantity]
    kind: SignalKind = SignalKind.OBSERVATION


def signal_uses(uses: Iterable[SignalUse], declared: Iterable[Signal]) -> Iterator[Finding]:
    """Whether the signals that fields name exist and measure what the fields need."""
    by_name: Mapping[str, Signal] = {signal.name: signal for signal in declared}
    for use in uses:
        if use.name is None:
            continue
        signal = by_name.get(use.name)
        if signal is None:
            yield Finding(
                SpecReason.SIGNAL_UNKNOWN,
                use.path,
                f"signal {use.name} is not declared: add it to spec.signals, {known(by_name)}",
            )
        elif (use.quantities and signal.quantity not in use.quantities) or signal.kind != use.kind:
            wanted = " or ".join(sorted(use.quantities)) or "any quantity"
            yield Finding(
                SpecReason.SIGNAL_QUANTITY_MISMATCH,
                use.path,
                f"signal {use.name} is {signal.kind} of {signal.quantity}: "
                f"name one that is {use.kind} of {wanted}",
            )


def names(
    used: Iterable[str], declared: Iterable[str], reason: SpecReason, path: str, what: str
) -> Iterator[Finding]:
    """Whether names resolve to what the object declares."""
    exist = set(declared)
    for name in used:
        if name not in exist:
            yield Finding(
                reason, path, f"{what} {name} does not exist: correct the name, {known(exist)}"
            )
