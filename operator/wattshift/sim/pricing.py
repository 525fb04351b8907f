"""Contracts of the simulated sites: meter intervals into the period, quotes out of it.

Uses the same `core/contract` as the operator: what a policy is quoted and what is billed come from
one model. Energy is integer Wh; what rounding leaves is carried. Neighbours: `books.py`, `world.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from wattshift.core.contract.bill import Line, bill
from wattshift.core.contract.marginal import price_curve, quote
from wattshift.core.contract.meter import MeterInterval, advance_all, opening_period
from wattshift.core.contract.model import Basis, Contract, Span
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import PriceQuote, SiteState
from wattshift.core.contract.rates import index_value
from wattshift.core.signal import Forecast

QUOTE_SECONDS = 60.0
"""Quotes are made anew at most this often, and when index or meter interval change."""
AHEAD_SECONDS = 3600.0
"""Look-aheads are kept this long while index and forecast stay the same."""
_BASES = (Basis.IMPORT, Basis.SELF_USE, Basis.EXPORT, Basis.CURTAILED)


class ContractBook:
    """One contract at one site: its meter, its period, its prices."""

    def __init__(self, contract: Contract, site_name: str, start_time: float) -> None:
        self.contract = contract
        self.site_name = site_name
        self._interval = contract.interval_minutes * 60
        self._horizon = 86400.0
        self.begin(start_time)

    def begin(self, time: float) -> None:
        """Books from epoch second `time` on."""
        self.period: Period = opening_period(self.contract, int(time))
        self._from = int(time)
        self._until = float(int(time))
        self._carry = dict.fromkeys(_BASES, 0.0)
        self._index: list[tuple[float, Decimal | None]] = []
        self.watt_hours = dict.fromkeys(_BASES, 0)
        """Integer Wh that went to the meter."""
        self._quote: tuple[object, float, PriceQuote] | None = None
        self._ahead: tuple[object, float, tuple[tuple[float, PriceQuote], ...]] | None = None

    # ---- meter --------------------------------------------------------------------------------

    def add(self, seconds: float, watt_hours: Mapping[Basis, float], index: float) -> None:
        """Count a span that follows the last one; `index` is the true price per kWh in it."""
        price = index_value(index) if index == index else None  # noqa: PLR0124 - NaN: no index
        if self._index and self._index[-1][1] != price:
            self._close()
        if not self._index:
            self._index.append((self._until, price))
        self._until += seconds
        for basis in _BASES:
            self._carry[basis] += watt_hours.get(basis, 0.0)
        if self._until - self._from >= self._interval or self._until % self._interval < 1e-6:
            self._close()

    def _close(self) -> None:
        end = round(self._until)
        if end <= self._from:
            return
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
        """Quotes of the hours to come."""
        peaks = tuple(sorted(self.period.peak_watts.items()))
        key = (index, id(forecast), peaks)
        held = self._ahead
        if held is not None and held[0] == key and now < held[1]:
            return held[2]
        value = None if index is None else index_value(index)
        series: list[tuple[float, Decimal | None]] = [(now, value)]
        if forecast is not None:
            series += [
                (row.start_time, index_value(row.value))
                for row in forecast.points
                if row.start_time > now
            ]
            series.append((forecast.end_time, None))
        curves: dict[str, Sequence[tuple[float, Decimal | None]]] = dict.fromkeys(
            self.contract.signal_names, series
        )
        steps = price_curve(self.contract, self.period, now, self._horizon, curves, site=site)
        self._ahead = (key, now + AHEAD_SECONDS, steps)
        return steps

    # ---- bill ---------------------------------------------------------------------------------

    def lines(self) -> tuple[Line, ...]:
        """Lines of the year to date: closed months, the open month, yearly charges."""
        self._close()
        return bill(self.contract, self.period, Span.YEAR).lines
