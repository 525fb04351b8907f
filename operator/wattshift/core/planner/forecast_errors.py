"""Forecasts held against what was observed later: what proved wrong is taken off before anybody plans.

Kept by whoever plans, in memory only; a forecast that nobody could check yet counts as it is. Each is
compared with observations of the same quantity at the same site, so that sites whose sources err in
different directions can be ranked. Neighbours: `core/planner/forecast_fit.py` (how far it is believed),
`core/planner/plan_memory.py`, `core/fleet/ahead.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from wattshift.core.freshness import usable
from wattshift.core.model import SiteState, Snapshot
from wattshift.core.planner.forecast_fit import LEFT_OUT, Row, factor_of, weight_of
from wattshift.core.signal import Forecast, Quality, Reading, SignalState
from wattshift.core.units import Quantity

HOUR = 3600.0
LEADS = (1 * HOUR, 6 * HOUR)
"""Grid seconds ahead at which a forecast is taken down: what it says of the present proves little."""
SLOT = 900.0
"""Grid seconds within which a prediction and an observation are of the same time."""
ROWS = 48
"""Observations that are remembered, an hour apart: two of each hour of the day."""
LATE = 6 * HOUR
"""Grid seconds for which an observation is waited for: carbon data come one to two hours late."""
NOTICEABLE = 0.005
PROPORTIONAL = (
    Quantity.ENERGY_PRICE,
    Quantity.CARBON_INTENSITY_AVERAGE,
    Quantity.CARBON_INTENSITY_MARGINAL,
    Quantity.SUPPLY_POWER,
)
"""Quantities whose forecasts err in proportion. A limit is never raised by a correction, a temperature has no 0."""
_OBSERVED = (Quality.MEASURED, Quality.ESTIMATED)


@dataclass(slots=True)
class _Past:
    """What one forecast said of times to come, and of those that came."""

    said: dict[float, tuple[float, float]] = field(default_factory=dict)
    """By begin of the slot: what was said, and what was known then."""
    last: float = float("-inf")
    """Grid seconds of the last observation that was compared."""
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=ROWS))

    def note(self, forecast: Forecast, known: float, now: float) -> None:
        """Take down what is said of the times within the leads, once each."""
        slot = (now + LEADS[0]) // SLOT * SLOT + SLOT
        while slot <= now + LEADS[1]:
            value = None if slot in self.said else forecast.at(slot)
            if value is not None:
                self.said[slot] = (value, known)
            slot += SLOT
        for old in [slot for slot in self.said if slot < now - LATE]:
            del self.said[old]

    def observe(self, reading: Reading, now: float) -> None:
        """Hold what was said of a time against what it was, once an hour."""
        seen = reading.source_time
        if seen is None or reading.value is None or seen > now or seen - self.last < HOUR:
            return
        slot = seen // SLOT * SLOT
        if slot in self.said:
            predicted, known = self.said[slot]
            self.rows.append((predicted, reading.value, known))
            self.last = seen


class ForecastErrors:
    """Errors of all forecasts of a fleet, bounded whatever happens."""

    def __init__(self) -> None:
        self._past: dict[tuple[str, str], _Past] = {}
        self._seen = float("-inf")

    def corrected(self, snapshot: Snapshot) -> Snapshot:
        """Learn from a snapshot, and take known errors off its forecasts; called before a plan."""
        now = snapshot.grid_time
        if now < self._seen:
            self._past.clear()  # the clock was set back: what was said is of another time
        self._seen = now
        known: set[tuple[str, str]] = set()
        sites = tuple(self._site(site, now, known) for site in snapshot.sites)
        for gone in self._past.keys() - known:
            del self._past[gone]
        if all(new is old for new, old in zip(sites, snapshot.sites, strict=True)):
            return snapshot
        return replace(snapshot, sites=sites)

    def _site(self, site: SiteState, now: float, known: set[tuple[str, str]]) -> SiteState:
        signals = []
        for row in site.signals:
            if row.forecast is not None and row.quantity in PROPORTIONAL:
                seen = [
                    one.reading
                    for one in sorted(site.signals, key=lambda one: (one.rank, one.name))
                    if one.quantity is row.quantity and one.reading is not None
                ]
                row = self._signal((site.name, row.name), row, seen, now)  # noqa: PLW2901
                known.add((site.name, row.name))
            signals.append(row)
        supplies = []
        for supply in site.supplies:
            if supply.forecast is not None and supply.forecast.forecast is not None:
                key = (site.name, f"{supply.name}/{supply.forecast.name}")
                seen = [] if supply.power is None else [supply.power]
                row = self._signal(key, supply.forecast, seen, now)
                known.add(key)
                if row is not supply.forecast:
                    row = _within(row, supply.capacity_watts)
                    supply = replace(supply, forecast=row)  # noqa: PLW2901
            supplies.append(supply)
        now_and_before = (
            *zip(signals, site.signals, strict=True),
            *zip(supplies, site.supplies, strict=True),
        )
        if all(new is old for new, old in now_and_before):
            return site
        return replace(site, signals=tuple(signals), supplies=tuple(supplies))

    def _signal(
        self, key: tuple[str, str], row: SignalState, seen: list[Reading], now: float
    ) -> SignalState:
        past = self._past.setdefault(key, _Past())
        assert row.forecast is not None
        # those that were seen, not held, assumed or forecast
        readings = [one for one in seen if usable(one, now) and one.quality in _OBSERVED]
        for reading in readings:
            past.observe(reading, now)
        present = next((one.value for one in readings if one.value is not None), None)
        factor, weight = factor_of(past.rows), 1.0
        if present is not None:
            past.note(row.forecast, present, now)
            weight = weight_of(past.rows, factor)
        forecast = believed(row.forecast, factor, weight, present or 0.0)
        return row if forecast is row.forecast else replace(row, forecast=forecast)


def believed(forecast: Forecast, factor: float, weight: float, present: float) -> Forecast:
    """A forecast times its factor, drawn towards the present value; without any steps where it is left out."""
    if factor == LEFT_OUT:
        return replace(forecast, points=(), end_time=forecast.issued_time, factor=LEFT_OUT)
    if abs(factor - 1) < NOTICEABLE and weight > 1 - NOTICEABLE:
        return forecast
    points = tuple(
        replace(point, value=present + weight * (factor * point.value - present))
        for point in forecast.points
    )
    return replace(forecast, points=points, factor=factor, weight=weight)


def _within(row: SignalState, capacity_watts: int) -> SignalState:
    """Own supply never gives more than it has been built for."""
    forecast = row.forecast
    if forecast is None or capacity_watts <= 0 or forecast.factor <= 1:
        return row
    points = tuple(
        replace(point, value=min(point.value, float(capacity_watts))) for point in forecast.points
    )
    return replace(row, forecast=replace(forecast, points=points))
