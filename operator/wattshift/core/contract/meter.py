"""Metered intervals into the period to date: splits at every boundary, prices what was used.

`advance` is pure: the same readings give the same period however they are cut and wherever a restart
falls. It never fills a gap: time without a reading is counted as missing and not billed.
Neighbours: `accumulate` (one piece), `period` (the state), `bill` (reads it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from wattshift.core.contract.accumulate import Running
from wattshift.core.contract.calendar import band_at, block_start, span_bounds
from wattshift.core.contract.model import Basis, Contract, DemandMeasure, Span
from wattshift.core.contract.period import OpenBlock, Period, Totals
from wattshift.core.contract.rates import Indices

__all__ = [
    "MeterInterval",
    "OpenBlock",
    "Period",
    "Totals",
    "advance",
    "advance_all",
    "as_of",
    "complete",
    "in_zone",
    "opening_period",
    "with_instruments",
]

PricesAt = Callable[[int], Indices]
"""Index values by name at the start of an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterInterval:
    """Energy of a stretch of time by quantity, integer Wh.

    `block_peak_watts` is for meters that report the highest block average themselves (or for a
    history in months); without it, peaks follow from the energy of each averaging block.
    """

    start_time: int
    seconds: int
    watt_hours: Mapping[str, int]
    block_peak_watts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"an interval of {self.seconds} s has no length")
        for name, value in self.watt_hours.items():
            if value < 0:
                raise ValueError(f"{name} of {value} Wh: import and export are separate quantities")

    @property
    def end_time(self) -> int:
        """First second after it."""
        return self.start_time + self.seconds


def complete(watt_hours: Mapping[str, int]) -> dict[str, int]:
    """Derive what a meter did not report from what it did.

    `GrossUse = Import + SelfUse` and `Available = SelfUse + Export + Curtailed`; a site with one
    import meter and no supply has only `Import`. Optional channels (ItLoad, ...) stay absent.
    """
    full = {str(Basis(name)): value for name, value in watt_hours.items()}
    export = full.setdefault(Basis.EXPORT.value, 0)
    curtailed = full.setdefault(Basis.CURTAILED.value, 0)
    self_use = full.setdefault(Basis.SELF_USE.value, _self_use(full, export + curtailed))
    if Basis.IMPORT.value not in full:
        full[Basis.IMPORT.value] = max(0, full.get(Basis.GROSS_USE.value, 0) - self_use)
    full.setdefault(Basis.GROSS_USE.value, full[Basis.IMPORT.value] + self_use)
    full.setdefault(Basis.AVAILABLE.value, self_use + export + curtailed)
    return full


def _self_use(full: Mapping[str, int], elsewhere: int) -> int:
    gross, imported = full.get(Basis.GROSS_USE.value), full.get(Basis.IMPORT.value)
    if gross is not None and imported is not None:
        return max(0, gross - imported)
    return max(0, full.get(Basis.AVAILABLE.value, elsewhere) - elsewhere)


def opening_period(contract: Contract, now: int) -> Period:
    """The period of an installation at `now`, with the sums of `openingPeriod` when it has them.

    Energy of the opening is spread evenly over its time: priced by the bands it falls in, or not at
    all when the opening gives its cost (index-priced parts stay unpriced). Time that the opening
    does not cover since the start of the month counts as missing. Sums that are said to reach past
    `now` end now: what was counted is not lost for a date that lies a little ahead.
    """
    opening = contract.opening
    if opening is not None and not opening.start_time < now:
        opening = None
    until = min(opening.until_time, now) if opening is not None else now
    begin = opening.start_time if opening is not None else now
    month_start, _ = span_bounds(contract.time_zone, Span.MONTH, begin)
    year_start, _ = span_bounds(contract.time_zone, Span.YEAR, begin)
    since = contract.valid_from if contract.valid_from is not None else year_start
    period = Period(
        metered_until=begin,
        month=Totals(
            start_time=month_start, missing_seconds=max(0, begin - max(month_start, since))
        ),
        year=Totals(start_time=year_start, missing_seconds=max(0, begin - max(year_start, since))),
    )
    if opening is None:
        return period
    running = Running(contract, period)
    interval = MeterInterval(
        start_time=begin,
        seconds=until - begin,
        watt_hours={basis.value: value for basis, value in opening.watt_hours},
    )
    for left, right, watt_hours in _pieces(contract, interval, begin, blocks=False):
        running.roll_to(left)
        running.add_energy(left, right, watt_hours, {}, priced=opening.cost is None)
    running.metered_until = until
    if opening.cost is not None:
        running.month.costs["openingPeriod"] = opening.cost
    running.open_peaks(opening.peak_watts)
    running.estimated_seconds = until - max(begin, running.month.start_time)
    running.skip_to(now)
    return running.freeze()


