"""Isotonic regression of shares, against a definition by min and max."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.core.load.isotonic import rising

COUNTS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 40)).map(lambda row: (min(row), max(row))),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize(
    ("bad", "total", "fit"),
    [
        ((0, 1, 5), (10, 10, 10), (0.0, 0.1, 0.5)),
        ((5, 1), (10, 10), (0.3, 0.3)),
        ((0, 4, 2, 9), (10, 10, 10, 10), (0.0, 0.3, 0.3, 0.9)),
        ((1, 0, 2), (10, 0, 10), (0.1, 0.1, 0.2)),
        ((), (), ()),
        ((0,), (0,), (0.0,)),
    ],
)
def test_shares_by_hand(bad, total, fit):
    assert rising(bad, total) == pytest.approx(fit)


@given(COUNTS)
def test_the_fit_is_the_largest_of_the_smallest_means(rows):
    bad, total = [row[0] for row in rows], [row[1] for row in rows]

    def mean(first: int, last: int) -> float:
        return sum(bad[first : last + 1]) / sum(total[first : last + 1])

    size = len(rows)
    # Robertson, Wright and Dykstra 1988: max over s <= i of min over t >= i of the mean of s..t
    expected = [
        max(min(mean(s, t) for t in range(i, size)) for s in range(i + 1)) for i in range(size)
    ]
    assert rising(bad, total) == pytest.approx(expected)


@given(COUNTS)
def test_the_fit_never_falls_and_keeps_the_number_of_bad_samples(rows):
    bad, total = [row[0] for row in rows], [row[1] for row in rows]
    fit = rising(bad, total)
    assert all(a <= b + 1e-12 for a, b in zip(fit, fit[1:], strict=False))
    assert sum(f * n for f, n in zip(fit, total, strict=True)) == pytest.approx(sum(bad))
