"""Growth of load over the cold start, learnt with bounded memory."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.core.load.growth import (
    EDGES_PERMILLE,
    HALF_LIFE_SECONDS,
    LEARNT_SAMPLES,
    STEPS_PER_HORIZON,
    Growth,
    update,
)

HORIZON = 120.0
STEP = HORIZON / STEPS_PER_HORIZON


def learn(loads, state=None, start=0.0, step=STEP):
    state = Growth() if state is None else state
    for index, load in enumerate(loads):
        state = update(state, load, start + index * step, HORIZON)
    return state


def test_nothing_is_learnt_before_sixty_horizons_have_passed():
    few = learn([10.0] * int(LEARNT_SAMPLES + STEPS_PER_HORIZON - 1))
    assert few.permille == 0
    assert learn([10.0, 20.0] * 100).permille == 0


def test_a_flat_load_does_not_grow():
    state = learn([10.0] * 300)
    assert state.samples == pytest.approx(300 - STEPS_PER_HORIZON, rel=0.02)
    assert state.permille == 0


def test_a_load_that_grows_by_a_fifth_in_a_cold_start_is_learnt_as_that():
    factor = 1.2 ** (1 / STEPS_PER_HORIZON)
    assert learn([10 * factor ** (i % 40) for i in range(600)]).permille == 200


def test_the_95th_percentile_ignores_a_rare_jump_and_keeps_a_frequent_one():
    rare = [20.0 if i % 400 == 399 else 10.0 for i in range(1200)]
    frequent = [15.0 if i % 20 == 19 else 10.0 for i in range(1200)]
    assert learn(rare).permille == 0
    assert learn(frequent).permille == 500


def test_growth_counts_the_peak_on_the_way_not_only_the_end():
    saw = [10.0, 10.0, 13.0, 10.0, 10.0, 10.0] * 100
    assert learn(saw).permille == 300


def test_growth_from_nothing_is_not_counted_and_the_most_is_double():
    assert learn([0.5, 0.9] * 400).samples == 0
    assert learn([2.0, 2.0, 90.0, 90.0] * 200).permille == EDGES_PERMILLE[-1]


def test_loads_that_come_faster_than_a_step_change_nothing():
    state = learn([10.0, 11.0])
    assert update(state, 500.0, STEP + 5.0, HORIZON) is state


def test_a_gap_or_a_clock_set_back_begins_the_series_anew_and_keeps_what_was_learnt():
    state = learn([10.0] * 300)
    after = update(state, 90.0, 300 * STEP + 3600, HORIZON)
    assert after.weights == state.weights
    assert len(after.recent) == 1
    back = update(state, 90.0, 5.0, HORIZON)
    assert (back.weights, len(back.recent)) == (state.weights, 1)


def test_what_was_noted_in_a_far_future_ages_from_now_on():
    state = replace(learn([10.0] * 300), time=9e9)
    for index in range(12):
        state = update(state, 10.0, 301 * STEP + index * STEP, HORIZON)
    assert state.time == pytest.approx(301 * STEP + 11 * STEP)


def test_another_cold_start_begins_anew():
    state = learn([10.0] * 300)
    assert update(state, 10.0, 1e5, 600.0).samples == 0
    kept = update(state, 10.0, 300 * STEP, HORIZON * 1.1)
    assert kept.samples == pytest.approx(state.samples + 1, rel=1e-3)


def test_after_a_week_a_sample_counts_half():
    wild = learn([15.0 if i % 10 == 9 else 10.0 for i in range(600)])
    calm = learn([10.0] * 2400, wild, start=HALF_LIFE_SECONDS * 6)
    assert wild.permille == 500
    assert calm.permille == 0


def test_memory_is_bounded_and_a_restart_needs_only_the_weights():
    rng = random.Random(5)
    state = learn([20 + 10 * math.sin(i / 50) + rng.random() for i in range(5000)])
    assert len(state.recent) <= STEPS_PER_HORIZON + 1
    assert len(state.weights) == len(EDGES_PERMILLE)
    assert replace(state, recent=()).permille == state.permille > 0


@given(st.lists(st.floats(0, 1000), max_size=40), st.integers(2, 30))
def test_growth_does_not_depend_on_the_unit_of_load(loads, factor):
    loads = [max(1.0, row) for row in loads]
    one, other = learn(loads), learn([row * factor for row in loads])
    assert sum(one.weights) == pytest.approx(sum(other.weights))
