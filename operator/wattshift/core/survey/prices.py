"""What the next watt more or less costs at a connection, all-in and in the reporting currency.

Blocks, because own supply changes the price: surplus that would be curtailed or sold comes first
on the way up and last on the way down. Parts stay apart so that an explanation can print them.
Neighbours: `core/contract/quote.py` (the contract's margins), `core/planner/score.py` (uses them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from wattshift.core.contract.marginal import Adders, Origin, PriceQuote
from wattshift.core.freshness import signal, value_of
from wattshift.core.model import ConnectionState, Settings, SiteState
from wattshift.core.reasons import Reason
from wattshift.core.signal import SignalState
from wattshift.core.survey.own_supply import supplies_behind
from wattshift.core.survey.peaks import Kink, kinks
from wattshift.core.units import Quantity, price_currency

GRAMS_PER_TONNE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Reporting currency per kWh, in parts; `grams` is gCO2e per kWh."""

    energy: float
    demand: float = 0.0
    green: float = 0.0
    """Obligation adder: shortfall of a green share."""
    carbon: float = 0.0
    grams: float | None = None
    own_supply: bool = False
    total: float = 0.0

    @property
    def volumetric(self) -> float:
        """Without the demand charge, which is paid once and not for every kWh."""
        return self.total - self.demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The next `watts` at a rate; the last block of a curve has no end."""

    watts: float
    rate: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPrice:
    """Marginal prices of one connection: now, and as an average over a dwell time."""

    known: bool
    reason: Reason | None = None
    message: str = ""
    up: tuple[Block, ...] = ()
    down: tuple[Block, ...] = ()

    @property
    def shadow(self) -> float | None:
        """Price of the next kWh more."""
        return self.up[0].rate.total if self.up else None

    @property
    def grid(self) -> Rate | None:
        """Rate of the next kWh that is imported."""
        return next((row.rate for row in self.up if not row.rate.own_supply), None)


def carbon_intensity(site: SiteState, now: float) -> float | None:
    """g/kWh of the grid at a site: marginal where a signal has it, else average; None = unknown."""
    marginal = signal(site, Quantity.CARBON_INTENSITY_MARGINAL, now)
    if marginal.value is not None and not marginal.worst:
        return marginal.value
    average = signal(site, Quantity.CARBON_INTENSITY_AVERAGE, now)
    return average.value if average.value is not None else marginal.value


def price_of(
    site: SiteState,
    connection: ConnectionState | None,
    settings: Settings,
    now: float,
    *,
    load_watts: float | None,
    grams: float | None,
    horizon_seconds: float = 0.0,
) -> FeedPrice:
    """Price curves at a connection, averaged over `[now, now + horizon_seconds]`.

    Args:
        site: with supplies and signals; own supply counts at the connection behind which it feeds.
        connection: with the contract's quotes; without a contract the site's EnergyPrice signal.
        settings: reporting currency, exchange rates, carbon price.
        now: grid seconds.
        load_watts: facility watts committed here; None = unknown, then no surplus is assumed.
        grams: grid carbon intensity to charge, g/kWh; None = nowhere known, then it is left out.
        horizon_seconds: 0 = the price of this moment.
    """
    carbon = float(settings.carbon_price_per_tonne) * (grams or 0.0) / GRAMS_PER_TONNE
    quote = connection.price if connection is not None else None
    if quote is None:
        parts = (load_watts, grams, carbon, horizon_seconds)
        return _by_signal(site, connection, settings, now, parts)
    factor = exchange(settings, quote.currency)
    if factor is None:
        return FeedPrice(
            known=False,
            reason=Reason.CURRENCY_NOT_CONVERTIBLE,
            message=f"no exchange rate from {quote.currency} to {settings.reporting_currency}",
        )
    if not quote.known or quote.up.energy is None or quote.down.energy is None:
        return FeedPrice(known=False, reason=Reason.PRICE_UNKNOWN, message=quote.message)
    ahead = connection.price_ahead if connection is not None else ()
    end = now + horizon_seconds
    up = _rate(_average(quote, ahead, now, end, up=True), factor, carbon, grams)
    down = _rate(_average(quote, ahead, now, end, up=False), factor, carbon, grams)
    direct = None
    if quote.direct_energy is not None:
        direct = _own(float(quote.direct_energy) * factor)
    surplus, imported = _own_supply(site, connection, now, load_watts, horizon_seconds)
    upwards = _blocks(direct if surplus > 0 else None, surplus, _grid(up, quote, factor, carbon))
    downwards = _downwards(direct, imported, _grid(down, quote, factor, carbon))
    if quote.demand_terms:
        own = 0.0 if load_watts is None else surplus + load_watts - imported
        above, below = (
            kinks(quote, ahead, now, end, load_watts=load_watts, own_watts=own, up=way)
            for way in (True, False)
        )
        upwards = _with_peaks(upwards, above, factor)
        downwards = _with_peaks(downwards, below, -factor)
    return FeedPrice(known=True, up=upwards, down=downwards)


def exchange(settings: Settings, currency: str) -> float | None:
    """Units of the reporting currency per unit of `currency`; None = not convertible."""
    if currency == settings.reporting_currency:
        return 1.0
    for name, rate in settings.exchange_rates:
        if name == currency:
            try:
                return float(Decimal(rate))
            except InvalidOperation:
                return None
    return None


def _by_signal(
    site: SiteState,
    connection: ConnectionState | None,
    settings: Settings,
    now: float,
    parts: tuple[float | None, float | None, float, float],
) -> FeedPrice:
    """Without a contract: the site's own EnergyPrice, and ExportPrice for its surplus."""
    load_watts, grams, carbon, horizon_seconds = parts
    judged = signal(site, Quantity.ENERGY_PRICE, now)
    if judged.value is None:
        message = f"no contract is in force and {judged.message}"
        return FeedPrice(known=False, reason=Reason.PRICE_UNKNOWN, message=message)
    rows = [row for row in site.signals if row.quantity is Quantity.ENERGY_PRICE and row.reading]
    first = rows[0].reading.unit if rows and rows[0].reading is not None else ""
    currency = price_currency(judged.unit or first) or settings.reporting_currency
    factor = exchange(settings, currency)
    if factor is None:
        return FeedPrice(
            known=False,
            reason=Reason.CURRENCY_NOT_CONVERTIBLE,
            message=f"no exchange rate from {currency} to {settings.reporting_currency}",
        )
    value = judged.value
    for row in site.signals:
        if row.quantity is Quantity.ENERGY_PRICE and row.forecast is not None and horizon_seconds:
            value = _mean(row, now, now + horizon_seconds, value)
            break
    energy = value * factor
    grid = Rate(energy=energy, carbon=carbon, grams=grams, total=energy + carbon)
    sale = signal(site, Quantity.EXPORT_PRICE, now)
    sold = exchange(settings, price_currency(sale.unit) or currency) or 0.0
    surplus, imported = _own_supply(site, connection, now, load_watts, horizon_seconds)
    direct = _own((sale.value or 0.0) * sold) if site.supplies else None
    return FeedPrice(
        known=True,
        message="by the site's price signal",
        up=_blocks(direct if surplus > 0 else None, surplus, grid),
        down=_downwards(direct, imported, grid),
    )


