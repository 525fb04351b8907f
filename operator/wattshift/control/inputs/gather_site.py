"""PowerSites as the snapshot has them: spec, signals, members, events, prices of their contracts.

Pure over what it is given; called by `gather.py` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from wattshift.adapters.base import SignalKey
from wattshift.api.powersite import PowerSiteSpec
from wattshift.api.site_power import Connection, LeakReaction
from wattshift.control.hub.keys import member_name
from wattshift.control.record.records import SiteRecord
from wattshift.core.contract.quote import PriceQuote
from wattshift.core.model import (
    AcceleratorState,
    ConnectionState,
    EventState,
    MemberPhase,
    MemberState,
    SiteState,
)
from wattshift.core.power.power_memory import Recent
from wattshift.core.signal import Reading, SignalState
from wattshift.core.units import Quantity
from wattshift.kube.views import MemberView

ReadingOf = Callable[[str | None], Reading | None]
"""Observation of a signal of the site by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOfPoint:
    """Contract of one connection: quote now, steps ahead, and its hard limit."""

    contract_name: str
    quote: PriceQuote
    ahead: tuple[tuple[float, PriceQuote], ...]
    maximum_watts: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteInputs:
    """All of one site besides its object."""

    states: Mapping[SignalKey, SignalState]
    views: Mapping[str, MemberView]
    prices: Mapping[str, PriceOfPoint]
    """By connection."""
    events: tuple[EventState, ...]
    recent_watts: Mapping[str, Recent | None] = field(default_factory=dict)
    """Lowest and highest committed power of the last minute, by connection."""


def site_state(
    static: SiteState, spec: PowerSiteSpec, record: SiteRecord, given: SiteInputs
) -> SiteState:
    """Fill the static part of a site (`convert.site_state`) with what is known now."""
    name = static.name

    def signal(signal_name: str | None) -> SignalState | None:
        if signal_name is None:
            return None
        return given.states.get(("PowerSite", name, signal_name))

    def reading(signal_name: str | None) -> Reading | None:
        found = signal(signal_name)
        return found.reading if found is not None else None

    connections = {row.name: row for row in spec.connections}
    supplies = {row.name: row for row in spec.supplies}
    emergency, left = _emergency(spec, reading)
    return replace(
        static,
        outdoor_temperature=_outdoor(spec, name, given, reading),
        connections=tuple(
            _connection(row, connections[row.name], given, reading) for row in static.connections
        ),
        supplies=tuple(
            replace(
                row,
                power=reading(
                    supplies[row.name].available_power_signal_name
                    or supplies[row.name].power_signal_name
                ),
                forecast=signal(supplies[row.name].forecast_signal_name),
            )
            for row in static.supplies
        ),
        accelerators=_accelerators(static, spec, given.views),
        events=given.events,
        members=_members(spec, name, record, given.views),
        signals=_signals(name, given.states),
        cooling_limit=reading(spec.cooling.limit_signal_name) if spec.cooling else None,
        emergency=emergency,
        emergency_watts=left,
    )


def _connection(
    static: ConnectionState, row: Connection, given: SiteInputs, reading: ReadingOf
) -> ConnectionState:
    price = given.prices.get(row.name)
    recent = given.recent_watts.get(row.name)
    return replace(
        static,
        contract_maximum_watts=price.maximum_watts if price is not None else None,
        metered=reading(row.meter_signal_name),
        uncontrolled=reading(row.uncontrolled_load_signal_name),
        price=price.quote if price is not None else None,
        price_ahead=price.ahead if price is not None else (),
        contract_name=price.contract_name if price is not None else "",
        least_watts=recent.least_watts if recent is not None else None,
        most_watts=recent.most_watts if recent is not None else None,
        over_watt_seconds=recent.over_watt_seconds if recent is not None else 0.0,
        lasting_watts=recent.lasting_watts if recent is not None else None,
    )


def _outdoor(
    spec: PowerSiteSpec, name: str, given: SiteInputs, reading: ReadingOf
) -> Reading | None:
    """The curve's own signal, else the site's first outdoor temperature by rank."""
    facility = spec.power.facility
    if facility is not None and facility.outdoor_temperature_signal_name is not None:
        return reading(facility.outdoor_temperature_signal_name)
    rows = [
        state
        for state in _signals(name, given.states)
        if state.quantity is Quantity.OUTDOOR_TEMPERATURE and state.reading is not None
    ]
    return rows[0].reading if rows else None


def _signals(name: str, states: Mapping[SignalKey, SignalState]) -> tuple[SignalState, ...]:
    rows = [state for key, state in states.items() if key[:2] == ("PowerSite", name)]
    return tuple(sorted(rows, key=lambda row: (row.quantity, row.rank, row.name)))


def _members(
    spec: PowerSiteSpec, name: str, record: SiteRecord, views: Mapping[str, MemberView]
) -> tuple[MemberState, ...]:
    default = spec.connections[0].name if len(spec.connections) == 1 else ""
    found = []
    for row in sorted(spec.clusters, key=lambda item: item.name):
        view = views.get(member_name(name, row.name))
        known = record.cluster_uid(row.name)
        phase = MemberPhase.CONNECTING if view is None else MemberPhase(view.state.value)
        message = "" if view is None else view.message
        if view is not None and known and view.uid and view.uid != known:
            phase, message = MemberPhase.LOST, "the cluster is another one than before"
        found.append(
            MemberState(
                name=row.name,
                uid=view.uid if view is not None else known,
                phase=phase,
                since_wall_time=view.since if view is not None else 0.0,
                age_seconds=view.age_seconds if view is not None else float("inf"),
                connection_name=row.connection_name or default,
                message=message,
            )
        )
    return tuple(found)


def _accelerators(
    static: SiteState, spec: PowerSiteSpec, views: Mapping[str, MemberView]
) -> tuple[AcceleratorState, ...]:
    """Allocatable devices where nodes may be read in every cluster, else the declared count."""
    seen: dict[str, int] = {}
    for row in spec.clusters:
        view = views.get(member_name(static.name, row.name))
        if view is None or view.allocatable is None:
            return static.accelerators
        for resource, count in view.allocatable.items():
            seen[resource] = seen.get(resource, 0) + count
    return tuple(
        replace(row, allocatable=seen.get(row.resource_name, 0)) for row in static.accelerators
    )


def _emergency(spec: PowerSiteSpec, reading: ReadingOf) -> tuple[str, int | None]:
    """A leak with the reaction Evacuate; what it leaves is nothing."""
    if spec.cooling is None or spec.cooling.leak_signal_name is None:
        return "", None
    leak = reading(spec.cooling.leak_signal_name)
    if leak is None or leak.value is None or leak.value <= 0:
        return "", None
    if spec.cooling.leak_reaction is LeakReaction.EVACUATE:
        return "coolant leak", 0
    return "", None
