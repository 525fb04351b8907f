"""What is usable, what is worst, who may be touched."""

from __future__ import annotations

import pytest
from tests.core.build import NOW, member, reading, signal, site
from wattshift.core.freshness import (
    judge,
    signal as best,
    untouchable,
    usable,
    value_of,
    worst_value,
)
from wattshift.core.model import FacilityPoint, MemberPhase
from wattshift.core.reasons import Reason
from wattshift.core.signal import OnStale, Quality
from wattshift.core.units import Quantity

PRICE = Quantity.ENERGY_PRICE


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(reading(5.0), 5.0, id="measured and fresh"),
        pytest.param(reading(0.0), 0.0, id="zero is a value"),
        pytest.param(reading(-3.0), -3.0, id="negative prices are values"),
        pytest.param(reading(5.0, age=61, life=60), None, id="measured but expired"),
        pytest.param(reading(5.0, age=600, quality=Quality.STALE), 5.0, id="held by the rule"),
        pytest.param(reading(5.0, age=600, quality=Quality.FALLBACK), 5.0, id="fallback"),
        pytest.param(reading(5.0, quality=Quality.UNKNOWN), None, id="unknown beats its number"),
        pytest.param(reading(None), None, id="no value"),
        pytest.param(None, None, id="no reading at all"),
    ],
)
def test_a_reading_counts_only_while_it_holds(row, expected):
    assert value_of(row, NOW) == expected
    assert usable(row, NOW) is (expected is not None)


def test_an_unknown_reading_says_why():
    judged = judge(reading(None, message="timed out"), NOW, "price")
    assert judged.value is None
    assert judged.reason is Reason.SIGNALS_STALE
    assert "timed out" in judged.message
    assert "expired 1 s ago" in judge(reading(1.0, age=61, life=60), NOW, "price").message


def test_the_best_rank_that_is_measured_wins_over_a_held_value():
    here = site(
        "a",
        signals=(
            signal("first", PRICE, 1.0, rank=0, quality=Quality.STALE),
            signal("second", PRICE, 2.0, rank=1),
        ),
    )
    assert best(here, PRICE, NOW).value == 2.0


def test_a_held_value_wins_over_nothing():
    here = site(
        "a",
        signals=(
            signal("first", PRICE, None),
            signal("b", PRICE, 3.0, rank=1, quality=Quality.FALLBACK),
        ),
    )
    assert best(here, PRICE, NOW).value == 3.0


def test_a_signal_that_is_ignored_when_stale_is_unknown():
    judged = best(site("a", signals=(signal("p", PRICE, None),)), PRICE, NOW)
    assert judged.value is None
    assert judged.reason is Reason.SIGNALS_STALE


def test_the_worst_price_is_the_highest_ahead():
    here = site(
        "a",
        signals=(
            signal("p", PRICE, None, on_stale=OnStale.ASSUME_WORST),
            signal("f", PRICE, ahead=((NOW - 60, 0.4), (NOW + 600, 0.9), (NOW + 1200, 0.2))),
        ),
    )
    judged = best(here, PRICE, NOW)
    assert judged.value == 0.9
    assert judged.worst


def test_past_steps_do_not_count_as_worst():
    here = site(
        "a",
        signals=(
            signal("f", PRICE, ahead=((NOW - 1200, 9.0), (NOW - 600, 0.3), (NOW + 600, 0.2))),
        ),
    )
    assert worst_value(PRICE, here, NOW) == 0.3


CURVE = (
    FacilityPoint(temperature_millicelsius=5000, fixed_watts=100, marginal_permille=1050),
    FacilityPoint(temperature_millicelsius=30000, fixed_watts=200, marginal_permille=1200),
)


@pytest.mark.parametrize(
    ("quantity", "worst"),
    [
        (Quantity.SUPPLY_POWER, 0.0),
        (Quantity.GREEN_SHARE, 0.0),
        (Quantity.STATE_OF_CHARGE, 0.0),
        (Quantity.LEAK_STATE, 1.0),
        (Quantity.UPS_STATE, 1.0),
        (Quantity.OUTDOOR_TEMPERATURE, 30.0),
        (Quantity.SITE_POWER, None),
        (Quantity.ENERGY_PRICE, None),
        (Quantity.COOLING_LIMIT_POWER, None),
        (Quantity.CARBON_INTENSITY_AVERAGE, None),
    ],
)
def test_each_quantity_has_its_worst_value(quantity, worst):
    here = site(
        "a", facility=CURVE, signals=(signal("s", quantity, None, on_stale=OnStale.ASSUME_WORST),)
    )
    assert worst_value(quantity, here, NOW) == worst
    assert best(here, quantity, NOW).value == worst


@pytest.mark.parametrize("phase", list(MemberPhase))
def test_only_a_ready_member_is_touched(phase):
    words = untouchable(member("a", phase))
    assert (words == "") is (phase is MemberPhase.READY)


def test_a_cluster_that_is_no_member_is_not_touched():
    assert untouchable(None)
