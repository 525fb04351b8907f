"""The bill: what a month or year to date comes to, line by line, each rounded to 0.01.

Reads the period only; energy was priced when it was used (`accumulate`), here come peaks, fixed
charges, overruns, rebates and shares. Formulas: docs/contract.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from wattshift.core.contract.calendar import days_between, month_key, months_apart, span_bounds
from wattshift.core.contract.model import (
    Basis,
    CapacityMeasure,
    Component,
    Contract,
    DemandMeasure,
    EnergyMeasure,
    OverrunMeasure,
    Per,
    RegimeSelector,
    ShareMeasure,
    Side,
    Span,
)
from wattshift.core.contract.period import Period
from wattshift.core.contract.rates import cents


class LineKind(StrEnum):
    """What a line charges."""

    ENERGY = "Energy"
    SURPLUS = "Surplus"
    DEMAND = "Demand"
    CAPACITY = "Capacity"
    OVERRUN = "Overrun"
    SHARE = "Share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a bill."""

    name: str
    kind: LineKind
    quantity: Decimal
    unit: str
    amount: Decimal
    recoverable: bool = False
    unpriced_watt_hours: int = 0
    """Energy of this line whose index was unknown: it is not in the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Lines and their sum; `complete` is False while readings or index prices are missing."""

    currency: str
    span: Span
    start_time: int
    end_time: int
    lines: tuple[Line, ...]
    total: Decimal
    missing_seconds: int
    complete: bool

    def line(self, name: str) -> Line:
        """The line of a component or position."""
        return next(line for line in self.lines if line.name == name)


def bill(contract: Contract, period: Period, span: Span = Span.MONTH) -> Bill:
    """The month or the year that `period` is in, to date.

    Fixed monthly charges stand in full from the first interval (pro rata for part of a month in
    force). A yearly demand charge is in the yearly bill only.
    """
    totals = period.month if span is Span.MONTH else period.year
    lines = (month_lines if span is Span.MONTH else _year_lines)(contract, period)
    start, end = span_bounds(contract.time_zone, span, totals.start_time)
    unpriced = any(line.unpriced_watt_hours for line in lines)
    return Bill(
        currency=contract.currency,
        span=span,
        start_time=start,
        end_time=end,
        lines=tuple(lines),
        total=sum((line.amount for line in lines if not line.recoverable), Decimal(0)),
        missing_seconds=totals.missing_seconds,
        complete=totals.missing_seconds == 0 and not unpriced,
    )


def month_lines(contract: Contract, period: Period, *, all_sides: bool = False) -> list[Line]:
    """Lines of the month to date. `all_sides` keeps both sides of a regime (to close a month)."""
    start, end = span_bounds(contract.time_zone, Span.MONTH, period.month.start_time)
    sides = regime_sides(contract, period)
    by_name: dict[str, Line] = {}
    for name in _energy_names(period):
        component = contract.component(name)
        amount = period.month.costs.get(name, Decimal(0))
        if component is not None:
            amount *= _rebate(component, period.month.watt_hours.get(Basis.IMPORT.value, 0))
        by_name[name] = Line(
            name=name,
            kind=LineKind.SURPLUS if name.endswith(".surplus") else LineKind.ENERGY,
            quantity=Decimal(period.month.component_watt_hours.get(name, 0)).scaleb(-3),
            unit="kWh",
            amount=cents(amount),
            recoverable=component.recoverable if component is not None else False,
            unpriced_watt_hours=period.month.unpriced_watt_hours.get(name, 0),
        )
    for component in contract.components:
        measure = component.measure
        part = _part_in_force(contract, component, start, end)
        if part == 0 or isinstance(measure, EnergyMeasure | ShareMeasure):
            continue
        if isinstance(measure, DemandMeasure) and measure.period is Span.YEAR:
            continue
        line = _fixed_line(contract, component, period, part)
        if line is not None:
            by_name[component.name] = line
    chosen = {name: line for name, line in by_name.items() if _selected(contract, name, sides)}
    for component in contract.components:
        if isinstance(component.measure, ShareMeasure) and _part_in_force(
            contract, component, start, end
        ):
            chosen[component.name] = by_name[component.name] = _share_line(component, chosen)
    wanted = by_name if all_sides else chosen
    order = [part.name for part in contract.positions] + [c.name for c in contract.components]
    known = [name for name in order if name in wanted]
    return [wanted[name] for name in (*known, *(name for name in wanted if name not in order))]


