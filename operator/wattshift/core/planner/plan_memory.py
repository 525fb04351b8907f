"""What the last plans saw: loads by workload, prices by connection, errors of forecasts, what was lowered.

Kept by whoever plans (`control/gather.py`, the simulator) and put into the snapshot, so that a plan
stays a function of its snapshot. In memory only, but for `inflow`: without it nothing is held back. Neighbours:
`core/power/power_memory.py` (power of the last minute), `core/load/growth.py` (what is learnt for good).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from wattshift.core.decision import Plan
from wattshift.core.load.inflow import Inflow
from wattshift.core.model import Snapshot
from wattshift.core.planner.forecast_errors import ForecastErrors
from wattshift.core.planner.lowered import Lowered
from wattshift.core.power.power import FeedKey

LOADS_SECONDS = 3600.0
"""Grid seconds for which loads are remembered: long enough for a dozen, short enough that what lowers
after a fall does not wait for long."""
PRICES_SECONDS = 7200.0
"""Grid seconds for which prices are remembered."""
STEP_SECONDS = 240.0
"""Loads closer together than that are not kept apart; a little under a planning interval."""
LEAST_LOADS = 6
"""Loads from which a trembling is told from a change."""

Row = tuple[float, float]


class PlanMemory:
    """Rings of (grid time, value), bounded whatever happens."""

    def __init__(self) -> None:
        self._loads: dict[str, deque[Row]] = {}
        self._prices: dict[FeedKey, deque[Row]] = {}
        self.inflow = Inflow()
        self._forecasts = ForecastErrors()
        self._lowered = Lowered()

    def note(self, plan: Plan) -> None:
        """Keep what a plan saw; what was unknown leaves a gap, what is gone is forgotten."""
        now = plan.grid_time
        for key, load in plan.loads:
            ring = _trimmed(self._loads.setdefault(key, deque()), now)
            if not ring or now - ring[-1][0] >= STEP_SECONDS:
                ring.append((now, load))
        for key in self._loads.keys() - {row.workload_key for row in plan.decisions}:
            del self._loads[key]
        seen = set()
        for row in plan.sites:
            place = (row.site_name, row.connection_name)
            seen.add(place)
            price = row.import_price_per_kilowatt_hour
            found = self._prices.setdefault(place, deque())
            # the last one before the window says what the price was when it began
            while len(found) > 1 and found[1][0] <= now - PRICES_SECONDS:
                found.popleft()
            if found and found[-1][0] > now:
                found.clear()  # the clock was set back
            if price is not None and (not found or found[-1][1] != price):
                found.append((now, price))
        for place in self._prices.keys() - seen:
            del self._prices[place]

    def remembered(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what is remembered, where nobody has put it in; called before a plan."""
        snapshot = self._lowered.remembered(self.inflow.remembered(snapshot))
        snapshot = self._forecasts.corrected(snapshot)
        if not self._loads and not self._prices:
            return snapshot
        now = snapshot.grid_time
        jobs = []
        for state in snapshot.workloads:
            high = high_of(self._loads.get(state.key, ()), now)
            known = high is None or state.load_high is not None
            jobs.append(state if known else replace(state, load_high=high))
        sites = []
        for site in snapshot.sites:
            rows = tuple(
                row
                if row.prices_before
                else replace(row, prices_before=tuple(self._prices.get((site.name, row.name), ())))
                for row in site.connections
            )
            sites.append(replace(site, connections=rows))
        return replace(snapshot, workloads=tuple(jobs), sites=tuple(sites))


def high_of(loads: Sequence[Row], now: float) -> float | None:
    """Load of this moment by a straight line through the last ones, and the widest they were above it.

    What rises or falls steadily does not tremble; None = too little is known.
    """
    rows = [(time - now, load) for time, load in loads if now - LOADS_SECONDS <= time <= now]
    if len(rows) < LEAST_LOADS:
        return None
    count = len(rows)
    mean_t = sum(time for time, _ in rows) / count
    mean = sum(load for _, load in rows) / count
    spread = sum((time - mean_t) ** 2 for time, _ in rows)
    slope = sum((time - mean_t) * (load - mean) for time, load in rows) / spread if spread else 0.0
    above = max(load - (mean + slope * (time - mean_t)) for time, load in rows)
    return max(0.0, mean - slope * mean_t + above)


def _trimmed(ring: deque[Row], now: float) -> deque[Row]:
    while ring and (ring[0][0] < now - LOADS_SECONDS or ring[0][0] > now):
        ring.popleft()
    if ring and ring[-1][0] > now:
        ring.clear()
    return ring
