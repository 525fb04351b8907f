"""Backlog: one visit per key at a time, none lost, backoff per key. Time is an argument."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.control.clock import ManualClock
from wattshift.control.hub.queue import Backlog, Backoff, WorkQueue
from wattshift.errors import NeedsHuman, Transient


def backlog(**options) -> Backlog[str]:
    return Backlog(rng=random.Random(1), **options)


def test_a_key_added_many_times_is_taken_once():
    work = backlog()
    for _ in range(5):
        work.add("a", now=0)
    assert work.take(0) == "a"
    assert work.take(0) is None


def test_a_key_added_while_worked_on_is_taken_again_afterwards_and_not_before():
    work = backlog()
    work.add("a", now=0)
    assert work.take(0) == "a"
    work.add("a", now=1)
    assert work.take(1) is None
    work.done("a", now=2)
    assert work.take(2) == "a"


def test_the_earliest_wish_counts():
    work = backlog()
    work.add("a", now=0, delay_seconds=60)
    work.add("a", now=0, delay_seconds=5)
    work.add("a", now=0, delay_seconds=30)
    assert work.next_due() == 5
    assert work.take(4.9) is None
    assert work.take(5) == "a"
    assert work.next_due() is None


def test_a_visit_that_asks_to_come_again_is_due_then():
    work = backlog()
    work.add("a", now=0)
    work.take(0)
    work.done("a", now=1, again_after_seconds=10)
    assert work.next_due() == 11


def test_failures_back_off_exponentially_to_five_minutes_and_success_resets():
    work = backlog(backoff=Backoff(jitter=0))
    now, delays = 0.0, []
    work.add("a", now=now)
    for _ in range(12):
        assert work.take(now) == "a"
        delays.append(work.retry("a", now=now))
        now += delays[-1]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == 300
    assert work.take(now) == "a"
    work.done("a", now=now)
    work.add("a", now=now)
    work.take(now)
    assert work.retry("a", now=now) == 1


def test_what_needs_a_human_waits_long_unless_the_object_changed_meanwhile():
    work = backlog()
    work.add("a", now=0)
    work.take(0)
    assert work.retry("a", now=0, slowly=True) == 300
    work.add("a", now=1)
    assert work.take(1) == "a"
    work.add("a", now=2)
    assert work.retry("a", now=2, slowly=True) == 1


def test_a_failing_key_that_changes_all_the_time_does_not_spin():
    work = backlog(backoff=Backoff(jitter=0))
    work.add("a", now=0)
    for expected in (1, 2, 4):
        now = work.next_due() or 0
        assert work.take(now) == "a"
        work.add("a", now=now)
        assert work.retry("a", now=now) == expected


def test_a_forgotten_key_is_not_visited():
    work = backlog()
    work.add("a", now=0)
    work.forget("a")
    assert work.take(0) is None
    assert len(work) == 0


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_the_delay_stays_within_its_jitter_and_its_cap(failures, seed):
    delay = Backoff().delay(failures, random.Random(seed))
    plain = min(2.0 ** (failures - 1), 300)
    assert 0.8 * plain <= delay <= min(300, 1.2 * plain)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("add take done retry".split()))))
def test_no_key_is_ever_worked_on_twice_at_a_time_and_no_add_is_lost(steps):
    work, active, wanted, now = backlog(), set(), set(), 0.0
    for key, step in steps:
        now += 1
        if step == "add":
            work.add(key, now=now)
            wanted.add(key)
        elif step == "take":
            taken = work.take(now)
            if taken is not None:
                assert taken not in active
                active.add(taken)
                wanted.discard(taken)
        elif key in active:
            active.discard(key)
            if step == "done":
                work.done(key, now=now)
            else:
                work.retry(key, now=now)
                wanted.add(key)
    for key in list(active):
        work.done(key, now=now)
    rest = set()
    while (taken := work.take(now + 1000)) is not None:
        rest.add(taken)
    assert rest == wanted


async def test_one_bad_key_stops_no_other_and_errors_are_told_with_the_delay():
    clock, told, done = ManualClock(), [], []

    async def handle(key: str) -> float | None:
        if key == "bad":
            raise Transient("down")
        if key == "worse":
            raise NeedsHuman("fix it")
        done.append(key)
        return None

    queue: WorkQueue[str] = WorkQueue(
        clock=clock.monotonic,
        handle=handle,
        on_error=lambda key, error, delay: told.append((key, type(error).__name__, round(delay))),
        backoff=Backoff(jitter=0),
    )
    for key in ("bad", "good", "worse"):
        queue.add(key)
    while await queue.step():
        pass
    assert done == ["good"]
    assert sorted(told) == [("bad", "Transient", 1), ("worse", "NeedsHuman", 300)]
    clock.advance(1)
    assert await queue.step()
    assert told[-1] == ("bad", "Transient", 2)


async def test_a_cancelled_visit_is_not_lost():
    clock, begun = ManualClock(), asyncio.Event()

    async def handle(_key: str) -> float | None:
        begun.set()
        await asyncio.Event().wait()
        return None

    queue: WorkQueue[str] = WorkQueue(
        clock=clock.monotonic, handle=handle, on_error=lambda *_: None
    )
    queue.add("a")
    task = asyncio.create_task(queue.step())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(queue) == 1


async def test_workers_wake_for_a_key_that_comes_while_all_sleep():
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def handle(key: str) -> float | None:
        seen.put_nowait(key)
        return None

    queue: WorkQueue[str] = WorkQueue(
        clock=ManualClock().monotonic, handle=handle, on_error=lambda *_: None, workers=3
    )
    task = asyncio.create_task(queue.run())
    for key in ("a", "b", "a"):
        queue.add(key)
        assert await asyncio.wait_for(seen.get(), 5) == key
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