def billed_watts(contract: Contract, component: Component, period: Period) -> int:
    """`K`: highest of peak so far, floor and ratchet of a demand component."""
    measure = component.measure
    assert isinstance(measure, DemandMeasure)
    totals = period.month if measure.period is Span.MONTH else period.year
    watts = max(totals.peak_watts.get(component.name, 0), measure.floor_watts)
    if measure.ratchet is not None:
        now = month_key(contract.time_zone, totals.start_time)
        past = [
            peak
            for key, name, peak in period.peak_history
            if name == component.name and 1 <= months_apart(key, now) <= measure.ratchet.months
        ]
        watts = max(watts, int(max(past, default=0) * measure.ratchet.factor))
    return watts


def regime_sides(contract: Contract, period: Period) -> dict[str, Side]:
    """Side of every regime; the year's kWh are scaled from the metered time to the whole year.

    Without a reading the low side holds: a new site starts there.
    """
    year = period.year
    start, end = span_bounds(contract.time_zone, Span.YEAR, year.start_time)
    watt_hours = Decimal(0)
    if year.metered_seconds:
        watt_hours = Decimal(year.watt_hours.get(Basis.IMPORT.value, 0)) * (end - start)
        watt_hours /= year.metered_seconds
    sides: dict[str, Side] = {}
    for regime in contract.regimes:
        if regime.select_by is RegimeSelector.CONTRACTED_WATTS:
            value = Decimal(contract.contracted_watts or 0)
        elif regime.select_by is RegimeSelector.ANNUAL_KILOWATT_HOURS:
            value = watt_hours.scaleb(-3)
        else:
            peak = _regime_peak(contract, period, regime.name)
            value = watt_hours / peak if peak else Decimal(0)
        sides[regime.name] = Side.AT_OR_ABOVE if value >= regime.threshold else Side.BELOW
    return sides


def _regime_peak(contract: Contract, period: Period, regime_name: str) -> int:
    """Highest yearly peak among the demand components of a regime, in W."""
    return max(
        (
            period.year.peak_watts.get(component.name, 0)
            for component in contract.components
            if component.regime is not None and component.regime[0] == regime_name
        ),
        default=0,
    )


def _selected(contract: Contract, name: str, sides: dict[str, Side]) -> bool:
    component = contract.component(name)
    if component is None or component.regime is None:
        return True
    return sides[component.regime[0]] is component.regime[1]


def _energy_names(period: Period) -> list[str]:
    """Names with energy this month; a component that left the contract keeps what it cost."""
    return list(dict.fromkeys((*period.month.costs, *period.month.unpriced_watt_hours)))


def rebate_factor(contract: Contract, component: Component, period: Period) -> Decimal:
    """Rebates that the month is heading for, at the average of its metered time."""
    month = period.month
    start, end = span_bounds(contract.time_zone, Span.MONTH, month.start_time)
    expected = month.watt_hours.get(Basis.IMPORT.value, 0)
    if month.metered_seconds:
        expected = expected * (end - start) // month.metered_seconds
    return _rebate(component, expected)


def _part_in_force(contract: Contract, component: Component, start: int, end: int) -> Decimal:
    """Part of `[start, end)` in which contract and component are valid, by time, 0..1."""
    lows = [start, component.from_time, contract.valid_from]
    highs = [end, component.until_time, contract.valid_until]
    low = max(value for value in lows if value is not None)
    high = min(value for value in highs if value is not None)
    return Decimal(max(0, high - low)) / (end - start)


def _rebate(component: Component, import_watt_hours: int) -> Decimal:
    """Product of the rebates whose threshold the month's energy per connected kVA has reached."""
    factor = Decimal(1)
    for rebate in component.rebates:
        threshold = rebate.kilowatt_hours_per_kilovolt_ampere * rebate.connected_kilovolt_amperes
        if Decimal(import_watt_hours).scaleb(-3) >= threshold:
            factor *= rebate.factor
    return factor


def _fixed_line(
    contract: Contract, component: Component, period: Period, part: Decimal
) -> Line | None:
    measure = component.measure
    start, end = span_bounds(contract.time_zone, Span.MONTH, period.month.start_time)
    rate = component.rate if component.rate is not None else Decimal(0)
    if isinstance(measure, DemandMeasure):
        kind, unit = LineKind.DEMAND, "kW"
        quantity = Decimal(billed_watts(contract, component, period)).scaleb(-3)
    elif isinstance(measure, OverrunMeasure):
        kind, unit = LineKind.OVERRUN, "kW"
        quantity = _overrun(period, measure)
    elif isinstance(measure, CapacityMeasure):
        kind, unit, quantity = LineKind.CAPACITY, measure.unit, measure.amount
        if measure.hours_equivalent is not None:
            load_factor = measure.load_factor if measure.load_factor is not None else Decimal(1)
            quantity, unit = quantity * measure.hours_equivalent * load_factor, "kWh"
    else:
        return None
    amount = quantity * rate * _times(contract, component.per, start, end, part)
    amount *= _rebate(component, period.month.watt_hours.get(Basis.IMPORT.value, 0))
    return Line(
        name=component.name,
        kind=kind,
        quantity=quantity,
        unit=unit,
        amount=cents(amount),
        recoverable=component.recoverable,
    )


