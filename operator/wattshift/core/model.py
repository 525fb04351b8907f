"""The Snapshot: all a decision may know, immutable, with units in names.

Built by `control/gather.py` alone; read by planner, governor, guard and validation. Times are epoch
seconds on the grid clock unless the name says wall. Collections are tuples ordered by name, so that
equal worlds hash equally.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wattshift.core.contract.marginal import PriceQuote
from wattshift.core.engine import EngineStats, Metric
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.signal import Forecast, Reading, SignalState


class Mode(StrEnum):
    """How far the operator may go; the most careful of those that are set wins."""

    OBSERVE = "Observe"
    RECOMMEND = "Recommend"
    ENFORCE = "Enforce"


class Posture(StrEnum):
    """Preset of a workload's energy behaviour."""

    INTERACTIVE = "Interactive"
    NEAR_REAL_TIME = "NearRealTime"
    BATCH = "Batch"
    EMBEDDING = "Embedding"
    FINE_TUNING = "FineTuning"
    TRAINING = "Training"
    SCIENTIFIC = "Scientific"


class Tier(StrEnum):
    """Throughput a workload tolerates to lose in a committed program."""

    FIRM = "Firm"
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"

    @property
    def tolerated_loss(self) -> float:
        """Share 0..1 of throughput (Emerald's flex tiers: 0, 10, 25, 50 %)."""
        return {"Firm": 0.0, "Low": 0.1, "Medium": 0.25, "High": 0.5}[self.value]


class Allowed(StrEnum):
    """Actions a workload allows (`flexibility.actions`)."""

    SCALE = "Scale"
    PAUSE = "Pause"
    MIGRATE = "Migrate"
    SHIFT_TRAFFIC = "ShiftTraffic"


class MemberPhase(StrEnum):
    """Connection to a member cluster."""

    CONNECTING = "Connecting"
    READY = "Ready"
    DEGRADED = "Degraded"
    LOST = "Lost"


class Firmness(StrEnum):
    """How binding an event is."""

    MANDATORY = "Mandatory"
    COMMITTED = "Committed"
    VOLUNTARY = "Voluntary"


