"""Invariants of plan and governor over random worlds."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import HealthCheck, given, settings, strategies as st
from tests.core.build import (
    NOW,
    batch,
    connection,
    engine,
    event,
    idle_engine,
    placement,
    quote,
    reading,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.decision import Action
from wattshift.core.governor.governor import govern
from wattshift.core.model import Firmness, MemberPhase, Mode, Tier
from wattshift.core.planner.planner import plan
from wattshift.core.validate import validate

NAMES = ("a", "b", "c")
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def sites(draw):
    rows = []
    for name in NAMES:
        price = draw(st.sampled_from(["-0.10", "0.00", "0.25", "0.30", "0.80", None]))
        ahead = draw(st.sampled_from([(), ((NOW + 300, quote("0.10")),)]))
        metered = draw(st.sampled_from([None, reading(None), reading(3000.0)]))
        feed = connection(
            limit=draw(st.sampled_from([900, 3000, 9000, 100_000])),
            price=None if price is None else quote(price, direct="0.05"),
            price_ahead=ahead,
            metered=metered,
        )
        events = tuple(
            event(
                f"e{i}",
                upper=draw(st.sampled_from([None, 500, 2500, 20_000])),
                lower=draw(st.sampled_from([None, None, 1000, 9000])),
                firmness=draw(st.sampled_from(list(Firmness))),
                start=draw(st.sampled_from([NOW - 60, NOW + 100])),
            )
            for i in range(draw(st.integers(0, 2)))
        )
        phase = draw(st.sampled_from([MemberPhase.READY] * 4 + [MemberPhase.LOST]))
        rows.append(
            site(
                name,
                feed=feed,
                events=events,
                phase=phase,
                supplies=draw(st.sampled_from([(), (supply(6000.0),)])),
            )
        )
    return tuple(rows)


@st.composite
def placements(draw):
    rows = []
    for name in NAMES:
        count = draw(st.integers(0, 6))
        stats = None
        if count:
            stats = draw(
                st.sampled_from(
                    [
                        None,
                        idle_engine(count),
                        engine(30.0, pods=count),
                        engine(9.0, pods=count),
                        engine(30.0, pods=count, waiting=25, first_tokens_per_second=1.0),
                        engine(9.0, good=9, pods=count),
                    ]
                )
            )
        rows.append(
            placement(
                name, count, engine=stats, min_replicas=draw(st.integers(0, 1)), max_replicas=8
            )
        )
    return tuple(rows)


@st.composite
def worlds(draw):
    jobs = []
    for i in range(draw(st.integers(1, 4))):
        tier = draw(st.sampled_from(list(Tier)))
        if draw(st.booleans()):
            jobs.append(
                workload(
                    f"w{i}", draw(placements()), tier=tier, min_replicas=draw(st.integers(0, 2))
                )
            )
        else:
            rows = tuple(replace(row, engine=None, min_replicas=0) for row in draw(placements()))
            jobs.append(
                batch(
                    f"w{i}",
                    placements=rows,
                    tier=tier,
                    backlog=draw(st.sampled_from([None, 0.0, 500.0])),
                )
            )
    return snapshot(tuple(jobs), draw(sites()))


def limit_of(here, name):
    """What a feed lets through and what stands behind it."""
    row = next(row for row in here.sites if row.name == name)
    return row.connections[0].import_limit_watts + sum(s.power.value for s in row.supplies)


def raised_watts(here, decision):
    """Watts at full load that a decision adds, by site."""
    job = next(row for row in here.workloads if row.key == decision.workload_key)
    out = {}
    for row in job.placements:
        more = decision.replicas_of(row.name) - row.observed_replicas
        if more > 0:
            out[row.site_name] = out.get(row.site_name, 0) + more * 600
    return out


@FEW
@given(worlds())
def test_a_plan_never_adds_watts_beyond_what_a_feed_has_left(here):
    made = plan(here, NOW)
    outlook = {row.site_name: row for row in made.sites}
    added = dict.fromkeys(NAMES, 0)
    for decision in made.decisions:
        for name, watts in raised_watts(here, decision).items():
            added[name] += watts
    for name, watts in added.items():
        row = outlook[name]
        hard = min(
            [limit_of(here, name)]
            + [
                e.upper_watts
                for s in here.sites
                if s.name == name
                for e in s.events
                if e.upper_watts is not None
                and e.active
                and e.firmness is not Firmness.VOLUNTARY
                and not any(o.lower_watts for o in s.events)
            ]
        )
        if watts and row.estimated_watts is not None:
            assert row.estimated_watts + watts <= hard + 1


@FEW
@given(worlds())
def test_a_plan_keeps_every_floor(here):
    for decision in plan(here, NOW).decisions:
        job = next(row for row in here.workloads if row.key == decision.workload_key)
        total = sum(row.replicas for row in decision.targets)
        before = sum(row.observed_replicas for row in job.placements)
        assert total >= min(before, max(job.min_replicas, 0))
        for row in job.placements:
            assert decision.replicas_of(row.name) >= min(row.min_replicas, row.observed_replicas)
            assert decision.replicas_of(row.name) <= max(row.max_replicas, row.observed_replicas)


@FEW
@given(worlds())
def test_the_governor_breaks_floors_only_for_hard_bounds(here):
    soft = tuple(
        replace(
            row,
            connections=(replace(row.connections[0], import_limit_watts=None),),
            events=tuple(replace(e, firmness=Firmness.COMMITTED) for e in row.events),
        )
        for row in here.sites
    )
    here = replace(here, sites=soft)
    for decision in govern(here, None, NOW).decisions:
        job = next(row for row in here.workloads if row.key == decision.workload_key)
        before = sum(row.observed_replicas for row in job.placements)
        total = sum(row.replicas for row in decision.targets)
        assert total >= min(before, job.min_replicas)


@FEW
@given(worlds())
def test_a_mandatory_bound_is_met_or_nothing_is_left_to_shed(here):
    limited = tuple(replace(row, events=(event(upper=2000),)) for row in here.sites)
    here = replace(here, sites=limited)
    tick = govern(here, None, NOW)
    left = {row.name: 0 for row in here.sites}
    ready = {row.name: row.members[0].phase is MemberPhase.READY for row in here.sites}
    decided = {row.workload_key: row for row in tick.decisions}
    for job in here.workloads:
        for row in job.placements:
            found = decided.get(job.key)
            left[row.site_name] += (
                row.observed_replicas if found is None else found.replicas_of(row.name)
            )
    for row in tick.sites:
        if row.estimated_watts and row.measured_watts is None and ready[row.site_name]:
            # idle watts of what is left, the least it can draw
            assert left[row.site_name] * 100 <= 2000


@FEW
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(here, shuffle: random.Random):
    jobs, rows, profiles = list(here.workloads), list(here.sites), list(here.profiles)
    shuffle.shuffle(jobs)
    shuffle.shuffle(rows)
    mixed = replace(here, workloads=tuple(jobs), sites=tuple(rows), profiles=tuple(profiles))
    assert plan(mixed, NOW) == plan(here, NOW)
    assert govern(mixed, None, NOW) == govern(here, None, NOW)


@FEW
@given(worlds())
def test_the_same_world_gives_the_same_plan_and_the_same_tick(here):
    made = plan(here, NOW)
    assert plan(here, NOW) == made
    assert govern(here, made, NOW) == govern(here, made, NOW)


@FEW
@given(worlds())
def test_every_workload_gets_exactly_one_decision_with_a_reason(here):
    made = plan(here, NOW)
    assert [row.workload_key for row in made.decisions] == sorted(row.key for row in here.workloads)
    assert all(row.reason and row.message for row in made.decisions)
    assert all(row.action is not Action.HOLD or row.targets == row.basis for row in made.decisions)


@FEW
@given(worlds())
def test_what_is_planned_is_valid_on_the_same_world(here):
    calm = replace(here, sites=tuple(replace(row, events=()) for row in here.sites))
    for decision in plan(calm, NOW).decisions:
        if decision.action is not Action.HOLD:
            assert validate(decision, calm, NOW) is None, decision


@FEW
@given(worlds())
def test_a_bound_that_was_obeyed_is_obeyed_once(here):
    """Carrying out a tick leaves nothing for the next one to shed."""
    decided = {row.workload_key: row for row in govern(here, None, NOW).decisions}
    jobs = []
    for job in here.workloads:
        found = decided.get(job.key)
        rows = tuple(
            row
            if found is None
            else replace(row, desired_replicas=found.replicas_of(row.name), last_write_time=NOW)
            for row in job.placements
        )
        jobs.append(replace(job, placements=rows))
    again = govern(replace(here, workloads=tuple(jobs)), None, NOW + 1)
    for row in again.decisions:
        before = {t.placement_name: t.replicas for t in row.basis}
        job = next(j for j in here.workloads if j.key == row.workload_key)
        first = decided.get(row.workload_key)
        for target in row.targets:
            if first is not None and first.reason == row.reason:
                seen = next(p for p in job.placements if p.name == target.placement_name)
                lowered = first.replicas_of(target.placement_name) < seen.observed_replicas
                metered = (
                    next(s for s in here.sites if s.name == seen.site_name).connections[0].metered
                )
                moved = any(
                    first.replicas_of(p.name) < p.observed_replicas
                    for p in job.placements
                    if p.name != target.placement_name
                )
                # with a ceiling, a suspect model, or tokens that come from where replicas went in
                # the same tick a second step may be needed; else not
                if lowered and metered is None and not moved:
                    assert target.replicas >= before[target.placement_name] - 1


@FEW
@given(st.floats(0.05, 2.0), st.floats(0.0, 2.0))
def test_a_dearer_source_never_keeps_more_replicas(low, more):
    def kept(price):
        rows = (site("east", price=f"{price:.4f}"), site("west", price="0.50"))
        return plan(snapshot(sites=rows), NOW).decisions[0].replicas_of("east")

    assert kept(low + more) <= kept(low)


@FEW
@given(worlds())
def test_modes_change_who_acts_and_not_what_is_told(here):
    watch = replace(here, mode=Mode.OBSERVE)
    assert [row.reason for row in plan(watch, NOW).decisions] == [
        row.reason for row in plan(here, NOW).decisions
    ]
    for decision in plan(watch, NOW).decisions:
        assert validate(decision, watch, NOW) is not None