def _rate(adders: Adders, factor: float, carbon: float, grams: float | None) -> Rate:
    assert adders.energy is not None
    energy = float(adders.energy) * factor
    demand, green = float(adders.demand_adder) * factor, float(adders.obligation_adder) * factor
    return Rate(
        energy=energy,
        demand=demand,
        green=green,
        carbon=carbon,
        grams=grams,
        own_supply=adders.origin is Origin.DIRECT_SUPPLY,
        total=energy + demand + green + carbon,
    )


def _grid(rate: Rate, quote: PriceQuote, factor: float, carbon: float) -> Rate:
    """The rate behind the surplus: where the quote's next watt is own supply, the grid's price."""
    if not rate.own_supply or quote.grid_energy is None:
        return rate
    energy = float(quote.grid_energy) * factor
    return Rate(
        energy=energy,
        demand=rate.demand,
        green=rate.green,
        carbon=carbon,
        grams=rate.grams,
        total=energy + rate.demand + rate.green + carbon,
    )


def _own(energy: float) -> Rate:
    return Rate(energy=energy, grams=0.0, own_supply=True, total=energy)


def _blocks(own: Rate | None, surplus: float, grid: Rate) -> tuple[Block, ...]:
    rest = Block(watts=float("inf"), rate=grid)
    return (rest,) if own is None else (Block(watts=surplus, rate=own), rest)


