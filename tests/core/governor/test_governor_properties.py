"""Invariants of the governor over random fleets at one site."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings, strategies as st
from tests.core.build import (
    NOW,
    PROFILE,
    batch,
    connection,
    engine,
    event,
    placement,
    quote,
    reading,
    site,
    snapshot,
    workload,
)
from wattshift.core.governor.governor import govern
from wattshift.core.governor.hold_under import ON_ITS_WAY_BACK
from wattshift.core.model import Firmness, Tier
from wattshift.core.power.power import estimate
from wattshift.core.reasons import Reason

SMALL = replace(PROFILE, name="small", loaded_idle_watts=20, floor_watts=80, busy_watts=120)
LARGE = replace(PROFILE, name="large", loaded_idle_watts=400, floor_watts=1700, busy_watts=2300)
PROFILES = (PROFILE, SMALL, LARGE)
FEW = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def fleets(draw, least=1):
    jobs = []
    for number in range(draw(st.integers(least, 6))):
        profile = draw(st.sampled_from(["h100", "small", "large"]))
        replicas = draw(st.integers(1, 9))
        more = {
            "tier": draw(st.sampled_from(list(Tier))),
            "priority": draw(st.integers(0, 1)),
            "last_change_time": NOW - draw(st.integers(500, 9000)),
        }
        if draw(st.booleans()):
            stats = engine(14.0 * replicas * draw(st.floats(0.1, 0.95)), pods=replicas)
            row = placement("east", replicas, engine=stats, profile_name=profile)
            jobs.append(workload(f"w{number}", (row,), **more))
        else:
            # it runs full, and its engines say so
            row = placement(
                "east",
                replicas,
                profile_name=profile,
                baseline_replicas=replicas,
                engine=engine(20.0 * replicas, pods=replicas),
            )
            jobs.append(batch(f"w{number}", placements=(row,), **more))
    return tuple(jobs)


def world(jobs, *events, **more):
    feed = connection(limit=None, price=quote("0.5"))
    here = site("east", feed=feed, events=events, **more)
    return metered(snapshot(jobs, (here,), profiles=PROFILES))


def metered(here):
    """The world with a meter that shows the truth, which is the model's."""
    (row,) = here.sites
    now = power_of(here).model_watts
    feed = replace(row.connections[0], metered=reading(now), model_watts_at_meter=round(now))
    return replace(here, sites=(replace(row, connections=(feed,)),))


def power_of(here):
    (power,) = estimate(here, NOW).values()
    return power


def carried_out(here, tick, *, drained=False):
    counts = {row.workload_key: row.replicas_of("east") for row in tick.decisions}
    jobs = []
    for job in here.workloads:
        (row,) = job.placements
        wanted = counts.get(job.key, row.desired_replicas or row.observed_replicas)
        if job.key in counts:
            gone = max(0, row.ready_replicas - wanted)
            row = replace(
                row,
                desired_replicas=wanted,
                observed_replicas=wanted,
                ready_replicas=min(row.ready_replicas, wanted),
                draining_replicas=0 if drained else gone,
                last_write_time=NOW,
            )
        jobs.append(replace(job, placements=(row,)))
    return metered(replace(here, workloads=tuple(jobs)))


def shed_of(here, tick):
    return {
        row.workload_key: row.basis[0].replicas - row.replicas_of("east")
        for row in tick.decisions
        if row.replicas_of("east") < row.basis[0].replicas
    }


bounds = st.floats(0.3, 0.99)


@FEW
@given(fleets(), bounds)
def test_a_mandatory_bound_is_never_broken_when_enough_may_go(jobs, share):
    upper = round(power_of(world(jobs)).model_watts * share)
    here = world(jobs, event(upper=upper))
    after = carried_out(here, govern(here, None, NOW), drained=True)
    assert power_of(after).model_watts <= upper + 1


