"""Real engines and routers for the tests of the lab's traffic plane; all end with the test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from e2e.lab.fixtures import require_binaries
from e2e.lab.leases import AddressBlock
from e2e.lab.traffic.child import spawn, stop

MODEL = "qwen"


@dataclass
class Fleet:
    """Engines of one test on addresses of their own."""

    prefix: str
    folder: Path
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    async def start(
        self,
        count: int = 1,
        *,
        sigterm: str = "sim",
        seqs: int = 8,
        ttft: str = "100ms",
        itl: str = "20ms",
        extra: tuple[str, ...] = (),
    ) -> list[str]:
        """Start engines and wait until they answer; returns their URLs."""
        fresh = []
        for _ in range(count):
            number = len(self.urls) + 1
            address = f"{self.prefix}.{number}"
            simulator = ["--model", MODEL, "--max-num-seqs", str(seqs), "--max-model-len", "8192"]
            simulator += ["--time-to-first-token", ttft, "--inter-token-latency", itl]
            command = [sys.executable, "-m", "e2e.lab.engine", "--address", address]
            command += ["--sigterm", sigterm, *extra, "--", *simulator]
            self.processes.append(await spawn(command, log=self.folder / f"engine-{number}.log"))
            fresh.append(f"http://{address}:8000")
            self.urls.append(fresh[-1])
        await asyncio.gather(*(answers(f"{url}/health") for url in fresh))
        return fresh

    async def end(self) -> None:
        for process in self.processes:
            await stop(process, grace_seconds=0.2)


async def answers(url: str, seconds: float = 30) -> None:
    """Wait until `url` says 200."""
    async with asyncio.timeout(seconds), aiohttp.ClientSession(trust_env=False) as session:
        while True:
            try:
                async with session.get(url) as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for an asynchronous condition; fails the test after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fleet]:
    """No engine yet: call `start`."""
    require_binaries(("llm-d-inference-sim",), request)
    block = AddressBlock()
    found = Fleet(block.prefix, tmp_path)
    yield found
    await found.end()
    block.release()
