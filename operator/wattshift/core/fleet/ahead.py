"""What a connection costs over the steps to come: contract quotes, signals, carbon, own supply.

As `core/survey/prices.py` prices the moment: energy and obligation adders, carbon at its price; the demand
charge apart, as a price of what is above the billed peak. What is not known ahead stays as it is now. Neighbour: `core/fleet/build.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.contract.quote import Adders, Origin, PriceQuote
from wattshift.core.fleet.problem import Floats
from wattshift.core.fleet.steps import means
from wattshift.core.freshness import value_of
from wattshift.core.model import SiteState
from wattshift.core.signal import Forecast
from wattshift.core.survey.own_supply import supplies_behind
from wattshift.core.survey.peaks import free_of_peaks
from wattshift.core.survey.prices import GRAMS_PER_TONNE, exchange
from wattshift.core.survey.survey import Feed, Survey
from wattshift.core.units import Quantity, price_currency

FRESH_SECONDS = 1800.0
"""A carbon reading older than this yields to a forecast for the present moment."""
_CARBON = (Quantity.CARBON_INTENSITY_MARGINAL, Quantity.CARBON_INTENSITY_AVERAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Prices of one connection by step, in the reporting currency per kWh."""

    grid: Floats
    own: Floats | None
    """Price of own supply; None where there is none."""
    own_watts: Floats | None
    """Own supply in W; None where there is none."""
    known_until: float
    """End of what is known ahead; now where nothing is."""
    peak_watts: Floats
    """Import in W above which a new peak is billed; inf where none is."""
    peak: Floats
    """Price per kWh on top of what is above it: the peak is paid once, for a while of work."""


def ahead(feed: Feed, world: Survey, steps: Floats) -> Ahead | None:
    """Prices over the steps whose edges are `steps`; None where the present price is unknown or no number."""
    settings, now, site = world.snapshot.settings, world.now, feed.site
    present = world.price(feed, 0.0)
    if not present.known:
        return None
    known = now
    quote = feed.connection.price if feed.connection is not None else None
    if quote is not None:
        factor = exchange(settings, quote.currency) or 1.0
        rows = feed.connection.price_ahead if feed.connection is not None else ()
        times, values = _quoted(quote, rows, now)
        if len(times) > 1:
            known = max(known, min(times[-1] + 3600, float(steps[-1])))
        energy = means(times, values, steps) * factor
    else:
        rate = present.grid
        assert rate is not None
        forecast = _forecast(site, (Quantity.ENERGY_PRICE,))
        times, values = _joined(rate.energy, forecast, now, _factor(world, site))
        known = max(known, 0.0 if forecast is None else forecast.end_time)
        energy = means(times, values, steps)
    grams = np.full(energy.shape, feed.grams or 0.0)
    forecast = _forecast(site, _CARBON)
    if forecast is not None and forecast.end_time > now:
        times, values = _joined(_grams_now(feed, forecast, now), forecast, now, 1.0)
        grams = means(times, values, steps)
        known = max(known, forecast.end_time)
    carbon = float(settings.carbon_price_per_tonne) * grams / GRAMS_PER_TONNE
    if not np.isfinite(energy + carbon).all():
        return None
    own, own_watts = None, own_ahead(feed, now, steps)
    rates = [row.rate for row in (*present.up, *present.down) if row.rate.own_supply]
    if own_watts is not None and rates:
        own = np.full(energy.shape, rates[0].total)
    peak_watts, peak = _peaks(feed, world, steps)
    return Ahead(
        grid=energy + carbon,
        own=own,
        own_watts=own_watts,
        known_until=known,
        peak_watts=peak_watts,
        peak=peak,
    )


def _peaks(feed: Feed, world: Survey, steps: Floats) -> tuple[Floats, Floats]:
    """(import that sets no new billed peak, price per kWh above it) by step, as it is quoted for its begin."""
    count = steps.shape[0] - 1
    watts, price = np.full(count, np.inf), np.zeros(count)
    connection = feed.connection
    quote = connection.price if connection is not None else None
    if connection is None or quote is None or not quote.demand_terms:
        return watts, price
    factor = exchange(world.snapshot.settings, quote.currency) or 1.0
    rows = [(world.now, quote), *[row for row in connection.price_ahead if row[0] > world.now]]
    starts = np.asarray([start for start, _ in rows])
    which = np.maximum(0, np.searchsorted(starts, steps[:-1], side="right") - 1)
    for row in np.unique(which):
        level, rate = free_of_peaks(rows[row][1])
        watts[which == row], price[which == row] = level, rate * factor
    return watts, price


def _quoted(
    quote: PriceQuote, rows: tuple[tuple[float, PriceQuote], ...], now: float
) -> tuple[list[float], list[float]]:
    """Totals without carbon per kWh; a step that is not known counts like the one before it."""
    times, values = [now], [_total(quote, quote.up)]
    for start, step in rows:
        if start > now:
            times.append(start)
            values.append(values[-1] if step.up.energy is None else _total(step, step.up))
    return times, values


def _total(quote: PriceQuote, adders: Adders) -> float:
    energy = adders.energy
    if adders.origin is Origin.DIRECT_SUPPLY and quote.grid_energy is not None:
        energy = quote.grid_energy  # own supply is a block of its own
    assert energy is not None
    return float(energy) + float(adders.obligation_adder)


def _forecast(site: SiteState, quantities: tuple[Quantity, ...]) -> Forecast | None:
    for quantity in quantities:
        for row in site.signals:
            if row.quantity is quantity and row.forecast is not None and row.forecast.points:
                return row.forecast
    return None


def _joined(
    present: float, forecast: Forecast | None, now: float, factor: float
) -> tuple[list[float], list[float]]:
    """The present value, then the forecast's steps."""
    times, values = [now], [present]
    if forecast is None or forecast.end_time <= now:
        return times, values
    for point in forecast.points:
        if point.start_time > now:
            times.append(point.start_time)
            values.append(point.value * factor)
    return times, values


def _grams_now(feed: Feed, forecast: Forecast, now: float) -> float:
    """The reading while it is fresh; published carbon data are hours old."""
    known = forecast.at(now)
    readings = [
        row.reading
        for row in feed.site.signals
        if row.quantity in _CARBON and row.reading is not None
    ]
    fresh = any(
        row.source_time is not None and now - row.source_time <= FRESH_SECONDS
        for row in readings
        if value_of(row, now) is not None
    )
    if known is None or (fresh and feed.grams is not None):
        return feed.grams or 0.0
    return known


def _factor(world: Survey, site: SiteState) -> float:
    """Currency of a price forecast, told by the factor of its observation."""
    for row in site.signals:
        if row.quantity is Quantity.ENERGY_PRICE and row.reading is not None:
            currency = price_currency(row.reading.unit)
            if currency:
                return exchange(world.snapshot.settings, currency) or 1.0
    return 1.0


def own_ahead(feed: Feed, now: float, steps: Floats) -> Floats | None:
    """Watts of own supply by step at the connection it hangs on; unknown supply counts as none."""
    site = feed.site
    behind = supplies_behind(site, feed.connection.name if feed.connection is not None else None)
    if not behind:
        return None
    total = np.zeros(steps.shape[0] - 1)
    for row in behind:
        power = value_of(row.power, now)
        forecast = None if row.forecast is None else row.forecast.forecast
        if power is None and forecast is None:
            continue
        times, values = _joined(power or 0.0, forecast, now, 1.0)
        total += np.maximum(0.0, means(times, values, steps))
    return total
