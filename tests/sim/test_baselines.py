"""Each baseline on a small case whose answer is worked out by hand; none sees more than a snapshot."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

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
from tests.sim.bound_cases import random_scenario
from wattshift.core.model import Allowed, BatchState, Origin, Settings
from wattshift.core.units import Quantity
from wattshift.errors import NeedsHuman
from wattshift.sim.load import load
from wattshift.sim.policies import registry
from wattshift.sim.policies.b1_schedule import asleep
from wattshift.sim.policies.b3_static_rank import StaticRank
from wattshift.sim.policies.b5_day_old import DAY
from wattshift.sim.policies.costs import room_watts

PLAIN = Settings(reporting_currency="CNY", head_room_permille=0)
HOUR = 3600.0


def spot(name, replicas=0, most=20, **more):
    """One replica carries 10 sequences."""
    return placement(name, replicas, max_replicas=most, learned_concurrency=10.0, **more)


def shifting(*spots, loads=(("users", 25.0),), limit=60, **more):
    origins = tuple(
        Origin(name=name, share_permille=1000 // len(loads), max_round_trip_milliseconds=limit)
        for name, _ in loads
    )
    values = {
        "actions": (Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
        "origins": origins,
        "origin_loads": tuple(loads),
    } | more
    return workload("chat", spots, **values)


def near_and_far(price_near="0.80", price_far="0.30", **more):
    """`users` are 10 ms from east and 40 ms from west."""
    return (
        site("east", price=price_near, origin_round_trip_milliseconds=(("users", 10),), **more),
        site("west", price=price_far, origin_round_trip_milliseconds=(("users", 40),), **more),
    )


def world(job=None, sites=None, settings=PLAIN, **more):
    job = job or shifting(spot("east"), spot("west"))
    return snapshot((job,), sites or near_and_far(), settings=settings, **more)


def counts(orders):
    return {name: count for (_, name), count in orders.replicas.items()}


def split(orders, origin="users"):
    return orders.split["team/chat", origin]


def later(state, seconds):
    """The same world `seconds` on, with fresh readings."""
    return replace(state, grid_time=state.grid_time + seconds)


# ---- B0 ---------------------------------------------------------------------------------------


def test_b0_serves_at_home_with_the_replicas_that_the_load_needs():
    orders = registry.make("b0").decide(world(), NOW)
    assert counts(orders) == {"east": 3, "west": 0}
    assert split(orders) == {"east": 1.0}


def test_b0_keeps_the_installations_head_room():
    roomy = replace(PLAIN, head_room_permille=250)
    # 25 x 1.25 = 31.25 sequences at 10 each
    assert counts(registry.make("b0").decide(world(settings=roomy), NOW))["east"] == 4


def test_b0_sends_what_home_cannot_take_to_the_next_nearest():
    job = shifting(spot("east", 2, most=2), spot("west"))
    orders = registry.make("b0").decide(world(job), NOW)
    assert counts(orders) == {"east": 2, "west": 1}
    assert split(orders) == pytest.approx({"east": 0.8, "west": 0.2})


def test_b0_never_serves_from_too_far_and_lets_the_rest_wait_at_home():
    job = shifting(spot("east", 2, most=2), spot("west"), limit=20)
    orders = registry.make("b0").decide(world(job), NOW)
    assert counts(orders) == {"east": 2, "west": 0}
    assert split(orders) == {"east": 1.0}


def test_devices_are_shared_in_the_order_of_keys():
    sites = near_and_far(accelerators=site("x").accelerators)
    few = tuple(
        replace(row, accelerators=(replace(row.accelerators[0], count=4),)) for row in sites
    )
    first = replace(shifting(spot("east", 2), spot("west")), name="a")
    second = replace(shifting(spot("east", 2), spot("west")), name="b")
    orders = registry.make("b0").decide(snapshot((second, first), few, settings=PLAIN), NOW)
    assert orders.replicas["team/a", "east"] == 3
    assert orders.replicas["team/b", "east"] == 1
    assert orders.replicas["team/b", "west"] == 2


def test_an_unknown_load_changes_nothing_and_keeps_its_devices():
    job = replace(shifting(spot("east", 6), spot("west")), origin_loads=())
    assert registry.make("b0").decide(world(job), NOW).replicas == {}


def test_without_origin_loads_the_engines_tell_the_whole_load_and_shares_split_it():
    job = shifting(spot("east", 6, engine=engine(24.0, waiting=1)), spot("west"))
    orders = registry.make("b0").decide(world(replace(job, origin_loads=())), NOW)
    assert counts(orders) == {"east": 3, "west": 0}


def test_least_counts_are_kept():
    job = shifting(
        spot("east", 6), spot("west", min_replicas=1), loads=(("users", 5.0),), min_replicas=4
    )
    assert counts(registry.make("b0").decide(world(job), NOW)) == {"east": 3, "west": 1}


def test_where_the_entry_spreads_requests_only_sites_that_all_reach_are_raised():
    job = workload(
        "chat",
        (spot("east", 1), spot("west")),
        origins=(Origin(name="users", share_permille=1000, max_round_trip_milliseconds=20),),
        origin_loads=(("users", 25.0),),
    )
    orders = registry.make("b4").decide(world(job), NOW)
    assert counts(orders) == {"east": 3, "west": 0}
    assert orders.split == {}


def test_batch_work_runs_at_once_with_as_many_replicas_as_clear_it_in_an_hour():
    backlog = BatchState(
        backlog_units=reading(250.0, unit="Count"),
        deadline_time=None,
        external_dispatch=True,
        units_per_replica_hour=100.0,
    )
    job = workload("chat", (spot("east", 1), spot("west")), origins=(), batch=backlog)
    assert counts(registry.make("b0").decide(world(job), NOW)) == {"east": 3, "west": 0}


def test_decisions_come_once_per_plan_interval():
    policy = registry.make("b0")
    assert policy.decide(world(), NOW).replicas
    assert not policy.decide(later(world(), 299), NOW + 299).replicas
    assert policy.decide(later(world(), 300), NOW + 300).replicas


# ---- B1, B2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hour", "zone", "sleeps"),
    [
        (21, "UTC", False),
        (22, "UTC", True),
        (5, "UTC", True),
        (6, "UTC", False),
        (14, "Asia/Shanghai", True),
    ],
)
def test_b1_nights_are_local(hour, zone, sleeps):
    midnight = NOW // 86400 * 86400
    assert asleep(site("east", time_zone=zone), midnight + hour * HOUR) is sleeps


def test_b1_serves_the_night_from_a_site_that_is_awake():
    east, west = near_and_far()
    east = replace(east, time_zone="Asia/Shanghai")
    noon = NOW // 86400 * 86400 + 15 * HOUR
    state = replace(world(sites=(east, west)), grid_time=noon)
    assert counts(registry.make("b1").decide(state, noon)) == {"east": 0, "west": 3}


def test_b1_wakes_a_site_rather_than_turning_users_away():
    east, west = (replace(row, time_zone="Asia/Shanghai") for row in near_and_far())
    noon = NOW // 86400 * 86400 + 15 * HOUR
    state = replace(world(sites=(east, west)), grid_time=noon)
    assert counts(registry.make("b1").decide(state, noon)) == {"east": 3, "west": 0}


def carbon(grams, age=1.0):
    return signal(
        "carbon", Quantity.CARBON_INTENSITY_AVERAGE, grams, unit="GramPerKilowattHour", age=age
    )


def test_b2_steps_the_ceiling_down_as_the_grid_gets_dirtier_than_its_last_week():
    policy = registry.make("b2")
    ceilings = []
    for hour, grams in enumerate((100.0, 200.0, 300.0, 250.0, 50.0)):
        now = NOW + hour * HOUR
        east, west = near_and_far()
        east = replace(east, signals=(carbon(grams, age=-hour * HOUR),))
        job = shifting(spot("east", 4, most=4), spot("west"), loads=(("users", 100.0),))
        state = replace(world(job, (east, west)), grid_time=now)
        ceilings.append(counts(policy.decide(state, now))["east"])
    # shares of values below: 0, 1/2, 2/3, 2/4, 0 -> 100 %, 75 %, 50 %, 75 %, 100 % of four
    assert ceilings == [4, 3, 2, 3, 4]


# ---- B3, B4, B5 -------------------------------------------------------------------------------


def test_b3_fills_the_site_with_the_lower_mean_whatever_is_cheaper_now():
    means = {"east": (0.2, 0.0), "west": (0.9, 0.0)}
    orders = StaticRank(means).decide(world(), NOW)
    assert counts(orders) == {"east": 3, "west": 0}


def test_b3_without_a_table_ranks_by_the_mean_so_far():
    policy = registry.make("b3")
    first = policy.decide(world(sites=near_and_far("0.80", "0.10")), NOW)
    assert counts(first) == {"east": 0, "west": 3}
    # means: east 0.45, west 0.40
    state = later(world(sites=near_and_far("0.10", "0.70")), 300)
    assert counts(policy.decide(state, NOW + 300)) == {"east": 0, "west": 3}


def test_b3_reads_yearly_means_of_a_scenario_and_nothing_else():
    scenario = random_scenario(1)
    means = registry.static_means(scenario)
    assert means["s0"][0] == pytest.approx(scenario.sites[0].price.values.mean())
    assert means["s0"][1] == pytest.approx(scenario.sites[0].carbon.values.mean())


def test_b4_lets_the_first_origin_take_the_cheap_room_even_where_another_needs_it_more():
    # both reach west; only `far` has a dear alternative. Greedy gives west to `near`, flow to `far`.
    sites = (
        site("east", price="0.40", origin_round_trip_milliseconds=(("near", 10),)),
        site("north", price="0.90", origin_round_trip_milliseconds=(("far", 10),)),
        site("west", price="0.30", origin_round_trip_milliseconds=(("near", 40), ("far", 40))),
    )
    job = shifting(
        spot("east"),
        spot("north"),
        spot("west", most=1),
        loads=(("near", 10.0), ("far", 10.0)),
    )
    greedy = registry.make("b4").decide(world(job, sites), NOW)
    assert counts(greedy) == {"east": 0, "north": 1, "west": 1}
    best = registry.make("b5").decide(world(job, sites), NOW)
    assert counts(best) == {"east": 1, "north": 0, "west": 1}


def test_b4_follows_carbon_where_carbon_has_a_price():
    east, west = near_and_far("0.50", "0.40")
    east, west = replace(east, signals=(carbon(100.0),)), replace(west, signals=(carbon(900.0),))
    state = world(sites=(east, west))
    assert counts(registry.make("b4").decide(state, NOW)) == {"east": 0, "west": 3}
    priced = replace(PLAIN, carbon_price_per_tonne="1000")
    state = world(sites=(east, west), settings=priced)
    assert counts(registry.make("b4").decide(state, NOW)) == {"east": 3, "west": 0}


def test_unknown_prices_count_as_the_dearest_known():
    sites = (*near_and_far(None, "0.30"), site("north", price="0.90"))
    assert counts(registry.make("b4").decide(world(sites=sites), NOW)) == {"east": 0, "west": 3}


def test_b5_uses_the_rates_of_a_day_ago():
    policy = registry.make("b5")
    yesterday = policy.decide(world(sites=near_and_far("0.80", "0.30")), NOW)
    assert counts(yesterday) == {"east": 0, "west": 3}
    now = NOW + DAY
    today = policy.decide(later(world(sites=near_and_far("0.10", "0.30")), DAY), now)
    assert counts(today) == {"east": 0, "west": 3}
    tomorrow = policy.decide(later(world(sites=near_and_far("0.80", "0.30")), 2 * DAY), now + DAY)
    assert counts(tomorrow) == {"east": 3, "west": 0}


def test_b5_stays_where_it_is_between_equal_sites():
    policy = registry.make("b5")
    job = shifting(spot("east"), spot("west"), loads=(("users", 25.0),))
    first = policy.decide(world(job, near_and_far("0.30", "0.31")), NOW)
    assert counts(first) == {"east": 3, "west": 0}
    # yesterday's rates are not known yet: those of now, equal on both sides
    again = policy.decide(later(world(job, near_and_far("0.30", "0.30")), 300), NOW + 300)
    assert counts(again) == {"east": 3, "west": 0}


# ---- B6, B7 -----------------------------------------------------------------------------------


def windy(east_watts, west_watts):
    feed = connection(limit=0, price=quote("0.5"))
    east, west = near_and_far(feed=feed)
    return replace(east, supplies=(supply(east_watts),)), replace(
        west, supplies=(supply(west_watts),)
    )


def test_room_is_what_limits_events_and_own_supply_leave():
    feed = connection(limit=5_000, uncontrolled=reading(1_000.0))
    east = site("east", feed=feed, supplies=(supply(2_000.0),))
    assert room_watts(east, NOW) == 6_000
    assert room_watts(replace(east, events=(event(upper=3_000),)), NOW) == 4_000


def test_b6_shares_by_the_power_that_sites_have():
    # 600 W a replica: east can run 6, west 2; 16 sequences in 3 : 1
    job = shifting(spot("east"), spot("west"), loads=(("users", 16.0),))
    orders = registry.make("b6").decide(world(job, windy(3_600.0, 1_200.0)), NOW)
    assert split(orders) == pytest.approx({"east": 0.75, "west": 0.25})
    assert counts(orders) == {"east": 2, "west": 1}


def test_b6_never_plans_more_replicas_than_there_is_power():
    job = shifting(spot("east"), spot("west"), loads=(("users", 200.0),))
    orders = registry.make("b6").decide(world(job, windy(3_600.0, 1_200.0)), NOW)
    assert counts(orders) == {"east": 6, "west": 2}


def test_b6_turns_away_from_a_site_where_requests_wait():
    job = shifting(
        spot("east", 2, engine=engine(10.0, waiting=5)),
        spot("west", 2, engine=engine(10.0)),
        loads=(("users", 18.0),),
    )
    state = world(job, windy(3_600.0, 3_600.0))
    # weights 0.8 : 1
    assert split(registry.make("b6").decide(state, NOW)) == pytest.approx(
        {"east": 8 / 18, "west": 10 / 18}
    )


def test_b7_serves_everybody_everywhere_in_equal_parts():
    orders = registry.make("b7").decide(world(), NOW)
    assert split(orders) == {"east": 0.5, "west": 0.5}
    assert counts(orders) == {"east": 2, "west": 2}
    assert orders.caps == {}


def test_b7_caps_where_an_event_leaves_too_little_and_at_once():
    policy = registry.make("b7")
    policy.decide(world(), NOW)
    east, west = near_and_far()
    # two replicas of 600 W under 900 W: 75 %
    held = (replace(east, events=(event(upper=900),)), west)
    orders = policy.decide(later(world(sites=held), 5), NOW + 5)
    assert orders.caps == {("team/chat", "east"): 0.75}
    deeper = (replace(east, events=(event(upper=100),)), west)
    orders = policy.decide(later(world(sites=deeper), 6), NOW + 6)
    assert orders.caps == {("team/chat", "east"): 0.5}


# ---- all --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.BASELINES)
def test_where_nothing_can_move_every_baseline_but_a_ceiling_does_what_b0_does(name):
    job = shifting(spot("east", 3), spot("west"), limit=20)
    state = world(job)
    orders = registry.make(name).decide(state, NOW)
    assert counts(orders) == {"east": 3, "west": 0}, "three replicas run and three are needed"
    assert split(orders) == {"east": 1.0}


@pytest.mark.parametrize("name", registry.BASELINES)
def test_equal_snapshots_give_equal_orders(name):
    job = shifting(
        spot("east", 6), spot("west"), spot("north"), loads=(("users", 25.0), ("others", 33.0))
    )
    sites = (
        *near_and_far(),
        site("north", price="0.30", origin_round_trip_milliseconds=(("users", 40), ("others", 5))),
    )
    one, two = registry.make(name), registry.make(name)
    for step in range(3):
        state = later(world(job, sites), 300 * step)
        first, second = one.decide(state, state.grid_time), two.decide(state, state.grid_time)
        assert first == second


@pytest.mark.parametrize("name", registry.BASELINES)
def test_splits_sum_to_one_and_counts_stay_inside_their_limits(name):
    job = shifting(
        spot("east", 6, most=2), spot("west", most=3), loads=(("users", 25.0), ("others", 60.0))
    )
    sites = tuple(
        replace(row, origin_round_trip_milliseconds=(("users", 10), ("others", 30)))
        for row in near_and_far()
    )
    orders = registry.make(name).decide(world(job, sites), NOW)
    assert all(sum(row.values()) == pytest.approx(1) for row in orders.split.values())
    assert counts(orders)["east"] <= 2
    assert counts(orders)["west"] <= 3


@pytest.mark.parametrize("name", registry.BASELINES)
def test_a_baseline_is_asked_with_a_snapshot_and_nothing_else(name):
    policy = registry.make(name)
    assert policy.name == name
    assert list(inspect.signature(policy.decide).parameters) == ["snapshot", "now"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(NeedsHuman, match="b0, b0s, b1"):
        registry.make("b9")


def test_profiles_without_a_capacity_are_not_used():
    blind = replace(PROFILE, max_concurrency_at_objective=0)
    job = shifting(placement("east", 6), placement("west", 0))
    state = world(job, profiles=(blind,))
    assert registry.make("b0").decide(state, NOW).replicas == {}


def test_a_loaded_scenario_tells_its_margin_to_policies_as_head_room():
    loaded = load("s1-small")
    assert loaded.margin == 0.1
    # 1 / 0.9 - 1
    assert loaded.settings.head_room_permille == 111


def test_the_static_reference_never_lets_a_replica_go_and_b0_does():
    static, local = registry.make("b0s"), registry.make("b0")
    busy = world(shifting(spot("east"), spot("west"), loads=(("users", 55.0),)))
    rest = later(world(shifting(spot("east", 6), spot("west"), loads=(("users", 15.0),))), 600)
    most = counts(static.decide(busy, NOW))
    assert counts(local.decide(busy, NOW)) == most
    assert counts(static.decide(rest, NOW + 600)) == most
    assert sum(counts(local.decide(rest, NOW + 600)).values()) < sum(most.values())


# ---- make before break ------------------------------------------------------------------------


def test_what_serves_stays_until_what_replaces_it_can_have_started():
    policy = registry.make("b4")
    first = policy.decide(world(shifting(spot("east", 3), spot("west"))), NOW)
    # the cold start of the profile is 120 s: the next decision lets go
    assert counts(first) == {"east": 3, "west": 3}
    assert split(first) == {"west": 1.0}
    state = later(world(shifting(spot("east", 3), spot("west", 3))), 300)
    assert counts(policy.decide(state, NOW + 300)) == {"east": 0, "west": 3}


def test_nothing_is_held_for_a_destination_that_serves_already():
    orders = registry.make("b4").decide(world(shifting(spot("east", 3), spot("west", 3))), NOW)
    assert counts(orders) == {"east": 0, "west": 3}


def test_falling_load_is_not_held():
    policy = registry.make("b4")
    job = shifting(spot("east"), spot("west", 6), loads=(("users", 60.0),))
    assert counts(policy.decide(world(job), NOW)) == {"east": 0, "west": 6}
    less = shifting(spot("east"), spot("west", 6), loads=(("users", 20.0),))
    state = later(world(less), 300)
    assert counts(policy.decide(state, NOW + 300)) == {"east": 0, "west": 2}