@FEW
@given(fleets(), bounds, st.sampled_from(list(Firmness)))
def test_what_is_short_is_told_and_what_is_not_is_kept(jobs, share, firmness):
    upper = round(power_of(world(jobs)).model_watts * share)
    here = world(jobs, event(upper=upper, firmness=firmness))
    tick = govern(here, None, NOW)
    short = any(row.reason is Reason.BOUND_SHORT for row in tick.notices)
    raised = any(row.replicas_of("east") > row.basis[0].replicas for row in tick.decisions)
    after = carried_out(here, tick, drained=True)
    if not short and not raised:
        assert power_of(after).model_watts <= upper + 1


@FEW
@given(fleets(), bounds, st.sampled_from([Firmness.COMMITTED, Firmness.MANDATORY]))
def test_never_more_than_one_smallest_step_beyond_the_excess(jobs, share, firmness):
    """Any single replica that went is needed: without it the bound would be broken."""
    upper = round(power_of(world(jobs)).model_watts * share)
    here = world(jobs, event(upper=upper, firmness=firmness))
    tick = govern(here, None, NOW)
    gone = shed_of(here, tick)
    assume(all(row.reason is Reason.EVENT_LIMIT for row in tick.decisions))
    decided = {row.workload_key: row for row in tick.decisions}
    for key in gone:
        one_more = replace(
            decided[key],
            targets=(
                replace(decided[key].targets[0], replicas=decided[key].replicas_of("east") + 1),
            ),
        )
        rows = tuple(one_more if row.workload_key == key else row for row in tick.decisions)
        less = carried_out(here, replace(tick, decisions=rows), drained=True)
        # half a watt of rounding; watts that are credited are never above what really goes
        assert power_of(less).model_watts > upper - 0.02 * power_of(here).model_watts


@FEW
@given(fleets(), bounds, st.sampled_from(list(Firmness)))
def test_the_same_snapshot_gives_the_same_tick(jobs, share, firmness):
    upper = round(power_of(world(jobs)).model_watts * share)
    here = world(jobs, event(upper=upper, firmness=firmness))
    assert govern(here, None, NOW) == govern(here, None, NOW)
    mixed = replace(here, workloads=tuple(reversed(here.workloads)))
    assert govern(mixed, None, NOW) == govern(here, None, NOW)


@FEW
@given(fleets(), bounds, st.sampled_from([Firmness.COMMITTED, Firmness.MANDATORY]))
def test_while_it_drains_and_after_nothing_more_is_shed(jobs, share, firmness):
    upper = round(power_of(world(jobs)).model_watts * share)
    here = world(jobs, event(upper=upper, firmness=firmness))
    tick = govern(here, None, NOW)
    for drained in (False, True):
        after = carried_out(here, tick, drained=drained)
        again = govern(after, None, NOW + 1)
        assert shed_of(after, again) == {}


@FEW
@given(fleets(), bounds, st.integers(200, 5000))
def test_the_ramp_down_is_kept_but_for_one_replica(jobs, share, limit):
    free = power_of(world(jobs)).model_watts
    upper = round(free * share)
    here = world(
        jobs, event(upper=upper, firmness=Firmness.COMMITTED), ramp_down_watts_per_minute=limit
    )
    after = carried_out(here, govern(here, None, NOW), drained=True)
    largest = 2300
    assert power_of(after).model_watts >= free - max(limit, largest) - 1


@FEW
@given(fleets(), bounds, st.integers(200, 5000))
def test_ramps_hold_over_the_minute_and_not_only_over_the_tick(jobs, share, limit):
    """Ticks within one minute together shed no more than the ramp, or one replica."""
    here = world(jobs)
    free = power_of(here).model_watts
    upper = round(free * share)
    row = here.sites[0]
    feed = replace(row.connections[0], most_watts=free)
    here = replace(
        here,
        sites=(
            replace(
                row,
                connections=(feed,),
                events=(event(upper=upper, firmness=Firmness.COMMITTED),),
                ramp_down_watts_per_minute=limit,
            ),
        ),
    )
    for _ in range(4):
        here = carried_out(here, govern(here, None, NOW), drained=True)
    assert power_of(here).model_watts >= free - max(limit, 2300) - 1


