"""Energy and demand margins of one moment: how each metered quantity moves, and what that is worth.

`change` says how the quantities move with one kWh (+1, 0, -1); components and positions price that.
Sunk parts never enter. Neighbour: `marginal` (puts the parts together into a quote).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from wattshift.core.contract.accumulate import DIRECT_BASIS
from wattshift.core.contract.bill import rebate_factor, regime_sides
from wattshift.core.contract.calendar import span_bounds
from wattshift.core.contract.demand import DemandMargin, demand_margin
from wattshift.core.contract.meter import as_of
from wattshift.core.contract.model import (
    DIRECT_SUPPLY,
    Basis,
    Component,
    Contract,
    DemandMeasure,
    EnergyMeasure,
    Position,
    PositionType,
    ShareMeasure,
    Side,
    Span,
    SurplusOwner,
    SurplusUse,
)
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import Origin, SiteState
from wattshift.core.contract.rates import (
    Indices,
    bands_at,
    shape_factor,
    signal_price,
    tier_price,
    unit_price,
)

_DAY_SECONDS = 86400
Change = Mapping[Basis, int]
GRID_CHANGE: Change = {Basis.IMPORT: 1, Basis.GROSS_USE: 1, Basis.IT_LOAD: 1}
"""One kWh more that is imported."""


class Moment:
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
            month, year = self.period.month, self.period.year
            start, end = span_bounds(self.contract.time_zone, Span.MONTH, month.start_time)
            used = month.component_watt_hours.get(part.name, 0)
            # The first day says little of the month, a month to come nothing: the year says more.
            like = month if month.metered_seconds >= _DAY_SECONDS else year
            expected = 0
            if like.metered_seconds:
                so_far = like.component_watt_hours.get(part.name, 0)
                expected = so_far * (end - start) // like.metered_seconds
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
