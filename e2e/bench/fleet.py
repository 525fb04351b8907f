"""A seeded fleet for offline plans: many workloads over many sites, as a large operator would see it.

Seven in ten workloads serve users (with engine statistics and a latency objective), three in ten are
batch with an outside dispatcher. Each may run at two to four sites. Same seed, same snapshot.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from wattshift.core.contract.quote import Adders, PriceQuote
from wattshift.core.engine import Counts, EngineStats, LatencyWindow, Metric
from wattshift.core.model import (
    AcceleratorState,
    Allowed,
    BatchState,
    ConnectionState,
    EventState,
    FacilityPoint,
    Firmness,
    MemberPhase,
    MemberState,
    Mode,
    Objective,
    Origin,
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

NOW = 1_784_160_000.0
WALL = 90_000.0
HOUR = 3600.0
INTERACTIVE_SHARE = 0.7
OBJECTIVE = Objective(
    metric=Metric.TIME_TO_FIRST_TOKEN,
    threshold_milliseconds=800,
    attainment_permille=950,
    window_seconds=600,
)
PROFILES = tuple(
    PowerProfile(
        name=name,
        resource_name=resource,
        devices_per_replica=devices,
        loaded_idle_watts=idle,
        floor_watts=floor,
        watts_per_output_token_per_second=None,
        watts_per_prompt_token_per_second=None,
        busy_watts=busy,
        output_tokens_per_second_at_objective=None,
        max_concurrency_at_objective=sequences,
        cold_start_seconds=120,
        source="benchmark",
    )
    for name, resource, devices, idle, floor, busy, sequences in (
        ("70b-4xh100", "nvidia.com/gpu", 4, 456, 1707, 2002, 64),
        ("8b-1xh100", "nvidia.com/gpu", 1, 114, 430, 620, 48),
        ("32b-8x910b", "huawei.com/Ascend910", 8, 760, 1900, 2600, 64),
    )
)
"""Devices and watts of usual replicas; the figures only have to be plausible here."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is generated."""

    workloads: int
    sites: int
    seed: int = 1
    pressed_sites: int = 0
    """Sites with an active mandatory event at 80 % of the power that the fleet draws there."""


def snapshot(size: Size) -> Snapshot:
    """The fleet at one moment; sites hold about 1.6 times what runs."""
    rng = random.Random(size.seed)
    names = [f"site-{number:02}" for number in range(size.sites)]
    workloads = tuple(_workload(number, names, rng) for number in range(size.workloads))
    drawn = _drawn(workloads)
    return Snapshot(
        grid_time=NOW,
        wall_time=WALL,
        speed=1.0,
        mode=Mode.ENFORCE,
        settings=Settings(reporting_currency="CNY", carbon_price_per_tonne="80"),
        sites=tuple(
            _site(name, drawn.get(name, (0.0, {})), rng, pressed=number < size.pressed_sites)
            for number, name in enumerate(names)
        ),
        workloads=workloads,
        profiles=PROFILES,
    )


def _drawn(workloads: Sequence[WorkloadState]) -> dict[str, tuple[float, dict[str, int]]]:
    """(busy IT watts, devices by resource) that stand at each site."""
    profiles = {row.name: row for row in PROFILES}
    found: dict[str, tuple[float, dict[str, int]]] = {}
    for workload in workloads:
        for row in workload.placements:
            profile = profiles[row.profile_name]
            watts, devices = found.get(row.site_name, (0.0, {}))
            count = row.observed_replicas or 0
            name = profile.resource_name
            more = devices.get(name, 0) + count * profile.devices_per_replica
            found[row.site_name] = (
                watts + count * float(profile.busy_watts or 0),
                {**devices, name: more},
            )
    return found


