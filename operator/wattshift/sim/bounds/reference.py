"""Known answers: spatial bounds on fifteen real grids, computed once by others, computed here again.

`python -m wattshift.sim.bounds.reference --data FOLDER` prints each figure beside the stated one and
fails where they differ by more than half a point. Equal demand everywhere with one production trace's mean
day, watts in proportion to requests, every 7th hour of 2023-24, no cost of moving. The data are not
part of the product: without them this says so and ends.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from wattshift.core.model import Allowed, Posture, Settings, Tier
from wattshift.errors import NeedsHuman, WattshiftError
from wattshift.sim.bounds.flow import CARBON, MONEY, Costs, Weights, figures, solve
from wattshift.sim.bounds.instance import Instance, instance_of
from wattshift.sim.scenario import (
    Array,
    Forecasting,
    ReplicaTable,
    Scenario,
    Signal,
    SimOrigin,
    SimPlacement,
    SimSite,
    SimWorkload,
)

EVERY_HOURS = 7
PATH_FACTOR, KILOMETRES_PER_MILLISECOND, EXTRA_MILLISECONDS = 1.6, 200.0, 2.0
EARTH_KILOMETRES = 6371.0
TRACE_OFFSET_HOURS = 8
"""The trace's clock is UTC and its users are in China."""
TOLERANCE_POINTS = 0.5
VARIABLE = "WATTSHIFT_DATA"

CITIES: tuple[tuple[str, str, float, float, float], ...] = (
    ("AU-NSW", "Sydney", -33.87, 151.21, 10),
    ("AU-VIC", "Melbourne", -37.81, 144.96, 10),
    ("BR-SP", "Sao Paulo", -23.55, -46.63, -3),
    ("CA-ON", "Toronto", 43.65, -79.38, -5),
    ("CL-SIC", "Santiago", -33.45, -70.67, -4),
    ("DE-LU", "Frankfurt", 50.11, 8.68, 1),
    ("IN-WE", "Mumbai", 19.08, 72.88, 5.5),
    ("JP-TK", "Tokyo", 35.68, 139.69, 9),
    ("KR", "Seoul", 37.57, 126.98, 9),
    ("SG", "Singapore", 1.35, 103.82, 8),
    ("US-CAL-CISO", "San Francisco", 37.77, -122.42, -8),
    ("US-MIDA-PJM", "Ashburn", 39.04, -77.49, -5),
    ("US-NY-NYIS", "New York", 40.71, -74.01, -5),
    ("US-TEX-ERCO", "Dallas", 32.78, -96.80, -6),
    ("ZA", "Johannesburg", -26.20, 28.05, 2),
)
"""(grid, city, latitude, longitude, hours from UTC in standard time)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Published reductions in per cent: (dynamic, static rank, day-old); price has no day-old."""

    carbon: tuple[float, float, float]
    price: tuple[float, float]


