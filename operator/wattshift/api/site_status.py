"""Status of a PowerSite: a rounded summary, plus what must survive a restart (`activeEvents`).

Written at most once a minute and only on a change; telemetry never goes through it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import (
    Conditions,
    DecimalText,
    Generation,
    LocalName,
    Message,
    ReasonName,
    SignedWatts,
    Text,
    Time,
    Uid,
    UnitName,
    Watts,
)
from wattshift.api.lists import list_map
from wattshift.api.site_events import EventReference, EventType, Firmness, ProgramRef

_INT32 = {"format": "int32"}
GridClockSpeed = Annotated[int, Field(strict=True, ge=1, le=100_000, json_schema_extra=_INT32)]


class ClusterState(StrEnum):
    """State of the connection to a cluster."""

    CONNECTING = "Connecting"
    READY = "Ready"
    DEGRADED = "Degraded"
    LOST = "Lost"


class ClusterStatus(ApiModel):
    """State of one cluster."""

    name: LocalName
    """name is the name in spec."""
    uid: Uid | None = None
    """uid is the UID of kube-system there: the identity of the cluster."""
    state: ClusterState
    """state is Connecting, Ready, Degraded or Lost."""
    since_time: Time | None = None
    """sinceTime is when the state began."""
    reason: ReasonName | None = None
    """reason is one word for why."""
    message: Message | None = None
    """message says for people what is the case."""


class BindingLimit(StrEnum):
    """Which limit is the tightest now."""

    IT_CAPACITY = "ItCapacity"
    CONNECTION = "Connection"
    CONTRACT = "Contract"
    EVENT = "Event"
    COOLING = "Cooling"
    RAMP = "Ramp"


class SitePowerStatus(ApiModel):
    """Power of the site, rounded."""

    it_watts: Watts | None = None
    """itWatts is the IT power, measured or estimated."""
    facility_watts: Watts | None = None
    """facilityWatts is the power of the whole site."""
    limit_watts: Watts | None = None
    """limitWatts is the tightest limit of facility power now."""
    binding_limit: BindingLimit | None = None
    """bindingLimit says which limit that is."""
    headroom_watts: SignedWatts | None = None
    """headroomWatts is the limit less the power; negative = above the limit."""
    green_supply_watts: Watts | None = None
    """greenSupplyWatts is the power of the site's own green supplies."""
    quality: ReasonName | None = None
    """quality is Measured or Estimated."""


class SignalQuality(StrEnum):
    """How far a reading can be trusted."""

    MEASURED = "Measured"
    ESTIMATED = "Estimated"
    FORECAST = "Forecast"
    FALLBACK = "Fallback"
    STALE = "Stale"
    UNKNOWN = "Unknown"


class SignalStatus(ApiModel):
    """Last reading of a signal, rounded."""

    name: LocalName
    """name is the name in spec."""
    value: DecimalText | None = None
    """value is the reading in `unit`; absent = unknown."""
    unit: UnitName | None = None
    """unit is the unit of the value."""
    source_time: Time | None = None
    """sourceTime is the source's time of the value."""
    quality: SignalQuality
    """quality is how far the reading can be trusted."""
    reason: ReasonName | None = None
    """reason is why it is unknown, stale or replaced."""


class EventState(StrEnum):
    """Life of an event."""

    INVITED = "Invited"
    BID = "Bid"
    AWARDED = "Awarded"
    FAR = "Far"
    NEAR = "Near"
    ACTIVE = "Active"
    RECOVERING = "Recovering"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"
    SUPERSEDED = "Superseded"


class Authenticity(StrEnum):
    """How it is known who sent an event."""

    MANUAL = "Manual"
    TRANSPORT = "Transport"
    SIGNED = "Signed"


