"""Which faults are in force, and what they do to a value that a policy is shown.

Sites and quantities by name; truth is never changed here except that a lost site serves nothing.
Neighbours: `plant.py` (losses), `observed.py` (signals).
"""

from __future__ import annotations

import math
from functools import lru_cache

from wattshift.sim.scenario import Fault, FaultKind, Scenario

SPIKE_FACTOR = 10.0
"""What a spike multiplies with where the fault names no factor."""


def active(fault: Fault, now: float) -> bool:
    """Whether a fault is in force at scenario second `now`."""
    return fault.start_seconds <= now < fault.start_seconds + fault.duration_seconds


@lru_cache(maxsize=64)
def _by_kind(faults: tuple[Fault, ...], kind: FaultKind) -> tuple[Fault, ...]:
    return tuple(row for row in faults if row.kind is kind)


def _sites(scenario: Scenario, kind: FaultKind, now: float) -> frozenset[int]:
    if not scenario.faults:
        return frozenset()
    rows = _by_kind(scenario.faults, kind)
    names = {row.site_name for row in rows if active(row, now)}
    if not names:
        return frozenset()
    return frozenset(i for i, site in enumerate(scenario.sites) if site.name in names)


def lost_sites(scenario: Scenario, now: float) -> frozenset[int]:
    """Sites that are lost: nothing runs there."""
    return _sites(scenario, FaultKind.SITE_LOSS, now)


def unreachable_sites(scenario: Scenario, now: float) -> frozenset[int]:
    """Sites whose cluster takes no orders and tells nothing."""
    return _sites(scenario, FaultKind.MEMBER_DOWN, now) | lost_sites(scenario, now)


def of_signal(scenario: Scenario, site_name: str, quantity: str, now: float) -> tuple[Fault, ...]:
    """Faults in force on one quantity of one site; an empty site name means every site."""
    if not scenario.faults:
        return ()
    return tuple(
        row
        for row in scenario.faults
        if _concerns(row, quantity)
        and row.site_name in ("", site_name)
        and row.kind not in (FaultKind.MEMBER_DOWN, FaultKind.SITE_LOSS)
        and active(row, now)
    )


def _concerns(fault: Fault, quantity: str) -> bool:
    if fault.kind is FaultKind.METER_LIES:
        return quantity == "Power"
    return fault.quantity == quantity


def distorted(value: float, faults: tuple[Fault, ...]) -> float:
    """What the source says instead of `value`: NaN, negative, multiplied."""
    for fault in faults:
        match fault.kind:
            case FaultKind.NAN:
                value = math.nan
            case FaultKind.NEGATIVE:
                value = -abs(value) * (fault.factor or 1.0)
            case FaultKind.SPIKE:
                value *= fault.factor if fault.factor != 1.0 else SPIKE_FACTOR
            case FaultKind.BIAS | FaultKind.METER_LIES:
                value *= fault.factor
            case _:
                pass
    return value


def silent(faults: tuple[Fault, ...]) -> Fault | None:
    """The fault that keeps new values from coming: Stale or Missing."""
    for fault in faults:
        if fault.kind in (FaultKind.STALE, FaultKind.MISSING):
            return fault
    return None
