"""What was learnt as a bounded text: read back as it was, refused where somebody edited it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.core.load import growth
from wattshift.core.load.learn import (
    MOST_CELLS,
    Cell,
    Learnt,
    LoadWindow,
    capacity,
    decayed,
    update,
)
from wattshift.core.load.learn_text import capacity_from, capacity_text, growth_from, growth_text

CELLS = st.builds(
    Cell,
    row=st.integers(-16, 60),
    column=st.integers(0, 20),
    windows=st.floats(0.5, 1e5),
    sequences=st.floats(0.1, 1e4),
    samples=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e7)), min_size=1, max_size=4).map(
        tuple
    ),
)
STATES = st.builds(
    Learnt,
    key=st.just("k"),
    time=st.floats(1.6e9, 2e9),
    mix=st.floats(0, 1e4),
    cells=st.lists(CELLS, max_size=MOST_CELLS).map(tuple),
)


@given(STATES)
def test_a_text_fits_and_is_read_back(state):
    text = capacity_text(state)
    assert len(text) <= 4096
    found = capacity_from(text, "k")
    assert capacity_text(found) == text
    assert len(found.cells) <= len(state.cells)
    assert found.time == pytest.approx(state.time, abs=1)


def test_the_capacity_after_a_restart_is_that_of_before():
    state = Learnt(key="k")
    for minute in range(400):
        each = 8.0 + minute % 20
        row = LoadWindow(
            seconds=60.0,
            replicas=1,
            concurrency=each,
            prompt_tokens_per_second=12 * each,
            samples=((10 if each > 24 else 1, 60),),
        )
        state = update(state, row, 1.7e9 + 60 * minute)
    before = capacity(state, prior=14.0, allowed=(0.05,))
    after = capacity(capacity_from(capacity_text(state), "k"), prior=14.0, allowed=(0.05,))
    assert after.learnt
    assert after.sequences == pytest.approx(before.sequences, rel=0.01)
    assert len(capacity_text(state)) < 1000


def seen(state, each, bad, total, *, windows=6, now=1.7e9):
    for minute in range(windows):
        row = LoadWindow(
            seconds=60.0,
            replicas=1,
            concurrency=each,
            prompt_tokens_per_second=12 * each,
            samples=((bad, total),),
        )
        state = update(state, row, now + 60 * minute)
    return state


@pytest.mark.parametrize("days", [0, 1, 2, 3, 4, 5, 6])
def test_counts_that_decayed_are_rounded_to_possible_ones(days):
    state = decayed(seen(Learnt(key="k"), 5.0, 1, 1), 1.7e9 + 86400 * days)
    found = capacity_from(capacity_text(state), "k")
    assert all(bad <= total for cell in found.cells for bad, total in cell.samples)
    assert capacity(found, prior=14.0, allowed=(0.05,)).sequences > 0


def test_text_of_an_earlier_version_that_rounded_badly_is_read():
    text = '{"v":1,"t":1700000000,"m":1.0,"c":[[9,6,3.7,5.0,4,3]]}'
    found = capacity_from(text, "k")
    assert found.cells[0].samples == ((4.0, 4.0),)
    assert capacity(found, prior=14.0, allowed=(0.05,)).sequences > 0


def test_a_replica_that_carried_next_to_nothing_spoils_no_text():
    state = seen(Learnt(key="k"), 0.004, 0, 1)
    found = capacity_from(capacity_text(state), "k")
    assert len(found.cells) == 1


def test_a_text_that_is_too_long_loses_its_lightest_bins():
    cells = tuple(
        Cell(row=row, column=1, windows=row + 1.0, sequences=5.0, samples=((1.0, 60.0),))
        for row in range(40)
    )
    found = capacity_from(capacity_text(Learnt(cells=cells, time=1.7e9), most=400), "k")
    assert 5 < len(found.cells) < 40
    assert min(cell.row for cell in found.cells) == 40 - len(found.cells)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"v":2,"t":0,"m":0,"c":[]}',
        '{"v":1,"t":0,"m":0}',
        '{"v":1,"t":0,"m":0,"c":[[1,2]]}',
        '{"v":1,"t":0,"m":0,"c":[[1,2,3,4,-1,5]]}',
        '{"v":1,"t":0,"m":0,"c":[[1,2,0,4,1,5]]}',
        '{"v":1,"t":0,"m":-1,"c":[]}',
        '{"v":1,"t":NaN,"m":0,"c":[]}',
        '{"v":1,"t":"x","m":0,"c":[]}',
        '{"v":1,"t":0,"m":1e308,"c":[]}',
        '{"v":1,"t":0,"m":0,"c":[[1e300,1,1,1,0,1]]}',
        '{"v":1,"t":0,"m":0,"c":[[1,1e300,1,1,0,1]]}',
        '{"v":1,"t":0,"m":0,"c":[[1,1,1e308,1,0,1]]}',
        '{"v":1,"t":0,"m":0,"c":[[1,1,1,1,9,3]]}',
        "[" * 4000,
        json.dumps({"v": 1, "t": 0, "m": 0, "c": [[i, 0, 1, 1, 0, 1] for i in range(99)]}),
    ],
)
def test_bins_that_somebody_edited_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any wording
        capacity_from(text, "k")


def test_growth_is_read_back_without_its_last_loads():
    state = growth.Growth()
    for index in range(400):
        state = growth.update(state, 10.0 + index % 7, 1.7e9 + 30.0 * index, 120.0)
    found = growth_from(growth_text(state))
    assert found.permille == state.permille > 0
    assert found.recent == ()
    assert len(growth_text(state)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"v":1,"t":0,"h":1,"w":[1]}',
        '{"v":1,"t":0,"h":-1,"w":[]}',
        '{"v":1,"t":0,"h":300,"w":[1e308,1e308,0,0,0,0,0,0,0,0,0,0,0]}',
        '{"v":1,"t":NaN,"h":300,"w":[0,0,0,0,0,0,0,0,0,0,0,0,0]}',
    ],
)
def test_growth_that_somebody_edited_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any wording
        growth_from(text)