def advance(contract: Contract, period: Period, interval: MeterInterval, prices: Indices) -> Period:
    """The period after one more interval; `prices` are the index values that hold in it, per kWh.

    An interval that was counted already is ignored, an overlap is cut off, a gap counts as missing.
    """
    return advance_all(contract, period, (interval,), lambda _: prices)


def advance_all(
    contract: Contract,
    period: Period,
    intervals: Iterable[MeterInterval],
    prices_at: PricesAt,
) -> Period:
    """The period after many intervals in order of time; equal to repeated `advance`."""
    running = Running(contract, period)
    for interval in intervals:
        start = max(interval.start_time, running.metered_until)
        if interval.end_time <= start:
            continue
        running.skip_to(start)
        indices = prices_at(interval.start_time)
        for left, right, watt_hours in _pieces(contract, interval, start):
            running.roll_to(left)
            running.add_energy(left, right, watt_hours, indices)
            running.add_demand(left, right, watt_hours, interval.block_peak_watts)
        running.metered_until = interval.end_time
    return running.freeze()


def as_of(contract: Contract, period: Period, now: float) -> Period:
    """The period rolled to the month and year that hold `now`, without judging the time between."""
    _, month_end = span_bounds(contract.time_zone, Span.MONTH, period.month.start_time)
    if now < month_end:
        return period
    running = Running(contract, period)
    running.roll_to(int(now))
    return running.freeze()


def in_zone(contract: Contract, period: Period) -> Period:
    """The period with its month and year beginning where the contract's time zone says.

    An edit of `timeZone` would else leave a month that begins, west of the old zone, in the month
    before: it would be closed at once and its peaks lost.
    """

    def moved(totals: Totals, span: Span, middle: int) -> Totals:
        # A zone moves a boundary by less than a day and a half: the middle stays where it was.
        start, _ = span_bounds(contract.time_zone, span, totals.start_time + middle * 86400)
        return totals if start == totals.start_time else replace(totals, start_time=start)

    month, year = moved(period.month, Span.MONTH, 14), moved(period.year, Span.YEAR, 180)
    if month is period.month and year is period.year:
        return period
    return replace(period, month=month, year=year)


def with_instruments(period: Period, watt_hours: Mapping[Basis, int]) -> Period:
    """Add green power trade or cancelled certificates, which come by document and not by meter."""

    def add(totals: Totals) -> Totals:
        sums = dict(totals.watt_hours)
        for basis, value in watt_hours.items():
            sums[basis.value] = sums.get(basis.value, 0) + value
        return replace(totals, watt_hours=sums)

    return replace(period, month=add(period.month), year=add(period.year))


def _pieces(
    contract: Contract, interval: MeterInterval, start: int, *, blocks: bool = True
) -> Iterator[tuple[int, int, dict[str, int]]]:
    """Cut `[start, end)` at boundaries. Wh are shared by time; the parts sum to the whole."""
    full = complete(interval.watt_hours)
    first, seconds = interval.start_time, interval.seconds
    left = start
    while left < interval.end_time:
        right = min(interval.end_time, _next_cut(contract, left, blocks=blocks))
        if left == first and right == interval.end_time:
            yield left, right, full
        else:
            yield (
                left,
                right,
                {
                    name: value * (right - first) // seconds - value * (left - first) // seconds
                    for name, value in full.items()
                },
            )
        left = right


def _next_cut(contract: Contract, epoch: int, *, blocks: bool) -> int:
    cut = span_bounds(contract.time_zone, Span.MONTH, epoch)[1]
    for calendar in contract.calendars:
        cut = min(cut, band_at(calendar, epoch)[1])
    minutes = {contract.interval_minutes}
    for component in contract.components:
        if isinstance(component.measure, DemandMeasure):
            minutes.add(component.measure.averaging_minutes)
    for length in minutes if blocks else ():
        cut = min(cut, block_start(contract.time_zone, epoch, length) + length * 60)
    times = [contract.valid_from, contract.valid_until]
    times += [edge for part in contract.components for edge in (part.from_time, part.until_time)]
    times += [edge for part in contract.shapes for edge in (part.from_time, part.until_time)]
    return min([cut, *(time for time in times if time is not None and time > epoch)])
