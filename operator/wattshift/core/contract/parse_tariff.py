"""Calendars, components and shapes of a spec; what cannot be billed is refused with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from wattshift.core.contract.calendar import DAY_TYPES, HOLIDAY, WORKDAY
from wattshift.core.contract.model import (
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
    Shape,
    ShareMeasure,
    Side,
    SignalRate,
    Span,
    Window,
)
from wattshift.core.contract.power_factor import TABLES, adjustment
from wattshift.core.contract.reader import Reader

_WINDOW = re.compile(r"^([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)$")
_ENERGY_BASES = frozenset(Basis) - {Basis.GREEN}
_DEMAND_BASES = (Basis.IMPORT, Basis.GROSS_USE, Basis.IT_LOAD)
_ENERGY_PER = (Per.KILOWATT_HOUR, Per.MEGAWATT_HOUR)
_DEMAND_PER = {
    Span.MONTH: (Per.KILOWATT_MONTH, Per.KILOWATT_DAY),
    Span.YEAR: (Per.KILOWATT_YEAR,),
}
_CAPACITY_PER = {
    "kW": (Per.KILOWATT_DAY, Per.KILOWATT_MONTH, Per.KILOWATT_YEAR),
    "kVA": (Per.KILOVOLT_AMPERE_DAY, Per.KILOVOLT_AMPERE_MONTH, Per.KILOVOLT_AMPERE_YEAR),
}
_MEGAWATT_PER = {
    "MW-day": Per.KILOWATT_DAY,
    "MW-month": Per.KILOWATT_MONTH,
    "MW-year": Per.KILOWATT_YEAR,
}
_RATCHET_MONTHS = 36
_UNIT_WATTS = {"kW": 1000, "MW": 1_000_000}


def read_calendar(reader: Reader, time_zone: str) -> Calendar:
    """A calendar; the last band must have no condition."""
    special: dict[str, str] = {}
    for field, kind in (("holidayDates", HOLIDAY), ("workingDates", WORKDAY)):
        for text in reader.names(field):
            try:
                day = date.fromisoformat(text)
            except ValueError:
                raise reader.error(field, f"{text!r} is no date such as 2026-10-01") from None
            if special.setdefault(day.isoformat(), kind) != kind:
                raise reader.error(field, f"{text} is a holiday and a working day")
    bands = tuple(_band(child) for child in reader.children("bands"))
    if not bands or not bands[-1].unconditional:
        raise reader.error("bands", "the last band must have no condition")
    return Calendar(reader.text("name"), time_zone, bands, tuple(sorted(special.items())))


def _band(reader: Reader) -> Band:
    if reader.has("signal"):
        raise reader.refuse("signal", "a band that depends on a signal cannot be billed yet")
    months = _months(reader, "months")
    types = reader.names("dayTypes")
    for kind in types:
        if kind not in DAY_TYPES:
            raise reader.error("dayTypes", f"{kind!r} is none of {', '.join(DAY_TYPES)}")
    windows = tuple(_window(reader, text) for text in reader.names("windows"))
    return Band(reader.text("name"), months, types, windows)


def _window(reader: Reader, text: str) -> Window:
    match = _WINDOW.match(text)
    if match is None:
        raise reader.error("windows", f"{text!r} is no window such as 18:00-23:00 or 23:00-24:00")
    start = int(match.group(1)) * 60 + int(match.group(2))
    end = int(match.group(3)) * 60 + int(match.group(4)) if match.group(3) else 1440
    if end == start:
        raise reader.error("windows", f"{text!r} is empty: leave windows out for all day")
    return Window(start, end)


def read_signal_rate(reader: Reader) -> SignalRate:
    """An index rate per kWh."""
    cap, floor = reader.optional_decimal("cap"), reader.optional_decimal("floor")
    if cap is not None and floor is not None and floor > cap:
        raise reader.error("floor", f"{floor} is above the cap of {cap}")
    return SignalRate(
        signal_name=reader.text("signalName"),
        multiplier=reader.decimal("multiplier", Decimal(1)),
        adder=reader.decimal("adder", Decimal(0)),
        cap=cap,
        floor=floor,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Factor on rates, and on amounts, that brings a component to kWh, kW and W."""

    per: Per | None
    rate: Decimal


def _per(reader: Reader) -> _Scale:
    if not reader.has("per"):
        return _Scale(None, Decimal(1))
    text = reader.text("per")
    if text in _MEGAWATT_PER:
        return _Scale(_MEGAWATT_PER[text], Decimal("0.001"))
    if text == "kvarh":
        raise reader.refuse("per", "reactive energy cannot be billed yet")
    per = reader.choice("per", Per)
    return _Scale(per, Decimal("0.001") if per is Per.MEGAWATT_HOUR else Decimal(1))


