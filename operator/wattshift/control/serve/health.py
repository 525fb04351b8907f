"""Liveness from loop progress, readiness, and metrics, on one small HTTP server.

`/livez` fails when a part of this process has not finished an iteration for too long: restarting
cures that. It never depends on a member cluster: a lost remote must not restart the hub's operator.
`/readyz` is true for a healthy standby and for a leader that is synced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest


@dataclass(slots=True)
class _Beat:
    last: float
    stall_seconds: float


class Progress:
    """When each part last finished an iteration, on the monotonic clock."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._beats: dict[str, _Beat] = {}

    def expect(self, part: str, *, stall_seconds: float) -> None:
        """From now on `part` must beat at least every `stall_seconds`."""
        self._beats[part] = _Beat(last=self._clock(), stall_seconds=stall_seconds)

    def beat(self, part: str) -> None:
        """`part` finished an iteration; unknown parts are ignored."""
        known = self._beats.get(part)
        if known is not None:
            known.last = self._clock()

    def dismiss(self, part: str) -> None:
        """`part` ends as planned."""
        self._beats.pop(part, None)

    def stalled(self) -> dict[str, float]:
        """Parts that are late, with the seconds since their last beat."""
        now = self._clock()
        return {
            part: now - beat.last
            for part, beat in sorted(self._beats.items())
            if now - beat.last > beat.stall_seconds
        }

    def ages(self) -> dict[str, float]:
        """Seconds since the last beat of each part."""
        now = self._clock()
        return {part: now - beat.last for part, beat in sorted(self._beats.items())}


class HealthServer:
    """HTTP server for probes and Prometheus."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        progress: Progress,
        ready: Callable[[], tuple[bool, str]],
        registry: CollectorRegistry,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """`refresh` brings gauges up to date before each scrape."""
        self._refresh = refresh
        self._host = host
        self._port = port
        self._progress = progress
        self._ready = ready
        self._registry = registry
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """Port that is really served."""
        if self._runner is None:
            return self._port
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen; call before kopf starts, which cancels later tasks of the loop."""
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _livez(self, _request: web.Request) -> web.Response:
        stalled = self._progress.stalled()
        if stalled:
            text = ", ".join(f"{part} for {age:.0f} s" for part, age in stalled.items())
            return web.Response(status=503, text=f"no progress: {text}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        ready, message = self._ready()
        return web.Response(status=200 if ready else 503, text=message + "\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(
            body=generate_latest(self._registry),
            headers={"Content-Type": CONTENT_TYPE_PLAIN_1_0_0},
        )
