"""Supervisor: the first failure is noticed, tiers stop without being taken for failures."""

from __future__ import annotations

import asyncio

import pytest

from wattshift.control.supervise import Supervisor


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_part_that_raises_is_the_failure():
    async def broken() -> None:
        raise ValueError("no")

    supervisor = Supervisor()
    supervisor.start("work", "fine", forever())
    supervisor.start("work", "broken", broken())
    failure = await asyncio.wait_for(supervisor.failure(), 5)
    assert failure.part == "broken"
    assert isinstance(failure.error, ValueError)
    assert supervisor.has_failed
    await supervisor.stop_all(grace_seconds=1)


async def test_a_part_that_just_ends_is_a_failure_too():
    async def ends() -> None:
        return None

    supervisor = Supervisor()
    supervisor.start("work", "ends", ends())
    failure = await asyncio.wait_for(supervisor.failure(), 5)
    assert (failure.part, failure.error) == ("ends", None)


async def test_a_failure_before_anybody_looks_is_not_lost():
    async def broken() -> None:
        raise ValueError("no")

    supervisor = Supervisor()
    supervisor.start("work", "broken", broken())
    for _ in range(3):
        await asyncio.sleep(0)
    assert (await asyncio.wait_for(supervisor.failure(), 5)).part == "broken"


async def test_stopped_parts_are_no_failures_and_later_tiers_stop_first():
    ended: list[str] = []

    async def part(name: str) -> None:
        try:
            await forever()
        finally:
            ended.append(name)

    supervisor = Supervisor()
    for tier in ("watch", "work", "loops"):
        supervisor.start(tier, tier, part(tier))
    watching = asyncio.create_task(supervisor.failure())
    await asyncio.sleep(0)
    await supervisor.stop_all(grace_seconds=1)
    assert ended == ["loops", "work", "watch"]
    await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_a_part_that_does_not_stop_is_named_and_waited_for_no_longer():
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervisor = Supervisor()
    supervisor.start("work", "stubborn", stubborn())
    await asyncio.sleep(0)
    assert await supervisor.stop("work", grace_seconds=0.01) == ("stubborn",)
    release.set()
    await asyncio.sleep(0)
