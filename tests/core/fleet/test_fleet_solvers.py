"""Flow, dual and roll against another solver on small cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.core.fleet.cases import optimum, problem
from wattshift.core.fleet.dual import _backward, _Columns, _forward, solve
from wattshift.core.fleet.flow import Network, route
from wattshift.core.fleet.goal import LARGE, told_dual
from wattshift.core.fleet.roll import rolled

FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10_000)


def first_step(case):
    """The first step alone."""
    return replace(
        case,
        hours=case.hours[:1],
        need=case.need[:1],
        cost=case.cost[:1],
        limit=case.limit[:1],
        ceiling=case.ceiling[:1],
    )


def money(case, flow):
    """What a flow costs in the first step."""
    at = case.at(flow.carried)
    spent = float((case.cost[0] * at).sum() * case.hours[0])
    gained = np.where(case.open, np.maximum(0.0, flow.carried - case.present), 0.0)
    return spent + float((gained * case.enter[case.place]).sum())


@FEW
@given(SEEDS, st.integers(1, 5), st.integers(1, 4))
def test_the_first_step_is_what_a_linear_programme_finds(seed, classes, places):
    case = first_step(problem(seed, classes=classes, places=places))
    # what a class pays for moving is paid at the place here, so that both count alike
    case = replace(case, start=np.zeros(places), arrive=case.start)
    worth = np.where(case.open, (case.cost[0] * case.hours[0])[case.place], 0.0)
    found = route(case, worth, kept=np.zeros(places), bonus=np.zeros(places))
    assert found.unserved.sum() == pytest.approx(0, abs=1e-5)
    best = optimum(case)
    assert money(case, found) == pytest.approx(best, rel=1e-4, abs=1e-5)


@FEW
@given(SEEDS)
def test_own_supply_is_used_up_before_the_grid_is_paid(seed):
    case = first_step(problem(seed, supply=True))
    case = replace(case, start=np.zeros(3), arrive=case.start)
    worth = np.where(case.open, (case.cost[0] * case.hours[0])[case.place], 0.0)
    found = route(case, worth, kept=np.zeros(3), bonus=np.zeros(3))
    above = max(0.0, case.at(found.carried)[0] - case.limit[0, 3]) * 0.7 * case.hours[0]
    assert money(case, found) + above == pytest.approx(optimum(case), rel=1e-4, abs=1e-5)


@FEW
@given(SEEDS, st.integers(1, 4), st.booleans(), st.integers(0, 60))
def test_the_bound_is_below_the_optimum_and_the_rolled_plan_above(seed, steps, supply, iterations):
    case = problem(seed, steps=steps, supply=supply)
    dual = solve(case, iterations=iterations)
    best, plan = optimum(case), rolled(case, dual)
    assert dual.bound <= best * (1 + 1e-6)
    assert plan.unserved == pytest.approx(0, abs=1e-4)
    assert plan.money >= best * (1 - 1e-4)


@FEW
@given(SEEDS, st.floats(0.5, 6.0))
def test_a_budget_of_moves_is_part_of_the_bound(seed, moves):
    case = problem(seed, tight=1.2, moves=moves)
    best = optimum(case)
    if best is not None:
        assert solve(case, iterations=40).bound <= best * (1 + 1e-6)


@FEW
@given(SEEDS, st.integers(1, 3), st.integers(1, 3))
def test_what_is_held_stays_in_the_first_step_and_the_bound_knows(seed, steps, held):
    case = problem(seed, steps=steps, held=held, tight=3.0)
    dual = solve(case, iterations=48)
    best, plan = optimum(case), rolled(case, dual)
    assert dual.bound <= best * (1 + 1e-6)
    free = replace(case, held=np.zeros_like(case.held))
    assert best >= optimum(free) * (1 - 1e-9)
    assert plan.unserved == pytest.approx(0, abs=1e-4)
    assert plan.carried[0][:held] == pytest.approx(case.present[:held], abs=1e-5)
    assert plan.money >= best * (1 - 1e-4)


def test_where_nothing_binds_the_bound_of_what_is_held_is_exact():
    case = problem(7, held=2, tight=100.0)
    assert solve(case, iterations=24).bound == pytest.approx(optimum(case), rel=1e-6)
    assert optimum(case) > 1.01 * optimum(replace(case, held=np.zeros(3, dtype=bool)))


def test_more_iterations_close_the_gap():
    case = problem(7, classes=8, places=4, steps=4, tight=0.2)
    best = optimum(case)
    few, many = (best - solve(case, iterations=count).bound for count in (0, 200))
    assert many < few / 2
    assert many < 0.02 * best


@pytest.mark.parametrize("seed", [3, 4])
def test_as_many_iterations_as_a_large_fleet_gets_come_near_the_best_bound(seed):
    case = problem(seed, classes=80, places=12, steps=6, tight=0.1)
    assert solve(case, iterations=LARGE).bound >= 0.995 * solve(case, iterations=800).bound


def test_the_bound_of_small_fleets_is_tight():
    gaps = []
    for seed in range(30):
        case = problem(seed, classes=8, places=4, steps=4, tight=0.3, supply=seed % 3 == 0)
        gaps.append(1 - told_dual(case, None, 32).bound / optimum(case))
    assert sum(gaps) / len(gaps) < 0.003
    assert max(gaps) < 0.03


def test_where_nothing_binds_no_price_is_asked_and_the_bound_is_exact():
    case = problem(3, tight=100.0)
    dual = solve(case, iterations=40)
    assert not dual.price.any()
    assert dual.bound == pytest.approx(optimum(case), rel=1e-9)


def test_equal_places_change_nothing():
    case = first_step(problem(5, tight=100.0))
    case = replace(case, cost=np.ones_like(case.cost))
    worth = np.where(case.open, 1.0, 0.0)
    kept = case.at(case.present)
    found = route(case, worth, kept=kept, bonus=np.zeros(3))
    assert found.carried == pytest.approx(case.present, abs=1e-5)


@FEW
@given(SEEDS)
def test_limits_of_devices_and_watts_hold_in_the_flow(seed):
    case = first_step(problem(seed, tight=0.5))
    watts = np.array([[1e9, 1e9, 2.0]])
    case = replace(
        case,
        limit=np.concatenate([case.limit, watts], axis=1),
        ceiling=np.full((1, 6), np.inf),
        pool=np.arange(3),
        feed=np.arange(3) + 3,
        supply=np.full(3, 6),
        watts=np.full(3, 2.0),
    )
    worth = np.where(case.open, (case.cost[0] * case.hours[0])[case.place], 0.0)
    at = case.at(route(case, worth, kept=np.zeros(3), bonus=np.zeros(3)).carried)
    assert (at <= case.limit[0, :3] + 1e-4).all()
    assert at[2] * 2.0 <= 2.0 + 1e-4


def test_what_nobody_can_carry_is_told():
    case = first_step(problem(1))
    most = np.full(3, 0.1)
    worth = np.where(case.open, 1.0, 0.0)
    found = route(case, worth, kept=np.zeros(3), bonus=np.zeros(3), most=most)
    assert found.unserved.sum() == pytest.approx(case.need[0].sum() - 0.3, abs=1e-4)


@FEW
@given(SEEDS, st.integers(1, 8), st.floats(0.0, 0.4))
def test_steps_in_which_nobody_leaves_are_walked_like_all_others(seed, steps, price):
    case = problem(seed, steps=steps)
    columns = _Columns(case)
    prices = np.where(np.isfinite(case.limit), price, 0.0)
    paths = _backward(columns, prices, np.zeros(case.groups))
    usage, moved, _ = _forward(columns, paths)
    have = np.where(case.open, case.present, 0.0)
    share = (have / np.maximum(np.maximum(case.need[0], have.sum(axis=1)), 1e-12)[:, None]).T
    fresh = np.maximum(0.0, 1 - share.sum(axis=0))
    used, left = np.zeros(case.limit.shape), np.zeros(case.groups)
    for t in range(steps):
        new = share.copy()
        for c in range(case.classes):
            for f in range(case.places):
                if paths.leaves[t, f, c]:
                    left[case.group[c]] += share[f, c] * case.need[t, c]
                    new[paths.target[t, c], c] += share[f, c]
                    new[f, c] -= share[f, c]
            if t == 0:
                new[paths.target[0, c], c] += fresh[c]
        share = new
        used[t, : case.places] += (share * case.need[t]).sum(axis=1)
    assert usage[:, : case.places] == pytest.approx(used[:, : case.places], abs=1e-9)
    assert moved == pytest.approx(left, abs=1e-9)


@FEW
@given(SEEDS, st.lists(st.lists(st.floats(0.0, 5.0), min_size=3, max_size=3), max_size=4))
def test_routes_that_share_a_network_are_those_of_a_fresh_one(seed, amounts):
    case = first_step(problem(seed))
    network = Network(case, limits=False)
    for factor in (1.0, 2.0):
        worth = np.where(case.open, factor * (case.cost[0] * case.hours[0])[case.place], 0.0)
        routes = network.at(worth, case.start)
        for row in [[9.0] * 3, *amounts, [9.0] * 3]:
            kept, most = np.asarray(row[::-1]), np.asarray(row)
            found = routes.route(kept, most)
            fresh = route(case, worth, kept=kept, bonus=case.start, most=most, limits=False)
            assert np.array_equal(found.carried, fresh.carried)
            assert np.array_equal(found.unserved, fresh.unserved)


@FEW
@given(SEEDS, st.floats(0.001, 1000.0))
def test_units_of_money_change_no_flow(seed, factor):
    case = first_step(problem(seed))
    worth = np.where(case.open, (case.cost[0] * case.hours[0])[case.place], 0.0)
    kept = case.at(case.present)
    one = route(case, worth, kept=kept, bonus=case.start)
    other = route(
        replace(case, arrive=case.arrive * factor),
        worth * factor,
        kept=kept,
        bonus=case.start * factor,
    )
    assert one.carried == pytest.approx(other.carried, abs=1e-4)


@FEW
@given(SEEDS)
def test_a_dearer_place_carries_no_more(seed):
    case = first_step(problem(seed))
    worth = np.where(case.open, (case.cost[0] * case.hours[0])[case.place], 0.0)
    none = np.zeros(3)
    before = case.at(route(case, worth, kept=none, bonus=none).carried)
    dearer = np.where(case.open & (case.place == 1), worth + 0.2, worth)
    after = case.at(route(case, dearer, kept=none, bonus=none).carried)
    assert after[1] <= before[1] + 1e-4


def test_the_same_problem_gives_the_same_answer():
    def answer():
        case = problem(11, classes=6, places=4, steps=4)
        dual = solve(case, iterations=30)
        worth = np.where(case.open, (case.cost[0] * case.hours[0])[case.place], 0.0)
        return dual.bound, route(case, worth, kept=np.zeros(4), bonus=case.start).carried.tobytes()

    assert answer() == answer()
