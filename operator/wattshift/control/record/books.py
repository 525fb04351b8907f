"""Keeps the books: metered energy into each contract's period, energy and money into totals.

Called once per governor tick. Watt-seconds that do not make a whole watt-hour are carried over, so
that short ticks lose nothing. The arithmetic is `core/contract` and `core/account`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wattshift.adapters.base import SignalKey
from wattshift.control.gather import Gatherer
from wattshift.control.hub.store import Stored
from wattshift.control.inputs.prices import Flows, Prices, site_of
from wattshift.control.runtime import Runtime
from wattshift.core.contract.meter import MeterInterval, advance
from wattshift.core.contract.model import DIRECT_SUPPLY, Basis, Contract, SurplusUse
from wattshift.core.model import Snapshot
from wattshift.core.signal import SignalState

log = logging.getLogger(__name__)

MINIMUM_SECONDS = 60
"""Grid seconds that make an interval; shorter ticks are gathered."""
LONGEST_TICKS = 10
"""A longer pause than this many ticks is a gap: it counts as missing, not as the last power."""


@dataclass(slots=True)
class _Open:
    """What has been metered since the last interval of a contract was closed."""

    start_time: int
    watt_seconds: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    until_time: float = 0.0


class Books:
    """Periods of contracts."""

    def __init__(self, *, runtime: Runtime, gather: Gatherer, prices: Prices) -> None:
        self._runtime = runtime
        self._gather = gather
        self._prices = prices
        self._open: dict[str, _Open] = {}
        self._spoilt: dict[str, Contract] = {}
        """Contracts that could not be counted, as they were when that was told."""

    def advance(self, snapshot: Snapshot) -> None:
        """Count the power of the last tick into every contract in force."""
        now = snapshot.grid_time
        metered = _metered(snapshot)
        flows = self._gather.flows()
        states = self._runtime.poller.states(now)
        for stored, contract in self._prices.in_force(now):
            known = all(
                metered.get(place, False) and (place not in flows or flows[place].supply_known)
                for point in contract.points
                for place in [(point.site_name, point.connection_name)]
            )
            try:
                self._count(stored, contract, flows, states, now, known=known)
            except Exception:  # one contract stops no other
                if self._spoilt.get(contract.name) != contract:
                    self._spoilt[contract.name] = contract
                    log.exception("not booked", extra={"object": str(stored.key), "reason": "Bug"})

    def _count(
        self,
        stored: Stored,
        contract: Contract,
        flows: Mapping[tuple[str, str], Flows],
        states: Mapping[SignalKey, SignalState],
        now: float,
        *,
        known: bool,
    ) -> None:
        record = self._runtime.book.contract(stored.key)
        period = self._prices.period(stored, contract, now)
        interval = self._close(contract, flows, now, known=known)
        if interval is not None:
            indices = {
                name: value
                for name, value in self._prices.indices(stored.key.name, states).items()
                if value is not None
            }
            period = advance(contract, period, interval, indices)
        if period is not record.period:
            self._runtime.book.update(stored.key, replace(record, period=period))

    def _longest(self) -> float:
        """Grid seconds after which a pause is a gap."""
        interval = self._runtime.config.governor.interval_seconds
        return LONGEST_TICKS * max(1.0, interval) * self._runtime.clock.speed

    def _close(
        self,
        contract: Contract,
        flows: Mapping[tuple[str, str], Flows],
        now: float,
        *,
        known: bool,
    ) -> MeterInterval | None:
        """Add the last tick; an interval when enough has been gathered, or what a gap ends."""
        entry = self._open.get(contract.name)
        if entry is None or now < entry.until_time:  # a clock that was set back begins anew
            self._open[contract.name] = _Open(start_time=int(now), until_time=now)
            return None
        seconds = now - entry.until_time
        broken = not known or seconds > self._longest()
        if not broken:
            for basis, watts in _bases(contract, flows).items():
                entry.watt_seconds[basis] += round(watts * seconds)
            entry.until_time = now
        until = int(entry.until_time)
        length = until - entry.start_time
        interval = None
        if length >= (1 if broken else MINIMUM_SECONDS):
            interval = MeterInterval(
                start_time=entry.start_time,
                seconds=length,
                watt_hours={basis: value // 3600 for basis, value in entry.watt_seconds.items()},
            )
            for basis in entry.watt_seconds:
                entry.watt_seconds[basis] %= 3600
            entry.start_time = until
        if broken:
            entry.start_time, entry.until_time = int(now), now
        return interval


def _metered(snapshot: Snapshot) -> dict[tuple[str, str], bool]:
    """Whether each connection has a meter reading now."""
    return {
        (site.name, row.name): row.metered is not None and row.metered.value is not None
        for site in snapshot.sites
        for row in site.connections
    }


def _bases(contract: Contract, flows: Mapping[tuple[str, str], Flows]) -> dict[str, int]:
    """Watts by metered quantity over a contract's points."""
    found = dict.fromkeys(
        (Basis.IMPORT, Basis.GROSS_USE, Basis.SELF_USE, Basis.EXPORT, Basis.CURTAILED), 0
    )
    # As the marginal price sees it: a direct supply without a rule for its surplus is curtailed.
    curtails = any(
        row.type in DIRECT_SUPPLY and (row.surplus is None or row.surplus.use is SurplusUse.CURTAIL)
        for row in contract.positions
    )
    for point in contract.points:
        flow = flows.get((point.site_name, point.connection_name))
        if flow is None:
            continue
        supply = flow.supply_watts or 0
        self_use = min(flow.load_watts, supply)
        found[Basis.IMPORT] += flow.import_watts
        found[Basis.GROSS_USE] += flow.load_watts
        found[Basis.SELF_USE] += self_use
        found[Basis.CURTAILED if curtails else Basis.EXPORT] += supply - self_use
    it_watts = site_of(contract, flows).it_watts
    if it_watts is not None:
        found[Basis.IT_LOAD] = it_watts
    return {basis.value: watts for basis, watts in found.items()}
