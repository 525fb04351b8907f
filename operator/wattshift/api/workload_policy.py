"""Policy of a FlexibleWorkload: how flexible it is, what it promises, where users are, how it lets go."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import (
    Amount,
    Count,
    LocalName,
    Milliseconds,
    ObjectName,
    Permille,
    Port,
    PositiveSeconds,
    Replicas,
    Seconds,
    Time,
)
from wattshift.api.endpoints import SignalRef
from wattshift.api.lists import list_map, list_set
from wattshift.api.rules import ordered, union

_INT32 = {"format": "int32"}


class Posture(StrEnum):
    """Kind of task: a preset of what absent fields mean; the effective values are in status."""

    INTERACTIVE = "Interactive"
    NEAR_REAL_TIME = "NearRealTime"
    BATCH = "Batch"
    EMBEDDING = "Embedding"
    FINE_TUNING = "FineTuning"
    TRAINING = "Training"
    SCIENTIFIC = "Scientific"


class TotalReplicas(ApiModel):
    """Bounds of the sum over all placements."""

    rules = (ordered("min", "max"),)

    min: Replicas | None = None
    """min is the least sum; 0 only where batch.dispatch is External."""
    max: Replicas | None = None
    """max is the greatest sum."""


class Tier(StrEnum):
    """Throughput that may be lost in committed events: 0, 10, 25, 50 %."""

    FIRM = "Firm"
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class ActionType(StrEnum):
    """Kinds of actions that the workload allows."""

    SCALE = "Scale"
    PAUSE = "Pause"
    MIGRATE = "Migrate"
    SHIFT_TRAFFIC = "ShiftTraffic"


class Flexibility(ApiModel):
    """What may be done to the workload, and how often."""

    tier: Tier
    """tier is the throughput that may be lost: Firm 0, Low 10, Medium 25, High 50 %."""
    actions: Annotated[list[ActionType], list_set(4)] = Field(default_factory=list)
    """actions that are allowed; absent = Scale."""
    min_dwell_seconds: Seconds | None = None
    """minDwellSeconds is the least time between two changes for savings, what was lowered may be
    lowered further; absent = by posture."""
    max_moves_per_day: Count | None = None
    """maxMovesPerDay is how many times a day (UTC) the whole load may change clusters for savings, parts
    added up; absent = by posture."""
    max_pause_seconds: Seconds | None = None
    """maxPauseSeconds is the longest pause; absent = by posture."""
    max_drain_seconds: Seconds | None = None
    """maxDrainSeconds is the longest wait for requests to end; absent = by posture."""


class ObjectiveMetric(StrEnum):
    """What users notice."""

    TIME_TO_FIRST_TOKEN = "TimeToFirstToken"  # noqa: S105
    INTER_TOKEN_LATENCY = "InterTokenLatency"  # noqa: S105
    REQUEST_LATENCY = "RequestLatency"
    QUEUE_TIME = "QueueTime"


class Objective(ApiModel):
    """A latency objective: a share of requests under a threshold."""

    metric: ObjectiveMetric
    """metric is what is measured."""
    threshold_milliseconds: Annotated[
        int, Field(strict=True, ge=1, le=86_400_000, json_schema_extra=_INT32)
    ]
    """thresholdMilliseconds is the latency that counts as good."""
    attainment_permille: Annotated[
        int, Field(strict=True, ge=500, le=999, json_schema_extra=_INT32)
    ] = 950
    """attainmentPermille is the share of good requests, in thousandths."""
    window_seconds: Annotated[
        int, Field(strict=True, ge=60, le=86_400, json_schema_extra=_INT32)
    ] = 600
    """windowSeconds is the time over which the share is judged."""


Objectives = Annotated[list[Objective], list_map("metric", max_items=4)]


class Model(ApiModel):
    """A model that the workload serves."""

    name: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")
    ]
    """name as requests name it."""
    adapter_names: Annotated[list[LocalName], list_set(32)] = Field(default_factory=list)
    """adapterNames are its LoRA adapters."""
    objectives: Objectives = Field(default_factory=list)
    """objectives of this model; absent = those of the workload."""


class Origin(ApiModel):
    """Where users are."""

    name: LocalName
    """name is an origin of `originLatencies` of the sites."""
    share_permille: Permille
    """sharePermille is the share of requests from there."""
    max_round_trip_milliseconds: Milliseconds | None = None
    """maxRoundTripMilliseconds is the longest network round trip: a hard limit."""


class TrafficType(StrEnum):
    """How requests are split among placements."""

    NONE = "None"
    HTTP_ROUTE = "HTTPRoute"
    VLLM_ROUTER = "VLLMRouter"


class HttpRouteTraffic(ApiModel):
    """A Gateway API HTTPRoute whose weights are set."""

    placement_name: LocalName
    """placementName is the placement in whose cluster the route is."""
    name: ObjectName
    """name of the HTTPRoute, in the workload's namespace."""


