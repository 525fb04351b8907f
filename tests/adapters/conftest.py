"""Clocks that stand still, a context around them, and a web server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from wattshift.adapters.base import Fetched, SignalConfig, SourceContext
from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.http import make_session
from wattshift.adapters.prometheus import PrometheusPool
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import OnStale, SignalKind
from wattshift.core.units import Quantity

NOON = datetime.fromisoformat("2026-11-22T12:00:00+08:00").timestamp()


@dataclass
class Clocks:
    """Grid and wall time that move only when a test says so."""

    grid: float = NOON
    wall: float = 1000.0

    def advance(self, seconds: float) -> None:
        self.grid += seconds
        self.wall += seconds


@dataclass
class Secrets:
    """Values by (name, key), each with the hosts it may go to."""

    values: dict[tuple[str, str], tuple[str, set[str]]] = field(default_factory=dict)

    def __call__(self, name: str, key: str, host: str) -> str:
        if (name, key) not in self.values:
            raise SourceNeedsHuman(SourceReason.CREDENTIAL_MISSING, f"no Secret {name}/{key}")
        value, hosts = self.values[name, key]
        if host not in hosts:
            raise SourceNeedsHuman(SourceReason.HOST_NOT_ALLOWED, f"{name} is not for {host}")
        return value


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def config_maps() -> dict[str, dict[str, str]]:
    return {}


@pytest.fixture
async def context(
    clocks: Clocks, secrets: Secrets, config_maps: dict[str, dict[str, str]]
) -> AsyncIterator[SourceContext]:
    session = make_session()
    pool = PrometheusPool(
        wall_clock=time.monotonic, threads=6, threads_per_server=2, connect_seconds=1.0
    )
    try:
        yield SourceContext(
            credentials=secrets,
            config_map=config_maps.get,
            session=session,
            prometheus=pool,
            grid_clock=lambda: clocks.grid,
            wall_clock=lambda: clocks.wall,
        )
    finally:
        await session.close()
        pool.close()


def signal(source: Mapping[str, Any], **overrides: Any) -> SignalConfig:
    """A signal of site power in watts that goes stale after 300 s, unless told otherwise."""
    (source_type, spec), *_ = source.items()
    base = SignalConfig(
        owner_kind="PowerSite",
        owner_name="gansu-1",
        name="feed",
        quantity=Quantity.SITE_POWER,
        kind=SignalKind.OBSERVATION,
        unit="Watt",
        source_type=source_type,
        source_spec=spec,
        poll_period_seconds=60,
        stale_after_seconds=300,
        on_stale=OnStale.IGNORE,
        time_zone="Asia/Shanghai",
    )
    return replace(base, **overrides)


class Scripted:
    """A source whose answers a test lines up; the last one repeats."""

    type_name = "scripted"
    always_valid = False
    zone: str | None = None
    batch_key = None
    endpoint = "scripted"

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        self.answers: list[Fetched | Exception] = config.source_spec["answers"]
        self.zone = config.source_spec.get("zone")
        self.calls = 0
        self.fetch_key = id(self.answers)
        self.gate: asyncio.Event | None = config.source_spec.get("gate")

    async def fetch(self, now: float) -> Fetched:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class WebServer:
    """A real HTTP server on loopback; `routes` maps a path to what it does."""

    url: str = ""
    host: str = ""
    routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=dict
    )
    requests: list[web.BaseRequest] = field(default_factory=list)

    def json(self, path: str, document: Any, status: int = 200) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(
                text=json.dumps(document), status=status, content_type="application/json"
            )

        self.routes[path] = answer

    def text(self, path: str, text: str, status: int = 200, kind: str = "text/plain") -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text=text, status=status, content_type=kind)

        self.routes[path] = answer

    def redirect(self, path: str, to: str) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": to})

        self.routes[path] = answer

    def hang(self, path: str) -> None:
        async def answer(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        self.routes[path] = answer

    def huge(self, path: str, size: int) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            chunk = b"1" * 65536
            for _ in range(size // len(chunk)):
                await response.write(chunk)
            return response

        self.routes[path] = answer


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    state = WebServer()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        state.requests.append(request)
        route = state.routes.get(request.path)
        if route is None:
            return web.Response(status=404, text="nothing here")
        return await route(request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    state.host = f"127.0.0.1:{port}"
    state.url = f"http://{state.host}"
    try:
        yield state
    finally:
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    made = make_session()
    try:
        yield made
    finally:
        await made.close()
