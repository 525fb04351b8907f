"""Day curves and the grid clock."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.lab.telemetry.clock import GridClock, clock_from, parse_time
from e2e.lab.telemetry.curve import DAY_SECONDS, DayCurve, SeriesCurve, constant, read_curve
from e2e.lab.traffic.data import make_day

CURVE = DayCurve((0.0, 6 * 3600.0, 18 * 3600.0), (1.0, 3.0, 2.0))


def test_curve_is_linear_between_points_and_round_midnight() -> None:
    assert CURVE.at(3 * 3600) == pytest.approx(2.0)
    assert CURVE.at(12 * 3600) == pytest.approx(2.5)
    assert CURVE.at(21 * 3600) == pytest.approx(1.5)


def test_curve_whose_first_point_is_later_starts_from_yesterday() -> None:
    curve = DayCurve((6 * 3600.0, 18 * 3600.0), (0.0, 12.0))
    assert curve.at(0) == pytest.approx(6.0)


def test_prices_hold_until_the_next_point() -> None:
    curve = DayCurve((0.0, 8 * 3600.0), (0.3, 0.9), step=True)
    assert curve.at(8 * 3600 - 1) == 0.3
    assert curve.at(8 * 3600) == 0.9


@given(st.floats(0, 1e9))
def test_curve_stays_between_its_points_and_repeats_daily(moment: float) -> None:
    value = CURVE.at(moment)
    assert 1.0 <= value <= 3.0
    assert CURVE.at(moment + DAY_SECONDS) == pytest.approx(value, abs=1e-6)


def test_zone_shifts_the_day() -> None:
    local = DayCurve(CURVE.seconds, CURVE.values, 8 * 3600)
    assert local.at(0) == CURVE.at(8 * 3600)


def test_constant_is_constant() -> None:
    assert {constant(4).at(hour * 3600) for hour in range(24)} == {4.0}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("time,b\n00:00,1\n", "no column"),
        ("time,a\n01:00,1\n00:30,2\n", "must rise"),
        ("time,a\n01:00,1\n01:00,2\n", "must rise"),
        ("# nothing\n", "no column"),
    ],
)
def test_bad_curve_files_are_refused(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=cause):
        read_curve(path, "a")


def test_times_with_a_zone_make_a_series_in_the_unit_wanted(tmp_path: Path) -> None:
    path = tmp_path / "spot.csv"
    path.write_text("when,price\n2026-11-22T00:00:00+08:00,300\n2026-11-22T00:15:00+08:00,400\n")
    curve = read_curve(path, "price", time_column="when", scale=0.001, step=True)
    start = parse_time("2026-11-22T00:00:00+08:00")
    assert curve.at(start - 5) == curve.at(start) == curve.at(start + 899) == pytest.approx(0.3)
    assert curve.at(start + 900) == curve.at(start + 90_000) == pytest.approx(0.4)
    assert curve.peak == pytest.approx(0.4)


def test_series_is_linear_between_its_times() -> None:
    assert SeriesCurve((100.0, 200.0), (1.0, 3.0)).at(150) == 2.0


def test_series_without_a_zone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spot.csv"
    path.write_text("time,a\n2026-11-22T00:00:00,1\n2026-11-22T01:00:00,1\n")
    with pytest.raises(ValueError, match="no zone"):
        read_curve(path, "a")


def test_grid_clock_runs_speed_times_as_fast() -> None:
    wall = [50.0]
    clock = GridClock(1000.0, 240.0, 50.0, wall=lambda: wall[0])
    assert clock.now() == 1000.0
    wall[0] += 2
    assert clock.now() == 1480.0


def test_clock_of_the_same_config_is_the_same_everywhere() -> None:
    config = {"startTime": "2026-11-22T00:00:00+08:00", "speed": 60, "wallStartTime": 10.0}
    first, second = clock_from(config), clock_from(config)
    assert (first.start_time, first.wall_start_time) == (second.start_time, second.wall_start_time)
    assert clock_from(None).speed == 1.0


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        parse_time("2026-11-22T00:00:00")


def test_shipped_days_are_what_the_generator_makes(tmp_path: Path, monkeypatch) -> None:
    shipped = make_day.FOLDER
    monkeypatch.setattr(make_day, "FOLDER", tmp_path)
    make_day.main()
    for name in make_day.DAYS:
        assert (tmp_path / name).read_text() == (shipped / name).read_text(), name


def test_shipped_days_keep_their_stated_facts() -> None:
    chat = make_day.requests()["chat"]
    assert max(chat) == 1.0
    assert 0.38 < sorted(chat)[5] / statistics.mean(chat) < 0.5
    farms = make_day.wind()
    for shares in farms.values():
        assert 0 < min(shares)
        assert max(shares) < 1
        steps = [abs(b - a) for a, b in zip(shares, shares[1:], strict=False)]
        assert 0.015 < statistics.mean(steps) < 0.03
    inland = statistics.correlation(farms["gansu"], farms["inner_mongolia"])
    assert 0.6 < inland < 0.9
    assert all(value > 0 for column in make_day.prices().values() for value in column)
