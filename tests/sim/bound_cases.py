"""Small scenarios for the bounds: one site, one line each, and random tiny ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wattshift.core.model import Allowed, FacilityPoint, Posture, Settings, Tier
from wattshift.sim.scenario import (
    Forecasting,
    ReplicaTable,
    Scenario,
    Signal,
    SimOrigin,
    SimPlacement,
    SimSite,
    SimWorkload,
)

NOON = 1_700_000_000.0 // 86400 * 86400 + 43200


def table(
    name: str = "llm",
    *,
    sequences: Sequence[float] = (0.0, 10.0),
    watts: Sequence[float] = (650.0, 1000.0),
    tokens: Sequence[float] = (0.0, 100.0),
    objective: float = 10.0,
    devices: int = 1,
    resource: str = "nvidia.com/gpu",
    caps: tuple[tuple[float, float], ...] = ((1.0, 1.0),),
) -> ReplicaTable:
    return ReplicaTable(
        name=name,
        resource_name=resource,
        devices_per_replica=devices,
        sequences=tuple(sequences),
        watts=tuple(watts),
        tokens_per_second=tuple(tokens),
        inter_token_p50_milliseconds=tuple(20.0 for _ in sequences),
        inter_token_p99_milliseconds=tuple(40.0 for _ in sequences),
        loaded_idle_watts=watts[0],
        parked_watts=0.0,
        sequences_at_objective=objective,
        start_seconds=300.0,
        wake_seconds=20.0,
        park_seconds=5.0,
        prefill_watt_seconds_per_token=0.0,
        cap_throughput=caps,
    )


def series(values: Sequence[float], unit: str) -> Signal:
    return Signal(values=np.asarray(values, dtype=float), unit=unit)


def site(
    name: str,
    price: Sequence[float],
    carbon: Sequence[float],
    *,
    devices: int = 10,
    import_limit: float | None = None,
    supply: Sequence[float] | None = None,
    export_price: Sequence[float] | None = None,
    green: Sequence[float] | None = None,
    facility: tuple[FacilityPoint, ...] = (),
    cooling: Sequence[float] | None = None,
) -> SimSite:
    return SimSite(
        name=name,
        time_zone="UTC",
        devices=(("nvidia.com/gpu", devices),),
        facility=facility,
        import_limit_watts=import_limit,
        ramp_up_watts_per_minute=None,
        ramp_down_watts_per_minute=None,
        price=series(price, "USD/kWh"),
        currency="USD",
        contract=None,
        carbon=series(carbon, "GramPerKilowattHour"),
        temperature=None,
        supply=None if supply is None else series(supply, "Watt"),
        supply_name="" if supply is None else "sun",
        supply_type="" if supply is None else "Solar",
        export_price=None if export_price is None else series(export_price, "USD/kWh"),
        green_share=None if green is None else series(green, "Ratio"),
        cooling_limit=None if cooling is None else series(cooling, "Watt"),
    )


def workload(
    name: str,
    places: Sequence[str],
    demand: Sequence[Sequence[float]],
    origins: Sequence[tuple[str, int | None]],
    *,
    most: int = 10,
    initial: int = 0,
    table_name: str | Sequence[str] = "llm",
    shifts: bool = True,
) -> SimWorkload:
    tables = [table_name] * len(places) if isinstance(table_name, str) else list(table_name)
    return SimWorkload(
        namespace="default",
        name=name,
        posture=Posture.INTERACTIVE,
        tier=Tier.FIRM,
        priority=0,
        actions=(Allowed.SCALE, Allowed.SHIFT_TRAFFIC) if shifts else (Allowed.SCALE,),
        min_replicas=0,
        max_replicas=most * len(places),
        min_dwell_seconds=0,
        max_moves_per_day=100,
        max_drain_seconds=60,
        objectives=(),
        origins=tuple(
            SimOrigin(name=row, max_round_trip_milliseconds=longest) for row, longest in origins
        ),
        placements=tuple(
            SimPlacement(
                site_name=place,
                profile_name=profile,
                min_replicas=0,
                max_replicas=most,
                initial_replicas=initial,
            )
            for place, profile in zip(places, tables, strict=True)
        ),
        demand_tokens_per_second=np.asarray(demand, dtype=float),
        demand_forecasting=Forecasting(),
        output_tokens_per_request=200.0,
        prompt_tokens_per_request=1000.0,
    )


def scenario(
    sites: Sequence[SimSite],
    workloads: Sequence[SimWorkload],
    *,
    origins: Sequence[str] | None = None,
    round_trips: Sequence[Sequence[float]] | None = None,
    tables: Sequence[ReplicaTable] | None = None,
    step_seconds: float = 3600.0,
    margin: float = 0.1,
) -> Scenario:
    names = tuple(origins or [row.name for row in sites])
    trips = np.full((len(names), len(sites)), 10.0) if round_trips is None else round_trips
    return Scenario(
        name="case",
        title="A case",
        start_time=NOON,
        step_seconds=step_seconds,
        steps=len(workloads[0].demand_tokens_per_second),
        seed=1,
        sites=tuple(sites),
        origins=names,
        round_trip_milliseconds=np.asarray(trips, dtype=float),
        workloads=tuple(workloads),
        tables=tuple(tables or [table()]),
        events=(),
        faults=(),
        windows=(),
        settings=Settings(reporting_currency="USD"),
        margin=margin,
    )


def random_scenario(
    seed: int,
    *,
    sites: int = 3,
    steps: int = 4,
    workloads: int = 1,
    lowest_price: float = -0.05,
    tables: int = 1,
    supply: bool = False,
    most: int = 2,
    tight: bool = False,
    linear: bool = False,
) -> Scenario:
    """Any scenario of this size; demand always has room somewhere when all sites are in reach."""
    rng = np.random.default_rng(seed)
    names = [f"s{k}" for k in range(sites)]
    rows = [
        site(
            name,
            rng.uniform(lowest_price, 0.3, steps).round(4),
            rng.uniform(20, 800, steps).round(1),
            devices=most * max(1, workloads if not tight else 1),
            supply=rng.uniform(0, 2500, steps).round(0) if supply else None,
            facility=(
                FacilityPoint(
                    temperature_millicelsius=20000,
                    fixed_watts=int(rng.integers(0, 300)),
                    marginal_permille=int(rng.integers(1000, 1600)),
                ),
            ),
        )
        for name in names
    ]
    kinds = [
        table(
            f"llm{k}",
            sequences=(0.0, 4.0, 10.0, 20.0),
            watts=np.cumsum([400.0, *rng.uniform(50, 400, 3)]).round(1).tolist(),
            tokens=np.cumsum([0.0, *(np.sort(rng.uniform(5, 60, 3))[::-1])]).round(1).tolist(),
        )
        for k in range(tables)
    ]
    if linear:
        # best at full load; concave, a little bent the other way, or a line
        kinds = [
            table(
                f"llm{k}",
                sequences=(0.0, 2.0, 6.0, 10.0),
                watts=(
                    float(rng.integers(100, 500)),
                    700.0,
                    *rng.choice([[820, 1000], [900, 1000], [850, 1000]]),
                ),
                tokens=(0.0, *(np.array([0.2, 0.6, 1.0]) * rng.integers(20, 120)).round(2)),
            )
            for k in range(tables)
        ]
    lowest = min(float(np.interp(10.0, kind.sequences, kind.tokens_per_second)) for kind in kinds)
    jobs = [
        workload(
            f"w{k}",
            names,
            rng.uniform(0.1, 0.9, (steps, 2)).round(3) * lowest,
            [("near", 50), ("far", None)],
            most=most,
            table_name=[f"llm{int(rng.integers(tables))}" for _ in names],
        )
        for k in range(workloads)
    ]
    trips = np.where(rng.random((2, sites)) < 0.3, 90.0, 20.0)
    trips[:, 0] = 20.0
    return scenario(
        rows, jobs, origins=["near", "far"], round_trips=trips, tables=kinds, margin=0.1
    )
