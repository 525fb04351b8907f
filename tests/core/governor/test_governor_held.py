"""Held work under caps: slowed before it is paused, to the watt, and no replica for what caps hold anyway."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from tests.core.build import NOW, batch, reading
from tests.core.governor.test_governor_caps import CAN, carried_out, chat, held, watts, world
from wattshift.core.governor.governor import govern
from wattshift.core.model import Firmness, Tier


def nightly(replicas):
    return batch(replicas=replicas, placements=(held(replicas),))


def metered(here, drawn, now):
    """The world with a meter that shows `drawn` watts at `now`."""
    feed = replace(here.sites[0].connections[0], metered=reading(drawn, age=NOW - now))
    site = replace(here.sites[0], connections=(feed,))
    return replace(here, sites=(site,), grid_time=now, wall_time=now)


def drained(here):
    """The world once what drains is gone."""
    rows = [
        replace(job, placements=tuple(replace(row, draining_replicas=0) for row in job.placements))
        for job in here.workloads
    ]
    return replace(here, workloads=tuple(rows))


def test_held_work_is_slowed_before_it_is_paused():
    jobs = (nightly(6),)
    power = watts(world(jobs, None)).upper_watts
    tick = govern(world(jobs, round(0.75 * power)), None, NOW)

    assert tick.decisions == ()
    assert {row.workload_key for row in tick.caps} == {"team/nightly"}


def test_held_work_is_paused_where_the_deepest_cap_is_not_enough():
    jobs = (nightly(6),)
    power = watts(world(jobs, None)).upper_watts
    tick = govern(world(jobs, round(0.4 * power)), None, NOW)

    (row,) = tick.decisions
    # as few as caps on those that stay allow: 5 at half draw 0.42 of what 6 draw, 4 draw 0.33
    assert [target.replicas for target in row.targets] == [4]
    assert all(cap.permille >= 500 for cap in tick.caps)


def test_without_caps_held_work_is_paused_in_whole_replicas():
    rows = (replace(held(6), mechanisms=()),)
    jobs = (batch(replicas=6, placements=rows),)
    power = watts(world(jobs, None)).upper_watts
    tick = govern(world(jobs, round(0.75 * power)), None, NOW)

    (row,) = tick.decisions
    assert [target.replicas for target in row.targets] == [4]
    assert tick.caps == ()


def test_a_voluntary_bound_still_pauses_held_work():
    jobs = (nightly(6),)
    power = watts(world(jobs, None)).upper_watts
    tick = govern(world(jobs, round(0.75 * power), Firmness.VOLUNTARY), None, NOW)

    assert [sum(t.replicas for t in row.targets) for row in tick.decisions] == [4]


@settings(max_examples=30, deadline=None)
@given(replicas=st.integers(2, 20), share=st.floats(0.45, 0.99))
def test_a_bound_is_kept_to_a_part_of_a_replica(replicas, share):
    jobs = (nightly(replicas),)
    power = watts(world(jobs, None)).upper_watts
    upper = round(share * power)
    here = world(jobs, upper)
    for second in range(0, 100, 5):
        # caps stand in for drains at first, and are lifted by halves then
        now = NOW + second
        here = drained(
            carried_out(replace(here, grid_time=now, wall_time=now), govern(here, None, now))
        )
        assert watts(here).now_watts <= upper
    after = watts(here).now_watts

    # one in a thousand of margin, as much in which caps are left alone, and caps are whole permille
    assert after >= upper - 0.003 * upper - 0.001 * power


def test_a_moment_of_more_power_costs_no_replica_that_caps_can_hold():
    jobs = tuple(chat(name, concurrency=100.0, tier=Tier.HIGH) for name in "abc")
    power = watts(world(jobs, None)).upper_watts
    # more than a replica, less than caps take that nobody notices
    upper = round(power - 600)
    here = world(jobs, upper, metered=reading(power, age=1))
    first = govern(here, None, NOW)

    assert first.decisions == ()
    assert first.caps
    # prompts that were computed again are gone: nothing is left to do
    drawn = watts(world(jobs, None)).model_watts - 700
    later = metered(carried_out(here, first), drawn, NOW + 5)
    assert govern(later, None, NOW + 5).decisions == ()


def test_what_lasts_is_shed_once_caps_hold_it():
    jobs = tuple(chat(name, concurrency=100.0, tier=Tier.HIGH) for name in "abc")
    power = watts(world(jobs, None)).upper_watts
    here = world(jobs, round(power - 600), metered=reading(power, age=1))
    capped = carried_out(here, govern(here, None, NOW))
    later = metered(capped, watts(capped).now_watts, NOW + 5)

    assert govern(later, None, NOW + 5).decisions


def test_while_drains_last_and_caps_keep_the_bound_nothing_more_is_shed():
    jobs = (chat(), nightly(6))
    here = world(jobs, 6500)
    first = govern(here, None, NOW)
    assert first.decisions
    done = carried_out(here, first)
    # the sequences that caps hold up read as more load than there is
    rows = [
        replace(
            job,
            placements=tuple(
                replace(
                    row, engine=None if row.engine is None else replace(row.engine, running=300.0)
                )
                for row in job.placements
            ),
        )
        for job in done.workloads
    ]
    done = metered(replace(done, workloads=tuple(rows)), 6400.0, NOW + 10)

    assert govern(done, None, NOW + 10).decisions == ()


def test_caps_are_lifted_up_to_their_margin_and_not_to_a_multiple_of_it():
    jobs = (nightly(10),)
    power = watts(world(jobs, None)).upper_watts
    upper, cap = round(0.8 * power), 600
    busy = power / 10
    for second in range(0, 80, 5):
        now = NOW + second
        row = replace(held(10), power_cap_permille=cap, power_cap_time=now - 5, **CAN)
        here = world((batch(replicas=10, placements=(row,)),), upper)
        drawn = 10 * busy * min(1.0, cap / 1000)
        tick = govern(metered(here, drawn, now), None, now)
        assert not tick.decisions
        (new,) = tick.caps
        cap = new.permille
    assert 0.996 * upper <= 10 * busy * cap / 1000 <= upper
