"""How far a forecast is believed: chance moves nothing, certain biases and a lack of skill do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st
from wattshift.core.planner.forecast_fit import LEAST, LEFT_OUT, MOST, factor_of, weight_of

ROWS = 48
AMOUNT = st.floats(-1e6, 1e6)


def bias(pairs):
    """The factor of (predicted, observed)."""
    return factor_of([(p, o, 0.0) for p, o in pairs])


def drawn(seed, error, *, skill=1.0):
    """Forecasts of a value that wanders, with errors of a share of it."""
    rng, rows, value = random.Random(seed), [], 400.0
    for _ in range(ROWS):
        later = value + rng.gauss(0, 60)
        said = value + skill * (later - value) + 400 * rng.gauss(0, error)
        rows.append((said, later, value))
        value = 400 + 0.8 * (later - 400)
    return rows


def test_errors_without_a_direction_are_no_bias():
    moved = sum(abs(factor_of(drawn(seed, 0.15)) - 1) > 0.02 for seed in range(20))
    assert moved <= 2


def test_errors_that_last_for_hours_count_as_few():
    def rows(hours):
        return [(400.0, 440.0 + (60 if k // hours % 2 else -60)) for k in range(ROWS)]

    assert bias(rows(1)) == pytest.approx(1.1, abs=0.02)
    assert bias(rows(8)) == 1.0


def test_prices_of_both_signs_have_no_factor():
    assert bias([(-0.02, 0.05), (0.02, -0.05)] * 20) == 1.0
    assert bias([(-1.0, -2.0)] * 20) == 1.0
    assert bias([(0.0, 5.0)] * 20) == 1.0


def test_another_unit_is_no_bias():
    assert bias([(0.4, 400.0)] * 20) == LEFT_OUT
    assert bias([(400_000.0, 400.0)] * 20) == LEFT_OUT


def test_a_right_forecast_keeps_its_weight_and_noise_loses_it():
    weights = {
        error: [weight_of(drawn(seed, error), 1.0) for seed in range(20)]
        for error in (0.0, 0.05, 0.3, 1.0)
    }
    mean = {error: sum(found) / len(found) for error, found in weights.items()}
    assert mean[0.0] == 1.0
    assert mean[0.05] > 0.97
    assert mean[0.3] < 0.7
    assert mean[1.0] < 0.4


def test_a_forecast_that_says_the_opposite_has_no_weight():
    assert weight_of(drawn(1, 0.0, skill=-1.0), 1.0) == 0.0


def test_few_observations_and_a_value_that_stands_change_nothing():
    assert weight_of(drawn(1, 1.0)[: LEAST - 1], 1.0) == 1.0
    assert weight_of([(400.0, 400.0, 400.0)] * ROWS, 1.0) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(AMOUNT, AMOUNT, AMOUNT), max_size=ROWS), st.sampled_from([1e-6, 1e6]))
def test_both_are_numbers_and_know_no_units(rows, unit):
    factor = factor_of(rows)
    assert factor == LEFT_OUT or 1 / MOST <= factor <= MOST
    weight = weight_of(rows, factor)
    assert 0 <= weight <= 1
    scaled = [tuple(value * unit for value in row) for row in rows]
    assert factor_of(scaled) == pytest.approx(factor, rel=1e-3, abs=1e-3)
    assert weight_of(scaled, factor) == pytest.approx(weight, rel=1e-3, abs=1e-3)
