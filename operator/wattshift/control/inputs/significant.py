"""Whether the world moved enough since the last plan to plan again before its interval ends.

Pure. A price, carbon, supply or limit that moved more than 2 %, a member that changed its state, an
event that began or ended, a workload that came or went.
"""

from __future__ import annotations

from wattshift.core.model import Snapshot
from wattshift.core.units import Quantity

CHANGE_RATIO = 0.02
_DRIVERS = frozenset(
    {
        Quantity.ENERGY_PRICE,
        Quantity.CARBON_INTENSITY_AVERAGE,
        Quantity.CARBON_INTENSITY_MARGINAL,
        Quantity.COOLING_LIMIT_POWER,
    }
)
"""Quantities whose step wakes the planner; supply and load move all the time and wait for the tick."""


def significant_change(before: Snapshot | None, now: Snapshot) -> str:
    """A short word for what changed, or an empty string."""
    if before is None:
        return ""
    if _events(before) != _events(now):
        return "event"
    if _members(before) != _members(now):
        return "member"
    if _workloads(before) != _workloads(now):
        return "workload"
    old, new = _values(before), _values(now)
    for key in old.keys() | new.keys():
        known, value = old.get(key), new.get(key)
        if (known is None) != (value is None):
            return "signal"
        if known is None or value is None:
            continue
        if abs(value - known) > CHANGE_RATIO * max(abs(value), abs(known)):
            return "signal"
    return ""


def _events(snapshot: Snapshot) -> set[tuple[str, str, int, bool]]:
    return {
        (site.name, event.name, event.revision, event.active)
        for site in snapshot.sites
        for event in site.events
    }


def _members(snapshot: Snapshot) -> set[tuple[str, str, str]]:
    return {
        (site.name, member.name, str(member.phase))
        for site in snapshot.sites
        for member in site.members
    }


def _workloads(snapshot: Snapshot) -> set[tuple[str, bool, str]]:
    return {(row.key, row.accepted, str(row.mode)) for row in snapshot.workloads}


def _values(snapshot: Snapshot) -> dict[tuple[str, str], float | None]:
    found: dict[tuple[str, str], float | None] = {}
    for site in snapshot.sites:
        for signal in site.signals:
            if signal.quantity in _DRIVERS and signal.reading is not None:
                found[(site.name, signal.name)] = signal.reading.value
        for connection in site.connections:
            price = connection.price.up.energy if connection.price is not None else None
            found[(site.name, f"price/{connection.name}")] = None if price is None else float(price)
    return found