class ActiveEvent(ApiModel):
    """An event as it was received; written before anything is done about it."""

    name: LocalName
    """name is the name of the event in spec, or the sender's identifier."""
    source_name: LocalName | None = None
    """sourceName is the event source; absent = spec.events."""
    revision: Annotated[int, Field(strict=True, ge=0, le=1_000_000, json_schema_extra=_INT32)] = 0
    """revision is the sender's revision."""
    state: EventState
    """state is where the event is in its life."""
    type: EventType
    """type is what is asked for."""
    reference: EventReference
    """reference is what the watts are counted from."""
    firmness: Firmness
    """firmness is how binding it is, resolved."""
    connection_name: LocalName | None = None
    """connectionName is the connection it is about."""
    start_time: Time
    """startTime is when it begins."""
    end_time: Time
    """endTime is when it ends."""
    lower_watts: Watts | None = None
    """lowerWatts is the absolute lower bound, resolved."""
    upper_watts: Watts | None = None
    """upperWatts is the absolute upper bound, resolved."""
    frozen_watts: Watts | None = None
    """frozenWatts is the power before the event, frozen for PreEvent and the baseline."""
    ramp_seconds: (
        Annotated[int, Field(strict=True, ge=0, le=86_400, json_schema_extra=_INT32)] | None
    ) = None
    """rampSeconds is the time in which the bound must be reached."""
    authenticity: Authenticity | None = None
    """authenticity is Manual (spec.events), Transport (TLS and credential) or Signed."""
    received_time: Time | None = None
    """receivedTime is when it was first seen."""
    program: ProgramRef | None = None
    """program is the contract's program."""
    message: Text | None = None
    """message says for people what is done about it."""


class SiteShadowPrices(ApiModel):
    """What the last plan would pay, per hour, in the reporting currency."""

    facility_kilowatt_hour: DecimalText | None = None
    """facilityKilowattHour is the value of one more kWh of allowed facility energy."""
    green_kilowatt_hour: DecimalText | None = None
    """greenKilowattHour is the value of one more green kWh."""
    peak_kilowatt: DecimalText | None = None
    """peakKilowatt is the value of one kW less of demand peak."""


class PowerSiteSummary(ApiModel):
    """Strings for the printer columns."""

    power: Text | None = None
    """power is the facility power, such as 3.12 MW."""
    limit: Text | None = None
    """limit is the tightest limit and its name, such as 4.00 MW Event."""
    green: Text | None = None
    """green is the green power now, such as 1.20 MW 38 %."""
    events: Text | None = None
    """events are the active events."""
    clusters: Text | None = None
    """clusters are the clusters that are ready, such as 2/2."""
    price: Text | None = None
    """price is the marginal price now."""
    carbon: Text | None = None
    """carbon is the carbon intensity now."""


class PowerSiteStatus(ApiModel):
    """What wattshift sees and does at the site."""

    conditions: Conditions = Field(default_factory=list)
    """conditions are Accepted, Ready, SignalsFresh, ClustersConnected, CoolingHealthy, WithinLimit."""
    observed_generation: Generation | None = None
    """observedGeneration is the generation of the spec that was judged."""
    grid_clock_speed: GridClockSpeed | None = None
    """gridClockSpeed is present in a replay only: how fast the grid clock runs."""
    clusters: Annotated[list[ClusterStatus], list_map("name", max_items=16)] = Field(
        default_factory=list
    )
    """clusters are the connections to the clusters."""
    power: SitePowerStatus | None = None
    """power is the power of the site, rounded."""
    signals: Annotated[list[SignalStatus], list_map("name", max_items=32)] = Field(
        default_factory=list
    )
    """signals are the last readings."""
    active_events: Annotated[list[ActiveEvent], list_map("name", max_items=64)] = Field(
        default_factory=list
    )
    """activeEvents are the events that are known, until an hour after their end."""
    shadow_prices: SiteShadowPrices | None = None
    """shadowPrices are those of the last plan."""
    summary: PowerSiteSummary | None = None
    """summary are strings for people."""
