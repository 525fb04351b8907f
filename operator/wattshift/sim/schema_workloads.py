"""Workloads, their demand and batch work in a scenario file. Resolved by `load_workloads.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wattshift.core.engine import Metric
from wattshift.core.model import Allowed, Posture, Tier
from wattshift.sim.schema_base import FileModel, Name, NotNegative, Positive, Whole, one_of
from wattshift.sim.schema_series import ForecastSpec, Interpolation, Series
from wattshift.sim.schema_sites import Repeat


class Fold(StrEnum):
    """How a trace becomes a pattern that repeats."""

    NONE = "None"
    """The series covers the scenario as it is."""
    MEAN_DAY = "MeanDay"
    """The mean over its days, repeated."""
    MEAN_WEEK = "MeanWeek"
    """The mean over its weeks, repeated; its first day counts as a Monday."""


class LatencyClass(FileModel):
    """A part of every origin's demand with its own limit on the round trip."""

    name: Name
    """name that is added to the origin's: tokyo-60."""
    share: Annotated[float, Field(gt=0, le=1)]
    """share of the origin's demand."""
    max_round_trip_milliseconds: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """maxRoundTripMilliseconds is the longest round trip; absent = any."""


class PeakSize(FileModel):
    """Demand sized so that `replicas` are headRoom x an origin's own peak."""

    replicas: Annotated[int, Field(ge=1, le=100_000)]
    """replicas that one site of the workload can have."""
    head_room: Annotated[float, Field(ge=0.01, le=100)]
    """headRoom is capacity over the origin's own peak: 1.5."""


class DemandSize(FileModel):
    """How much the shape means: exactly one of the three."""

    own_peak: PeakSize | None = None
    """ownPeak fits each origin's peak to a number of replicas."""
    mean_tokens_per_second: NotNegative | None = None
    """meanTokensPerSecond of an origin of weight 1."""
    tokens_per_unit: Positive | None = None
    """tokensPerUnit multiplies the shape, such as output tokens per request."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, "own_peak", "mean_tokens_per_second", "tokens_per_unit")
        return self


class DemandNoise(FileModel):
    """Seeded deviation of demand from its pattern; the scenario's seed draws it."""

    relative_standard_deviation: Annotated[float, Field(ge=0, le=1)]
    """relativeStandardDeviation as a share of the pattern."""
    correlation_seconds: Positive = 3600.0
    """correlationSeconds is the time in which it forgets itself."""


class DemandSpec(FileModel):
    """Demand of a workload at each of its origins."""

    shape: Series
    """shape over time; unit Count: its size is told by `size`."""
    fold: Fold = Fold.NONE
    """fold is None, MeanDay or MeanWeek."""
    bin_seconds: Annotated[int, Field(ge=60, le=86400)] = 3600
    """binSeconds is the width of the means of a folded trace; it divides a day."""
    interpolation: Interpolation = Interpolation.LINEAR
    """interpolation between bins of a folded trace: Hold or Linear."""
    local_time: bool = True
    """localTime shifts the pattern to each origin's local time, with daylight saving."""
    weekend_factor: Positive = 1.0
    """weekendFactor multiplies local Saturdays and Sundays."""
    size: DemandSize
    """size says how much it is."""
    noise: DemandNoise | None = None
    """noise is the seeded deviation."""
    patterns: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """patterns is how many different draws a repeated workload shares; absent = one each."""
    forecast: ForecastSpec | None = None
    """forecast of demand; absent = HourOfDay."""


class PlacementSpec(FileModel):
    """Where the workload may run."""

    site_name: str
    """siteName is a site, or `*` for all of them."""
    profile_name: str
    """profileName is a replica table, of this file or shipped."""
    min_replicas: Whole = 0
    """minReplicas that always stay."""
    max_replicas: Whole
    """maxReplicas that may run."""
    initial_replicas: Whole | None = None
    """initialReplicas at the start; absent = what the nearest origins need then."""


