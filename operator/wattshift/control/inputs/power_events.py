"""Power events of a site: resolved to absolute watts, frozen, and on record before anybody acts.

The record in PowerSite's status outlives the process: a PreEvent reduction keeps the reference that
was measured when it was first near, and an event whose end passed during a downtime is Completed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wattshift.control.hub.conditions import parse_utc
from wattshift.control.record.records import EventRecord, SiteRecord
from wattshift.core.model import EventState, Firmness, SiteState
from wattshift.core.survey.own_supply import is_supply_lost, own_supply_watts

NEAR_SECONDS = 3600.0
"""Grid seconds before the start from which an event is Near."""
KEPT_SECONDS = 3600.0
"""Grid seconds for which a finished event stays on record."""
MOST_ENDED = 32
"""Finished events that are kept on record at most."""
_FINAL = ("Completed", "Cancelled", "Superseded")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """One entry of `spec.events[]`, read from its document."""

    name: str
    type: str
    reference: str
    revision: int
    connection_name: str
    start_time: float
    end_time: float
    upper_watts: int | None
    lower_watts: int | None
    ramp_seconds: int
    firmness: Firmness
    contract_name: str
    program_name: str


def advance(
    record: SiteRecord,
    specs: Mapping[str, EventSpec],
    measured_watts: Mapping[str, int | None],
    now: float,
) -> SiteRecord:
    """Record of the site with every event brought up to `now`.

    Args:
        record: as it stands.
        specs: events of the spec by name.
        measured_watts: metered power by connection; "" is the whole site; None = unknown.
        now: grid time.
    """
    known = {row.name: row for row in record.active_events}
    rows: list[EventRecord] = []
    for name in sorted(known.keys() | specs.keys()):
        row, spec = known.get(name), specs.get(name)
        if spec is None:
            assert row is not None
            row = (
                row
                if row.state in _FINAL
                else replace(row, state="Cancelled", end_time=min(now, row.end_time))
            )
        else:
            row = _advance_one(row, spec, measured_watts, now)
        if now - row.end_time < KEPT_SECONDS or row.state not in _FINAL:
            rows.append(row)
    return replace(record, active_events=tuple(_fitting(rows)))


def _fitting(rows: list[EventRecord]) -> list[EventRecord]:
    """What status has room for: a writer of ever new names must not keep events from being recorded.

    The spec holds far fewer than that; of those that ended the latest are kept.
    """
    ended = sorted((row for row in rows if row.state in _FINAL), key=lambda row: -row.end_time)
    dropped = {row.name for row in ended[MOST_ENDED:]}
    return [row for row in rows if row.name not in dropped]


def _advance_one(
    row: EventRecord | None,
    spec: EventSpec,
    measured_watts: Mapping[str, int | None],
    now: float,
) -> EventRecord:
    # What the spec says now, whatever its revision: firmness may come from a contract that was read
    # later. Only what was measured, and when it came, is kept.
    frozen = None if row is None or _is_another(row, spec, now) else row.frozen_reference_watts
    row = EventRecord(
        name=spec.name,
        revision=spec.revision,
        state="Far",
        connection_name=spec.connection_name,
        start_time=spec.start_time,
        end_time=spec.end_time,
        firmness=spec.firmness.value,
        type=spec.type,
        reference=spec.reference,
        frozen_reference_watts=frozen,
        ramp_seconds=spec.ramp_seconds,
        contract_name=spec.contract_name,
        program_name=spec.program_name,
        received_time=row.received_time if row is not None else now,
    )
    state = _state(row, now)
    if frozen is None and state == "Active":
        # Every event keeps it: a reduction counts from it, and the way back ends at it. Measured at
        # the start, not before: shifting load ahead of an event must not lower the reference.
        frozen = measured_watts.get(spec.connection_name)
    upper, lower, message = bounds(spec, frozen)
    return replace(
        row,
        state=state,
        frozen_reference_watts=frozen,
        upper_watts=upper,
        lower_watts=lower,
        message=message,
    )


def _is_another(row: EventRecord, spec: EventSpec, now: float) -> bool:
    """Whether the name stands for another reduction by now, which counts from its own start.

    Put off to a later start, begun anew after it had ended, or at another connection. Judged by the
    spec, not by the state: a clock that steps back must not measure an event that runs.
    """
    if row.connection_name != spec.connection_name:
        return True
    moved = abs(row.start_time - spec.start_time) >= 1.0  # status keeps whole seconds
    return moved and (now < spec.start_time or row.state in _FINAL)


def bounds(spec: EventSpec, frozen_watts: int | None) -> tuple[int | None, int | None, str]:
    """Absolute upper and lower watts, and why they are unknown if they are.

    With a reference other than Absolute the spec's watts are the change from it: the lower ones of
    an Increase, the upper ones of everything else.
    """
    if spec.type == "Disconnect":
        return 0, None, ""
    if spec.upper_watts is None and spec.lower_watts is None:
        return None, None, "the event names no watts: intervals and levels are not computed yet"
    if spec.reference in ("Absolute", "FirmServiceLevel"):
        return spec.upper_watts, spec.lower_watts, ""
    if spec.reference == "PreEvent":
        if frozen_watts is None:
            return None, None, "the power at the start of the event is not known"
        given = (spec.lower_watts, spec.upper_watts)
        first, other = given if spec.type == "Increase" else reversed(given)
        change = (other or 0) if first is None else first
        if spec.type == "Increase":
            return None, frozen_watts + change, ""
        return max(0, frozen_watts - change), None, ""
    return None, None, f"reference {spec.reference} is not computed by this release"


def imports(site: SiteState, now: float) -> dict[str, int | None]:
    """Import by connection, and of the whole site under "": the meter's load less own supply.

    None = not metered, or a supply there can't be read now: a reference that is frozen without it
    would be too high for the whole event.
    """
    found: dict[str, int | None] = {}
    for row in site.connections:
        load = None if row.metered is None else row.metered.value
        if load is None or is_supply_lost(site, now, row.name):
            found[row.name] = None
            continue
        own = own_supply_watts(site, now, connection_name=row.name)
        found[row.name] = max(0, round(load - own))
    loads = [None if row.metered is None else row.metered.value for row in site.connections]
    known = [round(load) for load in loads if load is not None]
    whole = known and len(known) == len(loads) and not is_supply_lost(site, now)
    own = round(own_supply_watts(site, now))
    return {**found, "": max(0, sum(known) - own) if whole else None}


def states(record: SiteRecord) -> tuple[EventState, ...]:
    """What decisions see: events to come, active, and those that just ended (the way back)."""
    found = []
    for row in record.active_events:
        if row.state in ("Cancelled", "Superseded"):
            continue
        found.append(
            EventState(
                name=row.name,
                revision=row.revision,
                connection_name=row.connection_name,
                start_time=row.start_time,
                end_time=row.end_time,
                upper_watts=row.upper_watts,
                lower_watts=row.lower_watts,
                ramp_seconds=row.ramp_seconds,
                firmness=Firmness(row.firmness),
                active=row.state == "Active",
                frozen_reference_watts=row.frozen_reference_watts,
                program_name=row.program_name,
                unresolved_reason=row.message,
            )
        )
    return tuple(found)


def parse(document: Mapping[str, Any], firmness_of: Mapping[str, str]) -> dict[str, EventSpec]:
    """Events of a PowerSite's spec document (validated upstream).

    Args:
        document: the spec.
        firmness_of: firmness of programs by `contract/program`.
    """
    connections = [row["name"] for row in document.get("connections") or ()]
    default = connections[0] if len(connections) == 1 else ""
    found: dict[str, EventSpec] = {}
    for event in document.get("events") or ():
        program = event.get("program") or {}
        path = f"{program.get('contractName', '')}/{program.get('programName', '')}"
        firmness = event.get("firmness") or firmness_of.get(path) or Firmness.MANDATORY.value
        found[event["name"]] = EventSpec(
            name=event["name"],
            type=event["type"],
            reference=event["reference"],
            revision=int(event.get("revision") or 0),
            connection_name=event.get("connectionName") or default,
            start_time=_epoch(event["startTime"]),
            end_time=_epoch(event["endTime"]),
            upper_watts=event.get("upperWatts"),
            lower_watts=event.get("lowerWatts"),
            ramp_seconds=int(event.get("rampSeconds") or 0),
            firmness=Firmness(firmness),
            contract_name=program.get("contractName", ""),
            program_name=program.get("programName", ""),
        )
    return found


def _state(row: EventRecord, now: float) -> str:
    if now >= row.end_time:
        return "Completed"
    if now >= row.start_time:
        return "Active"
    return "Near" if row.start_time - now <= NEAR_SECONDS else "Far"


def _epoch(text: str) -> float:
    return parse_utc(text)
