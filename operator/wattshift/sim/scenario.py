"""A scenario as the simulator runs it: arrays on one time grid. Built by `load.py` from YAML and CSV.

All arrays are read-only float64. `t` counts steps: value `[t]` holds over `[start_time + t x
step_seconds, + step_seconds)`. Truth lives here; what a policy sees of it is `world.py`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wattshift.core.contract.model import Contract
from wattshift.core.model import (
    Allowed,
    FacilityPoint,
    Firmness,
    Objective,
    Posture,
    Settings,
    Tier,
)

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaTable:
    """One replica of a model on one kind of accelerator, measured at several concurrencies.

    Points are ordered by sequences; between them all is linear, beyond the last one work queues.
    """

    name: str
    resource_name: str
    devices_per_replica: int
    sequences: tuple[float, ...]
    watts: tuple[float, ...]
    tokens_per_second: tuple[float, ...]
    inter_token_p50_milliseconds: tuple[float, ...]
    inter_token_p99_milliseconds: tuple[float, ...]
    loaded_idle_watts: float
    """Model in memory, nothing decoded."""
    parked_watts: float
    """Process kept, woken in `wake_seconds`; 0 = parking is a stop."""
    sequences_at_objective: float
    """What one replica carries inside the objective: the planner's capacity prior / 0.7."""
    start_seconds: float
    wake_seconds: float
    park_seconds: float
    prefill_watt_seconds_per_token: float
    """Energy of prompt tokens that are computed again after a move."""
    cap_throughput: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    """(power share, throughput share) under a device power cap, ordered; empty curve = no caps."""
    cap_seconds: float = 2.0
    """From the order of a device power cap to its effect (driver call and control loop)."""
    prefill_seconds_per_token: float = 0.0001
    """Time to the first token grows with the prompt by this (70B on 4xH100: 53-69 ms at 512)."""
    source: str = ""


class ForecastModel(StrEnum):
    """How a forecast is made; each uses only what had been published when it was issued."""

    NONE = "None"
    PUBLISHED = "Published"
    """The market publishes: known exactly for the hours that `published_at` and span say."""
    PERSISTENCE = "Persistence"
    """The last value seen."""
    DAY_OLD = "DayOld"
    """The same hour of the day before."""
    HOUR_OF_DAY = "HourOfDay"
    """Mean of the same hour over the last 14 days, blended with the last value seen."""
    NOISY = "Noisy"
    """Truth plus a seeded AR(1) error that grows with lead: a stand-in for a bought forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasting:
    """Forecast of one quantity: model, error and bias."""

    model: ForecastModel = ForecastModel.NONE
    delay_seconds: float = 0.0
    """Age of the newest value that anybody can know (carbon data: 1-2 h; telemetry: 5 s)."""
    horizon_seconds: float = 86400.0
    published_at_hour: int = 12
    """Published: local hour at which the next local day becomes known."""
    relative_error: float = 0.0
    """Noisy: standard deviation at one hour's lead as a share of the value; x sqrt(lead) to 24 h. The
    lead counts from the newest value known."""
    bias: float = 0.0
    """Added share, for all sites alike or by site: +0.3 = 30 % too high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Truth of one quantity and how it is forecast."""

    values: Array
    unit: str
    forecasting: Forecasting = Forecasting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Storage at a site, discharged and charged by its own rule (not by the planner yet)."""

    energy_watt_hours: float
    power_watts: float
    charge_efficiency: float
    discharge_efficiency: float
    reserve_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSite:
    """One site with one connection."""

    name: str
    time_zone: str
    devices: tuple[tuple[str, int], ...]
    """(resource name, devices installed)."""
    facility: tuple[FacilityPoint, ...]
    import_limit_watts: float | None
    ramp_up_watts_per_minute: float | None
    ramp_down_watts_per_minute: float | None
    price: Signal | None
    """Currency/kWh of the commodity; with a contract, its `signal` price."""
    currency: str
    contract: Contract | None
    carbon: Signal | None
    """g/kWh, location-based."""
    temperature: Signal | None
    supply: Signal | None
    """W available from own or directly connected supply."""
    supply_name: str = ""
    supply_type: str = ""
    supply_capacity_watts: float | None = None
    """Nameplate; None = the highest value of the supply series."""
    green_share: Signal | None = None
    """Share 0..1 of grid power that is green, for the physical hourly ratio."""
    uncontrolled: Signal | None = None
    """W of other load on the same meter."""
    cooling_limit: Signal | None = None
    """W of IT that cooling can carry."""
    storage: Storage | None = None
    export_price: Signal | None = None
    """Currency/kWh for surplus supply that is sold; None = surplus is curtailed, unless a contract
    sells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimOrigin:
    """A group of users with one latency class."""

    name: str
    max_round_trip_milliseconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimPlacement:
    """Where a workload may run."""

    site_name: str
    profile_name: str
    min_replicas: int
    max_replicas: int
    initial_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimBatch:
    """Deferrable work: units arrive, each is due a while later."""

    arrivals_units: Array
    """Units per step."""
    due_seconds: float
    units_per_replica_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimWorkload:
    """One FlexibleWorkload and the load that it gets."""

    namespace: str
    name: str
    posture: Posture
    tier: Tier
    priority: int
    actions: tuple[Allowed, ...]
    """With ShiftTraffic the entry follows the plan's split by origin; without it requests are
    spread over all in-service replicas."""
    min_replicas: int
    max_replicas: int
    min_dwell_seconds: int
    max_moves_per_day: int
    max_drain_seconds: int
    objectives: tuple[Objective, ...]
    origins: tuple[SimOrigin, ...]
    placements: tuple[SimPlacement, ...]
    demand_tokens_per_second: Array
    """[steps, origins]: output tokens asked for. Empty (steps, 0) for pure batch work."""
    demand_forecasting: Forecasting
    output_tokens_per_request: float
    prompt_tokens_per_request: float
    sequences_per_token_rate: float = 0.0
    """0 = from the replica's table."""
    batch: SimBatch | None = None
    demand_relative_noise: float = 0.0
    """Standard deviation of a seeded AR(1) factor on the demand (an hour's correlation), so that
    several seeds are several demands."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimEvent:
    """A power event: unannounced when `notice_seconds` is 0."""

    name: str
    site_name: str
    start_seconds: float
    """After the scenario's start."""
    duration_seconds: float
    notice_seconds: float
    upper_watts: float | None
    lower_watts: float | None
    reduction_share: float | None
    """Of the power just before the start: resolved to an upper bound and frozen."""
    lower_share: float | None = None
    """Lower bound as a share of the power just before the start: resolved like the upper one."""
    ramp_seconds: float
    firmness: Firmness


