"""Contracts of the simulated sites: meter intervals into the period, quotes out of it.

Uses the same `core/contract` as the operator: what a policy is quoted and what is billed come from
one model. Energy is integer Wh; what rounding leaves is carried. Neighbours: `books.py`, `world.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from wattshift.core.contract.bill import Line, bill
from wattshift.core.contract.calendar import span_bounds
from wattshift.core.contract.marginal import price_curve, quote
from wattshift.core.contract.meter import MeterInterval, advance_all, opening_period
from wattshift.core.contract.model import Basis, Contract, DemandMeasure, Span
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import PriceQuote, SiteState
from wattshift.core.contract.rates import index_value
from wattshift.core.signal import Forecast

QUOTE_SECONDS = 60.0
"""Quotes are made anew at most this often, and when index or meter interval change."""
AHEAD_SECONDS = 3600.0
"""Look-aheads are kept this long while index and forecast stay the same."""
BANDS_SECONDS = 6 * 3600.0
"""Bands to come are quoted anew this often, and when a billed peak changes."""
SERIES_SECONDS = 900.0
ZONE_MINUTES = 15
"""Offsets of zones are multiples of that, and so are the edges of local days, months and years."""
_BASES = (Basis.IMPORT, Basis.SELF_USE, Basis.EXPORT, Basis.CURTAILED, Basis.IT_LOAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bands:
    """Quotes of every band to come at index 0 and at index 1."""

    key: object
    until: float
    at_zero: tuple[tuple[float, PriceQuote], ...]
    at_one: tuple[tuple[float, PriceQuote], ...]
    indexed: bool

    def steps(
        self, now: float, end: float, series: list[tuple[float, Decimal | None]]
    ) -> Iterator[tuple[float, PriceQuote]]:
        """One quote at every change of band or index in `[now, end)`."""
        times = {row[0] for row in self.at_zero} | (
            {t for t, _ in series} if self.indexed else set()
        )
        starts = [row[0] for row in self.at_zero]
        index_starts = [row[0] for row in series]
        for time in sorted({now} | {time for time in times if now < time < end}):
            band = max(0, bisect_right(starts, time) - 1)
            low, high = self.at_zero[band][1], self.at_one[band][1]
            if not self.indexed:
                yield time, low
                continue
            place = bisect_right(index_starts, time) - 1
            yield time, _between(low, high, series[place][1] if place >= 0 else None)


def _between(low: PriceQuote, high: PriceQuote, index: Decimal | None) -> PriceQuote:
    """The quote at an index, from those at 0 and at 1."""
    if not low.known or not high.known:
        return low
    known = index is not None

    def mix(a: Decimal | None, b: Decimal | None) -> Decimal | None:
        return None if a is None or b is None or index is None else a + index * (b - a)

    return replace(
        low,
        known=known,
        reason="" if known else "PriceUnknown",
        up=replace(low.up, energy=mix(low.up.energy, high.up.energy)),
        down=replace(low.down, energy=mix(low.down.energy, high.down.energy)),
        grid_energy=mix(low.grid_energy, high.grid_energy),
        direct_energy=mix(low.direct_energy, high.direct_energy),
        next_grid_energy=None,
    )


def _series(
    now: float, index: float | None, forecast: Forecast | None
) -> list[tuple[float, Decimal | None]]:
    """Index now, then the forecast's changes at `SERIES_SECONDS` or coarser, then unknown."""
    series: list[tuple[float, Decimal | None]] = [
        (now, None if index is None else index_value(index))
    ]
    if forecast is None:
        return series
    last = now - SERIES_SECONDS
    for row in forecast.points:
        if row.start_time <= now or row.start_time - last < SERIES_SECONDS:
            continue
        value = index_value(row.value)
        if value != series[-1][1]:
            series.append((row.start_time, value))
            last = row.start_time
    series.append((forecast.end_time, None))
    return series


