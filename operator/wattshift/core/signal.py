"""Readings with provenance: a value or the reason why it is unknown, never a silent zero.

Built at the edge by `adapters/poller.py`; judged by `core/freshness.py`. Times are epoch seconds
on the *grid* clock (`control/clock.py`). Values are floats in the canonical unit of the quantity
(`core/units.py`): W, g/kWh, currency/kWh, ratio 0..1, degC, state, count.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wattshift.core.units import Quantity


class Quality(StrEnum):
    """How far a reading can be trusted."""

    MEASURED = "Measured"
    ESTIMATED = "Estimated"
    FORECAST = "Forecast"
    FALLBACK = "Fallback"
    """The signal was stale and its `onStale` gave this value."""
    STALE = "Stale"
    """Last good value, held past its validity because `onStale` says Hold."""
    UNKNOWN = "Unknown"


class SignalKind(StrEnum):
    """Observation of now, or forecast of later."""

    OBSERVATION = "Observation"
    FORECAST = "Forecast"


class OnStale(StrEnum):
    """What a signal that is too old counts as."""

    HOLD = "Hold"
    USE_FALLBACK = "UseFallback"
    ASSUME_WORST = "AssumeWorst"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of one signal, or `value=None` with the reason why there is none."""

    value: float | None
    unit: str
    """Canonical unit, or the price unit of the source's currency per kWh."""
    source_time: float | None
    received_time: float | None
    valid_until: float | None
    quality: Quality
    reason: str = ""
    """Reason constant when unknown, stale or replaced (`core/reasons.py`)."""
    message: str = ""
    source: str = ""
    """Where it came from, for people: `prometheus https://scada.example`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPoint:
    """Value that holds from `start_time` until the next point."""

    start_time: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Steps ahead, ordered in time; `issued_time` lets a reader judge its age."""

    issued_time: float
    end_time: float
    points: tuple[ForecastPoint, ...]
    source: str = ""
    factor: float = 1.0
    """What its values were multiplied with for its errors of late; 0 = it was left out
    (`core/planner/forecast_errors.py`)."""
    weight: float = 1.0
    """How far it was believed after that: 0 = the present value holds."""

    def at(self, time: float) -> float | None:
        """Value of the step that holds at `time`; None outside of the forecast."""
        if not self.points or time < self.points[0].start_time or time >= self.end_time:
            return None
        value = self.points[0].value
        for point in self.points:
            if point.start_time > time:
                break
            value = point.value
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalState:
    """One declared signal as the snapshot sees it."""

    name: str
    quantity: Quantity
    kind: SignalKind
    rank: int
    on_stale: OnStale
    reading: Reading | None = None
    """The observation after the staleness rule; None for a forecast."""
    forecast: Forecast | None = None
