"""Curves of a replica, the profile that the operator gets of them, and the lognormal tails."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim import small
from wattshift.core.power.watts import replica_watts
from wattshift.sim.curves import curve_of, normal_above, profile_of, share_above

TABLE = small.LLAMA


def test_published_points_are_on_the_curve():
    curve = curve_of(TABLE)

    for sequences, watts, rate in zip(
        TABLE.sequences, TABLE.watts, TABLE.tokens_per_second, strict=True
    ):
        assert np.interp(sequences, curve.sequences, curve.watts) == pytest.approx(watts)
        assert np.interp(rate, curve.rate, curve.sequences) == pytest.approx(sequences)


def test_idle_then_the_active_floor():
    curve = curve_of(TABLE)

    assert (curve.sequences[0], curve.watts[0], curve.rate[0]) == (0, 456, 0)
    assert curve.sequences[1] == 1
    assert 1700 < curve.watts[1] < 1765


def test_a_table_that_is_linear_from_idle_stays_linear():
    linear = replace(
        TABLE,
        sequences=(8, 64),
        watts=(650 + 350 / 8, 1000),
        tokens_per_second=(100, 800),
        inter_token_p50_milliseconds=(80, 80),
        inter_token_p99_milliseconds=(90, 90),
        loaded_idle_watts=650,
    )
    curve = curve_of(linear)

    for share in (0.0, 1 / 64, 0.05, 0.4, 0.9):
        assert np.interp(800 * share, curve.rate, curve.watts) == pytest.approx(650 + 350 * share)


def test_a_table_that_falls_is_refused():
    with pytest.raises(ValueError, match="llama-70b: sequences and tokens per second must grow"):
        curve_of(replace(TABLE, tokens_per_second=(470, 2511, 3876, 3000, 6827)))


@pytest.mark.parametrize("sequences", [1, 8, 32, 64])
def test_the_operators_profile_is_near_the_table_inside_the_objective(sequences):
    curve = curve_of(TABLE)
    profile = profile_of(curve)
    rate = float(np.interp(sequences, curve.sequences, curve.rate))
    truth = float(np.interp(sequences, curve.sequences, curve.watts))

    assert replica_watts(profile, float(sequences), rate) == pytest.approx(truth, rel=0.02)
    assert profile.max_concurrency_at_objective == 64
    assert profile.cold_start_seconds == 300
    assert profile.cap_throughput_permille == ((500, 750), (660, 870), (790, 930), (1000, 1000))


@given(st.floats(-8, 8))
def test_the_normal_tail(z):
    assert float(normal_above(np.asarray([z]))[0]) == pytest.approx(
        1 - NormalDist().cdf(z), abs=1e-6
    )


def test_half_is_above_the_median_and_a_hundredth_above_the_99th():
    p50, p99 = np.asarray([22.4]), np.asarray([91.0])

    assert share_above(p50, p50, p99)[0] == pytest.approx(0.5)
    assert share_above(p99, p50, p99)[0] == pytest.approx(0.01, abs=1e-4)
    assert share_above(np.asarray([0.0]), p50, p99)[0] == pytest.approx(1.0)
    assert share_above(np.asarray([-5.0]), p50, p99)[0] == pytest.approx(1.0)


@given(st.floats(1, 500), st.floats(1, 500), st.floats(1.0, 10))
def test_a_longer_threshold_is_passed_less_often(first, second, spread):
    p50 = np.asarray([40.0])
    low, high = sorted((first, second))
    shares = [share_above(np.asarray([t]), p50, p50 * spread)[0] for t in (low, high)]

    assert 0 <= shares[1] <= shares[0] + 1e-9 <= 1 + 2e-9
