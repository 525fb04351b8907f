"""From what is held of a signal to its `SignalState` at a time: staleness and the `onStale` rule.

Pure. Times are grid seconds. Unknown stays unknown with its cause, it never becomes a zero.
Neighbours: `poller.py` fills `Held`, `core/freshness.py` judges the result.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from wattshift.adapters.base import SignalConfig
from wattshift.adapters.checks import Accepted, Refusal, canonical_unit
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import (
    Forecast,
    ForecastPoint,
    OnStale,
    Quality,
    Reading,
    SignalKind,
    SignalState,
)
from wattshift.core.units import UnitError, to_canonical

FALLBACK_HORIZON_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Steps in the canonical unit; `None` marks a gap."""

    starts: tuple[float, ...]
    values: tuple[float | None, ...]
    end_time: float
    issued_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the poller holds of one signal."""

    last: Accepted | None = None
    estimated: bool = False
    curve: Curve | None = None
    received_time: float | None = None
    refusal: Refusal | None = None
    """Why the newest answer was not taken; None after a good one."""
    endpoint: str = ""
    always_valid: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    value: float
    source_time: float
    valid_until: float
    quality: Quality
    reason: str = ""


def state_at(config: SignalConfig, held: Held, now: float) -> SignalState:
    """The signal as the snapshot sees it at `now`."""
    if config.kind is SignalKind.FORECAST:
        return _forecast_state(config, held, now)
    found = _find(config, held, now)
    if found is not None and now < found.valid_until:
        reading = _reading(config, held, found, quality=found.quality, reason=found.reason)
        return _state(config, reading=reading)
    return _state(config, reading=_replace(config, held, found, now))


def _find(config: SignalConfig, held: Held, now: float) -> _Found | None:
    if held.last is not None:
        quality = Quality.ESTIMATED if held.estimated else Quality.MEASURED
        if held.always_valid:
            return _Found(held.last.value, held.last.source_time, float("inf"), quality)
        until = held.last.source_time + config.stale_after_seconds
        return _Found(held.last.value, held.last.source_time, until, quality)
    if held.curve is None:
        return None
    return _on_curve(config, held.curve, now, always_valid=held.always_valid)


def _on_curve(
    config: SignalConfig, curve: Curve, now: float, *, always_valid: bool
) -> _Found | None:
    """The step that holds now; in a gap, or after the end, the last known one while it is young."""
    index = bisect_right(curve.starts, now) - 1
    inside = index >= 0 and now < curve.end_time
    value = curve.values[index] if index >= 0 else None
    if inside and value is not None:
        following = curve.starts[index + 1] if index + 1 < len(curve.starts) else curve.end_time
        until = following if always_valid else curve.starts[index] + config.stale_after_seconds
        return _Found(value, curve.starts[index], max(until, following), Quality.MEASURED)
    if always_valid:
        return None
    while index >= 0 and (value := curve.values[index]) is None:
        index -= 1
    if index < 0 or value is None:
        return None
    start = curve.starts[index]
    return _Found(
        value,
        start,
        start + config.stale_after_seconds,
        Quality.ESTIMATED,
        SourceReason.GAP_FILLED,
    )


def _cause(config: SignalConfig, held: Held, found: _Found | None, now: float) -> Refusal:
    """Why there is no fresh value."""
    if held.refusal is not None:
        return held.refusal
    if found is not None:
        return Refusal(
            SourceReason.STALE,
            f"{now - found.source_time:.0f} s old, valid for {config.stale_after_seconds:g} s",
        )
    if held.received_time is None:
        return Refusal(SourceReason.NOT_YET_READ, "not read yet")
    return Refusal(SourceReason.NO_DATA, "the source has no value for now")


def _replace(config: SignalConfig, held: Held, found: _Found | None, now: float) -> Reading:
    """What a stale or unknown signal counts as."""
    cause = _cause(config, held, found, now)
    why = f"{cause.reason}: {cause.message}"
    match config.on_stale:
        case OnStale.HOLD if found is not None:
            return _reading(
                config, held, found, quality=Quality.STALE, reason=SourceReason.STALE_HELD, why=why
            )
        case OnStale.USE_FALLBACK:
            value = _fallback(config)
            reason = SourceReason.FALLBACK_MISSING if value is None else SourceReason.STALE_FALLBACK
            quality = Quality.UNKNOWN if value is None else Quality.FALLBACK
            return _unknown(config, held, found, reason, why, value=value, quality=quality)
        case OnStale.ASSUME_WORST:
            return _unknown(config, held, found, SourceReason.STALE_ASSUME_WORST, why)
        case _:
            return _unknown(config, held, found, cause.reason, cause.message)


def _fallback(config: SignalConfig) -> float | None:
    if config.fallback_value is None:
        return None
    try:
        return to_canonical(config.quantity, config.fallback_value, config.unit)
    except UnitError:
        return None


def _reading(
    config: SignalConfig,
    held: Held,
    found: _Found,
    *,
    quality: Quality,
    reason: str = "",
    why: str = "",
) -> Reading:
    return Reading(
        value=found.value,
        unit=canonical_unit(config),
        source_time=found.source_time,
        received_time=held.received_time,
        valid_until=None if found.valid_until == float("inf") else found.valid_until,
        quality=quality,
        reason=reason,
        message=why,
        source=held.endpoint,
    )


def _unknown(
    config: SignalConfig,
    held: Held,
    found: _Found | None,
    reason: str,
    message: str,
    *,
    value: float | None = None,
    quality: Quality = Quality.UNKNOWN,
) -> Reading:
    return Reading(
        value=value,
        unit=canonical_unit(config),
        source_time=None if found is None else found.source_time,
        received_time=held.received_time,
        valid_until=None,
        quality=quality,
        reason=reason,
        message=message,
        source=held.endpoint,
    )


def _forecast_state(config: SignalConfig, held: Held, now: float) -> SignalState:
    """The steps ahead; without a usable forecast the reading says why."""
    curve = held.curve
    cause: Refusal | None
    if curve is None:
        cause = _cause(config, held, None, now)
    elif curve.end_time <= now:
        cause = Refusal(SourceReason.FORECAST_ENDED, "its last step lies in the past")
    elif not held.always_valid and now - curve.issued_time >= config.stale_after_seconds:
        cause = held.refusal or Refusal(
            SourceReason.STALE, f"issued {now - curve.issued_time:.0f} s ago"
        )
    else:
        cause = None
    if curve is not None and (
        cause is None
        or (config.on_stale is OnStale.HOLD and cause.reason is not SourceReason.FORECAST_ENDED)
    ):
        forecast = _forecast(curve, now, held.endpoint)
        if forecast is not None:
            return _state(config, forecast=forecast)
        cause = Refusal(SourceReason.NO_DATA, "no step of the forecast has a value")
    assert cause is not None
    reading = _replace_forecast(config, held, cause)
    if reading.value is None:
        return _state(config, reading=reading)
    flat = Forecast(
        issued_time=now,
        end_time=now + FALLBACK_HORIZON_SECONDS,
        points=(ForecastPoint(start_time=now, value=reading.value),),
        source="fallbackValue",
    )
    return _state(config, reading=reading, forecast=flat)


def _replace_forecast(config: SignalConfig, held: Held, cause: Refusal) -> Reading:
    bare = Held(refusal=cause, received_time=held.received_time, endpoint=held.endpoint)
    return _replace(config, bare, None, 0.0)


def _forecast(curve: Curve, now: float, source: str) -> Forecast | None:
    """Steps from the one that holds now on; a gap is bridged by the step before it."""
    first = max(0, bisect_right(curve.starts, now) - 1)
    points = tuple(
        ForecastPoint(start_time=start, value=value)
        for start, value in zip(curve.starts[first:], curve.values[first:], strict=True)
        if value is not None
    )
    if not points:
        return None
    return Forecast(
        issued_time=curve.issued_time, end_time=curve.end_time, points=points, source=source
    )


def _state(
    config: SignalConfig, *, reading: Reading | None = None, forecast: Forecast | None = None
) -> SignalState:
    return SignalState(
        name=config.name,
        quantity=config.quantity,
        kind=config.kind,
        rank=config.rank,
        on_stale=config.on_stale,
        reading=reading,
        forecast=forecast,
    )
