"""Tightest power bounds of a connection now, how hard each is, and which one binds.

Order of truths (architecture.md 1): physical > mandatory > committed > latency > voluntary. A
harder bound clips a softer one that contradicts it; at equal hardness the upper bound wins. A
bound that is in force but cannot be resolved stops growth: an event never fails open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from wattshift.core.freshness import value_of
from wattshift.core.model import ConnectionState, EventState, Firmness, SiteState
from wattshift.core.power.watts import FacilityTerms
from wattshift.core.reasons import Reason
from wattshift.core.survey.own_supply import own_supply_watts
from wattshift.core.survey.rebound import recovery_watts


class Hardness(IntEnum):
    """Lower is harder."""

    PHYSICAL = 0
    MANDATORY = 1
    COMMITTED = 2
    VOLUNTARY = 3


_HARDNESS = {
    Firmness.MANDATORY: Hardness.MANDATORY,
    Firmness.COMMITTED: Hardness.COMMITTED,
    Firmness.VOLUNTARY: Hardness.VOLUNTARY,
}

COOLING_RESERVE = 0.04
"""Share of a cooling limit that plans and growth leave free: weather takes from it, and load grows, until
the next plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One limit in facility watts at a connection."""

    name: str
    """`feed`, `contract`, `cooling`, `it`, `emergency`, `event NAME`, `ramp NAME`."""
    hardness: Hardness
    reason: Reason
    upper_watts: float | None = None
    lower_watts: float | None = None
    whole_site: bool = False
    """It binds the sum over the site's connections: the watts of the others are taken off already,
    so what is shed at one of them counts for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """Own supply, which load draws before it imports."""

    site_watts: float
    here_watts: float
    """Behind the connection in question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLimits:
    """All bounds of one connection, and the tightest of them after clipping."""

    bounds: tuple[Bound, ...]
    upper: Bound | None
    """Tightest upper bound; its `upper_watts` is set."""
    lower: Bound | None
    frozen: str = ""
    """Why nothing may grow here although no bound is known; empty = it may."""
    notes: tuple[str, ...] = ()
    """Contradictions between bounds, and which of the two gave way."""
    recovery: tuple[Bound, ...] = ()
    """What events that have ended leave for a while: growth stops there, nothing is shed for it."""
    reserve: Bound | None = None
    """What growth leaves free of a cooling limit, where the limit itself is in `bounds`."""

    @property
    def upper_watts(self) -> float | None:
        """Tightest upper bound, None = unbounded."""
        return None if self.upper is None else self.upper.upper_watts

    @property
    def lower_watts(self) -> float | None:
        """Highest lower bound, None = unbounded."""
        return None if self.lower is None else self.lower.lower_watts

    def upper_at(self, hardness: Hardness) -> Bound | None:
        """Tightest upper bound among those at least as hard."""
        rows = [
            row for row in self.bounds if row.hardness <= hardness and row.upper_watts is not None
        ]
        return min(rows, key=_by_upper, default=None)

    @property
    def binding(self) -> str:
        """Name of the tightest bound, for people and status."""
        if self.upper is not None:
            return self.upper.name
        return self.lower.name if self.lower is not None else ""


def limits_of(
    site: SiteState,
    connection: ConnectionState | None,
    terms: FacilityTerms,
    now: float,
    *,
    other_watts: float = 0.0,
    lead_seconds: float = 0.0,
) -> FeedLimits:
    """Bounds of one connection at grid time `now`.

    Args:
        site: with events, cooling limit, IT capacity and emergency, which bind the site as a whole.
        connection: None for a site without connections.
        terms: facility curve at the present temperature, to turn IT watts into facility watts.
        now: grid seconds.
        other_watts: power of the site's other connections, taken off the site-wide bounds.
        lead_seconds: events that start within this time count already (the planner prepares).
    """
    bounds: list[Bound] = []
    frozen: list[str] = []
    reserve: Bound | None = None
    name = None if connection is None else connection.name
    own = _Own(
        site_watts=own_supply_watts(site, now, lead_seconds),
        here_watts=own_supply_watts(site, now, lead_seconds, connection_name=name),
    )
    if site.emergency:
        left = float(site.emergency_watts or 0) - other_watts
        bounds.append(_physical("emergency", Reason.EMERGENCY, left, whole_site=True))
    if site.it_capacity_watts is not None:
        watts = terms.fixed_watts + terms.marginal * site.it_capacity_watts - other_watts
        bounds.append(_physical("it", Reason.SITE_LIMIT, watts, whole_site=True))
    if site.cooling_limit is not None:
        cooling = value_of(site.cooling_limit, now)
        if cooling is None:
            frozen.append("the cooling limit is unknown")
        else:
            # what can be cooled is IT power; what the fans and chillers draw comes on top
            watts = terms.fixed_watts + terms.marginal * cooling - other_watts
            full = _physical("cooling", Reason.COOLING_LIMIT, watts, whole_site=True)
            watts -= terms.marginal * cooling * COOLING_RESERVE
            less = _physical("cooling", Reason.COOLING_LIMIT, watts, whole_site=True)
            reserve = None if lead_seconds > 0 else less
            bounds.append(less if lead_seconds > 0 else full)
    if connection is not None:
        if connection.import_limit_watts is not None:
            watts = float(connection.import_limit_watts) + own.here_watts
            bounds.append(_physical("feed", Reason.SITE_LIMIT, watts))
        if connection.contract_maximum_watts is not None:
            watts = float(connection.contract_maximum_watts) + own.here_watts
            bounds.append(
                Bound(
                    name="contract",
                    hardness=Hardness.MANDATORY,
                    reason=Reason.SITE_LIMIT,
                    upper_watts=watts,
                )
            )
    for event in site.events:
        if connection is not None and event.connection_name not in ("", connection.name):
            continue
        bound, why = _event_bound(site, event, now, lead_seconds)
        if bound is not None:
            bounds.append(_at(event, bound, own, other_watts))
        if why:
            frozen.append(why)
    limits = _clip(bounds, "; ".join(frozen))
    recovery = _recovery(site, connection, now, own, other_watts)
    return replace(limits, recovery=recovery, reserve=reserve)


def _at(event: EventState, bound: Bound, own: _Own, other_watts: float) -> Bound:
    """What the bound of an event on the import leaves to the load of one connection.

    Own supply is drawn before anything is imported. Of an event without a connection it counts
    wherever it is, and the other connections use up their part.
    """
    whole = not event.connection_name
    more = own.site_watts if whole else own.here_watts
    more -= other_watts if whole else 0.0
    upper, lower = bound.upper_watts, bound.lower_watts
    return replace(
        bound,
        upper_watts=None if upper is None else max(0.0, upper + more),
        lower_watts=None if lower is None else max(0.0, lower + more),
        whole_site=whole,
    )


def _recovery(
    site: SiteState,
    connection: ConnectionState | None,
    now: float,
    own: _Own,
    other_watts: float,
) -> tuple[Bound, ...]:
    """After an event power stays at what it was before it (`core/survey/rebound.py`)."""
    found = []
    for event in site.events:
        if connection is not None and event.connection_name not in ("", connection.name):
            continue
        ramp = 0.0
        if site.ramp_up_watts_per_minute and event.upper_watts is not None:
            rise = (event.frozen_reference_watts or 0) - event.upper_watts
            ramp = 60.0 * max(0, rise) / site.ramp_up_watts_per_minute
        watts = recovery_watts(event, site.events, now, ramp_seconds=ramp)
        if watts is None:
            continue
        bound = Bound(
            name=f"recovery {event.name}",
            # the way back is part of the program, but no floor is broken for it
            hardness=max(Hardness.COMMITTED, _HARDNESS[event.firmness]),
            reason=Reason.REBOUND_LIMIT,
            upper_watts=watts,
        )
        found.append(_at(event, bound, own, other_watts))
    return tuple(found)


def _physical(name: str, reason: Reason, watts: float, *, whole_site: bool = False) -> Bound:
    return Bound(
        name=name,
        hardness=Hardness.PHYSICAL,
        reason=reason,
        upper_watts=max(0.0, watts),
        whole_site=whole_site,
    )


def _event_bound(
    site: SiteState, event: EventState, now: float, lead_seconds: float
) -> tuple[Bound | None, str]:
    """Bound of an event, or the words why it only freezes growth.

    The whole bound holds from the start: `ramp_seconds` is the time we are given, not a path to
    follow, since drains take most of it. After the end the bound opens along the site's ramp, or
    over the event's own ramp back to the power before it.
    """
    hardness = _HARDNESS[event.firmness]
    if event.active or now <= event.start_time <= now + lead_seconds:
        if event.upper_watts is None and event.lower_watts is None:
            reference = event.frozen_reference_watts
            why = event.unresolved_reason or "no bound is given"
            words = f"event {event.name} is in force and unresolved ({why})"
            if reference is None:
                return None, words
            return _event(event, hardness, float(reference), None), ""
        lower = None if event.lower_watts is None or not event.active else float(event.lower_watts)
        upper = None if event.upper_watts is None else float(event.upper_watts)
        return _event(event, hardness, upper, lower), ""
    elapsed = now - event.end_time
    if elapsed < 0 or event.upper_watts is None:
        return None, ""
    opened: float | None = None
    if site.ramp_up_watts_per_minute:
        opened = event.upper_watts + site.ramp_up_watts_per_minute * elapsed / 60
    elif event.ramp_seconds > elapsed and event.frozen_reference_watts is not None:
        rise = event.frozen_reference_watts - event.upper_watts
        opened = event.upper_watts + rise * elapsed / event.ramp_seconds
    if opened is None or (
        event.frozen_reference_watts is not None and opened >= event.frozen_reference_watts
    ):
        return None, ""
    bound = Bound(
        name=f"ramp {event.name}",
        hardness=Hardness.VOLUNTARY,
        reason=Reason.RAMP_LIMIT,
        upper_watts=opened,
    )
    return bound, ""


def _event(
    event: EventState, hardness: Hardness, upper: float | None, lower: float | None
) -> Bound:
    return Bound(
        name=f"event {event.name}",
        hardness=hardness,
        reason=Reason.EVENT_LIMIT if upper is not None else Reason.EVENT_FLOOR,
        upper_watts=upper,
        lower_watts=lower,
    )


def _by_upper(bound: Bound) -> tuple[float, int, str]:
    assert bound.upper_watts is not None
    return (bound.upper_watts, bound.hardness, bound.name)


def _clip(bounds: list[Bound], frozen: str) -> FeedLimits:
    """Merge from hard to soft: lowest upper, highest lower, contradictions to the harder bound."""
    upper: Bound | None = None
    lower: Bound | None = None
    kept: list[Bound] = []
    notes: list[str] = []
    for bound in sorted(bounds, key=lambda row: (row.hardness, row.name)):
        top, bottom = bound.upper_watts, bound.lower_watts
        floor = None if lower is None else lower.lower_watts
        if top is not None and floor is not None and lower is not None and top < floor:
            if lower.hardness < bound.hardness:
                notes.append(
                    f"{bound.name}: upper {top:.0f} W yields to {lower.name} {floor:.0f} W"
                )
                top = floor
            else:
                notes.append(
                    f"{lower.name}: lower {floor:.0f} W yields to {bound.name} {top:.0f} W"
                )
                lower = replace(lower, lower_watts=top)
        clipped = bound if top == bound.upper_watts else replace(bound, upper_watts=top)
        if top is not None and (upper is None or _by_upper(clipped) < _by_upper(upper)):
            upper = clipped
        if bottom is not None:
            ceiling = None if upper is None else upper.upper_watts
            if ceiling is not None and upper is not None and bottom > ceiling:
                notes.append(
                    f"{bound.name}: lower {bottom:.0f} W yields to {upper.name} {ceiling:.0f} W"
                )
                bottom = ceiling
            clipped = replace(clipped, lower_watts=bottom)
            if lower is None or lower.lower_watts is None or bottom > lower.lower_watts:
                lower = clipped
        kept.append(clipped)
    return FeedLimits(
        bounds=tuple(kept), upper=upper, lower=lower, frozen=frozen, notes=tuple(notes)
    )
