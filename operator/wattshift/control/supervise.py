"""Owner of the tasks of a process: starts them in tiers, notices the first that fails, stops them.

Tiers stop in reverse order of starting, each within a grace time, so that those who write stop before
the lease is released. A task that ends by itself, with or without an error, is a failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Which part ended, and how."""

    part: str
    error: BaseException | None


class Supervisor:
    """Tasks by tier. Not reusable after `stop_all`."""

    def __init__(self) -> None:
        self._tiers: dict[str, dict[str, asyncio.Task[Any]]] = {}
        self._failed: asyncio.Future[Failure] | None = None
        self._stopping = False

    def start(self, tier: str, part: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a part until it is stopped."""
        task = asyncio.create_task(coroutine, name=part)
        self._tiers.setdefault(tier, {})[part] = task
        task.add_done_callback(lambda done: self._ended(part, done))

    async def failure(self) -> Failure:
        """Wait for the first part that ends without being stopped."""
        if self._failed is None:
            self._failed = asyncio.get_running_loop().create_future()
            for tier in self._tiers.values():
                for part, task in tier.items():
                    if task.done():
                        self._ended(part, task)
        return await asyncio.shield(self._failed)

    @property
    def has_failed(self) -> bool:
        """Whether a part ended without being stopped, as far as `failure` has looked."""
        return self._failed is not None and self._failed.done()

    async def stop(self, tier: str, *, grace_seconds: float) -> tuple[str, ...]:
        """Cancel the parts of a tier; returns those that did not end in time."""
        tasks = self._tiers.pop(tier, {})
        self._stopping = True
        try:
            for task in tasks.values():
                task.cancel()
            if not tasks:
                return ()
            _done, pending = await asyncio.wait(tasks.values(), timeout=grace_seconds)
        finally:
            self._stopping = False
        late = tuple(part for part, task in tasks.items() if task in pending)
        if late:
            log.warning("did not stop in time: %s", ", ".join(late))
        return late

    async def stop_all(self, *, grace_seconds: float) -> None:
        """Stop the tiers that are left, last started first."""
        for tier in reversed(list(self._tiers)):
            await self.stop(tier, grace_seconds=grace_seconds)

    def _ended(self, part: str, task: asyncio.Task[Any]) -> None:
        if task.cancelled() and self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        if all(task not in tier.values() for tier in self._tiers.values()):
            if error is not None:
                log.error("%s failed while it stopped", part, exc_info=error)
            return
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(Failure(part, error))
