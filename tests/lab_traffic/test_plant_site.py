"""A site's truth, its books and its instruments, on a clock that the test holds."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.lab.plant.books import Books, Moment
from e2e.lab.plant.engines import LiveEngine
from e2e.lab.plant.meter import Meter
from e2e.lab.plant.physics import Activity
from e2e.lab.plant.site import SitePlant
from e2e.lab.traffic.pods import Pod

CLASS = {
    "name": "h100x4",
    "loadedIdleWatts": 456,
    "floorWatts": 1703,
    "wattsPerOutputTokenPerSecond": 4,
}


class Wall:
    """A wall clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def plant(wall: Wall, **changes) -> SitePlant:
    config = {
        "site": "gansu-1",
        "seed": 3,
        "clock": {
            "startTime": "2026-11-22T00:00:00+08:00",
            "speed": 240,
            "wallStartTime": wall.now,
        },
        "zoneOffsetHours": 8,
        "powerClasses": [CLASS],
        "baseItWatts": 5000,
        "facility": [
            {"temperatureMillicelsius": 20000, "fixedWatts": 2000, "marginalPermille": 1150}
        ],
        "uncontrolled": {"watts": 3000},
        "supplies": [{"name": "wind", "capacityWatts": 8000, "share": 0.5}],
        "pricePerKilowattHour": 0.6,
        "supplyPricePerKilowattHour": 0.25,
        "carbonGramsPerKilowattHour": 500,
        "importLimitWatts": 20000,
        "cooling": {"limitWatts": 30000},
        **changes,
    }
    return SitePlant(config, wall=wall)


def add_engine(site: SitePlant, name: str, rate: float = 100.0) -> None:
    pod = Pod(name, name, "team", "127.1.1.1", 8000, {}, "n", True, True, False)
    engine = LiveEngine(pod, Activity(1.0, rate, 0.0))
    engine._last = {}
    site.engines.live[name] = engine


def test_load_is_the_sum_of_its_parts() -> None:
    site = plant(Wall())
    for name in "abc":
        add_engine(site, name)
    moment = site.step()
    parts = site.truth()["parts"]
    assert sum(part["watts"] for part in parts) == pytest.approx(moment.it_watts)
    assert moment.load_watts == moment.facility_watts + moment.uncontrolled_watts
    assert moment.facility_watts > moment.it_watts


def test_an_engine_more_raises_the_site_by_the_marginal_factor() -> None:
    site = plant(Wall())
    before = site.step()
    add_engine(site, "a")
    after = site.step()
    marginal = (after.facility_watts - before.facility_watts) / (after.it_watts - before.it_watts)
    assert 1.15 - 0.15 * 0.08 <= marginal <= 1.15 + 0.15 * 0.08


def test_pod_of_no_class_has_no_power() -> None:
    site = plant(Wall(), powerClasses=[{**CLASS, "labels": {"accelerator": "h100"}}])
    add_engine(site, "stranger")
    assert site.step().engine_watts == 0


def test_energy_runs_on_the_grid_clock() -> None:
    wall = Wall()
    site = plant(wall)
    add_engine(site, "a")
    site.step()
    for _ in range(15):
        wall.now += 1
        moment = site.step()
    totals = site.books.summary()
    assert totals["gridSeconds"] == pytest.approx(3600)
    assert totals["itWattHours"] == pytest.approx(moment.it_watts, rel=0.01)
    assert totals["tokens"] == pytest.approx(100 * 3600)


def test_books_of_workloads_add_up_to_the_engines() -> None:
    wall = Wall()
    site = plant(wall)
    for name in "ab":
        add_engine(site, name)
        site.engines.live[name].pod = replace(site.engines.live[name].pod, labels={"app": name})
    site.step()
    for _ in range(10):
        wall.now += 1
        site.step()
    books = site.truth()["workloads"]
    assert set(books) == {"team/a", "team/b"}
    total = sum(item["wattHours"] for item in books.values())
    assert total == pytest.approx(site.books.engine_watt_hours)
    site.reset()
    assert site.truth()["workloads"] == {}


def test_step_load_ends_by_itself() -> None:
    wall = Wall()
    site = plant(wall)
    before = site.step().uncontrolled_watts
    site.inject("step", seconds=10, watts=4000)
    assert site.step().uncontrolled_watts == pytest.approx(before + 4000)
    wall.now += 11
    assert site.step().uncontrolled_watts == pytest.approx(before)


def test_leak_shows_and_lowers_the_cooling_limit() -> None:
    wall = Wall()
    site = plant(wall)
    before = site.step().cooling_limit_watts
    site.inject("leak", seconds=10)
    assert site.step().cooling_limit_watts == before / 2
    assert 'leak_state{site="gansu-1"} 1.0' in site.metrics()
    wall.now += 11
    assert 'leak_state{site="gansu-1"} 0.0' in site.metrics()


def test_lull_of_the_wind_is_felt_and_passes() -> None:
    wall = Wall()
    site = plant(wall)
    assert site.step().supply_watts == 4000
    site.inject("supply", seconds=10, factor=0.1)
    assert site.step().supply_watts == pytest.approx(400)
    wall.now += 11
    assert site.step().supply_watts == 4000


@pytest.mark.parametrize("fault", ["stuck", "spike", "missing", "nan", "negative"])
def test_broken_meter_changes_the_reading_and_never_the_truth(fault: str) -> None:
    wall = Wall()
    site = plant(wall, meters={"lagSeconds": 0, "noisePermille": 0})
    truth = site.step().load_watts
    shown = site.readings["site"]
    site.inject(fault, seconds=10, factor=10)
    add_engine(site, "a")
    assert site.step().load_watts > truth
    broken = site.readings["site"]
    expected = {
        "stuck": lambda: broken == shown,
        "spike": lambda: broken > 5 * truth,
        "missing": lambda: broken is None and "site_meter_watts" not in site.metrics(),
        "nan": lambda: math.isnan(broken) and "site_meter_watts" in site.metrics(),
        "negative": lambda: broken < 0,
    }
    assert expected[fault]()
    wall.now += 11
    moment = site.step()
    assert site.readings["site"] == pytest.approx(moment.load_watts, rel=0.006)