def read_component(reader: Reader) -> Component:
    """A component with its measure and its one kind of rate."""
    scale = _per(reader)
    measure, calendar_name = _measure(reader.child("measure"), scale.per)
    if reader.has("calendarName"):
        if calendar_name not in ("", reader.text("calendarName")):
            raise reader.error("calendarName", "must be the calendar of the measure's bandNames")
        calendar_name = reader.text("calendarName")
    if reader.has("priceList"):
        raise reader.refuse("priceList", "price lists cannot be billed yet: use a signal")
    kinds = [name for name in ("rate", "bandRates", "signalRate", "blocks") if reader.has(name)]
    if len(kinds) != (0 if isinstance(measure, ShareMeasure) else 1):
        raise reader.error(
            "", "set exactly one of rate, bandRates, signalRate, blocks (none on a Share)"
        )
    if kinds and kinds[0] != "rate" and not isinstance(measure, EnergyMeasure):
        raise reader.refuse(kinds[0], "only energy can have a rate by band, index or block yet")
    if reader.has("signalRate") and scale.per is not Per.KILOWATT_HOUR:
        raise reader.error("per", "a signalRate is per kWh: indices are converted to it")
    regime = None
    if reader.has("regime"):
        child = reader.child("regime")
        regime = (child.text("regimeName"), child.choice("side", Side))
    start, end = reader.optional_time("fromTime"), reader.optional_time("untilTime")
    if start is not None and end is not None and start >= end:
        raise reader.error("untilTime", "must be after fromTime")
    rate = reader.optional_decimal("rate")
    return Component(
        name=reader.text("name"),
        measure=measure,
        per=scale.per,
        rate=None if rate is None else rate * scale.rate,
        calendar_name=calendar_name,
        band_rates=_band_rates(reader, scale.rate),
        signal_rate=(
            read_signal_rate(reader.child("signalRate")) if reader.has("signalRate") else None
        ),
        blocks=_blocks(reader, scale),
        rebates=tuple(_rebate(child) for child in reader.children("rebates")),
        from_time=start,
        until_time=end,
        regime=regime,
        recoverable=reader.text("treatment", "Cost") == "RecoverableVAT",
    )


def _band_rates(reader: Reader, factor: Decimal) -> tuple[tuple[str, Decimal], ...]:
    if not reader.has("bandRates"):
        return ()
    if not reader.has("calendarName"):
        raise reader.error("calendarName", "is required with bandRates")
    return tuple(
        (child.text("bandName"), child.decimal("rate") * factor)
        for child in reader.children("bandRates")
    )


def _blocks(reader: Reader, scale: _Scale) -> tuple[Block, ...]:
    watt_hours = 1_000_000 if scale.per is Per.MEGAWATT_HOUR else 1000
    blocks: list[Block] = []
    last = 0
    for child in reader.children("blocks"):
        if blocks and blocks[-1].upto_watt_hours is None:
            raise child.error("upTo", "only the last block may have no end")
        end = child.integer("upTo") * watt_hours if child.has("upTo") else None
        if end is not None and end <= last:
            raise child.error("upTo", "blocks must ascend")
        last = end if end is not None else last
        blocks.append(Block(end, child.decimal("rate") * scale.rate))
    if blocks and blocks[-1].upto_watt_hours is not None:
        raise reader.error("blocks", "the last block must have no upTo")
    return tuple(blocks)


def _rebate(reader: Reader) -> Rebate:
    return Rebate(
        factor=reader.decimal("factor"),
        kilowatt_hours_per_kilovolt_ampere=reader.decimal(
            "whenKilowattHoursPerKilovoltAmpereAtLeast"
        ),
        connected_kilovolt_amperes=reader.decimal("connectedKilovoltAmperes"),
    )


def read_shape(reader: Reader) -> Shape:
    """Factors per band on named components."""
    return Shape(
        calendar_name=reader.text("calendarName"),
        of_components=reader.names("ofComponentNames"),
        factors=tuple(
            (child.text("bandName"), child.decimal("factor"))
            for child in reader.children("factors")
        ),
        from_time=reader.optional_time("fromTime"),
        until_time=reader.optional_time("untilTime"),
    )


# ---- measures ---------------------------------------------------------------------------------


def _measure(reader: Reader, per: Per | None) -> tuple[Measure, str]:
    """The measure and the calendar of its bands."""
    kind = reader.text("type")
    builder = _MEASURES.get(kind)
    if builder is None:
        if kind in _LATER:
            raise reader.refuse("type", f"measure {kind} cannot be billed yet")
        raise reader.error("type", f"{kind!r} is none of {', '.join((*_MEASURES, *_LATER))}")
    child = reader.child(kind[0].lower() + kind[1:])
    return builder(child, per), child.text("calendarName", "") if child.has("calendarName") else ""


def _check_per(reader: Reader, per: Per | None, allowed: tuple[Per, ...]) -> None:
    if per not in allowed:
        raise reader.error("", f"per must be {' or '.join(item.value for item in allowed)} here")


def _bands(reader: Reader) -> tuple[str, ...]:
    names = reader.names("bandNames")
    if names and not reader.has("calendarName"):
        raise reader.error("calendarName", "is required with bandNames")
    return names


def _energy(reader: Reader, per: Per | None) -> EnergyMeasure:
    _check_per(reader, per, _ENERGY_PER)
    basis = reader.choice("basis", Basis)
    if basis not in _ENERGY_BASES:
        raise reader.error("basis", "Green is counted by obligations, not billed")
    return EnergyMeasure(basis, _bands(reader), reader.decimal("lossFactor", Decimal(1)))


