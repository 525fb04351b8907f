"""Volumetric price of every step: what one kWh costs at a site, from its contract or its signal.

With a contract: components, shapes, shares and positions at the step's bands and index, as the
contract engine prices the next kWh of an empty period. Demand charges, later tiers and obligations
are not volumetric and not in here. Neighbour: `core/contract/margin.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from wattshift.core.contract.calendar import band_at
from wattshift.core.contract.margin import Moment
from wattshift.core.contract.meter import opening_period
from wattshift.core.contract.model import (
    Basis,
    Contract,
    EnergyMeasure,
    PositionType,
    ShareMeasure,
    SurplusOwner,
    SurplusUse,
)
from wattshift.core.contract.quote import SiteState
from wattshift.core.contract.rates import index_value
from wattshift.core.survey.prices import exchange
from wattshift.errors import NeedsHuman
from wattshift.sim.scenario import Array, Scenario, SimSite

_SUNK = frozenset(
    {
        PositionType.FIXED_VOLUME,
        PositionType.CONTRACT_FOR_DIFFERENCE,
        PositionType.PAY_AS_PRODUCED,
        PositionType.PAY_AS_AVAILABLE,
    }
)
_USED = frozenset({Basis.IMPORT, Basis.GROSS_USE, Basis.SELF_USE})
_EMPTY = SiteState(import_watts=0, load_watts=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePrices:
    """[steps] money per kWh in the reporting currency."""

    grid: Array
    own: Array
    """Of own supply used: what it costs, or what its sale would have brought; at most `grid`,
    because a bound may as well take the grid."""
    sale: Array
    """Of own supply that is sold where the site has no contract; else 0."""


def bent(contract: Contract) -> str:
    """What makes the volumetric bill more than price x energy, so that no bound here prices it.

    Empty = nothing: bill and bound then differ by what is used alone, and savings compare.
    """
    positions, components = contract.positions, contract.components
    energy = [row for row in components if isinstance(row.measure, EnergyMeasure)]
    names = {row.name for row in energy} | {row.name for row in positions}
    reasons = {
        "volumes that are paid whatever is used": any(row.type in _SUNK for row in positions),
        "surplus that the contract sells": any(
            row.surplus is not None
            and row.surplus.use is SurplusUse.EXPORT
            and row.surplus.owner is SurplusOwner.CONSUMER
            for row in positions
        ),
        "tiers": any(row.blocks for row in energy),
        "rebates on energy": any(row.rebates for row in energy),
        "rates that depend on the year's use": bool(contract.regimes),
        "shares of energy lines": any(
            names & set(row.measure.of_components)
            for row in components
            if isinstance(row.measure, ShareMeasure)
        ),
        "fees on generation": any(
            isinstance(row.measure, EnergyMeasure) and row.measure.basis not in _USED
            for row in energy
        ),
    }
    return " and ".join(words for words, there in reasons.items() if there)


def prices_of(scenario: Scenario, site: SimSite) -> SitePrices:
    """Prices of a site over the whole scenario.

    Raises:
        NeedsHuman: no exchange rate, or a contract whose index the scenario does not have.
    """
    grid = np.zeros(scenario.steps)
    sale = np.zeros(scenario.steps)
    if site.export_price is not None and site.contract is None:
        sale = np.asarray(site.export_price.values, dtype=float)
    own = sale
    if site.contract is not None:
        grid = _of_contract(scenario, site, lambda moment: moment.grid(up=True))
        if any(row.supply_name for row in site.contract.positions):
            own = _of_contract(scenario, site, _direct)
    elif site.price is not None:
        grid = np.asarray(site.price.values, dtype=float)
    factor = _factor(scenario, site)
    return SitePrices(grid=grid * factor, own=np.minimum(own, grid) * factor, sale=sale * factor)


def _factor(scenario: Scenario, site: SimSite) -> float:
    currency = site.contract.currency if site.contract is not None else site.currency
    factor = exchange(scenario.settings, currency or scenario.settings.reporting_currency)
    if factor is None:
        raise NeedsHuman(
            f"site {site.name}: no exchange rate from {currency}", reason="ScenarioInvalid"
        )
    return factor


def _direct(moment: Moment) -> Decimal | None:
    return Decimal(0) if moment.direct is None else moment.direct_energy()


def _of_contract(
    scenario: Scenario, site: SimSite, price: Callable[[Moment], Decimal | None]
) -> Array:
    """Mean price of each step: power is even in it, a band may begin in its middle."""
    contract = site.contract
    assert contract is not None
    values, length = np.zeros(scenario.steps), scenario.step_seconds
    known: dict[tuple[object, Decimal | None], float] = {}
    for begin, end, kind in _pieces(contract, scenario.time(0), scenario.time(scenario.steps)):
        first = int((begin - scenario.start_time) / length + 1e-9)
        last = math.ceil((end - scenario.start_time) / length - 1e-9)
        for step in range(first, last):
            index = None
            if site.price is not None:
                index = index_value(float(site.price.values[step]))
            key = (kind, index)
            if key not in known:
                indices = dict.fromkeys(contract.signal_names, index)
                period = opening_period(contract, int(begin))
                value = price(Moment(contract, period, begin, indices, _EMPTY))
                if value is None:
                    raise NeedsHuman(
                        f"site {site.name}: contract {contract.name} has no price at step {step}",
                        reason="ScenarioInvalid",
                    )
                known[key] = float(value)
            held = min(end, scenario.time(step + 1)) - max(begin, scenario.time(step))
            values[step] += known[key] * held / length
    return values


def _pieces(
    contract: Contract, begin: float, end: float
) -> Iterator[tuple[float, float, tuple[object, ...]]]:
    """(from, to, what prices depend on): bands, and which parts of the contract are in force."""
    edges = sorted(_edges(contract))
    while begin < end:
        place = bisect_right(edges, begin)
        until = min(end, edges[place]) if place < len(edges) else end
        names = []
        for calendar in contract.calendars:
            name, over = band_at(calendar, begin)
            names.append(name)
            until = min(until, over)
        yield begin, until, (place, *names)
        begin = until


def _edges(contract: Contract) -> set[int]:
    """Times at which the contract or a part of it begins or ends."""
    times = {contract.valid_from, contract.valid_until}
    times |= {time for part in contract.components for time in (part.from_time, part.until_time)}
    times |= {time for part in contract.shapes for time in (part.from_time, part.until_time)}
    return {time for time in times if time is not None}