def test_clear_mends_everything_at_once() -> None:
    site = plant(Wall())
    before = site.step()
    for kind in ("step", "leak", "supply", "stuck"):
        site.inject(kind, seconds=100, watts=9000, factor=0.0)
    site.inject("clear", seconds=0)
    after = site.step()
    assert after.uncontrolled_watts == pytest.approx(before.uncontrolled_watts)
    assert after.cooling_limit_watts == before.cooling_limit_watts
    assert after.supply_watts == before.supply_watts


def test_unknown_injection_is_refused() -> None:
    with pytest.raises(ValueError, match="explode"):
        plant(Wall()).inject("explode", seconds=1)


def test_meter_agrees_with_the_truth_within_its_stated_error() -> None:
    wall = Wall()
    site = plant(wall)
    add_engine(site, "a")
    errors = []
    for _ in range(200):
        wall.now += 1
        truth = site.step().load_watts
        errors.append(site.readings["site"] / truth - 1)
    mean = sum(errors) / len(errors)
    assert abs(mean) < 0.005 + 0.001, "constant bias of 5 permille at most"
    assert max(abs(error - mean) for error in errors) < 5 * 0.004


def test_instruments_tell_nothing_hidden() -> None:
    site = plant(Wall())
    add_engine(site, "a")
    site.step()
    names = {line.split("{")[0] for line in site.metrics().splitlines()}
    assert names == {
        "site_meter_watts",
        "site_it_watts",
        "uncontrolled_watts",
        "farm_power_watts",
        "outdoor_temperature_celsius",
        "cooling_limit_watts",
        "leak_state",
        "grid_clock_seconds",
    }


def test_curves_are_read_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "wind.csv").write_text("time,a\n00:00,0.2\n12:00,0.8\n")
    wall = Wall()
    site = SitePlant(
        {
            "site": "s",
            "clock": {"startTime": "2026-11-22T12:00:00+08:00", "wallStartTime": wall.now},
            "zoneOffsetHours": 8,
            "powerClasses": [],
            "supplies": [
                {"name": "w", "capacityWatts": 1000, "share": {"csv": "wind.csv", "column": "a"}}
            ],
        },
        base=tmp_path,
        wall=wall,
    )
    assert site.step().supply_watts == pytest.approx(800)


MOMENT = Moment(
    it_watts=1000,
    engine_watts=800,
    facility_watts=1200,
    uncontrolled_watts=300,
    supply_watts=500,
    price_per_kwh=0.5,
    supply_price_per_kwh=0.2,
    carbon_grams_per_kwh=400,
    cooling_limit_watts=2000,
    import_limit_watts=900,
    tokens_per_second=10,
)


def test_one_hour_by_hand() -> None:
    books = Books()
    books.add(MOMENT, 3600.0, 3600.0)
    got = books.summary()
    assert got["importWattHours"] == 1000
    assert got["greenWattHours"] == 500
    assert got["surplusWattHours"] == 0
    assert got["cost"] == pytest.approx(1.0 * 0.5 + 0.5 * 0.2)
    assert got["carbonGrams"] == pytest.approx(400)
    assert got["carbonGramsLocation"] == pytest.approx(600)
    assert got["greenShare"] == pytest.approx(1 / 3)
    assert got["powerUsageEffectiveness"] == pytest.approx(1.2)
    assert got["overImportLimitSeconds"] == 3600
    assert got["overCoolingLimitSeconds"] == 0


watts = st.floats(0, 1e7)


@settings(max_examples=60)
@given(st.lists(st.tuples(watts, watts, watts, st.floats(0.1, 900)), min_size=1, max_size=20))
def test_energy_is_conserved(steps) -> None:
    books, grid = Books(), 0.0
    for facility, other, supply, seconds in steps:
        grid += seconds
        books.add(
            replace(MOMENT, facility_watts=facility, uncontrolled_watts=other, supply_watts=supply),
            grid,
            seconds,
        )
    used = books.facility_watt_hours + books.uncontrolled_watt_hours
    assert books.import_watt_hours + books.green_watt_hours == pytest.approx(used)
    made = sum(supply * seconds / 3600 for _, _, supply, seconds in steps)
    assert books.green_watt_hours + books.surplus_watt_hours == pytest.approx(made)
    assert sum(books.intervals.values()) == pytest.approx(books.import_watt_hours)


def test_quarter_hour_peak_is_a_mean_not_a_moment() -> None:
    books = Books()
    high, low = replace(MOMENT, facility_watts=3700), replace(MOMENT, facility_watts=700)
    books.add(high, 450.0, 450.0)
    books.add(low, 899.0, 450.0)
    assert books.peak_import_watts == 3500
    assert books.summary()["peakQuarterHourImportWatts"] == pytest.approx(2000)


def test_meter_follows_a_step_with_its_lag() -> None:
    meter = Meter(2.0, 0.0, 1.0, random.Random(1))
    assert meter.read(100, 0, 0) == 100
    assert meter.read(200, 2, 2) == pytest.approx(100 + 100 * (1 - math.exp(-1)))
    for second in range(3, 40):
        last = meter.read(200, second, 1)
    assert last == pytest.approx(200, rel=1e-6)


def test_unknown_meter_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="melt"):
        Meter(0, 0, 1, random.Random(1)).break_it("melt", 0, 1)