class OverrideMode(StrEnum):
    """What a person asked for."""

    HOLD = "Hold"
    PIN = "Pin"
    RELEASE = "Release"


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityPoint:
    """Facility watts = fixed_watts + marginal_permille/1000 x IT watts at this outdoor temperature."""

    temperature_millicelsius: int
    fixed_watts: int
    marginal_permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionState:
    """Grid connection point of a site."""

    name: str
    import_limit_watts: int | None
    contract_maximum_watts: int | None
    """Hard limit of the contract; contracted watts are priced, not a limit."""
    averaging_minutes: int
    metered: Reading | None
    """SitePower at this connection."""
    uncontrolled: Reading | None
    """Load on the same meter that is not ours; None = none is declared."""
    price: PriceQuote | None
    """Marginal price now of the contract on this point; None = no contract in force."""
    price_ahead: tuple[tuple[float, PriceQuote], ...] = ()
    """Steps to come: (start time, quote)."""
    contract_name: str = ""
    model_watts_at_meter: int | None = None
    """`core/power/power.py`'s facility estimate for this connection at the source time of `metered`; gather
    keeps it, so that power between meter polls is estimated forward."""
    least_watts: float | None = None
    """Lowest committed power of the last minute (grid clock), kept by the governor loop: what a ramp
    upwards counts from; None = no memory yet."""
    most_watts: float | None = None
    """Highest committed power of the last minute: what a ramp downwards counts from."""
    over_watt_seconds: float = 0.0
    """Metered above the upper bound within the last minute, and not made up since."""
    lasting_watts: float | None = None
    """Lowest committed power without device caps of the last seconds; None = no memory yet."""
    prices_before: tuple[tuple[float, float], ...] = ()
    """(grid time, reporting currency per kWh of import) as the last plans saw it, oldest first; kept by
    whoever plans (`core/planner/plan_memory.py`); empty = no memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyState:
    """Own or directly connected supply."""

    name: str
    type: str
    capacity_watts: int
    power: Reading | None
    forecast: SignalState | None = None
    connection_name: str = ""
    """Behind which it feeds; empty = the site's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorState:
    """Accelerators of one kind; `count` is declared, `allocatable` seen."""

    resource_name: str
    profile_name: str
    count: int
    allocatable: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventState:
    """A power event with its bounds already resolved to absolute watts at its connection.

    `upper_watts`/`lower_watts` bound the import, so that own supply behind the connection comes on top.
    `frozen_reference_watts` is the import at its start, from which a PreEvent reduction counts; it comes
    from status, so that a restart does not move it.
    """

    name: str
    revision: int
    connection_name: str
    start_time: float
    end_time: float
    upper_watts: int | None
    lower_watts: int | None
    ramp_seconds: int
    firmness: Firmness
    active: bool
    notice_time: float | None = None
    frozen_reference_watts: int | None = None
    program_name: str = ""
    unresolved_reason: str = ""
    """Why bounds are unknown (a reference without data); never fail open on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState:
    """One member cluster of a site."""

    name: str
    uid: str
    phase: MemberPhase
    since_wall_time: float
    age_seconds: float
    """Wall seconds since the last good news from it."""
    connection_name: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person's word, with an end and a name on it; expired ones never reach the snapshot."""

    mode: OverrideMode
    until_time: float
    reason: str
    requested_by: str
    replicas: tuple[tuple[str, int], ...] = ()
    """Pin: (placement, replicas)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """One PowerSite."""

    name: str
    mode: Mode
    accepted: bool
    time_zone: str
    it_capacity_watts: int | None
    ramp_up_watts_per_minute: int | None
    ramp_down_watts_per_minute: int | None
    facility: tuple[FacilityPoint, ...]
    """Ordered by temperature; one point = constant; empty = facility equals IT."""
    outdoor_temperature: Reading | None
    connections: tuple[ConnectionState, ...]
    supplies: tuple[SupplyState, ...]
    accelerators: tuple[AcceleratorState, ...]
    origin_round_trip_milliseconds: tuple[tuple[str, int], ...]
    events: tuple[EventState, ...]
    members: tuple[MemberState, ...]
    signals: tuple[SignalState, ...]
    """All of the site's signals, in rank order per quantity."""
    override: Override | None = None
    cooling_limit: Reading | None = None
    emergency: str = ""
    """Leak, loss of supply, UPS on battery: the words for people; empty = none."""
    emergency_watts: int | None = None
    """What the reaction to the emergency leaves us; None = nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Latency objective of a workload."""

    metric: Metric
    threshold_milliseconds: int
    attainment_permille: int
    window_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where users are: share of the load, and the longest round trip they accept."""

    name: str
    share_permille: int
    max_round_trip_milliseconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """Backlog of a batch workload; None = unknown, and unknown means resume."""

    backlog_units: Reading | None
    deadline_time: float | None
    external_dispatch: bool
    """Somebody outside holds and retries the work: zero replicas are safe."""
    units_per_replica_hour: float | None = None
    """What one replica completes; None until `core/load/inflow.py` has learnt it."""
    arrivals_per_hour: float | None = None
    """Units that come in, learnt as well; None = too little is known."""
    tokens_per_unit: int | None = None
    """Output tokens of one unit: its speed follows from a profile until it is learnt; None = unknown."""
    work_since_time: float | None = None
    """Grid time since which there has been work before this deadline, as `core/load/inflow.py` keeps
    it; None = nobody has looked yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """Replicas found before the first deviation; captured once, restored exactly."""

    placement_name: str
    cluster_uid: str
    target_uid: str
    replicas: int
    captured_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveIntent:
    """A hand-over that was begun: absolute targets; its position is derived from the world."""

    id: str
    source_name: str
    destination_name: str
    source_before: int
    destination_before: int
    source_replicas: int
    destination_replicas: int
    started_time: float
    deadline_wall_seconds: float
    """Wall seconds left until the hand-over must be done; negative = passed."""
    reason: str
    aborting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementState:
    """One placement of a workload: what was wanted, written, seen."""

    name: str
    site_name: str
    cluster_name: str
    profile_name: str
    min_replicas: int
    max_replicas: int
    baseline_replicas: int | None
    target_found: bool
    target_problem: str
    """Reason constant when the target may not be written (not opted in, conflict, rollout ...)."""
    observed_replicas: int | None
    """spec.replicas of the target as last seen; None = unknown."""
    ready_replicas: int | None
    in_service_replicas: int | None
    """Ready, not terminating, last probe good."""
    controller_lags: bool = False
    """The cluster has not acted on the present count yet: pods that serve may still go by an older one."""
    desired_replicas: int | None
    """Recorded in status before a write."""
    wish_lapsed: bool = False
    """What was recorded was never acknowledged and can no longer land: what is seen counts."""
    last_written_replicas: int | None
    last_write_time: float | None
    lowered_last: bool = False
    """Whether the last change of its count that plans saw was a lowering (`core/planner/lowered.py`)."""
    rival: bool
    """Observed differs from both last written and desired: somebody else writes."""
    engine: EngineStats | None = None
    unschedulable: bool = False
    veto_wall_time: float | None = None
    """Wall time at which the latency guard last saw a violation here (`GuardVerdict.violated_now`);
    the governor loop keeps it: a veto ends after three clean slow windows."""
    learned_concurrency: float | None = None
    """Sequences per replica inside the objective as `core/load/learn.py` knows it; None until learnt."""
    learned_slowing: float | None = None
    """By which share of its time alone each sequence beside it makes a token take longer, as
    `core/load/slowing.py` knows it; None until learnt."""
    draining_replicas: int = 0
    """Terminating: out of every count, still finishing streams and drawing power."""
    mechanisms: tuple[str, ...] = ()
    """Ladder mechanisms that an actuator offers here beside scaling (`core/governor/ladder.py`)."""
    power_cap_permille: int | None = None
    """Device power cap in force, as a share of the profile's busy watts; None = none."""
    power_cap_time: float | None = None
    """When the cap was last set or lifted; None = never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadState:
    """One FlexibleWorkload with effective values (posture presets applied)."""

    namespace: str
    name: str
    uid: str
    accepted: bool
    mode: Mode
    """Effective: the most careful of installation, sites and workload."""
    posture: Posture
    tier: Tier
    priority: int
    actions: tuple[Allowed, ...]
    min_replicas: int
    max_replicas: int
    min_dwell_seconds: int
    max_moves_per_day: int
    max_pause_seconds: int | None
    max_drain_seconds: int
    objectives: tuple[Objective, ...]
    origins: tuple[Origin, ...]
    placements: tuple[PlacementState, ...]
    moves_today: int
    last_change_time: float | None
    paused_since_time: float | None
    batch: BatchState | None = None
    originals: tuple[Original, ...] = ()
    originals_known: bool = True
    intent: MoveIntent | None = None
    override: Override | None = None
    deleting: bool = False
    growth_permille: int = 0
    """95th percentile of load growth over the cold-start horizon; 0 until learnt."""
    load_high: float | None = None
    """Sequences to which the load trembles up, by the last hour (`core/planner/plan_memory.py`); None = no memory."""
    orphans: tuple[PlacementState, ...] = ()
    """Placements that left the spec while their targets deviate: only ever restored."""
    demand: Reading | None = None
    """Requested concurrency from a site signal, where engine metrics are not the source."""
    queued: Reading | None = None
    """Requests that wait at the gateway, from a site signal; None = none is declared."""
    origin_loads: tuple[tuple[str, float], ...] = ()
    """(origin, sequences in flight) as the entry measures them; empty = shares of the whole load."""
    moved_share_today: float | None = None
    """Sum of positive changes of placement shares since the day (UTC) began; None = `moves_today` counts."""
    split: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
    """By origin: (placement, share) as the last plan has it, which the entry follows as far as it serves
    (`core/entry.py`); empty = it was told nothing."""
    origins_ahead: tuple[tuple[str, Forecast], ...] = ()
    """(origin, forecast of its sequences in flight); an origin without one stays as it is."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the installation says about deciding; values of the chart."""

    reporting_currency: str
    exchange_rates: tuple[tuple[str, str], ...] = ()
    """(currency, units of the reporting currency per unit) as decimal strings."""
    carbon_price_per_tonne: str = "0"
    """In the reporting currency, on top of what contracts charge."""
    plan_interval_seconds: int = 300
    horizon_seconds: int = 86400
    head_room_permille: int = 200
    """Capacity kept above the measured need."""
    min_saving_per_move: str = "0"
    """Money a move must save within its dwell time beyond its own cost."""
    max_actions_per_site: int = 2
    """Concurrent disruptive actions per site and reason."""
    scrape_stale_intervals: int = 3
    told_iterations: int = 32
    """Iterations that better the bound and the shadow prices of a small fleet beyond what decisions follow:
    for people. 0 = what decisions follow is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The world at one moment."""

    grid_time: float
    wall_time: float
    """Monotonic seconds; compare only within one process."""
    speed: float
    """Grid seconds per wall second; 1 outside of a replay."""
    mode: Mode
    settings: Settings
    sites: tuple[SiteState, ...]
    workloads: tuple[WorkloadState, ...]
    profiles: tuple[PowerProfile, ...]
