"""B8 by flow: by hand, against the linear program, and at negative prices."""

from __future__ import annotations

import numpy as np
import pytest

from tests.sim.bound_cases import random_scenario, scenario, site, table, workload
from wattshift.core.model import FacilityPoint
from wattshift.errors import NeedsHuman
from wattshift.sim.bounds import flow, lp
from wattshift.sim.bounds.flow import CARBON, MONEY, Weights
from wattshift.sim.bounds.instance import instance_of


def two_sites(price_a, price_b, demand, **kwargs):
    steps = len(price_a)
    rows = [site("a", price_a, [500.0] * steps), site("b", price_b, [100.0] * steps, **kwargs)]
    return scenario(rows, [workload("w", ["a", "b"], demand, [("a", None)])], origins=["a"])


def test_all_load_goes_to_the_cheaper_site_on_full_replicas():
    # 200 tokens/s = two full replicas = 2 kW for an hour at 0.1
    world = two_sites([0.3], [0.1], [[200.0]])
    found = flow.solve(instance_of(world), MONEY)
    assert found.money == pytest.approx(0.2)
    assert found.it_watts[0].tolist() == pytest.approx([0.0, 2000.0])


def test_the_carbon_bound_follows_carbon_and_not_price():
    world = two_sites([0.1], [0.3], [[200.0]])
    found = flow.solve(instance_of(world), CARBON)
    assert found.grams == pytest.approx(200.0)
    assert found.money == pytest.approx(0.6)


def test_a_round_trip_that_is_too_long_keeps_the_load_at_home():
    rows = [site("a", [0.3], [1.0]), site("b", [0.1], [1.0])]
    job = workload("w", ["a", "b"], [[100.0, 100.0]], [("near", 50), ("far", None)])
    world = scenario(rows, [job], origins=["near", "far"], round_trips=[[10, 90], [10, 90]])
    found = flow.solve(instance_of(world), MONEY)
    assert found.it_watts[0].tolist() == pytest.approx([1000.0, 1000.0])


def test_an_origin_that_nobody_reaches_is_an_error_with_its_name():
    rows = [site("a", [0.3], [1.0])]
    job = workload("w", ["a"], [[100.0]], [("mars", 50)])
    world = scenario(rows, [job], origins=["mars"], round_trips=[[9000]])
    with pytest.raises(NeedsHuman, match="mars"):
        instance_of(world)


def test_devices_bound_what_a_site_carries():
    world = two_sites([0.3], [0.1], [[200.0]], devices=1)
    found = flow.solve(instance_of(world), MONEY)
    assert found.it_watts[0].tolist() == pytest.approx([1000.0, 1000.0])


def test_an_import_limit_bounds_what_a_site_carries_behind_its_facility_factor():
    facility = (FacilityPoint(temperature_millicelsius=0, fixed_watts=200, marginal_permille=1250),)
    world = two_sites([0.3], [0.1], [[200.0]], import_limit=1450.0, facility=facility)
    found = flow.solve(instance_of(world), MONEY)
    # (1450 - 200) / 1.25 = 1000 W of IT
    assert found.it_watts[0].tolist() == pytest.approx([1000.0, 1000.0])
    assert found.money == pytest.approx(0.3 + 0.145)


def test_a_cooling_limit_bounds_it_watts():
    world = two_sites([0.3], [0.1], [[200.0]], cooling=[500.0])
    found = flow.solve(instance_of(world), MONEY)
    assert found.it_watts[0].tolist() == pytest.approx([1500.0, 500.0])


def test_demand_without_room_is_unmet_and_said():
    world = two_sites([0.3], [0.1], [[2500.0]], devices=2)
    found = flow.solve(instance_of(world), MONEY)
    assert found.unmet[0] == pytest.approx(2500 - 1200)


def test_own_supply_is_used_first_and_has_no_grams():
    world = two_sites([0.3], [0.2], [[200.0]], supply=[1500.0])
    instance = instance_of(world)
    found = flow.solve(instance, MONEY)
    assert found.money == pytest.approx(0.5 * 0.2)
    assert found.grams == pytest.approx(0.5 * 100)


def test_own_supply_that_could_be_sold_costs_what_its_sale_would_bring():
    world = two_sites([0.3], [0.2], [[100.0]], supply=[1500.0], export_price=[0.05])
    instance = instance_of(world)
    found = flow.solve(instance, MONEY)
    # 1 kW is used and the other 0.5 kW are sold
    assert found.money == pytest.approx(-0.5 * 0.05)
    assert instance.own_price[0].tolist() == [0.0, 0.05]


