"""Score, room, hysteresis and budgets: the parts that make decisions calm and priced."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from tests.core.build import (
    NOW,
    PROFILE,
    batch,
    connection,
    engine,
    placement,
    quote,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.planner.batch import wishes
from wattshift.core.planner.candidates import savings
from wattshift.core.decision import Action
from wattshift.core.survey.limits import Hardness
from wattshift.core.model import AcceleratorState, Settings
from wattshift.core.power.power import is_due
from wattshift.core.reasons import Reason
from wattshift.core.survey.room import Room
from wattshift.core.planner.score import PARTS, Pricer, Score
from wattshift.core.planner.stability import Budgets, horizon_seconds, pays, waits, within_dwell
from wattshift.core.survey.survey import survey
from wattshift.core.power.watts import replica_watts

HOUR = 3600.0


def seen(here=None, **more):
    world = survey(here or snapshot(), NOW, **more)
    return world, world.jobs[0]


def test_staying_scores_exactly_zero():
    world, job = seen()
    score = Pricer(world, job, HOUR).score(job.vector)
    assert isinstance(score, Score)
    assert score.total == 0
    assert set(score.parts) == set(PARTS)


def test_the_total_is_the_sum_of_its_parts():
    world, job = seen()
    score = Pricer(world, job, HOUR).score((0, 2))
    assert isinstance(score, Score)
    assert score.total == pytest.approx(sum(score.parts.values()))
    # 6 replicas at 3.3 sequences in the east, 2 at 10 in the west
    assert score.watts["east", "feed"] == pytest.approx(-2600)
    assert score.watts["west", "feed"] == pytest.approx(1000)
    assert score.parts["energy"] == pytest.approx(-2.6 * 0.8 + 1.0 * 0.3)


def test_a_longer_horizon_dilutes_the_cost_of_the_move():
    world, job = seen()
    short = Pricer(world, job, 900.0).score((0, 2))
    long = Pricer(world, job, 9000.0).score((0, 2))
    assert isinstance(short, Score)
    assert isinstance(long, Score)
    assert short.parts["move"] == pytest.approx(10 * long.parts["move"])
    assert short.parts["move"] > 0


def test_missing_head_room_has_a_price():
    job = workload(placements=(placement("east", 2, engine=engine(26.0, pods=2)),))
    world, row = seen(snapshot((job,)))
    raised = Pricer(world, row, HOUR).score((3,))
    assert isinstance(raised, Score)
    assert raised.parts["latency"] < 0


def test_an_unknown_price_has_no_score():
    world, job = seen(snapshot(sites=(site("east", price=None), site("west"))))
    assert Pricer(world, job, HOUR).score((0, 2)) is Reason.PRICE_UNKNOWN
    assert Pricer(world, job, HOUR).unit_cost(job.spots[0]) is None


def test_surplus_is_used_up_before_the_grid_is_paid():
    west = site(
        "west",
        feed=connection(price=quote("0.80", direct="0.10", own_up=True)),
        supplies=(supply(400.0),),
    )
    world, job = seen(snapshot(sites=(site("east", price="0.80"), west)))
    score = Pricer(world, job, HOUR).score((0, 2))
    assert isinstance(score, Score)
    assert score.own_supply
    assert score.parts["energy"] == pytest.approx(-2.6 * 0.8 + 0.4 * 0.1 + 0.6 * 0.8)


@given(st.floats(0, 60))
def test_the_planner_s_power_is_the_estimator_s(concurrency):
    job = workload(placements=(placement("east", 3, engine=engine(concurrency, pods=3)),))
    world, row = seen(snapshot((job,)))
    from wattshift.core.planner.score import watts_by_feed

    each = replica_watts(PROFILE, min(row.spots[0].capacity, row.load.concurrency / 3))
    assert watts_by_feed(row, (3,))["east", "feed"] == pytest.approx(3 * each)


# ---- room


def test_room_is_used_up_by_what_is_given_away():
    world, job = seen(snapshot(sites=(site("east"), site("west", limit=1900))))
    room, west = Room(world), job.spots[1]
    assert room.most(west) == 3
    room.take(west, 2)
    assert room.most(west) == 1
    room.take(west, 1)
    assert "under feed of 1900 W" in room.why_not(west)


def test_devices_are_shared():
    gpus = (AcceleratorState(resource_name="nvidia.com/gpu", profile_name="h100", count=3),)
    world, job = seen(snapshot(sites=(site("east"), site("west", accelerators=gpus))))
    room, west = Room(world), job.spots[1]
    assert room.most(west) == 3
    room.take(west, 3)
    assert room.most(west) == 0
    assert "nvidia.com/gpu" in room.why_not(west)


def test_a_site_that_declares_no_accelerators_leaves_that_to_the_scheduler():
    world, job = seen(snapshot(sites=(site("east"), site("west", accelerators=()))))
    assert Room(world).most(job.spots[1]) == 20


def test_the_ramp_allows_one_step_at_least_and_no_second_one():
    world, job = seen(snapshot(sites=(site("east"), site("west", ramp_up_watts_per_minute=10))))
    room, west = Room(world), job.spots[1]
    assert room.most(west) == 1
    room.take(west, 1)
    assert room.most(west) == 0


def test_harder_bounds_leave_more_room():
    from tests.core.build import event
    from wattshift.core.model import Firmness

    soft = event(upper=700, firmness=Firmness.VOLUNTARY)
    world, job = seen(snapshot(sites=(site("east"), site("west", events=(soft,)))))
    room = Room(world)
    assert room.most(job.spots[1]) == 1
    assert room.most(job.spots[1], Hardness.COMMITTED) == 20


def test_what_starts_frees_nothing_that_draws_now():
    """A lower bound is missed for as long as a start takes where what starts counts already."""
    from tests.core.build import event

    starting = placement("east", 8, ready_replicas=4, in_service_replicas=4)
    world, _ = seen(
        snapshot(
            (workload(placements=(starting,)),), sites=(site("east", events=(event(lower=500),)),)
        )
    )
    (feed,) = world.feeds.values()
    assert feed.power.committed_watts > feed.power.now_watts + 300
    left = feed.power.now_watts - 500
    assert Room(world).may_free({feed.key: -left})
    assert not Room(world).may_free({feed.key: -left - 1})


# ---- hysteresis and budgets


def best(here=None):
    world, job = seen(here)
    rows = savings(job, Room(world), Pricer(world, job, 900.0))
    return world, job, min(rows, key=lambda row: row.score.total)


def test_a_good_saving_pays():
    world, _, row = best()
    assert pays(row, world.snapshot.settings, 900.0) is None


@pytest.mark.parametrize(("margin", "reason"), [("0.2", None), ("5", Reason.PAYBACK_TOO_LONG)])
def test_the_margin_is_money_within_the_dwell(margin, reason):
    settings = Settings(reporting_currency="CNY", min_saving_per_move=margin)
    _, _, row = best()
    found = pays(row, settings, 900.0)
    assert (found and found[0]) == reason


def test_what_costs_is_nothing_to_gain():
    _, _, row = best()
    row.score = replace(row.score, total=1.0, parts={**row.score.parts, "energy": 5.0, "move": 0.0})
    assert pays(row, Settings(reporting_currency="CNY"), 900.0)[0] is Reason.NOTHING_TO_GAIN


def test_a_clock_that_was_set_back_holds_nothing():
    job = workload(last_change_time=NOW + 1e6, min_dwell_seconds=900)
    here = survey(snapshot((job,)), NOW).jobs[0]
    assert within_dwell(here, NOW) is None
    row = placement(desired_replicas=2, last_write_time=NOW + 1e6)
    assert is_due(job, row, NOW, 1.0)
    held = batch(replicas=0, max_pause_seconds=600, paused_since_time=NOW + 1e6)
    feed = connection(price=quote("0.80"), price_ahead=((NOW + 7200, quote("0.10")),))
    world = survey(snapshot((held,), (site("east", feed=feed),)), NOW)
    assert wishes(world, world.jobs)[
        "team/nightly"
    ].run  # cheaper power comes after the longest pause


def test_the_horizon_is_the_dwell_but_at_least_an_interval():
    settings = Settings(reporting_currency="CNY")
    assert horizon_seconds(workload(), settings) == 900
    assert horizon_seconds(workload(min_dwell_seconds=0), settings) == 300


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"last_change_time": NOW - 899}, Reason.WITHIN_DWELL),
        ({"last_change_time": NOW - 900}, None),
        ({"moves_today": 6}, Reason.MOVES_EXHAUSTED),
        ({"moves_today": 9, "moved_share_today": 5.9}, None),
        ({"moves_today": 1, "moved_share_today": 6.0}, Reason.MOVES_EXHAUSTED),
    ],
)
def test_savings_wait_for_dwell_and_moves(more, reason):
    _, job, row = best(snapshot((workload(**more),)))
    assert row.action is Action.MIGRATE
    found = waits(job, row, NOW)
    assert (found and found[0]) == reason


def test_budgets_count_by_site_and_reason():
    world, job, row = best()
    budgets = Budgets(world)
    for _ in range(2):
        assert budgets.refuses(job, row) is None
        budgets.take(job, row)
    found = budgets.refuses(job, row)
    assert found is not None
    assert found[0] is Reason.BUDGET_EXHAUSTED
    other = replace(row, reason=Reason.GREENER_POWER)
    assert budgets.refuses(job, other) is None


def test_candidates_keep_capacity_for_the_load():
    world, job = seen()
    for row in savings(job, Room(world), Pricer(world, job, 900.0)):
        carried = sum(n * spot.capacity for n, spot in zip(row.vector, job.spots, strict=True))
        assert carried >= job.need - 1e-6


@pytest.mark.parametrize("slow", [100, 300, 900])
def test_a_destination_where_the_samples_would_not_hold_is_refused(slow):
    far = site("west", price="0.10", origin_round_trip_milliseconds=(("users", slow),))
    origins = tuple(replace(row, max_round_trip_milliseconds=None) for row in workload().origins)
    here = snapshot((workload(origins=origins),), (site("east", price="0.80"), far))
    world, job = seen(here)
    moves = [
        row
        for row in savings(job, Room(world), Pricer(world, job, 900.0))
        if row.action is Action.MIGRATE
    ]
    assert moves
    assert all((row.refused is None) is (slow <= 100) for row in moves)
