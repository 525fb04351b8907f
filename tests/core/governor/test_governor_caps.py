"""Device power caps: where an actuator offers them, to the watt, and only as long as they are needed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st
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
from wattshift.core.power.power_profile import throughput
from wattshift.core.governor.governor import govern
from wattshift.core.model import Firmness, Tier
from wattshift.core.power.power import estimate
from wattshift.core.reasons import Reason

CURVE = ((270, 225), (530, 781), (660, 871), (790, 931), (900, 976), (1000, 1000))
CAPS = replace(PROFILE, cap_throughput_permille=CURVE)
CAN = {"mechanisms": ("PowerCap",)}


def chat(name="chat", replicas=10, concurrency=100.0, **more):
    stats = engine(concurrency, pods=replicas)
    row = placement("east", replicas, engine=stats, **(CAN | more.pop("row", {})))
    return workload(name, (row,), **({"tier": Tier.MEDIUM} | more))


def world(jobs, upper, firmness=Firmness.COMMITTED, *, metered=None, **more):
    feed = connection(metered=metered, price=quote("0.5"), limit=None)
    events = () if upper is None else (event(upper=upper, firmness=firmness),)
    here = site("east", feed=feed, events=events, **more)
    return snapshot(jobs, (here,), profiles=(CAPS,))


def watts(here):
    (power,) = estimate(here, NOW).values()
    return power


def carried_out(here, tick, **more):
    """The world after the tick: counts ordered, caps in force, drains begun."""
    counts = {
        (row.workload_key, target.placement_name): target.replicas
        for row in tick.decisions
        for target in row.targets
    }
    caps = {(row.workload_key, row.placement_name): row.permille for row in tick.caps}
    jobs = []
    for job in here.workloads:
        rows = []
        for row in job.placements:
            key = (job.key, row.name)
            wanted = counts.get(key, row.desired_replicas or row.observed_replicas)
            gone = max(0, row.ready_replicas - wanted)
            rows.append(
                replace(
                    row,
                    desired_replicas=wanted,
                    observed_replicas=wanted,
                    ready_replicas=row.ready_replicas - gone,
                    draining_replicas=row.draining_replicas + gone,
                    last_write_time=NOW if gone else row.last_write_time,
                    power_cap_permille=caps.get(key),
                    **more,
                )
            )
        jobs.append(replace(job, placements=tuple(rows)))
    return replace(here, workloads=tuple(jobs))


def test_without_an_actuator_there_is_no_cap():
    job = chat(row={"mechanisms": ()})
    assert govern(world((job,), 3000), None, NOW).caps == ()


def test_without_a_curve_there_is_no_cap():
    here = replace(world((chat(),), 3000), profiles=(PROFILE,))
    assert govern(here, None, NOW).caps == ()


def test_inside_the_bounds_there_is_no_cap():
    assert govern(world((chat(),), None), None, NOW).caps == ()
    assert govern(world((chat(),), 90_000), None, NOW).caps == ()


def test_caps_stand_in_until_drains_are_done_and_are_lifted_then():
    # held work goes: nothing that users notice is needed in the end
    here = world((chat(), batch(replicas=6, placements=(held(6),))), 6500)
    first = govern(here, None, NOW)
    assert {row.workload_key for row in first.decisions} == {"team/nightly"}
    assert first.caps
    draining = carried_out(here, first)
    capped = watts(draining)
    assert capped.now_watts * 1.0 <= 6500
    assert govern(draining, None, NOW + 1).decisions == ()
    done = replace(
        draining,
        workloads=tuple(
            replace(
                job,
                placements=tuple(replace(row, draining_replicas=0) for row in job.placements),
            )
            for job in draining.workloads
        ),
    )
    # the model may be wrong about what a cap saves: half of what it takes too much, again and again
    levels = [min(row.permille for row in first.caps)]
    while levels[-1] < 1000 and len(levels) < 20:
        drawn = watts(replace(done, sites=here.sites)).now_watts
        meter = reading(drawn, age=-30 - 5 * len(levels))
        feed = replace(here.sites[0].connections[0], metered=meter)
        done = replace(done, sites=(replace(here.sites[0], connections=(feed,)),))
        tick = govern(done, None, NOW + 30 + 5 * len(levels))
        assert not tick.decisions
        levels.append(min((row.permille for row in tick.caps), default=1000))
        done = carried_out(done, tick)
    assert levels == sorted(levels)
    assert levels[-1] == 1000


@pytest.mark.parametrize("over", [0.005, 0.01, 0.03])
@pytest.mark.parametrize("reads", [0.95, 1.0, 1.05])
def test_a_slight_cap_stays_while_the_bound_holds_whatever_the_model_reads(over, reads):
    cap, changed, levels, drawn = None, None, [], []
    free = watts(world((chat(),), None)).model_watts * reads
    upper = int(free / (1 + over))
    for second in range(90):
        slow = 1.0 if cap is None else throughput(CAPS, cap)
        each = min(free / 10, CAPS.busy_watts * (cap or 1000) / 1000)
        # slower tokens keep more sequences in flight where the cap is felt
        held_up = slow ** (-1 / 0.6) if each < free / 10 else 1.0
        row = {"power_cap_permille": cap, "power_cap_time": changed, "min_replicas": 10}
        jobs = (chat(concurrency=100.0 * held_up, row=row),)
        here = world(jobs, upper, metered=reading(10 * each, age=-second))
        drawn.append(10 * each)
        tick = govern(replace(here, grid_time=NOW + second), None, NOW + second)
        assert not tick.decisions
        new = {row.placement_name: row.permille for row in tick.caps}.get("east")
        if new != cap:
            cap, changed = new, NOW + second
        levels.append(cap)
    assert sum(a != b for a, b in pairwise(levels)) <= 10
    assert max(drawn[30:]) <= upper
    assert sum(drawn[30:]) / 60 >= 0.98 * upper


def held(replicas):
    return placement("east", replicas, baseline_replicas=replicas, **CAN)


def test_less_than_a_replica_is_left_to_caps():
    here = world((chat(tier=Tier.HIGH, concurrency=116.0),), None)
    power = watts(here).upper_watts
    tick = govern(world((chat(tier=Tier.HIGH, concurrency=116.0),), round(power) - 60), None, NOW)
    assert tick.decisions == ()
    assert tick.caps
    assert all(row.reason is Reason.EVENT_LIMIT for row in tick.caps)


def test_a_cap_leaves_the_throughput_that_the_tier_does_not_tolerate_to_lose():
    for tier in (Tier.LOW, Tier.MEDIUM, Tier.HIGH):
        job = chat(tier=tier, concurrency=112.0)  # 0.8 of what 10 replicas carry
        tick = govern(world((job,), 1000), None, NOW)
        for row in tick.caps:
            kept = throughput(CAPS, row.permille)
            assert kept >= 0.8**0.6 * (1 - tier.tolerated_loss) - 1e-3


def test_firm_work_is_capped_for_hard_bounds_only():
    job = chat(tier=Tier.FIRM)
    assert govern(world((job,), 1000), None, NOW).caps == ()
    assert govern(world((job,), 1000, Firmness.MANDATORY), None, NOW).caps


def test_users_are_not_capped_for_voluntary_bounds():
    jobs = (chat(), batch(replicas=4, placements=(held(4),)))
    tick = govern(world(jobs, 1000, Firmness.VOLUNTARY), None, NOW)
    assert {row.workload_key for row in tick.caps} == {"team/nightly"}


def test_equals_are_capped_alike():
    jobs = (chat("a"), chat("b"))
    tick = govern(world(jobs, 7000), None, NOW)
    assert len({row.permille for row in tick.caps}) == 1
    assert {row.workload_key for row in tick.caps} == {"team/a", "team/b"}


def test_no_cap_goes_below_the_curve_or_half():
    tick = govern(world((chat(),), 10, Firmness.MANDATORY), None, NOW)
    assert all(row.permille >= 500 for row in tick.caps)


def test_a_lower_bound_limits_caps_too():
    rows = (event("cap", upper=3000), event("hold", upper=None, lower=3000))
    here = world((chat(),), None)
    here = replace(here, sites=(replace(here.sites[0], events=rows),))
    after = carried_out(here, govern(here, None, NOW))
    assert watts(after).now_watts >= 3000 * 0.97


def test_the_ramp_downwards_limits_caps_too():
    job = chat()
    slow = world((job,), 2000, ramp_down_watts_per_minute=300)
    power = watts(slow).now_watts
    after = carried_out(slow, govern(slow, None, NOW))
    assert watts(after).now_watts >= power - 300 - 600  # one replica may exceed it


def test_until_the_meter_shows_the_last_change_nothing_is_changed_again():
    metered = reading(9000, age=0.5)
    job = chat(row={"power_cap_permille": 800, "power_cap_time": NOW})
    tick = govern(world((job,), 5000, metered=metered), None, NOW + 0.5)
    assert tick.decisions == ()
    assert [(row.placement_name, row.permille) for row in tick.caps] == [("east", 800)]


def test_an_emergency_does_not_wait_for_the_meter():
    metered = reading(9000, age=0.5)
    job = chat(row={"power_cap_permille": 800, "power_cap_time": NOW})
    here = world((job,), None, metered=metered, emergency="ups on battery")
    assert govern(here, None, NOW + 0.5).decisions


def test_slow_tokens_under_a_cap_are_no_growth():
    # 400 sequences in flight because devices are slow, not because more is asked for
    job = chat(concurrency=190.0, row={"power_cap_permille": 600})
    here = world((job,), 4000)
    assert all(row.replicas_of("east") <= 10 for row in govern(here, None, NOW).decisions)


def test_room_that_only_caps_have_made_is_not_given_away():
    short = chat("short", 2, 40.0)
    capped = chat("capped", row={"power_cap_permille": 600})
    # with caps there would be room for two more replicas of the one that is short
    here = world((short, capped), round(watts(world((short, capped), None)).upper_watts) + 1500)
    found = {row.workload_key: row for row in govern(here, None, NOW).decisions}
    free = world((short, chat("capped")), here.sites[0].events[0].upper_watts)
    same = {row.workload_key: row for row in govern(free, None, NOW).decisions}
    assert ("team/short" in found) == ("team/short" in same)


@pytest.mark.parametrize("permille", [270, 400, 530, 700, 900, 1000])
def test_throughput_follows_the_published_curve(permille):
    kept = throughput(CAPS, permille)
    assert 0.225 <= kept <= 1.0
    assert kept >= throughput(CAPS, max(270, permille - 50))


def metered_world(here):
    """The same world, its meter showing what the model says."""
    (row,) = here.sites
    now = watts(here).model_watts
    feed = replace(row.connections[0], metered=reading(now), model_watts_at_meter=round(now))
    return replace(here, sites=(replace(row, connections=(feed,)),))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 12),
    st.floats(0.3, 0.95),
    st.floats(0.65, 0.99),
    # users outrank a voluntary event: what they are owed is taken from others in the next tick
    st.sampled_from([Firmness.COMMITTED, Firmness.MANDATORY]),
)
def test_carried_out_with_its_caps_a_tick_leaves_nothing_to_shed_and_little_to_trim(
    replicas, used, share, firmness
):
    jobs = (chat(replicas=replicas, concurrency=14.0 * replicas * used), chat("b", 6, 40.0))
    here = metered_world(world(jobs, None))
    upper = round(watts(here).model_watts * share)
    events = (event(upper=upper, firmness=firmness),)
    here = replace(here, sites=(replace(here.sites[0], events=events),))
    for tick_number in range(4):
        tick = govern(here, None, NOW + tick_number)
        if tick_number > 1:  # a deep reduction may take a second look
            assert all(row.reason is not Reason.EVENT_LIMIT for row in tick.decisions)
        before = watts(here).model_watts
        here = metered_world(carried_out(here, tick))
    # a cap that takes next to nothing may come and go: less than two hundredths of the bound
    assert abs(watts(here).model_watts - before) <= 0.02 * upper
