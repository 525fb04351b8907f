"""The only place that reads time: a monotonic wall clock, real UTC, and the grid clock.

Wall (monotonic) is for leases, time-outs, hand-over deadlines and latency windows. Grid time is for
signals, calendars, events, dwell and energy; it equals UTC unless a replay runs it faster. Everybody
else takes a clock, or one of its methods, as an argument.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """What the rest may ask; all times in seconds."""

    @property
    def speed(self) -> float:
        """Grid seconds per wall second; 1 outside of a replay."""
        ...

    def monotonic(self) -> float:
        """Wall seconds since some fixed point; never goes back."""
        ...

    def utc(self) -> float:
        """Real epoch seconds: time stamps of conditions, events, logs."""
        ...

    def steady(self) -> float:
        """Epoch seconds as of the start, counted on by the monotonic clock.

        For deadlines that outlive the process: a clock that is set (NTP) neither ends nor extends
        what is under way.
        """
        ...

    def grid(self) -> float:
        """Epoch seconds on the grid clock."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A grid clock of its own: `start_time` at the real moment `wall_start_time`, then `speed` x."""

    start_time: float
    """Grid epoch seconds at the start."""
    speed: float
    wall_start_time: float | None = None
    """Real epoch seconds of that start; None = the start of this process, so a restart starts over."""


def _boot_clock() -> Callable[[], float]:
    """Seconds since boot, time asleep included where the kernel tells it (clock_gettime(2)).

    A machine that was suspended must find its Lease expired when it wakes: CLOCK_MONOTONIC stands
    still meanwhile on Linux, CLOCK_BOOTTIME does not.
    """
    number = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:  # a sandbox that knows the name only
        return time.monotonic
    return partial(time.clock_gettime, number)


class SystemClock:
    """The real clocks.

    In a replay grid time advances with the monotonic clock: a leap of the system's UTC during the
    run does not tear the replay.
    """

    def __init__(self, replay: Replay | None = None) -> None:
        self._replay = replay
        self._boot = _boot_clock()
        self._origin_monotonic = self._boot()
        self._origin_utc = time.time()
        if replay is not None:
            wall_start = replay.wall_start_time
            elapsed = 0.0 if wall_start is None else time.time() - wall_start
            self._origin_grid = replay.start_time + replay.speed * elapsed

    @property
    def speed(self) -> float:
        """Grid seconds per wall second."""
        return 1.0 if self._replay is None else self._replay.speed

    def monotonic(self) -> float:
        """Wall seconds since some fixed point."""
        return self._boot()

    def utc(self) -> float:
        """Real epoch seconds."""
        return time.time()

    def steady(self) -> float:
        """UTC as of the start, and the monotonic time since."""
        return self._origin_utc + self._boot() - self._origin_monotonic

    def grid(self) -> float:
        """Epoch seconds on the grid clock."""
        if self._replay is None:
            return time.time()
        return self._origin_grid + self._replay.speed * (self._boot() - self._origin_monotonic)


class ManualClock:
    """A clock that moves when told: for tests and for replays of recorded steps."""

    def __init__(self, *, utc: float = 1_800_000_000.0, speed: float = 1.0) -> None:
        self._elapsed = 0.0
        self._set = 0.0
        self._utc = utc
        self._speed = speed

    @property
    def speed(self) -> float:
        """Grid seconds per wall second."""
        return self._speed

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    def utc(self) -> float:
        """Start plus what was advanced, and by how much the clock was set."""
        return self._utc + self._elapsed + self._set

    def steady(self) -> float:
        """Start plus what was advanced."""
        return self._utc + self._elapsed

    def grid(self) -> float:
        """Start plus `speed` times what was advanced, and by how much the clock was set."""
        return self._utc + self._speed * self._elapsed + self._set

    def advance(self, seconds: float) -> None:
        """Move all clocks by `seconds` of wall time."""
        self._elapsed += seconds

    def set_by(self, seconds: float) -> None:
        """Somebody sets the clock of the machine: only UTC and the grid follow."""
        self._set += seconds
