"""The plan: owed capacity, savings, bounds, stability, people, batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import (
    NOW,
    PROFILE,
    WALL,
    hand_over,
    Original,
    batch,
    connection,
    engine,
    event,
    idle_engine,
    placement,
    quote,
    reading,
    signal,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.planner import planner
from wattshift.core.decision import Action
from wattshift.core.model import (
    AcceleratorState,
    Allowed,
    Firmness,
    MemberPhase,
    Mode,
    Override,
    OverrideMode,
    Settings,
    Tier,
)
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.planner.score import Pricer
from wattshift.core.signal import OnStale
from wattshift.core.survey.survey import survey
from wattshift.core.units import Quantity


def decide(here, key="team/chat", now=NOW):
    return next(row for row in plan(here, now).decisions if row.workload_key == key)


def counts(decision):
    return {row.placement_name: row.replicas for row in decision.targets}


def only_scale(**more):
    return workload(actions=(Allowed.SCALE,), **more)


# ---- savings


def test_replicas_follow_a_lower_price_and_consolidate_on_the_way():
    found = decide(snapshot())
    assert found.action is Action.MIGRATE
    assert (found.source_name, found.destination_name) == ("east", "west")
    assert counts(found) == {"east": 0, "west": 2}
    assert found.reason is Reason.CHEAPER_POWER
    assert found.score is not None
    assert found.score < 0
    assert found.score == pytest.approx(sum(value for _, value in found.parts))


def test_whatever_is_wrong_with_the_solver_decisions_go_on_and_say_so(monkeypatch):
    def broken(*_):
        raise RuntimeError("no such library")

    monkeypatch.setattr(planner, "goals", broken)
    made = plan(snapshot(), NOW)
    assert [row.action for row in made.decisions] == [Action.MIGRATE]
    assert made.bound_per_hour is None
    assert any("without the optimiser: RuntimeError: no such library" in row for row in made.notes)


def test_without_migrate_the_load_is_consolidated_in_place():
    found = decide(snapshot((only_scale(),)))
    assert found.action is Action.SCALE_TO
    assert found.reason is Reason.CONSOLIDATION
    assert counts(found) == {"east": 2, "west": 0}


def test_alternatives_say_what_was_rejected_and_at_what_score():
    found = decide(snapshot())
    assert found.alternatives
    for row in found.alternatives:
        assert row.score is None or row.score >= found.score
        assert row.reason and row.message


def test_carbon_moves_replicas_when_it_has_a_price():
    coal = signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 900.0)
    wind = signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 50.0)
    sites = (
        site("east", price="0.50", signals=(coal,)),
        site("west", price="0.50", signals=(wind,)),
    )
    priced = Settings(reporting_currency="CNY", carbon_price_per_tonne="500")
    assert decide(snapshot(sites=sites)).action is Action.SCALE_TO
    found = decide(snapshot(sites=sites, settings=priced))
    assert found.reason is Reason.GREENER_POWER
    assert found.effect.grams_per_hour is not None
    assert found.effect.grams_per_hour < 0


def test_unknown_carbon_is_not_taken_for_clean():
    coal = signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 900.0)
    sites = (site("east", price="0.50", signals=(coal,)), site("west", price="0.50"))
    priced = Settings(reporting_currency="CNY", carbon_price_per_tonne="500")
    assert decide(snapshot(sites=sites, settings=priced)).action is not Action.MIGRATE


def test_own_surplus_attracts_replicas():
    west = site(
        "west",
        feed=connection(price=quote("0.80", direct="0.10", own_up=True)),
        supplies=(supply(50_000),),
    )
    found = decide(snapshot(sites=(site("east", price="0.80"), west)))
    assert found.action is Action.MIGRATE
    assert found.reason is Reason.SUPPLY_SURPLUS


def test_a_change_known_ahead_is_prepared():
    ahead = ((NOW + 100, quote("0.10")),)
    west = site("west", feed=connection(price=quote("0.90"), price_ahead=ahead))
    found = decide(
        snapshot((workload(min_dwell_seconds=7200),), (site("east", price="0.80"), west))
    )
    assert found.action is Action.MIGRATE
    assert found.reason is Reason.PREPARE_CHANGE


def test_an_unknown_price_moves_nothing_and_is_said():
    sites = (site("east", price="0.80"), site("west", price=None))
    found = decide(snapshot(sites=sites))
    assert found.action is Action.SCALE_TO
    unknown = decide(snapshot(sites=(site("east", price=None), site("west", price="0.30"))))
    assert unknown.action is Action.HOLD
    assert unknown.reason is Reason.PRICE_UNKNOWN


def test_negative_prices_never_start_replicas_for_their_own_sake():
    sites = (site("east", price="-0.20"), site("west", price="-0.10"))
    found = decide(snapshot(sites=sites))
    # four of the six serve nobody: they stop, though burning power would earn money
    assert (found.action, found.reason) == (Action.SCALE_TO, Reason.CONSOLIDATION)
    assert counts(found) == {"east": 2, "west": 0}
    assert dict(found.parts)["waste"] < 0 < dict(found.parts)["energy"]
    assert found.effect.money_per_hour == pytest.approx(sum(dict(found.parts).values()))


def test_at_negative_prices_work_goes_where_most_is_paid_for_it_and_moves_cost_as_ever():
    rows = (placement("east", 2, engine=engine()), placement("west", 0))
    for east, west, action in (
        ("-0.10", "-0.80", Action.MIGRATE),
        ("-0.80", "-0.10", Action.HOLD),
        ("-0.50", "-0.501", Action.HOLD),  # a hair is worth no move
    ):
        sites = (site("east", price=east), site("west", price=west))
        assert decide(snapshot((workload(placements=rows),), sites)).action is action


def test_a_price_of_zero_or_above_knows_no_waste():
    made = plan(snapshot(sites=(site("east", price="0"), site("west", price="0.3"))), NOW)
    world = survey(snapshot(sites=(site("east", price="0"), site("west", price="0.3"))), NOW)
    assert Pricer(world, world.jobs[0], 900.0).lift() == 0
    assert dict(made.decisions[0].parts).get("waste", 0.0) == 0


def test_zero_demand_shrinks_to_the_floor_and_not_below():
    job = workload(
        placements=(placement("east", 6, engine=idle_engine(6)), placement("west", 0)),
        min_replicas=2,
    )
    assert sum(counts(decide(snapshot((job,)))).values()) == 2


def test_the_floor_of_a_placement_is_kept():
    job = workload(
        placements=(placement("east", 6, engine=engine(), min_replicas=3), placement("west", 0))
    )
    assert counts(decide(snapshot((job,))))["east"] >= 3


def test_the_cache_of_the_survivors_limits_a_consolidation():
    job = only_scale(placements=(placement("east", 6, engine=engine(kv_cache_usage=0.6)),))
    assert counts(decide(snapshot((job,)))) == {"east": 5}


# ---- owed capacity


def test_load_above_capacity_raises_at_the_cheapest_feasible_site():
    job = workload(
        placements=(placement("east", 2, engine=engine(40.0, pods=2)), placement("west", 0))
    )
    found = decide(snapshot((job,)))
    assert found.action is Action.SCALE_TO
    assert found.reason is Reason.DEMAND_GROWTH
    assert counts(found) == {"east": 2, "west": 2}


def test_a_queue_is_answered_with_replicas():
    stats = engine(20.0, waiting=20, first_tokens_per_second=1.0)
    job = workload(placements=(placement("east", 6, engine=stats),))
    found = decide(snapshot((job,)))
    assert found.reason is Reason.QUEUE_GROWING
    assert counts(found) == {"east": 12}


def test_what_was_asked_for_already_is_not_asked_for_again():
    stats = engine(20.0, waiting=20, first_tokens_per_second=1.0)
    row = placement("east", 6, engine=stats, desired_replicas=12, observed_replicas=12)
    assert decide(snapshot((workload(placements=(row,)),))).action is Action.HOLD


@pytest.mark.parametrize(
    ("east", "west"),
    [
        (placement("east", 2, engine=engine(40.0, pods=2), max_replicas=2), placement("west", 0)),
        (
            placement("east", 2, engine=engine(40.0, pods=2), max_replicas=2),
            placement("west", 0, unschedulable=True),
        ),
    ],
)
def test_capacity_short_is_said_when_nothing_fits(east, west):
    sites = (site("east", limit=900), site("west", limit=400))
    found = decide(snapshot((workload(placements=(east, west)),), sites))
    assert found.action is Action.HOLD
    assert found.reason is Reason.CAPACITY_SHORT
    assert found.message


def test_free_accelerators_bound_what_is_raised():
    gpus = (
        AcceleratorState(
            resource_name="nvidia.com/gpu", profile_name="h100", count=8, allocatable=3
        ),
    )
    job = workload(placements=(placement("east", 2, engine=engine(100.0, pods=2)),))
    found = decide(snapshot((job,), (site("east", accelerators=gpus),)))
    assert counts(found) == {"east": 3}
    assert "still short" in found.message


def test_a_site_too_far_for_the_users_gets_no_load():
    far = site("west", price="0.10", origin_round_trip_milliseconds=(("users", 200),))
    found = decide(snapshot(sites=(site("east", price="0.80"), far)))
    assert counts(found)["west"] == 0


# ---- not knowing


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (placement("east", 6), Reason.METRICS_STALE),
        (placement("east", 6, engine=engine(age=99.0)), Reason.METRICS_STALE),
        (placement("east", 6, engine=engine(good=10)), Reason.OBJECTIVE_UNKNOWN),
        (placement("east", 6, engine=engine(), veto_wall_time=WALL - 9), Reason.LATENCY_GUARD),
        (placement("east", 6, engine=engine(), target_found=False), Reason.TARGET_NOT_FOUND),
        (placement("east", 6, engine=engine(), rival=True), Reason.CONFLICT),
        (
            placement("east", 6, engine=engine(), target_problem="RolloutInProgress"),
            Reason.ROLLOUT_IN_PROGRESS,
        ),
        (placement("east", 6, engine=engine(), profile_name="none"), Reason.PROFILE_NOT_FOUND),
    ],
)
def test_what_is_not_known_holds_with_its_reason(row, reason):
    found = decide(snapshot((workload(placements=(row,)),)))
    assert found.action is Action.HOLD
    assert found.reason is reason
    assert found.message


def test_a_profile_without_watts_is_refused():
    bare = replace(PROFILE, busy_watts=None)
    found = decide(
        snapshot((workload(placements=(placement("east", 6, engine=engine()),)),), profiles=(bare,))
    )
    assert found.reason is Reason.PROFILE_HAS_NO_POWER


@pytest.mark.parametrize("phase", [MemberPhase.LOST, MemberPhase.DEGRADED, MemberPhase.CONNECTING])
def test_no_action_on_a_member_that_is_not_ready(phase):
    sites = (site("east", price="0.80"), site("west", price="0.10", phase=phase))
    assert counts(decide(snapshot(sites=sites)))["west"] == 0
    lost = (site("east", price="0.80", phase=phase), site("west", price="0.10"))
    found = decide(snapshot(sites=lost))
    assert counts(found)["east"] == 6


def test_with_all_members_lost_everything_holds():
    sites = tuple(site(name, phase=MemberPhase.LOST) for name in ("east", "west"))
    here = plan(snapshot((workload(), batch()), sites), NOW)
    assert {row.action for row in here.decisions} == {Action.HOLD}
    assert all(row.reason is Reason.MEMBER_LOST for row in here.decisions)


# ---- stability


def test_within_its_dwell_a_workload_holds():
    found = decide(snapshot((workload(last_change_time=NOW - 100),)))
    assert (found.action, found.reason) == (Action.HOLD, Reason.WITHIN_DWELL)


def test_owed_capacity_does_not_wait_for_the_dwell():
    job = workload(
        placements=(placement("east", 2, engine=engine(40.0, pods=2)),), last_change_time=NOW - 1
    )
    assert decide(snapshot((job,))).action is Action.SCALE_TO


def test_moves_per_day_are_counted():
    found = decide(snapshot((workload(moves_today=6, actions=(Allowed.MIGRATE,)),)))
    assert found.reason is Reason.MOVES_EXHAUSTED


def test_a_small_saving_does_not_pay_back():
    job = workload(
        placements=(placement("east", 2, engine=engine(20.0, pods=2)), placement("west", 0))
    )
    sites = (site("east", price="0.800"), site("west", price="0.795"))
    found = decide(snapshot((job,), sites))
    assert (found.action, found.reason) == (Action.HOLD, Reason.PAYBACK_TOO_LONG)


def test_the_set_margin_is_in_money():
    settings = Settings(reporting_currency="CNY", min_saving_per_move="1000")
    assert decide(snapshot(settings=settings)).reason is Reason.PAYBACK_TOO_LONG


def test_disruptive_actions_are_budgeted_per_site():
    jobs = tuple(workload(f"chat-{i}") for i in range(5))
    found = plan(snapshot(jobs), NOW).decisions
    assert sum(row.action is Action.MIGRATE for row in found) == 2
    assert (
        sum(row.reason is Reason.BUDGET_EXHAUSTED or row.action is Action.SCALE_TO for row in found)
        == 3
    )


def test_an_oscillating_price_moves_a_workload_at_most_once_per_dwell():
    here, changes = snapshot(), 0
    for tick in range(12):
        now = NOW + 300 * tick
        east, west = ("0.80", "0.30") if tick % 2 == 0 else ("0.30", "0.80")
        here = replace(here, sites=(site("east", price=east), site("west", price=west)))
        found = decide(here, now=now)
        if found.action is Action.HOLD:
            continue
        changes += 1
        job = here.workloads[0]
        rows = tuple(
            replace(
                row,
                observed_replicas=found.replicas_of(row.name),
                ready_replicas=found.replicas_of(row.name),
                in_service_replicas=found.replicas_of(row.name),
                engine=engine(pods=2) if found.replicas_of(row.name) else None,
            )
            for row in job.placements
        )
        here = replace(
            here,
            workloads=(
                replace(
                    job, placements=rows, last_change_time=now, moves_today=job.moves_today + 1
                ),
            ),
        )
    assert changes <= 4


# ---- bounds


def test_a_bound_at_the_destination_limits_a_move():
    sites = (site("east", price="0.80"), site("west", price="0.30", limit=700))
    found = decide(snapshot(sites=sites))
    assert counts(found)["west"] <= 1


def test_an_event_to_come_empties_the_feed_without_harm():
    soon = event(start=NOW + 200, end=NOW + 3600, upper=100)
    sites = (site("east", price="0.30", events=(soon,)), site("west", price="0.80"))
    found = decide(snapshot((workload(last_change_time=NOW - 5),), sites))
    assert found.action is Action.MIGRATE
    assert found.reason is Reason.PREPARE_CHANGE
    assert counts(found) == {"east": 0, "west": 2}


def test_what_harms_is_left_to_the_governor_and_said():
    now_on = event(upper=100)
    job = only_scale(placements=(placement("east", 2, engine=engine(20.0, pods=2)),))
    here = plan(snapshot((job,), (site("east", events=(now_on,)),)), NOW)
    assert any("governor" in row for row in here.notes)


def test_a_lower_bound_of_an_event_forbids_what_would_empty_the_feed():
    fill = event(upper=None, lower=2500)
    sites = (site("east", price="0.80", events=(fill,)), site("west", price="0.30"))
    found = decide(snapshot(sites=sites))
    assert counts(found)["east"] >= 5


def test_a_voluntary_event_yields_to_latency_and_a_committed_one_does_not():
    stats = engine(20.0, waiting=20, first_tokens_per_second=1.0)
    job = workload(placements=(placement("east", 6, engine=stats),))
    for firmness, raised in ((Firmness.VOLUNTARY, True), (Firmness.COMMITTED, False)):
        sites = (site("east", events=(event(upper=2700, firmness=firmness),)),)
        assert (sum(counts(decide(snapshot((job,), sites))).values()) > 6) is raised


# ---- people


def person(mode, **more):
    return Override(mode=mode, until_time=NOW + 60, reason="test", requested_by="ann", **more)


def test_hold_pin_and_release_are_obeyed():
    held = decide(snapshot((workload(override=person(OverrideMode.HOLD)),)))
    assert (held.action, held.reason) == (Action.HOLD, Reason.OVERRIDE_HOLD)
    assert "ann" in held.message
    pin = person(OverrideMode.PIN, replicas=(("east", 3), ("west", 4)))
    pinned = decide(snapshot((workload(override=pin),)))
    assert (pinned.action, pinned.reason) == (Action.SCALE_TO, Reason.OVERRIDE_PIN)
    assert counts(pinned) == {"east": 3, "west": 4}
    found = Original(
        placement_name="east", cluster_uid="u", target_uid="t", replicas=8, captured_time=NOW
    )
    freed = decide(snapshot((workload(override=person(OverrideMode.RELEASE), originals=(found,)),)))
    assert (freed.action, freed.reason) == (Action.RESTORE, Reason.OVERRIDE_RELEASE)
    assert counts(freed)["east"] == 8


def test_a_pin_without_a_placement_is_about_the_sum():
    more = person(OverrideMode.PIN, replicas=(("", 8),))
    assert sum(counts(decide(snapshot((workload(override=more),)))).values()) == 8
    fewer = person(OverrideMode.PIN, replicas=(("", 2),))
    assert sum(counts(decide(snapshot((workload(override=fewer),)))).values()) == 2


def test_a_pin_stays_inside_physical_bounds():
    pin = person(OverrideMode.PIN, replicas=(("west", 9),))
    sites = (site("east"), site("west", limit=1300))
    assert counts(decide(snapshot((workload(override=pin),), sites)))["west"] == 2


def test_a_held_site_is_not_touched():
    west = site("west", price="0.10", override=person(OverrideMode.HOLD))
    assert counts(decide(snapshot(sites=(site("east", price="0.80"), west))))["west"] == 0


def test_an_open_hand_over_is_waited_for():
    move = hand_over()
    found = decide(snapshot((workload(intent=move),)))
    assert (found.action, found.reason) == (Action.HOLD, Reason.MOVE_IN_PROGRESS)
    assert counts(found) == {"east": 0, "west": 2}


@pytest.mark.parametrize(
    ("more", "action", "reason"),
    [
        ({"accepted": False}, Action.HOLD, Reason.NOT_ACCEPTED),
        ({"originals_known": False}, Action.HOLD, Reason.ORIGINALS_UNKNOWN),
        ({"deleting": True}, Action.HOLD, Reason.RELEASED),
    ],
)
def test_objects_that_may_not_be_planned(more, action, reason):
    found = decide(snapshot((workload(**more),)))
    assert (found.action, found.reason) == (action, reason)


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_gets_full_decisions(mode):
    assert decide(snapshot((workload(mode=mode),), mode=mode)).action is Action.MIGRATE


def test_workloads_that_act_come_before_those_that_only_watch():
    watch = tuple(workload(f"a-{i}", mode=Mode.OBSERVE) for i in range(3))
    found = decide(snapshot((*watch, workload("z"))), "team/z")
    assert found.action is Action.MIGRATE


# ---- batch


def east(now="0.80", later="0.30", start=NOW + 1800):
    return site("east", feed=connection(price=quote(now), price_ahead=((start, quote(later)),)))


def test_batch_waits_for_cheaper_power_and_says_until_when():
    here = plan(snapshot((batch(),), (east(),)), NOW)
    found = here.decisions[0]
    assert (found.action, found.reason) == (Action.PAUSE, Reason.EXPENSIVE_POWER)
    assert counts(found) == {"east": 0}
    assert here.next_wake_time == NOW + 1800


def test_a_pause_leaves_the_least_count_that_the_owner_set():
    found = decide(snapshot((batch(min_replicas=1),), (east(),)), "team/nightly")
    assert (found.action, counts(found)) == (Action.PAUSE, {"east": 1})
    again = decide(snapshot((batch(replicas=1, min_replicas=1),), (east(),)), "team/nightly")
    assert again.action is Action.HOLD


def test_paused_batch_stays_paused_with_its_reason():
    found = decide(snapshot((batch(replicas=0),), (east(),)), "team/nightly")
    assert (found.action, found.reason) == (Action.HOLD, Reason.EXPENSIVE_POWER)


def test_batch_resumes_when_power_is_cheap():
    found = decide(snapshot((batch(replicas=0),), (east("0.30", "0.80"),)), "team/nightly")
    assert (found.action, found.reason) == (Action.RESUME, Reason.CHEAPER_POWER)
    assert counts(found) == {"east": 4}


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (batch(replicas=0, backlog=None), Reason.DEMAND_GROWTH),
        (
            batch(replicas=0, deadline_time=NOW + 3600.0, units_per_replica_hour=250.0),
            Reason.DEADLINE,
        ),
        (batch(replicas=0, max_pause_seconds=600, paused_since_time=NOW - 600), Reason.DEADLINE),
    ],
)
def test_batch_runs_at_any_price_when_it_must(job, reason):
    found = decide(snapshot((job,), (east(),)), "team/nightly")
    assert (found.action, found.reason) == (Action.RESUME, reason)


def test_batch_with_time_to_spare_waits_for_the_cheap_hours():
    job = batch(deadline_time=NOW + 86_400.0, units_per_replica_hour=250.0)
    assert decide(snapshot((job,), (east(),)), "team/nightly").action is Action.PAUSE


def test_an_empty_backlog_pauses():
    found = decide(snapshot((batch(backlog=0.0),), (east("0.3", "0.8"),)), "team/nightly")
    assert (found.action, found.reason) == (Action.PAUSE, Reason.CONSOLIDATION)


def test_batch_that_may_not_pause_runs_on():
    job = batch(actions=(Allowed.SCALE,))
    assert decide(snapshot((job,), (east(),)), "team/nightly").action is Action.HOLD


def test_a_flat_price_pauses_nothing():
    found = decide(snapshot((batch(),), (east("0.5", "0.5"),)), "team/nightly")
    assert (found.action, found.reason) == (Action.HOLD, Reason.NOTHING_TO_GAIN)


@pytest.mark.parametrize(
    ("replicas", "surplus"), [(4, 0.0), (0, 100_000.0)], ids=["running", "paused"]
)
def test_batch_on_own_supply_is_judged_by_the_price_of_its_own_watts(replicas, surplus):
    """Its own load uses the surplus up: the price of the next watt would stop and start it."""
    now = quote("0.60", direct="0.20", own_up=surplus > 0)
    here = site(
        "east",
        feed=connection(price=now, price_ahead=((NOW + 1800, quote("0.40")),)),
        supplies=(supply(100_000.0),),
    )
    found = decide(snapshot((batch(replicas=replicas),), (here,)), "team/nightly")
    assert found.action in (Action.HOLD, Action.RESUME)
    assert sum(counts(found).values()) == 4


def test_a_pause_for_money_lasts_at_least_the_dwell():
    job = batch(replicas=0, last_change_time=NOW - 60, min_dwell_seconds=900)
    found = decide(snapshot((job,), (east("0.30", "0.80"),)), "team/nightly")
    assert (found.action, found.reason) == (Action.HOLD, Reason.WITHIN_DWELL)
    late = batch(
        replicas=0,
        last_change_time=NOW - 60,
        min_dwell_seconds=900,
        deadline_time=NOW + 3600.0,
        units_per_replica_hour=250.0,
    )
    assert decide(snapshot((late,), (east(),)), "team/nightly").reason is Reason.DEADLINE


def test_batch_resumes_only_inside_the_bounds():
    capped = site("east", limit=1300, price="0.30")
    assert counts(decide(snapshot((batch(replicas=0),), (capped,)), "team/nightly"))["east"] == 2


def test_work_without_an_outside_dispatcher_is_never_paused_to_zero():
    job = batch(external_dispatch=False)
    found = decide(snapshot((job,), (east(),)), "team/nightly")
    assert sum(counts(found).values()) >= 1


# ---- the plan as a whole


def test_the_plan_says_power_bounds_and_prices_of_every_site():
    here = plan(snapshot(), NOW)
    row = next(row for row in here.sites if row.site_name == "east")
    assert row.upper_watts == 1_000_000
    assert row.shadow_price_per_kilowatt_hour == pytest.approx(0.8)
    assert row.estimated_watts is not None


def test_the_plan_wakes_at_the_next_boundary():
    soon = event(start=NOW + 1000, end=NOW + 5000)
    feed = connection(price=quote("0.8", next_change=NOW + 700))
    sites = (site("east", feed=feed, events=(soon,)), site("west"))
    assert plan(snapshot(sites=sites), NOW).next_wake_time == NOW + 700
    stale = signal("p", Quantity.ENERGY_PRICE, 1.0, on_stale=OnStale.HOLD)
    assert (
        plan(snapshot(sites=(site("east", signals=(stale,)), site("west"))), NOW).next_wake_time
        is None
    )


def test_prices_that_last_less_than_a_tick_ask_for_no_plan_of_their_own():
    """One-minute prices: 288 plans a day, not 1,440."""
    minutes = tuple((NOW + 60 * k, quote(f"0.{k}")) for k in range(1, 9))
    feed = connection(price=quote("0.8", next_change=NOW + 60), price_ahead=minutes)
    sites = (site("east", feed=feed), site("west"))
    assert plan(snapshot(sites=sites), NOW).next_wake_time == NOW + 480, "it has no end"
    hours = (*minutes, (NOW + 3600, quote("0.9")), (NOW + 3660, quote("0.5")))
    feed = replace(feed, price_ahead=hours)
    sites = (site("east", feed=feed), site("west"))
    assert plan(snapshot(sites=sites), NOW).next_wake_time == NOW + 480


def test_firm_and_important_workloads_get_room_first():
    def hungry(name, tier, priority=0):
        row = placement("east", 1, engine=engine(26.0, pods=1))
        return workload(name, (row,), tier=tier, priority=priority)

    jobs = (hungry("a", Tier.HIGH), hungry("b", Tier.FIRM), hungry("c", Tier.FIRM, 9))
    # power now 3 x 550 (the estimate of a busy replica plus a tenth), room for two replicas
    here = plan(snapshot(jobs, (site("east", limit=3300),)), NOW)
    raised = {row.workload_key: counts(row)["east"] for row in here.decisions}
    assert raised["team/c"] == 3
    assert raised["team/a"] == 1


def test_readings_in_the_builder_are_fresh():
    assert reading(1.0).valid_until > NOW
