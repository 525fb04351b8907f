"""Capacity learnt from windows: holds, fails, extrapolates a little, forgets, starts from the prior."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.core.load.learn import (
    EXTRAPOLATION,
    FLOOR_SHARE,
    HALF_LIFE_SECONDS,
    MOST_CELLS,
    Learnt,
    LoadWindow,
    capacity,
    column_of,
    decayed,
    edge_of,
    row_of,
    update,
)

ALLOWED = (0.05,)
PRIOR = 14.0


def window(each, bad=0, total=100, *, replicas=2, prompts=200.0, **more):
    """A minute in which every replica carried `each` sequences."""
    values = {"seconds": 60.0, "steady": True} | more
    return LoadWindow(
        replicas=replicas,
        concurrency=each * replicas,
        prompt_tokens_per_second=prompts * replicas,
        samples=((bad, total),),
        **values,
    )


def learn(*rows, state=None, start=0.0):
    state = Learnt(key="k") if state is None else state
    for index, row in enumerate(rows):
        state = update(state, row, start + 60.0 * index)
    return state


def judged(state, prior=PRIOR, allowed=ALLOWED):
    return capacity(state, prior=prior, allowed=allowed)


def test_without_a_window_the_prior_is_all_there_is():
    found = judged(Learnt())
    assert (found.sequences, found.learnt, found.samples) == (PRIOR, False, 0)


def test_good_latency_below_the_prior_teaches_nothing_new():
    found = judged(learn(*[window(5.0)] * 10))
    assert (found.sequences, found.learnt) == (PRIOR, False)
    assert "holds at 5.0" in found.message


def test_what_held_is_trusted_up_to_a_quarter_more_and_not_by_the_profile():
    found = judged(learn(*[window(20.0)] * 10))
    assert found.sequences == pytest.approx(EXTRAPOLATION * 20)
    assert found.learnt
    assert found.samples == pytest.approx(1000, abs=2)
    far = judged(learn(*[window(400.0)] * 10))
    assert far.sequences == pytest.approx(500), "thirty times the prior, but it was observed"


def test_a_concurrency_that_fails_takes_capacity_below_the_prior():
    found = judged(learn(*[window(10.0, bad=30)] * 5))
    assert found.learnt
    assert found.sequences == pytest.approx(edge_of(row_of(10.0)))
    assert "fails from" in found.message


def test_between_what_holds_and_what_fails_lies_the_capacity():
    found = judged(learn(*[window(16.5)] * 10, *[window(20.0, bad=30)] * 10))
    assert found.sequences == pytest.approx(edge_of(row_of(20.0)))
    wide = judged(learn(*[window(16.5)] * 10, *[window(40.0, bad=30)] * 10))
    assert wide.sequences == pytest.approx(EXTRAPOLATION * 16.5)


def test_one_bad_minute_is_an_accident_and_three_are_evidence():
    calm = [window(16.0)] * 20
    assert judged(learn(*calm, *[window(12.0, bad=100)] * 1)).sequences > 16
    assert judged(learn(*[window(12.0, bad=100)] * 2)).sequences == PRIOR
    assert judged(learn(*[window(12.0, bad=100)] * 3)).sequences < 12


def test_few_samples_prove_nothing():
    assert not judged(learn(*[window(30.0, total=4)] * 10)).learnt
    assert judged(learn(*[window(30.0, total=4)] * 12)).learnt, "48 good ones do"


def test_sparse_bins_borrow_from_harder_ones_never_from_easier():
    borrowed = judged(learn(*[window(20.0, total=30)] * 3, *[window(25.0, total=30)] * 3))
    assert borrowed.sequences == pytest.approx(EXTRAPOLATION * 25)
    easier = judged(learn(*[window(10.0)] * 30, *[window(30.0, total=2)] * 3))
    assert easier.sequences == PRIOR


def test_a_higher_bin_in_doubt_stops_extrapolation_but_not_what_was_shown():
    found = judged(learn(*[window(16.2)] * 10, *[window(20.0, bad=1, total=10)]))
    assert found.sequences == pytest.approx(edge_of(row_of(20.0)))


def test_the_floor_keeps_a_fault_that_is_not_load_from_multiplying_replicas():
    found = judged(learn(*[window(1.0, bad=100)] * 20))
    assert found.sequences == FLOOR_SHARE * PRIOR


def test_longer_prompts_than_were_observed_are_not_covered():
    short = learn(*[window(30.0, prompts=300.0)] * 10)
    assert judged(short).sequences == pytest.approx(37.5)
    longer = replace(short, mix=short.mix * 8)
    assert judged(longer).sequences == PRIOR
    shorter = replace(short, mix=short.mix / 8)
    assert judged(shorter).sequences == pytest.approx(37.5), "harder prompts held"


def test_bad_latency_under_longer_prompts_does_not_condemn_short_ones():
    heavy = [window(12.0, bad=60, prompts=4000.0)] * 10
    light = [window(12.0, prompts=50.0)] * 10 + [window(20.0, prompts=80.0)] * 10
    state = learn(*heavy, *light)
    light_now, heavy_now = replace(state, mix=4.0), replace(state, mix=4000 / 12)
    assert judged(light_now).sequences == pytest.approx(25.0)
    assert judged(heavy_now).sequences < 12


def test_every_objective_has_to_hold():
    both = LoadWindow(
        seconds=60.0,
        replicas=1,
        concurrency=20.0,
        prompt_tokens_per_second=100.0,
        samples=((0, 100), (40, 100)),
    )
    state = learn(*[both] * 5)
    assert judged(state, allowed=(0.05, 0.05)).sequences < 20
    assert judged(state, allowed=(0.05, 0.5)).sequences == pytest.approx(25)
    assert judged(state, allowed=(0.05,)).sequences == PRIOR, "another set of objectives"


@pytest.mark.parametrize(
    "row",
    [
        window(20.0, steady=False),
        window(20.0, total=0),
        window(0.0),
        window(20.0, replicas=0),
        window(20.0, seconds=0.0),
        window(100.0, running=(60.0, 240.0)),
        window(20.0, running=(0.0, 80.0)),
    ],
)
def test_windows_that_belong_to_no_concurrency_teach_nothing(row):
    state = Learnt(key="k")
    assert update(state, row, 100.0) is state


@pytest.mark.parametrize(("least", "most"), [(130.0, 240.0), (14.0, 30.0), (0.0, 3.0), (0.0, 0.0)])
def test_a_load_that_drifts_or_trembles_by_chance_is_learnt_from(least, most):
    row = window(max(1.0, (least + most) / 4), running=(least, most))
    assert update(Learnt(key="k"), row, 100.0).windows == 1


def test_a_week_halves_and_a_quarter_of_a_year_forgets():
    state = learn(*[window(10.0, bad=30)] * 5)
    half = decayed(state, state.time + HALF_LIFE_SECONDS)
    assert half.windows == pytest.approx(2.5, rel=1e-3)
    assert half.samples == 250
    gone = decayed(state, state.time + 13 * HALF_LIFE_SECONDS)
    assert gone.cells == ()
    assert judged(gone).sequences == PRIOR


def test_a_clock_that_was_wrong_for_a_while_decays_nothing_and_stops_no_ageing():
    state = learn(*[window(10.0, bad=30)] * 5)
    wrong = update(state, window(10.0, bad=30), state.time + 3e9)
    before = learn(*[window(10.0, bad=30)] * 6)
    # noted in a far future: the counts of now must not live until then
    right = update(replace(before, time=wrong.time), window(10.0, bad=30), state.time + 60)
    assert right.windows == pytest.approx(7, rel=1e-3)
    assert right.time == state.time + 60
    assert decayed(right, right.time + HALF_LIFE_SECONDS).windows == pytest.approx(3.5, rel=1e-3)
    back = decayed(state, state.time - 1000)
    assert back.cells == state.cells


def test_what_changed_for_the_better_is_learnt_anew_within_days():
    bad = learn(*[window(16.0, bad=12)] * 60)
    assert judged(bad).sequences < 16
    week = 7 * 24 * 60
    state = bad
    for minute in range(0, week, 10):
        state = update(state, window(16.0, bad=1), bad.time + 60.0 * minute)
    assert judged(state).sequences >= 16


def test_cells_are_few_whatever_the_load_does():
    rng = random.Random(3)
    state = Learnt(key="k")
    for minute in range(3000):
        row = window(2 ** rng.uniform(-3, 9), prompts=2 ** rng.uniform(-3, 14))
        state = update(state, row, 60.0 * minute)
    assert len(state.cells) <= MOST_CELLS


def test_bins_are_logarithmic():
    assert [row_of(x) for x in (1, 2, 4, 1.2, 1.19)] == [0, 4, 8, 1, 1]
    assert [column_of(x) for x in (0.0, 0.9, 1.0, 1.9, 2.0, 1024.0)] == [0, 0, 1, 1, 2, 11]
    assert edge_of(row_of(16.0)) == 16


def test_capacity_is_found_for_a_replica_with_a_known_cliff():
    """Good share falls with concurrency; true capacity (5 % bad) is 24, the prior says 14."""
    rng = random.Random(7)
    state = Learnt(key="k")

    def bad_share(each):
        return min(1.0, 0.05 * (each / 24.0) ** 6)

    load = 10.0
    for minute in range(4000):
        total = 60
        bad = sum(rng.random() < bad_share(load) for _ in range(total))
        state = update(state, window(load, bad=bad, total=total), 60.0 * minute)
        if minute % 20 == 19:
            load = judged(state).sequences * rng.uniform(0.6, 1.0)
    found = judged(state).sequences
    assert 0.75 * 24 <= found <= 1.1 * 24


ROWS = st.lists(
    st.tuples(st.floats(0.5, 60), st.integers(0, 100), st.floats(1, 5000)), min_size=1, max_size=25
)


@settings(max_examples=60)
@given(ROWS)
def test_capacity_is_bounded_by_the_prior_and_by_what_was_observed(rows):
    state = learn(*[window(each, bad=bad, prompts=prompts) for each, bad, prompts in rows])
    most = max(each for each, _, _ in rows)
    found = judged(state)
    assert FLOOR_SHARE * PRIOR - 1e-9 <= found.sequences
    assert found.sequences <= max(PRIOR, EXTRAPOLATION * most) + 1e-9


@settings(max_examples=60)
@given(ROWS, st.integers(0, 100))
def test_more_good_windows_at_the_top_never_lower_capacity(rows, seed):
    del seed
    prompts = max(row[2] for row in rows)
    state = learn(*[window(each, bad=0, prompts=prompts) for each, _, _ in rows])
    most = max(each for each, _, _ in rows)
    before = judged(state).sequences
    after = judged(learn(*[window(most, prompts=prompts)] * 3, state=state, start=1e4)).sequences
    assert after >= before * (1 - 0.19)
