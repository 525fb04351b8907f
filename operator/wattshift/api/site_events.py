"""Power events of a PowerSite: orders and requests of the grid, written by people or received.

`events[]` is a map by name, so that each writer owns its own. What was received and acted on lives
in status (`activeEvents`), written before acting.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import LocalName, ObjectName, PositiveSeconds, Seconds, Text, Time, Watts
from wattshift.api.endpoints import HttpEndpoint
from wattshift.api.lists import list_atomic
from wattshift.api.rules import Rule, before, ordered, present, union

_INT32 = {"format": "int32"}


class EventType(StrEnum):
    """What the grid asks for."""

    LIMIT = "Limit"
    REDUCTION = "Reduction"
    INCREASE = "Increase"
    SETPOINT = "Setpoint"
    LEVEL = "Level"
    FREQUENCY_ARM = "FrequencyArm"
    DISCONNECT = "Disconnect"


class EventReference(StrEnum):
    """What the watts of an event are counted from."""

    ABSOLUTE = "Absolute"
    BASELINE = "Baseline"
    PRE_EVENT = "PreEvent"
    FIRM_SERVICE_LEVEL = "FirmServiceLevel"


class Firmness(StrEnum):
    """How binding an event is; an event without a program is Mandatory."""

    MANDATORY = "Mandatory"
    COMMITTED = "Committed"
    VOLUNTARY = "Voluntary"


class EventPurpose(StrEnum):
    """Whether the grid is in need, or only tests."""

    REAL = "Real"
    TEST = "Test"


class ProgramRef(ApiModel):
    """A program of an EnergyContract."""

    atomic = True

    contract_name: ObjectName
    """contractName is the EnergyContract."""
    program_name: LocalName
    """programName is the program there."""


class EventInterval(ApiModel):
    """Bounds of one part of an event."""

    rules = (ordered("lower_watts", "upper_watts"),)

    duration_seconds: PositiveSeconds
    """durationSeconds is the length; intervals follow each other from the start of the event."""
    lower_watts: Watts | None = None
    """lowerWatts is the lower bound."""
    upper_watts: Watts | None = None
    """upperWatts is the upper bound."""


_REDUCES = {EventType.LIMIT, EventType.REDUCTION}


class PowerEvent(ApiModel):
    """An order or a request that changes the allowed power for a time."""

    atomic = True

    rules = (
        before("start_time", "end_time"),
        ordered("lower_watts", "upper_watts"),
        Rule(
            cel="self.type in ['FrequencyArm', 'Disconnect', 'Level'] "
            "|| has(self.lowerWatts) || has(self.upperWatts) || has(self.intervals)",
            message="set upperWatts, lowerWatts or intervals: this type of event needs watts",
            check=lambda self: (
                self.type in {EventType.FREQUENCY_ARM, EventType.DISCONNECT, EventType.LEVEL}
                or any(present(self, name) for name in ("lower_watts", "upper_watts", "intervals"))
            ),
        ),
        Rule(
            cel="self.type != 'Limit' || has(self.upperWatts) || has(self.intervals)",
            message="type Limit needs upperWatts or intervals",
            check=lambda self: (
                self.type is not EventType.LIMIT
                or present(self, "upper_watts")
                or present(self, "intervals")
            ),
        ),
        Rule(
            cel="(self.type == 'Level') == has(self.level)",
            message="type Level needs level, and only Level takes it",
            check=lambda self: (self.type is EventType.LEVEL) == present(self, "level"),
        ),
    )

    name: LocalName
    """name is unique in the site; the writer owns it."""
    type: EventType
    """type is what is asked for."""
    reference: EventReference
    """reference is what the watts are counted from; a reduction must say from what."""
    connection_name: LocalName | None = None
    """connectionName is the connection it is about; absent = the whole site."""
    start_time: Time
    """startTime is when it begins."""
    end_time: Time
    """endTime is when it ends."""
    lower_watts: Watts | None = None
    """lowerWatts is the least power; of an Increase the watts to add to the reference."""
    upper_watts: Watts | None = None
    """upperWatts is the most power; of a Reduction the watts to take off the reference."""
    intervals: Annotated[list[EventInterval], list_atomic(96, 1)] | None = None
    """intervals replace the two bounds by a sequence of them."""
    level: Annotated[int, Field(strict=True, ge=0, le=10, json_schema_extra=_INT32)] | None = None
    """level is the level of a Level event; the program says what it means."""
    firmness: Firmness | None = None
    """firmness is how binding it is; absent = the program's, else Mandatory."""
    purpose: EventPurpose = EventPurpose.REAL
    """purpose is Real or Test."""
    ramp_seconds: Seconds | None = None
    """rampSeconds is the time in which the bound must be reached after the start."""
    recovery_seconds: Seconds | None = None
    """recoverySeconds is the time over which load may return after the end."""
    randomization_seconds: Seconds | None = None
    """randomizationSeconds is the longest random delay of start and end; absent = none."""
    revision: Annotated[int, Field(strict=True, ge=0, le=1_000_000, json_schema_extra=_INT32)] = 0
    """revision grows with every change of the sender."""
    opt_deadline_time: Time | None = None
    """optDeadlineTime is until when one may decline."""
    program: ProgramRef | None = None
    """program is the contract's program it belongs to."""
    requested_by: Text | None = None
    """requestedBy is who asked, for the record."""


class EventSourceType(StrEnum):
    """Protocols that bring events."""

    OPEN_ADR3 = "OpenADR3"
    OPEN_ADR2B = "OpenADR2b"
    DSX_FLEX = "DSXFlex"
    VPP_NOTICE = "VPPNotice"


class EventEndpoint(HttpEndpoint):
    """A server that sends events."""

    registration_name: Text | None = None
    """registrationName is our name there (VEN name, resource, feed)."""
    program_name: Text | None = None
    """programName is the server's name of the program; absent = all it offers."""
    poll_period_seconds: Annotated[
        int, Field(strict=True, ge=1, le=86_400, json_schema_extra=_INT32)
    ] = 30
    """pollPeriodSeconds is the time between two requests."""


class EventSource(ApiModel):
    """Where events come from besides `events[]`."""

    atomic = True

    rules = (
        union(
            OpenADR3="open_adr3",
            OpenADR2b="open_adr2b",
            DSXFlex="dsx_flex",
            VPPNotice="vpp_notice",
        ),
    )

    name: LocalName
    """name is unique in the site."""
    type: EventSourceType
    """type is the protocol."""
    connection_name: LocalName | None = None
    """connectionName is the connection its events are about; absent = the whole site."""
    program: ProgramRef | None = None
    """program is the contract's program of its events; absent = they are Mandatory."""
    open_adr3: EventEndpoint | None = None
    """openADR3 is an OpenADR 3.1 VTN."""
    open_adr2b: EventEndpoint | None = None
    """openADR2b is an OpenADR 2.0b VTN."""
    dsx_flex: EventEndpoint | None = None
    """dsxFlex is a DSX Flex service: a load target per feed."""
    vpp_notice: EventEndpoint | None = None
    """vppNotice is the notice service of a virtual power plant; a person confirms bids."""
