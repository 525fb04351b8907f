"""Whole replicas of one class: enough, within every maximum, the cheapest further ones first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.core.fleet.integers import EPSILON, alone

FEW = settings(max_examples=150, deadline=None)


@st.composite
def cases(draw):
    """(units of a replica, units by the flow, least, most, price), three places."""
    size = np.asarray([draw(st.sampled_from([0.5, 3.0, 14.0, 20.0])) for _ in range(3)])
    amount = np.asarray([draw(st.floats(0.0, 400.0)) for _ in range(3)])
    least = np.asarray([draw(st.integers(0, 3)) for _ in range(3)])
    top = np.maximum(least, [draw(st.integers(0, 60)) for _ in range(3)])
    price = np.asarray([draw(st.sampled_from([0.1, 0.3, 0.3, 2.0])) for _ in range(3)])
    return size, amount, least, top, price


def one_by_one(size, amount, least, top, price):
    """The rule without any short cut."""
    found = np.minimum(np.maximum(np.floor(amount / size + EPSILON), least), top).astype(np.int64)
    while True:
        missing = float(amount.sum()) - float((found * size).sum())
        free = found < top
        if missing <= EPSILON * float(size.min()) or not free.any():
            return found
        used = free & (amount > EPSILON * size)
        free = used if used.any() else free
        rank = np.where(free, price / np.minimum(size, missing), np.inf)
        found[int(rank.argmin())] += 1


@FEW
@given(cases())
def test_many_at_once_are_those_that_one_by_one_would_be(case):
    assert alone(*case).tolist() == one_by_one(*case).tolist()


@FEW
@given(cases())
def test_all_load_is_covered_unless_every_place_is_full(case):
    size, amount, least, top, _ = case
    found = alone(*case)
    assert (found >= np.minimum(least, top)).all()
    assert (found <= top).all()
    short = float(amount.sum()) - float((found * size).sum())
    assert short <= EPSILON * float(size.min()) or (found == top).all()


def test_millions_of_replicas_that_have_to_go_elsewhere_are_not_counted_singly():
    size, price = np.ones(2), np.ones(2)
    amount = np.asarray([5e8, 1.0])
    found = alone(size, amount, np.zeros(2, np.int64), np.asarray([10, 10**9]), price)
    assert found.tolist() == [10, 500_000_001 - 10]
