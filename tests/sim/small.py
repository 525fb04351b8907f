"""A tiny scenario made by hand for tests of the simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wattshift.core.engine import Metric
from wattshift.core.model import (
    Allowed,
    FacilityPoint,
    Objective,
    Posture,
    Settings,
    Snapshot,
    Tier,
)
from wattshift.sim.policies.base import Orders
from wattshift.sim.scenario import (
    Forecasting,
    ForecastModel,
    ReplicaTable,
    Scenario,
    Signal,
    SimOrigin,
    SimPlacement,
    SimSite,
    SimWorkload,
    Window,
)

START = 1_700_006_400.0
"""2023-11-15 00:00 UTC."""
LLAMA = ReplicaTable(
    name="llama-70b",
    resource_name="nvidia.com/gpu",
    devices_per_replica=4,
    sequences=(8, 64, 128, 256, 1024),
    watts=(1765, 2002, 2184, 2354, 2548),
    tokens_per_second=(470, 2511, 3876, 4915, 6827),
    inter_token_p50_milliseconds=(16.6, 22.4, 27.9, 39.8, 106),
    inter_token_p99_milliseconds=(21, 91, 121, 240, 593),
    loaded_idle_watts=456,
    parked_watts=0,
    sequences_at_objective=64,
    start_seconds=300,
    wake_seconds=20,
    park_seconds=5,
    prefill_watt_seconds_per_token=2.0,
    cap_throughput=((0.5, 0.75), (0.66, 0.87), (0.79, 0.93), (1.0, 1.0)),
)
FACILITY = (
    FacilityPoint(temperature_millicelsius=10_000, fixed_watts=1000, marginal_permille=1100),
    FacilityPoint(temperature_millicelsius=30_000, fixed_watts=1500, marginal_permille=1250),
)


def day(low: float, high: float, steps: int, shift: float = 0.0) -> np.ndarray:
    """A smooth daily wave in 5-minute steps."""
    hours = np.arange(steps) * 300.0 / 3600.0 + shift
    return low + (high - low) * 0.5 * (1 - np.cos(2 * np.pi * hours / 24))


def site(name: str, steps: int, shift: float = 0.0, **changes: object) -> SimSite:
    values = dict(
        name=name,
        time_zone="UTC",
        devices=(("nvidia.com/gpu", 64),),
        facility=FACILITY,
        import_limit_watts=None,
        ramp_up_watts_per_minute=None,
        ramp_down_watts_per_minute=None,
        price=Signal(
            values=np.repeat(day(0.02, 0.15, steps, shift)[::12], 12)[:steps],
            unit="USDPerKilowattHour",
            forecasting=Forecasting(model=ForecastModel.PUBLISHED),
        ),
        currency="USD",
        contract=None,
        carbon=Signal(
            values=np.repeat(day(100, 500, steps, shift + 3)[::12], 12)[:steps],
            unit="GramPerKilowattHour",
            forecasting=Forecasting(model=ForecastModel.HOUR_OF_DAY, delay_seconds=3600),
        ),
        temperature=Signal(
            values=day(5, 35, steps, shift), unit="DegreeCelsius", forecasting=Forecasting()
        ),
        supply=None,
    )
    return SimSite(**{**values, **changes})


def chat(steps: int, sites: tuple[str, ...], **changes: object) -> SimWorkload:
    origins = ("east", "west")
    demand = np.stack([day(1000, 6000, steps), day(1000, 6000, steps, 12)], axis=1)
    values = dict(
        namespace="llm",
        name="chat",
        posture=Posture.INTERACTIVE,
        tier=Tier.FIRM,
        priority=0,
        actions=(Allowed.SCALE, Allowed.MIGRATE, Allowed.SHIFT_TRAFFIC),
        min_replicas=1,
        max_replicas=64,
        min_dwell_seconds=600,
        max_moves_per_day=4,
        max_drain_seconds=120,
        objectives=(
            Objective(
                metric=Metric.TIME_TO_FIRST_TOKEN,
                threshold_milliseconds=1500,
                attainment_permille=950,
                window_seconds=600,
            ),
            Objective(
                metric=Metric.INTER_TOKEN_LATENCY,
                threshold_milliseconds=100,
                attainment_permille=950,
                window_seconds=600,
            ),
        ),
        origins=tuple(
            SimOrigin(name=name, max_round_trip_milliseconds=150 if name == "east" else None)
            for name in origins
        ),
        placements=tuple(
            SimPlacement(
                site_name=name,
                profile_name="llama-70b",
                min_replicas=0,
                max_replicas=16,
                initial_replicas=4,
            )
            for name in sites
        ),
        demand_tokens_per_second=demand,
        demand_forecasting=Forecasting(model=ForecastModel.HOUR_OF_DAY),
        output_tokens_per_request=250.0,
        prompt_tokens_per_request=1000.0,
    )
    return SimWorkload(**{**values, **changes})


def scenario(steps: int = 288, **changes: object) -> Scenario:
    """Three sites, one workload, 5-minute steps."""
    names = ("alpha", "beta", "gamma")
    values = dict(
        name="small",
        title="Three sites",
        start_time=START,
        step_seconds=300.0,
        steps=steps,
        seed=1,
        sites=tuple(site(name, steps, 8.0 * i) for i, name in enumerate(names)),
        origins=("east", "west"),
        round_trip_milliseconds=np.asarray([[10.0, 120.0, 200.0], [200.0, 120.0, 10.0]]),
        workloads=(chat(steps, names),),
        tables=(LLAMA,),
        events=(),
        faults=(),
        windows=(Window(name="day", first_step=0, last_step=steps),),
        settings=Settings(reporting_currency="USD"),
    )
    return Scenario(**{**values, **changes})


def with_site(base: Scenario, index: int, **changes: object) -> Scenario:
    """One site changed."""
    rows = list(base.sites)
    rows[index] = replace(rows[index], **changes)
    return replace(base, sites=tuple(rows))


class Nothing:
    """Never orders anything."""

    name = "nothing"

    def __init__(self) -> None:
        self.seen: list[Snapshot] = []

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        self.seen.append(snapshot)
        return Orders()


class Scripted(Nothing):
    """Orders by step of the clock: {seconds after the first decision: Orders}."""

    name = "scripted"

    def __init__(self, orders: dict[float, Orders]) -> None:
        super().__init__()
        self._orders = dict(orders)

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        self.seen.append(snapshot)
        due = [t for t in self._orders if snapshot.wall_time >= t]
        found = Orders()
        for t in sorted(due):
            row = self._orders.pop(t)
            found.replicas.update(row.replicas)
            found.split.update(row.split)
            found.caps.update(row.caps)
        return found


class Local(Nothing):
    """Scales each site with its own load."""

    name = "local"

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        self.seen.append(snapshot)
        orders = Orders()
        for workload in snapshot.workloads:
            for place in workload.placements:
                engine = place.engine
                if engine is None or place.learned_concurrency is None:
                    continue
                need = 1.3 * (engine.concurrency + engine.waiting) / place.learned_concurrency
                orders.replicas[workload.key, place.name] = max(1, int(np.ceil(need)))
        return orders
