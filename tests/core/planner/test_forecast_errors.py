"""Forecasts that were biased lately are corrected; those that merely err are left alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.core.build import (
    NOW,
    connection,
    quote,
    site,
    snapshot,
    supply,
)
from wattshift.core.explain import site_line
from wattshift.core.fleet.ahead import ahead
from wattshift.core.fleet.steps import edges
from wattshift.core.planner.forecast_errors import ROWS, ForecastErrors
from wattshift.core.planner.forecast_fit import LEAST, LEFT_OUT
from wattshift.core.planner.plan_memory import PlanMemory
from wattshift.core.planner.planner import plan
from wattshift.core.signal import (
    Forecast,
    ForecastPoint,
    OnStale,
    Quality,
    Reading,
    SignalKind,
    SignalState,
)
from wattshift.core.survey.survey import survey
from wattshift.core.units import Quantity

HOUR = 3600.0
CARBON = Quantity.CARBON_INTENSITY_AVERAGE


def truth(time):
    """g/kWh: a day between 300 and 500."""
    return 400 + 100 * ((time / HOUR) % 24 - 12) / 12


def observation(now, value, *, delay=5_400.0, quality=Quality.MEASURED):
    """A reading of what was `delay` ago."""
    return SignalState(
        name="carbon",
        quantity=CARBON,
        kind=SignalKind.OBSERVATION,
        rank=0,
        on_stale=OnStale.HOLD,
        reading=Reading(
            value=value(now - delay),
            unit="GramPerKilowattHour",
            source_time=now - delay,
            received_time=now,
            valid_until=now + HOUR,
            quality=quality,
        ),
    )


def forecast(now, value, *, bias=1.0):
    """Hourly steps of a day, from the hour of now on."""
    first = now // HOUR * HOUR
    points = tuple(
        ForecastPoint(start_time=first + k * HOUR, value=bias * value(first + k * HOUR))
        for k in range(25)
    )
    return SignalState(
        name="carbon-ahead",
        quantity=CARBON,
        kind=SignalKind.FORECAST,
        rank=0,
        on_stale=OnStale.IGNORE,
        forecast=Forecast(issued_time=now, end_time=first + 25 * HOUR, points=points, source="x"),
    )


def world(now, *signals):
    """One site with these signals."""
    return replace(snapshot(sites=(site("east", signals=signals),)), grid_time=now)


def run(errors, hours, *, bias=1.0, value=truth, every=600.0, start=NOW, **of_observation):
    """Plans for some hours; the last snapshot as it was corrected."""
    found, now = None, start
    while now <= start + hours * HOUR:
        rows = (observation(now, value, **of_observation), forecast(now, value, bias=bias))
        found = errors.corrected(world(now, *rows))
        now += every
    return found


def points(here):
    (row,) = [row for row in here.sites[0].signals if row.forecast is not None]
    return [point.value for point in row.forecast.points]


@pytest.mark.parametrize("bias", [0.7, 1.3, 2.0])
@pytest.mark.parametrize("every", [300.0, 900.0, 3_600.0])
@pytest.mark.parametrize("delay", [0.0, 5_400.0])
def test_a_bias_that_lasts_is_taken_off(bias, every, delay):
    here = run(ForecastErrors(), 30, bias=bias, every=every, delay=delay)
    first = here.grid_time // HOUR * HOUR
    wanted = [truth(first + k * HOUR) for k in range(25)]
    assert points(here) == pytest.approx(wanted, rel=0.1)
    (row,) = [row for row in here.sites[0].signals if row.forecast is not None]
    assert row.forecast.factor == pytest.approx(1 / bias, rel=0.1)
    assert row.forecast.source == "x"
    (told,) = plan(here, here.grid_time).sites
    assert told.forecast_trust == (("carbon-ahead", row.forecast.factor, row.forecast.weight),)
    words = f"forecast carbon-ahead counts x {row.forecast.factor:.2f}"
    assert words in site_line(told, "CNY")


def test_a_right_forecast_stays_and_so_does_one_that_nobody_could_check():
    here = run(ForecastErrors(), 48)
    assert points(here) == [truth(here.grid_time // HOUR * HOUR + k * HOUR) for k in range(25)]
    few = run(ForecastErrors(), LEAST, bias=1.3)
    assert points(few)[0] == 1.3 * truth(few.grid_time // HOUR * HOUR)
    blind = ForecastErrors()
    for hour in range(48):
        found = blind.corrected(world(NOW + hour * HOUR, forecast(NOW + hour * HOUR, truth)))
    assert points(found)[0] == truth((NOW + 47 * HOUR) // HOUR * HOUR)


def test_a_snapshot_in_which_nothing_is_corrected_is_the_same_one():
    errors = ForecastErrors()
    here = world(NOW, observation(NOW, truth), forecast(NOW, truth))
    row = replace(supply(9_000.0), forecast=forecast(NOW, truth))
    here = replace(here, sites=(*here.sites, site("west", supplies=(row,))))
    assert errors.corrected(here) is here


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.FALLBACK, Quality.FORECAST])
def test_what_is_held_or_assumed_proves_nothing(quality):
    here = run(ForecastErrors(), 40, bias=1.3, quality=quality)
    assert points(here)[0] == 1.3 * truth(here.grid_time // HOUR * HOUR)


@pytest.mark.parametrize("bias", [0.001, 1_000.0])
def test_a_forecast_in_another_unit_is_left_out(bias):
    here = run(ForecastErrors(), 30, bias=bias)
    assert points(here) == []
    (told,) = plan(here, here.grid_time).sites
    assert told.forecast_trust == (("carbon-ahead", LEFT_OUT, 1.0),)
    assert "forecast carbon-ahead is left out" in site_line(told, "CNY")


def test_a_forecast_of_a_limit_or_of_a_temperature_is_never_corrected():
    errors = ForecastErrors()
    for quantity in (Quantity.COOLING_LIMIT_POWER, Quantity.OUTDOOR_TEMPERATURE):
        for hour in range(30):
            now = NOW + hour * HOUR
            rows = (observation(now, truth), forecast(now, truth, bias=0.7))
            here = errors.corrected(world(now, *(replace(row, quantity=quantity) for row in rows)))
        assert points(here)[0] == 0.7 * truth(here.grid_time // HOUR * HOUR)


def test_the_bias_of_own_supply_is_learnt_too():
    errors = ForecastErrors()

    def wind(time):
        return 20_000.0 + 4_000 * (time // HOUR % 7)

    for hour in range(40):
        now = NOW + hour * HOUR
        reading = replace(observation(now, wind, delay=0.0).reading, unit="Watt")
        row = replace(supply(0.0), power=reading, forecast=forecast(now, wind, bias=1.5))
        here = replace(snapshot(sites=(site("east", supplies=(row,)),)), grid_time=now)
        here = errors.corrected(here)
    found = here.sites[0].supplies[0].forecast.forecast.points[1]
    assert found.value == pytest.approx(wind(found.start_time), rel=0.1)
    small = replace(row, capacity_watts=30_000, forecast=forecast(now, wind, bias=0.5))
    for hour in range(40, 120):
        now = NOW + hour * HOUR
        reading = replace(observation(now, wind, delay=0.0).reading, unit="Watt")
        small = replace(small, power=reading, forecast=forecast(now, wind, bias=0.5))
        here = replace(snapshot(sites=(site("east", supplies=(small,)),)), grid_time=now)
        here = errors.corrected(here)
    highest = max(row.value for row in here.sites[0].supplies[0].forecast.forecast.points)
    assert highest == 30_000


def test_a_clock_that_is_set_back_and_sites_that_go_leave_nothing():
    errors = ForecastErrors()
    run(errors, 30, bias=1.3)
    back = run(errors, 2, bias=1.3, start=NOW - 50 * HOUR)
    assert points(back)[0] == 1.3 * truth(back.grid_time // HOUR * HOUR)
    run(errors, 30, bias=1.3, start=NOW)
    errors.corrected(replace(snapshot(sites=(site("other"),)), grid_time=NOW + 31 * HOUR))
    again = run(errors, 1, bias=1.3, start=NOW + 32 * HOUR)
    assert points(again)[0] == 1.3 * truth(again.grid_time // HOUR * HOUR)


def test_what_is_remembered_is_bounded():
    errors = ForecastErrors()
    run(errors, 24 * 10, bias=1.1, every=HOUR)
    (past,) = errors._past.values()
    assert len(past.rows) == ROWS
    assert len(past.said) <= 48 + 4


def test_sites_are_ranked_by_corrected_forecasts():
    """West's source says 40 % too much, east's 40 % too little: in truth west is cleaner."""
    memory, wests = PlanMemory(), []
    for hour in range(30):
        now = NOW + hour * HOUR
        sites = tuple(
            site(
                name,
                feed=connection(price=quote("0.10")),
                signals=(
                    observation(now, lambda _, value=value: value),
                    forecast(now, lambda _, value=value: value, bias=bias),
                ),
            )
            for name, value, bias in (("east", 520.0, 0.6), ("west", 400.0, 1.4))
        )
        here = replace(snapshot(sites=sites), grid_time=now)
        priced = replace(here.settings, carbon_price_per_tonne="800")
        world = survey(memory.remembered(replace(here, settings=priced)), now)
        steps = edges(now, HOUR, 24 * HOUR)
        east, west = (ahead(feed, world, steps).grid for _, feed in sorted(world.feeds.items()))
        wests.append(bool((west < east)[1:].all()))
    assert not any(wests[:LEAST])
    assert all(wests[-10:])


def test_plans_go_on_where_the_forecast_of_own_supply_is_left_out():
    errors = ForecastErrors()
    for hour in range(20):
        now = NOW + hour * HOUR
        reading = replace(observation(now, lambda _: 9_000.0, delay=0.0).reading, unit="Watt")
        row = replace(supply(0.0), power=reading, forecast=forecast(now, truth, bias=0.001))
        feed = connection(price=quote("0.80", direct="0.05", own_up=True))
        sites = (site("east"), site("west", feed=feed, supplies=(row,)))
        here = errors.corrected(replace(snapshot(sites=sites), grid_time=now))
    assert here.sites[1].supplies[0].forecast.forecast.factor == LEFT_OUT
    world_ = survey(here, now)
    west = ahead(world_.feeds["west", "feed"], world_, edges(now, HOUR, 24 * HOUR))
    assert list(west.own_watts) == pytest.approx([9_000.0] * len(west.own_watts))
    assert any("left out" in site_line(row, "CNY") for row in plan(here, now).sites)


def test_a_forecast_without_skill_yields_to_the_present_value():
    errors, rng = ForecastErrors(), random.Random(5)

    def calm(time):
        return 400.0 + 10 * (time // HOUR % 2)

    def noise(_):
        return rng.uniform(200.0, 600.0)

    for hour in range(48):
        now = NOW + hour * HOUR
        here = errors.corrected(world(now, observation(now, calm), forecast(now, noise)))
    assert max(abs(value - 405) for value in points(here)) < 60
    (row,) = [row for row in here.sites[0].signals if row.forecast is not None]
    assert row.forecast.weight < 0.3
    (told,) = plan(here, here.grid_time).sites
    words = "of it and the present value for the rest for its errors of late"
    assert words in site_line(told, "CNY")