def _workload(number: int, sites: Sequence[str], rng: random.Random) -> WorkloadState:
    profile = rng.choice(PROFILES)
    interactive = rng.random() < INTERACTIVE_SHARE
    chosen = sorted(rng.sample(sites, min(len(sites), rng.randint(2, 4))))
    home = rng.choice(chosen)
    total = rng.randint(2, 12)
    placements = tuple(
        _placement(site, total if site == home else 0, profile, rng, engines=interactive)
        for site in chosen
    )
    dwell = rng.choice((900, 1800, 3600))
    return WorkloadState(
        namespace=f"team-{number % 40:02}",
        name=f"model-{number:04}",
        uid=f"uid-{number}",
        accepted=True,
        mode=Mode.ENFORCE,
        posture=Posture.INTERACTIVE if interactive else Posture.BATCH,
        tier=rng.choice((Tier.LOW, Tier.MEDIUM)) if interactive else Tier.HIGH,
        priority=rng.randint(0, 3),
        actions=(Allowed.MIGRATE, Allowed.PAUSE, Allowed.SCALE),
        min_replicas=1 if interactive else 0,
        max_replicas=2 * total,
        min_dwell_seconds=dwell,
        max_moves_per_day=6,
        max_pause_seconds=None,
        max_drain_seconds=120,
        objectives=(OBJECTIVE,) if interactive else (),
        origins=(Origin(name="users", share_permille=1000, max_round_trip_milliseconds=60),)
        if interactive
        else (),
        placements=placements,
        moves_today=0,
        last_change_time=NOW - rng.uniform(0, 2 * dwell),
        paused_since_time=None,
        batch=None
        if interactive
        else BatchState(
            backlog_units=reading(float(rng.randint(0, 5000)), "Count"),
            deadline_time=NOW + rng.uniform(4, 20) * HOUR,
            external_dispatch=True,
            units_per_replica_hour=rng.uniform(20, 200),
        ),
    )


def _placement(
    site: str, replicas: int, profile: PowerProfile, rng: random.Random, *, engines: bool
) -> PlacementState:
    return PlacementState(
        name=site,
        site_name=site,
        cluster_name="cluster",
        profile_name=profile.name,
        min_replicas=0,
        max_replicas=24,
        baseline_replicas=None,
        target_found=True,
        target_problem="",
        observed_replicas=replicas,
        ready_replicas=replicas,
        in_service_replicas=replicas,
        desired_replicas=None,
        last_written_replicas=None,
        last_write_time=None,
        rival=False,
        engine=_engine(replicas, profile, rng) if engines and replicas else None,
    )


