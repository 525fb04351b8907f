"""How much sequences slow each other down, from windows of an engine's own token rate."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.core.load import learn, learn_text
from wattshift.core.load.learn import Learnt, LoadWindow
from wattshift.core.load.slowing import MOST, WINDOWS_NEEDED, Slowing, decayed, update


def rate(sequences: float, share: float, alone: float = 0.0165) -> float:
    """Tokens/s of a replica whose tokens take `alone` x (1 + share x sequences) seconds."""
    return sequences / (alone * (1 + share * sequences))


def seen(loads, share, *, noise=0.0, seed=1):
    state, chance = Slowing(), random.Random(seed)
    for load in loads:
        state = update(state, load, rate(load, share) * chance.gauss(1, noise))
    return state


def test_nothing_is_said_before_half_an_hour_of_windows():
    loads = [20 + index % 60 for index in range(int(WINDOWS_NEEDED) - 1)]
    assert seen(loads, 0.01).share is None
    assert seen([*loads, 50], 0.01).share == pytest.approx(0.01)


def test_a_text_of_zeros_that_somebody_wrote_tells_nothing():
    assert Slowing(windows=50.0).share is None


def test_one_load_tells_no_line():
    assert seen([50.0] * 500, 0.01, noise=0.05).share is None


def test_a_day_of_one_load_takes_nothing_from_what_was_known():
    known = [20 + index % 60 for index in range(60)]
    assert seen([*known, *[50.0] * 1440], 0.01).share == pytest.approx(0.01)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.008, 0.05])
def test_the_line_is_found_through_noise(share):
    chance = random.Random(7)
    found = seen([chance.uniform(20, 120) for _ in range(1000)], share, noise=0.05).share
    # what counts: the tokens/s of a half-full replica over those of a full one
    assert rate(60, found) / rate(120, found) == pytest.approx(
        rate(60, share) / rate(120, share), rel=0.03
    )


def test_tokens_that_come_faster_on_fuller_replicas_are_an_accident():
    state = Slowing()
    for index in range(100):
        state = update(state, 10.0 + index, (10.0 + index) ** 1.2)
    assert state.share == 0


def test_a_rate_that_does_not_grow_at_all_is_bounded():
    state = Slowing()
    for index in range(100):
        state = update(state, 10.0 + index, 500.0)
    assert state.share == MOST


def test_what_carries_nothing_teaches_nothing():
    assert update(Slowing(), 0.0, 10.0) == Slowing()
    assert update(Slowing(), 10.0, 0.0) == Slowing()


def test_what_decays_keeps_its_line_and_loses_its_weight():
    state = seen([20 + index % 60 for index in range(100)], 0.01)
    assert decayed(state, 0.5).share == pytest.approx(0.01)
    assert decayed(state, 0.1).share is None


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e9)), max_size=60))
def test_a_share_is_never_negative_nor_beyond_what_is_believed(rows):
    state = Slowing()
    for sequences, tokens in rows:
        state = update(state, sequences, tokens)
    assert state.share is None or 0 <= state.share <= MOST


def learnt(windows: int) -> Learnt:
    state, chance = Learnt(key="k"), random.Random(3)
    for index in range(windows):
        each = chance.uniform(20, 120)
        row = LoadWindow(
            seconds=60,
            replicas=4,
            concurrency=4 * each,
            prompt_tokens_per_second=0,
            samples=((0, 50),),
            output_tokens_per_second=4 * rate(each, 0.01),
        )
        state = learn.update(state, row, 60.0 * index)
    return state


def test_it_is_learnt_with_the_capacity_and_survives_a_restart():
    state = learnt(100)
    assert state.slowing.share == pytest.approx(0.01)
    again = learn_text.capacity_from(learn_text.capacity_text(state), "k")
    assert again.slowing.share == pytest.approx(0.01, rel=1e-3)


def test_a_text_of_before_it_was_learnt_is_read():
    text = learn_text.capacity_text(learnt(100))
    old = text[: text.index(',"s":')] + "}"
    assert learn_text.capacity_from(old, "k").slowing == Slowing()


@pytest.mark.parametrize(
    "row", ["[1,2,3,4]", "[-1,1,1,1,1]", "[1,1,1,1,1e99]", '"x"', "[1,1,1,1,NaN]"]
)
def test_numbers_that_nobody_wrote_are_refused(row):
    text = learn_text.capacity_text(learnt(40))
    with pytest.raises(ValueError, match=r"bins|slowing|convert"):
        learn_text.capacity_from(text[: text.index(',"s":')] + f',"s":{row}}}', "k")
