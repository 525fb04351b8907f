"""Forecasts held against what was observed later: a bias that lasts is taken off before anybody plans.

Kept by whoever plans, in memory only; a forecast that nobody could check yet counts as it is. Each is
compared with observations of the same quantity at the same site, so that sites whose sources err in
different directions can be ranked. Neighbours: `core/planner/plan_memory.py`, `core/fleet/ahead.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from wattshift.core.freshness import usable
from wattshift.core.model import SiteState, Snapshot
from wattshift.core.signal import Forecast, Quality, Reading, SignalState
from wattshift.core.units import Quantity

HOUR = 3600.0
LEADS = (1 * HOUR, 6 * HOUR)
"""Grid seconds ahead at which a forecast is taken down: what it says of the present proves little."""
SLOT = 900.0
"""Grid seconds within which a prediction and an observation are of the same time."""
PAIRS = 48
"""Observations that are remembered, an hour apart: two of each hour of the day."""
LEAST_PAIRS = 8
"""Observations from which anything is corrected: of fewer nobody can tell how long their errors last."""
CERTAIN = 2.0
"""Standard errors up to which a bias may be chance. Frozen on the development weeks of scenario S1."""
LATE = 6 * HOUR
"""Grid seconds for which an observation is waited for: carbon data come one to two hours late."""
BOTH_SIGNS = 0.5
"""Sum of predictions, as a share of their amounts, below which a factor means nothing: prices around 0."""
MOST = 4.0
"""Factor up to which a forecast is corrected either way; beyond, it is of another quantity or in another unit,
and is left out."""
PROPORTIONAL = (
    Quantity.ENERGY_PRICE,
    Quantity.CARBON_INTENSITY_AVERAGE,
    Quantity.CARBON_INTENSITY_MARGINAL,
    Quantity.SUPPLY_POWER,
)
"""Quantities whose forecasts err in proportion. A limit is never raised by a correction, a temperature has no 0."""
NOTICEABLE = 0.005
LEFT_OUT = 0.0
"""The factor of a forecast that says nothing."""
_OBSERVED = (Quality.MEASURED, Quality.ESTIMATED)

Pair = tuple[float, float]
"""(predicted, observed)."""


def factor_of(pairs: Sequence[Pair]) -> float:
    """What a forecast is multiplied with: the ratio of what came to what was said, as far as it is certain.

    The estimate is drawn towards 1 by its own noise (positive-part James-Stein shrinkage; Efron and Morris
    1973). Errors that last for hours count as fewer observations, by their correlation from hour to hour.
    `LEFT_OUT` where it is beyond `MOST` either way.
    """
    count = len(pairs)
    total, amount = sum(p for p, _ in pairs), sum(abs(p) for p, _ in pairs)
    if count < LEAST_PAIRS or total <= BOTH_SIGNS * amount or total <= 0:
        return 1.0
    ratio = sum(o for _, o in pairs) / total
    rest = [o - ratio * p for p, o in pairs]
    power = sum(row * row for row in rest)
    joint = sum(a * b for a, b in pairwise(rest))
    lasting = min(0.95, max(0.0, joint / power)) if power > 0 else 0.0
    variance = power / (count - 1) * count / total**2 * (1 + lasting) / (1 - lasting)
    bias, chance = ratio - 1, CERTAIN**2 * variance
    if bias * bias <= chance:
        return 1.0
    factor = 1 + bias - chance / bias
    return factor if 1 / MOST <= factor <= MOST else LEFT_OUT


@dataclass(slots=True)
class _Past:
    """What one forecast said of times to come, and of those that came."""

    said: dict[float, float] = field(default_factory=dict)
    """By begin of the slot."""
    last: float = float("-inf")
    """Grid seconds of the last observation that was compared."""
    pairs: deque[Pair] = field(default_factory=lambda: deque(maxlen=PAIRS))

    def note(self, forecast: Forecast, now: float) -> None:
        """Take down what is said of the times within the leads, once each."""
        slot = (now + LEADS[0]) // SLOT * SLOT + SLOT
        while slot <= now + LEADS[1]:
            value = forecast.at(slot)
            if value is not None:
                self.said.setdefault(slot, value)
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
            self.pairs.append((self.said[slot], reading.value))
            self.last = seen


class ForecastErrors:
    """Biases of all forecasts of a fleet, bounded whatever happens."""

    def __init__(self) -> None:
        self._past: dict[tuple[str, str], _Past] = {}
        self._seen = float("-inf")

    def corrected(self, snapshot: Snapshot) -> Snapshot:
        """Learn from a snapshot, and take known biases off its forecasts; called before a plan."""
        now = snapshot.grid_time
        if now < self._seen:
            self._past.clear()  # the clock was set back: what was said is of another time
        self._seen = now
        known: set[tuple[str, str]] = set()
        sites = tuple(self._site(site, now, known) for site in snapshot.sites)
        for gone in self._past.keys() - known:
            del self._past[gone]
        return replace(snapshot, sites=sites)

    def _site(self, site: SiteState, now: float, known: set[tuple[str, str]]) -> SiteState:
        signals = []
        for row in site.signals:
            if row.forecast is not None and row.quantity in PROPORTIONAL:
                seen = [
                    one.reading
                    for one in site.signals
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
                supply = replace(supply, forecast=_within(row, supply.capacity_watts))  # noqa: PLW2901
            supplies.append(supply)
        return replace(site, signals=tuple(signals), supplies=tuple(supplies))

    def _signal(
        self, key: tuple[str, str], row: SignalState, seen: list[Reading], now: float
    ) -> SignalState:
        past = self._past.setdefault(key, _Past())
        assert row.forecast is not None
        for reading in _observed(seen, now):
            past.observe(reading, now)
        past.note(row.forecast, now)
        factor = factor_of(past.pairs)
        if abs(factor - 1) < NOTICEABLE:
            return row
        return replace(row, forecast=scaled(row.forecast, factor))


def scaled(forecast: Forecast, factor: float) -> Forecast:
    """A forecast times a factor, which it says; without any steps where it is left out."""
    if factor == LEFT_OUT:
        return replace(forecast, points=(), end_time=forecast.issued_time, factor=LEFT_OUT)
    points = tuple(replace(point, value=point.value * factor) for point in forecast.points)
    return replace(forecast, points=points, factor=forecast.factor * factor)


def _within(row: SignalState, capacity_watts: int) -> SignalState:
    """Own supply never gives more than it has been built for."""
    forecast = row.forecast
    if forecast is None or capacity_watts <= 0 or forecast.factor <= 1:
        return row
    points = tuple(
        replace(point, value=min(point.value, float(capacity_watts))) for point in forecast.points
    )
    return replace(row, forecast=replace(forecast, points=points))


def _observed(readings: list[Reading], now: float) -> Iterator[Reading]:
    """Those that were seen, not held, assumed or forecast."""
    return (row for row in readings if usable(row, now) and row.quality in _OBSERVED)
