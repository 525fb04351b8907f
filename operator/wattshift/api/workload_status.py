"""Status of a FlexibleWorkload: what is written before and after each act, and why.

`originals`, `move`, `placements[].desiredReplicas` and `lastWrittenReplicas` must survive a restart.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import (
    Amount,
    Conditions,
    Count,
    DateText,
    DecimalText,
    Generation,
    LocalName,
    Message,
    Mode,
    Permille,
    ReasonName,
    Replicas,
    Seconds,
    SignedWatts,
    Text,
    Time,
    Uid,
    Watts,
)
from wattshift.api.lists import list_atomic, list_map, list_set
from wattshift.api.site_status import GridClockSpeed
from wattshift.api.workload_policy import ActionType, Tier

_INT32 = {"format": "int32"}
Total = Annotated[int, Field(strict=True, ge=0, le=160_000, json_schema_extra=_INT32)]


class PlacementStatus(ApiModel):
    """One placement as it is and as it is wanted."""

    name: LocalName
    """name is the name in spec."""
    desired_replicas: Replicas | None = None
    """desiredReplicas is the target; written before each write to the cluster."""
    last_written_replicas: Replicas | None = None
    """lastWrittenReplicas is the last count that the cluster acknowledged."""
    last_write_time: Time | None = None
    """lastWriteTime is when."""
    observed: Replicas | None = None
    """observed is the count in the target's spec."""
    ready: Replicas | None = None
    """ready is the number of ready pods."""
    in_service: Replicas | None = None
    """inService are ready pods that are not terminating and answer."""
    target_uid: Uid | None = None
    """targetUID is the UID of the target."""
    cluster_uid: Uid | None = None
    """clusterUID is the identity of the cluster."""
    message: Text | None = None
    """message says for people what is the case."""


class Original(ApiModel):
    """The count that was found before the first change; never captured again."""

    placement_name: LocalName
    """placementName is the placement."""
    cluster_uid: Uid
    """clusterUID is the identity of the cluster."""
    target_uid: Uid
    """targetUID is the UID of the target."""
    replicas: Replicas
    """replicas that were found."""
    captured_time: Time
    """capturedTime is when."""


class MoveStep(StrEnum):
    """Steps of a move; the position is derived from the world, this is the last that was begun."""

    RESERVE = "Reserve"
    RAISE = "Raise"
    READY = "Ready"
    WARM = "Warm"
    SHIFT = "Shift"
    FENCE = "Fence"
    DRAIN = "Drain"
    PARK = "Park"
    LOWER = "Lower"
    VERIFY = "Verify"
    ABORT = "Abort"