def test_margin_costs_capacity_and_a_worse_use_of_idle_watts():
    world = two_sites([0.3], [0.1], [[180.0]])
    plain = flow.solve(instance_of(world), MONEY)
    margin = flow.solve(instance_of(world, margin=0.1), MONEY)
    # at 90 tokens/s a replica draws 650 + 0.9 x 350 = 965 W
    assert margin.money == pytest.approx(2 * 965 / 1000 * 0.1)
    assert plain.money == pytest.approx(0.18)


def test_where_a_kwh_earns_idle_watts_earn_too():
    world = two_sites([0.3], [-0.1], [[100.0]])
    instance = instance_of(world)
    found = flow.solve(instance, MONEY)
    # all ten replicas at b stay on: 9 idle and one full
    assert found.it_watts[0].tolist() == pytest.approx([0.0, 9 * 650 + 1000.0])
    assert found.money == pytest.approx(-0.685)
    assert flow.solve(instance, MONEY, idle_earns=False).money == pytest.approx(-0.1)


def test_at_a_negative_price_the_import_limit_bounds_the_gain():
    world = two_sites([0.3], [-0.1], [[100.0]], import_limit=3000.0)
    found = flow.solve(instance_of(world), MONEY)
    assert found.money == pytest.approx(-0.3)


def test_power_caps_that_save_more_than_they_slow_down_are_used():
    rows = [site("a", [0.1], [1.0])]
    job = workload("w", ["a"], [[80.0]], [("a", None)])
    kinds = [table(caps=((0.5, 0.8), (1.0, 1.0)))]
    world = scenario(rows, [job], origins=["a"], tables=kinds)
    found = flow.solve(instance_of(world), MONEY)
    assert found.it_watts[0].tolist() == pytest.approx([500.0])


@pytest.mark.parametrize("seed", range(20))
def test_flow_and_linear_program_agree_on_random_steps(seed):
    world = random_scenario(seed, sites=5, steps=1, most=3, supply=seed % 2 == 0)
    weights = (MONEY, CARBON, Weights(money=1.0, carbon=1e-4))[seed % 3]
    instance = instance_of(world, margin=0.1 if seed % 4 == 0 else 0.0)
    by_flow, by_lp = flow.solve(instance, weights), lp.solve(instance, weights)
    assert by_flow.objective == pytest.approx(by_lp.objective, rel=1e-6, abs=1e-8)
    assert by_flow.unmet == pytest.approx(by_lp.unmet, abs=1e-4)


@pytest.mark.parametrize(("solver", "tolerance"), [("CLP", 1e-6), ("HIGHS", 1e-6), ("PDLP", 1e-3)])
def test_other_solvers_of_the_same_library_agree(solver, tolerance):
    instance = instance_of(random_scenario(11, sites=4, steps=3, most=3, lowest_price=0.02))
    found = lp.solve(instance, MONEY, solver_name=solver)
    assert found.objective == pytest.approx(flow.solve(instance, MONEY).objective, rel=tolerance)


def test_a_solver_that_is_not_there_is_said():
    with pytest.raises(NeedsHuman, match="GUROBI"):
        lp.make_solver("GUROBI")


def test_flow_refuses_what_it_cannot_solve_exactly():
    world = random_scenario(3, tables=2, workloads=3)
    with pytest.raises(ValueError, match="LP"):
        flow.solve(instance_of(world), MONEY)


def test_equal_steps_are_equal_and_the_whole_is_their_sum():
    once = two_sites([0.3], [0.1], [[200.0]])
    thrice = two_sites([0.3] * 3, [0.1] * 3, [[200.0]] * 3)
    one = flow.solve(instance_of(once), MONEY)
    three = flow.solve(instance_of(thrice), MONEY)
    assert three.objective == pytest.approx(3 * one.objective)
    assert np.allclose(three.by_step, one.objective)


def test_a_window_is_solved_like_a_scenario_of_its_own():
    world = random_scenario(5, steps=6)
    whole = flow.solve(instance_of(world), MONEY)
    part = flow.solve(instance_of(world, first_step=2, last_step=5), MONEY)
    assert part.by_step == pytest.approx(whole.by_step[2:5])


@pytest.mark.parametrize("seed", range(10))
def test_margin_never_lowers_the_bound(seed):
    world = random_scenario(seed, lowest_price=0.01, most=4)
    plain = flow.solve(instance_of(world), MONEY)
    margin = flow.solve(instance_of(world, margin=0.1), MONEY)
    assert plain.objective <= margin.objective + 1e-9
