"""What couples steps: work that can wait, green shares; and the frontier of two objectives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim.bound_cases import random_scenario, scenario, site, workload
from wattshift.core.model import FacilityPoint
from wattshift.sim.bounds import flow, frontier, lp
from wattshift.sim.bounds.flow import MONEY
from wattshift.sim.bounds.frontier import Point
from wattshift.sim.bounds.green import energies, green_bound, greenest
from wattshift.sim.bounds.instance import instance_of
from wattshift.sim.bounds.ladder import bound
from wattshift.sim.scenario import SimBatch, Storage, Window


def batch_world(arrivals, price, due_seconds, devices=10):
    rows = [site("a", price, [1.0] * len(price), devices=devices)]
    job = workload("w", ["a"], np.zeros((len(price), 0)), [])
    batch = SimBatch(
        arrivals_units=np.asarray(arrivals, dtype=float),
        due_seconds=due_seconds,
        units_per_replica_hour=100.0,
    )
    return scenario(rows, [replace(job, batch=batch)], origins=["a"])


def test_work_that_can_wait_runs_in_its_cheapest_hour():
    world = batch_world([200, 0, 0, 0], [0.4, 0.3, 0.1, 0.2], 3 * 3600.0)
    found = lp.solve(instance_of(world), MONEY)
    assert found.money == pytest.approx(2 * 1.0 * 0.1)
    assert found.it_watts[:, 0].tolist() == pytest.approx([0, 0, 2000, 0])


def test_work_is_not_done_before_it_arrives_nor_after_it_is_due():
    world = batch_world([0, 100, 0, 0], [0.1, 0.4, 0.3, 0.1], 3600.0)
    assert lp.solve(instance_of(world), MONEY).money == pytest.approx(0.3)


def test_devices_spread_work_over_hours():
    world = batch_world([200, 0, 0, 0], [0.4, 0.3, 0.1, 0.2], 3 * 3600.0, devices=1)
    assert lp.solve(instance_of(world), MONEY).money == pytest.approx(0.1 + 0.2)


def test_the_slack_never_costs_more_than_doing_it_at_once():
    price = [0.4, 0.3, 0.1, 0.2]
    at_once = lp.solve(instance_of(batch_world([100] * 4, price, 0.0)), MONEY)
    later = lp.solve(instance_of(batch_world([100] * 4, price, 7200.0)), MONEY)
    assert at_once.money == pytest.approx(1.0)
    assert later.money < at_once.money


def stored_world(supply, price, demand=100.0, fixed=0, **terms):
    values = {
        "energy_watt_hours": 500.0,
        "power_watts": 1000.0,
        "charge_efficiency": 1.0,
        "discharge_efficiency": 1.0,
        "reserve_share": 0.0,
    } | terms
    facility = (
        FacilityPoint(temperature_millicelsius=0, fixed_watts=fixed, marginal_permille=1000),
    )
    rows = [site("a", price, [100.0] * len(price), supply=supply, facility=facility)]
    rows[0] = replace(rows[0], storage=Storage(**values))
    job = workload("w", ["a"], [[demand]] * len(price), [("a", None)])
    return scenario(rows, [job])


def test_storage_is_full_at_the_start_and_gives_down_to_its_reserve():
    found = bound(instance_of(stored_world([2000, 0], [0.3, 0.3])), MONEY)
    assert found.money == pytest.approx(0.5 * 0.3)
    assert found.grams == pytest.approx(50)
    kept = bound(instance_of(stored_world([2000, 0], [0.3, 0.3], reserve_share=0.2)), MONEY)
    assert kept.money == pytest.approx(0.6 * 0.3)


def test_storage_charges_from_what_own_supply_leaves_and_loses_on_the_way():
    # dear first hour empties it, the second fills it with 0.4 x 0.9, the third uses that x 0.8
    world = stored_world(
        [0, 1400, 0], [0.5, 0.3, 0.4], charge_efficiency=0.9, discharge_efficiency=0.8
    )
    found = bound(instance_of(world), MONEY)
    assert found.money == pytest.approx((1 - 0.5 * 0.8) * 0.5 + (1 - 0.4 * 0.9 * 0.8) * 0.4)


def test_storage_serves_fixed_load_too_and_lifts_an_import_limit():
    world = stored_world([0.0], [0.3], demand=0.0, fixed=400)
    assert bound(instance_of(world), MONEY).money == pytest.approx(0.0)
    site_row = replace(stored_world([0.0], [0.3]).sites[0], import_limit_watts=600.0)
    limited = replace(stored_world([0.0], [0.3]), sites=(site_row,))
    found = bound(instance_of(limited), MONEY)
    assert found.unmet[0] == pytest.approx(0.0, abs=1e-6)
    assert found.money == pytest.approx(0.5 * 0.3)


def green_world():
    rows = [
        site("dirty", [0.1, 0.1], [800.0, 800.0], green=[0.2, 0.2]),
        site("wind", [0.4, 0.3], [100.0, 100.0], green=[0.9, 0.9]),
    ]
    return scenario(rows, [workload("w", ["dirty", "wind"], [[200.0], [200.0]], [("dirty", None)])])


def test_a_green_share_by_duality_equals_the_program_that_knows_all_steps():
    instance = instance_of(green_world())
    whole = lp.solve(instance, MONEY, green_share=0.6)
    dual = green_bound(instance, MONEY, 0.6)
    assert dual.feasible
    assert dual.objective == pytest.approx(whole.objective, rel=1e-5)
    energy, green = energies(instance, whole)
    assert green / energy == pytest.approx(0.6)


def test_the_next_green_kwh_costs_its_price_difference_over_its_gain():
    # half of all greenness comes from the second step alone: 0.2 more money for 0.7 more green
    dual = green_bound(instance_of(green_world()), MONEY, 0.4)
    assert dual.value_per_kilowatt_hour == pytest.approx(0.2 / 0.7, rel=1e-4)


def test_a_share_that_is_met_anyway_costs_nothing():
    dual = green_bound(instance_of(green_world()), MONEY, 0.1)
    assert dual.value_per_kilowatt_hour == 0.0
    assert dual.objective == pytest.approx(0.4)


def test_a_share_beyond_the_greenest_schedule_is_not_feasible():
    dual = green_bound(instance_of(green_world()), MONEY, 0.95)
    assert not dual.feasible
    assert dual.reached == pytest.approx(0.9)


def test_the_greatest_share_is_where_shares_stop_being_feasible():
    instance = instance_of(green_world())
    assert greenest(instance) == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(3))
def test_just_below_the_greatest_share_there_is_a_schedule_and_above_it_none(seed):
    world = random_scenario(seed, supply=True, lowest_price=0.02, most=3)
    instance = instance_of(world)
    most = greenest(instance)
    assert lp.solve(instance, MONEY, green_share=most - 1e-3).unmet.sum() == pytest.approx(0)
    if most < 1 - 2e-3:
        try:  # only who leaves demand can be greener
            assert lp.solve(instance, MONEY, green_share=most + 1e-3).unmet.sum() > 1e-6
        except lp.Infeasible:
            pass


@pytest.mark.parametrize("seed", range(5))
def test_duality_with_own_supply(seed):
    world = random_scenario(seed, supply=True, lowest_price=0.02, most=3)
    instance = instance_of(world)
    free = flow.solve(instance, MONEY)
    energy, green = energies(instance, free)
    wanted = min(0.99, green / energy + 0.02)
    dual = green_bound(instance, MONEY, wanted)
    if dual.feasible:
        whole = lp.solve(instance, MONEY, green_share=wanted)
        assert dual.objective == pytest.approx(whole.objective, rel=1e-4, abs=1e-6)


def test_where_flow_is_not_exact_one_program_gives_share_and_price():
    world = green_world()
    batch = SimBatch(
        arrivals_units=np.array([10.0, 0.0]), due_seconds=3600.0, units_per_replica_hour=100.0
    )
    job = workload("b", ["dirty", "wind"], np.zeros((2, 0)), [])
    both = replace(world, workloads=(*world.workloads, replace(job, batch=batch)))
    instance = instance_of(both)
    assert not flow.fits(instance)
    found = green_bound(instance, MONEY, 0.4)
    assert found.feasible
    assert found.reached == pytest.approx(0.4)
    assert found.value_per_kilowatt_hour == pytest.approx(0.2 / 0.7, rel=1e-4)
    hopeless = green_bound(instance, MONEY, 0.95)
    assert not hopeless.feasible
    assert hopeless.reached == pytest.approx(0.9)


def test_hypervolume_of_a_staircase():
    assert frontier.hypervolume([(1.0, 0.5), (0.5, 1.0)]) == pytest.approx(0.75)
    assert frontier.hypervolume([(1.0, 1.0)]) == 1.0
    assert frontier.hypervolume([(0.4, 0.4), (1.0, 1.0)]) == 1.0
    assert frontier.hypervolume([(-0.2, 1.0)]) == 0.0


def test_the_bound_covers_all_of_itself_and_doing_nothing_covers_none():
    world = random_scenario(3, lowest_price=0.02, most=6)
    instance = instance_of(world)
    home = flow.solve(instance, MONEY)
    reference = Point(money=home.money * 1.5, grams=home.grams * 1.5)
    whole = [Window(name="all", first_step=0, last_step=world.steps)]
    points, own = frontier.points_of(world, whole, reference)
    assert frontier.share_of_bound(points, points, reference, own) == 1.0
    assert frontier.share_of_bound([reference] * 11, points, reference, own) == 0.0
    ends = frontier.reductions(points, reference, own)
    assert max(row[0] for row in ends) == pytest.approx(1.0)
    assert max(row[1] for row in ends) == pytest.approx(1.0)


def test_weights_as_a_carbon_price():
    reference = Point(money=100.0, grams=1e6)
    assert frontier.carbon_price_per_tonne(1.0, reference) == 0.0
    assert frontier.carbon_price_per_tonne(0.5, reference) == pytest.approx(100.0)
    assert frontier.carbon_price_per_tonne(0.0, reference) == 1e6


def test_a_weight_between_the_ends_costs_no_more_than_they_do_at_that_weight():
    world = random_scenario(7, lowest_price=0.02, most=6)
    whole = [Window(name="all", first_step=0, last_step=world.steps)]
    home = flow.solve(instance_of(world, margin=0.1), MONEY)
    reference = Point(money=home.money * 1.5, grams=home.grams * 1.5)
    points, _ = frontier.points_of(world, whole, reference)
    for share, point in zip(frontier.SHARES, points, strict=True):
        weights = frontier.weights_at(share, reference)
        here = weights.money * point.money + weights.carbon * point.grams
        for other in points:
            assert here <= weights.money * other.money + weights.carbon * other.grams + 1e-9
