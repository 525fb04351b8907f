"""Judges readings and members: what may be used, what counts as worst, who may be touched.

Unknown is never zero: a caller gets a value or the reason why there is none. The staleness rule of
a signal (`onStale`) was applied at the edge; only `AssumeWorst` is resolved here, because the worst
value of a quantity depends on the site. Neighbours: `core/signal.py`, `core/power/power.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.model import MemberPhase, MemberState, SiteState
from wattshift.core.reasons import Reason
from wattshift.core.signal import OnStale, Quality, Reading, SignalState
from wattshift.core.units import Quantity

_SECOND_HAND = (Quality.STALE, Quality.FALLBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A value to calculate with, or None with the reason."""

    value: float | None
    quality: Quality
    reason: Reason | None = None
    message: str = ""
    worst: bool = False
    """The value is the worst case, not an observation."""
    unit: str = ""
    """Of the reading that gave the value; signals of one quantity may differ in currency."""


def usable(reading: Reading | None, now: float) -> bool:
    """Whether a reading has a value that still holds at grid time `now`.

    A value with quality Stale or Fallback was allowed by its signal's `onStale` and is usable; a
    measured value past `valid_until` was not judged in time by its poller, and is not.
    """
    if reading is None or reading.value is None or reading.quality is Quality.UNKNOWN:
        return False
    if reading.quality in _SECOND_HAND:
        return True
    return reading.valid_until is None or now <= reading.valid_until


def value_of(reading: Reading | None, now: float) -> float | None:
    """The value when it is usable at `now`, else None."""
    return reading.value if reading is not None and usable(reading, now) else None


def judge(reading: Reading | None, now: float, what: str) -> Judged:
    """Value or reason for one reading; `what` names it for people."""
    if reading is not None and usable(reading, now):
        return Judged(
            value=reading.value,
            quality=reading.quality,
            message=reading.message,
            unit=reading.unit,
        )
    message = f"{what} is unknown"
    if reading is None:
        message = f"{what} is not measured"
    elif reading.message:
        message = f"{message}: {reading.message}"
    elif reading.value is not None and reading.valid_until is not None:
        message = f"{message}: its value expired {now - reading.valid_until:.0f} s ago"
    return Judged(value=None, quality=Quality.UNKNOWN, reason=Reason.SIGNALS_STALE, message=message)


def signal(site: SiteState, quantity: Quantity, now: float) -> Judged:
    """Best usable reading of a quantity: by rank, measured before held or fallback values.

    When none is usable and a signal of the quantity says AssumeWorst, the worst value of the
    quantity (`worst_value`) counts; with Ignore, or where there is no worst value, it is unknown.
    """
    rows = [row for row in site.signals if row.quantity is quantity and row.forecast is None]
    rows.sort(key=lambda row: (row.rank, row.name))
    usable_rows = [row for row in rows if usable(row.reading, now)]
    for row in usable_rows:
        if row.reading is not None and row.reading.quality not in _SECOND_HAND:
            return judge(row.reading, now, f"{quantity} ({row.name})")
    if usable_rows:
        return judge(usable_rows[0].reading, now, f"{quantity} ({usable_rows[0].name})")
    message = f"{quantity} of site {site.name} is not declared"
    if rows:
        message = judge(rows[0].reading, now, f"{quantity} ({rows[0].name})").message
    if any(row.on_stale is OnStale.ASSUME_WORST for row in rows):
        worst = worst_value(quantity, site, now)
        if worst is not None:
            return Judged(
                value=worst,
                quality=Quality.FALLBACK,
                reason=Reason.SIGNALS_STALE,
                message=f"{message}; assumes the worst, {worst:g}",
                worst=True,
            )
    return Judged(value=None, quality=Quality.UNKNOWN, reason=Reason.SIGNALS_STALE, message=message)


def worst_value(quantity: Quantity, site: SiteState, now: float) -> float | None:
    """What AssumeWorst means for a quantity; None where only the caller can bound it.

    Prices and carbon: the highest value of the site's own forecast from now on (the day's worst
    band); without a forecast unknown, so that nothing follows it. Supply, green share, state of
    charge: 0. Leak and UPS: the alarm, 1. Outdoor temperature: that of the facility curve's most
    expensive point. Cooling limit: the lowest forecast, else unknown, on which `core/survey/limits.py` lets
    nothing grow. Site and IT power: the model's upper bound, which `core/power/power.py` computes.
    """
    ahead = [
        point.value
        for row in site.signals
        if row.quantity is quantity and row.forecast is not None and row.forecast.end_time > now
        for point in _from_now(row, now)
    ]
    if quantity in (
        Quantity.ENERGY_PRICE,
        Quantity.CARBON_INTENSITY_AVERAGE,
        Quantity.CARBON_INTENSITY_MARGINAL,
    ):
        return max(ahead, default=None)
    if quantity in (Quantity.EXPORT_PRICE, Quantity.COOLING_LIMIT_POWER):
        return min(ahead, default=None)
    if quantity is Quantity.OUTDOOR_TEMPERATURE:
        if not site.facility:
            return None
        worst = max(site.facility, key=lambda point: (point.marginal_permille, point.fixed_watts))
        return worst.temperature_millicelsius / 1000
    if quantity in (Quantity.SUPPLY_POWER, Quantity.GREEN_SHARE, Quantity.STATE_OF_CHARGE):
        return 0.0
    if quantity in (Quantity.LEAK_STATE, Quantity.UPS_STATE):
        return 1.0
    return None


def _from_now(row: SignalState, now: float) -> tuple[_Point, ...]:
    forecast = row.forecast
    assert forecast is not None
    held = forecast.at(now)
    later = tuple(_Point(point.value) for point in forecast.points if point.start_time > now)
    return later if held is None else (_Point(held), *later)


@dataclass(frozen=True, slots=True)
class _Point:
    value: float


def member_of(site: SiteState, cluster_name: str) -> MemberState | None:
    """The member cluster of a site by name."""
    for member in site.members:
        if member.name == cluster_name:
            return member
    return None


def untouchable(member: MemberState | None) -> str:
    """Why nothing may be done on a member; empty = it may. Only a Ready member is acted on."""
    if member is None:
        return "the cluster is not a member of the site"
    if member.phase is MemberPhase.READY:
        return ""
    words = f"cluster {member.name} is {member.phase.value.lower()}"
    return f"{words}: {member.message}" if member.message else words