def _demand(reader: Reader, per: Per | None) -> DemandMeasure:
    unit = reader.text("unit")
    if unit not in _UNIT_WATTS:
        raise reader.refuse("unit", f"demand in {unit} cannot be metered yet: use kW")
    if reader.text("window", "Block") != "Block":
        raise reader.refuse("window", "sliding demand cannot be metered yet: use Block")
    if reader.text("period") not in (Span.MONTH.value, Span.YEAR.value):
        raise reader.refuse("period", "demand is billed by Month or Year yet")
    period = reader.choice("period", Span)
    _check_per(reader, per, _DEMAND_PER[period])
    basis = reader.choice("basis", Basis, Basis.IMPORT)
    if basis not in _DEMAND_BASES:
        raise reader.error("basis", f"must be {', '.join(item.value for item in _DEMAND_BASES)}")
    minutes = reader.integer("averagingMinutes")
    if minutes == 0 or (60 % minutes and minutes % 60) or 1440 % minutes:
        raise reader.error("averagingMinutes", "must divide an hour, or a day in whole hours")
    ratchet = None
    if reader.has("ratchet"):
        if period is not Span.MONTH:
            raise reader.refuse("ratchet", "a ratchet needs a monthly demand")
        ratchet = _ratchet(reader.child("ratchet"))
    floor = reader.integer("floor", 0) * _UNIT_WATTS[unit]
    return DemandMeasure(
        basis, minutes, period, _bands(reader), floor, ratchet, unit_watts=_UNIT_WATTS[unit]
    )


def _ratchet(reader: Reader) -> Ratchet:
    factor, months = reader.decimal("factor"), reader.integer("months")
    if not 0 <= factor <= 1:
        raise reader.error("factor", "must be 0 to 1")
    if not 1 <= months <= _RATCHET_MONTHS:
        raise reader.error("months", f"must be 1 to {_RATCHET_MONTHS}")
    return Ratchet(factor, months, _months(reader, "fromMonths"))


def _months(reader: Reader, name: str) -> tuple[int, ...]:
    months = reader.integers(name)
    if any(not 1 <= month <= 12 for month in months):
        raise reader.error(name, "months are 1 to 12")
    return months


def _capacity(reader: Reader, per: Per | None) -> CapacityMeasure:
    unit, amount = reader.text("unit"), reader.decimal("amount")
    if unit == "MW":
        unit, amount = "kW", amount * 1000
    hours = reader.optional_decimal("hoursEquivalent")
    if unit not in _CAPACITY_PER:
        raise reader.error("unit", "must be kW, kVA or MW")
    _check_per(reader, per, _CAPACITY_PER[unit] if hours is None else _ENERGY_PER)
    return CapacityMeasure(amount, unit, hours, reader.optional_decimal("loadFactor"))


def _duration(reader: Reader, per: Per | None) -> CapacityMeasure:
    unit = reader.text("unit")
    allowed = {"Day": (Per.DAY,), "Month": (Per.MONTH,), "Year": (Per.YEAR,)}
    if unit not in allowed:
        raise reader.error("unit", "must be Day, Month or Year")
    _check_per(reader, per, allowed[unit])
    return CapacityMeasure(Decimal(reader.integer("count", 1)), unit)


def _overrun(reader: Reader, per: Per | None) -> OverrunMeasure:
    _check_per(reader, per, (Per.KILOWATT_MONTH,))
    if reader.text("chargedFor") != "WholeMonth":
        raise reader.refuse("chargedFor", "only WholeMonth can be billed yet")
    # `above` is in the unit of the demand it is compared with: `parse` scales it once that is known.
    return OverrunMeasure(
        of_component=reader.text("ofComponentName"),
        above_watts=reader.integer("above") * 1000,
        tolerance=Decimal(reader.integer("tolerancePermille", 0)).scaleb(-3),
    )


def _share(reader: Reader, per: Per | None) -> ShareMeasure:
    if per is not None:
        raise reader.error("", "a Share takes no per")
    names = reader.names("ofComponentNames")
    if not names:
        raise reader.error("ofComponentNames", "is required")
    if reader.has("factor") == reader.has("table"):
        raise reader.error("", "set exactly one of factor, table")
    if reader.has("factor"):
        return ShareMeasure(names, reader.decimal("factor"))
    table = reader.text("table")
    if table not in TABLES:
        raise reader.error("table", f"{table!r} is none of {', '.join(TABLES)}")
    factor = reader.decimal("powerFactor").quantize(Decimal("0.01"), ROUND_HALF_UP)
    if not 0 <= factor <= 1:
        raise reader.error("powerFactor", "must be 0 to 1")
    return ShareMeasure(names, adjustment(table, factor))


_MEASURES: dict[str, Callable[[Reader, Per | None], Measure]] = {
    "Energy": _energy,
    "Demand": _demand,
    "Capacity": _capacity,
    "Duration": _duration,
    "Overrun": _overrun,
    "Share": _share,
}
_LATER = ("Coincident", "Reactive", "SmallestOf")
