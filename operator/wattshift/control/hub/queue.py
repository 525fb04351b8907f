"""Work queue of keys: de-duplicated, one worker per key at a time, backoff per key.

`Backlog` is the pure part (time is an argument); `WorkQueue` runs workers over it. A key that is
added while it is worked on runs once more afterwards. Errors: Transient and Bug retry with
exponential backoff, NeedsHuman slowly; success resets.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wattshift.errors import NeedsHuman

KeyT = TypeVar("KeyT", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delay before try n (0 = first retry): `base x 2^n` up to `cap`, times 1 +- jitter."""

    base_seconds: float = 1.0
    cap_seconds: float = 300.0
    jitter: float = 0.2

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after so many failures in a row."""
        exponent = min(max(failures - 1, 0), 32)
        plain = min(self.base_seconds * 2.0**exponent, self.cap_seconds)
        return min(plain * rng.uniform(1 - self.jitter, 1 + self.jitter), self.cap_seconds)


class Backlog(Generic[KeyT]):
    """Keys that wait, keys that are worked on, and when which one is due."""

    def __init__(self, *, backoff: Backoff | None = None, rng: random.Random | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._due: dict[KeyT, float] = {}
        self._heap: list[tuple[float, int, KeyT]] = []
        self._order = itertools.count()
        self._active: set[KeyT] = set()
        self._again: dict[KeyT, float] = {}
        self._failures: dict[KeyT, int] = {}

    def add(self, key: KeyT, *, now: float, delay_seconds: float = 0.0) -> None:
        """Want `key` worked on at `now + delay`; the earliest wish counts."""
        due = now + delay_seconds
        if key in self._active:
            self._again[key] = min(due, self._again.get(key, due))
            return
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))

    def take(self, now: float) -> KeyT | None:
        """A key that is due, now being worked on; None if there is none."""
        self._drop_outdated()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        self._active.add(key)
        return key

    def done(self, key: KeyT, *, now: float, again_after_seconds: float | None = None) -> None:
        """Worked on with success; `again_after_seconds` asks for a later visit."""
        self._failures.pop(key, None)
        self._finish(key, now + again_after_seconds if again_after_seconds is not None else None)

    def retry(self, key: KeyT, *, now: float, slowly: bool = False) -> float:
        """Worked on without success; returns the delay.

        A new `add` meanwhile does not shorten it below the backoff, so that a failing key that
        changes often does not spin.
        """
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = self._backoff.cap_seconds if slowly else self._backoff.delay(failures, self._rng)
        if slowly and key in self._again:
            delay = self._backoff.base_seconds
        self._again.pop(key, None)
        self._finish(key, now + delay)
        return delay

    def forget(self, key: KeyT) -> None:
        """The object is gone: no visit, no memory of failures."""
        self._failures.pop(key, None)
        self._again.pop(key, None)
        self._due.pop(key, None)

    def next_due(self) -> float | None:
        """When the next key is due; None if none waits."""
        self._drop_outdated()
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._due) + len(self._active)

    def _finish(self, key: KeyT, due: float | None) -> None:
        self._active.discard(key)
        again = self._again.pop(key, None)
        wishes = [moment for moment in (due, again) if moment is not None]
        if wishes:
            moment = min(wishes)
            self._due[key] = moment
            heapq.heappush(self._heap, (moment, next(self._order), key))

    def _drop_outdated(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)


class WorkQueue(Generic[KeyT]):
    """Workers over a backlog. `handle(key)` may return seconds after which to come again."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        handle: Callable[[KeyT], Awaitable[float | None]],
        on_error: Callable[[KeyT, Exception, float], None],
        workers: int = 4,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._handle = handle
        self._on_error = on_error
        self._workers = workers
        self._backlog: Backlog[KeyT] = Backlog(backoff=backoff, rng=rng)
        self._changed = asyncio.Event()

    def add(self, key: KeyT, *, delay_seconds: float = 0.0) -> None:
        """Want `key` worked on; from the event loop's thread only."""
        self._backlog.add(key, now=self._clock(), delay_seconds=delay_seconds)
        self._changed.set()

    def forget(self, key: KeyT) -> None:
        """The object is gone."""
        self._backlog.forget(key)

    def __len__(self) -> int:
        return len(self._backlog)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(self._workers):
                group.create_task(self._work(), name=f"queue-{index}")

    async def step(self) -> bool:
        """Work on one due key; False if none is due."""
        key = self._backlog.take(self._clock())
        if key is None:
            return False
        try:
            again = await self._handle(key)
        except asyncio.CancelledError:
            self._backlog.retry(key, now=self._clock())
            raise
        except Exception as error:  # noqa: BLE001 - one bad key stops no other
            slowly = isinstance(error, NeedsHuman)
            delay = self._backlog.retry(key, now=self._clock(), slowly=slowly)
            self._on_error(key, error, delay)
        else:
            self._backlog.done(key, now=self._clock(), again_after_seconds=again)
        if self._backlog.next_due() is not None:
            self._changed.set()
        return True

    async def _work(self) -> None:
        while True:
            if await self.step():
                continue
            due = self._backlog.next_due()
            timeout = None if due is None else max(0.0, due - self._clock())
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), timeout)
            except TimeoutError:
                continue
