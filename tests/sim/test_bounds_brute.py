"""No schedule of a tiny scenario beats the bound; the bound is near the best that whole replicas do."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sim.bound_cases import random_scenario, scenario, site, workload
from wattshift.sim.bounds import brute, flow, lp, milp
from wattshift.sim.bounds.flow import CARBON, MONEY, Weights
from wattshift.sim.bounds.instance import instance_of

LIMIT = 1e-6


def bound(world, weights, **kwargs):
    instance = instance_of(world, **kwargs)
    return (flow if flow.fits(instance) else lp).solve(instance, weights)


def test_trying_everything_finds_the_obvious():
    rows = [site("a", [0.3], [500.0]), site("b", [0.1], [100.0])]
    world = scenario(rows, [workload("w", ["a", "b"], [[100.0]], [("a", None)])])
    assert brute.best(world, MONEY) == pytest.approx(0.1)


def test_trying_everything_says_when_nobody_can_serve():
    rows = [site("a", [0.3], [500.0], devices=1)]
    world = scenario(rows, [workload("w", ["a"], [[150.0]], [("a", None)])])
    assert brute.best(world, MONEY) is None


def test_trying_everything_refuses_what_is_not_tiny():
    world = random_scenario(1, workloads=4, most=4)
    with pytest.raises(ValueError, match="tiny"):
        brute.best(world, MONEY, parts=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    lowest=st.sampled_from([-0.2, 0.01]),
    supply=st.booleans(),
    which=st.sampled_from([MONEY, CARBON, Weights(money=1.0, carbon=2e-4)]),
)
def test_no_schedule_of_one_workload_beats_the_bound(seed, lowest, supply, which):
    world = random_scenario(seed, sites=3, steps=4, lowest_price=lowest, supply=supply)
    best = brute.best(world, which)
    if best is not None:
        found = bound(world, which)
        assert found.unmet.max() < LIMIT
        assert found.objective <= best + LIMIT


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    lowest=st.sampled_from([-0.2, 0.01]),
    workloads=st.integers(2, 4),
    tables=st.integers(1, 2),
)
def test_no_schedule_of_several_workloads_on_shared_devices_beats_the_bound(
    seed, lowest, workloads, tables
):
    world = random_scenario(
        seed,
        sites=2,
        steps=2,
        workloads=workloads,
        tables=tables,
        lowest_price=lowest,
        most=1,
        tight=workloads == 2,
    )
    best = brute.best(world, MONEY, parts=1)
    if best is not None:
        assert bound(world, MONEY).objective <= best + LIMIT


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    lowest=st.sampled_from([-0.1, 0.01]),
    workloads=st.integers(1, 3),
    sites=st.integers(2, 3),
    which=st.sampled_from([MONEY, CARBON]),
)
def test_no_schedule_beats_the_bound_that_counts_whole_replicas(
    seed, lowest, workloads, sites, which
):
    world = random_scenario(
        seed,
        sites=sites,
        steps=2,
        workloads=workloads,
        lowest_price=lowest,
        most=2 if workloads < 3 else 1,
        tight=workloads == 2,
        linear=True,
    )
    best = brute.best(world, which, parts=2 if workloads < 3 else 1)
    if best is not None:
        plain = bound(world, which, caps=False)
        whole = bound(world, which, caps=False, whole=True)
        assert whole.objective <= best + LIMIT
        if lowest > 0:
            assert whole.objective >= plain.objective - LIMIT


def test_many_small_workloads_are_bounded_by_a_replica_each():
    rows = [site("a", [0.3], [500.0]), site("b", [0.1], [100.0])]
    jobs = [workload(f"w{k}", ["a", "b"], [[10.0]], [("a", None)]) for k in range(8)]
    world = scenario(rows, jobs, origins=["a"])
    plain, whole = bound(world, MONEY), bound(world, MONEY, caps=False, whole=True)
    assert plain.money == pytest.approx(8 * 0.1 * 0.1)
    # each needs one replica at 650 + 0.1 x 350 W
    assert whole.money == pytest.approx(8 * 0.685 * 0.1)


@pytest.mark.parametrize("seed", range(6))
def test_bound_below_whole_replicas_below_rounding_up(seed):
    world = random_scenario(seed, sites=3, steps=6, lowest_price=0.02, most=8)
    instance = instance_of(world)
    relaxed = lp.solve(instance, MONEY)
    whole = milp.solve(instance, MONEY, start_seconds=300.0, time_limit_seconds=20.0)
    rounded = milp.round_up(instance, MONEY, relaxed.tokens, start_seconds=300.0)
    assert relaxed.objective <= whole.best_bound + 1e-4 * abs(whole.best_bound)
    assert whole.best_bound <= whole.objective + LIMIT
    assert whole.objective <= rounded.objective * (1 + 2e-4)
    assert whole.gap <= 2e-4


def test_starts_cost_idle_watts_for_their_time():
    rows = [site("a", [0.3, 0.3], [1.0, 1.0])]
    world = scenario(rows, [workload("w", ["a"], [[50.0], [150.0]], [("a", None)])])
    whole = milp.solve(instance_of(world), MONEY, start_seconds=300.0)
    # one replica more in the second step: 650 W for 300 s at 0.3
    assert whole.replicas[:, 0].tolist() == [1.0, 2.0]
    assert whole.starts == pytest.approx(0.65 * 300 / 3600 * 0.3)
    assert whole.objective == pytest.approx(0.3 * (0.825 + 2 * 0.650 + 1.5 * 0.350) + whole.starts)
