"""Keeps a router's workers equal to the in-service pods of all sites, at their distance.

A pod that leaves readiness or terminates is taken out at once; one that came is added as soon as
it answers. Says nothing to pods and never decides which of them should live.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import aiohttp

from e2e.lab.traffic.proxy import Distances
from e2e.lab.traffic.router import Router

LOG = logging.getLogger(__name__)
TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """One in-service engine."""

    url: str
    site: str


class RouterKeeper:
    """One loop per router; `kick()` makes it look at once."""

    def __init__(
        self, router: Router, wanted: Callable[[], Iterable[Worker]], *, distances: Distances
    ) -> None:
        self.router = router
        self.in_router: dict[str, Worker] = {}
        """Router URL -> worker, as of the last look."""
        self._wanted = wanted
        self._distances = distances
        self._known: dict[str, Worker] = {}
        self._adding: dict[str, asyncio.Task[bool]] = {}
        self._wake = asyncio.Event()

    def kick(self) -> None:
        """Something changed."""
        self._wake.set()

    async def run(self) -> None:
        """Follow for ever; restarts a router that died."""
        try:
            while True:
                self._wake.clear()
                try:
                    if not self.router.alive:
                        LOG.warning("router of %s died, starting it again", self.router.url)
                        self.in_router = {}
                        await self.router.start()
                    await self.reconcile()
                except (aiohttp.ClientError, TimeoutError, OSError) as problem:
                    LOG.warning("router %s: %s", self.router.url, problem or type(problem).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), TICK_SECONDS)
        finally:
            for task in self._adding.values():
                task.cancel()

    async def reconcile(self) -> None:
        """One pass: out first, then in (adding waits for the worker in a task of its own)."""
        wanted: dict[str, Worker] = {}
        for worker in sorted(self._wanted()):
            url = await self._distances.url_for(worker.site, worker.url)
            wanted[url] = self._known[url] = worker
        present = await self.router.workers()
        for url in present - wanted.keys():
            await self.router.remove(url)
            LOG.info("out %s", self._known.get(url, url))
        for url in self._adding.keys() - wanted.keys():
            self._adding.pop(url).cancel()
        for url in self._known.keys() - wanted.keys():
            self._distances.retire(self._known.pop(url).url)
        for url, task in list(self._adding.items()):
            if task.done():
                del self._adding[url]
        for url in wanted.keys() - present - self._adding.keys():
            self._adding[url] = asyncio.create_task(self._add(url))
        self.in_router = {url: wanted[url] for url in present & wanted.keys()}
        await self._distances.sweep()

    async def _add(self, url: str) -> bool:
        added = await self.router.add(url)
        LOG.info("in %s: %s", self._known.get(url, url), added)
        self.kick()
        return added
