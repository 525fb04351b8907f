"""After an event: by tier, within the ramp, not above what was, and no unpriced peak."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.core.build import (
    NOW,
    Original,
    batch,
    connection,
    engine,
    event,
    placement,
    quote,
    reading,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.contract.model import Basis
from wattshift.core.contract.quote import DemandTerm
from wattshift.core.governor.governor import govern
from wattshift.core.survey.limits import Hardness, limits_of
from wattshift.core.model import Firmness, Tier
from wattshift.core.planner.planner import plan
from wattshift.core.survey.peaks import peak_watts
from wattshift.core.survey.rebound import RECOVERY_SECONDS, TOLERANCE, recovery_watts
from wattshift.core.reasons import Reason
from wattshift.core.power.watts import FacilityTerms

FLAT = FacilityTerms(fixed_watts=0.0, marginal=1.0)


def over(upper=2000, before=4000, ago=60.0, **more):
    values = {"start": NOW - ago - 1800, "end": NOW - ago, "ramp_seconds": 0} | more
    return event(upper=upper, frozen_reference_watts=before, **values)


def found(replicas):
    return Original(
        placement_name="east",
        cluster_uid="u",
        target_uid="t",
        replicas=replicas,
        captured_time=NOW - 9999,
    )


def east(name, replicas, concurrency, **more):
    row = placement("east", replicas, engine=engine(concurrency, pods=replicas))
    return workload(name, (row,), **more)


def held(level, replicas=0, **more):
    rows = (placement("east", replicas, baseline_replicas=level),)
    return batch(replicas=replicas, placements=rows, originals=(found(level),), **more)


def raised(tick):
    return {
        row.workload_key: row.replicas_of("east") - row.basis[0].replicas for row in tick.decisions
    }


# ---- the bound


def test_it_ends_with_the_recovery_time():
    row = over()
    assert recovery_watts(row, (row,), NOW) == pytest.approx(4000 + TOLERANCE * 2000)
    assert recovery_watts(row, (row,), NOW - 60 + RECOVERY_SECONDS) is None
    assert recovery_watts(row, (row,), NOW - 61) is None


def test_it_begins_after_the_ramp():
    row = over(ramp_seconds=600)
    assert recovery_watts(row, (row,), NOW - 60 + RECOVERY_SECONDS + 599) is not None


@pytest.mark.parametrize("row", [over(before=None), over(upper=None, lower=100), event()])
def test_without_a_power_before_there_is_none(row):
    assert recovery_watts(row, (row,), NOW) is None


def test_a_chain_of_events_counts_from_the_power_before_the_first():
    first = over(before=9000, upper=5000, start=NOW - 3600, end=NOW - 1900)
    second = over(before=5000, upper=4000, start=NOW - 1800, end=NOW - 60)
    second = replace(second, name="second")
    rows = (first, second)
    assert recovery_watts(second, rows, NOW) == pytest.approx(9000 + TOLERANCE * 5000)


def test_events_far_apart_are_no_chain():
    first = over(before=9000, upper=5000, start=NOW - 20_000, end=NOW - 19_000)
    second = replace(over(), name="second")
    assert recovery_watts(second, (first, second), NOW) == pytest.approx(4080)


@pytest.mark.parametrize(
    ("firmness", "hardness"),
    [
        (Firmness.MANDATORY, Hardness.COMMITTED),
        (Firmness.COMMITTED, Hardness.COMMITTED),
        (Firmness.VOLUNTARY, Hardness.VOLUNTARY),
    ],
)
def test_the_way_back_is_part_of_the_program_and_breaks_no_floor(firmness, hardness):
    here = site("a", limit=None, events=(over(firmness=firmness),))
    (bound,) = limits_of(here, here.connections[0], FLAT, NOW).recovery
    assert (bound.hardness, bound.reason) == (hardness, Reason.REBOUND_LIMIT)
    # growth stops at it; it is no limit that power can be over
    assert limits_of(here, here.connections[0], FLAT, NOW).upper is None


# ---- who returns


def test_what_was_put_off_returns_up_to_the_power_before():
    # two of six replicas stand for 20 sequences: 1,000 W; the batch had four of 600 W
    jobs = (east("chat", 2, 20.0), held(4))
    here = site("east", limit=None, events=(over(upper=1000, before=2500),))
    assert raised(govern(snapshot(jobs, (here,)), None, NOW)) == {"team/nightly": 2}
    later = govern(snapshot(jobs, (replace(here, events=()),)), None, NOW)
    assert raised(later) == {}  # no event is told of, and there is no plan


def test_a_backlog_of_requests_does_not_bring_more_back_than_there_was():
    job = workload(
        placements=(
            placement(
                "east", 4, engine=engine(56.0, pods=4, waiting=60, first_tokens_per_second=1.0)
            ),
        ),
        originals=(found(6),),
    )
    free = snapshot((job,), (site("east", limit=None),))
    wanted = raised(govern(free, None, NOW))["team/chat"]
    here = site(
        "east", limit=None, events=(over(upper=2200, before=3600, firmness=Firmness.COMMITTED),)
    )
    tick = govern(snapshot((job,), (here,)), None, NOW)
    assert 0 < raised(tick)["team/chat"] <= 2 < wanted


def test_users_outrank_the_recovery_of_a_voluntary_event():
    stats = engine(20.0, pods=4, waiting=20, first_tokens_per_second=1.0)
    job = workload(placements=(placement("east", 4, engine=stats),))
    here = site(
        "east", limit=None, events=(over(upper=500, before=2000, firmness=Firmness.VOLUNTARY),)
    )
    assert raised(govern(snapshot((job,), (here,)), None, NOW))["team/chat"] > 0


def test_firm_work_returns_first():
    jobs = (
        east("high", 2, 46.0, tier=Tier.HIGH),
        east("firm", 2, 46.0, tier=Tier.FIRM),
    )
    # 2,400 W stand; four more of about 400 W are owed, two fit
    here = site(
        "east", limit=None, events=(over(upper=2000, before=3200, firmness=Firmness.COMMITTED),)
    )
    assert raised(govern(snapshot(jobs, (here,)), None, NOW)) == {"team/firm": 2}


def test_the_ramp_of_the_last_minute_counts():
    job = held(6)
    feed = connection(limit=None, price=quote("0.5"), least_watts=0.0)
    jobs = (east("chat", 2, 20.0), job)
    here = site(
        "east", feed=feed, events=(over(upper=1000, before=9000),), ramp_up_watts_per_minute=2200
    )
    # 1,000 W stand now and 0 W did within the minute: 1,200 W of the ramp are left
    assert raised(govern(snapshot(jobs, (here,)), None, NOW)) == {"team/nightly": 2}


def test_the_ramp_down_of_the_last_minute_counts():
    job = east("chat", 8, 20.0)
    feed = connection(limit=None, price=quote("0.5"), most_watts=3800.0)
    row = event(upper=1000, firmness=Firmness.COMMITTED)
    here = site("east", feed=feed, events=(row,), ramp_down_watts_per_minute=1000)
    power = govern(snapshot((job,), (replace(here, events=()),)), None, NOW).sites[0]
    # most of the minute's ramp is used: what stood a minute ago was 3,800 W
    assert power.estimated_watts < 3800
    tick = govern(snapshot((job,), (here,)), None, NOW)
    gone = -raised(tick).get("team/chat", 0)
    assert gone * 400 <= max(0, 1000 - (3800 - power.estimated_watts)) + 1e-6


def test_held_work_returns_during_a_bound_when_there_is_room_and_the_plan_wants_it():
    calm = snapshot((held(4, 4), east("chat", 2, 20.0)), (site("east", limit=None),))
    made = plan(calm, NOW - 400)
    wanted = next(row for row in made.decisions if row.workload_key == "team/nightly")
    assert wanted.replicas_of("east") == 4
    taken = replace(held(4, 1), last_change_time=NOW - 300)
    roomy = site("east", limit=None, events=(event(upper=3600),))
    here = snapshot((taken, east("chat", 2, 20.0)), (roomy,))
    fresh = replace(made, grid_time=NOW - 400, valid_until=NOW + 100)
    assert raised(govern(here, fresh, NOW)).get("team/nightly", 0) > 0
    # not at once, not without a plan, not where the plan itself lowered it
    soon = replace(taken, last_change_time=NOW - 30)
    assert raised(govern(replace(here, workloads=(soon,)), fresh, NOW)) == {}
    assert raised(govern(here, None, NOW)) == {}
    planned_low = replace(taken, last_change_time=NOW - 500)
    assert raised(govern(replace(here, workloads=(planned_low,)), fresh, NOW)) == {}


@pytest.mark.parametrize(("written", "returns"), [(130.0, 0), (600.0, 2)])
def test_held_work_that_serves_since_a_moment_ago_keeps_the_room_it_was_started_for(
    written, returns
):
    # two of four are back and have no work yet: 200 W of the 1,200 that they will draw
    row = placement("east", 2, engine=engine(0.0, pods=2), last_write_time=NOW - written)
    job = batch(replicas=2, placements=(row,), originals=(found(4),))
    here = site("east", limit=None, events=(over(upper=200, before=1600),))
    assert raised(govern(snapshot((job,), (here,)), None, NOW)).get("team/nightly", 0) == returns


def test_held_work_beside_full_replicas_returns_at_what_it_will_draw():
    # two run full at 1,200 W; of the 1,000 W that were drawn before on top one more fits, not two
    row = placement("east", 2, engine=engine(40.0, pods=2))
    job = batch(replicas=2, placements=(row,), originals=(found(4),))
    here = site("east", limit=None, events=(over(upper=1200, before=2200),))
    assert raised(govern(snapshot((job,), (here,)), None, NOW)) == {"team/nightly": 1}


# ---- peaks


def demand(binding, rate="40", in_window=True, basis=Basis.IMPORT):
    return DemandTerm(
        component="peak",
        basis=basis,
        rate_per_kilowatt=Decimal(rate),
        binding_watts=binding,
        averaging_minutes=15,
        probability=Decimal(1),
        probability_source="NoPeakHistory",
        in_window=in_window,
    )


def peaked(*terms):
    return connection(limit=None, price=replace(quote("0.5"), demand_terms=terms))


def quoted(*terms):
    return peaked(*terms).price


def test_the_lowest_peak_that_binds_now_counts():
    assert peak_watts(quoted(demand(5000), demand(3000)), 0.0) == 3000
    assert peak_watts(quoted(demand(5000), demand(3000, in_window=False)), 0.0) == 5000
    assert peak_watts(quoted(demand(0), demand(9000, rate="0")), 0.0) is None
    assert peak_watts(quoted(), 0.0) is None
    assert peak_watts(None, 0.0) is None


def test_own_supply_comes_on_top_of_a_peak_that_is_charged_by_the_import():
    assert peak_watts(quoted(demand(3000)), 1500.0) == 4500
    assert peak_watts(quoted(demand(3000, basis=Basis.GROSS_USE)), 1500.0) == 3000
    # the lower of the two is the one by the load
    terms = (demand(3000), demand(4000, basis=Basis.GROSS_USE))
    assert peak_watts(quoted(*terms), 1500.0) == 4000


def test_a_charge_by_the_it_load_binds_no_load_at_the_connection():
    assert peak_watts(quoted(demand(100, basis=Basis.IT_LOAD)), 0.0) is None


@pytest.mark.parametrize(
    ("basis", "wind", "returned"),
    [
        (Basis.IMPORT, 1200, 5),
        (Basis.IMPORT, None, 3),
        (Basis.GROSS_USE, 1200, 3),
        (Basis.IT_LOAD, 0, 6),
    ],
)
def test_held_work_returns_where_own_supply_carries_it(basis, wind, returned):
    jobs = (east("chat", 2, 20.0), held(6))
    events = (over(upper=1000, before=None),)
    feed = peaked(demand(2900, basis=basis))
    here = site("east", feed=feed, events=events, supplies=(supply(wind),))
    # 1,000 W stand, a replica of batch draws 600 W
    assert raised(govern(snapshot(jobs, (here,)), None, NOW)) == {"team/nightly": returned}


def test_an_unpriced_return_sets_no_new_peak():
    jobs = (east("chat", 2, 20.0), held(6))
    events = (over(upper=1000, before=None),)
    free = site("east", feed=peaked(), events=events)
    assert raised(govern(snapshot(jobs, (free,)), None, NOW)) == {"team/nightly": 6}
    here = site("east", feed=peaked(demand(2900)), events=events)
    # 1,000 W stand, a replica of batch draws 600 W
    assert raised(govern(snapshot(jobs, (here,)), None, NOW)) == {"team/nightly": 3}


def test_users_may_set_a_peak():
    stats = engine(20.0, pods=2, waiting=20, first_tokens_per_second=1.0)
    job = workload(placements=(placement("east", 2, engine=stats),))
    here = site("east", feed=peaked(demand(1100)))
    assert raised(govern(snapshot((job,), (here,)), None, NOW))["team/chat"] > 0


def test_a_meter_that_reads_the_power_before_lets_all_return():
    # as measured before the event: everything that stood fits again, however it is counted
    metered = reading(3800)
    jobs = (east("chat", 4, 20.0), held(2))
    feed = connection(limit=None, price=quote("0.5"), metered=metered, model_watts_at_meter=1800)
    here = site("east", feed=feed, events=(over(upper=3000, before=5000),))
    assert raised(govern(snapshot(jobs, (here,)), None, NOW)) == {"team/nightly": 2}


# ---- the reserve of a cooling limit


def cooled(limit, **more):
    return site("east", limit=None, cooling_limit=reading(limit), **more)


def test_growth_between_plans_leaves_the_reserve_of_a_cooling_limit_free():
    # 6 replicas that carry 84 count at 3,564 W; 100 are needed: two more of 600 W are owed
    job = east("chat", 6, 84.0)
    for limit, more in ((5000, {"team/chat": 2}), (4800, {"team/chat": 1}), (4200, {})):
        assert raised(govern(snapshot((job,), (cooled(limit),)), None, NOW)) == more
    # the other site, where there is room, takes what the reserve keeps back
    rows = (*job.placements, placement("west", 0))
    here = snapshot((replace(job, placements=rows),), (cooled(4200), site("west")))
    assert govern(here, None, NOW).decisions[0].replicas_of("west") == 2


def test_nothing_is_shed_for_the_reserve_of_a_cooling_limit():
    job = east("chat", 6, 60.0)
    assert govern(snapshot((job,), (cooled(3300),)), None, NOW).decisions == ()


def test_who_misses_an_objective_takes_the_reserve_too():
    stats = engine(60.0, pods=6, good=900, bad=100, fast_bad=20, waiting=20, waited=3.0)
    job = workload(placements=(placement("east", 6, engine=stats),))
    wide = raised(govern(snapshot((job,), (cooled(30_000),)), None, NOW))["team/chat"]
    assert wide > 0
    here = cooled(3600 + 600 * wide)
    assert raised(govern(snapshot((job,), (here,)), None, NOW)) == {"team/chat": wide}


@pytest.mark.parametrize(
    ("firmness", "standing"),
    [(Firmness.MANDATORY, 8), (Firmness.COMMITTED, 8), (Firmness.VOLUNTARY, 7)],
)
def test_a_lower_bound_that_is_an_order_may_use_the_reserve(firmness, standing):
    fill = event(upper=None, lower=3300, firmness=firmness)
    tick = govern(snapshot((east("chat", 6, 20.0),), (cooled(4100, events=(fill,)),)), None, NOW)
    assert tick.decisions[0].replicas_of("east") == standing
