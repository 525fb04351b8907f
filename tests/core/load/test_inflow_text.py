"""Looks as text: what is written is read, and it is never too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.build import NOW

from wattshift.core.load.inflow import KEPT_SECONDS, Look
from wattshift.core.load.inflow_text import MOST_CHARACTERS, looks_from, looks_text

looks = st.lists(
    st.builds(
        Look,
        time=st.integers(0, int(KEPT_SECONDS)).map(lambda age: NOW - age),
        units=st.floats(-1e9, 1e9),
        replicas=st.integers(0, 160_000),
        apart=st.booleans(),
    ),
    max_size=400,
).map(lambda rows: sorted(rows, key=lambda row: row.time))


@given(looks)
def test_what_fits_is_read_as_it_was_and_the_latest_always_fit(rows):
    text = looks_text(rows)
    assert len(text) <= MOST_CHARACTERS
    found = looks_from(text, NOW)
    assert len(found) == len(rows) or len(text) > MOST_CHARACTERS / 2
    for one, two in zip(reversed(found), reversed(rows), strict=False):
        assert (one.time, one.replicas, one.apart) == (two.time, two.replicas, two.apart)
        assert one.units == pytest.approx(two.units, rel=1e-8)


def test_a_day_of_looks_fits_as_a_whole():
    rows = [
        Look(time=NOW - 300.0 * (288 - k), units=123456.75 + 17.3 * k, replicas=k % 200)
        for k in range(288)
    ]
    assert len(looks_from(looks_text(rows), NOW)) == 288


def test_nothing_is_a_text_too():
    assert looks_from(looks_text([]), NOW) == ()


@given(st.text(max_size=200) | st.binary(max_size=50).map(str))
def test_no_text_does_more_than_to_be_refused(text):
    try:
        looks_from(text, NOW)
    except ValueError:
        pass