NO_LIMIT = 100.0
"""Room that one site never fills."""
STATED: dict[tuple[int, float], Stated] = {
    (30, 1.0): Stated(carbon=(1.5, 1.3, 1.4), price=(2.0, 1.2)),
    (30, 1.25): Stated(carbon=(4.3, 3.9, 4.1), price=(5.3, 3.2)),
    (30, 1.5): Stated(carbon=(6.7, 6.0, 6.3), price=(8.0, 5.1)),
    (30, 2.0): Stated(carbon=(9.7, 8.9, 9.2), price=(10.6, 7.1)),
    (30, NO_LIMIT): Stated(carbon=(12.2, 11.3, 11.7), price=(11.4, 8.1)),
    (60, 1.0): Stated(carbon=(2.5, 2.0, 2.2), price=(5.4, 2.8)),
    (60, 1.25): Stated(carbon=(7.0, 6.0, 6.4), price=(13.6, 9.0)),
    (60, 1.5): Stated(carbon=(10.7, 9.7, 10.0), price=(19.8, 13.6)),
    (60, 2.0): Stated(carbon=(15.5, 14.0, 14.7), price=(26.6, 19.2)),
    (60, NO_LIMIT): Stated(carbon=(22.7, 21.7, 22.1), price=(28.4, 23.1)),
    (100, 1.0): Stated(carbon=(4.8, 4.4, 4.6), price=(12.8, 7.0)),
    (100, 1.25): Stated(carbon=(11.3, 9.8, 10.6), price=(25.6, 15.4)),
    (100, 1.5): Stated(carbon=(15.7, 13.9, 14.7), price=(32.5, 21.2)),
    (100, 2.0): Stated(carbon=(21.1, 18.5, 20.0), price=(40.7, 29.4)),
    (100, NO_LIMIT): Stated(carbon=(30.0, 28.2, 29.0), price=(45.2, 34.4)),
    (150, 1.0): Stated(carbon=(12.0, 11.9, 11.9), price=(25.7, 13.2)),
    (150, 1.25): Stated(carbon=(25.5, 23.5, 24.6), price=(44.7, 28.7)),
    (150, 1.5): Stated(carbon=(32.9, 29.9, 31.4), price=(54.4, 38.3)),
    (150, 2.0): Stated(carbon=(41.8, 38.2, 40.0), price=(62.8, 44.2)),
    (150, NO_LIMIT): Stated(carbon=(56.6, 53.1, 54.6), price=(75.5, 51.9)),
    (250, 1.0): Stated(carbon=(12.0, 11.9, 11.9), price=(25.7, 13.2)),
    (250, 1.25): Stated(carbon=(25.7, 23.8, 24.8), price=(44.9, 28.7)),
    (250, 1.5): Stated(carbon=(34.4, 32.3, 33.1), price=(56.1, 38.8)),
    (250, 2.0): Stated(carbon=(46.3, 42.7, 44.6), price=(68.9, 50.0)),
    (250, NO_LIMIT): Stated(carbon=(81.8, 79.7, 80.9), price=(97.7, 74.5)),
}
ON_THE_EDGE = {60: 61}
"""San Francisco to Toronto is 60.3 ms with the cities' centres, and was within 60 ms in the published
table: its 60 ms rows come out with a limit of 61."""
STATED_LOCAL = (405.0, 71.9)
"""B0: g/kWh and USD/MWh."""
USUAL = ((60, 1.5), (150, 1.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grids:
    """What is read from the data folder."""

    carbon: Array
    """[hours, 15] g/kWh."""
    price: Array
    """[hours, 15] USD/MWh, as the file stamps them."""
    shape: Array
    """[24] the trace's mean day by its own hours, mean 1."""
    start: datetime


def read(folder: Path) -> Grids:
    """Read the columns that are needed.

    Raises:
        NeedsHuman: a file is not there.
    """
    columns = [row[0] for row in CITIES]
    grid = folder / "sustain-cluster-grid"
    carbon, first = _table(grid / "carbon_intensity_lca_gco2_per_kwh_2023_2024.csv", columns)
    price, _ = _table(grid / "price_usd_per_mwh_2023_2024.csv", columns)
    rates, _ = _table(folder / "servegen" / "total_rates_rps.csv", ["m-large"])
    hours = rates[:, 0].reshape(-1, 24, 6).mean(axis=(0, 2))
    return Grids(
        carbon=carbon,
        price=price,
        shape=hours / hours.mean(),
        start=datetime.fromisoformat(first).astimezone(UTC),
    )


def _table(path: Path, columns: Sequence[str]) -> tuple[Array, str]:
    try:
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
    except FileNotFoundError as error:
        raise NeedsHuman(
            f"{path} is not there: these data are not part of the product", reason="DataAbsent"
        ) from error
    first = next(iter(rows[0].values()))
    return np.array([[float(row[name]) for name in columns] for row in rows]), str(first)


def round_trips() -> Array:
    """[15, 15] ms: twice the great circle, on longer fibre, and a little for the ends."""
    latitude = np.radians([row[2] for row in CITIES])[:, None]
    longitude = np.radians([row[3] for row in CITIES])[:, None]
    half = (
        np.sin((latitude - latitude.T) / 2) ** 2
        + np.cos(latitude) * np.cos(latitude.T) * np.sin((longitude - longitude.T) / 2) ** 2
    )
    kilometres = 2 * EARTH_KILOMETRES * np.arcsin(np.sqrt(half))
    trips: Array = 2 * kilometres * PATH_FACTOR / KILOMETRES_PER_MILLISECOND + EXTRA_MILLISECONDS
    return trips


def scenario_of(grids: Grids, *, longest: int, head_room: float) -> Scenario:
    """One workload on fifteen sites whose watts follow its requests."""
    hours = np.arange(0, len(grids.carbon), EVERY_HOURS)
    local = (hours[:, None] + np.array([row[4] for row in CITIES])) % 24
    demand = grids.shape[((local - TRACE_OFFSET_HOURS) % 24).astype(int)]
    table = ReplicaTable(
        name="proportional",
        resource_name="device",
        devices_per_replica=1,
        sequences=(0.0, 1.0),
        watts=(0.0, 1000.0),
        tokens_per_second=(0.0, head_room * float(grids.shape.max())),
        inter_token_p50_milliseconds=(20.0, 20.0),
        inter_token_p99_milliseconds=(40.0, 40.0),
        loaded_idle_watts=0.0,
        parked_watts=0.0,
        sequences_at_objective=1.0,
        start_seconds=0.0,
        wake_seconds=0.0,
        park_seconds=0.0,
        prefill_watt_seconds_per_token=0.0,
    )
    workload = SimWorkload(
        namespace="reference",
        name="chat",
        posture=Posture.INTERACTIVE,
        tier=Tier.FIRM,
        priority=0,
        actions=(Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
        min_replicas=0,
        max_replicas=len(CITIES),
        min_dwell_seconds=0,
        max_moves_per_day=1000,
        max_drain_seconds=0,
        objectives=(),
        origins=tuple(
            SimOrigin(name=row[1], max_round_trip_milliseconds=longest) for row in CITIES
        ),
        placements=tuple(
            SimPlacement(
                site_name=row[0],
                profile_name=table.name,
                min_replicas=0,
                max_replicas=1,
                initial_replicas=1,
            )
            for row in CITIES
        ),
        demand_tokens_per_second=demand,
        demand_forecasting=Forecasting(),
        output_tokens_per_request=200.0,
        prompt_tokens_per_request=0.0,
    )
    return Scenario(
        name="reference",
        title="Fifteen grids",
        start_time=grids.start.timestamp(),
        step_seconds=3600.0,
        steps=len(hours),
        seed=0,
        sites=tuple(
            _site(row[0], grids.price[hours, k] / 1000, grids.carbon[hours, k])
            for k, row in enumerate(CITIES)
        ),
        origins=tuple(row[1] for row in CITIES),
        round_trip_milliseconds=round_trips(),
        workloads=(workload,),
        tables=(table,),
        events=(),
        faults=(),
        windows=(),
        settings=Settings(reporting_currency="USD"),
        margin=0.0,
    )


def _site(name: str, price: Array, carbon: Array) -> SimSite:
    return SimSite(
        name=name,
        time_zone="UTC",
        devices=(("device", 1),),
        facility=(),
        import_limit_watts=None,
        ramp_up_watts_per_minute=None,
        ramp_down_watts_per_minute=None,
        price=Signal(values=price, unit="USD/kWh"),
        currency="USD",
        contract=None,
        carbon=Signal(values=carbon, unit="g/kWh"),
        temperature=None,
        supply=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Reductions in per cent: (dynamic, static rank, day-old)."""

    carbon: tuple[float, float, float]
    price: tuple[float, float, float]


def local_means(grids: Grids) -> tuple[float, float]:
    """(g/kWh, USD/MWh) when everybody is served at home."""
    scenario = scenario_of(grids, longest=60, head_room=1.5)
    demand = scenario.workloads[0].demand_tokens_per_second
    hours = np.arange(0, len(grids.carbon), EVERY_HOURS)
    whole = demand.sum()
    return (
        float((demand * grids.carbon[hours]).sum() / whole),
        float((demand * grids.price[hours]).sum() / whole),
    )


def cell(grids: Grids, longest: int, head_room: float) -> Cell:
    """Bound, static rank and day-old persistence for one round trip and capacity."""
    scenario = scenario_of(grids, longest=longest, head_room=head_room)
    return Cell(
        carbon=_reductions(scenario, grids.carbon, CARBON, money=False),
        price=_reductions(scenario, grids.price, MONEY, money=True),
    )


def _reductions(
    scenario: Scenario, truth: Array, weights: Weights, *, money: bool
) -> tuple[float, float, float]:
    instance = instance_of(scenario)
    table = scenario.tables[0]
    demand = scenario.workloads[0].demand_tokens_per_second
    home = _total(instance, demand * table.watts[-1] / table.tokens_per_second[-1], money=money)
    hours = np.arange(0, len(truth), EVERY_HOURS)
    means = np.broadcast_to(truth.mean(axis=0), (len(hours), truth.shape[1]))
    day_old = truth[np.maximum(hours - 24, 0)]
    results = []
    for guess in (truth[hours], means, day_old):
        found = solve(instance, weights, costs=Costs(own=guess, grid=guess))
        results.append(100 * (1 - _total(instance, found.it_watts, money=money) / home))
    return results[0], results[1], results[2]


def _total(instance: Instance, it_watts: Array, *, money: bool) -> float:
    paid, grams = figures(instance, it_watts)
    return float((paid if money else grams).sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a figure is off, 2 where the data are absent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get(VARIABLE), help=f"folder, or {VARIABLE}")
    parser.add_argument("--all", action="store_true", help="all stated cells instead of two")
    options = parser.parse_args(arguments)
    if not options.data:
        sys.stderr.write(f"no data: set {VARIABLE} or --data\n")
        return 2
    try:
        grids = read(Path(options.data))
    except WattshiftError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    local = local_means(grids)
    say = sys.stdout.write
    say(f"served at home: {local[0]:.1f} g/kWh (stated {STATED_LOCAL[0]:.0f}), ")
    say(f"{local[1]:.1f} USD/MWh (stated {STATED_LOCAL[1]})\n")
    say("reductions in %, stated ones in brackets: bound, static rank, day-old\n")
    say("60 ms stands for 61: San Francisco to Toronto is 60.3 ms here\n")
    say(" ms  room   carbon                                  price\n")
    worst = 0.0
    for longest, head_room in STATED if options.all else USUAL:
        found = cell(grids, ON_THE_EDGE.get(longest, longest), head_room)
        stated = STATED[longest, head_room]
        pairs = [*zip(found.carbon, stated.carbon, strict=True)]
        pairs += [*zip(found.price[:2], stated.price, strict=True)]
        worst = max(worst, *(abs(mine - theirs) for mine, theirs in pairs))
        say(
            f"{longest:3d}  {_room(head_room)}   {_row(found.carbon)} ({_row(stated.carbon)})   "
            f"{_row(found.price)} ({_row(stated.price)})\n"
        )
        sys.stdout.flush()
    say(f"largest difference: {worst:.2f} points\n")
    return 0 if worst <= TOLERANCE_POINTS else 1


def _room(head_room: float) -> str:
    return "none" if head_room >= NO_LIMIT else f"{head_room:4.2f}"


def _row(values: Sequence[float]) -> str:
    return " ".join(f"{value:5.1f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