class RandomPlacements(FileModel):
    """A drawn choice of sites, for large fleets."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    """count of sites that are drawn for each workload."""
    seed: Whole = 0
    """seed of the draw."""
    profile_name: str
    """profileName is a replica table."""
    min_replicas: Whole = 0
    """minReplicas that always stay."""
    max_replicas: Whole
    """maxReplicas that may run at each."""


class RandomOrigins(FileModel):
    """A drawn choice of origins, for large fleets."""

    count: Annotated[int, Field(ge=1, le=1000)]
    """count of origins that are drawn for each workload."""
    seed: Whole = 0
    """seed of the draw."""


class ObjectiveSpec(FileModel):
    """A latency objective."""

    metric: Metric
    """metric is TimeToFirstToken, InterTokenLatency or EndToEndLatency."""
    threshold_milliseconds: Annotated[int, Field(ge=1, le=86_400_000)]
    """thresholdMilliseconds that requests stay under."""
    attainment_permille: Annotated[int, Field(ge=1, le=999)] = 950
    """attainmentPermille of requests that do."""
    window_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """windowSeconds over which it is judged."""


class BatchSpec(FileModel):
    """Deferrable work."""

    arrivals_units_per_hour: Series
    """arrivalsUnitsPerHour, unit Count."""
    due_seconds: Positive
    """dueSeconds after arrival."""
    units_per_replica_hour: Positive
    """unitsPerReplicaHour that one replica completes."""


class WorkloadSpec(FileModel):
    """One FlexibleWorkload and its load. `workloadDefaults` gives what it leaves out."""

    name: Name
    """name of the workload."""
    namespace: Name = "models"
    """namespace of the workload."""
    labels: dict[str, str | float] = Field(default_factory=dict)
    """labels replace `{key}` in its texts."""
    posture: Posture = Posture.INTERACTIVE
    """posture is the preset of the API."""
    tier: Tier = Tier.LOW
    """tier is the throughput that committed events may take."""
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    """priority among workloads."""
    actions: list[Allowed] = Field(default_factory=lambda: [Allowed.SCALE, Allowed.SHIFT_TRAFFIC])
    """actions that are allowed."""
    min_replicas: Whole = 1
    """minReplicas over all placements."""
    max_replicas: Whole | None = None
    """maxReplicas over all placements; absent = the sum."""
    min_dwell_seconds: Whole = 600
    """minDwellSeconds between changes."""
    max_moves_per_day: Whole = 12
    """maxMovesPerDay."""
    max_drain_seconds: Whole = 60
    """maxDrainSeconds that a replica may take to empty."""
    objectives: Annotated[list[ObjectiveSpec], Field(max_length=8)] = Field(default_factory=list)
    """objectives of latency."""
    output_tokens_per_request: Positive = 200.0
    """outputTokensPerRequest, mean."""
    prompt_tokens_per_request: NotNegative = 1000.0
    """promptTokensPerRequest, mean."""
    placements: Annotated[list[PlacementSpec], Field(max_length=1000)] = Field(default_factory=list)
    """placements by name."""
    random_placements: RandomPlacements | None = None
    """randomPlacements instead of placements."""
    origins: list[str] | Literal["*"] = "*"
    """origins are names, or `*` for all."""
    random_origins: RandomOrigins | None = None
    """randomOrigins instead of origins."""
    latency_classes: Annotated[list[LatencyClass], Field(max_length=16)] = Field(
        default_factory=list
    )
    """latencyClasses split every origin's demand; their shares add up to 1. Empty = one class
    without a limit."""
    demand: DemandSpec | None = None
    """demand in tokens; absent for pure batch work."""
    batch: BatchSpec | None = None
    """batch is deferrable work."""
    repeat: Repeat | None = None
    """repeat makes many workloads of this entry; the name then has `{index}` in it."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.demand is None and self.batch is None:
            raise ValueError("set demand, batch or both: a workload without work says nothing")
        if bool(self.placements) == (self.random_placements is not None):
            raise ValueError("set exactly one of placements and randomPlacements")
        total = sum(item.share for item in self.latency_classes)
        if self.latency_classes and abs(total - 1) > 1e-3:
            raise ValueError(f"shares of latencyClasses add up to {total:.4f}, not to 1")
        names = [item.name for item in self.latency_classes]
        if len(set(names)) != len(names):
            raise ValueError("latencyClasses have the same name twice")
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError("maxReplicas must not be below minReplicas")
        return self