def _engine(replicas: int, profile: PowerProfile, rng: random.Random) -> EngineStats:
    concurrency = rng.uniform(0.15, 0.55) * replicas * profile.max_concurrency_at_objective
    requests = round(concurrency * 20)
    bad = rng.randint(0, requests // 60)
    return EngineStats(
        age_seconds=2.0,
        scrape_interval_seconds=5.0,
        pods_scraped=replicas,
        pods_expected=replicas,
        running=round(concurrency),
        waiting=0,
        waiting_longest_seconds=0.0,
        first_tokens_per_second=concurrency / 8,
        output_tokens_per_second=concurrency * 25,
        prompt_tokens_per_second=concurrency * 90,
        requests_per_second=concurrency / 8,
        concurrency=concurrency,
        kv_cache_usage=rng.uniform(0.1, 0.5),
        preemptions=0,
        idle_seconds=0.0,
        windows=(
            LatencyWindow(
                metric=OBJECTIVE.metric,
                threshold_milliseconds=OBJECTIVE.threshold_milliseconds,
                slow=Counts(good=requests - bad, bad=bad),
                fast=Counts(good=requests // 10, bad=0),
                slow_seconds=600,
                fast_seconds=60,
                requests_slow=requests,
                requests_fast=requests // 10,
            ),
        ),
    )


def _site(
    name: str,
    drawn: tuple[float, dict[str, int]],
    rng: random.Random,
    *,
    pressed: bool,
) -> SiteState:
    watts, devices = drawn
    facility = watts * 1.15 + 2000
    limit = max(10_000, round(1.6 * facility))
    base, phase = rng.uniform(0.35, 0.9), rng.uniform(0, 24)
    carbon = rng.uniform(150, 800)
    wind = rng.uniform(0, 0.4) * limit
    events: tuple[EventState, ...] = ()
    if pressed:
        events = (
            EventState(
                name="order",
                revision=1,
                connection_name="feed",
                start_time=NOW - 600,
                end_time=NOW + HOUR,
                upper_watts=max(0, round(0.8 * facility - wind)),  # of import: own supply is on top
                lower_watts=None,
                ramp_seconds=0,
                firmness=Firmness.MANDATORY,
                active=True,
            ),
        )
    return SiteState(
        name=name,
        mode=Mode.ENFORCE,
        accepted=True,
        time_zone="Asia/Shanghai",
        it_capacity_watts=None,
        ramp_up_watts_per_minute=None,
        ramp_down_watts_per_minute=None,
        facility=(
            FacilityPoint(temperature_millicelsius=0, fixed_watts=2000, marginal_permille=1150),
        ),
        outdoor_temperature=None,
        connections=(
            ConnectionState(
                name="feed",
                import_limit_watts=limit,
                contract_maximum_watts=None,
                averaging_minutes=15,
                metered=None,
                uncontrolled=None,
                price=_quote(base, phase, 0),
                price_ahead=tuple(
                    (NOW + hour * HOUR, _quote(base, phase, hour)) for hour in range(1, 24)
                ),
                contract_name=f"{name}-contract",
            ),
        ),
        supplies=(
            SupplyState(
                name="wind",
                type="DirectWind",
                capacity_watts=limit // 2,
                power=reading(wind, "Watt"),
            ),
        ),
        accelerators=tuple(
            AcceleratorState(resource_name=key, profile_name="", count=round(1.6 * count) + 16)
            for key, count in sorted(devices.items())
        ),
        origin_round_trip_milliseconds=(("users", rng.randint(5, 55)),),
        events=events,
        members=(
            MemberState(
                name="cluster",
                uid=f"uid-{name}",
                phase=MemberPhase.READY,
                since_wall_time=0.0,
                age_seconds=1.0,
                connection_name="feed",
            ),
        ),
        signals=(
            SignalState(
                name="carbon",
                quantity=Quantity.CARBON_INTENSITY_AVERAGE,
                kind=SignalKind.OBSERVATION,
                rank=0,
                on_stale=OnStale.HOLD,
                reading=reading(carbon, "GramPerKilowattHour"),
            ),
            SignalState(
                name="carbon-ahead",
                quantity=Quantity.CARBON_INTENSITY_AVERAGE,
                kind=SignalKind.FORECAST,
                rank=0,
                on_stale=OnStale.IGNORE,
                forecast=Forecast(
                    issued_time=NOW,
                    end_time=NOW + 24 * HOUR,
                    points=tuple(
                        ForecastPoint(start_time=NOW + h * HOUR, value=carbon * _daily(phase, h))
                        for h in range(24)
                    ),
                ),
            ),
        ),
    )


def reading(value: float, unit: str) -> Reading:
    """A fresh measured value."""
    return Reading(
        value=value,
        unit=unit,
        source_time=NOW - 5,
        received_time=NOW - 5,
        valid_until=NOW + 600,
        quality=Quality.MEASURED,
    )


def _daily(phase: float, hour: int) -> float:
    return 1 + 0.4 * math.sin((hour + phase) / 24 * math.tau)


def _quote(base: float, phase: float, hour: int) -> PriceQuote:
    rate = Decimal(str(round(base * _daily(phase, hour), 4)))
    return PriceQuote(
        known=True,
        reason="",
        message="",
        currency="CNY",
        band="Flat",
        up=Adders(energy=rate, demand_adder=Decimal("0.02")),
        down=Adders(energy=rate),
        grid_energy=rate,
        direct_energy=None,
        next_change_time=NOW + (hour + 1) * HOUR,
        next_band="",
        next_grid_energy=None,
        valid_until=None,
    )
