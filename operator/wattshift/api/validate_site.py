"""Semantic checks of a PowerSite alone: zone, signals, names, events. Neighbour: `validate.py`."""

from __future__ import annotations

from collections.abc import Iterator

from wattshift.api import findings as check
from wattshift.api.availability import EVENT_SOURCES
from wattshift.api.findings import Finding, SignalUse
from wattshift.api.powersite import PowerSite, PowerSiteSpec
from wattshift.api.reasons import SpecReason
from wattshift.api.signals import Quantity, SignalKind
from wattshift.api.site_events import EventReference, EventType


def _uses(spec: PowerSiteSpec) -> Iterator[SignalUse]:
    site_power = frozenset({Quantity.SITE_POWER})
    outdoor = frozenset({Quantity.OUTDOOR_TEMPERATURE})
    supply_power = frozenset({Quantity.SUPPLY_POWER})
    for connection in spec.connections:
        path = f"spec.connections[{connection.name}]"
        yield SignalUse(f"{path}.meterSignalName", connection.meter_signal_name, site_power)
        yield SignalUse(
            f"{path}.exportMeterSignalName", connection.export_meter_signal_name, site_power
        )
        yield SignalUse(
            f"{path}.uncontrolledLoadSignalName",
            connection.uncontrolled_load_signal_name,
            frozenset({Quantity.UNCONTROLLED_POWER}),
        )
    if (facility := spec.power.facility) is not None:
        path = "spec.power.facility"
        yield SignalUse(
            f"{path}.outdoorTemperatureSignalName",
            facility.outdoor_temperature_signal_name,
            outdoor,
        )
        yield SignalUse(
            f"{path}.facilityPowerSignalName", facility.facility_power_signal_name, site_power
        )
    for supply in spec.supplies:
        path = f"spec.supplies[{supply.name}]"
        yield SignalUse(f"{path}.powerSignalName", supply.power_signal_name, supply_power)
        yield SignalUse(
            f"{path}.availablePowerSignalName", supply.available_power_signal_name, supply_power
        )
        yield SignalUse(
            f"{path}.deliveredPowerSignalName", supply.delivered_power_signal_name, supply_power
        )
        yield SignalUse(
            f"{path}.forecastSignalName",
            supply.forecast_signal_name,
            supply_power,
            SignalKind.FORECAST,
        )
        if supply.storage is not None:
            yield SignalUse(
                f"{path}.storage.stateOfChargeSignalName",
                supply.storage.state_of_charge_signal_name,
                frozenset({Quantity.STATE_OF_CHARGE}),
            )
    if (cooling := spec.cooling) is not None:
        yield SignalUse(
            "spec.cooling.limitSignalName",
            cooling.limit_signal_name,
            frozenset({Quantity.COOLING_LIMIT_POWER}),
        )
        yield SignalUse(
            "spec.cooling.supplyTemperatureSignalName",
            cooling.supply_temperature_signal_name,
            frozenset({Quantity.SUPPLY_TEMPERATURE}),
        )
        yield SignalUse(
            "spec.cooling.outdoorTemperatureSignalName",
            cooling.outdoor_temperature_signal_name,
            outdoor,
        )
        yield SignalUse(
            "spec.cooling.leakSignalName",
            cooling.leak_signal_name,
            frozenset({Quantity.LEAK_STATE}),
        )


def _connections(spec: PowerSiteSpec) -> Iterator[Finding]:
    exist = [connection.name for connection in spec.connections]
    used = [(f"spec.clusters[{item.name}]", item.connection_name) for item in spec.clusters]
    used += [(f"spec.supplies[{item.name}]", item.connection_name) for item in spec.supplies]
    used += [(f"spec.events[{item.name}]", item.connection_name) for item in spec.events]
    used += [
        (f"spec.eventSources[{item.name}]", item.connection_name) for item in spec.event_sources
    ]
    for path, name in used:
        if name is not None:
            yield from check.names(
                [name],
                exist,
                SpecReason.CONNECTION_UNKNOWN,
                f"{path}.connectionName",
                "connection",
            )


def _events(spec: PowerSiteSpec) -> Iterator[Finding]:
    for event in spec.events:
        path = f"spec.events[{event.name}]"
        relative = event.type in {EventType.REDUCTION, EventType.INCREASE}
        if relative and event.reference is EventReference.ABSOLUTE:
            yield Finding(
                SpecReason.EVENT_NOT_SUPPORTED,
                f"{path}.reference",
                f"a {event.type} must say from what: use Baseline, PreEvent or FirmServiceLevel, "
                "or type Limit with Absolute",
            )
        length = (event.end_time - event.start_time).total_seconds()
        if sum(interval.duration_seconds for interval in event.intervals or ()) > length:
            yield Finding(
                SpecReason.INTERVALS_EXCEED_EVENT,
                f"{path}.intervals",
                f"the intervals are longer than the event ({length:.0f} s): "
                "shorten them or move endTime",
            )
    for source in spec.event_sources:
        if source.type not in EVENT_SOURCES:
            yield Finding(
                SpecReason.EVENT_SOURCE_NOT_AVAILABLE,
                f"spec.eventSources[{source.name}].type",
                f"event source {source.type} is not supported yet: remove it and write "
                "spec.events, or its orders would not be obeyed",
            )


def validate_site(site: PowerSite) -> Iterator[Finding]:
    """Faults of a PowerSite that schema and CEL cannot see."""
    spec = site.spec
    yield from check.zone(spec.location.time_zone, "spec.location.timeZone")
    yield from check.decimal_range(spec.location.latitude, "-90", "90", "spec.location.latitude")
    yield from check.decimal_range(
        spec.location.longitude, "-180", "180", "spec.location.longitude"
    )
    yield from check.signals(spec.signals)
    yield from check.signal_uses(_uses(spec), spec.signals)
    yield from _connections(spec)
    yield from _events(spec)
