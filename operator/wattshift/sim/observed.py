"""Signals as a policy sees them: late, possibly faulty, judged by the operator's staleness rules.

A refused or missing value leaves the last good one, which ages; past its validity `onStale` holds.
Mirrors `adapters/checks.py` and `adapters/states.py` in the canonical unit. Neighbours:
`forecasts.py` (what was issued), `faults.py`, `world.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wattshift.core.signal import (
    Forecast,
    OnStale,
    Quality,
    Reading,
    SignalKind,
    SignalState,
)
from wattshift.core.units import Quantity
from wattshift.sim.faults import distorted, of_signal, silent
from wattshift.sim.forecasts import Issue, Issuer, to_core
from wattshift.sim.scenario import Fault, Scenario

SPIKE_FACTOR = 10.0
_SIGNED = frozenset(
    {
        Quantity.ENERGY_PRICE,
        Quantity.EXPORT_PRICE,
        Quantity.OUTDOOR_TEMPERATURE,
        Quantity.SITE_POWER,
    }
)
_NO_SPIKES = frozenset({Quantity.OUTDOOR_TEMPERATURE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One signal of one site."""

    name: str
    quantity: Quantity
    fault_name: str
    """`Fault.quantity` that concerns it."""
    unit: str
    on_stale: OnStale
    stale_after_seconds: float


class Gauge:
    """Last good value of one signal and what it counts as now."""

    def __init__(self, config: Config, start_time: float) -> None:
        self.config = config
        self._start = start_time
        self._value: float | None = None
        self._source_time = 0.0
        self._received = 0.0
        self._refusal = ""
        self._pending: tuple[float, float] | None = None
        self._reading: Reading | None = None
        self._key: object = None

    def offer(self, value: float, source_time: float, now: float) -> None:
        """A new value at the edge, both times in scenario seconds."""
        refusal = self._refused(value, source_time)
        self._refusal = refusal
        if not refusal:
            self._value, self._source_time, self._received = value, source_time, now
            self._pending = None

    def _refused(self, value: float, source_time: float) -> str:
        config = self.config
        if math.isnan(value):
            return "NotANumber"
        if math.isinf(value) or not abs(value) < 1e12:
            return "NotFinite"
        if value < 0 and config.quantity not in _SIGNED:
            return "Negative"
        last = self._value
        if last is None or config.quantity in _NO_SPIKES or not _jump(value, last):
            return ""
        pending, self._pending = self._pending, (value, source_time)
        if pending is not None and pending[1] != source_time and not _jump(value, pending[0]):
            return ""
        return "SpikeUnconfirmed"

    def missing(self, reason: str) -> None:
        """The source gave nothing."""
        self._refusal = reason

    def reading(self, now: float) -> Reading:
        """The observation after the staleness rule."""
        fresh = (
            self._value is not None and now < self._source_time + self.config.stale_after_seconds
        )
        key = (self._value, self._source_time, fresh, "" if fresh else self._refusal)
        if self._reading is None or key != self._key:
            self._key = key
            self._reading = self._fresh() if fresh else self._stale()
        return self._reading

    def _fresh(self) -> Reading:
        until = self._source_time + self.config.stale_after_seconds
        return self._make(self._value, Quality.MEASURED, until=until)

    def _stale(self) -> Reading:
        cause = self._refusal or ("NotYetRead" if self._value is None else "Stale")
        if self.config.on_stale is OnStale.HOLD and self._value is not None:
            return self._make(self._value, Quality.STALE, reason="StaleHeld", message=cause)
        reason = "StaleAssumeWorst" if self.config.on_stale is OnStale.ASSUME_WORST else cause
        return self._make(None, Quality.UNKNOWN, reason=reason, message=cause)

    def _make(
        self,
        value: float | None,
        quality: Quality,
        *,
        until: float | None = None,
        reason: str = "",
        message: str = "",
    ) -> Reading:
        known = self._value is not None
        return Reading(
            value=value,
            unit=self.config.unit,
            source_time=self._start + self._source_time if known else None,
            received_time=self._start + self._received if known else None,
            valid_until=None if until is None else self._start + until,
            quality=quality,
            reason=reason,
            message=message,
            source="simulated",
        )


def _jump(value: float, last: float) -> bool:
    """More than ten times as large or as small; from zero every value is possible."""
    if last == 0.0:
        return False
    return abs(value) > SPIKE_FACTOR * abs(last) or abs(value) < abs(last) / SPIKE_FACTOR


class Observed:
    """One site signal with its observation and its forecast."""

    def __init__(self, scenario: Scenario, site_name: str, config: Config, issuer: Issuer) -> None:
        self.config = config
        self._scenario = scenario
        self._site = site_name
        self._issuer = issuer
        self._gauge = Gauge(config, scenario.start_time)
        self._step: tuple[float, tuple[Fault, ...]] | None = None
        self._issue: Issue | None = None
        self._factor = 1.0
        self._forecast: Forecast | None = None
        self._states: tuple[SignalState, ...] = ()
        self._shown: tuple[Reading | None, Forecast | None] = (None, None)

    def update(self, now: float) -> tuple[SignalState, ...]:
        """Observation, and forecast where there is one, at scenario second `now`."""
        faults = of_signal(self._scenario, self._site, self.config.fault_name, now)
        quiet = silent(faults)
        if quiet is not None:
            self._gauge.missing("SourceUnreachable" if quiet.kind == "Missing" else "")
        else:
            self._observe(now, faults)
            self._look_ahead(now, faults)
        reading = self._gauge.reading(now)
        if (
            self._forecast is not None
            and self._forecast.end_time <= now + self._scenario.start_time
        ):
            self._forecast = None
        if self._shown != (reading, self._forecast) or not self._states:
            self._shown = (reading, self._forecast)
            self._states = self._make(reading)
        return self._states

    @property
    def forecast(self) -> Forecast | None:
        """The forecast as last issued."""
        return self._forecast

    @property
    def reading(self) -> Reading | None:
        """The observation as of the last update."""
        return self._shown[0]

    def _observe(self, now: float, faults: tuple[Fault, ...]) -> None:
        seen = self._issuer.seen(now)
        if seen is None:
            self._gauge.missing("NotYetRead")
            return
        key = (seen[0], faults)
        if key == self._step:
            return
        self._step = key
        self._gauge.offer(distorted(float(seen[1][0]), faults), seen[0], now)

    def _look_ahead(self, now: float, faults: tuple[Fault, ...]) -> None:
        issue = self._issuer.issue(now)
        factor = distorted(1.0, faults)
        if issue is None or math.isnan(factor):
            return
        if factor < 0 and self.config.quantity not in _SIGNED:
            return
        if issue is not self._issue or factor != self._factor:
            self._issue, self._factor = issue, factor
            self._forecast = to_core(
                issue, 0, self._scenario.start_time, f"simulated {self.config.name}", factor
            )

    def _make(self, reading: Reading) -> tuple[SignalState, ...]:
        config = self.config
        state = SignalState(
            name=config.name,
            quantity=config.quantity,
            kind=SignalKind.OBSERVATION,
            rank=0,
            on_stale=config.on_stale,
            reading=reading,
        )
        if self._forecast is None:
            return (state,)
        ahead = SignalState(
            name=f"{config.name}-forecast",
            quantity=config.quantity,
            kind=SignalKind.FORECAST,
            rank=1,
            on_stale=config.on_stale,
            forecast=self._forecast,
        )
        return (state, ahead)
