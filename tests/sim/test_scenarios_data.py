"""The full scenarios on the data folder; skipped where it is absent."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ortools.graph.python import min_cost_flow

from wattshift.sim.load import load
from wattshift.sim.scenario import Array, Scenario

pytestmark = pytest.mark.skipif(
    not Path(os.environ.get("WATTSHIFT_DATA", "/nowhere"), "servegen").is_dir(),
    reason="WATTSHIFT_DATA names no data folder",
)
HOURLY = ["stepSeconds=3600", "planEverySeconds=3600", "governEverySeconds=3600"]


@cache
def hourly(*more: str) -> Scenario:
    return load("s1-global", overrides=[*HOURLY, *more])


def bound(scenario: Scenario, cost: Array) -> float:
    """Change of the perfect-information bound against serving at home, every 7th hour."""
    workload, sites = scenario.workloads[0], len(scenario.sites)
    limit = workload.origins[0].max_round_trip_milliseconds
    arcs = np.argwhere(scenario.round_trip_milliseconds <= limit)
    rate = scenario.tables[0].tokens_per_second[-1]
    capacity = int(workload.placements[0].max_replicas * rate * 100)
    tails = np.r_[arcs[:, 0], sites + np.arange(sites)].astype(np.int32)
    heads = np.r_[sites + arcs[:, 1], np.full(sites, 2 * sites)].astype(np.int32)
    home = best = 0.0
    for step in range(0, scenario.steps, 7):
        demand = np.rint(workload.demand_tokens_per_second[step] * 100).astype(np.int64)
        flow = min_cost_flow.SimpleMinCostFlow()
        flow.add_arcs_with_capacity_and_unit_cost(
            tails,
            heads,
            np.r_[demand[arcs[:, 0]], np.full(sites, capacity)],
            np.r_[np.rint(cost[step, arcs[:, 1]] * 1000), np.zeros(sites)].astype(np.int64),
        )
        flow.set_nodes_supplies(
            np.arange(2 * sites + 1, dtype=np.int32),
            np.r_[demand, np.zeros(sites, dtype=np.int64), -demand.sum()],
        )
        assert flow.solve() == flow.OPTIMAL
        best += flow.optimal_cost() / 1000
        home += float(demand @ cost[step])
    return best / home - 1


def test_the_bounds_of_s1_are_the_published_ones():
    scenario = hourly(
        "variant=rtt-150",
        "workloads.chat.demand.noise=null",
        "workloads.chat.demand.interpolation=Hold",
    )
    carbon = np.stack([site.carbon.values for site in scenario.sites], axis=1)
    price = np.stack([site.price.values * 1000 for site in scenario.sites], axis=1)
    assert bound(scenario, carbon) == pytest.approx(-0.328, abs=0.002)
    assert bound(scenario, price) == pytest.approx(-0.548, abs=0.003)


def test_own_peak_of_s1_is_that_of_the_mean_day():
    scenario = hourly(
        "workloads.chat.demand.noise=null", "workloads.chat.demand.interpolation=Hold"
    )
    demand = scenario.workloads[0].demand_tokens_per_second
    assert demand[:, 0].max() / demand[:, 0].mean() == pytest.approx(1.143, abs=0.003)


def test_realigned_prices_follow_the_sun_and_the_evening():
    scenario = hourly()
    by_name = {site.name: site for site in scenario.sites}
    hours = (np.arange(scenario.steps) - 8) % 24  # Pacific standard time
    price = by_name["san-francisco"].price.values
    means = np.array([price[hours == hour].mean() for hour in range(24)])
    assert int(np.argmin(means)) in (11, 12, 13)
    assert int(np.argmax(means)) in (17, 18, 19)
    hours = (np.arange(scenario.steps) - 5) % 24  # Eastern standard time
    for name in ("ashburn", "new-york"):
        price = by_name[name].price.values
        means = np.array([price[hours == hour].mean() for hour in range(24)])
        assert int(np.argmin(means)) in (2, 3, 4), name
        assert int(np.argmax(means)) in (16, 17, 18, 19), name


def test_weeks_are_eight_and_thirteen_over_the_quarters_whatever_the_seed():
    scenario = hourly()
    assert load("s1-global", overrides=HOURLY, seed=9).windows == scenario.windows
    development = [window for window in scenario.windows if window.development]
    reported = [window for window in scenario.windows if not window.development]
    assert (len(development), len(reported)) == (8, 13)
    for one, two in zip(scenario.windows, scenario.windows[1:], strict=False):
        assert one.last_step <= two.first_step

    def quarter(window) -> tuple[int, int]:
        middle = scenario.time((window.first_step + window.last_step) // 2)
        moment = datetime.fromtimestamp(middle, UTC)
        return moment.year, (moment.month - 1) // 3

    assert set(Counter(map(quarter, reported)).values()) == {1, 2}
    assert len(Counter(map(quarter, reported))) == 8
    assert set(Counter(map(quarter, development)).values()) == {1}
    for window in scenario.windows:
        assert window.last_step - window.first_step == 168
        assert window.first_step >= 14 * 24
        assert datetime.fromtimestamp(scenario.time(window.first_step), UTC).weekday() == 0


def test_variants_change_what_they_say():
    scenario = hourly("variant=rtt-60,replicas-64,head-room-2,wake-20")
    workload = scenario.workloads[0]
    assert {origin.max_round_trip_milliseconds for origin in workload.origins} == {60}
    assert {placement.max_replicas for placement in workload.placements} == {64}
    assert scenario.tables[0].start_seconds == 20
    three = load("s1-global", overrides=["variant=three-sites", *HOURLY])
    assert [site.name for site in three.sites] == ["toronto", "ashburn", "dallas"]
    assert all(window.last_step - window.first_step == 30 * 24 for window in three.windows)
    assert len(three.windows) == 23


@pytest.mark.parametrize("name", ["s2-east-west", "s3-wind", "s5-heat", "s6-bad-signals"])
def test_the_other_full_scenarios_load(name):
    more = ["variant=fleet-60"] if name == "s2-east-west" else []
    scenario = load(name, overrides=more)
    assert any(not window.development for window in scenario.windows)


def test_s2_has_supply_for_its_work_and_months_of_china():
    scenario = load("s2-east-west", overrides=["variant=fleet-60"])
    assert [window.last_step - window.first_step for window in scenario.windows][:2] == [744, 696]
    assert scenario.windows[0].first_step == 0
    supply = sum(site.supply.values.mean() for site in scenario.sites if site.supply)
    hubs = [site for site in scenario.sites if site.supply]
    installed = sum(count for site in hubs for _, count in site.devices) / 4 * 2184 * 1.15
    nameplate = sum(site.supply.values.max() for site in hubs)
    assert nameplate / installed == pytest.approx(4.6, rel=0.05)


def test_nine_reported_months_of_s2_can_be_eighty_percent_green():
    # Work that may go west follows the supply hour by hour; batch work and batteries left out.
    scenario = load("s2-east-west", overrides=["variant=fleet-60"])
    watts = 2184 * 1.15 / 3876
    demand = [item for item in scenario.workloads if item.origins]
    need = watts * sum(item.demand_tokens_per_second.sum(axis=1) for item in demand)
    near = watts * sum(
        item.demand_tokens_per_second[:, column]
        for item in demand
        for column, origin in enumerate(item.origins)
        if origin.max_round_trip_milliseconds == 15
    )
    batch = sum(item.batch.arrivals_units for item in scenario.workloads if item.batch) / 100
    batch = np.mean(batch) * 2184 * 1.15
    hubs = [site for site in scenario.sites if site.supply]
    installed = [sum(count for _, count in site.devices) / 4 * 2184 * 1.15 for site in hubs]
    fixed = [site.facility[0].fixed_watts for site in scenario.sites]
    west = sum(
        np.minimum(site.supply.values, most + 20_000)
        for site, most in zip(hubs, installed, strict=True)
    )
    green = np.minimum(west, need + batch - near + sum(fixed[-4:]))
    total = need + batch + sum(fixed)
    shares = {
        window.name: green[window.first_step : window.last_step].sum()
        / total[window.first_step : window.last_step].sum()
        for window in scenario.windows
        if not window.development
    }
    assert sum(share >= 0.8 for share in shares.values()) == 9, shares


def test_the_shipped_slices_are_those_of_the_data_folder():
    from scripts.scenarios import shipped_data

    folder = Path(os.environ["WATTSHIFT_DATA"])
    for name, made in (
        ("rts-pv-hourly.csv", shipped_data.pv_hourly),
        ("servegen-hourly.csv", shipped_data.servegen_hourly),
    ):
        assert (shipped_data.DATA / name).read_text() == made(folder)
