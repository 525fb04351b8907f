"""Records how many pods of a workload are in service over all sites, at every change of any pod.

Event-driven, so no moment between two samples is missed; independent of the product.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from e2e.lab.traffic.pods import Api, PodWatch


@dataclass(frozen=True, slots=True)
class Sample:
    """In-service pods by place from `wall_time` on."""

    wall_time: float
    in_service: Mapping[str, int]

    @property
    def total(self) -> int:
        """Over all places."""
        return sum(self.in_service.values())


class Recorder:
    """A thread that watches pods in several clusters."""

    def __init__(self, kubeconfigs: Mapping[str, Path], *, namespace: str, selector: str) -> None:
        self.samples: list[Sample] = []
        self._watches = {
            place: PodWatch(
                Api.from_kubeconfig(path),
                selector=selector,
                namespace=namespace,
                changed=self._changed,
            )
            for place, path in kubeconfigs.items()
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> Self:
        """Start, and return when every place was listed once."""
        self._thread.start()
        limit = time.monotonic() + 30
        while not all(watch.synced.is_set() for watch in self._watches.values()):
            if time.monotonic() > limit:
                raise TimeoutError("the recorder's watches do not start")
            time.sleep(0.02)
        self._changed()
        return self

    def stop(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])
            self._thread.join(10)

    def least(self, *, since: float = 0.0, until: float = float("inf")) -> int:
        """Fewest pods in service at any moment of the interval (wall time)."""
        before = [row for row in self.samples if row.wall_time <= since][-1:]
        inside = [row for row in self.samples if since < row.wall_time <= until]
        return min(row.total for row in (*before, *inside))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def watch() -> None:
            self._tasks = [asyncio.create_task(row.run()) for row in self._watches.values()]
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._loop.run_until_complete(watch())
        self._loop.close()

    def _changed(self) -> None:
        if not all(watch.synced.is_set() for watch in self._watches.values()):
            return
        counts = {place: len(watch.in_service()) for place, watch in self._watches.items()}
        if not self.samples or dict(self.samples[-1].in_service) != counts:
            self.samples.append(Sample(time.time(), counts))