def _downwards(own: Rate | None, imported: float, grid: Rate) -> tuple[Block, ...]:
    if own is None:
        return (Block(watts=float("inf"), rate=grid),)
    rest = Block(watts=float("inf"), rate=own)
    return (rest,) if imported <= 0 else (Block(watts=imported, rate=grid), rest)


def _with_peaks(
    blocks: tuple[Block, ...], peaks: Sequence[Kink], factor: float
) -> tuple[Block, ...]:
    """The import block of a curve cut where demand charges begin (`factor` > 0) or end (< 0)."""
    found: list[Block] = []
    for block in blocks:
        if block.rate.own_supply:
            found.append(block)
            continue
        rate, walked = block.rate, 0.0
        for peak in peaks:
            if peak.watts >= block.watts:
                break
            if peak.watts > walked:
                found.append(Block(watts=peak.watts - walked, rate=rate))
                walked = peak.watts
            demand = max(0.0, rate.demand + factor * peak.per_kilowatt_hour)
            rate = replace(rate, demand=demand, total=rate.total - rate.demand + demand)
        found.append(Block(watts=block.watts - walked, rate=rate))
    return tuple(found)


def _average(
    quote: PriceQuote,
    ahead: tuple[tuple[float, PriceQuote], ...],
    now: float,
    end: float,
    *,
    up: bool,
) -> Adders:
    """Time-weighted mean of the known steps; an unknown step counts like the present."""
    present = quote.up if up else quote.down
    if end <= now:
        return present
    edges = [(now, quote), *[row for row in ahead if now < row[0] < end]]
    energy, green, peak = Decimal(0), Decimal(0), present
    whole = Decimal(str(end - now))
    for index, (start, step) in enumerate(edges):
        stop = edges[index + 1][0] if index + 1 < len(edges) else end
        part = Decimal(str(stop - start)) / whole
        adders = step.up if up else step.down
        if adders.energy is None:
            adders = present
        assert adders.energy is not None
        energy += part * adders.energy
        green += part * adders.obligation_adder
        peak = max(peak, adders, key=lambda row: row.demand_per_kilowatt)
    # a change that lasts sets the peak once, at its dearest moment, and not in every block
    demand = peak.demand_over(end - now)
    return Adders(energy=energy, demand_adder=demand, obligation_adder=green, origin=present.origin)


def _own_supply(
    site: SiteState,
    connection: ConnectionState | None,
    now: float,
    load_watts: float | None,
    horizon_seconds: float,
) -> tuple[float, float]:
    """(surplus watts, imported watts); unknown supply counts as none."""
    behind = supplies_behind(site, None if connection is None else connection.name)
    if load_watts is None or not behind:
        return 0.0, float("inf") if load_watts is None else load_watts
    supply = 0.0
    for row in behind:
        power = value_of(row.power, now) or 0.0
        if horizon_seconds > 0 and row.forecast is not None:
            power = min(power, _mean(row.forecast, now, now + horizon_seconds, power))
        supply += power
    return max(0.0, supply - load_watts), max(0.0, load_watts - supply)


def _mean(state: SignalState, start: float, end: float, default: float) -> float:
    """Mean of a forecast over a span, by quarter steps; outside of it the present value holds."""
    forecast = state.forecast
    if forecast is None:
        return default
    steps = [forecast.at(start + (end - start) * (k + 0.5) / 4) for k in range(4)]
    return sum(default if step is None else step for step in steps) / 4
