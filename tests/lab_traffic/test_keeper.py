"""The router's workers follow the in-service pods."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from e2e.lab.traffic.keeper import RouterKeeper, Worker
from e2e.lab.traffic.proxy import Distance, Distances
from e2e.lab.traffic.router import Router, RouterOptions

pytestmark = pytest.mark.engine


class Kept:
    """A router, its keeper and the pods it should follow."""

    def __init__(self, folder: Path) -> None:
        self.wanted: list[Worker] = []
        self.distances = Distances({"near": Distance(), "far": Distance(20)})
        self.router = Router(RouterOptions(log=folder / "router.log"))
        self.keeper = RouterKeeper(self.router, lambda: self.wanted, distances=self.distances)

    async def has(self, count: int, seconds: float = 30) -> set[str]:
        """Wait until the router has so many workers."""
        self.keeper.kick()
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(aiohttp.ClientError):  # it may be starting again
                    if len(found := await self.router.workers()) == count:
                        return found
                await asyncio.sleep(0.05)


@pytest.fixture
async def kept(fleet, tmp_path: Path) -> AsyncIterator[Kept]:
    found = Kept(tmp_path)
    await found.router.start()
    task = asyncio.create_task(found.keeper.run())
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await found.router.stop()
    await found.distances.close()


async def test_workers_come_and_go_with_the_pods(fleet, kept: Kept) -> None:
    first, second = await fleet.start(2)
    kept.wanted = [Worker(first, "near"), Worker(second, "near")]
    assert await kept.has(2) == {first, second}
    kept.wanted = [Worker(second, "near")]
    assert await kept.has(1) == {second}
    kept.wanted = []
    assert await kept.has(0) == set()
    kept.wanted = [Worker(first, "near")]
    assert await kept.has(1) == {first}


async def test_far_worker_is_reached_through_its_proxy(fleet, kept: Kept) -> None:
    (url,) = await fleet.start(1)
    kept.wanted = [Worker(url, "far")]
    (via,) = await kept.has(1)
    assert via != url
    async with asyncio.timeout(5):
        while kept.keeper.in_router != {via: Worker(url, "far")}:
            await asyncio.sleep(0.05)


async def test_worker_that_does_not_answer_holds_up_nobody(fleet, kept: Kept) -> None:
    (url,) = await fleet.start(1)
    dead = f"http://{fleet.prefix}.99:8000"
    kept.wanted = [Worker(dead, "near")]
    kept.keeper.kick()
    await asyncio.sleep(0.3)
    kept.wanted = [Worker(dead, "near"), Worker(url, "near")]
    await kept.has(1, 8)
    kept.wanted = [Worker(dead, "near")]
    await kept.has(0, 8)


async def test_stranger_in_the_router_is_taken_out(fleet, kept: Kept) -> None:
    mine, stranger = await fleet.start(2)
    kept.wanted = [Worker(mine, "near")]
    await kept.has(1)
    assert await kept.router.add(stranger)
    assert await kept.has(1) == {mine}


async def test_router_that_dies_is_started_again_with_all_its_workers(fleet, kept: Kept) -> None:
    (url,) = await fleet.start(1)
    kept.wanted = [Worker(url, "near")]
    await kept.has(1)
    before, address = kept.router.pid, kept.router.url
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(30):
        while not kept.router.alive or kept.router.pid == before or not kept.keeper.in_router:
            await asyncio.sleep(0.1)
    assert kept.router.url == address
    assert await kept.has(1) == {url}


async def test_adding_a_worker_twice_is_no_error(fleet, kept: Kept) -> None:
    (url,) = await fleet.start(1)
    kept.wanted = [Worker(url, "near")]
    await kept.has(1)
    assert await kept.router.add(url)
    assert await kept.router.workers() == {url}
