"""Batch work: as wide as it needs, in the cheapest hours, together with others on one surplus."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.core.build import (
    NOW,
    batch,
    connection,
    event,
    placement,
    quote,
    reading,
    site,
    snapshot,
    supply,
    workload,
)
from tests.core.worlds import carried_out, counts
from wattshift.core.planner import planner
from wattshift.core.planner.assemble import Draft
from wattshift.core.planner.batch import wishes
from wattshift.core.planner.candidates import Candidate
from wattshift.core.contract.tariff import Basis
from wattshift.core.contract.quote import DemandTerm
from wattshift.core.decision import Action
from wattshift.core.planner.plan_memory import PlanMemory
from wattshift.core.model import Allowed, Mode
from wattshift.core.planner.planner import _price_again, plan
from wattshift.core.reasons import Reason
from wattshift.core.planner.score import Pricer
from wattshift.core.survey.survey import survey

HOUR = 3600.0
RATE = 100.0
"""Units per replica and hour."""


def job(name="nightly", replicas=0, *, most=16, site_name="east", due=24 * HOUR, **more):
    """Work of known speed that no baseline sizes."""
    values = {"units_per_replica_hour": RATE, "deadline_time": None if due is None else NOW + due}
    rows = (placement(site_name, replicas, max_replicas=most),)
    return batch(name, placements=rows, **(values | more))


def priced(*steps, name="east", **more):
    """A site with (hour, price) steps; the first holds now."""
    (_, first), *later = steps
    ahead = tuple((NOW + hour * HOUR, quote(price)) for hour, price in later)
    return site(name, feed=connection(price=quote(first), price_ahead=ahead), **more)


def windy(watts, grid="0.60", *, name="east"):
    """Own supply at 0.20 beside the grid."""
    feed = connection(price=quote(grid, direct="0.20"))
    return site(name, feed=feed, supplies=(supply(watts),), accelerators=())


def decided(here, key="team/nightly"):
    return next(row for row in plan(here, NOW).decisions if row.workload_key == key)


def wanted(here, key="team/nightly"):
    world = survey(here, NOW)
    return wishes(world, world.jobs)[key]


# ---- how wide


@pytest.mark.parametrize(("due", "replicas"), [(24, 8), (12, 12), (6, 12)])
def test_at_one_price_it_is_done_soon_but_no_wider_than_that_takes(due, replicas):
    """20 hours of work and a fifth more, in an eighth of the time that is left, or in two hours."""
    found = decided(snapshot((job(backlog=2000.0, due=due * HOUR),), (priced((0, "0.5")),)))
    assert found.action is Action.RESUME
    assert counts_of(found) == replicas


def counts_of(decision):
    return sum(row.replicas for row in decision.targets)


def test_a_cheap_spell_takes_all_of_the_work():
    here = snapshot((job(backlog=500.0),), (priced((0, "0.3"), (2, "0.8")),))
    assert counts_of(decided(here)) == 3  # six hours of work in two hours


def test_a_baseline_is_not_passed_for_the_price_but_for_the_deadline():
    rows = (placement("east", 0, baseline_replicas=2, max_replicas=9),)
    spell = (priced((0, "0.3"), (1, "0.8")),)
    work = replace(job(backlog=900.0), placements=rows)
    assert counts_of(decided(snapshot((work,), spell))) == 2
    late = replace(job(backlog=900.0, due=2.5 * HOUR), placements=rows)
    found = decided(snapshot((late,), spell))
    assert found.reason is Reason.DEADLINE
    assert counts_of(found) == 5  # 10.8 replica-hours in what is left after a start


def test_replicas_that_the_work_does_not_keep_busy_are_given_back():
    here = snapshot((job(replicas=16, backlog=130.0),), (priced((0, "0.5")),))
    found = decided(here)
    assert (found.action, found.reason) == (Action.SCALE_TO, Reason.CONSOLIDATION)
    assert counts_of(found) == 2  # what waits keeps two busy for an hour
    assert found.effect.money_per_hour < 0


def test_work_of_unknown_speed_keeps_the_level_that_was_found():
    here = snapshot(
        (job(replicas=16, backlog=130.0, units_per_replica_hour=None),), (priced((0, "0.5")),)
    )
    assert decided(here).action is Action.HOLD


def test_idle_replicas_stay_where_scaling_is_not_allowed():
    here = snapshot(
        (job(replicas=16, backlog=130.0, actions=(Allowed.PAUSE,)),), (priced((0, "0.5")),)
    )
    assert decided(here).action is Action.HOLD


# ---- when


def test_a_price_that_differs_by_less_than_a_start_stops_nothing():
    # a start is 100 W for 120 s: 0.6 % of an hour at 600 W
    near, far = "0.5020", "0.5300"
    for price, action in ((near, Action.HOLD), (far, Action.PAUSE)):
        here = snapshot((job(replicas=1, backlog=100.0),), (priced((0, price), (1, "0.5")),))
        assert decided(here).action is action


def test_what_is_not_known_ahead_is_nothing_to_wait_for():
    # cheap for an hour that is known; nobody knows what comes after it
    here = snapshot((job(backlog=400.0),), (priced((0, "0.8"), (1, "0.3")),))
    assert not wanted(here).run
    # more than that hour holds cannot wait for it
    assert wanted(replace(here, workloads=(job(backlog=2000.0),))).run


def test_a_full_site_is_told_as_such_and_not_as_an_unknown_price():
    feed = connection(price=quote("0.5"), limit=60_000)
    full = site("east", feed=feed, events=(event(upper=0),))
    found = wanted(snapshot((job(backlog=500.0),), (full,)))
    assert (found.run, found.reason) == (True, Reason.CAPACITY_SHORT)
    running = wanted(snapshot((job(backlog=500.0, replicas=2),), (full,)))
    assert (running.run, running.dear) == (True, ())
    short = site("east", feed=connection(price=quote("0.5"), limit=100))
    assert wanted(snapshot((job(backlog=500.0, replicas=2),), (short,))).run
    unknown = site("east", feed=connection(price=None))
    assert wanted(snapshot((job(backlog=500.0),), (unknown,))).reason is Reason.PRICE_UNKNOWN


# ---- what arrives meanwhile

DEAR, NINE_PERCENT_LESS = "0.2844", "0.2599"


def steady(backlog=5.0, *, arrivals=35.0, **more):
    """Two replicas that could do 41 units an hour; not much waits now."""
    values = {"units_per_replica_hour": 20.5, "due": None, "most": 3, "max_pause_seconds": 28800}
    made = job(replicas=2, backlog=backlog, **(values | more))
    rows = (replace(made.placements[0], baseline_replicas=2),)
    batch = replace(made.batch, arrivals_per_hour=arrivals)
    return replace(made, placements=rows, batch=batch)


def test_a_spell_that_cannot_hold_what_arrives_until_then_is_not_waited_for():
    # 280 units come in eight hours; the hour of cheaper power that is left then holds 34
    spell = priced((0, "0.60"), (7, "0.30"))
    assert decided(snapshot((steady(),), (spell,))).action is Action.HOLD
    # without arrivals the five that wait would fit
    assert decided(snapshot((steady(arrivals=0.0),), (spell,))).action is Action.PAUSE


def test_a_spell_that_holds_what_arrives_until_then_is_waited_for():
    spell = priced((0, "0.60"), (1, "0.20"), (4, "0.60"))
    found = decided(snapshot((steady(arrivals=10.0),), (spell,)))
    assert (found.action, found.reason) == (Action.PAUSE, Reason.EXPENSIVE_POWER)


def test_work_of_unknown_speed_waits_for_no_spell_that_is_short_beside_the_wait():
    unknown = steady(units_per_replica_hour=None, arrivals=None)
    short = priced((0, "0.60"), (7.9, "0.30"))
    assert decided(snapshot((unknown,), (short,))).action is Action.HOLD
    near = priced((0, "0.60"), (0.5, "0.30"), (4, "0.60"))
    assert decided(snapshot((unknown,), (near,))).action is Action.PAUSE


@pytest.mark.parametrize(("hours", "action"), [(1, Action.PAUSE), (20, Action.HOLD)])
def test_a_long_wait_needs_more_gain_than_a_short_one(hours, action):
    """6 % a day and 5 % for the stop: 9 % less is not worth twenty hours."""
    spell = priced((0, DEAR), (hours, NINE_PERCENT_LESS), (hours + 8, DEAR))
    idle = steady(60.0, arrivals=0.0, max_pause_seconds=24 * 3600)
    assert decided(snapshot((idle,), (spell,))).action is action


def test_work_that_runs_does_not_stop_for_less_than_a_twentieth():
    for later, action in (("0.480", Action.HOLD), ("0.470", Action.PAUSE)):
        spell = priced((0, "0.50"), (1, later), (9, "0.50"))
        assert decided(snapshot((steady(60.0, arrivals=0.0),), (spell,))).action is action


def test_a_queue_that_runs_dry_stops_only_whom_its_arrivals_would_not_start_at_once():
    """An hour of work is worth a start of 120 s: twenty busy replicas have it in three minutes."""
    flat = priced((0, "0.5"))
    crowd = job(replicas=20, backlog=0.0, most=30)
    for arrivals, action in ((1500.0, Action.HOLD), (1000.0, Action.PAUSE), (None, Action.PAUSE)):
        work = replace(crowd, batch=replace(crowd.batch, arrivals_per_hour=arrivals))
        assert decided(snapshot((work,), (flat,))).action is action
    idle = replace(job(backlog=0.0), batch=replace(crowd.batch, arrivals_per_hour=1500.0))
    assert decided(snapshot((idle,), (flat,))).action is Action.HOLD


def test_a_day_of_a_queue_that_fills_steadily_costs_an_hour_of_work_at_most():
    """Speed and arrivals are unknown until the first pause; power is 9 % cheaper for four hours at noon."""
    memory, units, state, paused, last = PlanMemory(), 400.0, 2, None, None
    for tick in range(288):
        now = NOW + 300.0 * tick
        made = steady(units, units_per_replica_hour=None, arrivals=None)
        rows = (placement("inner", state, baseline_replicas=2, max_replicas=3),)
        made = replace(
            made,
            placements=rows,
            paused_since_time=paused,
            last_change_time=last,
            min_dwell_seconds=3600,
            actions=(Allowed.SCALE, Allowed.PAUSE),
        )
        made = _fresh(made, now)
        made = replace(made, batch=replace(made.batch, deadline_time=NOW + 32 * HOUR))
        here = replace(snapshot((made,), (_noon(now),)), grid_time=now)
        count = counts_of(plan(memory.remembered(here), now).decisions[0])
        if count != state:
            paused, last = (now if count == 0 else None), now
        state = count
        units = max(0.0, units + (35.0 - 20.5 * state) / 12)
    assert units <= 400 + 24 * (35 - 2 * 20.5) + 2 * 20.5


def _noon(now):
    """0.2844, and 9 % less from the tenth to the fourteenth hour."""

    def price(time):
        return NINE_PERCENT_LESS if 10 <= (time - NOW) / HOUR < 14 else DEAR

    edges = [now, *[NOW + HOUR * h for h in range(60) if now < NOW + HOUR * h < now + 24 * HOUR]]
    rows = [(time, quote(price(time))) for time in edges]
    return site("inner", feed=connection(price=rows[0][1], price_ahead=tuple(rows[1:])))


def test_work_that_stopped_a_moment_ago_starts_again_only_for_what_is_worth_a_start():
    one = snapshot((job(backlog=10.0, last_change_time=NOW - 1200),), (priced((0, "0.5")),))
    assert decided(one).reason is Reason.CONSOLIDATION
    later = snapshot((job(backlog=10.0, last_change_time=NOW - 4000),), (priced((0, "0.5")),))
    assert decided(later).action is Action.RESUME
    more = snapshot((job(backlog=200.0, last_change_time=NOW - 1200),), (priced((0, "0.5")),))
    assert decided(more).action is Action.RESUME


def test_work_that_arrives_all_day_runs_in_the_cheap_hours_and_starts_once_a_spell():
    """Two days of plans every five minutes; six cheap hours a day; nothing is late."""
    backlog, state, last = [], 0, None
    starts, dear, paid = 0, 0.0, 0.0
    for tick in range(2 * 288):
        now = NOW + 300.0 * tick
        cheap = _cheap(now)
        backlog.append([now, 200 / 12])
        left = state * RATE / 12
        while backlog and left > 0:
            part = min(left, backlog[0][1])
            backlog[0][1] -= part
            left -= part
            if backlog[0][1] <= 1e-9:
                backlog.pop(0)
        paid += state
        dear += 0 if cheap else state
        assert not backlog or now - backlog[0][0] <= 24 * HOUR
        work = job(
            replicas=state,
            backlog=sum(row[1] for row in backlog),
            due=None,
            deadline_time=backlog[0][0] + 24 * HOUR if backlog else None,
            last_change_time=last,
        )
        here = replace(snapshot((work,), (_day(now),)), grid_time=now)
        here = replace(here, workloads=(_fresh(work, now),))
        wish = plan(here, now).decisions[0]
        count = counts_of(wish)
        starts += count > 0 == state
        if count != state:
            last = now
        state = count
    assert starts <= 4
    assert dear <= 0.1 * paid


def _ever_cheaper(now):
    """A price that falls every hour of the day to come: whoever may wait, waits."""
    rows = [(now + HOUR * h, quote(f"{0.80 - 0.03 * h:.2f}")) for h in range(24)]
    return site("east", feed=connection(price=rows[0][1], price_ahead=tuple(rows[1:])))


def held(**more):
    """Work of unknown speed that ran on two replicas."""
    return job(most=2, max_replicas=2, units_per_replica_hour=None, **more)


def wished(here):
    world = survey(here, here.grid_time)
    return wishes(world, world.jobs)["team/nightly"]


def _first_start(*, restart_hours=0.0, due=24.0, memory=True):
    """Hours until work of unknown speed runs, while all that is ahead is cheaper."""
    kept, since, tick = PlanMemory(), None, 0
    while tick < due * 12:
        now = NOW + 300.0 * tick
        work = _fresh(held(backlog=500.0, due=due * HOUR), now)
        work = replace(work, paused_since_time=None if memory else NOW)
        if restart_hours and tick % int(12 * restart_hours) == 0:
            kept = PlanMemory()
            kept.inflow.restore(work, (), since)
        here = replace(snapshot((work,), (_ever_cheaper(now),)), grid_time=now)
        here = kept.remembered(here) if memory else here
        since = here.workloads[0].batch.work_since_time
        found = plan(here, now)
        if counts_of(found.decisions[0]) > 0:
            return tick / 12
        assert found.next_wake_time <= NOW + due * HOUR / 2
        tick += 1
    return due


@pytest.mark.parametrize("restart_hours", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("due", [6.0, 24.0])
def test_work_of_unknown_speed_begins_at_half_of_its_time_not_of_what_is_left(due, restart_hours):
    assert _first_start(due=due, restart_hours=restart_hours) <= due / 2


def test_without_a_memory_its_pause_says_since_when_it_waits():
    assert _first_start(memory=False) <= 12.0


def test_work_of_unknown_speed_that_is_due_is_not_paused_again_for_a_cheaper_hour():
    memory = PlanMemory()
    for tick in range(24 * 12):
        now = NOW + 300.0 * tick
        work = _fresh(held(replicas=2, backlog=500.0), now)
        here = replace(snapshot((work,), (_ever_cheaper(now),)), grid_time=now)
        assert wished(memory.remembered(here)).run or now < NOW + 12 * HOUR


def test_a_new_deadline_or_an_empty_queue_begins_anew():
    memory = PlanMemory()

    def since(hour, backlog=500.0, due=24 * HOUR):
        now = NOW + hour * HOUR
        work = _fresh(job(backlog=backlog, due=due, units_per_replica_hour=None), now)
        here = replace(snapshot((work,), (_ever_cheaper(now),)), grid_time=now)
        found = memory.remembered(here).workloads[0].batch.work_since_time
        return None if found is None else (found - NOW) / HOUR

    assert since(0) == 0
    assert since(3) == 0
    assert since(4, due=48 * HOUR) == 4
    assert since(5, backlog=0.0, due=48 * HOUR) is None
    assert since(6, due=48 * HOUR) == 6
    assert since(7, due=None) is None
    assert since(2) == 2  # the clock was set back


def _cheap(now):
    return (now - NOW) % (24 * HOUR) >= 18 * HOUR


def _day(now):
    edges = [now, *[NOW + HOUR * h for h in range(96) if now < NOW + HOUR * h < now + 24 * HOUR]]
    rows = [(time, quote("0.3" if _cheap(time) else "0.8")) for time in edges]
    return site("east", feed=connection(price=rows[0][1], price_ahead=tuple(rows[1:])))


def _fresh(work, now):
    units = reading(work.batch.backlog_units.value, unit="Count", age=NOW - now)
    return replace(work, batch=replace(work.batch, backlog_units=units))


def peaked(watts, rate="40"):
    """A feed whose billed peak of the month stands at `watts`."""
    term = DemandTerm(
        component="maxDemand",
        basis=Basis.IMPORT,
        rate_per_kilowatt=Decimal(rate),
        binding_watts=watts,
        averaging_minutes=15,
        probability=Decimal(1),
        probability_source="PreviousPeriod",
        in_window=True,
    )
    return site("east", feed=connection(price=replace(quote("0.5"), demand_terms=(term,))))


def test_work_that_can_wait_sets_no_new_billed_peak():
    # 20 hours of work in a day: eight wide for three hours, or three wide for longer
    assert counts_of(decided(snapshot((job(backlog=2000.0),), (peaked(0),)))) == 8
    assert counts_of(decided(snapshot((job(backlog=2000.0),), (peaked(2000),)))) == 3


def test_a_deadline_is_worth_a_new_peak():
    late = job(backlog=1000.0, due=3 * HOUR)
    found = decided(snapshot((late,), (peaked(2000),)))
    assert counts_of(found) > 3


def test_a_batch_plan_that_fails_stops_nobody_and_is_said(monkeypatch):
    def broken(*_):
        raise ArithmeticError("odd")

    monkeypatch.setattr(planner, "wishes", broken)
    here = plan(snapshot((job(replicas=2), workload()), (priced((0, "0.5")), site("west"))), NOW)
    assert any("odd" in row for row in here.notes)
    by_key = {row.workload_key: row for row in here.decisions}
    assert by_key["team/nightly"].action is Action.HOLD
    assert by_key["team/chat"].action is not Action.HOLD


# ---- together


def test_jobs_that_share_a_surplus_do_not_stop_and_start_each_other():
    """2,500 W of own supply for four jobs: four replicas of 600 W run, and go on."""
    rows = tuple(job(f"j{k}", k % 2 * 4, backlog=4000.0, most=4) for k in range(4))
    later = connection(
        price=quote("0.60", direct="0.20"), price_ahead=((NOW + HOUR, quote("0.40")),)
    )
    here = snapshot(rows, (replace(windy(2500.0), connections=(later,)),))
    seen = []
    for _ in range(5):
        here = carried_out(here, plan(here, NOW).decisions)
        seen.append([counts(row)["east"] for row in here.workloads])
    assert seen[-1] == seen[-2]
    assert sum(seen[-1]) >= 4


def test_who_is_due_first_gets_the_surplus():
    soon = job("z-soon", backlog=400.0, most=4, due=5 * HOUR)
    late = job("a-late", backlog=400.0, most=4, due=20 * HOUR)
    here = snapshot((late, soon), (windy(2500.0),))
    world = survey(here, NOW)
    found = wishes(world, world.jobs)
    assert found["team/z-soon"].replicas >= found["team/a-late"].replicas


def test_work_that_is_only_watched_takes_nothing_from_others():
    watched = job("a-watched", replicas=4, backlog=4000.0, most=4, mode=Mode.OBSERVE, due=6 * HOUR)
    here = snapshot((watched, job(backlog=400.0, most=4)), (windy(2400.0),))
    alone = snapshot((job(backlog=400.0, most=4),), (windy(2400.0),))
    # the four watched replicas draw all of the supply: nothing is left of it
    assert wanted(here).run == wanted(alone).run


def test_work_at_a_dear_site_leaves_and_begins_where_it_is_cheap():
    rows = (placement("east", 4, max_replicas=4), placement("west", 0, max_replicas=4))
    work = replace(job(backlog=400.0), placements=rows)
    here = snapshot((work,), (priced((0, "0.8")), priced((0, "0.3"), name="west")))
    for _ in range(3):
        here = carried_out(here, plan(here, NOW).decisions)
    left = counts(here.workloads[0])
    assert left["east"] == 0
    assert left["west"] > 0


# ---- what others of a plan took


def test_the_first_step_of_a_longer_way_is_priced_again_as_the_whole_way():
    """It was priced as what it only adds: where others took the surplus, nothing ever paid."""
    here = snapshot((workload(),), (windy(9000.0), windy(9000.0, name="west")))
    world = survey(here, NOW)
    one = world.jobs[0]
    pricer = Pricer(world, one, 7200.0)
    draft = Draft(job=one, pricer=Pricer(world, one, 900.0))
    whole = (0, 2)
    row = Candidate(
        action=Action.SCALE_TO,
        vector=(6, 2),
        priced=whole,
        lasting_seconds=7200.0,
        reason=Reason.CHEAPER_POWER,
        message="",
        score=pricer.score(whole),
    )
    taken = {key: 9000.0 for key in row.score.watts if key[0] == "west"}
    _price_again(draft, row, world, taken)
    assert row.score.total == pytest.approx(pricer.score(whole, taken).total)
