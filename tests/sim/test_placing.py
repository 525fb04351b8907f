"""What all baselines share: rules keep reach and room, replicas carry the flow, hand-overs end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import small
from tests.core.build import (
    NOW,
    PROFILE,
    connection,
    engine,
    event,
    placement,
    quote,
    reading,
    signal,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.model import (
    AcceleratorState,
    Allowed,
    BatchState,
    FacilityPoint,
    Origin,
    Settings,
)
from wattshift.core.units import Quantity
from wattshift.sim.policies.b6_power_router import _share
from wattshift.sim.policies.b7_cap import _equally
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.costs import per_sequence, rates, room_watts
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.registry import BASELINES, make
from wattshift.sim.run import simulate
from wattshift.sim.scenario import SimBatch
from wattshift.sim.policies.jobs import devices_of, job_of
from wattshift.sim.policies.placing import cheapest_flow, fill, place_all, write

PLAIN = Settings(reporting_currency="CNY", head_room_permille=0)


def place(name, replicas=0, most=5, **more):
    return placement(name, replicas, max_replicas=most, learned_concurrency=10.0, **more)


def job(loads, rooms, trips, limit=60, standing=None, state=None, **more):
    """One workload with sites s0, s1, ...; `trips` is [origin][site]."""
    names = [f"s{k}" for k in range(len(rooms))]
    sites = tuple(
        site(
            name,
            origin_round_trip_milliseconds=tuple((f"o{o}", row[k]) for o, row in enumerate(trips)),
        )
        for k, name in enumerate(names)
    )
    origins = tuple(
        Origin(name=f"o{o}", share_permille=1, max_round_trip_milliseconds=limit)
        for o in range(len(loads))
    )
    values = {
        "actions": (Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
        "origins": origins,
        "origin_loads": tuple((f"o{o}", load) for o, load in enumerate(loads)),
        "min_replicas": 0,
    } | more
    places = tuple(
        place(name, standing[k] if standing else 0, most=room)
        for k, (name, room) in enumerate(zip(names, rooms, strict=True))
    )
    world = snapshot((workload("chat", places, **values),), sites, settings=PLAIN)
    found = job_of(
        world.workloads[0],
        world,
        ({row.name: row for row in sites}, {PROFILE.name: PROFILE}, devices_of(world)),
    )
    assert found is not None
    return found


cases = st.integers(1, 3).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0, 40), min_size=n, max_size=n),
        st.lists(st.integers(0, 4), min_size=3, max_size=3),
        st.lists(st.lists(st.integers(1, 100), min_size=3, max_size=3), min_size=n, max_size=n),
        st.lists(st.floats(0.1, 9), min_size=3, max_size=3),
    )
)
RULES = {
    "nearest": lambda row, cost: fill(row, lambda origin: row.near[origin]),
    "cheapest": lambda row, cost: fill(
        row, lambda origin: sorted(row.near[origin], key=cost.__getitem__)
    ),
    "flow": cheapest_flow,
    "power": _share,
    "equally": lambda row, cost: _equally(row),
}


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_each_rule_serves_all_that_reaches_somebody_within_reach(name, case):
    loads, rooms, trips, cost = case
    row = job(loads, rooms, trips)
    flow = RULES[name](row, cost)
    for (origin, index), amount in flow.items():
        assert index in row.near[origin]
        assert amount >= 0
    for origin, load in row.loads.items():
        served = sum(amount for (name_, _), amount in flow.items() if name_ == origin)
        assert served == pytest.approx(load if row.near[origin] else 0.0, abs=1e-5)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_rooms_are_kept_where_all_load_fits_everywhere(name, case):
    loads, rooms, trips, cost = case
    whole = 10.0 * min(rooms)
    total = sum(loads)
    loads = [load * whole / total for load in loads] if total > whole else loads
    row = job(loads, rooms, [[10] * 3 for _ in trips])
    flow = RULES[name](row, cost)
    for index, room in enumerate(rooms):
        used = sum(amount for (_, spot), amount in flow.items() if spot == index)
        assert used <= 10 * room + 1e-5


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_no_rule_is_cheaper_than_the_flow_where_everything_fits(case):
    loads, _, trips, cost = case
    row = job(loads, [20, 20, 20], trips)
    paid = {
        name: sum(amount * cost[index] for (_, index), amount in rule(row, cost).items())
        for name, rule in RULES.items()
    }
    assert all(paid["flow"] <= value + 1e-4 * (1 + value) for value in paid.values())


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_replicas_are_whole_enough_and_no_more(case):
    loads, rooms, trips, cost = case
    row = job(loads, rooms, trips)
    flow = cheapest_flow(row, cost)
    orders = Orders()
    write(orders, row, flow)
    for index, spot in enumerate(row.spots):
        used = sum(amount for (_, k), amount in flow.items() if k == index)
        count = orders.replicas[row.state.key, spot.state.name]
        assert count <= spot.most
        if used <= spot.room:
            assert 10 * count >= used - 1e-4
            assert 10 * (count - 1) < used or count == 0
    for shares in orders.split.values():
        assert sum(shares.values()) == pytest.approx(1)


def test_a_flow_stays_where_it_was_between_equal_costs():
    row = job([20.0], [5, 5, 5], [[10, 10, 10]])
    for stay in range(3):
        flow = cheapest_flow(row, [1.0, 1.0, 1.0], {("o0", stay): 20.0})
        assert flow == {("o0", stay): pytest.approx(20.0)}


def test_a_real_difference_moves_it():
    row = job([20.0], [5, 5, 5], [[10, 10, 10]])
    flow = cheapest_flow(row, [1.0, 0.9, 1.0], {("o0", 0): 20.0})
    assert flow == {("o0", 1): pytest.approx(20.0)}


# ---- what is known ----------------------------------------------------------------------------


def test_loads_that_nobody_measures_are_no_job():
    world = snapshot((workload("chat", (place("east", 3), place("west"))),), settings=PLAIN)
    assert place_all(world, lambda row: {}).replicas == {}


def test_a_demand_signal_counts_before_engines():
    state = workload(
        "chat", (place("east", 3, engine=engine(50.0)),), demand=reading(20.0, unit="Count")
    )
    orders = place_all(
        snapshot((state,), settings=PLAIN), lambda row: fill(row, lambda o: row.near[o])
    )
    assert orders.replicas == {("team/chat", "east"): 2}


def test_an_origin_whose_distance_is_unknown_is_not_served_from_there():
    east = site("east", origin_round_trip_milliseconds=())
    state = workload("chat", (place("east"), place("west")), origin_loads=(("users", 5.0),))
    world = snapshot((state,), (east, site("west")), settings=PLAIN)
    orders = place_all(world, lambda row: fill(row, lambda o: row.near[o]))
    assert orders.replicas == {("team/chat", "east"): 0, ("team/chat", "west"): 1}


def test_targets_that_are_gone_are_left_alone():
    state = workload(
        "chat", (place("east", target_found=False), place("west")), origin_loads=(("users", 5.0),)
    )
    world = snapshot((state,), settings=PLAIN)
    orders = place_all(world, lambda row: fill(row, lambda o: row.near[o]))
    assert orders.replicas == {("team/chat", "west"): 1}


def test_devices_are_what_is_allocatable_where_that_is_less():
    few = AcceleratorState(
        resource_name="nvidia.com/gpu", profile_name="h100", count=9, allocatable=2
    )
    east = site("east", accelerators=(few,))
    state = workload("chat", (place("east", most=20),), origin_loads=(("users", 95.0),))
    world = snapshot((state,), (east,), settings=PLAIN)
    orders = place_all(world, lambda row: fill(row, lambda o: row.near[o]))
    assert orders.replicas == {("team/chat", "east"): 2}


def test_a_site_that_declares_no_devices_is_not_limited_by_them():
    east = site("east", accelerators=())
    state = workload("chat", (place("east", most=20),), origin_loads=(("users", 95.0),))
    world = snapshot((state,), (east,), settings=PLAIN)
    orders = place_all(world, lambda row: fill(row, lambda o: row.near[o]))
    assert orders.replicas == {("team/chat", "east"): 10}


@pytest.mark.parametrize(
    ("backlog", "replicas"), [(0.0, 0), (1.0, 1), (100.0, 1), (350.0, 4), (9e9, 5)]
)
def test_a_backlog_asks_for_replicas_that_clear_it_in_an_hour(backlog, replicas):
    state = workload(
        "chat",
        (place("east"),),
        origins=(),
        min_replicas=0,
        batch=BatchState(
            backlog_units=reading(backlog, unit="Count"),
            deadline_time=None,
            external_dispatch=True,
            units_per_replica_hour=100.0,
        ),
    )
    world = snapshot((state,), settings=PLAIN)
    orders = place_all(world, lambda row: fill(row, lambda o: row.near[o]))
    assert orders.replicas == {("team/chat", "east"): replicas}


# ---- prices and limits ------------------------------------------------------------------------


def test_rates_are_money_and_grams_of_import_without_the_carbon_price():
    grams = signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 300.0, unit="GramPerKilowattHour")
    priced = Settings(reporting_currency="CNY", carbon_price_per_tonne="500")
    world = snapshot((), (site("east", price="0.40", signals=(grams,)),), settings=priced)
    assert rates(world) == {"east": (0.4, 300.0)}


def test_what_is_unknown_counts_like_the_worst_that_is_known():
    grams = signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 300.0, unit="GramPerKilowattHour")
    sites = (site("east", price=None, signals=(grams,)), site("west", price="0.40"))
    assert rates(snapshot((), sites, settings=PLAIN)) == {
        "east": (0.4, 300.0),
        "west": (0.4, 300.0),
    }


def test_a_sequence_costs_its_part_of_a_busy_replica_behind_the_facility():
    row = job([1.0], [5], [[10]])
    facility = (FacilityPoint(temperature_millicelsius=0, fixed_watts=99, marginal_permille=1500),)
    row.spots[0].site = replace(row.spots[0].site, facility=facility)
    world = snapshot((), settings=replace(PLAIN, carbon_price_per_tonne="1000"))
    # 600 W / 10 sequences x 1.5 x (0.5 + 1000 x 200e-6)
    assert per_sequence(row, {"s0": (0.5, 200.0)}, world) == [pytest.approx(0.09 * 0.7)]


@pytest.mark.parametrize(
    ("more", "watts"),
    [
        ({"feed": connection(limit=None)}, math.inf),
        ({"feed": connection(limit=5_000)}, 5_000),
        ({"feed": connection(limit=5_000, contract_maximum_watts=4_000)}, 4_000),
        ({"feed": connection(limit=5_000, uncontrolled=reading(500.0))}, 4_500),
        ({"feed": connection(limit=0), "supplies": (supply(3_000.0), supply(None))}, 3_000),
        ({"feed": connection(limit=5_000), "events": (event(upper=2_000),)}, 2_000),
        ({"feed": connection(limit=5_000), "events": (event(upper=2_000, start=NOW + 60),)}, 5_000),
        ({"feed": connection(limit=5_000), "cooling_limit": reading(1_500.0)}, 1_500),
        ({"feed": connection(limit=0)}, 0),
    ],
)
def test_room_for_it_watts(more, watts):
    assert room_watts(site("east", **more), NOW) == watts


def test_room_is_what_the_facility_leaves_of_the_limit():
    facility = (
        FacilityPoint(temperature_millicelsius=0, fixed_watts=1000, marginal_permille=1250),
    )
    east = site("east", feed=connection(limit=6_000, price=quote("0.5")), facility=facility)
    assert room_watts(east, NOW) == 4_000


# ---- hand-over --------------------------------------------------------------------------------


def moved(standing, flow, memory, now, loads=(20.0,)):
    row = job(loads, [5, 5, 5], [[10, 10, 10]] * len(loads), standing=standing)
    orders = Orders()
    write(orders, row, flow)
    memory.hold(orders, row, flow, now)
    return [orders.replicas[row.state.key, f"s{k}"] for k in range(3)]


def test_a_hold_ends_when_the_start_must_be_over():
    memory = Handover()
    assert moved([2, 0, 0], {("o0", 1): 20.0}, memory, NOW) == [2, 2, 0]
    assert moved([2, 0, 0], {("o0", 1): 20.0}, memory, NOW + 60) == [2, 2, 0]
    # 120 s of cold start
    assert moved([2, 0, 0], {("o0", 1): 20.0}, memory, NOW + 120) == [0, 2, 0]


def test_only_what_leaves_is_held():
    memory = Handover()
    assert moved([2, 0, 0], {("o0", 0): 20.0}, memory, NOW) == [2, 0, 0]
    assert moved([2, 0, 0], {("o0", 0): 10.0, ("o0", 1): 10.0}, memory, NOW + 300) == [2, 1, 0]
    assert moved([2, 1, 0], {("o0", 0): 10.0, ("o0", 1): 10.0}, memory, NOW + 600) == [1, 1, 0]


def test_a_second_move_during_the_first_holds_both():
    memory = Handover()
    moved([2, 0, 0], {("o0", 1): 20.0}, memory, NOW)
    # s1 has not started, so that it cannot be held: what serves is s0
    assert moved([2, 0, 0], {("o0", 2): 20.0}, memory, NOW + 60) == [2, 0, 2]


def test_more_than_what_serves_is_never_held():
    memory = Handover()
    assert moved([1, 0, 0], {("o0", 1): 20.0}, memory, NOW) == [1, 2, 0]


def test_load_that_went_away_is_not_held():
    memory = Handover()
    moved([2, 0, 0], {("o0", 0): 20.0}, memory, NOW)
    assert moved([2, 0, 0], {("o0", 0): 8.0}, memory, NOW + 300, loads=(8.0,)) == [1, 0, 0]


def test_batch_work_that_may_shift_traffic_has_no_origin_to_route():
    """ShiftTraffic is a default action of scenario files, also of work that comes from nowhere."""
    base = small.scenario(24)
    batch = SimBatch(
        arrivals_units=np.full(24, 5.0), due_seconds=3600.0, units_per_replica_hour=60.0
    )
    job = replace(
        base.workloads[0],
        origins=(),
        demand_tokens_per_second=np.zeros((24, 0)),
        batch=batch,
        actions=(Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
    )
    scenario = replace(base, workloads=(job,))

    for name in BASELINES:
        total = simulate(scenario, make(name, scenario)).to_json()["total"]
        assert total["batchUnitsDone"] == pytest.approx(120.0, abs=6)