class Move(ApiModel):
    """Intent of a move between placements, written before its first write."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    """id of the move."""
    source_placement: LocalName
    """sourcePlacement loses replicas."""
    destination_placement: LocalName
    """destinationPlacement gains replicas."""
    source_replicas: Replicas
    """sourceReplicas is the absolute target at the source."""
    destination_replicas: Replicas
    """destinationReplicas is the absolute target at the destination."""
    source_start_replicas: Replicas | None = None
    """sourceStartReplicas is the count at the source when it began: the way back."""
    destination_start_replicas: Replicas | None = None
    """destinationStartReplicas is the count at the destination when it began: the way back."""
    step: MoveStep
    """step is the last step that was begun."""
    step_started_time: Time | None = None
    """stepStartedTime is when that step began."""
    started_time: Time
    """startedTime is when the move began."""
    deadline_time: Time
    """deadlineTime is when it is aborted."""
    restarts: Annotated[int, Field(strict=True, ge=0, le=10, json_schema_extra=_INT32)] = 0
    """restarts counts how often the deadline passed while the operator was down."""
    reason: ReasonName
    """reason is why the move was decided."""


class DecisionAction(StrEnum):
    """Actions of a decision."""

    SCALE_TO = "ScaleTo"
    PAUSE = "Pause"
    RESUME = "Resume"
    MIGRATE = "Migrate"
    SHIFT_TRAFFIC = "ShiftTraffic"
    RESTORE = "Restore"
    HOLD = "Hold"


class Alternative(ApiModel):
    """A choice that was rejected."""

    action: DecisionAction
    """action that was considered."""
    summary: Text
    """summary says what it would have done, and what it would have cost."""
    reason: ReasonName
    """reason is why it was rejected."""


class DecisionPlacement(ApiModel):
    """Replicas that a decision wants in a placement."""

    name: LocalName
    """name of the placement."""
    replicas: Replicas
    """replicas that are wanted."""


class LastDecision(ApiModel):
    """The last decision, with what was rejected."""

    time: Time
    """time of the decision, on the grid clock."""
    action: DecisionAction
    """action that was decided."""
    reason: ReasonName
    """reason is why."""
    message: Message
    """message says for people what, why and at which cost."""
    plan_id: Annotated[str, Field(max_length=64)] | None = None
    """planID is the plan it belongs to."""
    mode: Mode | None = None
    """mode in which it was made; only Enforce acts."""
    placements: Annotated[list[DecisionPlacement], list_map("name", max_items=16)] = Field(
        default_factory=list
    )
    """placements are the replicas that it wants."""
    alternatives: Annotated[list[Alternative], list_atomic(3)] = Field(default_factory=list)
    """alternatives are the three best choices that were rejected."""


class Effective(ApiModel):
    """Values that hold after presets, defaults and modes; nothing is written back into spec."""

    mode: Mode | None = None
    """mode is the most careful of installation, site and workload."""
    tier: Tier | None = None
    """tier is the throughput that may be lost."""
    actions: Annotated[list[ActionType], list_set(4)] = Field(default_factory=list)
    """actions that are allowed."""
    min_replicas: Total | None = None
    """minReplicas of all placements."""
    max_replicas: Total | None = None
    """maxReplicas of all placements."""
    min_dwell_seconds: Seconds | None = None
    """minDwellSeconds between two changes."""
    max_moves_per_day: Count | None = None
    """maxMovesPerDay between clusters."""
    max_pause_seconds: Seconds | None = None
    """maxPauseSeconds of one pause."""
    max_drain_seconds: Seconds | None = None
    """maxDrainSeconds for requests to end."""
    release_deadline_seconds: Seconds | None = None
    """releaseDeadlineSeconds after which the finalizer goes anyway."""


class MovesToday(ApiModel):
    """Moves of the day."""

    date: DateText
    """date on the grid clock, UTC."""
    count: Count
    """count of hand-overs that were begun."""
    moved_permille: Count | None = None
    """movedPermille is how much of the load changed clusters, parts added up: 1000 = all of it once."""


class WorkloadTotals(ApiModel):
    """Totals since the workload was first seen, written hourly."""

    since_time: Time
    """sinceTime is when counting began."""
    watt_hours: Watts | None = None
    """wattHours of facility energy."""
    green_watt_hours: Watts | None = None
    """greenWattHours of it that own supply matched at the same time."""
    saved_watt_hours: SignedWatts | None = None
    """savedWattHours against doing nothing."""
    carbon_grams: Watts | None = None
    """carbonGrams of CO2 equivalent."""
    saved_carbon_grams: SignedWatts | None = None
    """savedCarbonGrams against doing nothing on the same signals."""
    cost: DecimalText | None = None
    """cost in the reporting currency."""
    saved_cost: DecimalText | None = None
    """savedCost against doing nothing on the same signals."""
    output_tokens: Watts | None = None
    """outputTokens that were generated."""


class CapacitySource(StrEnum):
    """Where a capacity comes from."""

    PRIOR = "Prior"
    LEARNT = "Learnt"


class LearntCapacity(ApiModel):
    """What one replica carries inside the objectives, for one kind of replica."""

    key: Annotated[str, Field(min_length=1, max_length=64)]
    """key is a digest of model, image, arguments, accelerator, adapters and objectives."""
    placement_names: Annotated[list[LocalName], list_set(16)] = Field(default_factory=list)
    """placementNames run this kind of replica now; none = a kind of before, kept for its return."""
    sequences: Count
    """sequences in flight that one replica carries, rounded down."""
    source: CapacitySource
    """source is Prior (0.7 x profile) until latency has shown more or less."""
    samples: Amount
    """samples of latency behind it, older ones counting less: half after a week."""
    message: Text | None = None
    """message says for people what was seen."""
    bins: Annotated[str, Field(max_length=4096)]
    """bins are the counts that it is learnt from, for the operator's next start."""


