"""What every governor tick must keep, over random worlds: bounds, ladder, ramps, calm, replay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, strategies as st
from tests.core.build import NOW, event, reading
from tests.core.planner.test_plan_properties import scaled, shuffled
from tests.core.worlds import (
    FEW,
    asked,
    busy_watts,
    carried_out,
    counts,
    load,
    metered,
    powers,
    targets,
    upper_watts,
    with_feeds,
    worlds,
)
from wattshift.control.record.recorder import Step, dump_step, load_step
from wattshift.core.decision import Governance, Plan
from wattshift.core.governor.governor import govern
from wattshift.core.model import Firmness, MemberPhase, Mode, Snapshot, Tier
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.validate import validate

BOUNDS = (Reason.SITE_LIMIT, Reason.EVENT_LIMIT, Reason.COOLING_LIMIT, Reason.EMERGENCY)
WIDE = (60_000, None)


def changes(here: Snapshot, tick: Governance) -> dict[tuple[str, str], int]:
    """(workload, placement) -> replicas more or less."""
    found = {}
    for decision in tick.decisions:
        before = {row.placement_name: row.replicas for row in decision.basis}
        for name, count in targets(decision).items():
            if count != before[name]:
                found[decision.workload_key, name] = count - before[name]
    return found


def with_event(here: Snapshot, watts: int, firmness: Firmness = Firmness.MANDATORY) -> Snapshot:
    """One event with this upper bound at every site, and no others."""
    return replace(
        here,
        sites=tuple(
            replace(row, events=(event(upper=watts, firmness=firmness),)) for row in here.sites
        ),
    )


def at_one_site(here: Snapshot) -> Snapshot:
    """Every workload stands at its first site only, with as much load as it had there."""
    found = []
    for job in here.workloads:
        names = [row.name for row in job.placements if row.observed_replicas][:1]
        rows = tuple(
            row
            if row.name in names
            else replace(
                row,
                observed_replicas=0,
                ready_replicas=0,
                in_service_replicas=0,
                engine=None,
                min_replicas=0,
            )
            for row in job.placements
        )
        found.append(replace(job, placements=rows))
    return replace(here, workloads=tuple(found))


def settled(here: Snapshot, before: Plan | None = None) -> Snapshot:
    """After three ticks: what was shed at one site crowds the others, which may shed in their turn."""
    for _ in range(3):
        here = asked(here, govern(here, before, NOW).decisions)
    return here


# ---- bounds ---------------------------------------------------------------------------------------


@FEW
@given(
    worlds(events=False, ramps=False, limits=WIDE),
    st.sampled_from([600, 1500, 2500, 4500]),
    st.booleans(),
)
def test_a_hard_bound_is_kept_by_the_estimator_or_nothing_is_left_to_shed(here, watts, meter):
    here = with_event(metered(here) if meter else here, watts)
    after = settled(here)
    standing = {row.name: 0 for row in here.sites}
    for job in after.workloads:
        for name, count in counts(job).items():
            standing[name] += count
    for row in here.sites:
        if row.members[0].phase is MemberPhase.READY and standing[row.name]:
            assert powers(after)[row.name].upper_watts <= upper_watts(row) + 1


@FEW
@given(worlds(lower=False), st.booleans())
def test_what_a_tick_raises_fits_under_every_hard_bound_at_full_load(here, with_plan):
    tick = govern(here, plan(here, NOW) if with_plan else None, NOW)
    for row in here.sites:
        raised = sum(
            max(0, more) for (_, name), more in changes(here, tick).items() if name == row.name
        )
        if raised:
            more = raised * busy_watts(row)
            assert powers(here)[row.name].upper_watts + more <= upper_watts(row, soft=False) + 1


@FEW
@given(worlds(events=False, unknown=False), st.sampled_from([1000, 4000]), st.integers(500, 9000))
def test_a_lower_bound_never_drives_a_site_over_an_upper_one(here, upper, lower):
    both = tuple(
        replace(row, events=(event("up", upper=upper), event("low", upper=None, lower=lower)))
        for row in here.sites
    )
    here = replace(here, sites=both)
    after = asked(here, govern(here, None, NOW).decisions)
    for row in here.sites:
        most = max(powers(here)[row.name].upper_watts, upper_watts(row))
        assert (powers(after)[row.name].committed_watts or 0) <= most + 1


@FEW
@given(worlds(lower=False, events=False, unknown=False, ramps=False, held=False, limits=WIDE))
def test_a_tighter_bound_never_leaves_more_power(here):
    left = []
    for watts in (4500, 4000, 2000, 1000):
        bound = with_event(here, watts)
        # what is made up elsewhere is another matter
        lowered = tuple(
            replace(
                row,
                targets=tuple(
                    replace(target, replicas=min(target.replicas, basis.replicas))
                    for target, basis in zip(row.targets, row.basis, strict=True)
                ),
            )
            for row in govern(bound, None, NOW).decisions
        )
        after = asked(bound, lowered)
        left.append(sum(row.upper_watts for row in powers(after).values()))
    for wide, tight in zip(left, left[1:], strict=False):
        assert tight <= wide + 1


@FEW
@given(worlds(events=False, limits=WIDE, unknown=False), st.sampled_from(list(Firmness)))
def test_nothing_is_shed_where_no_bound_is_reached(here, firmness):
    here = with_feeds(here, lambda _, feed: replace(feed, contract_maximum_watts=None))
    here = with_event(here, 100_000, firmness)
    assert all(more > 0 for more in changes(here, govern(here, None, NOW)).values())


# ---- whom a bound may harm ------------------------------------------------------------------------


@FEW
@given(worlds(events=False, limits=WIDE), st.sampled_from([500, 2000]))
def test_a_voluntary_bound_takes_nothing_that_users_need(here, watts):
    here = with_event(here, watts, Firmness.VOLUNTARY)
    after = {row.key: row for row in carried_out(here, govern(here, None, NOW).decisions).workloads}
    for job in here.workloads:
        if job.batch is None and load(job) is None:
            assert sum(counts(after[job.key]).values()) >= sum(counts(job).values())
        elif job.batch is None:
            need = (load(job) or 0.0) * 1.2
            had, has = sum(counts(job).values()) * 14, sum(counts(after[job.key]).values()) * 14
            assert has >= min(had, need) - 1e-6


@FEW
@given(worlds(events=False, limits=WIDE), st.sampled_from([500, 2000]))
def test_a_committed_bound_takes_no_more_than_each_tier_tolerates(here, watts):
    here = with_event(here, watts, Firmness.COMMITTED)
    after = {row.key: row for row in carried_out(here, govern(here, None, NOW).decisions).workloads}
    for job in here.workloads:
        if job.batch is not None:
            continue
        had, has = sum(counts(job).values()) * 14, sum(counts(after[job.key]).values()) * 14
        known = load(job)
        need = had if known is None else min(had, known * 1.2)
        assert has >= need * (1 - job.tier.tolerated_loss) - 1e-6
        assert sum(counts(after[job.key]).values()) >= min(
            sum(counts(job).values()), job.min_replicas
        )


@FEW
@given(worlds(events=False, limits=WIDE, held=False, routed=False, unknown=False))
def test_firm_work_gives_below_its_need_only_when_flexible_work_has_nothing_left(here):
    here = with_event(here, 900)
    after = {row.key: row for row in asked(here, govern(here, None, NOW).decisions).workloads}

    def harmed(job, site):
        gone = counts(job)[site] - counts(after[job.key])[site]
        has = sum(counts(after[job.key]).values()) * 14
        return gone > 0 and has < min((load(job) or 0.0) * 1.2, sum(counts(job).values()) * 14)

    for row in here.sites:
        firm = [job for job in here.workloads if job.tier is Tier.FIRM and harmed(job, row.name)]
        flexible = [job for job in here.workloads if job.tier is Tier.HIGH]
        # what could not have spared one firm replica may stay
        left = sum(
            counts(after[job.key])[row.name] * (400 if load(job) else 100) for job in flexible
        )
        assert not firm or left <= busy_watts(row)


@FEW
@given(worlds(), st.booleans())
def test_a_tick_keeps_the_maxima_of_placements_and_workloads(here, with_plan):
    tick = govern(here, plan(here, NOW) if with_plan else None, NOW)
    for decision in tick.decisions:
        job = next(row for row in here.workloads if row.key == decision.workload_key)
        before, after = counts(job), targets(decision)
        for row in job.placements:
            assert 0 <= after[row.name] <= max(row.max_replicas, before[row.name])
        assert sum(after.values()) <= max(job.max_replicas, sum(before.values()))


# ---- ramps ----------------------------------------------------------------------------------------


@FEW
@given(worlds(events=False, limits=WIDE, unknown=False), st.sampled_from([1000, 3000]))
def test_a_tick_sheds_no_faster_than_the_ramp_but_for_the_first_replica(here, watts):
    here = with_event(here, watts)
    tick = govern(here, None, NOW)
    after = asked(here, tick.decisions)
    for row in here.sites:
        ramp = row.ramp_down_watts_per_minute
        gone = [more for (_, name), more in changes(here, tick).items() if name == row.name]
        if ramp is not None and sum(-more for more in gone if more < 0) > 1:
            before, later = powers(here)[row.name], powers(after)[row.name]
            assert (before.committed_watts or 0) - (later.committed_watts or 0) <= ramp + 1


# ---- calm -----------------------------------------------------------------------------------------


@FEW
@given(
    worlds(events=False, lower=False, unknown=False, ramps=False, limits=WIDE),
    st.sampled_from([1500, 3000, 4500]),
    st.sampled_from([0.7, 1.0, 1.3, None, "silent"]),
    st.integers(1, 50),
)
def test_while_what_was_shed_still_draws_power_nothing_more_is_shed(here, watts, factor, later):
    """The meter shows the old power until the drain is over: watts are credited, not shed twice.

    Workloads that stand at two sites are left out: what one site sheds crowds the other.
    """
    here = at_one_site(here)
    if factor == "silent":
        here = with_feeds(here, lambda _, feed: replace(feed, metered=reading(None)))
    elif factor is not None:
        here = metered(here, factor)
    here = with_event(here, watts)
    first = govern(here, None, NOW)
    waiting = asked(here, first.decisions)
    waiting = replace(waiting, grid_time=NOW + later, wall_time=here.wall_time + later)
    again = govern(waiting, None, NOW + later)
    assert all(more >= 0 for more in changes(waiting, again).values())


@FEW
@given(worlds(events=False, lower=False, unknown=False, ramps=False), st.sampled_from([2000, 5000]))
def test_the_governor_comes_to_rest_under_a_bound(here, watts):
    """Shed, made up elsewhere, given back: never round in circles while nothing else changes."""
    here, seen = with_event(here, watts), []
    for _ in range(10):
        tick = govern(here, None, NOW)
        if not changes(here, tick):
            break
        state = tuple(tuple(sorted(counts(job).items())) for job in here.workloads)
        assert state not in seen, "the governor goes round in circles"
        seen.append(state)
        here = carried_out(here, tick.decisions)
    else:
        pytest.fail("the governor does not come to rest")


@FEW
@given(worlds())
def test_what_only_watches_is_told_and_never_acted_on(here):
    watching = replace(
        here, workloads=tuple(replace(job, mode=Mode.OBSERVE) for job in here.workloads)
    )
    for decision in govern(watching, None, NOW).decisions:
        assert validate(decision, watching, NOW) is not None


# ---- validity, units, order, replay ---------------------------------------------------------------


@FEW
@given(worlds(), st.booleans(), st.booleans())
def test_no_urgent_decision_is_refused_on_the_snapshot_that_it_was_made_from(
    here, with_plan, meter
):
    here = metered(here) if meter else here
    for decision in govern(here, plan(here, NOW) if with_plan else None, NOW).decisions:
        assert validate(decision, here, NOW) is None, decision


@FEW
@given(worlds(), st.sampled_from(["8", "0.125"]))
def test_the_unit_of_money_does_not_matter_to_the_governor(here, factor):
    other = scaled(here, factor)
    mine, theirs = govern(here, plan(here, NOW), NOW), govern(other, plan(other, NOW), NOW)
    assert (theirs.decisions, theirs.caps) == (mine.decisions, mine.caps)


@FEW
@given(worlds(), st.randoms(use_true_random=False))
def test_no_order_in_the_snapshot_matters_to_the_governor(here, shuffle):
    mixed = shuffled(here, shuffle)
    mine, theirs = govern(here, None, NOW), govern(mixed, None, NOW)
    assert {row.workload_key: targets(row) for row in theirs.decisions} == {
        row.workload_key: targets(row) for row in mine.decisions
    }
    assert sorted(theirs.caps, key=repr) == sorted(mine.caps, key=repr)


@FEW
@given(worlds(), st.booleans())
def test_a_recorded_tick_replays_to_the_same_decisions(here, meter):
    here = metered(here) if meter else here
    before = plan(here, NOW)
    tick = govern(here, before, NOW)
    step = load_step(dump_step(Step(snapshot=here, governance=tick, plan_before=before)))
    assert step.governance == tick
    assert govern(step.snapshot, step.plan_before, NOW) == tick


@FEW
@given(worlds(unknown=False, limits=WIDE))
def test_an_old_plan_changes_whom_it_prefers_and_never_whether_a_bound_is_kept(here):
    here = with_event(here, 2000)
    assume(all(row.ramp_down_watts_per_minute is None for row in here.sites))
    old = plan(with_feeds(here, lambda _, feed: replace(feed, price=None)), NOW - 7200)
    for before in (None, old):
        after = settled(here, before)
        standing = {row.name: 0 for row in here.sites}
        for job in after.workloads:
            for name, count in counts(job).items():
                standing[name] += count
        for row in here.sites:
            if standing[row.name]:
                assert powers(after)[row.name].upper_watts <= upper_watts(row) + 1
