"""Values as status shows them: rounded, as strings, times as RFC 3339 with an offset. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

from wattshift.api.site_status import SignalQuality, SignalStatus
from wattshift.core.signal import Quality, SignalKind, SignalState

_SIGNIFICANT_DIGITS = 4
_LARGEST = 1e12


def decimal_text(value: float | None) -> str | None:
    """Plain decimal with four significant digits; None for what is not a finite number."""
    if value is None or not math.isfinite(value) or abs(value) >= _LARGEST:
        return None
    if value == 0:
        return "0"
    digits = _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value)))
    rounded = round(Decimal(repr(value)), min(digits, 9))
    text = format(rounded, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def utc_time(epoch_seconds: float) -> datetime:
    """Whole seconds with an offset, as API models want times."""
    return datetime.fromtimestamp(math.floor(epoch_seconds), UTC)


def signal_status(state: SignalState) -> SignalStatus:
    """Row of `status.signals` for one signal."""
    if state.kind is SignalKind.FORECAST:
        quality = SignalQuality.UNKNOWN if state.forecast is None else SignalQuality.FORECAST
        reading = state.reading
        return SignalStatus(
            name=state.name,
            quality=quality,
            reason=(reading.reason or None) if reading is not None else None,
        )
    reading = state.reading
    if reading is None:
        return SignalStatus(name=state.name, quality=SignalQuality.UNKNOWN, reason="NotObserved")
    value = None if reading.quality is Quality.UNKNOWN else decimal_text(reading.value)
    source_time = reading.source_time
    return SignalStatus(
        name=state.name,
        value=value,
        unit=reading.unit if value is not None else None,
        source_time=utc_time(source_time) if source_time is not None and value else None,
        quality=SignalQuality(reading.quality.value),
        reason=reading.reason or None,
    )
