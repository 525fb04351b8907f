"""The lab's entry for requests: a real vllm-router, one per model, and its admin interface."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from e2e.lab.traffic.child import free_port, spawn, stop

ADMIN_SECONDS = 5.0
ADD_SECONDS = 15.0
"""`/add_worker` answers only when the worker does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """How the router treats workers; `retries` and `circuit_breaker` hide naive scaling."""

    host: str = "127.0.0.1"
    port: int = 0
    policy: str = "round_robin"
    retries: bool = True
    circuit_breaker: bool = True
    request_timeout_seconds: int = 600
    log: Path | None = None


class Router:
    """One vllm-router process; `url` is where clients send requests."""

    def __init__(self, options: RouterOptions) -> None:
        self.options = options
        self.port = options.port
        self.metrics_port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Base URL for requests and administration."""
        return f"http://{self.options.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self, *, timeout_seconds: float = 30) -> None:
        """Start (again) and wait until it answers; a chosen port is kept over restarts."""
        options = self.options
        self.port = self.port or free_port(options.host)
        self.metrics_port = self.metrics_port or free_port(options.host)
        command = [
            str(Path(sys.executable).parent / "vllm-router"),
            *("--host", options.host, "--port", str(self.port)),
            *("--prometheus-host", options.host, "--prometheus-port", str(self.metrics_port)),
            *("--policy", options.policy, "--log-level", "warning"),
            *("--worker-startup-check-interval", "1", "--worker-startup-timeout-secs", "10"),
            *("--health-check-interval-secs", "5", "--health-check-timeout-secs", "2"),
            *("--request-timeout-secs", str(options.request_timeout_seconds)),
        ]
        command += [] if options.retries else ["--disable-retries"]
        command += [] if options.circuit_breaker else ["--disable-circuit-breaker"]
        self._process = await spawn(command, log=options.log)
        self._session = self._session or aiohttp.ClientSession(trust_env=False)
        async with asyncio.timeout(timeout_seconds):
            while not await self._answers():
                if not self.alive:
                    raise RuntimeError(f"vllm-router ended with {self._process.returncode}")
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End the process."""
        await stop(self._process, grace_seconds=3)
        if self._session:
            await self._session.close()
            self._session = None

    async def workers(self) -> set[str]:
        """URLs that the router sends requests to."""
        reply = await self._call("GET", "/list_workers")
        return set(reply["urls"])

    async def add(self, url: str) -> bool:
        """Add a worker; True when the router took it (it answers) or has it."""
        try:
            await self._call("POST", "/add_worker", url=url, seconds=ADD_SECONDS)
        except aiohttp.ClientResponseError as refusal:
            return refusal.status == 400 and url in await self.workers()
        except (aiohttp.ClientError, TimeoutError):
            return False
        return True

    async def remove(self, url: str) -> None:
        """Take a worker out; requests that run there go on."""
        await self._call("POST", "/remove_worker", url=url)

    async def _answers(self) -> bool:
        try:
            await self.workers()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return True

    async def _call(
        self, method: str, path: str, *, url: str = "", seconds: float = ADMIN_SECONDS
    ) -> dict[str, list[str]]:
        assert self._session is not None
        async with self._session.request(
            method,
            self.url + path,
            params={"url": url} if url else None,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as reply:
            reply.raise_for_status()
            found: dict[str, list[str]] = (
                await reply.json(content_type=None) if method == "GET" else {}
            )
            return found
