"""What the batch plan must keep over random prices, backlogs and arrivals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.build import NOW, batch, connection, placement, quote, site, snapshot
from tests.core.worlds import FEW
from wattshift.core.planner.batch import wishes
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import survey

HOUR = 3600.0
CENTS = st.integers(-20, 90)


@st.composite
def cases(draw):
    """(job, prices of now and of the hours that are known)."""
    standing = draw(st.integers(0, 4))
    due = draw(st.one_of(st.none(), st.floats(0.1, 40)))
    job = batch(
        replicas=standing,
        backlog=draw(st.floats(0.5, 3000)),
        placements=(placement("east", standing, baseline_replicas=4, max_replicas=6),),
        max_replicas=6,
        units_per_replica_hour=draw(st.one_of(st.none(), st.floats(1, 200))),
        deadline_time=None if due is None else NOW + due * HOUR,
        max_pause_seconds=draw(st.one_of(st.none(), st.integers(1, 12).map(lambda h: h * 3600))),
    )
    arrivals = draw(st.one_of(st.none(), st.floats(0, 300)))
    job = replace(job, batch=replace(job.batch, arrivals_per_hour=arrivals))
    return job, draw(st.lists(CENTS, min_size=1, max_size=24))


def wish_of(job, cents, factor=1.0):
    """What is wished where each price holds for an hour."""
    rows = [quote(f"{cent * factor / 100:.6f}") for cent in cents]
    ahead = tuple((NOW + HOUR * hour, row) for hour, row in enumerate(rows) if hour)
    feed = connection(price=rows[0], price_ahead=ahead)
    world = survey(snapshot((job,), (site("east", feed=feed),)), NOW)
    return wishes(world, world.jobs)[job.key]


def plain(wish):
    """Without words and money."""
    return (wish.run, wish.reason, wish.replicas, wish.most, wish.dear, wish.avoid, wish.until)


@FEW
@given(cases(), st.sampled_from([0.5, 3.0, 1000.0]))
def test_the_unit_of_work_does_not_matter(case, factor):
    job, cents = case
    units = job.batch.backlog_units
    other = replace(
        job.batch,
        backlog_units=replace(units, value=units.value * factor),
        units_per_replica_hour=_times(job.batch.units_per_replica_hour, factor),
        arrivals_per_hour=_times(job.batch.arrivals_per_hour, factor),
    )
    assert plain(wish_of(replace(job, batch=other), cents)) == plain(wish_of(job, cents))


def _times(value, factor):
    return None if value is None else value * factor


@FEW
@given(cases(), st.sampled_from([0.01, 20.0]))
def test_the_unit_of_money_does_not_matter(case, factor):
    job, cents = case
    assert plain(wish_of(job, cents, factor)) == plain(wish_of(job, cents))


@FEW
@given(cases(), st.integers(1, 60))
def test_who_runs_at_a_price_runs_at_a_lower_one(case, less):
    job, cents = case
    before, after = wish_of(job, cents), wish_of(job, [cents[0] - less, *cents[1:]])
    if before.run and not before.dear:
        assert after.run
        assert not after.dear


@FEW
@given(cases())
def test_dear_power_now_is_never_a_reason_to_wait_where_all_hours_cost_the_same(case):
    job, cents = case
    wish = wish_of(job, [cents[0]] * 24)
    assert wish.run
    assert not wish.dear


@FEW
@given(cases(), st.floats(1, 5))
def test_what_must_run_must_run_with_more_to_do_as_well(case, factor):
    job, cents = case
    units = job.batch.backlog_units
    more = replace(
        job.batch,
        backlog_units=replace(units, value=units.value * factor),
        arrivals_per_hour=_times(job.batch.arrivals_per_hour, factor),
    )
    if wish_of(job, cents).reason is Reason.DEADLINE:
        assert wish_of(replace(job, batch=more), cents).reason is Reason.DEADLINE


@FEW
@given(cases())
def test_a_wish_stays_inside_its_bounds_and_waits_for_something_that_is_cheaper(case):
    job, cents = case
    wish = wish_of(job, cents)
    assert 0 <= wish.replicas <= 6
    assert sum(count for _, count in wish.dear) <= 4
    if wish.reason is Reason.EXPENSIVE_POWER:
        assert wish.until > NOW
        assert wish.saves_per_kilowatt_hour > 0
        pause = job.max_pause_seconds
        assert pause is None or wish.until <= NOW + pause


@pytest.mark.parametrize("arrivals", [0.0, 30.0])
def test_a_deadline_that_has_passed_is_a_reason_to_run_and_not_to_fail(arrivals):
    job = batch(replicas=0, units_per_replica_hour=10.0, deadline_time=NOW - HOUR)
    job = replace(job, batch=replace(job.batch, arrivals_per_hour=arrivals))
    wish = wish_of(job, [50, 10])
    assert (wish.run, wish.reason) == (True, Reason.DEADLINE)
