"""Exact binomial tails, against direct sums and the figures of the design."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st
from wattshift.core.load.beta import incomplete_beta, share_above, share_at_most


def tail_at_most(k: int, n: int, p: float) -> float:
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(
    ("bad", "samples", "share", "allowed"),
    [
        (0, 44, 0.05, False),
        (0, 45, 0.05, True),
        (1, 90, 0.05, True),
        (5, 200, 0.05, True),
        (0, 229, 0.01, False),
        (0, 230, 0.01, True),
        (0, 0, 0.05, False),
        (3, 3, 0.5, False),
        (5, 10, 1.0, True),
        (0, 100, 0.0, False),
    ],
)
def test_removal_limits_are_those_of_clopper_and_pearson(bad, samples, share, allowed):
    assert share_at_most(bad, samples, share, 0.1) is allowed


@given(st.integers(1, 120), st.floats(0.01, 0.5), st.data())
def test_upper_limit_agrees_with_the_direct_sum(samples, share, data):
    bad = data.draw(st.integers(0, samples))
    direct = tail_at_most(bad, samples, share)
    if abs(direct - 0.1) > 1e-9 and bad < samples:
        assert share_at_most(bad, samples, share, 0.1) is (direct <= 0.1)


@given(st.integers(1, 120), st.floats(0.01, 0.5), st.data())
def test_lower_limit_agrees_with_the_direct_sum(samples, share, data):
    bad = data.draw(st.integers(1, samples))
    direct = 1 - tail_at_most(bad - 1, samples, share)
    if abs(direct - 0.1) > 1e-9:
        assert share_above(bad, samples, share, 0.1) is (direct < 0.1)


@given(st.integers(1, 5000), st.integers(0, 5000), st.floats(0.001, 0.3))
def test_no_sample_set_is_both_shown_good_and_shown_bad(samples, bad, share):
    bad = min(bad, samples)
    assert not (share_above(bad, samples, share, 0.1) and share_at_most(bad, samples, share, 0.1))


@given(st.floats(0.5, 500), st.floats(0.5, 500), st.floats(0, 1))
def test_beta_is_a_probability_and_symmetric(a, b, x):
    x = 1 - (1 - x)  # so that both sides are given exactly
    value = incomplete_beta(a, b, x)
    assert 0 <= value <= 1
    assert value == pytest.approx(1 - incomplete_beta(b, a, 1 - x), abs=1e-9)


def test_millions_of_tokens_are_judged():
    assert share_above(51_000, 1_000_000, 0.05, 0.1)
    assert share_at_most(49_000, 1_000_000, 0.05, 0.1)


def test_more_bad_ones_than_samples_count_as_all():
    assert share_above(5, 4, 0.05, 0.1) == share_above(4, 4, 0.05, 0.1)
    assert not share_at_most(5, 4, 0.05, 0.1)
    assert not share_above(3, 0, 0.05, 0.1)
