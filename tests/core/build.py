"""Factories of snapshots for tests: a plain world by default, keywords change what a test is about.

Default world: site `east` (expensive, coal) and site `west` (cheap, green), one cluster each, one
interactive workload with 6 replicas in the east and room in the west, all measured and healthy.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from wattshift.core.contract.marginal import Adders, Origin, PriceQuote
from wattshift.core.engine import Counts, EngineStats, LatencyWindow, Metric
from wattshift.core.model import (
    AcceleratorState,
    Allowed,
    BatchState,
    ConnectionState,
    EventState,
    Firmness,
    MemberPhase,
    MemberState,
    Mode,
    MoveIntent,
    Objective,
    Origin as UserOrigin,
    Original,
    PlacementState,
    Posture,
    Settings,
    SiteState,
    Snapshot,
    SupplyState,
    Tier,
    WorkloadState,
)
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.signal import (
    Forecast,
    ForecastPoint,
    OnStale,
    Quality,
    Reading,
    SignalKind,
    SignalState,
)
from wattshift.core.units import Quantity

NOW = 1_760_000_000.0
WALL = 50_000.0


def reading(
    value: float | None,
    *,
    unit: str = "Watt",
    age: float = 1.0,
    life: float = 60.0,
    quality: Quality | None = None,
    message: str = "",
) -> Reading:
    """A measured value `age` seconds old that is good for `life`; None = unknown."""
    quality = quality or (Quality.UNKNOWN if value is None else Quality.MEASURED)
    return Reading(
        value=value,
        unit=unit,
        source_time=NOW - age,
        received_time=NOW - age,
        valid_until=NOW - age + life,
        quality=quality,
        message=message,
    )


def signal(
    name: str,
    quantity: Quantity,
    value: float | None = None,
    *,
    rank: int = 0,
    on_stale: OnStale = OnStale.IGNORE,
    ahead: tuple[tuple[float, float], ...] = (),
    unit: str = "Watt",
    age: float = 1.0,
    life: float = 60.0,
    quality: Quality | None = None,
) -> SignalState:
    """An observation, or with `ahead` = ((start, value), ...) a forecast."""
    forecast = None
    if ahead:
        points = tuple(ForecastPoint(start_time=start, value=row) for start, row in ahead)
        forecast = Forecast(issued_time=NOW, end_time=ahead[-1][0] + 3600, points=points)
    return SignalState(
        name=name,
        quantity=quantity,
        rank=rank,
        on_stale=on_stale,
        forecast=forecast,
        kind=SignalKind.FORECAST if ahead else SignalKind.OBSERVATION,
        reading=None if ahead else reading(value, unit=unit, age=age, life=life, quality=quality),
    )


def quote(
    up: str | None,
    down: str | None = None,
    *,
    currency: str = "CNY",
    demand: str = "0",
    green: str = "0",
    direct: str | None = None,
    own_up: bool = False,
    next_change: float | None = None,
) -> PriceQuote:
    """Contract margins per kWh; `down` defaults to `up`."""
    rate = None if up is None else Decimal(up)
    low = rate if down is None else Decimal(down)
    adders = {"demand_adder": Decimal(demand), "obligation_adder": Decimal(green)}
    own = Decimal(direct) if direct is not None else None
    return PriceQuote(
        known=rate is not None,
        reason="" if rate is not None else "PriceUnknown",
        message="" if rate is not None else "the index is stale",
        currency=currency,
        band="Flat",
        up=Adders(
            energy=own if own_up else rate,
            origin=Origin.DIRECT_SUPPLY if own_up else Origin.GRID,
            **({} if own_up else adders),
        ),
        down=Adders(energy=low, **adders),
        grid_energy=rate,
        direct_energy=own,
        next_change_time=next_change,
        next_band="",
        next_grid_energy=None,
        valid_until=None,
    )


def connection(
    name: str = "feed",
    *,
    limit: int | None = 1_000_000,
    price: PriceQuote | None = None,
    metered: Reading | None = None,
    **more: Any,
) -> ConnectionState:
    """A grid connection without meter unless given."""
    values: dict[str, Any] = {
        "contract_maximum_watts": None,
        "averaging_minutes": 15,
        "uncontrolled": None,
    } | more
    return ConnectionState(
        name=name, import_limit_watts=limit, price=price, metered=metered, **values
    )


def member(
    name: str, phase: MemberPhase = MemberPhase.READY, connection_name: str = "feed"
) -> MemberState:
    """A member cluster."""
    return MemberState(
        name=name,
        uid=f"uid-{name}",
        phase=phase,
        since_wall_time=0.0,
        age_seconds=1.0,
        connection_name=connection_name,
    )


def site(
    name: str,
    *,
    price: str | None = "0.50",
    limit: int | None = 1_000_000,
    phase: MemberPhase = MemberPhase.READY,
    **more: Any,
) -> SiteState:
    """A site with one connection `feed`, one cluster of its own name and 64 GPUs."""
    feed = more.pop("feed", None) or connection(
        limit=limit, price=None if price is None else quote(price)
    )
    values: dict[str, Any] = {
        "mode": Mode.ENFORCE,
        "accepted": True,
        "time_zone": "UTC",
        "it_capacity_watts": None,
        "ramp_up_watts_per_minute": None,
        "ramp_down_watts_per_minute": None,
        "facility": (),
        "outdoor_temperature": None,
        "connections": (feed,),
        "supplies": (),
        "accelerators": (
            AcceleratorState(resource_name="nvidia.com/gpu", profile_name="h100", count=64),
        ),
        "origin_round_trip_milliseconds": (("users", 10),),
        "events": (),
        "members": (member(name, phase),),
        "signals": (),
    } | more
    return SiteState(name=name, **values)


def supply(watts: float | None, *, capacity: int = 100_000) -> SupplyState:
    """Direct wind."""
    return SupplyState(
        name="wind", type="DirectWind", capacity_watts=capacity, power=reading(watts)
    )


def hand_over(**changes: Any) -> MoveIntent:
    """An open hand-over of two replicas from east (6) to west (0)."""
    values: dict[str, Any] = {
        "id": "m",
        "source_name": "east",
        "destination_name": "west",
        "source_replicas": 0,
        "destination_replicas": 2,
        "started_time": NOW,
        "deadline_wall_seconds": 60,
        "reason": "CheaperPower",
        "source_before": 6,
        "destination_before": 0,
    }
    return MoveIntent(**(values | changes))


def event(
    name: str = "dr",
    *,
    upper: int | None = 10_000,
    lower: int | None = None,
    firmness: Firmness = Firmness.MANDATORY,
    start: float = NOW - 60,
    end: float = NOW + 3600,
    active: bool | None = None,
    **more: Any,
) -> EventState:
    """An event; active when now is inside of it."""
    values: dict[str, Any] = {"revision": 1, "connection_name": "feed", "ramp_seconds": 0} | more
    return EventState(
        name=name,
        start_time=start,
        end_time=end,
        upper_watts=upper,
        lower_watts=lower,
        firmness=firmness,
        active=start <= NOW < end if active is None else active,
        **values,
    )


PROFILE = PowerProfile(
    name="h100",
    resource_name="nvidia.com/gpu",
    devices_per_replica=1,
    loaded_idle_watts=100,
    floor_watts=400,
    watts_per_output_token_per_second=None,
    watts_per_prompt_token_per_second=None,
    busy_watts=600,
    output_tokens_per_second_at_objective=None,
    max_concurrency_at_objective=20,
    cold_start_seconds=120,
    source="test",
)
"""Capacity 0.7 x 20 = 14 sequences a replica."""

TTFT = Objective(
    metric=Metric.TIME_TO_FIRST_TOKEN,
    threshold_milliseconds=1000,
    attainment_permille=950,
    window_seconds=600,
)


def engine(
    concurrency: float = 20.0,
    *,
    good: int = 1000,
    bad: int = 0,
    ambiguous: int = 0,
    fast_bad: int | None = None,
    waiting: int = 0,
    waited: float = 0.0,
    age: float = 1.0,
    pods: int = 6,
    threshold: int = 1000,
    metric: Metric = Metric.TIME_TO_FIRST_TOKEN,
    **more: Any,
) -> EngineStats:
    """Healthy statistics of one placement; `bad` of `good + bad` samples miss the objective."""
    fast_bad = bad // 10 if fast_bad is None else fast_bad
    window = LatencyWindow(
        metric=metric,
        threshold_milliseconds=threshold,
        slow=Counts(good=good, bad=bad, ambiguous=ambiguous),
        fast=Counts(good=good // 10, bad=fast_bad, ambiguous=ambiguous // 10),
        slow_seconds=600,
        fast_seconds=60,
        requests_slow=good + bad,
        requests_fast=good // 10,
    )
    values: dict[str, Any] = {
        "scrape_interval_seconds": 5.0,
        "pods_scraped": pods,
        "pods_expected": pods,
        "running": int(concurrency),
        "waiting_longest_seconds": waited,
        "first_tokens_per_second": 10.0,
        "output_tokens_per_second": concurrency * 20,
        "prompt_tokens_per_second": 100.0,
        "requests_per_second": 10.0,
        "kv_cache_usage": 0.2,
        "preemptions": 0,
        "idle_seconds": 0.0,
        "windows": (window,),
    } | more
    return EngineStats(age_seconds=age, concurrency=concurrency, waiting=waiting, **values)


def idle_engine(pods: int = 1) -> EngineStats:
    """Engines without a request for an hour."""
    return engine(0.0, good=0, pods=pods, idle_seconds=3600.0, first_tokens_per_second=0.0)


def placement(
    name: str = "east",
    replicas: int | None = 6,
    *,
    engine: EngineStats | None = None,
    at: str | None = None,
    **more: Any,
) -> PlacementState:
    """A placement on the site and cluster of its own name, all replicas in service."""
    values: dict[str, Any] = {
        "site_name": at or name,
        "cluster_name": at or name,
        "profile_name": "h100",
        "min_replicas": 0,
        "max_replicas": 20,
        "baseline_replicas": None,
        "target_found": True,
        "target_problem": "",
        "observed_replicas": replicas,
        "ready_replicas": replicas,
        "in_service_replicas": replicas,
        "desired_replicas": None,
        "last_written_replicas": None,
        "last_write_time": None,
        "rival": False,
    } | more
    return PlacementState(name=name, engine=engine, **values)


def workload(
    name: str = "chat", placements: tuple[PlacementState, ...] | None = None, **more: Any
) -> WorkloadState:
    """An interactive workload: 6 replicas in the east that carry 20 sequences (2 are needed)."""
    if placements is None:
        placements = (placement("east", 6, engine=engine()), placement("west", 0))
    values: dict[str, Any] = {
        "namespace": "team",
        "uid": f"uid-{name}",
        "accepted": True,
        "mode": Mode.ENFORCE,
        "posture": Posture.INTERACTIVE,
        "tier": Tier.LOW,
        "priority": 0,
        "actions": (Allowed.SCALE, Allowed.PAUSE, Allowed.MIGRATE),
        "min_replicas": 1,
        "max_replicas": 40,
        "min_dwell_seconds": 900,
        "max_moves_per_day": 6,
        "max_pause_seconds": None,
        "max_drain_seconds": 60,
        "objectives": (TTFT,),
        "origins": (UserOrigin(name="users", share_permille=1000, max_round_trip_milliseconds=60),),
        "moves_today": 0,
        "last_change_time": None,
        "paused_since_time": None,
    } | more
    return WorkloadState(name=name, placements=placements, **values)


def batch(
    name: str = "nightly",
    replicas: int = 4,
    *,
    backlog: float | None = 1000.0,
    placements: tuple[PlacementState, ...] | None = None,
    **more: Any,
) -> WorkloadState:
    """Batch work with an outside dispatcher; 4 replicas in the east when it runs."""
    state = {"deadline_time": None, "external_dispatch": True, "units_per_replica_hour": None}
    state |= {"tokens_per_unit": None}
    state |= {key: more.pop(key) for key in list(state) if key in more}
    rows = placements or (placement("east", replicas, baseline_replicas=4),)
    return workload(
        name,
        rows,
        **(
            {
                "posture": Posture.BATCH,
                "tier": Tier.HIGH,
                "objectives": (),
                "origins": (),
                "min_replicas": 0,
                "batch": BatchState(backlog_units=reading(backlog, unit="Count"), **state),
            }
            | more
        ),
    )


def snapshot(
    workloads: tuple[WorkloadState, ...] | None = None,
    sites: tuple[SiteState, ...] | None = None,
    **more: Any,
) -> Snapshot:
    """The world at NOW."""
    values: dict[str, Any] = {
        "grid_time": NOW,
        "wall_time": WALL,
        "speed": 1.0,
        "mode": Mode.ENFORCE,
        "settings": Settings(reporting_currency="CNY"),
        "profiles": (PROFILE,),
    } | more
    return Snapshot(
        sites=(site("east", price="0.80"), site("west", price="0.30")) if sites is None else sites,
        workloads=(workload(),) if workloads is None else workloads,
        **values,
    )


__all__ = [
    "NOW",
    "PROFILE",
    "TTFT",
    "WALL",
    "MoveIntent",
    "Original",
    "batch",
    "connection",
    "engine",
    "event",
    "hand_over",
    "idle_engine",
    "member",
    "placement",
    "quote",
    "reading",
    "signal",
    "site",
    "snapshot",
    "supply",
    "workload",
]