def _overrun(period: Period, measure: OverrunMeasure) -> Decimal:
    """Power of the peak, in kW, beyond the limit and its free tolerance."""
    free = measure.above_watts * (1 + measure.tolerance)
    return max(Decimal(0), period.peak_watts.get(measure.of_component, 0) - free).scaleb(-3)


def _times(contract: Contract, per: Per | None, start: int, end: int, part: Decimal) -> Decimal:
    """How many of the rate's periods the month is: days, a share of the year, or the month."""
    if per in (Per.KILOWATT_DAY, Per.KILOVOLT_AMPERE_DAY, Per.DAY):
        return days_between(contract.time_zone, start, end) * part
    if per in (Per.KILOWATT_YEAR, Per.KILOVOLT_AMPERE_YEAR, Per.YEAR):
        year_start, year_end = span_bounds(contract.time_zone, Span.YEAR, start)
        return part * (end - start) / (year_end - year_start)
    return part


def _share_line(component: Component, lines: dict[str, Line]) -> Line:
    measure = component.measure
    assert isinstance(measure, ShareMeasure)
    base = sum((lines[name].amount for name in measure.of_components if name in lines), Decimal(0))
    return Line(
        name=component.name,
        kind=LineKind.SHARE,
        quantity=measure.factor * 100,
        unit="%",
        amount=cents(base * measure.factor),
        recoverable=component.recoverable,
    )


def _year_lines(contract: Contract, period: Period) -> list[Line]:
    """Closed months + this month + yearly demand charges, on the selected side of every regime."""
    sides = regime_sides(contract, period)
    lines = {line.name: line for line in month_lines(contract, period, all_sides=True)}
    names = dict.fromkeys((*lines, *period.closed, *period.year.unpriced_watt_hours))
    start, end = span_bounds(contract.time_zone, Span.YEAR, period.year.start_time)
    result: dict[str, Line] = {}
    for name in names:
        if not _selected(contract, name, sides):
            continue
        current = lines.get(name)
        component = contract.component(name)
        result[name] = Line(
            name=name,
            kind=current.kind if current is not None else LineKind.ENERGY,
            quantity=Decimal(energy).scaleb(-3)
            if (energy := period.year.component_watt_hours.get(name)) is not None
            else (current.quantity if current is not None else Decimal(0)),
            unit=current.unit if current is not None else "kWh",
            amount=period.closed.get(name, Decimal(0))
            + (current.amount if current is not None else Decimal(0)),
            recoverable=component.recoverable if component is not None else False,
            unpriced_watt_hours=period.year.unpriced_watt_hours.get(name, 0),
        )
    for component in contract.components:
        measure = component.measure
        if not isinstance(measure, DemandMeasure) or measure.period is not Span.YEAR:
            continue
        part = _part_in_force(contract, component, start, end)
        if part == 0 or not _selected(contract, component.name, sides):
            continue
        quantity = Decimal(billed_watts(contract, component, period)).scaleb(-3)
        rate = component.rate if component.rate is not None else Decimal(0)
        line = Line(
            name=component.name,
            kind=LineKind.DEMAND,
            quantity=quantity,
            unit="kW",
            amount=cents(quantity * rate * part),
            recoverable=component.recoverable,
        )
        result[component.name] = line
        _add_shares_of(contract, line.name, line.amount, result, period)
    return list(result.values())


def _add_shares_of(
    contract: Contract, name: str, amount: Decimal, result: dict[str, Line], period: Period
) -> None:
    """Shares that cover a yearly charge, and shares of these, come with the yearly bill."""
    sides = regime_sides(contract, period)
    start, end = span_bounds(contract.time_zone, Span.YEAR, period.year.start_time)
    for component in contract.components:
        measure = component.measure
        if not isinstance(measure, ShareMeasure) or name not in measure.of_components:
            continue
        if _selected(contract, component.name, sides) and _part_in_force(
            contract, component, start, end
        ):
            extra = cents(amount * measure.factor)
            before = result.get(component.name)
            result[component.name] = Line(
                name=component.name,
                kind=LineKind.SHARE,
                quantity=measure.factor * 100,
                unit="%",
                amount=extra + (before.amount if before is not None else Decimal(0)),
                recoverable=component.recoverable,
            )
            _add_shares_of(contract, component.name, extra, result, period)
