"""The grid clock of a replay, the manual clock, and the bell."""

from __future__ import annotations

import asyncio
import time

from wattshift.control.clock import ManualClock, Replay, SystemClock
from wattshift.control.wake import Wake


def test_without_a_replay_grid_time_is_utc():
    clock = SystemClock()
    assert clock.speed == 1
    assert abs(clock.grid() - time.time()) < 5


def test_a_replay_starts_where_it_is_told():
    clock = SystemClock(Replay(start_time=1000.0, speed=1.0))
    assert 1000 <= clock.grid() < 1005


def test_a_process_that_starts_later_joins_the_replay_where_it_is():
    clock = SystemClock(Replay(start_time=1000.0, speed=60.0, wall_start_time=time.time() - 100))
    assert 7000 <= clock.grid() < 7000 + 60 * 5


def test_a_machine_that_slept_finds_the_time_gone(monkeypatch):
    woke = time.clock_gettime(time.CLOCK_BOOTTIME) + 3600
    clock, before = SystemClock(), SystemClock().monotonic()
    monkeypatch.setattr(clock, "_boot", lambda: woke)
    assert clock.monotonic() - before > 3500  # CLOCK_MONOTONIC would have stood still
    assert abs(clock.steady() - time.time() - 3600) < 100


def test_where_the_kernel_does_not_tell_the_time_asleep_the_monotonic_clock_serves(monkeypatch):
    def refused(_number):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", refused)
    clock = SystemClock()
    assert clock.monotonic() <= time.monotonic() <= clock.monotonic() + 5


def test_the_manual_clock_moves_all_three_times_together():
    clock = ManualClock(utc=1000, speed=60)
    clock.advance(10)
    assert (clock.monotonic(), clock.utc(), clock.grid()) == (10, 1010, 1600)


async def test_rings_are_collected_and_none_is_kept_twice():
    bell = Wake()
    bell.ring("spec")
    bell.ring("event")
    bell.ring("spec")
    assert await bell.wait(5) == ("spec", "event")
    assert await bell.wait(0) == ()


async def test_a_ring_wakes_who_waits():
    bell = Wake()
    waiting = asyncio.create_task(bell.wait(30))
    await asyncio.sleep(0)
    bell.ring("member")
    assert await asyncio.wait_for(waiting, 5) == ("member",)


def test_a_clock_that_is_set_moves_utc_and_the_grid_but_no_deadline():
    clock = ManualClock(utc=1000)
    clock.advance(5)
    clock.set_by(3600)
    assert (clock.monotonic(), clock.utc(), clock.grid()) == (5, 4605, 4605)
    assert clock.steady() == 1005


def test_the_steady_clock_begins_at_utc_and_goes_on(monkeypatch):
    clock = SystemClock()
    assert abs(clock.steady() - time.time()) < 5
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock.utc() == 0.0 and clock.steady() > 1e9
