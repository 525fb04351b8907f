"""The fast loop: bounds, order of harm, vetoes, ramps, the end of events."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.core.build import (
    NOW,
    PROFILE,
    hand_over,
    Original,
    batch,
    connection,
    engine,
    event,
    member,
    placement,
    quote,
    reading,
    site,
    snapshot,
    workload,
)
from wattshift.core.contract.model import Basis
from wattshift.core.contract.quote import DemandTerm
from wattshift.core.decision import Action
from wattshift.core.governor.governor import govern
from wattshift.core.governor.ladder import Mechanism
from wattshift.core.model import (
    Allowed,
    Firmness,
    MemberPhase,
    Mode,
    Override,
    OverrideMode,
    Tier,
)
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.validate import validate


def run(here, a_plan=None, now=NOW):
    return govern(here, a_plan, now)


def targets(tick):
    return {
        row.workload_key: {target.placement_name: target.replicas for target in row.targets}
        for row in tick.decisions
    }


def east(name="chat", replicas=6, concurrency=20.0, **more):
    stats = more.pop("stats", None) or engine(concurrency, pods=replicas)
    return workload(
        name, (placement("east", replicas, engine=stats, **more.pop("row", {})),), **more
    )


def capped(upper, firmness=Firmness.MANDATORY, **more):
    return site("east", events=(event(upper=upper, firmness=firmness),), **more)


def test_inside_all_bounds_nothing_is_done():
    tick = run(snapshot((east(), batch()), (site("east"),)))
    assert tick.decisions == ()
    assert tick.vetoes == ()


def test_work_held_outside_goes_first():
    tick = run(snapshot((east(), batch()), (capped(4000),)))
    assert targets(tick) == {"team/nightly": {"east": 1}}
    assert tick.decisions[0].urgent
    assert tick.decisions[0].reason is Reason.EVENT_LIMIT


def test_then_what_is_beyond_the_need():
    tick = run(snapshot((east(), batch()), (capped(1700),)))
    found = targets(tick)
    assert found["team/nightly"] == {"east": 0}
    assert 2 <= found["team/chat"]["east"] < 6


@pytest.mark.parametrize(
    ("firmness", "tier", "least"),
    [
        (Firmness.VOLUNTARY, Tier.HIGH, 4),
        (Firmness.COMMITTED, Tier.FIRM, 4),
        (Firmness.COMMITTED, Tier.LOW, 4),
        (Firmness.COMMITTED, Tier.HIGH, 2),
        (Firmness.MANDATORY, Tier.FIRM, 0),
    ],
)
def test_harm_goes_as_far_as_the_event_is_firm_and_the_tier_tolerates(firmness, tier, least):
    # 4 replicas carry 46 sequences with head room: nothing is beyond the need
    job = east(replicas=4, concurrency=46.0, tier=tier)
    found = targets(run(snapshot((job,), (capped(100, firmness),))))
    assert found.get("team/chat", {"east": 4}) == {"east": least}


def test_flexible_tiers_go_before_firm_ones():
    jobs = (east("firm", 4, 46.0, tier=Tier.FIRM), east("high", 4, 46.0, tier=Tier.HIGH))
    found = targets(run(snapshot(jobs, (capped(2500),))))
    assert found["team/high"] == {"east": 0}
    assert "team/firm" not in found


def test_the_least_recently_touched_of_a_tier_goes_first():
    jobs = (east("a", 6, last_change_time=NOW - 10), east("b", 6, last_change_time=NOW - 9999))
    found = targets(run(snapshot(jobs, (capped(5000),))))
    assert set(found) == {"team/b"}


def test_what_the_plan_lowers_goes_first_in_its_tier():
    jobs = (east("a", 6), east("b", 6))
    here = snapshot(jobs, (capped(5000),))
    made = plan(snapshot(jobs, (site("east"),)), NOW)
    only_b = replace(
        made, decisions=tuple(row for row in made.decisions if row.workload_key == "team/b")
    )
    assert set(targets(run(here, only_b))) == {"team/b"}


def test_an_old_plan_or_none_is_enough():
    here = snapshot((east(), batch()), (capped(4000),))
    old = replace(plan(here, NOW), valid_until=NOW - 9999)
    assert targets(run(here, old)) == targets(run(here, None))


def test_what_was_commanded_is_not_shed_again():
    row = {
        "desired_replicas": 2,
        "ready_replicas": 6,
        "observed_replicas": 2,
        "last_write_time": NOW - 5,
    }
    tick = run(snapshot((east(row=row),), (capped(1400),)))
    assert tick.decisions == ()


def test_overdue_commands_lose_their_credit():
    row = {
        "desired_replicas": 2,
        "ready_replicas": 6,
        "observed_replicas": 2,
        "last_write_time": NOW - 999,
    }
    job = east(row=row)
    assert run(snapshot((job,), (capped(1400),))).decisions != ()


def test_a_silent_meter_in_an_event_counts_every_replica_as_busy():
    feed = connection(metered=reading(None), price=quote("0.5"))
    here = site("east", feed=feed, events=(event(upper=3000),))
    # 6 x 600 = 3600 W: one replica must go although the model says 2,600 W
    assert targets(run(snapshot((east(),), (here,)))) == {"team/chat": {"east": 5}}


def test_a_suspect_model_is_believed_as_far_as_the_meter_shows_it():
    # the meter shows load that nobody declared: a replica frees what it draws without its tokens
    feed = connection(metered=reading(5000), price=quote("0.5"))
    here = site("east", feed=feed, events=(event(upper=4800),))
    assert targets(run(snapshot((east(),), (here,)))) == {"team/chat": {"east": 5}}


def low_meter(share, upper, replicas=6, concurrency=84.0):
    """A meter that shows a share of what the model says, and a limit of the feed."""
    model = replicas * (400 + 200 * min(1.0, concurrency / replicas / 20))
    feed = connection(metered=reading(share * model), price=quote("0.5"), limit=upper)
    job = east(replicas=replicas, concurrency=concurrency)
    return snapshot((job,), (site("east", feed=feed),))


def test_a_meter_that_reads_low_costs_no_replica_for_every_hundred_watts():
    # 540 W a replica by the model, 324 W by the meter, less what the survivors take over
    assert targets(run(low_meter(0.6, round(0.6 * 3240) - 340))) == {"team/chat": {"east": 4}}


def test_what_was_believed_too_much_goes_once_the_meter_shows_it():
    here = low_meter(0.6, 1604)
    row = replace(here.workloads[0].placements[0], last_write_time=NOW - 30, desired_replicas=4)
    seen = replace(row, observed_replicas=4, ready_replicas=4, in_service_replicas=4)
    job = replace(here.workloads[0], placements=(seen,))
    feed = replace(here.sites[0].connections[0], metered=reading(1750.0))
    here = replace(here, workloads=(job,), sites=(replace(here.sites[0], connections=(feed,)),))
    assert targets(run(here))["team/chat"]["east"] < 4


def test_the_feed_itself_is_a_hard_limit():
    tick = run(snapshot((east(replicas=4, concurrency=46.0),), (site("east", limit=1000),)))
    assert sum(targets(tick)["team/chat"].values()) <= 2
    assert tick.decisions[0].reason is Reason.SITE_LIMIT


def test_an_emergency_empties_the_site_and_raises_elsewhere():
    job = workload(last_change_time=NOW - 1)
    here = snapshot((job, batch()), (site("east", emergency="leak in row 3"), site("west")))
    tick = run(here)
    found = targets(tick)
    assert found["team/chat"]["east"] == 0
    assert found["team/chat"]["west"] == 2
    assert found["team/nightly"]["east"] == 0
    assert {row.reason for row in tick.decisions} == {Reason.EMERGENCY}


def test_the_ramp_limits_how_much_is_shed_in_a_tick():
    here = capped(100, Firmness.COMMITTED, ramp_down_watts_per_minute=900)
    found = targets(run(snapshot((east(),), (here,))))
    assert found == {"team/chat": {"east": 4}}


def test_physical_limits_ignore_the_ramp():
    here = site("east", limit=500, ramp_down_watts_per_minute=1)
    assert targets(run(snapshot((east(),), (here,))))["team/chat"]["east"] <= 1


def test_a_member_that_is_not_ready_is_not_touched():
    here = site("east", phase=MemberPhase.LOST, events=(event(upper=100),))
    assert run(snapshot((east(),), (here,))).decisions == ()


@pytest.mark.parametrize(
    ("firmness", "touched"),
    [(Firmness.VOLUNTARY, False), (Firmness.COMMITTED, False), (Firmness.MANDATORY, True)],
)
def test_a_person_s_hold_yields_only_to_what_is_mandatory(firmness, touched):
    hold = Override(mode=OverrideMode.HOLD, until_time=NOW + 9, reason="demo", requested_by="ann")
    tick = run(snapshot((east(override=hold),), (capped(100, firmness),)))
    assert bool(tick.decisions) is touched


def test_actions_that_are_not_allowed_are_taken_only_when_mandatory():
    job = east(actions=(Allowed.MIGRATE,))
    assert run(snapshot((job,), (capped(100, Firmness.COMMITTED),))).decisions == ()
    assert run(snapshot((job,), (capped(100),))).decisions != ()


def test_workloads_that_act_are_shed_before_those_that_only_watch():
    jobs = (east("a", mode=Mode.OBSERVE), east("b"))
    assert set(targets(run(snapshot(jobs, (capped(5000),))))) == {"team/b"}


def test_what_only_watches_frees_nothing_that_a_bound_needs():
    # the watcher's spare replicas would be enough on paper
    jobs = (east("a", mode=Mode.OBSERVE), east("b"))
    free = targets(run(snapshot((east("b"),), (capped(1),))))["team/b"]["east"]
    assert free == 0
    found = targets(run(snapshot(jobs, (capped(2700),))))
    assert found["team/b"]["east"] == 0
    assert found.get("team/a", {"east": 6})["east"] > 0


def two_feeds(**more):
    rows = (connection("one", limit=None), connection("two", limit=None))
    members = (member("east", connection_name="one"), member("south", connection_name="two"))
    return site("east", connections=rows, members=members, **more)


def at_two(name, replicas=6):
    stats = engine(20.0, pods=replicas)
    row = placement("east", replicas, engine=stats, cluster_name=name, max_replicas=60)
    return workload(name, (row,))


@pytest.mark.parametrize(
    "more",
    [
        {"events": (event(upper=4000, connection_name=""),)},
        {"it_capacity_watts": 4000},
        {"cooling_limit": reading(4000)},
    ],
)
def test_a_bound_of_the_whole_site_is_kept_once_over_its_connections(more):
    jobs = (at_two("east"), at_two("south"))
    tick = run(snapshot(jobs, (two_feeds(**more),)))
    left = {key: row["east"] for key, row in targets(tick).items()}
    total = sum(left.get(job.key, 6) for job in jobs)
    before = sum(row.estimated_watts for row in tick.sites)
    assert before > 4000
    alone = run(snapshot((at_two("east", 12),), (capped(4000),)))
    assert total >= targets(alone)["team/east"]["east"] - 1  # not shed twice
    assert total < 12


def test_a_placement_without_a_profile_beside_it_stops_no_shedding():
    rows = (
        placement("east", 6, engine=engine(20.0)),
        placement("odd", 0, at="east", profile_name="none"),
    )
    found = targets(run(snapshot((workload("chat", rows),), (capped(100),))))
    assert found["team/chat"]["east"] == 0


def test_what_only_watches_at_one_connection_leaves_the_others_to_shed():
    jobs = (replace(at_two("east"), mode=Mode.OBSERVE), at_two("south"))
    here = two_feeds(events=(event(upper=3000, connection_name=""),))
    found = targets(run(snapshot(jobs, (here,))))
    assert found["team/south"]["east"] == 0  # the watcher alone draws all that is left


def test_a_floor_of_the_whole_site_counts_on_no_watcher_at_another_connection():
    fill = event(upper=None, lower=6000, connection_name="")
    jobs = (at_two("east"), at_two("south"))
    both = targets(run(snapshot(jobs, (two_feeds(events=(fill,)),))))
    assert set(both) == {"team/east"}
    watching = (replace(jobs[0], mode=Mode.OBSERVE), jobs[1])
    found = targets(run(snapshot(watching, (two_feeds(events=(fill,)),))))
    assert found["team/south"]["east"] > 6


def test_a_watcher_s_spare_replicas_spare_no_acting_workload():
    jobs = (east("a", mode=Mode.OBSERVE, concurrency=5.0), east("b", 2, concurrency=0.0))
    found = targets(run(snapshot(jobs, (capped(1700),))))
    assert found["team/b"]["east"] == 0


def test_a_hold_of_a_site_passes_only_where_nothing_else_is_against_a_write():
    hold = Override(mode=OverrideMode.HOLD, until_time=NOW + 60, reason="r", requested_by="ann")
    rows = (
        placement("odd", 2, at="east", profile_name="none"),
        placement("lost", 2, at="east", target_found=False),
        placement("theirs", 2, at="east", rival=True),
    )
    here = capped(0, override=hold)
    assert run(snapshot((workload("chat", rows),), (here,))).decisions == ()


def test_two_placements_of_one_connection_share_its_room():
    # the west has room for one replica, two placements there could take one each
    rows = (
        placement("east", 6, engine=engine(60.0, pods=6)),
        placement("one", 0, at="west"),
        placement("two", 0, at="west", max_replicas=1),
    )
    here = snapshot((workload("chat", rows),), (capped(500), site("west", limit=700)))
    tick = run(here)
    found = targets(tick)["team/chat"]
    assert found["east"] == 0
    assert found["one"] + found["two"] == 1
    assert validate(tick.decisions[0], here, NOW) is None


def test_a_floor_of_the_whole_site_is_raised_once():
    fill = event(upper=None, lower=8000, connection_name="")
    jobs = (at_two("east"), at_two("south"))
    tick = run(snapshot(jobs, (two_feeds(events=(fill,)),)))
    power = sum(row.estimated_watts for row in tick.sites)
    added = sum(row["east"] - 6 for row in targets(tick).values())
    # each adds its active floor: tokens spread; the other connection counts at its safe figure
    assert math.ceil((8000 - power * 1.1) / 400) <= added <= math.ceil((8000 - power) / 400)


def test_a_lower_bound_counts_what_replicas_draw_once_the_tokens_are_spread():
    # 6 carry 20 sequences: 6 x 400 + 200 W; each more adds its active floor of 400 W, not 100 idle
    fill = event(upper=None, lower=4200)
    here = snapshot((east(row={"max_replicas": 40}),), (site("east", events=(fill,)),))
    assert targets(run(here)) == {"team/chat": {"east": 10}}


def test_a_lower_bound_counts_the_load_that_comes_from_elsewhere():
    # all 42 sequences are in the west; three in the east draw 3 x (400 + 42 / 6 / 20 x 200) = 1,410 W
    rows = (placement("east", 0), placement("west", 3, engine=engine(42.0, pods=3)))
    fill = event(upper=None, lower=1500)
    sites = (site("east", events=(fill,)), site("west"))
    tick = run(snapshot((workload(placements=rows),), sites))
    assert targets(tick)["team/chat"]["east"] == 4


def test_a_lower_bound_counts_held_work_that_rests_as_busy():
    fill = event(upper=None, lower=3000)
    feed = connection(metered=reading(0), model_watts_at_meter=0)
    job = batch(replicas=0, placements=(placement("east", 0, baseline_replicas=4),))
    tick = run(snapshot((job,), (site("east", feed=feed, events=(fill,)),)))
    assert targets(tick) == {"team/nightly": {"east": 5}}


def test_a_lower_bound_waits_for_device_caps_to_be_lifted():
    profile = replace(PROFILE, cap_throughput_permille=((500, 800), (1000, 1000)))
    row = {"power_cap_permille": 600, "mechanisms": (Mechanism.POWER_CAP,)}
    job = east(concurrency=120.0, row=row)
    fill = event(upper=None, lower=3000)
    tick = run(snapshot((job,), (site("east", events=(fill,)),), profiles=(profile,)))
    assert tick.sites[0].estimated_watts == 2160  # 1,137 W more without the cap
    assert tick.decisions == ()


def test_a_lower_bound_counts_what_the_same_tick_gives_back():
    fill = event(upper=None, lower=3000)
    # 60 sequences on 2 replicas: the load asks for more at once
    here = snapshot((east(replicas=2, concurrency=60.0),), (site("east", events=(fill,)),))
    alone = run(replace(here, sites=(site("east"),)))
    assert targets(run(here))["team/chat"]["east"] <= max(6, targets(alone)["team/chat"]["east"])


def test_what_only_watches_takes_no_part_of_what_a_lower_bound_lacks():
    # one more of 400 W is needed: three idle ones of a watcher are no 300 W
    watching = east("other", mode=Mode.OBSERVE)
    fill = event(upper=None, lower=5500)
    tick = run(snapshot((east(), watching), (site("east", events=(fill,)),)))
    assert targets(tick) == {"team/chat": {"east": 7}}


@pytest.mark.parametrize(
    ("firmness", "raised"),
    [(Firmness.MANDATORY, 8), (Firmness.COMMITTED, 8), (Firmness.VOLUNTARY, 6)],
)
def test_a_lower_bound_that_is_an_order_stops_at_no_billed_peak(firmness, raised):
    term = DemandTerm(
        component="peak",
        basis=Basis.GROSS_USE,
        rate_per_kilowatt=Decimal(40),
        binding_watts=2700,
        averaging_minutes=15,
        probability=Decimal(1),
        probability_source="NoPeakHistory",
        in_window=True,
    )
    feed = connection(limit=None, price=replace(quote("0.5"), demand_terms=(term,)))
    fill = event(upper=None, lower=3300, firmness=firmness)
    tick = run(snapshot((east(),), (site("east", feed=feed, events=(fill,)),)))
    assert targets(tick).get("team/chat", {"east": 6}) == {"east": raised}


def test_a_lower_bound_asks_what_a_workload_allows_unless_it_is_mandatory():
    job = east(actions=(Allowed.MIGRATE,))
    for firmness, raised in ((Firmness.MANDATORY, True), (Firmness.COMMITTED, False)):
        fill = event(upper=None, lower=5000, firmness=firmness)
        assert bool(run(snapshot((job,), (site("east", events=(fill,)),))).decisions) is raised


def test_a_lower_bound_is_met_by_what_acts():
    fill = event(upper=None, lower=3900)
    watching = batch(
        replicas=0, mode=Mode.OBSERVE, placements=(placement("east", 0, baseline_replicas=4),)
    )
    tick = run(snapshot((east(), watching), (site("east", events=(fill,)),)))
    assert set(targets(tick)) == {"team/chat"}


def test_held_work_keeps_the_least_count_that_its_owner_set():
    job = batch(min_replicas=2)
    found = targets(run(snapshot((job,), (capped(10, Firmness.COMMITTED),))))
    assert found["team/nightly"]["east"] == 2
    assert targets(run(snapshot((job,), (capped(10),))))["team/nightly"]["east"] == 0


def test_an_unresolved_event_sheds_nothing_and_raises_nothing():
    here = site("east", events=(event(upper=None, unresolved_reason="no baseline"),))
    job = east(replicas=2, concurrency=40.0)
    tick = run(snapshot((job,), (here,)))
    assert tick.decisions == ()


# ---- latency

QUEUE = {"waiting": 20, "first_tokens_per_second": 1.0}


def test_capacity_comes_back_within_the_tick_of_a_veto():
    tick = run(snapshot((east(stats=engine(20.0, **QUEUE)),), (site("east"),)))
    assert targets(tick) == {"team/chat": {"east": 12}}
    assert tick.decisions[0].reason is Reason.QUEUE_GROWING
    assert tick.vetoes[0][0] == "team/chat"
    assert tick.within_objective[0][1] == "False"
    assert tick.violations == (("team/chat", "east"),)


@pytest.mark.parametrize(
    ("firmness", "given"),
    [(Firmness.VOLUNTARY, True), (Firmness.COMMITTED, False), (Firmness.MANDATORY, False)],
)
def test_latency_outranks_voluntary_events_only(firmness, given):
    job = east(stats=engine(20.0, **QUEUE))
    tick = run(snapshot((job,), (capped(2900, firmness),)))
    assert bool(tick.decisions) is given
    if not given:
        assert "cannot give capacity back" in tick.vetoes[0][2]


def test_a_vetoed_workload_is_not_shed_for_a_voluntary_event():
    job = east(stats=engine(20.0, **QUEUE))
    tick = run(snapshot((job,), (capped(100, Firmness.VOLUNTARY),)))
    assert all(row.replicas >= 6 for found in tick.decisions for row in found.targets)


def test_no_capacity_is_asked_for_twice():
    row = {
        "desired_replicas": 12,
        "observed_replicas": 12,
        "ready_replicas": 6,
        "in_service_replicas": 6,
    }
    job = east(stats=engine(20.0, **QUEUE), row=row)
    assert run(snapshot((job,), (site("east"),))).decisions == ()


def test_the_other_site_takes_the_queue_when_the_first_is_full():
    stats = engine(20.0, **QUEUE)
    job = workload(
        placements=(placement("east", 6, engine=stats, max_replicas=6), placement("west", 0))
    )
    assert targets(run(snapshot((job,))))["team/chat"] == {"east": 6, "west": 6}


def test_an_open_hand_over_is_left_alone_by_the_guard():
    move = hand_over()
    job = workload(
        placements=(placement("east", 6, engine=engine(20.0, **QUEUE)), placement("west", 0)),
        intent=move,
    )
    assert run(snapshot((job,))).decisions == ()


def test_states_of_knowing_become_the_condition():
    jobs = (east("a"), east("b", stats=engine(age=99.0)), east("c", stats=engine(good=5)))
    rows = {row[0]: row[1] for row in run(snapshot(jobs, (site("east"),))).within_objective}
    assert rows == {"team/a": "True", "team/b": "Unknown", "team/c": "Unknown"}


# ---- after and during events


def found(replicas, name="east"):
    return Original(
        placement_name=name,
        cluster_uid="u",
        target_uid="t",
        replicas=replicas,
        captured_time=NOW - 9999,
    )


def after(**more):
    done = event(upper=1000, start=NOW - 3600, end=NOW - 60, ramp_seconds=0)
    return site("east", events=(done,), **more)


def test_after_an_event_what_the_load_needs_returns():
    job = east(replicas=2, concurrency=46.0, originals=(found(6),))
    tick = run(snapshot((job,), (after(),)))
    assert targets(tick) == {"team/chat": {"east": 4}}
    assert tick.decisions[0].reason is Reason.EVENT_ENDED


def test_after_an_event_unmeasured_workloads_return_to_what_was_found():
    job = workload(placements=(placement("east", 2),), originals=(found(6),))
    assert targets(run(snapshot((job,), (after(),)))) == {"team/chat": {"east": 6}}


def test_after_an_event_capacity_returns_by_tier_within_the_ramp():
    jobs = (east("high", 2, 46.0, tier=Tier.HIGH), east("firm", 2, 46.0, tier=Tier.FIRM))
    tick = run(snapshot(jobs, (after(ramp_up_watts_per_minute=1300),)))
    assert targets(tick) == {"team/firm": {"east": 4}}


def test_after_an_event_batch_returns_unless_a_fresh_plan_decides():
    job = batch(replicas=0, originals=(found(4),))
    here = snapshot((job,), (after(),))
    assert targets(run(here)) == {"team/nightly": {"east": 4}}
    assert run(here, plan(here, NOW)).decisions == ()


def test_a_lower_bound_raises_held_work_first():
    fill = event(upper=None, lower=5000)
    here = site("east", events=(fill,))
    job = batch(replicas=0, placements=(placement("east", 0, baseline_replicas=4),))
    tick = run(snapshot((east(), job), (here,)))
    assert targets(tick)["team/nightly"]["east"] > 0
    assert tick.decisions[0].reason is Reason.EVENT_FLOOR


def test_a_lower_bound_never_breaks_an_upper_one():
    rows = (event("fill", upper=None, lower=50_000), event("cap", upper=4000))
    tick = run(snapshot((east(),), (site("east", events=rows),)))
    total = targets(tick).get("team/chat", {"east": 6})["east"]
    assert total * 600 <= 4800


def test_everything_is_said_about_the_sites():
    row = run(snapshot((east(),), (capped(4000),))).sites[0]
    assert (row.upper_watts, row.binding) == (4000, "event dr")
    assert row.estimated_watts == 2600


def test_a_paused_batch_is_a_pause_and_a_start_from_zero_a_resume():
    tick = run(snapshot((batch(),), (capped(10),)))
    assert tick.decisions[0].action is Action.PAUSE
    again = run(snapshot((batch(replicas=0, originals=(found(4),)),), (after(),)))
    assert again.decisions[0].action is Action.RESUME


def test_a_load_that_trembles_inside_half_the_head_room_starts_nothing():
    # two replicas carry 28: need is 25.2 x 1.2 = 30.2, half of the head room is 27.7
    assert run(snapshot((east(replicas=2, concurrency=25.2),), (site("east"),))).decisions == ()
    assert run(snapshot((east(replicas=2, concurrency=25.8),), (site("east"),))).decisions != ()


def test_paused_batch_stays_paused_while_there_is_no_plan_yet():
    job = batch(replicas=0, originals=(found(4),))
    assert run(snapshot((job,), (site("east"),))).decisions == ()


def test_unmeasured_workloads_return_to_what_was_found_once_no_bound_forbids_it():
    job = workload(placements=(placement("east", 2),), originals=(found(6),))
    assert targets(run(snapshot((job,), (site("east"),)))) == {"team/chat": {"east": 6}}
    bound = run(snapshot((job,), (capped(1000),)))
    assert all(row.replicas_of("east") <= 2 for row in bound.decisions)
