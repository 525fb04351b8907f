"""Marginal price up and down now, its next change, and the look-ahead for the planner.

A margin is the sum over everything that varies with one kWh: `change` says how each metered
quantity moves (+1, 0, -1), components and positions price that. Sunk parts never enter.
Formulas: contract.md 2; docs/contract.md has worked examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from wattshift.core.contract import obligation
from wattshift.core.contract.accumulate import DIRECT_BASIS
from wattshift.core.contract.bill import rebate_factor, regime_sides
from wattshift.core.contract.calendar import next_band, span_bounds
from wattshift.core.contract.demand import DemandMargin, demand_margin
from wattshift.core.contract.meter import as_of
from wattshift.core.contract.model import (
    DIRECT_SUPPLY,
    Basis,
    Component,
    Contract,
    DemandMeasure,
    EnergyMeasure,
    Instrument,
    Position,
    PositionType,
    ShareMeasure,
    Side,
    Span,
    SurplusOwner,
    SurplusUse,
)
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import Adders, DemandTerm, Origin, PriceQuote, SiteState
from wattshift.core.contract.rates import (
    Indices,
    bands_at,
    shape_factor,
    signal_price,
    tier_price,
    unit_price,
)

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
Change = Mapping[Basis, int]
GRID_CHANGE: Change = {Basis.IMPORT: 1, Basis.GROSS_USE: 1, Basis.IT_LOAD: 1}
IndexSteps = Sequence[tuple[float, Decimal | None]]
"""Index per kWh from a time on until the next entry; None ends what is known."""
_NO_SITE = SiteState(import_watts=0, load_watts=0)


class _Moment:
    """A contract at one moment: what the margins of all directions share."""

    def __init__(
        self, contract: Contract, period: Period, now: float, indices: Indices, site: SiteState
    ) -> None:
        self.contract, self.now, self.indices, self.site = contract, now, indices, site
        self.period = as_of(contract, period, now)
        self.bands = bands_at(contract, now)
        self.sides = regime_sides(contract, self.period)
        self.direct = next((p for p in contract.positions if p.type in DIRECT_SUPPLY), None)

    def counts(self, component: Component) -> bool:
        """Whether a component is part of decisions now."""
        if component.recoverable or not component.in_force(self.now):
            return False
        if component.regime is None:
            return True
        side: Side = component.regime[1]
        return self.sides[component.regime[0]] is side

    def share_factor(self, name: str) -> Decimal:
        """Product of (1 + share) over the shares that cover a component or position."""
        factor = Decimal(1)
        for component in self.contract.components:
            measure = component.measure
            if isinstance(measure, ShareMeasure) and self.counts(component):
                covers = name in measure.of_components
                factor *= (1 + measure.factor * self.share_factor(component.name)) if covers else 1
        return factor

    def components(self, change: Change) -> Decimal | None:
        """Energy components over a change of quantities, per kWh; None while an index is unknown."""
        total = Decimal(0)
        for component in self.contract.components:
            measure = component.measure
            if not isinstance(measure, EnergyMeasure) or not self.counts(component):
                continue
            step = change.get(measure.basis, 0)
            if step == 0:
                continue
            if measure.bands and self.bands[component.calendar_name] not in measure.bands:
                continue
            price = self._price(component)
            if price is None:
                return None
            price *= measure.loss_factor * self.share_factor(component.name)
            total += step * price * rebate_factor(self.contract, component, self.period)
        return total

    def _price(self, part: Component | Position) -> Decimal | None:
        if isinstance(part, Component) and part.blocks:
            month = self.period.month
            start, end = span_bounds(self.contract.time_zone, Span.MONTH, month.start_time)
            used = month.component_watt_hours.get(part.name, 0)
            expected = used * (end - start) // month.metered_seconds if month.metered_seconds else 0
            factor = shape_factor(self.contract, part.name, self.bands, self.now)
            return tier_price(part, max(used, expected)) * factor
        return unit_price(self.contract, part, self.bands, self.now, self.indices)

    def _position(self, position: Position) -> Decimal | None:
        price = self._price(position)
        return None if price is None else price * self.share_factor(position.name)

    def grid(self, *, up: bool) -> Decimal | None:
        """Energy part of one imported kWh: components, then shares, fixed volumes and residual."""
        total = self.components(GRID_CHANGE)
        bought = self._bought(up=up)
        return None if total is None or bought is None else total + bought

    def _bought(self, *, up: bool) -> Decimal | None:
        positions = self.contract.positions
        following = Decimal(0)
        rest_share = Decimal(1)
        for position in positions:
            if position.type is PositionType.LOAD_FOLLOWING:
                price = self._position(position)
                if price is None:
                    return None
                following += position.share * price
                rest_share -= position.share
        if rest_share <= 0:
            return following
        rest_watts = max(0, self.site.import_watts) * rest_share
        covered = Decimal(0)
        for position in positions:
            if position.type is PositionType.FIXED_VOLUME:
                covered += position.watts
                inside = rest_watts < covered if up else rest_watts <= covered
                if inside:
                    surplus = self._surplus_price(position)
                    return None if surplus is None else following + rest_share * surplus
        for position in positions:
            if position.type is PositionType.RESIDUAL:
                price = self._position(position)
                return None if price is None else following + rest_share * price
        return following

    def _surplus_price(self, position: Position) -> Decimal | None:
        """What a kWh that is not used earns us: forgone when it is used after all."""
        surplus = position.surplus
        if (
            surplus is None
            or surplus.owner is not SurplusOwner.CONSUMER
            or surplus.use is not SurplusUse.EXPORT
        ):
            return Decimal(0)
        if surplus.signal_rate is not None:
            return signal_price(surplus.signal_rate, self.indices)
        return surplus.rate if surplus.rate is not None else Decimal(0)

    def direct_change(self) -> Change:
        """A kWh of direct supply used instead of exported or curtailed."""
        change = {Basis.SELF_USE: 1, Basis.GROSS_USE: 1, Basis.IT_LOAD: 1}
        surplus = self.direct.surplus if self.direct is not None else None
        exports = surplus is not None and surplus.use is SurplusUse.EXPORT
        change[Basis.EXPORT if exports else Basis.CURTAILED] = -1
        return change

    def direct_energy(self) -> Decimal | None:
        """Energy part of one kWh of direct supply; None when its index is unknown."""
        assert self.direct is not None
        change = self.direct_change()
        total, price = self.components(change), self._position(self.direct)
        forgone = self._surplus_price(self.direct)
        if total is None or price is None or forgone is None:
            return None
        paid = sum(change.get(basis, 0) for basis in DIRECT_BASIS[self.direct.type])
        return total + paid * price - change.get(Basis.EXPORT, 0) * forgone

    def origin(self, *, up: bool) -> Origin:
        """Where the next watt comes from, or where the last one came from."""
        if self.direct is None:
            return Origin.GRID
        supply = self.site.direct_supply_watts
        if supply is None:
            served = self.site.import_watts <= 0 and not up and self.site.load_watts > 0
        else:
            load = self.site.load_watts
            served = load < supply if up else load <= supply and supply > 0
        return Origin.DIRECT_SUPPLY if served else Origin.GRID

    def demand(self) -> tuple[DemandMargin, ...]:
        """Margins of the demand components in force."""
        return tuple(
            demand_margin(
                self.contract,
                component,
                self.period,
                self.now,
                site=self.site,
                bands=self.bands,
                share_factor=self.share_factor(component.name),
            )
            for component in self.contract.components
            if isinstance(component.measure, DemandMeasure) and self.counts(component)
        )


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
    moment = _Moment(contract, period, now, indices, site)
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
    """When a band or a validity changes next, and the band of the main calendar then."""
    times: list[int] = []
    for name in _used_calendars(contract):
        change = next_band(contract.calendar(name), now)
        if change is not None:
            times.append(change[0])
    edges = [contract.valid_from, contract.valid_until]
    edges += [edge for part in contract.components for edge in (part.from_time, part.until_time)]
    edges += [edge for part in contract.shapes for edge in (part.from_time, part.until_time)]
    times += [edge for edge in edges if edge is not None and edge > now]
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
    return _Moment(contract, period, time, {}, site).grid(up=True)


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
