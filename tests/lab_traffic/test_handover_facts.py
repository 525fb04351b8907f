"""What routers and engines really do when capacity leaves: the facts that hand-overs rest on.

If naive scaling loses nothing here, a demonstration that careful scaling loses nothing is void.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from e2e.lab.traffic.request import Outcome, complete
from e2e.lab.traffic.router import Router, RouterOptions

pytestmark = pytest.mark.engine


async def streams(url: str, count: int, tokens: int) -> asyncio.Task[list[Outcome]]:
    async def all_of_them() -> list[Outcome]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(trust_env=False, connector=connector) as session:
            made = (
                Outcome(
                    id=str(number),
                    model="qwen",
                    client="t",
                    scheduled_time=0,
                    expected_tokens=tokens,
                    prompt_tokens=8,
                )
                for number in range(count)
            )
            return list(
                await asyncio.gather(
                    *(complete(session, url, item, timeout_seconds=60) for item in made)
                )
            )

    return asyncio.create_task(all_of_them())


async def work_left(url: str) -> int:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{url}/metrics") as reply,
    ):
        lines = (await reply.text()).splitlines()
    return sum(
        int(float(line.rsplit(" ", 1)[1]))
        for line in lines
        if line.startswith(("vllm:num_requests_running{", "vllm:num_requests_waiting{"))
    )


async def busy(url: str, at_least: int) -> None:
    async with asyncio.timeout(20):
        while await work_left(url) < at_least:
            await asyncio.sleep(0.05)


async def router_with(urls: list[str], folder: Path, **options: bool) -> Router:
    router = Router(RouterOptions(log=folder / "router.log", **options))
    await router.start()
    for url in urls:
        assert await router.add(url)
    return router


async def test_removing_the_worker_first_and_waiting_loses_nothing(fleet, tmp_path: Path) -> None:
    leaving, staying = await fleet.start(2, sigterm="vllm-default")
    router = await router_with([leaving, staying], tmp_path)
    running = await streams(router.url, 16, 80)
    await busy(leaving, 8)
    await router.remove(leaving)
    assert await router.workers() == {staying}
    later = await streams(router.url, 8, 20)
    async with asyncio.timeout(30):
        while await work_left(leaving):
            await asyncio.sleep(0.1)
    fleet.processes[0].terminate()
    outcomes = [*await running, *await later]
    assert [item.error for item in outcomes if not item.ok] == []
    await router.stop()


@pytest.mark.parametrize("retries", [True, False], ids=["retries on", "retries off"])
async def test_naive_scale_down_of_a_default_engine_loses_requests(
    fleet, tmp_path: Path, retries: bool
) -> None:
    leaving, staying = await fleet.start(2, sigterm="vllm-default")
    router = await router_with(
        [leaving, staying], tmp_path, retries=retries, circuit_breaker=retries
    )
    running = await streams(router.url, 16, 120)
    await busy(leaving, 8)
    await asyncio.sleep(0.5)
    fleet.processes[0].terminate()
    lost = [item for item in await running if not item.ok]
    assert lost, "the run is void: naive scaling lost nothing"
    await router.stop()


async def test_router_retries_hide_what_had_not_started_to_answer(fleet, tmp_path: Path) -> None:
    """Queued requests are sent again; those that had begun to stream are lost all the same."""
    leaving, staying = await fleet.start(2, sigterm="vllm-default", seqs=2)
    router = await router_with([leaving, staying], tmp_path)
    running = await streams(router.url, 12, 60)
    await busy(leaving, 6)
    await asyncio.sleep(0.5)
    fleet.processes[0].terminate()
    outcomes = await running
    lost = [item for item in outcomes if not item.ok]
    assert len(lost) == 2, [item.error for item in lost]
    assert all(item.status == 200 for item in lost), "a truncated stream still says 200"
    await router.stop()


async def test_router_sends_new_requests_elsewhere_after_the_removal(fleet, tmp_path: Path) -> None:
    leaving, staying = await fleet.start(2)
    router = await router_with([leaving, staying], tmp_path)
    await router.remove(leaving)
    running = await streams(router.url, 8, 60)
    await busy(staying, 8)
    assert await work_left(leaving) == 0
    assert all(item.ok for item in await running)
    await router.stop()