class ContractBook:
    """One contract at one site: its meter, its period, its prices."""

    def __init__(self, contract: Contract, site_name: str, start_time: float) -> None:
        self.contract = contract
        self.site_name = site_name
        self._block = 60 * math.gcd(ZONE_MINUTES, *_minutes(contract))
        """Seconds within which only the sum counts, whatever is averaged over."""
        self._horizon = 86400.0
        self.begin(start_time)

    def begin(self, time: float) -> None:
        """Books from epoch second `time` on."""
        self.period: Period = opening_period(self.contract, int(time))
        self._from = int(time)
        self._until = float(int(time))
        self._year_end = span_bounds(self.contract.time_zone, Span.YEAR, int(time))[1]
        self._past: tuple[Line, ...] = ()
        """Lines of the years that are over."""
        self._carry = dict.fromkeys(_BASES, 0.0)
        self._index: list[tuple[float, Decimal | None]] = []
        self.watt_hours = dict.fromkeys(_BASES, 0)
        """Integer Wh that went to the meter."""
        self._quote: tuple[object, float, PriceQuote] | None = None
        self._bands: _Bands | None = None
        self._ahead: tuple[object, float, tuple[tuple[float, PriceQuote], ...]] | None = None

    # ---- meter --------------------------------------------------------------------------------

    def add(self, seconds: float, watt_hours: Mapping[Basis, float], index: float) -> None:
        """Count a span that follows the last one; `index` is the true price per kWh in it.

        Power is even over a span: it is cut where a metering block or a year ends, so that no peak
        is averaged away and none is made.
        """
        price = index_value(index) if index == index else None  # noqa: PLR0124 - NaN: no index
        if self._index and self._index[-1][1] != price:
            self._close()
        end = self._until + seconds
        while self._until < end - 1e-6:
            if not self._index:
                self._index.append((self._until, price))
            cut = min(end, self._edge(end))
            for basis in _BASES:
                part = watt_hours.get(basis, 0.0) * (cut - self._until) / seconds
                self._carry[basis] += part
            self._until = cut
            if cut % self._block < 1e-6:
                self._close()

    def _edge(self, end: float) -> float:
        """Where the span must be cut: at the last block's end, or the next one where one is open."""
        block = self._block
        following = (math.floor(self._until / block + 1e-9) + 1) * block
        if self._until - self._from < 1e-6:
            following = max(following, math.floor(end / block + 1e-9) * block)
        if self._until < self._year_end - 1e-6:
            following = min(following, self._year_end)
        return float(following)

    def _close(self) -> None:
        end = round(self._until)
        if end <= self._from:
            return
        if self._from >= self._year_end:
            self._past = _summed((*self._past, *bill(self.contract, self.period, Span.YEAR).lines))
            self._year_end = span_bounds(self.contract.time_zone, Span.YEAR, self._from)[1]
        whole = {basis: max(0, int(self._carry[basis] + 0.5)) for basis in _BASES}
        for basis, value in whole.items():
            self._carry[basis] -= value
            self.watt_hours[basis] += value
        price = self._index[-1][1] if self._index else None
        indices = dict.fromkeys(self.contract.signal_names, price)
        interval = MeterInterval(
            start_time=self._from,
            seconds=end - self._from,
            watt_hours={basis.value: value for basis, value in whole.items()},
        )
        self.period = advance_all(self.contract, self.period, (interval,), lambda _: indices)
        self._from = end
        self._index.clear()

    def close(self) -> None:
        """Count what is left of an open interval."""
        self._close()

    # ---- prices -------------------------------------------------------------------------------

    def quote(self, now: float, index: float | None, site: SiteState) -> PriceQuote:
        """Marginal price at epoch second `now`; `index` as the site's price signal says it."""
        key = (index, self._from)
        held = self._quote
        if held is not None and held[0] == key and now < held[1]:
            return held[2]
        value = None if index is None else index_value(index)
        indices = dict.fromkeys(self.contract.signal_names, value)
        made = quote(self.contract, self.period, now, indices, site)
        until = now + QUOTE_SECONDS
        if made.valid_until is not None:
            until = min(until, made.valid_until)
        self._quote = (key, until, made)
        return made

    def ahead(
        self, now: float, index: float | None, forecast: Forecast | None, site: SiteState
    ) -> tuple[tuple[float, PriceQuote], ...]:
        """Quotes of the hours to come, as `price_curve` gives them.

        A quote is linear in the index, so the bands are quoted at 0 and at 1 once in a while and every
        step of the forecast is put between.
        """
        peaks = tuple(sorted(self.period.peak_watts.items()))
        bands = self._bands
        if bands is None or bands.key != peaks or now >= bands.until:
            bands = self._bands = self._quote_bands(now, peaks, site)
            self._ahead = None
        held = self._ahead
        key = (id(forecast), index is None)
        if held is not None and held[0] == key and now < held[1]:
            return held[2]
        steps = tuple(bands.steps(now, now + self._horizon, _series(now, index, forecast)))
        self._ahead = (key, now + AHEAD_SECONDS, steps)
        return steps

    def _quote_bands(self, now: float, peaks: object, site: SiteState) -> _Bands:
        contract, span = self.contract, self._horizon + BANDS_SECONDS
        rows = []
        for value in (Decimal(0), Decimal(1)):
            indices = {name: [(now, value)] for name in contract.signal_names}
            rows.append(price_curve(contract, self.period, now, span, indices, site=site))
        return _Bands(
            key=peaks,
            until=now + BANDS_SECONDS,
            at_zero=rows[0],
            at_one=rows[1],
            indexed=bool(contract.signal_names),
        )

    # ---- bill ---------------------------------------------------------------------------------

    def lines(self) -> tuple[Line, ...]:
        """Lines since `begin`: closed months, the open month, yearly charges of each year touched."""
        self._close()
        now = bill(self.contract, self.period, Span.YEAR).lines
        return _summed((*self._past, *now)) if self._past else now


def _minutes(contract: Contract) -> set[int]:
    """Lengths that the contract averages over."""
    averaged = {
        row.measure.averaging_minutes
        for row in contract.components
        if isinstance(row.measure, DemandMeasure)
    }
    return {contract.interval_minutes, *averaged}


def _summed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines of one name as one; of peaks and capacities the highest quantity."""
    found: dict[str, Line] = {}
    for row in lines:
        held = found.get(row.name)
        found[row.name] = (
            row
            if held is None
            else replace(
                row,
                quantity=held.quantity + row.quantity
                if row.unit == "kWh"
                else max(held.quantity, row.quantity),
                amount=held.amount + row.amount,
                unpriced_watt_hours=held.unpriced_watt_hours + row.unpriced_watt_hours,
            )
        )
    return tuple(found.values())