class VllmRouterTraffic(ApiModel):
    """A vllm-router whose workers are set."""

    placement_name: LocalName
    """placementName is the placement in whose cluster the router is."""
    service_name: ObjectName
    """serviceName of the router, in the workload's namespace."""
    port: Port
    """port of the router."""


class Traffic(ApiModel):
    """How requests are split among placements."""

    atomic = True

    rules = (union(HTTPRoute="http_route", VLLMRouter="vllm_router"),)

    type: TrafficType
    """type is HTTPRoute, VLLMRouter, or None (the entry follows ready pods by itself)."""
    http_route: HttpRouteTraffic | None = None
    """httpRoute is the route of HTTPRoute."""
    vllm_router: VllmRouterTraffic | None = None
    """vllmRouter is the router of VLLMRouter."""


class DemandType(StrEnum):
    """Where demand is read."""

    ENGINE_METRICS = "EngineMetrics"
    SITE_SIGNAL = "SiteSignal"


class Demand(ApiModel):
    """Where demand is read."""

    atomic = True

    rules = (union(SiteSignal="site_signal"),)

    type: DemandType
    """type is EngineMetrics, or SiteSignal (BacklogUnits)."""
    site_signal: SignalRef | None = None
    """siteSignal is the signal of SiteSignal."""
    queue_signal: SignalRef | None = None
    """queueSignal counts requests that wait at the gateway (BacklogUnits): no engine sees them."""


class DispatchType(StrEnum):
    """Who holds work while replicas are zero."""

    NONE = "None"
    EXTERNAL = "External"


class Dispatch(ApiModel):
    """Who holds and retries work."""

    atomic = True

    type: DispatchType
    """type is External (somebody holds and retries the work) or None."""


class Batch(ApiModel):
    """Work that has a deadline instead of a waiting user."""

    backlog: SignalRef | None = None
    """backlog is the BacklogUnits signal; unknown = the workload runs."""
    deadline_time: Time | None = None
    """deadlineTime is when the backlog must be done."""
    tokens_per_unit: Amount | None = None
    """tokensPerUnit are the output tokens of one unit of backlog: with them the speed of a replica is
    known from its power profile until the backlog has shown it; 0 or absent = not known."""
    dispatch: Dispatch
    """dispatch is who holds and retries work."""


class StatefulType(StrEnum):
    """Whether conversations live in a process."""

    NONE = "None"
    ENGINE = "Engine"


class CheckpointType(StrEnum):
    """Whether finished work survives a stop."""

    NONE = "None"
    EXTERNAL = "External"


class DataBoundary(ApiModel):
    """Where data may go; it refuses placements and never selects one."""

    atomic = True

    allowed_region_names: Annotated[
        list[Annotated[str, Field(min_length=2, max_length=32)]], list_set(32, 1)
    ]
    """allowedRegionNames are the regions of sites that are allowed."""


class ReleaseType(StrEnum):
    """What happens to replicas when wattshift lets go."""

    RESTORE = "Restore"
    ORPHAN = "Orphan"


class Release(ApiModel):
    """How wattshift lets go of the workload."""

    atomic = True

    type: ReleaseType
    """type is Restore (the counts that were found) or Orphan (leave them as they are)."""
    deadline_seconds: PositiveSeconds | None = None
    """deadlineSeconds after which the finalizer goes anyway, with a warning; absent = 1800."""