class FaultKind(StrEnum):
    """What goes wrong with what a policy sees (signals) or commands (members)."""

    STALE = "Stale"
    MISSING = "Missing"
    NAN = "NaN"
    NEGATIVE = "Negative"
    SPIKE = "Spike"
    BIAS = "Bias"
    MEMBER_DOWN = "MemberDown"
    METER_LIES = "MeterLies"
    SITE_LOSS = "SiteLoss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault over one span."""

    kind: FaultKind
    site_name: str
    quantity: str
    """`Price | Carbon | Power | Demand | Supply | Temperature`, or empty where it does not apply."""
    start_seconds: float
    duration_seconds: float
    factor: float = 1.0
    """Spike, Bias, MeterLies: what the value is multiplied with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span that is reported on its own: a week, a month."""

    name: str
    first_step: int
    last_step: int
    """Exclusive."""
    development: bool = False
    """Hyper-parameters may be tuned on it; never part of the reported figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything of one scenario, resolved."""

    name: str
    title: str
    start_time: float
    """Epoch seconds UTC of step 0."""
    step_seconds: float
    steps: int
    seed: int
    sites: tuple[SimSite, ...]
    origins: tuple[str, ...]
    round_trip_milliseconds: Array
    """[origins, sites]."""
    workloads: tuple[SimWorkload, ...]
    tables: tuple[ReplicaTable, ...]
    events: tuple[SimEvent, ...]
    faults: tuple[Fault, ...]
    windows: tuple[Window, ...]
    settings: Settings
    telemetry_delay_seconds: float = 5.0
    plan_every_seconds: float = 300.0
    govern_every_seconds: float = 300.0
    """At most one step; DR scenarios use one second."""
    margin: float = 0.1
    """Share of each site's capacity that plans and the bound with margin (B8m) leave free."""
    sources: tuple[str, ...] = ()
    """Where the data come from, with licences."""
    extra: dict[str, str] = field(default_factory=dict)

    def time(self, step: int) -> float:
        """Epoch seconds at the start of a step."""
        return self.start_time + step * self.step_seconds