@FEW
@given(fleets(least=2), bounds)
def test_firm_work_goes_last_and_held_work_first(jobs, share):
    upper = round(power_of(world(jobs)).model_watts * share)
    here = world(jobs, event(upper=upper))
    tick = govern(here, None, NOW)
    gone = shed_of(here, tick)
    states = {job.key: job for job in here.workloads}
    left = {
        key: job.placements[0].observed_replicas - gone.get(key, 0) for key, job in states.items()
    }
    below = [
        key
        for key, count in gone.items()
        if states[key].batch is None and left[key] < states[key].min_replicas
    ]
    if any(states[key].tier is Tier.FIRM for key in below):
        # a firm workload below its floor: nobody flexible has a replica left to give
        flexible = [
            key for key, job in states.items() if job.tier is not Tier.FIRM and left[key] > 0
        ]
        smallest = min((_busy(states[key]) for key in below), default=0)
        assert all(_busy(states[key]) < smallest for key in flexible)


def _busy(job):
    return {"h100": 600, "small": 120, "large": 2300}[job.placements[0].profile_name]


@FEW
@given(st.integers(2, 6), st.floats(0.7, 0.97))
def test_the_same_workload_does_not_give_in_every_event(count, share):
    """Event after event among equals: everybody's turn comes."""
    given_times = dict.fromkeys((f"team/w{n}" for n in range(count)), 0)
    changed = {key: NOW - 9000 + n for n, key in enumerate(given_times)}
    for round_number in range(3 * count):
        jobs = tuple(
            batch(
                key.split("/")[1],
                placements=(
                    placement("east", 4, baseline_replicas=4, engine=engine(80.0, pods=4)),
                ),
                last_change_time=changed[key],
            )
            for key in given_times
        )
        upper = round(power_of(world(jobs)).model_watts * share)
        here = world(jobs, event(upper=upper))
        for key in shed_of(here, govern(here, None, NOW)):
            given_times[key] += 1
            changed[key] = NOW - 4000 + round_number
    assert min(given_times.values()) > 0
    assert max(given_times.values()) <= 2 * min(given_times.values()) + 2


@FEW
@given(fleets(), st.floats(1.01, 1.5))
def test_a_lower_bound_is_met_by_what_there_is_and_never_overshoots_by_two_steps(jobs, share):
    free = power_of(world(jobs)).model_watts
    lower = round(free * share)
    here = world(jobs, event(upper=None, lower=lower))
    tick = govern(here, None, NOW)
    assert shed_of(here, tick) == {}
    added = sum(
        (row.replicas_of("east") - row.basis[0].replicas)
        * {"h100": 100, "small": 20, "large": 400}[
            next(j for j in jobs if j.key == row.workload_key).placements[0].profile_name
        ]
        for row in tick.decisions
        if row.reason is Reason.EVENT_FLOOR
    )
    assert added <= lower - free + 2300


@FEW
@given(fleets(), bounds)
def test_bounds_on_the_way_back_shed_nothing(jobs, share):
    free = power_of(world(jobs)).model_watts
    done = event(
        upper=round(free * share),
        start=NOW - 3600,
        end=NOW - 30,
        ramp_seconds=600,
        frozen_reference_watts=round(free),
    )
    here = world(jobs, done)
    tick = govern(here, None, NOW)
    assert shed_of(here, tick) == {}
    assert all(row.reason not in ON_ITS_WAY_BACK for row in tick.decisions)


@FEW
@given(fleets(), st.floats(0.5, 0.95))
def test_growth_after_an_event_stays_at_what_was(jobs, share):
    free = power_of(world(jobs)).model_watts
    done = event(
        upper=round(free * share),
        start=NOW - 3600,
        end=NOW - 30,
        frozen_reference_watts=round(free),
        firmness=Firmness.COMMITTED,
    )
    here = world(jobs, done)
    after = carried_out(here, govern(here, None, NOW))
    committed = power_of(after).committed_watts
    assert committed <= max(free, power_of(here).committed_watts) + 0.05 * free * (1 - share) + 1
