"""`/v1`: read-only HTTP for the CLI, served by the leader alone. Every request is authenticated.

Plain HTTP at the pod's own loopback address: `kubectl port-forward` brings TLS and its own check of
rights. It must never change anything, nor answer with a secret. Neighbours: `api_access.py` (who may),
`api_views.py` (what).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from wattshift.control.latest import Latest
from wattshift.control.record.recorder import Recorder, dump_step
from wattshift.control.runtime import Runtime
from wattshift.control.serve.api_access import Gate
from wattshift.control.serve.api_views import (
    Document,
    explain_view,
    plan_view,
    snapshot_view,
    status_view,
    steps_view,
)
from wattshift.errors import WattshiftError
from wattshift.kube.reviews import Caller

log = logging.getLogger(__name__)
ALL_KINDS = ("flexibleworkloads", "powersites", "energycontracts")
_CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
_MAX_TOKEN_CHARS = 16_384
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """A component of the leading process."""

    name = "api"

    def __init__(self, *, runtime: Runtime, latest: Latest, recorder: Recorder) -> None:
        self._runtime = runtime
        self._latest = latest
        self._recorder = recorder
        self._gate = Gate(client=runtime.hub, monotonic=runtime.clock.monotonic)

    async def run(self) -> None:
        """Serve until cancelled; a port that is taken ends the process, as it is a wrong setting."""
        server = self._runtime.config.server
        # NB: nothing to beat for: a request that hangs ends by its own time-outs.
        self._runtime.progress.dismiss(self.name)
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, server.api_bind_address, server.api_port or 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            log.info("/v1 at http://%s:%s", host, port, extra={"reason": "ApiServed"})
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def application(self) -> web.Application:
        """Routes behind the check."""
        app = web.Application(middlewares=[self._checked], client_max_size=1024)
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/plan", self._plan)
        app.router.add_get("/v1/snapshot", self._snapshot)
        app.router.add_get("/v1/explain/{namespace}/{name}", self._explain)
        app.router.add_get("/v1/steps", self._steps)
        app.router.add_get(r"/v1/steps/{number:\d{1,9}}", self._step)
        return app

    @web.middleware
    async def _checked(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """401 without a known token, 503 where the hub cannot be asked; nothing else is told."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_CHARS:
            return _refusal(401, "Unauthorized", "send a bearer token of the hub")
        try:
            caller = await self._gate.caller(token)
            if caller is None:
                return _refusal(401, "Unauthorized", "the hub does not know this token")
            request[_CALLER] = caller
            return await handler(request)
        except WattshiftError as error:
            log.warning(
                "/v1: the hub could not be asked: %s", error, extra={"reason": error.reason}
            )
            if error.reason == "Forbidden":
                message = "the operator may not ask who you are: set api.enabled in the chart"
                return _refusal(503, "ReviewForbidden", message)
            return _refusal(503, "ReviewFailed", "the hub could not be asked; try again")

    async def _all(self, request: web.Request) -> web.Response | None:
        """Refusal for callers who may not read all of our objects everywhere."""
        for plural in ALL_KINDS:
            if not await self._gate.may_read(request[_CALLER], plural):
                message = f"{request[_CALLER].name} may not get {plural} in all namespaces"
                return _refusal(403, "Forbidden", message)
        return None

    async def _status(self, request: web.Request) -> web.Response:
        refused = await self._all(request)
        return refused or _answer(status_view(self._runtime, self._latest, self._recorder))

    async def _plan(self, request: web.Request) -> web.Response:
        refused = await self._all(request)
        return refused or _answer(plan_view(self._runtime, self._latest))

    async def _snapshot(self, request: web.Request) -> web.Response:
        refused = await self._all(request)
        return refused or _answer(snapshot_view(self._latest))

    async def _explain(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        caller = request[_CALLER]
        may = self._gate.may_read
        if not await may(caller, "flexibleworkloads", namespace=namespace, name=name):
            message = f"{caller.name} may not get flexibleworkloads in namespace {namespace}"
            return _refusal(403, "Forbidden", message)
        sites = await may(caller, "powersites")
        view = explain_view(self._runtime, self._latest, f"{namespace}/{name}", sites=sites)
        if view is None:
            return _refusal(404, "NotFound", "the last plan does not know this workload")
        return _answer(view)

    async def _steps(self, request: web.Request) -> web.Response:
        refused = await self._all(request)
        return refused or _answer(steps_view(self._runtime, self._recorder))

    async def _step(self, request: web.Request) -> web.Response:
        refused = await self._all(request)
        if refused is not None:
            return refused
        steps, number = self._recorder.steps(), int(request.match_info["number"])
        if number >= len(steps):
            return _refusal(404, "NotFound", f"there are {len(steps)} steps")
        body = dump_step(steps[number])
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _answer(view: Document | None) -> web.Response:
    if view is None:
        return _refusal(404, "NotFound", "there is no plan yet")
    return web.json_response(text=json.dumps(view), headers=_HEADERS)


def _refusal(status: int, reason: str, message: str) -> web.Response:
    text = json.dumps({"reason": reason, "message": message})
    headers = {**_HEADERS, **({"WWW-Authenticate": "Bearer"} if status == 401 else {})}
    return web.json_response(text=text, status=status, headers=headers)
