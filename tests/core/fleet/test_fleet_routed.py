"""Workloads whose entry routes by origin: reach, make before break, calm, and what is owed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import WALL, connection, engine, event, quote, reading, signal
from tests.core.fleet.routed_world import NOW, after, chat, decided, origins, sites, world
from wattshift.core.decision import Action
from wattshift.core.fleet import carry, flow, goal
from wattshift.core.model import AcceleratorState, Settings
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.units import Quantity


def shares(decision, origin):
    return dict(dict(decision.split).get(origin, ()))


def test_cheaper_power_is_raised_first_and_nothing_is_lowered():
    found, counts = decided(world())
    assert found.action is Action.SCALE_TO
    assert found.reason is Reason.CHEAPER_POWER
    # 60 sequences x 1.2 over 14 each
    assert counts == {"a": 3, "b": 6, "c": 3}
    assert "b must serve first" in found.message


def test_the_split_sends_each_origin_where_it_may_go():
    found, _ = decided(world(places=sites(("0.30", "0.80", "0.30"))))
    assert shares(found, "north") == {"a": 1.0}
    assert shares(found, "south") == {"c": 1.0}


def test_raised_replicas_must_be_in_service_before_others_are_lowered():
    here = world()
    found, counts = decided(here)
    waiting, still = decided(
        after(here, counts, serving={"a": 3, "b": 0, "c": 3}, split=found.split)
    )
    assert waiting.action is Action.HOLD
    assert waiting.reason is Reason.MOVE_IN_PROGRESS
    assert still == counts


def starts_elsewhere():
    """a has spare replicas within their dwell; c carries the south, whose load is to go to b."""
    told = (("north", (("a", 1.0),)), ("south", (("c", 1.0),)))
    job = chat((6, 0, 3), split=told, origins=origins(None))
    rows = tuple(
        replace(row, last_write_time=NOW - 10) if row.name == "a" else row for row in job.placements
    )
    return replace(job, placements=rows)


def test_load_that_waits_for_a_replica_is_not_sent_to_others_for_the_time_being():
    _, counts = decided(world(starts_elsewhere()))
    assert counts == {"a": 6, "b": 6, "c": 3}


def test_what_is_over_a_bound_is_lowered_at_once_onto_whoever_serves():
    tight = {"events": (event(upper=1000),)}
    _, counts = decided(world(starts_elsewhere(), sites(c=tight)))
    assert counts["c"] == 0


def test_others_are_not_lowered_while_a_cluster_has_yet_to_act_on_the_raised_count():
    here = world()
    found, counts = decided(here)
    there = after(here, counts, split=found.split)
    (job,) = there.workloads
    late = tuple(replace(row, controller_lags=row.name == "b") for row in job.placements)
    _, still = decided(replace(there, workloads=(replace(job, placements=late),)))
    assert still == counts
    _, lowered = decided(there)
    assert sum(lowered.values()) < sum(counts.values())


def test_raised_replicas_must_show_requests_where_there_is_demand():
    here = world()
    found, counts = decided(here)
    # in service, but the entry has not followed yet
    idle = after(here, counts, split=(("north", (("a", 1.0),)), ("south", (("c", 1.0),))))
    rows = tuple(
        replace(row, engine=engine(0.0, pods=6, good=0, running=0, requests_per_second=0.0))
        if row.name == "b"
        else row
        for row in idle.workloads[0].placements
    )
    idle = replace(idle, workloads=(replace(idle.workloads[0], placements=rows),))
    waiting, still = decided(idle)
    assert still == counts
    assert waiting.action is Action.HOLD


def test_the_source_is_lowered_when_the_destination_serves_and_then_all_is_quiet():
    here = world()
    found, counts = decided(here)
    then = after(here, counts, split=found.split)
    lowered, left = decided(then)
    assert (lowered.action, lowered.reason) == (Action.SCALE_TO, Reason.CONSOLIDATION)
    assert left == {"a": 0, "b": 6, "c": 0}
    last = after(then, left, split=lowered.split)
    for later in (300, 3600, 7200):
        quiet, same = decided(replace(last, grid_time=last.grid_time + later))
        assert quiet.action is Action.HOLD
        assert same == left


def test_capacity_is_owed_by_region_not_in_sum():
    job = chat((1, 0, 6), (30.0, 10.0))
    found, counts = decided(world(job, sites(("0.80", "0.70", "0.30"))))
    assert found.reason is Reason.DEMAND_GROWTH
    # the south's spare replicas do not help the north
    assert (counts["a"] + counts["b"]) * 14 >= 36
    assert counts["c"] >= 1


def test_what_is_owed_waits_for_no_dwell_and_no_budget_of_moves():
    job = chat((1, 0, 6), (30.0, 10.0), moved_share_today=99.0)
    rows = tuple(replace(row, last_write_time=NOW - 10) for row in job.placements)
    found, counts = decided(world(replace(job, placements=rows)))
    assert found.reason is Reason.DEMAND_GROWTH
    assert (counts["a"] + counts["b"]) * 14 >= 36


def test_a_load_that_trembles_starts_nothing():
    # 36 are needed with head room and 35 are there; half of the head room is slack
    places = sites(("0.80", "0.80", "0.80"))
    found, _ = decided(world(chat((3, 0, 3), (35.0 * 1.05, 30.0)), places))
    assert found.action is Action.HOLD


def test_moves_of_a_day_are_counted_in_shares_of_the_load():
    found, counts = decided(world(chat(moved_share_today=6.0)))
    assert (found.action, found.reason) == (Action.HOLD, Reason.MOVES_EXHAUSTED)
    assert counts == {"a": 3, "b": 0, "c": 3}
    unknown, _ = decided(world(chat(moved_share_today=None, moves_today=6)))
    assert unknown.reason is Reason.MOVES_EXHAUSTED


def shared(made, counts=(3, 6, 3)):
    """b runs too, is cheaper and shows requests; north and south are told to stay at a and c."""
    told = (("north", (("a", 1.0),)), ("south", (("c", 1.0),)))
    job = chat(counts, moved_share_today=made, split=told)
    rows = tuple(
        replace(row, engine=engine(1.0, pods=counts[1])) if row.name == "b" else row
        for row in job.placements
    )
    return replace(job, placements=rows)


@pytest.mark.parametrize(("made", "stays"), [(0.0, False), (6.0, True)])
def test_once_the_days_moves_are_used_up_no_traffic_follows_the_price(made, stays):
    """Neither by the split nor by what is lowered."""
    found, counts = decided(world(shared(made)))
    share = dict(dict(found.split)["north"]).get("a", 0.0)
    assert (share > 0.9) is stays
    assert (counts["a"] == 3) is stays


def test_load_leaves_what_stops_although_the_days_moves_are_used_up():
    """Without c the south still reaches b."""
    told = (("north", (("a", 1.0),)), ("south", (("c", 1.0),)))
    job = chat((3, 6, 0), moved_share_today=6.0, split=told)
    found, _ = decided(world(job))
    assert dict(dict(found.split)["south"]).get("b", 0.0) > 0.99


def test_a_placement_written_within_the_dwell_is_not_changed_for_money():
    job = chat()
    rows = tuple(
        replace(row, last_write_time=NOW - 10) if row.name == "b" else row for row in job.placements
    )
    found, counts = decided(world(replace(job, placements=rows)))
    assert counts["b"] == 0


def test_what_was_lowered_within_the_dwell_is_lowered_further_as_load_leaves_it():
    """a carries nothing any more: its last two replicas go now, not after the dwell."""
    told = (("north", (("b", 1.0),)), ("south", (("c", 1.0),)))
    job = chat((2, 6, 3), min_dwell_seconds=3_600, split=told)
    idle = engine(concurrency=0.0, running=0, requests_per_second=0.0)

    def left(*, lowered_last: bool) -> int:
        rows = tuple(
            replace(row, engine=idle, last_write_time=NOW - 300, lowered_last=lowered_last)
            if row.name == "a"
            else row
            for row in job.placements
        )
        return decided(world(replace(job, placements=rows)))[1]["a"]

    assert left(lowered_last=True) < 2
    assert left(lowered_last=False) == 2, "raised within the dwell: it is not turned back for money"


def test_a_write_of_before_the_clock_was_set_back_freezes_nothing():
    job = chat()
    rows = tuple(replace(row, last_write_time=NOW + 86_400) for row in job.placements)
    _, counts = decided(world(replace(job, placements=rows)))
    assert counts["b"] == 6


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity"])
def test_a_price_that_is_no_number_is_no_place_to_go_and_spoils_no_bound(price):
    here = world(places=sites(("0.80", "0.80", "0.30")), job=chat(origins=origins(None)))
    odd = replace(
        here,
        sites=tuple(
            replace(row, connections=(connection(price=quote(price)),)) if row.name == "b" else row
            for row in here.sites
        ),
    )
    found, counts = decided(odd)
    assert counts["b"] == 0
    assert counts["c"] > 3
    made = plan(odd, NOW)
    assert 0 < made.bound_per_hour <= made.objective_per_hour


def test_a_veto_stops_what_lowers():
    here = world()
    found, counts = decided(here)
    then = after(here, counts, split=found.split)
    job = then.workloads[0]
    rows = tuple(
        replace(row, veto_wall_time=WALL + 290) if row.name == "b" else row
        for row in job.placements
    )
    _, left = decided(replace(then, workloads=(replace(job, placements=rows),)))
    assert left == counts


def test_a_saving_must_pay_back_while_the_difference_is_known_to_last():
    def ahead(minutes):
        back = ((NOW + 60 * minutes, quote("0.80")), (NOW + 86_400, quote("0.80")))
        near = {"feed": connection(price=quote("0.74"), price_ahead=back)}
        return decided(world(chat(counts=(3, 0, 3), min_dwell_seconds=300), sites(b=near)))[0]

    assert ahead(20).action is Action.HOLD
    assert ahead(600).action is Action.SCALE_TO


def test_the_head_room_that_is_lost_is_no_saving():
    found, _ = decided(world(chat((3, 0, 3), (36.0, 36.0)), sites(("0.8", "0.8", "0.8"))))
    assert found.action is Action.HOLD


def test_a_placement_is_filled_to_its_maximum_and_the_rest_stays():
    job = chat()
    rows = tuple(replace(row, max_replicas=2) if row.name == "b" else row for row in job.placements)
    found, counts = decided(world(replace(job, placements=rows)))
    assert counts["b"] <= 2


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_free_accelerators_limit_what_is_raised(gpus):
    few = AcceleratorState(resource_name="nvidia.com/gpu", profile_name="h100", count=gpus)
    _, counts = decided(world(places=sites(b={"accelerators": (few,)})))
    assert counts["b"] <= gpus


def test_a_feed_limits_what_is_raised():
    low = {"feed": connection(limit=1300, price=quote("0.30"))}
    _, counts = decided(world(places=sites(b=low)))
    assert counts["b"] <= 2


def test_an_announced_event_is_left_before_it_starts():
    def raised(seconds):
        soon = event(start=NOW + seconds, end=NOW + 9000, upper=100, active=False)
        feed = {"feed": connection(price=quote("0.30")), "events": (soon,)}
        return decided(world(chat((0, 6, 0)), sites(b=feed)))

    # replicas elsewhere take two minutes to start, and the next plan is five minutes away
    found, counts = raised(400)
    assert found.reason is Reason.PREPARE_CHANGE
    assert counts == {"a": 3, "b": 6, "c": 3}
    assert raised(3000)[0].action is Action.HOLD


def test_an_unknown_price_is_no_place_to_go():
    unknown = {"feed": connection(price=quote(None))}
    _, counts = decided(world(places=sites(b=unknown)))
    assert counts["b"] == 0


def test_carbon_moves_load_when_it_has_a_price():
    coal = {"signals": (signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 900.0),)}
    wind = {"signals": (signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 20.0),)}
    same = sites(("0.50", "0.50", "0.50"), a=coal, b=wind, c=coal)
    priced = Settings(reporting_currency="CNY", carbon_price_per_tonne="800")
    assert decided(world(places=same))[1]["b"] == 0
    found, counts = decided(world(places=same, settings=priced))
    assert found.reason is Reason.GREENER_POWER
    assert counts["b"] > 0


@pytest.mark.parametrize("shares_", [(500, 500), (100, 100), (1, 1), (0, 0)])
def test_users_whom_no_share_names_are_served_too(shares_):
    rows = tuple(
        replace(row, share_permille=share) for row, share in zip(origins(), shares_, strict=True)
    )
    job = chat((3, 0, 3), origins=rows, origin_loads=())
    _, counts = decided(world(job, sites(("0.80", "0.80", "0.80"))))
    assert counts == {"a": 3, "b": 0, "c": 3}


def test_load_of_an_origin_that_is_not_declared_is_served_too():
    job = chat(origin_loads=(("north", 15.0), ("south", 15.0), ("elsewhere", 30.0)))
    _, counts = decided(world(job, sites(("0.80", "0.80", "0.80"))))
    assert sum(counts.values()) * 14 >= 60 * 1.1


def test_an_origin_that_may_go_anywhere_does():
    job = chat(origins=origins(None))
    found, counts = decided(world(job, sites(("0.80", "0.80", "0.20"))))
    assert counts["c"] >= 6


def test_the_plan_tells_its_bound_and_is_not_below_it():
    made = plan(world(), NOW)
    assert made.bound_per_hour is not None
    assert made.objective_per_hour is not None
    assert made.objective_per_hour >= made.bound_per_hour - 1e-9
    assert made.horizon_hours == pytest.approx(0.25)


def test_a_full_site_has_a_shadow_price():
    low = {"feed": connection(limit=1300, price=quote("0.30"))}
    rows = {row.site_name: row for row in plan(world(places=sites(b=low)), NOW).sites}
    assert rows["b"].limit_price_per_kilowatt_hour > 0.1
    assert rows["a"].limit_price_per_kilowatt_hour == pytest.approx(0.0, abs=0.05)


def one_that_only_sums(counts=(6, 0, 6), loads=(20.0, 10.0)):
    """More than the sum needs; only a reaches the north, and no KV cache is known."""
    job = chat(counts, loads)
    rows = tuple(
        replace(
            row, engine=None if row.engine is None else replace(row.engine, kv_cache_usage=None)
        )
        for row in job.placements
    )
    return replace(job, placements=rows)


def test_where_the_flow_fails_all_others_are_decided_and_it_is_said(monkeypatch):
    def fails(*_, **__):
        raise ArithmeticError("the flow has no solution")

    monkeypatch.setattr(carry.Carrier, "flow", fails)
    here = world(one_that_only_sums())
    made = plan(here, NOW)
    words = "decided without the optimiser: ArithmeticError: the flow has no solution"
    assert made.notes == (f"team/chat: {words}",)
    assert made.decisions[0].action is Action.HOLD


def test_without_the_optimiser_users_in_need_still_get_capacity(monkeypatch):
    def fails(*_, **__):
        raise ArithmeticError("the flow has no solution")

    monkeypatch.setattr(flow.Routes, "route", fails)
    found, counts = decided(world(chat((1, 0, 1), (30.0, 30.0))))
    assert found.reason is Reason.DEMAND_GROWTH
    assert sum(counts.values()) > 2


def test_without_the_optimiser_nothing_is_lowered_by_the_sum_of_regions(monkeypatch):
    def fails(*_, **__):
        raise ArithmeticError("no prices")

    monkeypatch.setattr(goal, "solve", fails)
    found, counts = decided(world(one_that_only_sums(), sites(("0.80", "0.50", "0.20"))))
    assert (found.action, counts) == (Action.HOLD, {"a": 6, "b": 0, "c": 6})


def test_a_single_placement_that_may_be_touched_is_not_lowered_by_the_sum_of_regions():
    job = one_that_only_sums()
    rows = tuple(row if row.name == "a" else replace(row, rival=True) for row in job.placements)
    _, counts = decided(world(replace(job, placements=rows), sites(("0.80", "0.50", "0.20"))))
    assert counts["a"] == 6


def test_two_plans_of_one_world_are_the_same():
    here = world()
    assert plan(here, NOW) == plan(here, NOW)


def test_the_order_of_sites_and_placements_changes_nothing():
    here = world()
    job = here.workloads[0]
    turned = replace(
        here,
        sites=tuple(reversed(here.sites)),
        workloads=(replace(job, placements=tuple(reversed(job.placements))),),
    )
    assert decided(here)[1] == decided(turned)[1]


@pytest.mark.parametrize("factor", ["0.001", "1000"])
def test_another_currency_changes_no_count(factor):
    rates = Settings(reporting_currency="EUR", exchange_rates=(("CNY", factor),))
    assert decided(world())[1] == decided(world(settings=rates))[1]


def test_replicas_that_carry_little_yet_leave_no_more_room_than_there_is():
    # six at b have just come into service and draw 600 W of 3,000; full ones draw 540 W each
    places = sites(b={"feed": connection(price=quote("0.30"), limit=3000, metered=reading(600.0))})
    job = chat((12, 6, 0), loads=(150.0, 0.0), max_replicas=60)
    _, found = decided(world(job, places))
    assert found["b"] <= 6
