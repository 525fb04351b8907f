"""Goals of whole fleets: limits, order, prices known ahead, and rest once all is carried out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.core.build import (
    NOW,
    connection,
    engine,
    event,
    placement,
    quote,
    site,
    snapshot,
    supply,
    workload,
)
from tests.core.fleet import routed_world as routed
from wattshift.core.contract.model import Basis
from wattshift.core.contract.quote import DemandTerm
from wattshift.core.decision import Action
from wattshift.core.fleet.goal import goals, objective
from wattshift.core.fleet.limits import room_ahead
from wattshift.core.model import AcceleratorState, Settings
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import survey

NAMES = ("a", "b", "c")
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def gpus(count):
    return (AcceleratorState(resource_name="nvidia.com/gpu", profile_name="h100", count=count),)


@st.composite
def fleets(draw, busiest=4):
    """Three sites with different prices and devices, up to `busiest` workloads standing at one."""
    prices = [draw(st.sampled_from(["0.10", "0.30", "0.50", "0.80"])) for _ in NAMES]
    room = [draw(st.integers(12, 40)) for _ in NAMES]
    feeds = [draw(st.sampled_from([6_000, 20_000, 1_000_000])) for _ in NAMES]
    sites = tuple(
        site(name, feed=connection(limit=feed, price=quote(price)), accelerators=gpus(count))
        for name, price, count, feed in zip(NAMES, prices, room, feeds, strict=True)
    )
    jobs = []
    for i in range(draw(st.integers(1, busiest))):
        home, count = draw(st.sampled_from(NAMES)), draw(st.integers(1, 3))
        load = count * draw(st.floats(2.0, 11.0))
        rows = tuple(
            placement(
                name,
                count if name == home else 0,
                engine=engine(load, pods=count) if name == home else None,
                max_replicas=draw(st.integers(3, 8)),
            )
            for name in NAMES
        )
        jobs.append(workload(f"w{i}", rows))
    return snapshot(
        tuple(jobs), sites, settings=Settings(reporting_currency="CNY", max_actions_per_site=99)
    )


@FEW
@given(fleets())
def test_goals_are_whole_replicas_within_what_a_workload_may_have(here):
    world = survey(here, NOW)
    found = goals(world, world.jobs)
    assert found is not None
    for job in world.jobs:
        goal = found.by_key[job.key]
        for spot in job.spots:
            count = goal.vector[spot.index]
            assert isinstance(count, int)
            assert spot.state.min_replicas <= count <= spot.state.max_replicas
        carries = sum(n * spot.capacity for n, spot in zip(goal.vector, job.spots, strict=True))
        assert carries + goal.unserved >= job.need - 1e-2


@FEW
@given(fleets())
def test_no_decision_takes_more_than_there_is(here):
    devices = dict.fromkeys(NAMES, 0)
    for decision in plan(here, NOW).decisions:
        stands = {row.placement_name: row.replicas for row in decision.basis}
        for row in decision.targets:
            devices[row.placement_name] += max(row.replicas, stands[row.placement_name])
    for row in here.sites:
        assert devices[row.name] <= row.accelerators[0].count


@FEW
@given(fleets())
def test_the_bound_is_below_what_is_planned_and_below_staying(here):
    world = survey(here, NOW)
    found = goals(world, world.jobs)
    assert found is not None
    staying = objective(found, {job.key: job.vector for job in world.jobs}, {})
    aimed = objective(found, {key: row.vector for key, row in found.by_key.items()}, {})
    assert found.bound_per_hour <= staying + 1e-6
    if all(row.unserved == 0 for row in found.by_key.values()):
        assert found.bound_per_hour <= aimed + 1e-6


@FEW
@given(fleets())
def test_order_of_workloads_and_sites_changes_nothing(here):
    turned = replace(
        here, sites=tuple(reversed(here.sites)), workloads=tuple(reversed(here.workloads))
    )
    assert plan(here, NOW).decisions == plan(turned, NOW).decisions


@FEW
@given(fleets(), st.sampled_from(["0.01", "100"]))
def test_the_currency_of_the_report_changes_no_goal(here, rate):
    other = replace(
        here,
        settings=Settings(
            reporting_currency="EUR", exchange_rates=(("CNY", rate),), max_actions_per_site=99
        ),
    )

    def vectors(snap):
        world = survey(snap, NOW)
        found = goals(world, world.jobs)
        return {key: row.vector for key, row in found.by_key.items()}

    assert vectors(here) == vectors(other)


def carried_out(here, made, seconds=7200.0):
    """The world when all of a plan was done and its moves have ended."""
    now = here.grid_time + seconds
    jobs = []
    for job in here.workloads:
        decision = next(row for row in made.decisions if row.workload_key == job.key)
        load = sum(row.engine.concurrency for row in job.placements if row.engine)
        counts = {row.placement_name: row.replicas for row in decision.targets}
        total = sum(counts.values())
        rows = tuple(
            replace(
                row,
                observed_replicas=counts[row.name],
                ready_replicas=counts[row.name],
                in_service_replicas=counts[row.name],
                engine=engine(load * counts[row.name] / total, pods=counts[row.name])
                if counts[row.name]
                else None,
            )
            for row in job.placements
        )
        changed = decision.action is not Action.HOLD
        jobs.append(
            replace(job, placements=rows, last_change_time=here.grid_time if changed else None)
        )
    return replace(here, grid_time=now, workloads=tuple(jobs))


@FEW
@given(fleets(busiest=3))
def test_once_carried_out_a_plan_leads_to_rest(here):
    for _ in range(8):
        made = plan(here, here.grid_time)
        if all(row.action is Action.HOLD for row in made.decisions):
            break
        here = carried_out(here, made)
    else:
        raise AssertionError("it never comes to rest")
    again = plan(carried_out(here, made), here.grid_time + 7200.0)
    assert all(row.action is Action.HOLD for row in again.decisions)


@pytest.mark.parametrize("dearer", ["0.35", "0.60", "2.00"])
def test_a_dearer_site_gets_no_more(dearer):
    def at_west(price):
        sites = (site("east", price="0.80"), site("west", price=price))
        world = survey(snapshot(sites=sites), NOW)
        found = goals(world, world.jobs)
        return found.by_key["team/chat"].vector[1]

    assert at_west(dearer) <= at_west("0.30")


def test_two_workloads_share_a_cheap_site_that_holds_one():
    jobs = tuple(
        workload(name, (placement("a", 2, engine=engine(22.0, pods=2)), placement("b", 0)))
        for name in ("x", "y")
    )
    sites = (site("a", price="0.80"), site("b", price="0.30", accelerators=gpus(2)))
    world = survey(snapshot(jobs, sites), NOW)
    found = goals(world, world.jobs)
    assert sum(row.vector[1] for row in found.by_key.values()) <= 2
    assert found.device_shadow["b", "nvidia.com/gpu"] > 0


def two_at_a(**changed):
    """Two workloads at a dear site, room for one at the cheap one; `changed` is of the first."""
    rows = (placement("a", 2, engine=engine(22.0, pods=2)), placement("b", 0))
    jobs = (workload("x", rows, **changed), workload("y", rows))
    sites = (site("a", price="0.80"), site("b", price="0.30", accelerators=gpus(2)))
    return snapshot(jobs, sites)


def test_the_others_are_planned_around_a_workload_that_dwells():
    for first, second in ((NOW - 60, 2), (NOW - 7_200, None)):
        here = two_at_a(last_change_time=first, min_dwell_seconds=1_800)
        found = goals(survey(here, NOW), survey(here, NOW).jobs)
        rows = [found.by_key[f"team/{name}"].vector for name in ("x", "y")]
        assert sum(row[1] for row in rows) == 2
        if second is not None:
            assert rows == [(2, 0), (0, second)]


def test_the_bound_knows_that_a_workload_dwells():
    rows = (placement("a", 2, engine=engine(22.0, pods=2)), placement("b", 0))
    sites = (site("a", price="0.80"), site("b", price="0.30", accelerators=gpus(2)))

    def planned(changed):
        job = workload("x", rows, last_change_time=changed, min_dwell_seconds=1_800)
        return plan(snapshot((job,), sites), NOW)

    free, dwells = planned(None), planned(NOW - 60)
    assert dwells.bound_per_hour > 1.1 * free.bound_per_hour
    assert dwells.objective_per_hour == pytest.approx(dwells.bound_per_hour, rel=1e-3)


@pytest.mark.parametrize("change", ["owes", "over"])
def test_a_dwell_holds_nobody_who_owes_capacity_or_stands_over_a_limit(change):
    here = two_at_a(last_change_time=NOW - 60, min_dwell_seconds=1_800)
    rows = (placement("a", 2, engine=engine(40.0 if change == "owes" else 22.0, pods=2)),)
    first = replace(here.workloads[0], placements=(*rows, here.workloads[0].placements[1]))
    feed = connection(limit=1_500 if change == "over" else 1_000_000, price=quote("0.80"))
    sites = (site("a", feed=feed), here.sites[1])
    world = survey(replace(here, workloads=(first, here.workloads[1]), sites=sites), NOW)
    found = goals(world, world.jobs)
    assert not found.fleet.problem.held.any()


def test_a_cheap_window_that_is_known_is_prepared_and_one_that_ends_is_not_entered():
    def west(now, later, at):
        feed = connection(price=quote(now), price_ahead=((NOW + at, quote(later)),))
        world = survey(snapshot(sites=(site("east", price="0.50"), site("west", feed=feed))), NOW)
        return goals(world, world.jobs).by_key["team/chat"].vector[1]

    assert west("0.40", "0.40", 3600) > 0
    # a minute of cheaper power does not pay for two moves
    assert west("0.48", "5.00", 60) == 0


def test_own_supply_attracts_as_much_as_it_feeds():
    def west(watts):
        feed = connection(price=quote("0.80", direct="0.05", own_up=True))
        here = snapshot(
            sites=(
                site("east", price="0.50"),
                site("west", feed=feed, supplies=(supply(watts),)),
            )
        )
        world = survey(here, NOW)
        return goals(world, world.jobs).by_key["team/chat"].vector[1]

    assert west(50_000.0) == 2
    assert west(0.0) == 0


def test_nothing_to_choose_needs_no_solver():
    lone = workload(placements=(placement("east", 2, engine=engine(20.0, pods=2)),))
    world = survey(snapshot((lone,)), NOW)
    assert goals(world, world.jobs) is None
    assert plan(snapshot((lone,)), NOW).bound_per_hour is None


@pytest.mark.parametrize("price", ["0.25", "-0.30"])
def test_the_bound_holds_on_own_supply_and_at_negative_prices(price):
    feed = connection(price=quote(price, direct="0.05", own_up=True))
    rows = (placement("a", 0), placement("c", 8, engine=engine(20.0, pods=8)))
    here = snapshot(
        (workload(placements=rows),),
        (site("a", price="0.25"), site("c", feed=feed, supplies=(supply(2_500.0),))),
    )
    made = plan(here, NOW)
    assert made.bound_per_hour is not None
    assert made.objective_per_hour >= made.bound_per_hour - 1e-9


def test_what_own_supply_does_not_reach_is_served_from_the_grid():
    # the same everywhere: nothing but the difference to the grid tells costs apart
    feed = connection(price=quote("0.80", direct="0.05", own_up=True))
    rows = tuple(site(name, feed=feed, supplies=(supply(1000.0),)) for name in ("east", "west"))
    job = workload(
        placements=(placement("east", 6, engine=engine(66.0, pods=6)), placement("west", 0))
    )
    world = survey(snapshot((job,), rows), NOW)
    (found,) = goals(world, world.jobs).by_key.values()
    assert found.unserved == 0


@pytest.mark.parametrize("spike", ["1000", "1e6", "1e30", "-1000", "1e300"])
def test_a_price_beyond_all_sense_leaves_the_others_apart(spike):
    rows = tuple(
        placement(
            name, 2 if name == "a" else 0, engine=engine(22.0, pods=2) if name == "a" else None
        )
        for name in ("a", "b", "c", "d")
    )
    prices = {"a": "0.80", "b": "0.30", "c": "0.32", "d": spike}
    world = survey(
        snapshot((workload(placements=rows),), tuple(site(n, price=p) for n, p in prices.items())),
        NOW,
    )
    (found,) = goals(world, world.jobs).by_key.values()
    assert found.unserved == 0
    assert found.vector == ((0, 0, 0, 2) if spike.startswith("-") else (0, 2, 0, 0))


@pytest.mark.parametrize("many", [1000, 380_000])
def test_a_small_workload_beside_a_huge_one_is_placed_exactly(many):
    def job(name, count):
        load = engine(count * 11.5, pods=count)
        rows = (placement("a", count, engine=load), placement("b", 0))
        return workload(name, tuple(replace(row, max_replicas=2 * many) for row in rows))

    sites = tuple(
        site(name, price=price, limit=None, accelerators=())
        for name, price in (("a", "0.80"), ("b", "0.30"))
    )
    world = survey(snapshot((job("small", 1), job("vast", many)), sites), NOW)
    found = goals(world, world.jobs)
    assert found.by_key["team/small"].vector == (0, 1)
    assert found.by_key["team/vast"].vector[0] == 0


def test_bound_and_plan_are_told_without_users_who_have_no_room():
    # only a serves, and the south cannot reach it; nothing may be raised
    full = routed.sites(
        ("0.80", "0.30", "0.80"), b={"accelerators": gpus(0)}, c={"accelerators": gpus(0)}
    )
    less = plan(routed.world(routed.chat((6, 0, 0)), full), NOW)
    assert less.bound_per_hour is not None
    assert less.objective_per_hour >= less.bound_per_hour - 1e-9
    assert less.objective_per_hour < 1.2 * less.bound_per_hour
    assert any("no room: 36.0 sequences with head room" in row for row in less.notes)
    assert less.decisions[0].reason is not Reason.DEMAND_GROWTH


def test_a_workload_without_room_takes_no_bound_from_the_others():
    stuck = workload("stuck", (placement("east", 1, engine=engine(99.0, pods=1), max_replicas=1),))
    stuck = replace(stuck, placements=(*stuck.placements, placement("west", 0, max_replicas=1)))
    alone, both = (plan(snapshot(jobs), NOW) for jobs in ((workload(),), (workload(), stuck)))
    assert both.bound_per_hour > alone.bound_per_hour
    assert both.objective_per_hour >= both.bound_per_hour - 1e-9


def test_what_stands_over_a_limit_makes_no_plan_look_better_than_its_bound():
    # three replicas are kept where a feed bears none; the optimum is without them
    kept = placement("b", 3, engine=engine(30.0, pods=3), min_replicas=3)
    rows = (placement("a", 0), kept)
    sites = (site("a", price="0.80"), site("b", price="0.30", limit=0))
    made = plan(snapshot((workload(placements=rows),), sites), NOW)
    assert made.bound_per_hour is None
    assert any(row.startswith("no bound: what stands") for row in made.notes)
    assert all(row.limit_price_per_kilowatt_hour is None for row in made.sites)


def test_those_whom_no_replica_serves_yet_count_as_where_they_will_be_served():
    # the south has to wait for replicas: the plan is no better for leaving it out meanwhile
    made = plan(routed.world(routed.chat((6, 0, 0))), NOW)
    assert made.bound_per_hour is not None
    assert made.objective_per_hour >= made.bound_per_hour - 1e-9


def test_what_nobody_may_touch_uses_up_watts_and_devices_of_its_site():
    held = (
        placement("east", 2, engine=engine(22.0, pods=2)),
        placement("north", 0),
        placement("west", 2, engine=engine(22.0, pods=2), rival=True),
    )
    free = (placement("east", 4, engine=engine(44.0, pods=4)), placement("west", 0))
    jobs = (workload("held", held), workload("free", free))

    def west(**more):
        sites = (
            site("east", price="0.80"),
            site("north", price="0.80"),
            site("west", price="0.30", **more),
        )
        world = survey(snapshot(jobs, sites), NOW)
        return goals(world, world.jobs).by_key["team/free"].vector[1]

    # two replicas that draw 1020 W stay there, 1122 W in doubt
    assert west(limit=1900) == 1
    assert west(accelerators=gpus(3)) == 1
    assert west() >= 4


@pytest.mark.parametrize(("limit", "moved"), [(700, 1), (1300, 2), (2000, 3), (3000, 5)])
def test_as_many_replicas_move_as_the_optimum_has_at_the_cheaper_site(limit, moved):
    rows = (placement("east", 6, engine=engine(66.0, pods=6)), placement("west", 0))
    sites = (site("east", price="0.80"), site("west", price="0.30", limit=limit))
    made = plan(snapshot((workload(placements=rows),), sites), NOW)
    assert {row.placement_name: row.replicas for row in made.decisions[0].targets} == {
        "east": 6 - moved,
        "west": moved,
    }
    assert made.objective_per_hour < 1.15 * made.bound_per_hour


def peaked(binding, rate="40"):
    """A cheap feed whose billed peak of the month stands at `binding`."""
    term = DemandTerm(
        component="maxDemand",
        basis=Basis.IMPORT,
        rate_per_kilowatt=Decimal(rate),
        binding_watts=binding,
        averaging_minutes=15,
        probability=Decimal(1),
        probability_source="PeriodSoFar",
        in_window=True,
        level_watts=0,
    )
    return connection(price=replace(quote("0.30"), demand_terms=(term,)))


@pytest.mark.parametrize("binding", [700, 1300, 2000, 3000])
def test_moves_to_a_cheaper_site_set_no_new_billed_peak_there(binding):
    rows = (placement("east", 6, engine=engine(66.0, pods=6)), placement("west", 0))

    def west(rate):
        sites = (site("east", price="0.80"), site("west", feed=peaked(binding, rate)))
        made = plan(snapshot((workload(placements=rows),), sites), NOW)
        return made.decisions[0].targets[1].replicas

    assert west("0.01") == 6
    assert 1 <= west("40")
    assert 510 * west("40") <= binding


def test_a_peak_that_no_place_can_avoid_changes_no_choice():
    rows = (placement("east", 6, engine=engine(66.0, pods=6)), placement("west", 0))
    dear = peaked(0)
    dear = replace(dear, price=replace(quote("0.80"), demand_terms=dear.price.demand_terms))
    sites = (site("east", feed=dear), site("west", feed=peaked(0)))
    world = survey(snapshot((workload(placements=rows),), sites), NOW)
    found = goals(world, world.jobs)
    assert found.by_key["team/chat"].vector[1] == 6


def test_an_event_to_come_leaves_room_for_what_own_supply_gives():
    def later(*rows):
        dr = event(upper=2000, start=NOW + 3600, end=NOW + 7200)
        world = survey(
            snapshot(sites=(site("east", limit=None, events=(dr,), supplies=rows),)), NOW
        )
        steps = NOW + np.asarray([0.0, 1800.0, 3600.0, 5400.0, 9000.0])
        return room_ahead(world.feeds["east", "feed"], steps)[2]

    assert later(supply(3000.0)) == later() + 3000
    assert later(supply(None)) == later()


def test_what_is_told_more_exactly_changes_no_decision():
    here = two_at_a()
    plain = replace(here, settings=replace(here.settings, told_iterations=0))
    told, less = plan(here, NOW), plan(plain, NOW)
    assert told.decisions == less.decisions
    assert less.bound_per_hour <= told.bound_per_hour + 1e-9
