"""One signal at the edge: what is refused, held, spiked, stale. As `adapters/` judges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.adapters.base import Observation, SignalConfig
from wattshift.adapters.checks import Accepted, Pending, check_observation
from wattshift.core.signal import OnStale, Quality, SignalKind
from wattshift.core.units import Quantity
from wattshift.sim.observed import Config, Gauge


def gauge(quantity=Quantity.CARBON_INTENSITY_AVERAGE, on_stale=OnStale.HOLD) -> Gauge:
    config = Config(
        name="x",
        quantity=quantity,
        fault_name="Carbon",
        unit="GramPerKilowattHour",
        on_stale=on_stale,
        stale_after_seconds=100.0,
    )
    return Gauge(config, 1000.0)


def test_a_value_is_measured_until_it_is_stale():
    row = gauge()
    row.offer(50.0, 10.0, 12.0)

    fresh, old = row.reading(109.0), row.reading(110.0)
    assert (fresh.value, fresh.quality, fresh.valid_until) == (50.0, Quality.MEASURED, 1110.0)
    assert (fresh.source_time, fresh.received_time) == (1010.0, 1012.0)
    assert (old.value, old.quality, old.reason) == (50.0, Quality.STALE, "StaleHeld")


@pytest.mark.parametrize(
    ("on_stale", "reason"),
    [(OnStale.ASSUME_WORST, "StaleAssumeWorst"), (OnStale.IGNORE, "Stale")],
)
def test_stale_is_unknown_where_it_may_not_be_held(on_stale, reason):
    row = gauge(on_stale=on_stale)
    row.offer(50.0, 0.0, 0.0)

    old = row.reading(100.0)
    assert (old.value, old.quality, old.reason) == (None, Quality.UNKNOWN, reason)


def test_nothing_read_yet_is_unknown():
    found = gauge().reading(0.0)

    assert (found.value, found.quality, found.message) == (None, Quality.UNKNOWN, "NotYetRead")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e13])
def test_what_cannot_be_leaves_the_last_good_value(value):
    row = gauge()
    row.offer(50.0, 0.0, 0.0)
    row.offer(value, 10.0, 10.0)

    assert row.reading(20.0).value == 50.0
    assert row.reading(20.0).source_time == 1000.0


@pytest.mark.parametrize(
    "quantity", [Quantity.ENERGY_PRICE, Quantity.OUTDOOR_TEMPERATURE, Quantity.SITE_POWER]
)
def test_prices_temperatures_and_meters_may_be_negative(quantity):
    row = gauge(quantity)
    row.offer(5.0, 0.0, 0.0)
    row.offer(-4.0, 10.0, 10.0)

    assert row.reading(20.0).value == -4.0


def test_a_spike_counts_when_the_next_value_repeats_it():
    row = gauge()
    row.offer(50.0, 0.0, 0.0)
    row.offer(600.0, 10.0, 10.0)
    once = row.reading(10.0).value
    row.offer(610.0, 20.0, 20.0)

    assert once == 50.0
    assert row.reading(20.0).value == 610.0


def test_the_same_reading_twice_does_not_confirm_a_spike():
    row = gauge()
    row.offer(50.0, 0.0, 0.0)
    row.offer(600.0, 10.0, 10.0)
    row.offer(600.0, 10.0, 15.0)

    assert row.reading(20.0).value == 50.0


def test_a_lonely_spike_is_forgotten():
    row = gauge()
    row.offer(50.0, 0.0, 0.0)
    row.offer(600.0, 10.0, 10.0)
    row.offer(55.0, 20.0, 20.0)

    assert row.reading(20.0).value == 55.0


def theirs(quantity: Quantity, values: list[float]) -> list[float | None]:
    """What the operator's own edge holds after each value."""
    config = SignalConfig(
        owner_kind="PowerSite",
        owner_name="alpha",
        name="x",
        quantity=quantity,
        kind=SignalKind.OBSERVATION,
        unit=UNITS[quantity],
        source_type="httpJson",
        source_spec={},
    )
    last: Accepted | None = None
    pending: Pending | None = None
    held: list[float | None] = []
    for k, value in enumerate(values):
        seen = Observation(value=value, source_time=10.0 * k, exact_time=True)
        found = check_observation(config, seen, last=last, pending=pending, now=10.0 * k)
        if isinstance(found, Accepted):
            last, pending = found, None
        elif isinstance(found, Pending):
            pending = found
        held.append(None if last is None else last.value)
    return held


UNITS = {
    Quantity.CARBON_INTENSITY_AVERAGE: "GramPerKilowattHour",
    Quantity.ENERGY_PRICE: "USDPerKilowattHour",
    Quantity.SITE_POWER: "Watt",
    Quantity.SUPPLY_POWER: "Watt",
    Quantity.OUTDOOR_TEMPERATURE: "DegreeCelsius",
}


@settings(max_examples=150, deadline=None)
@given(
    quantity=st.sampled_from(sorted(UNITS)),
    values=st.lists(
        st.one_of(
            st.floats(-60, 60),
            st.sampled_from([0.0, math.nan, math.inf, 1e15]),
            st.floats(100, 2000),
        ),
        max_size=12,
    ),
)
def test_the_rules_are_those_of_the_operators_edge(quantity, values):
    if quantity is Quantity.OUTDOOR_TEMPERATURE:
        values = [row for row in values if not 60 < row < 1e15]
    row = gauge(quantity)
    mine = []
    for k, value in enumerate(values):
        row.offer(value, 10.0 * k, 10.0 * k)
        mine.append(row._value)

    assert mine == theirs(quantity, values)


def test_an_unchanged_reading_is_the_same_object():
    row = gauge()
    row.offer(50.0, 0.0, 0.0)

    assert row.reading(1.0) is row.reading(2.0)
