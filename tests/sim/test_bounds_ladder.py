"""The rungs from B8 to whole replicas with moves, and policies of the real plant beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim.bound_cases import random_scenario, scenario, site, workload
from wattshift.sim.bounds import flow
from wattshift.sim.bounds.flow import CARBON, MONEY
from wattshift.sim.bounds.instance import instance_of
from wattshift.sim.bounds.ladder import bound, ladder, windows_of
from wattshift.sim.bounds.looseness import looseness, main
from wattshift.sim.bounds.window import cut
from wattshift.sim.load import load
from wattshift.sim.policies import registry
from wattshift.sim.run import simulate
from wattshift.sim.scenario import SimBatch, SimEvent, Window
from wattshift.core.model import Firmness, Settings

WHOLE = Window(name="all", first_step=0, last_step=0)


def whole(world):
    return [replace(WHOLE, last_step=world.steps)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("weights", [MONEY, CARBON])
def test_each_rung_costs_at_least_the_one_before(seed, weights):
    world = random_scenario(seed, steps=8, lowest_price=0.02, most=6)
    rungs = ladder(world, whole(world), weights)
    tolerance = 1e-6 * abs(rungs.bound) + 1e-9
    assert rungs.bound <= rungs.bound_with_margin + tolerance
    assert rungs.bound_with_margin <= rungs.rounded + tolerance
    assert rungs.rounded <= rungs.rounded_with_moves + tolerance
    assert rungs.without_idle_gain == pytest.approx(rungs.bound_with_margin, rel=1e-6)
    assert rungs.unmet_tokens == 0


def test_at_negative_prices_what_work_alone_can_earn_lies_above_the_bound():
    rows = [site("a", [-0.1], [1.0])]
    world = scenario(rows, [workload("w", ["a"], [[90.0]], [("a", None)])])
    rungs = ladder(world, whole(world), MONEY)
    assert rungs.bound_with_margin == pytest.approx(-0.1 * (9 * 0.650 + 0.965))
    assert rungs.without_idle_gain == pytest.approx(-0.0965)


def test_windows_add_up():
    world = random_scenario(4, steps=8, lowest_price=0.02, most=6)
    parts = [replace(WHOLE, last_step=3), replace(WHOLE, first_step=3, last_step=8)]
    one, two = ladder(world, whole(world), MONEY), ladder(world, parts, MONEY)
    assert one.bound_with_margin == pytest.approx(two.bound_with_margin)


def test_a_cut_keeps_events_and_supply_at_their_time():
    event = SimEvent(
        name="e",
        site_name="a",
        start_seconds=3 * 3600.0,
        duration_seconds=3600.0,
        notice_seconds=0.0,
        upper_watts=500.0,
        lower_watts=None,
        reduction_share=None,
        ramp_seconds=0.0,
        firmness=Firmness.MANDATORY,
    )
    rows = [site("a", [0.1] * 5, [1.0] * 5, supply=[0, 1, 2, 3, 4])]
    world = replace(
        scenario(rows, [workload("w", ["a"], [[10.0]] * 5, [("a", None)])]), events=(event,)
    )
    part = cut(world, 2, 5)
    assert part.time(0) == world.time(2)
    assert part.sites[0].supply.values.tolist() == [2, 3, 4]
    assert instance_of(part).it_limit[:, 0].tolist() == [np.inf, 503.0, np.inf]
    assert cut(world, 0, 5) is world


def test_long_windows_of_work_that_waits_are_solved_by_the_day_and_stay_below_the_whole():
    rng = np.random.default_rng(1)
    rows = [site("a", rng.uniform(0.1, 0.5, 72).round(3), [1.0] * 72)]
    job = workload("w", ["a"], np.zeros((72, 0)), [])
    batch = SimBatch(
        arrivals_units=np.full(72, 100.0), due_seconds=4 * 3600.0, units_per_replica_hour=100.0
    )
    world = scenario(rows, [replace(job, batch=batch)], origins=["a"])
    assert windows_of(world, whole(world)) == [(0, 72)]
    at_once = bound(instance_of(world), MONEY).money
    by_day = sum(
        bound(instance_of(world, first_step=k, last_step=k + 24), MONEY).money for k in (0, 24, 48)
    )
    assert by_day <= at_once
    assert by_day >= 0.8 * at_once


def test_looseness_is_ordered_and_small_with_many_replicas(capsys):
    settings = ["stepSeconds=3600", "planEverySeconds=3600", "governEverySeconds=3600"]
    world = load("s1-small", overrides=["variant=rtt-150", *settings])
    row = looseness(world, MONEY, 0, 4, time_limit_seconds=20)
    assert 0 <= row.proven <= row.found + 1e-9
    assert row.found <= row.rounded + 1e-3
    assert row.rounded < 0.1
    assert main(["no-such-scenario"]) == 2
    assert "no-such-scenario" in capsys.readouterr().err


# ---- through the plant ------------------------------------------------------------------------


def hourly(world, **settings):
    """Decide every step; head room is what the margin leaves free."""
    room = Settings(reporting_currency="USD", head_room_permille=111, **settings)
    return replace(
        world,
        settings=replace(room, plan_interval_seconds=300),
        step_seconds=300.0,
        telemetry_delay_seconds=5.0,
    )


def day_world(seed, steps=96, price=0.15, **kwargs):
    """Slow demand and prices, so that policies which look back are not surprised."""
    rng = np.random.default_rng(seed)
    turn = np.arange(steps) * 2 * np.pi / steps
    rows = [
        site(
            name,
            (price + 0.1 * np.sin(turn + shift)).round(4),
            (300 + 200 * np.cos(turn + shift)).round(1),
            devices=8,
            **kwargs,
        )
        for name, shift in (("a", 0.0), ("b", 2.0), ("c", 4.0))
    ]
    demand = 300 + 80 * np.sin(turn[:, None] + rng.uniform(0, 6, 3))
    job = workload(
        "w", ["a", "b", "c"], demand, [("a", 60), ("b", 60), ("c", None)], most=8, initial=5
    )
    trips = [[2, 40, 90], [40, 2, 40], [90, 40, 2]]
    return hourly(
        scenario(rows, [job], origins=["a", "b", "c"], round_trips=trips, step_seconds=300.0)
    )


@pytest.mark.parametrize("name", registry.BASELINES)
def test_no_baseline_beats_b8_in_the_plant_when_all_demand_is_served(name):
    world = day_world(1)
    result = simulate(world, registry.make(name, world), windows=["all"])
    least = flow.solve(instance_of(world), MONEY)
    assert least.money <= result.energy_cost
    assert flow.solve(instance_of(world), CARBON).grams <= result.carbon_grams


@pytest.mark.parametrize("name", ["b0", "b4", "b5", "b6", "b7"])
def test_no_baseline_beats_b8_in_the_plant_where_prices_fall_below_zero(name):
    world = day_world(3, price=0.02)
    result = simulate(world, registry.make(name, world), windows=["all"])
    least = flow.solve(instance_of(world), MONEY)
    assert least.money < 0
    assert least.money <= result.energy_cost


def test_b8_b8m_and_b0_are_in_order_and_the_flow_baselines_lie_between():
    world = day_world(2)
    rungs = ladder(world, whole(world), MONEY)
    cost = {
        name: simulate(world, registry.make(name, world), windows=["all"]).energy_cost
        for name in ("b0", "b3", "b4", "b5")
    }
    assert rungs.bound < rungs.bound_with_margin < cost["b0"]
    assert rungs.bound_with_margin < min(cost["b4"], cost["b5"]) < cost["b0"]


def test_where_nothing_can_move_local_autoscaling_saves_exactly_nothing_over_doing_nothing():
    class Nothing:
        name = "nothing"

        def decide(self, snapshot, now):
            from wattshift.sim.policies.base import Orders

            return Orders()

    rows = [site("a", [0.1] * 24, [1.0] * 24, devices=4)]
    job = workload("w", ["a"], [[250.0]] * 24, [("a", 50)], most=4, initial=3)
    world = hourly(scenario(rows, [job], step_seconds=300.0))
    idle = simulate(world, Nothing(), windows=["all"])
    for name in ("b0", "b3", "b4", "b5", "b6", "b7"):
        local = simulate(world, registry.make(name, world), windows=["all"])
        assert local.energy_cost == idle.energy_cost
        assert local.carbon_grams == idle.carbon_grams


def test_the_plant_and_the_bound_price_the_same_schedule_alike():
    # constant load that fills its replicas to the margin: no starts, no moves, no rounding
    rows = [site("a", [0.1, 0.3] * 12, [100.0, 50.0] * 12, devices=4, supply=[700.0] * 24)]
    job = workload("w", ["a"], [[270.0]] * 24, [("a", 50)], most=4, initial=3)
    world = hourly(scenario(rows, [job], step_seconds=300.0))
    result = simulate(world, registry.make("b0"), windows=["all"])
    kept = flow.solve(instance_of(world, margin=world.margin), MONEY)
    assert result.energy_cost == pytest.approx(kept.money, rel=1e-4)
    assert result.carbon_grams == pytest.approx(kept.grams, rel=1e-4)


def test_own_supply_that_is_sold_is_priced_like_in_the_books():
    rows = [
        site(
            "a", [0.2] * 24, [100.0] * 24, devices=4, supply=[5000.0] * 24, export_price=[0.05] * 24
        )
    ]
    job = workload("w", ["a"], [[270.0]] * 24, [("a", 50)], most=4, initial=3)
    world = hourly(scenario(rows, [job], step_seconds=300.0))
    result = simulate(world, registry.make("b0"), windows=["all"])
    kept = flow.solve(instance_of(world, margin=world.margin), MONEY)
    assert kept.money < 0
    assert result.energy_cost == pytest.approx(kept.money, rel=1e-4)