class LearntGrowth(ApiModel):
    """How much load grows while a replica starts."""

    permille: Permille
    """permille is the 95th percentile; 0 until learnt."""
    samples: Count
    """samples behind it."""
    horizon_seconds: Seconds
    """horizonSeconds is the longest cold start of its placements."""
    bins: Annotated[str, Field(max_length=1024)]
    """bins are the counts that it is learnt from."""


class LearntBatch(ApiModel):
    """What the backlog of batch work has shown in a day of looks at it."""

    units_per_replica_hour: DecimalText | None = None
    """unitsPerReplicaHour that one replica completes, by tokensPerUnit until it is learnt; absent until known."""
    arrivals_per_hour: DecimalText | None = None
    """arrivalsPerHour are the units that come in; absent until known."""
    looks: Annotated[str, Field(max_length=8192)]
    """looks at the backlog that they are learnt from, for the operator's next start."""


class Learnt(ApiModel):
    """What was learnt of this workload; written hourly at most."""

    capacities: Annotated[list[LearntCapacity], list_map("key", max_items=8)] = Field(
        default_factory=list
    )
    """capacities by kind of replica."""
    growth: LearntGrowth | None = None
    """growth of load over the cold start."""
    batch: LearntBatch | None = None
    """batch is what its backlog has shown."""


class FlexibleWorkloadSummary(ApiModel):
    """Strings for the printer columns."""

    replicas: Text | None = None
    """replicas by placement, such as shanghai 4/4, gansu 2/2."""
    decision: Text | None = None
    """decision is the last action and its reason."""
    mode: Text | None = None
    """mode that is in effect."""
    power: Text | None = None
    """power of the workload now."""
    move: Text | None = None
    """move that is going on."""
    latency: Text | None = None
    """latency objectives: within, outside or unknown."""


class FlexibleWorkloadStatus(ApiModel):
    """What wattshift sees, wants and has done."""

    conditions: Conditions = Field(default_factory=list)
    """conditions are Accepted, Ready, TargetsResolved, MetricsFresh, WithinObjective, AtBaseline, Progressing, Conflict."""
    observed_generation: Generation | None = None
    """observedGeneration is the generation of the spec that was judged."""
    grid_clock_speed: GridClockSpeed | None = None
    """gridClockSpeed is present in a replay only: how fast the grid clock runs."""
    placements: Annotated[list[PlacementStatus], list_map("name", max_items=16)] = Field(
        default_factory=list
    )
    """placements as they are and as they are wanted."""
    originals: Annotated[list[Original], list_map("placement_name", "target_uid", max_items=32)] = (
        Field(default_factory=list)
    )
    """originals are the counts that were found before the first change."""
    move: Move | None = None
    """move is the intent of a move that is going on."""
    last_decision: LastDecision | None = None
    """lastDecision is the last decision, with what was rejected."""
    effective: Effective | None = None
    """effective values after presets, defaults and modes."""
    moves_today: MovesToday | None = None
    """movesToday counts moves of the day."""
    last_change_time: Time | None = None
    """lastChangeTime is when replicas were last changed by wattshift: dwell counts from it."""
    release_started_time: Time | None = None
    """releaseStartedTime is when giving back began, in real time: its deadline counts from it."""
    paused_since_time: Time | None = None
    """pausedSinceTime is when the pause began; absent = not paused."""
    work_since_time: Time | None = None
    """workSinceTime is since when there has been batch work before its deadline, running or waiting."""
    totals: WorkloadTotals | None = None
    """totals since the workload was first seen."""
    learnt: Learnt | None = None
    """learnt is what latency and load have shown so far."""
    power_watts: SignedWatts | None = None
    """powerWatts is the facility power of the workload, rounded."""
    summary: FlexibleWorkloadSummary | None = None
    """summary are strings for people."""
