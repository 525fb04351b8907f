"""Contracts at work: quoted every tick, their period kept in the status book.

Reads the store, the book and signals; decides nothing. The formulas are `core/contract`'s. A
contract whose index is unknown is quoted with `known=False`, never with a guess.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from wattshift.adapters.base import SignalKey
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.store import Store, Stored
from wattshift.control.inputs.gather_site import PriceOfPoint
from wattshift.control.record.status import StatusBook
from wattshift.core.contract.errors import ContractError
from wattshift.core.contract.marginal import price_curve, quote
from wattshift.core.contract.meter import in_zone, opening_period
from wattshift.core.contract.model import Contract
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import PriceQuote, SiteState
from wattshift.core.contract.rates import index_value
from wattshift.core.signal import SignalState

log = logging.getLogger(__name__)

AHEAD_REFRESH_SECONDS = 300.0
"""Grid seconds for which a look-ahead is kept while nothing else changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Power at one connection now, in watts."""

    load_watts: int
    import_watts: int
    supply_watts: int | None
    """What direct supplies could deliver; None = unknown, or there is none."""
    it_watts: int | None = None
    """Metered IT power; None = no such signal."""
    supply_known: bool = True
    """False while a supply is declared whose power is not read: then neither is the import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ahead:
    steps: tuple[tuple[float, PriceQuote], ...]
    signature: tuple[Contract, tuple[tuple[str, Decimal | None], ...]]
    until_time: float


class Prices:
    """Contracts by name, and what a kWh costs at each connection."""

    def __init__(
        self, *, store: Store, book: StatusBook, contracts: Contracts, horizon_seconds: float
    ) -> None:
        self._store = store
        self._book = book
        self._contracts = contracts
        self._horizon = horizon_seconds
        self._aheads: dict[str, _Ahead] = {}
        self._spoilt: dict[str, Contract] = {}
        """Contracts that could not be quoted, as they were when that was told."""

    def period(self, stored: Stored, contract: Contract, now: float) -> Period:
        """Period to date from the book, or the one it opens with."""
        known = self._book.contract(stored.key).period
        if known is None or now < known.start_time:
            # NB: a grid clock that was set back (a new replay) begins new books; time does not
            # run backwards in old ones.
            return opening_period(contract, int(now))
        return in_zone(contract, known)

    def in_force(self, now: float) -> tuple[tuple[Stored, Contract], ...]:
        """Accepted contracts that are in force, by name."""
        found = []
        for stored in self._store.contracts():
            if stored.deleting or not self._store.accepted(stored.key):
                continue
            try:
                contract = self._contracts.of(stored)
            except ContractError:  # said in `Accepted` by the reconciler
                continue
            if contract.in_force(now):
                found.append((stored, contract))
        return tuple(found)

    def indices(
        self, contract_name: str, states: Mapping[SignalKey, SignalState]
    ) -> dict[str, Decimal | None]:
        """Index values now by signal name; unknown ones are None."""
        found: dict[str, Decimal | None] = {}
        for key, state in states.items():
            if key[:2] != ("EnergyContract", contract_name) or state.reading is None:
                continue
            value = state.reading.value
            found[state.name] = None if value is None else index_value(value)
        return found

    def of_points(
        self,
        states: Mapping[SignalKey, SignalState],
        flows: Mapping[tuple[str, str], Flows],
        now: float,
    ) -> dict[tuple[str, str], PriceOfPoint]:
        """Price of every (site, connection) that a contract in force covers."""
        found: dict[tuple[str, str], PriceOfPoint] = {}
        for stored, contract in self.in_force(now):
            name = stored.key.name
            try:
                period = self.period(stored, contract, now)
                indices = self.indices(name, states)
                site = site_of(contract, flows)
                price = quote(contract, period, now, indices, site)
                ahead = self._ahead(contract, period, indices, states, now, site)
            except Exception:  # one contract stops no other; its points have no price
                if self._spoilt.get(name) != contract:
                    self._spoilt[name] = contract
                    log.exception("no price", extra={"object": str(stored.key), "reason": "Bug"})
                continue
            for point in contract.points:
                found[point.site_name, point.connection_name] = PriceOfPoint(
                    contract_name=name,
                    quote=price,
                    ahead=ahead,
                    maximum_watts=point.maximum_watts,
                )
        return found

    def _ahead(  # noqa: PLR0917 - one caller
        self,
        contract: Contract,
        period: Period,
        indices: Mapping[str, Decimal | None],
        states: Mapping[SignalKey, SignalState],
        now: float,
        site: SiteState,
    ) -> tuple[tuple[float, PriceQuote], ...]:
        known = self._aheads.get(contract.name)
        signature = (contract, tuple(sorted(indices.items())))
        if known is None or known.signature != signature or known.until_time <= now:
            series = _series(contract.name, indices, states, now)
            known = self._aheads[contract.name] = _Ahead(
                steps=price_curve(contract, period, now, self._horizon, series, site=site),
                signature=signature,
                until_time=now + AHEAD_REFRESH_SECONDS,
            )
        return known.steps


def site_of(contract: Contract, flows: Mapping[tuple[str, str], Flows]) -> SiteState:
    """Sum of the flows over a contract's points."""
    rows = [
        flows[point.site_name, point.connection_name]
        for point in contract.points
        if (point.site_name, point.connection_name) in flows
    ]
    supplies = [row.supply_watts for row in rows if row.supply_watts is not None]
    loads = [row.it_watts for row in rows if row.it_watts is not None]
    return SiteState(
        import_watts=sum(row.import_watts for row in rows),
        load_watts=sum(row.load_watts for row in rows),
        direct_supply_watts=sum(supplies) if supplies else None,
        it_watts=sum(loads) if loads else None,
    )


def _series(
    contract_name: str,
    indices: Mapping[str, Decimal | None],
    states: Mapping[SignalKey, SignalState],
    now: float,
) -> dict[str, list[tuple[float, Decimal | None]]]:
    """Value now, then the forecast's steps, by index name."""
    series: dict[str, list[tuple[float, Decimal | None]]] = {
        name: [(now, value)] for name, value in indices.items()
    }
    for key, state in states.items():
        if key[:2] != ("EnergyContract", contract_name) or state.forecast is None:
            continue
        steps = series.setdefault(state.name, [])
        steps += [
            (point.start_time, index_value(point.value))
            for point in state.forecast.points
            if point.start_time > now
        ]
        steps.append((state.forecast.end_time, None))
    return series
