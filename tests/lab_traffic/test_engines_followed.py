"""Which engines of a site draw power, as their pods and processes come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from e2e.lab.plant.engines import Engines
from e2e.lab.traffic.pods import Pod


class Process:
    """A metrics endpoint on the wire that can die and come back."""

    def __init__(self) -> None:
        self.runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        async def metrics(_: web.Request) -> web.Response:
            return web.Response(text="vllm:num_requests_running 1\n")

        application = web.Application()
        application.router.add_get("/metrics", metrics)
        self.runner = web.AppRunner(application)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]

    async def die(self) -> None:
        if self.runner:
            await self.runner.cleanup()
            self.runner = None


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    found = Process()
    await found.start()
    yield found
    await found.die()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(trust_env=False) as found:
        yield found


def pod_of(process: Process) -> Pod:
    return Pod("u1", "p", "n", "127.0.0.1", process.port, {}, "node", True, True, False)


def states(engines: Engines) -> list[str]:
    return [item.state for item in engines.live.values()]


async def test_process_outlives_its_pod_object_and_still_draws_power(process, session) -> None:
    engines, pod = Engines(), pod_of(process)
    await engines.look(session, [pod])
    await engines.look(session, [])
    assert states(engines) == ["Serving"]
    await process.die()
    for _ in range(2):
        await engines.look(session, [])
    assert states(engines) == []


async def test_pod_that_has_no_process_yet_is_starting(process, session) -> None:
    engines, pod = Engines(), pod_of(process)
    await process.die()
    for _ in range(3):
        await engines.look(session, [pod])
    assert states(engines) == ["Starting"]
    await process.start()
    await engines.look(session, [pod])
    assert states(engines) == ["Serving"]


async def test_draining_pod_draws_power_until_its_process_ends(process, session) -> None:
    engines, pod = Engines(), pod_of(process)
    await engines.look(session, [pod])
    leaving = replace(pod, terminating=True, ready=False)
    await engines.look(session, [leaving])
    assert states(engines) == ["Serving"]
    await process.die()
    for _ in range(3):
        await engines.look(session, [leaving])
    assert states(engines) == []


async def test_restarted_container_starts_again(process, session) -> None:
    engines, pod = Engines(), pod_of(process)
    await engines.look(session, [pod])
    await process.die()
    for _ in range(2):
        await engines.look(session, [pod])
    assert states(engines) == ["Starting"]


async def test_pod_without_an_address_is_not_there(session) -> None:
    engines = Engines()
    await engines.look(session, [Pod("u", "p", "n", "", 1, {}, "", False, False, False)])
    assert states(engines) == []
