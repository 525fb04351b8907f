"""Series on the grid: energy is kept, clocks are followed, units and years are converted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import scenario_files as files
from wattshift.sim.load import ScenarioError, load
from wattshift.sim.load_csv import Points
from wattshift.sim.load_grid import Grid
from wattshift.sim.schema_series import Interpolation

START = 1_711_756_800.0
"""2024-03-30 00:00 UTC: summer time begins in Europe a day later."""
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
     "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(zone=ZONES, day=st.integers(-300, 300), step=st.sampled_from([60, 300, 900, 3600]))
def test_local_time_is_that_of_the_zone_on_every_full_hour(zone, day, step):
    start = START + day * 86400
    grid = Grid(start, step, 48 * 3600 // step)
    local = grid.local(zone)
    for hour in range(0, 48, 5):
        moment = datetime.fromtimestamp(start + 3600 * hour, ZoneInfo(zone))
        index = hour * 3600 // step
        assert local[index] == moment.replace(tzinfo=UTC).timestamp()
        assert grid.weekday(zone)[index] == moment.weekday()
        assert grid.hour_of_day(zone)[index] == pytest.approx(moment.hour + moment.minute / 60)


@settings(max_examples=100, deadline=None)
@given(
    fine=st.sampled_from([60, 100, 300, 450]),
    coarse=st.sampled_from([300, 600, 900, 3600]),
    seed=st.integers(0, 1000),
)
def test_means_of_finer_data_keep_the_energy(fine, coarse, seed):
    values = np.random.default_rng(seed).uniform(0, 10, 2 * 86400 // fine)
    points = Points(START, fine, values)
    grid = Grid(START, coarse, 86400 // coarse)
    sampled = grid.sample(points, Interpolation.HOLD, "x")
    assert sampled.sum() * coarse == pytest.approx(values[: 86400 // fine].sum() * fine, rel=1e-9)
    assert values.min() - 1e-9 <= sampled.min()
    assert sampled.max() <= values.max() + 1e-9


@given(seed=st.integers(0, 1000))
def test_held_data_are_the_last_point_and_lines_stay_between(seed):
    values = np.random.default_rng(seed).uniform(-5, 5, 24)
    points, grid = Points(START, 3600.0, values), Grid(START, 300.0, 288)
    held = grid.sample(points, Interpolation.HOLD, "x")
    assert np.array_equal(held, np.repeat(values, 12))
    lines = grid.sample(points, Interpolation.LINEAR, "x")
    assert lines[::12] == pytest.approx(values)
    assert values.min() <= lines.min()
    assert lines.max() <= values.max()


@pytest.mark.parametrize(("start", "hours"), [(START + 3600, 30), (START, 20), (START - 86400, 30)])
def test_data_that_do_not_cover_the_scenario_are_refused(start, hours):
    points = Points(start, 3600.0, np.zeros(hours))
    with pytest.raises(ScenarioError, match="covers"):
        Grid(START, 300.0, 288).sample(points, Interpolation.HOLD, "x")


def periods(folder: Path, year: int = 2020, hours: int = 24) -> None:
    """Wind of 28 February to 2 March, rising by one each period."""
    rows = ["Year,Month,Day,Period,farm"]
    days = [(2, 28), (2, 29), (3, 1), (3, 2)]
    for number, (month, day) in enumerate(days):
        rows += [f"{year},{month},{day},{p + 1},{number * hours + p}" for p in range(hours)]
    (folder / "wind.csv").write_text("\n".join(rows) + "\n")


def with_supply(csv: str, start: str = "2024-02-29") -> str:
    text = files.changed(
        "  price: {unit: EURPerMegawattHour, constant: 40}",
        "  supply: {name: own, type: Wind, power: [{unit: Megawatt, csv: {file: wind.csv, column: farm, "
        f"timeFormat: YearMonthDayPeriod{csv}}}}}]}}",
    )
    text = files.changed("column: berlin}", "column: berlin}", text)
    text = files.changed("    csv: {file: prices.csv, column: berlin}", "    constant: 5", text)
    return files.changed("2024-03-30", start, text)


def test_periods_of_another_year_are_relabelled(tmp_path):
    periods(tmp_path)
    supply = load(files.write(tmp_path, with_supply(", yearShift: 4"))).sites[1].supply
    assert supply.unit == "W"
    assert supply.values[0] == pytest.approx(24e6)  # 29 February, period 1
    assert supply.values[12] == pytest.approx(25e6)


def test_periods_have_a_fixed_offset(tmp_path):
    periods(tmp_path)
    text = with_supply(", yearShift: 4, utcOffsetHours: 8")
    supply = load(files.write(tmp_path, text)).sites[1].supply
    assert supply.values[0] == pytest.approx(32e6)  # 08:00 there is midnight UTC


def test_a_leap_day_in_a_common_year_is_refused(tmp_path):
    periods(tmp_path)
    with pytest.raises(ScenarioError, match="shift leap years to leap years"):
        load(files.write(tmp_path, with_supply(", yearShift: 3", "2023-02-28")))


def test_periods_that_do_not_divide_a_day_are_refused(tmp_path):
    periods(tmp_path, hours=7)
    with pytest.raises(ScenarioError, match="7 does not divide a day"):
        load(files.write(tmp_path, with_supply(", yearShift: 4")))


@pytest.mark.parametrize(
    ("unit", "value", "canonical"),
    [
        ("EURPerMegawattHour", 50, 0.05),
        ("EURPerKilowattHour", 0.05, 0.05),
        ("EURCentPerKilowattHour", 5, 0.05),
    ],
)
def test_prices_become_currency_per_kilowatt_hour(tmp_path, unit, value, canonical):
    text = files.changed(
        "{unit: EURPerMegawattHour, constant: 40}", f"{{unit: {unit}, constant: {value}}}"
    )
    assert load(files.write(tmp_path, text)).sites[1].price.values[0] == pytest.approx(canonical)


def test_temperatures_in_fahrenheit_are_converted_with_their_offset(tmp_path):
    text = files.changed(
        "  price: {unit: EURPerMegawattHour, constant: 40}",
        "  temperature: {unit: DegreeFahrenheit, constant: 95}\n"
        "  cooling: {itWatts: 1000, fallsAboveCelsius: 30, fallSharePerCelsius: 0.01}",
    )
    site = load(files.write(tmp_path, text)).sites[1]
    assert site.temperature.values[0] == pytest.approx(35)
    assert site.cooling_limit.values[0] == pytest.approx(950)


def test_several_supplies_are_added(tmp_path):
    text = files.changed(
        "  price: {unit: EURPerMegawattHour, constant: 40}",
        "  supply: {name: own, type: Mixed, power: [{unit: Kilowatt, constant: 3}, {unit: Watt, "
        "constant: 500}]}",
    )
    assert load(files.write(tmp_path, text)).sites[1].supply.values[0] == pytest.approx(3500)


def test_daily_curves_are_read_on_the_local_clock(tmp_path):
    curve = [0.0] * 24
    curve[7] = 100.0
    text = files.changed(
        "{unit: EURPerMegawattHour, constant: 40}",
        f"{{unit: EURPerMegawattHour, dailyCurve: {curve}}}",
    )
    price = load(files.write(tmp_path, text)).sites[1].price.values.reshape(48, 12)
    assert np.flatnonzero(price.any(axis=1)).tolist() == [6, 24 + 5]  # winter, then summer time


def test_episodes_rise_stay_and_fall(tmp_path):
    text = files.changed(
        "{unit: EURPerMegawattHour, constant: 40}",
        "{unit: EURPerMegawattHour, synthetic: {shaped: {mean: 40, episodes: [{startDay: 0.5, days: 1, "
        "add: 20}]}}}",
    )
    price = load(files.write(tmp_path, text)).sites[1].price.values * 1000
    assert price[0] == pytest.approx(40)
    assert price[144 + 144] == pytest.approx(60)
    assert price[-1] == pytest.approx(40)
    assert 40 < price[144 + 20] < 60


def test_spikes_are_as_many_and_as_long_as_stated(tmp_path):
    text = files.changed("days: 2", "days: 2\nvariants: {long: {days: 364, windows: null, "
        "sites.berlin.price: {unit: EURPerMegawattHour, constant: 1}}}")  # fmt: skip
    text = files.changed(
        "{unit: EURPerMegawattHour, constant: 40}",
        "{unit: EURPerMegawattHour, synthetic: {shaped: {mean: 40, spikes: {perWeek: 2, factor: 3, "
        "durationSeconds: 1800}}}}",
        text,
    )
    price = load(files.write(tmp_path, text), overrides=["variant=long"]).sites[1].price.values
    high = (price > 0.1).mean() * 364 * 86400 / 1800
    assert high == pytest.approx(104, rel=0.3)
