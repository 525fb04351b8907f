"""Marginal price up and down now, its next change, and the look-ahead for the planner.

Puts the parts of `margin`, `demand` and `obligation` together; an unknown index stays unknown.
Formulas and worked examples: docs/contract.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from wattshift.core.contract import obligation
from wattshift.core.contract.calendar import SEARCH_DAYS, next_band
from wattshift.core.contract.margin import GRID_CHANGE, Change, Moment
from wattshift.core.contract.meter import as_of
from wattshift.core.contract.model import Basis, Contract, EnergyMeasure, Instrument
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import Adders, DemandTerm, Origin, PriceQuote, SiteState
from wattshift.core.contract.rates import Indices, bands_at

__all__ = [
    "Adders",
    "DemandTerm",
    "IndexSteps",
    "Origin",
    "PriceQuote",
    "SiteState",
    "price_curve",
    "quote",
]

PRICE_UNKNOWN = "PriceUnknown"
NOT_IN_FORCE = "ContractNotInForce"
IndexSteps = Sequence[tuple[float, Decimal | None]]
"""Index per kWh from a time on until the next entry; None ends what is known."""
_NO_SITE = SiteState(import_watts=0, load_watts=0)


def quote(
    contract: Contract,
    period: Period,
    now: float,
    indices: Indices,
    site: SiteState = _NO_SITE,
    *,
    probability_short: Mapping[str, Decimal] | None = None,
    instrument_prices: Mapping[str, Decimal] | None = None,
    duals: Mapping[str, Decimal] | None = None,
) -> PriceQuote:
    """Marginal price now, both directions, in the contract's currency per kWh.

    `indices` are values per kWh by signal name (`rates.index_value` makes them from readings); a
    missing one gives `known=False` with reason `PriceUnknown`, the other parts still stand. By
    obligation: `probability_short` at the end of its period (default: 1 while behind, else 0),
    `instrument_prices` per kWh, `duals` of Hard ones.
    """
    if not contract.in_force(now):
        return _not_in_force(contract, now)
    moment = Moment(contract, period, now, indices, site)
    margins = moment.demand()

    known_parts = (probability_short or {}, instrument_prices or {}, duals or {})

    def obliged(change: Change) -> Decimal:
        return _obligation_adder(contract, moment.period, change, *known_parts)

    def adders(*, up: bool) -> Adders:
        origin = moment.origin(up=up)
        direct = origin is Origin.DIRECT_SUPPLY
        change = moment.direct_change() if direct else GRID_CHANGE
        per_block = per_kilowatt = Decimal(0)
        for margin in margins:
            step = change.get(margin.term.basis, 0)
            cost = step * (margin.up_per_kilowatt if up else margin.down_per_kilowatt)
            per_kilowatt += cost
            per_block += margin.per_kilowatt_hour(cost)
        return Adders(
            energy=moment.direct_energy() if direct else moment.grid(up=up),
            demand_adder=per_block,
            obligation_adder=obliged(change),
            origin=origin,
            demand_per_kilowatt=per_kilowatt,
        )

    upward, downward = adders(up=True), adders(up=False)
    known = upward.energy is not None and downward.energy is not None
    change_time, band = next_change(contract, now)
    return PriceQuote(
        known=known,
        reason="" if known else PRICE_UNKNOWN,
        message="" if known else _missing(contract, indices),
        currency=contract.currency,
        band=moment.bands.get(_main_calendar(contract), ""),
        up=upward,
        down=downward,
        grid_energy=moment.grid(up=True),
        direct_energy=moment.direct_energy() if moment.direct is not None else None,
        next_change_time=change_time,
        next_band=band,
        next_grid_energy=_grid_then(contract, period, change_time, site),
        valid_until=change_time,
        demand_terms=tuple(margin.term for margin in margins),
        grid_obligation=obliged(GRID_CHANGE),
        direct_obligation=(obliged(moment.direct_change()) if moment.direct is not None else None),
    )


def price_curve(
    contract: Contract,
    period: Period,
    now: float,
    horizon_seconds: float,
    index_forecasts: Mapping[str, IndexSteps],
    *,
    site: SiteState = _NO_SITE,
) -> tuple[tuple[float, PriceQuote], ...]:
    """Quotes from `now` on, each until the next: a step at every change of band, price or index.

    Peaks and obligations stand as they are now; an index without a forecast makes steps unknown.
    """
    end = now + horizon_seconds
    steps = sorted({time for series in index_forecasts.values() for time, _ in series})
    curve: list[tuple[float, PriceQuote]] = []
    time, rolled = now, period
    while time < end:
        rolled = as_of(contract, rolled, time)
        indices = {name: _index_at(series, time) for name, series in index_forecasts.items()}
        curve.append((time, quote(contract, rolled, time, indices, site)))
        ahead = [step for step in steps if step > time]
        change_time, _ = next_change(contract, time)
        following = [value for value in (change_time, *ahead[:1]) if value is not None]
        if not following:
            break
        time = min(following)
    return tuple(curve)


def next_change(contract: Contract, now: float) -> tuple[float | None, str]:
    """When a band or a validity changes next within a year, and the band of the main calendar then.

    NB: a validity that ends in 2099 is no change to plan for, and its price is not worked out by
    closing every month until then.
    """
    times: list[int] = []
    for name in _used_calendars(contract):
        change = next_band(contract.calendar(name), now)
        if change is not None:
            times.append(change[0])
    edges = [contract.valid_from, contract.valid_until]
    edges += [edge for part in contract.components for edge in (part.from_time, part.until_time)]
    edges += [edge for part in contract.shapes for edge in (part.from_time, part.until_time)]
    limit = now + SEARCH_DAYS * 86400
    times += [edge for edge in edges if edge is not None and now < edge <= limit]
    if not times:
        return None, ""
    time = min(times)
    return float(time), bands_at(contract, time).get(_main_calendar(contract), "")


def _obligation_adder(  # noqa: PLR0917 - one caller
    contract: Contract,
    period: Period,
    change: Change,
    probability_short: Mapping[str, Decimal],
    instrument_prices: Mapping[str, Decimal],
    duals: Mapping[str, Decimal],
) -> Decimal:
    total = Decimal(0)
    for item in contract.obligations:
        behind = obligation.slack(item, obligation.watt_hours_of(item, period)) < 0
        moved = dict(change)
        if Instrument.DIRECT_SELF_USE in item.eligible:
            moved[Basis.GREEN] = change.get(Basis.SELF_USE, 0)
        total += obligation.adder(
            item,
            moved,
            probability_short.get(item.name, Decimal(int(behind))),
            instrument_prices.get(item.name),
            duals.get(item.name),
        )
    return total


def _used_calendars(contract: Contract) -> list[str]:
    """Calendars that prices follow: shapes and band rates first, then demand windows."""
    names = [shape.calendar_name for shape in contract.shapes]
    names += [c.calendar_name for c in contract.components if c.calendar_name]
    return list(dict.fromkeys(names))


def _main_calendar(contract: Contract) -> str:
    energy = [
        component.calendar_name
        for component in contract.components
        if component.calendar_name and isinstance(component.measure, EnergyMeasure)
    ]
    names = [*(shape.calendar_name for shape in contract.shapes), *energy]
    names += _used_calendars(contract)
    return names[0] if names else ""


def _grid_then(
    contract: Contract, period: Period, time: float | None, site: SiteState
) -> Decimal | None:
    if time is None or not contract.in_force(time):
        return None
    return Moment(contract, period, time, {}, site).grid(up=True)


def _index_at(series: IndexSteps, time: float) -> Decimal | None:
    value: Decimal | None = None
    for start, price in series:
        if start > time:
            break
        value = price
    return value


def _missing(contract: Contract, indices: Indices) -> str:
    names = [name for name in contract.signal_names if indices.get(name) is None]
    return f"no value of the price signal {', '.join(names)}: see signals[] of the contract"


def _not_in_force(contract: Contract, now: float) -> PriceQuote:
    unknown = Adders(energy=None)
    begins = contract.valid_from if contract.valid_from and contract.valid_from > now else None
    return PriceQuote(
        known=False,
        reason=NOT_IN_FORCE,
        message="the contract is not valid now: see validFromTime and validUntilTime",
        currency=contract.currency,
        band="",
        up=unknown,
        down=unknown,
        grid_energy=None,
        direct_energy=None,
        next_change_time=float(begins) if begins is not None else None,
        next_band="",
        next_grid_energy=None,
        valid_until=float(begins) if begins is not None else None,
    )
