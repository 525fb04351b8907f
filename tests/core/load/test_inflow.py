"""What a backlog says about arrivals and speed, and what it does not say."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.build import NOW, PROFILE, batch, placement, reading, snapshot, workload
from wattshift.core.load.inflow import KEPT_SECONDS, Inflow, Look, learnt
from wattshift.core.planner.plan_memory import PlanMemory

HOUR = 3600.0
STEP = 300.0


def history(arrivals, rate, counts, *, start=400.0):
    """Looks every five minutes while so many replicas run; nothing is done of what is not there."""
    found, units = [], start
    for index, replicas in enumerate(counts):
        found.append(Look(time=NOW + STEP * index, units=units, replicas=replicas))
        units = max(0.0, units + (arrivals - rate * replicas) * STEP / HOUR)
    return found


def state(**more):
    return batch(**more).batch


@given(
    arrivals=st.floats(0, 500),
    rate=st.floats(1, 200),
    counts=st.lists(st.sampled_from([0, 0, 1, 2, 5]), min_size=12, max_size=60),
)
def test_arrivals_and_speed_are_found_as_they_were(arrivals, rate, counts):
    counts = [0, 0, 0, 0, 2, 2, 2, 2, *counts]
    found = learnt(history(arrivals, rate, counts, start=1e6), state())
    assert found.arrivals_per_hour == pytest.approx(arrivals, rel=1e-3, abs=1e-2)
    assert found.units_per_replica_hour == pytest.approx(rate, rel=1e-3)


def test_a_queue_that_runs_dry_says_nothing_about_speed():
    # forty an hour arrive, four replicas could do four hundred: what is done is what arrives
    rows = history(40.0, 100.0, [0] * 8 + [4] * 30, start=0.0)
    found = learnt(rows, state())
    assert found.arrivals_per_hour == pytest.approx(40.0)
    assert found.units_per_replica_hour in (None, pytest.approx(100.0))


def test_one_count_of_replicas_tells_nothing_apart():
    assert learnt(history(35.0, 20.0, [2] * 40), state()) == state()


def test_where_the_speed_is_known_one_count_is_enough():
    known = state(units_per_replica_hour=20.0)
    found = learnt(history(35.0, 20.0, [2] * 40), known)
    assert found.arrivals_per_hour == pytest.approx(35.0)
    assert found.units_per_replica_hour == 20.0


def test_what_is_known_already_stays():
    known = replace(state(), units_per_replica_hour=7.0, arrivals_per_hour=3.0)
    assert learnt(history(35.0, 20.0, [0] * 5 + [2] * 40), known) is known


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_too_few_looks_say_nothing(looks):
    assert learnt(history(35.0, 20.0, [0] * looks), state()) == state()


def test_a_backlog_that_grows_while_it_works_has_no_speed_below_zero():
    rows = [
        Look(time=NOW + STEP * k, units=100 + 10 * k * (1 + k), replicas=k // 10) for k in range(30)
    ]
    found = learnt(rows, state())
    assert found.units_per_replica_hour is None or found.units_per_replica_hour > 0


@pytest.mark.parametrize("at", [2, 20, 40])
@pytest.mark.parametrize("dumps", [1, 3])
def test_a_night_shift_that_comes_all_at_once_makes_nobody_faster_or_slower(at, dumps):
    """A thousand documents at a time, and 20 an hour done by each of four replicas."""
    rows = history(3.0, 20.0, [0] * 30 + [4] * 30, start=900.0)
    for dump in range(dumps):
        after = at + 4 * dump
        rows = [replace(r, units=r.units + 1000.0 * (k > after)) for k, r in enumerate(rows)]
    found = learnt(rows, state())
    assert found.units_per_replica_hour == pytest.approx(20.0, rel=0.01)
    hours = 59 * STEP / HOUR
    assert found.arrivals_per_hour == pytest.approx(3.0 + 1000.0 * dumps / hours, rel=0.05)


def test_units_that_come_and_go_one_by_one_are_no_accidents():
    rng, rows, units = random.Random(5), [], 300.0
    for index in range(288):
        replicas = 2 * (index // 48 % 2)
        rows.append(Look(time=NOW + STEP * index, units=units, replicas=replicas))
        units += sum(rng.random() < 0.03 for _ in range(10))
        units -= sum(rng.random() < 0.05 for _ in range(10 * replicas))
    found = learnt(rows, state())
    assert found.arrivals_per_hour == pytest.approx(3.6, rel=0.25)
    assert found.units_per_replica_hour == pytest.approx(6.0, rel=0.25)


# ---- what is kept


def seen(units, now, replicas=2):
    work = batch(replicas=replicas)
    work = replace(
        work, batch=replace(work.batch, backlog_units=reading(units, unit="Count", age=NOW - now))
    )
    return replace(snapshot((work, workload("chat"))), grid_time=now)


def follow(memory, arrivals, rate, counts, start=400.0):
    units, here = start, None
    for index, replicas in enumerate(counts):
        now = NOW + STEP * index
        here = memory.remembered(seen(units, now, replicas))
        units += (arrivals - rate * replicas) * STEP / HOUR
    return next(row for row in here.workloads if row.batch is not None).batch


@pytest.mark.parametrize("memory", [Inflow, PlanMemory])
def test_it_is_learnt_along_the_plans(memory):
    found = follow(memory(), 35.0, 20.0, [2] * 10 + [0] * 10)
    assert found.arrivals_per_hour == pytest.approx(35.0)
    assert found.units_per_replica_hour == pytest.approx(20.0)


def test_nothing_is_put_in_before_it_is_known_and_into_nobody_else():
    here = seen(400.0, NOW)
    assert Inflow().remembered(here) is here


def test_a_clock_that_was_set_back_forgets():
    memory = Inflow()
    follow(memory, 35.0, 20.0, [2] * 10 + [0] * 10)
    back = memory.remembered(seen(400.0, NOW - HOUR))
    assert back.workloads[0].batch.arrivals_per_hour is None


def test_an_unknown_backlog_leaves_a_gap():
    memory = Inflow()
    work = batch(replicas=2, backlog=None)
    for index in range(20):
        here = replace(snapshot((work,)), grid_time=NOW + STEP * index)
        assert memory.remembered(here).workloads[0].batch.units_per_replica_hour is None


def test_unknown_counts_leave_a_gap():
    memory = Inflow()
    rows = (placement("east", 2, in_service_replicas=None),)
    for index in range(20):
        now = NOW + STEP * index
        work = replace(seen(400.0 + index, now).workloads[0], placements=rows)
        here = memory.remembered(replace(snapshot((work,)), grid_time=now))
    assert here.workloads[0].batch.arrivals_per_hour is None


def test_what_was_not_followed_in_between_says_nothing():
    """Two looks at two replicas: nobody knows what ran while the backlog was unknown between them."""
    memory = Inflow()
    follow(memory, 35.0, 20.0, [2] * 10 + [0] * 10)
    known = memory.remembered(seen(900.0, NOW + 20 * STEP, 0)).workloads[0].batch
    hidden = replace(seen(0.0, NOW + 21 * STEP, 0), workloads=(batch(replicas=0, backlog=None),))
    memory.remembered(hidden)
    later = memory.remembered(seen(90_000.0, NOW + 30 * STEP, 0)).workloads[0].batch
    assert later.arrivals_per_hour == pytest.approx(known.arrivals_per_hour)


def test_replicas_that_came_and_went_between_two_looks_are_no_steady_count():
    memory = Inflow()
    for index in range(40):
        now = NOW + STEP * index
        here = memory.remembered(seen(400.0 - 10 * index, now, 0))
        memory.remembered(seen(400.0 - 10 * index, now + 100, 4))  # what works is seen in between
    assert here.workloads[0].batch.arrivals_per_hour is None


def test_a_namesake_begins_anew():
    memory = Inflow()
    follow(memory, 35.0, 20.0, [2] * 10 + [0] * 10)
    here = seen(400.0, NOW + 20 * STEP, 0)
    other = replace(here, workloads=tuple(replace(row, uid="other") for row in here.workloads))
    assert memory.remembered(other).workloads[0].batch.units_per_replica_hour is None


def test_memory_is_bounded():
    memory = Inflow()
    for index in range(3 * 288):
        memory.remembered(seen(400.0, NOW + STEP * index))
    assert len(memory.looks("team/nightly")) <= KEPT_SECONDS / STEP + 1
    memory.remembered(replace(snapshot((workload("chat"),)), grid_time=NOW))
    assert not memory.looks("team/nightly")


# ---- tokens of a unit


def told(tokens, rates=(1000.0,), names=("prof",), looks=()):
    """What is known of work of so many tokens a unit, whose replicas have profiles of such rates."""
    rows = tuple(
        placement(f"p{k}", 1, site_name="east", profile_name=name) for k, name in enumerate(names)
    )
    work = replace(batch(tokens_per_unit=tokens), placements=rows)
    here = snapshot((work,))
    profiles = tuple(
        replace(PROFILE, name=name, output_tokens_per_second_at_objective=rate)
        for name, rate in zip(names, rates, strict=False)
    )
    memory = Inflow()
    memory.restore(work, looks, None)
    return memory.remembered(replace(here, profiles=profiles)).workloads[0].batch


def test_the_tokens_of_a_unit_tell_its_speed_before_the_backlog_does():
    assert told(7000).units_per_replica_hour == pytest.approx(0.7 * 1000 * 3600 / 7000)


def test_the_slowest_of_its_replicas_counts():
    found = told(7000, (1000.0, 500.0), ("a", "b"))
    assert found.units_per_replica_hour == pytest.approx(0.7 * 500 * 3600 / 7000)


@pytest.mark.parametrize("tokens", [None, 0])
def test_without_tokens_nobody_says(tokens):
    assert told(tokens).units_per_replica_hour is None


@pytest.mark.parametrize("rates", [(None,), (0.0,), ()])
def test_without_a_rate_of_every_profile_nobody_says(rates):
    assert told(7000, rates).units_per_replica_hour is None
    assert told(7000, (1000.0, *rates), ("a", "b")).units_per_replica_hour is None


def test_what_the_backlog_has_shown_comes_before_the_tokens():
    rows = [
        replace(row, time=row.time - 20 * STEP)
        for row in history(35.0, 20.0, [2] * 10 + [0] * 10, start=1000.0)
    ]
    found = told(7000, looks=rows)
    assert found.units_per_replica_hour == pytest.approx(20.0)
    one_count = [row for row in rows if row.replicas == 2]
    found = told(7000, looks=one_count)
    assert found.units_per_replica_hour == pytest.approx(360.0)
    assert found.arrivals_per_hour == pytest.approx(35.0 - 2 * 20.0 + 2 * 360.0)
