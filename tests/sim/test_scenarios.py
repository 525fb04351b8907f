"""The shipped scenarios: the small ones load anywhere, and their series are what the pages say."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache

import numpy as np
import pytest

from wattshift.sim.load import ScenarioError, load, shipped
from wattshift.sim.load_grid import Grid
from wattshift.sim.load_synthetic import drift, generator, mapped, solar, wind
from wattshift.sim.scenario import Scenario
from wattshift.sim.schema_series import Quantiles, Solar, Wind

SMALL = [f"s{number}-small" for number in range(1, 8)]
FULL = [
    "s1-global", "s2-east-west", "s3-wind", "s4-demand-response", "s5-heat", "s6-bad-signals",
    "s7-scale",
]  # fmt: skip
NEEDS_DATA = {"s1-global", "s2-east-west", "s3-wind", "s5-heat", "s6-bad-signals"}


@cache
def small(name: str) -> Scenario:
    return load(name, environment={})


def test_all_fourteen_are_shipped():
    assert set(SMALL) | set(FULL) <= set(shipped())


@pytest.mark.parametrize("name", SMALL)
def test_a_small_scenario_is_whole(name):
    scenario = small(name)
    sites = {site.name for site in scenario.sites}
    assert scenario.name == name
    assert scenario.sources
    tables = {table.name for table in scenario.tables}
    installed = {site.name: dict(site.devices) for site in scenario.sites}
    for workload in scenario.workloads:
        demand = workload.demand_tokens_per_second
        assert demand.shape == (scenario.steps, len(workload.origins))
        assert np.isfinite(demand).all()
        assert (demand >= 0).all()
        assert {placement.site_name for placement in workload.placements} <= sites
        assert {placement.profile_name for placement in workload.placements} <= tables
        assert {origin.name for origin in workload.origins} <= set(scenario.origins)
        for placement in workload.placements:
            assert placement.min_replicas <= placement.initial_replicas <= placement.max_replicas
    for site in scenario.sites:
        assert all(count >= 0 for count in installed[site.name].values())
        for field in fields(site):
            value = getattr(site, field.name)
            if is_dataclass(value) and hasattr(value, "values"):
                assert value.values.shape == (scenario.steps,), field.name
                assert np.isfinite(value.values).all(), field.name
                assert not value.values.flags.writeable


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_scenario(name):
    one, two = small(name), load(name, environment={})
    assert one.events == two.events
    assert one.faults == two.faults
    for a, b in zip(one.workloads, two.workloads, strict=True):
        assert np.array_equal(a.demand_tokens_per_second, b.demand_tokens_per_second)
    for a, b in zip(one.sites, two.sites, strict=True):
        assert a.devices == b.devices
        if a.price is not None:
            assert np.array_equal(a.price.values, b.price.values)


@pytest.mark.parametrize("name", SMALL)
def test_round_trips_are_symmetric_and_reach_every_class(name):
    scenario = small(name)
    trips = scenario.round_trip_milliseconds
    index = {origin: line for line, origin in enumerate(scenario.origins)}
    sites = {site.name: column for column, site in enumerate(scenario.sites)}
    places = {}
    for origin in scenario.origins:
        places.setdefault(origin.rsplit("-", 1)[0], trips[index[origin]])
    named = [name for name in sites if name in places]
    matrix = np.array([[places[one][sites[two]] for two in named] for one in named])
    assert matrix == pytest.approx(matrix.T)
    for workload in scenario.workloads:
        columns = [sites[placement.site_name] for placement in workload.placements]
        for origin in workload.origins:
            if origin.max_round_trip_milliseconds is not None:
                nearest = trips[index[origin.name], columns].min()
                assert nearest <= origin.max_round_trip_milliseconds


@pytest.mark.parametrize("name", SMALL)
def test_windows_do_not_overlap_and_leave_time_to_learn(name):
    windows = small(name).windows
    for one, two in zip(windows, windows[1:], strict=False):
        assert one.last_step <= two.first_step
    assert any(not window.development for window in windows)


@pytest.mark.parametrize("name", sorted(NEEDS_DATA))
def test_a_full_scenario_without_its_data_names_its_small_variant(name):
    with pytest.raises(ScenarioError, match=r"WATTSHIFT_DATA.*run 's\d-small'"):
        load(name, environment={})


@pytest.mark.parametrize("name", ["s4-demand-response"])
def test_a_full_scenario_that_needs_no_data_loads(name):
    scenario = load(name, environment={})
    assert len(scenario.events) == 225


def test_s7_has_the_size_that_it_says():
    scenario = load("s7-scale", overrides=["days=0.125"], environment={})
    assert (len(scenario.sites), len(scenario.workloads)) == (50, 2000)
    assert {len(item.placements) for item in scenario.workloads} == {8}
    need = sum(
        float(item.demand_tokens_per_second.sum(axis=1).max()) for item in scenario.workloads
    )
    devices = sum(count for site in scenario.sites for _, count in site.devices)
    assert 0.2 < need / 3876 * 4 / devices < 0.8


# ---- S4: drawn events -------------------------------------------------------------------------


def test_events_of_s4_are_as_drawn_as_stated():
    scenario = load("s4-demand-response", environment={})
    events = scenario.events
    assert all(event.notice_seconds == 0 for event in events)
    lengths = np.array([event.duration_seconds for event in events])
    assert lengths.min() >= 120
    assert lengths.max() <= 36000
    assert 1500 < np.median(lengths) < 2900  # sqrt(120 x 36000) = 2078
    shares = [event.reduction_share for event in events if event.reduction_share is not None]
    assert min(shares) >= 0.1
    assert max(shares) <= 0.4
    lower = [event for event in events if event.lower_share is not None]
    assert 0.15 < len(lower) / len(events) < 0.45
    for event in lower:
        if event.reduction_share is not None:
            assert event.lower_share < 1 - event.reduction_share


def test_events_of_one_site_never_overlap():
    scenario = load("s4-demand-response", environment={}, seed=5)
    for site in scenario.sites:
        spans = sorted(
            (event.start_seconds, event.start_seconds + event.duration_seconds)
            for event in scenario.events
            if event.site_name == site.name
        )
        gaps = [two[0] - one[1] for one, two in zip(spans, spans[1:], strict=False)]
        assert min(gaps) >= 2699
        assert spans[-1][1] <= scenario.steps * scenario.step_seconds


# ---- synthetic series -------------------------------------------------------------------------


def test_the_jiangsu_like_price_has_the_stated_distribution():
    scenario = load("s2-small", overrides=["days=30", "windows=null"], environment={})
    price = next(site for site in scenario.sites if site.name == "nanjing").price.values * 1000
    assert np.mean(price) == pytest.approx(310.4, rel=0.04)
    for percent, stated in ((5, 200), (50, 320), (95, 385), (99, 443)):
        assert np.percentile(price, percent) == pytest.approx(stated, rel=0.04)
    assert price.max() <= 1251


def test_the_jiangsu_like_price_has_the_stated_hours():
    scenario = load("s2-small", overrides=["days=30", "windows=null"], environment={})
    price = next(site for site in scenario.sites if site.name == "nanjing").price.values * 1000
    by_hour = price.reshape(30, 24).mean(axis=0)  # the scenario starts at local midnight
    for hour, stated in ((0, 342), (8, 292), (12, 256), (18, 337)):
        assert by_hour[hour] == pytest.approx(stated, rel=0.1), hour
    spread = np.ptp(price.reshape(30, 24), axis=1)
    assert np.mean(spread) == pytest.approx(146, rel=0.15)


def test_means_of_s1_small_are_near_those_of_the_real_grids():
    stated = {"ashburn": (392, 36), "dallas": (374, 42), "san-francisco": (244, 51),
              "frankfurt": (349, 94), "tokyo": (542, 88), "singapore": (487, 153)}  # fmt: skip
    for site in small("s1-small").sites:
        carbon, price = stated[site.name]
        assert site.carbon.values.mean() == pytest.approx(carbon, rel=0.12)
        assert site.price.values.mean() * 1000 == pytest.approx(price, rel=0.2)


def test_drift_has_standard_deviation_one_and_the_stated_memory():
    grid = Grid(0, 900, 96 * 2000)
    values = drift(grid, generator(1, "test"), 4 * 3600)
    assert values.std() == pytest.approx(1, rel=0.05)
    assert np.corrcoef(values[16:], values[:-16])[0, 1] == pytest.approx(np.exp(-1), abs=0.04)


def test_mapping_to_quantiles_keeps_the_order():
    values = generator(1, "map").standard_normal(5000)
    target = Quantiles.model_validate(
        {"minimum": -5, "p5": 0, "p50": 10, "p95": 30, "p99": 50, "maximum": 100}
    )
    done = mapped(values, target)
    assert np.array_equal(np.argsort(done, kind="stable"), np.argsort(values, kind="stable"))
    assert np.percentile(done, 95) == pytest.approx(30, rel=0.02)


def test_wind_has_its_capacity_factor_and_shares_its_weather():
    grid = Grid(1_704_067_200, 3600, 24 * 366)
    spec = Wind.model_validate({"capacity": 100, "capacityFactor": 0.35, "commonShare": 0.8})
    one, two = (wind(grid, spec, 0, name) for name in ("a", "b"))
    assert one.mean() == pytest.approx(35, rel=0.02)
    assert one.max() <= 100
    assert 0.5 < np.corrcoef(one, two)[0, 1] < 0.95


def test_the_sun_stands_highest_at_local_noon_and_never_shines_at_night():
    grid = Grid(1_718_928_000, 300, 288)  # 21 June 2024
    spec = Solar.model_validate({"capacity": 100, "cloudShare": 0, "clearShare": 1})
    power = solar(grid, spec, (50.0, 105.0), 0, "x")
    noon = (12 - 105 / 15) * 12  # steps
    assert abs(int(np.argmax(power)) - noon) <= 3
    night = solar(grid, spec, (50.0, 105.0), 0, "x")[int(noon) + 140 : int(noon) + 148]
    assert night.max() == 0


def test_the_faults_of_s6_come_one_after_the_other_and_of_every_kind():
    scenario = small("s6-small")
    spans = sorted(
        {(f.start_seconds, f.start_seconds + f.duration_seconds) for f in scenario.faults}
    )
    assert len(spans) == 14
    for one, two in zip(spans, spans[1:], strict=False):
        assert one[1] <= two[0]
    window = next(window for window in scenario.windows if not window.development)
    assert spans[0][0] >= window.first_step * scenario.step_seconds
    assert spans[-1][1] <= window.last_step * scenario.step_seconds
    kinds = {fault.kind.value for fault in scenario.faults}
    assert kinds == {
        "Stale",
        "Missing",
        "NaN",
        "Negative",
        "Spike",
        "Bias",
        "MemberDown",
        "MeterLies",
    }
    own = {f.site_name: f.factor for f in scenario.faults if f.kind == "Bias"}
    assert len(own) == len(scenario.sites)
    assert load("s6-small", overrides=["variant=healthy"], environment={}).faults == ()


def test_the_heat_of_s5_takes_the_limit_below_the_peak_in_one_city_only():
    scenario = small("s5-small")
    window = next(window for window in scenario.windows if window.name == "heat")
    span = slice(window.first_step, window.last_step)
    lowest = {site.name: site.cooling_limit.values[span].min() for site in scenario.sites}
    assert lowest["toronto"] == 27500
    assert lowest["dallas"] < 25500
    assert all(site.cooling_limit.values.max() <= 27500 for site in scenario.sites)


def test_farms_of_s3_have_power_of_their_own_and_hardly_any_import():
    scenario = small("s3-small")
    farms = [site for site in scenario.sites if site.supply is not None]
    assert {site.supply_type for site in farms} == {"Wind", "Solar"}
    for site in farms:
        assert site.import_limit_watts == pytest.approx(0.03 * site.supply.values.max(), rel=0.03)
        assert site.contract is not None
        assert site.storage is not None
        compute = dict(site.devices)["nvidia.com/gpu"] / 4 * 2184 * 1.08
        assert compute == pytest.approx(0.2 * site.supply.values.max(), rel=0.1)
