"""What the entry is told while replicas start: load moves once, to where it is meant to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattshift.core.entry import told

NAMES = ("a", "b", "c", "d")


def users(**shares):
    return (("users", tuple(shares.items())),)


def of(split):
    return dict(dict(split)["users"])


def test_requests_for_what_starts_stay_where_they_leave_from():
    found = told(users(a=0.8, c=0.2), users(b=0.8, c=0.2), {"a": 1.0, "b": 0.0})
    assert of(found) == pytest.approx({"a": 0.8, "c": 0.2})


def test_they_go_once_it_serves():
    wanted = users(b=0.8, c=0.2)
    assert told(users(a=0.8, c=0.2), wanted, {"a": 1.0, "b": 1.0}) == wanted


def test_they_follow_as_far_as_it_serves():
    found = told(users(a=1.0), users(b=1.0), {"a": 1.0, "b": 0.25})
    assert of(found) == pytest.approx({"a": 0.75, "b": 0.25})


def test_what_already_goes_there_stays_there():
    found = told(users(a=0.6, b=0.4), users(b=1.0), {"a": 1.0, "b": 0.5})
    assert of(found) == pytest.approx({"a": 0.5, "b": 0.5})
    grows = told(users(a=0.3, b=0.7), users(b=1.0), {"a": 1.0, "b": 0.5})
    assert of(grows) == pytest.approx({"a": 0.3, "b": 0.7})


def test_what_goes_to_replicas_that_serve_does_not_wait_for_others():
    found = told(users(a=1.0), users(b=0.5, c=0.5), {"a": 1.0, "b": 0.0, "c": 1.0})
    assert of(found) == pytest.approx({"a": 0.5, "c": 0.5})


def test_nothing_stays_at_what_serves_no_more():
    wanted = users(b=1.0)
    assert told(users(a=1.0), wanted, {"a": 0.0, "b": 0.0}) == wanted


def test_an_origin_that_is_new_follows_at_once():
    assert told((), users(b=1.0), {"b": 0.0}) == users(b=1.0)


def splits(names=NAMES):
    weights = st.lists(st.integers(0, 5), min_size=len(names), max_size=len(names))

    def normed(values):
        total = sum(values)
        return {name: v / total for name, v in zip(names, values, strict=True) if v}

    return weights.filter(any).map(normed)


READY = st.fixed_dictionaries({name: st.sampled_from([0.0, 0.25, 0.5, 1.0]) for name in NAMES})


@given(splits(), splits(), READY)
def test_no_share_leaves_the_way_from_before_to_wanted(before, wanted, ready):
    found = of(told(users(**before), users(**wanted), ready))
    assert sum(found.values()) == pytest.approx(1.0)
    for name in NAMES:
        ends = before.get(name, 0.0), wanted.get(name, 0.0)
        assert min(ends) - 1e-9 <= found.get(name, 0.0) <= max(ends) + 1e-9


@given(splits(), splits(), READY)
def test_told_again_nothing_changes_until_more_serves(before, wanted, ready):
    once = told(users(**before), users(**wanted), ready)
    again = told(once, users(**wanted), ready)
    assert of(again) == pytest.approx(of(once), abs=1e-9)


@given(splits(), splits())
def test_all_is_as_wanted_when_all_serves(before, wanted):
    assert told(users(**before), users(**wanted), {}) == users(**wanted)
