"""The part of kubelet's HTTPS server that `kubectl logs` needs."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from aiohttp import web

from e2e.lab.node.agent import Agent

FOLLOW_SECONDS = 0.3


async def serve_logs(agent: Agent, certificate: str, key: str, port: int) -> web.AppRunner:
    """Listen on the node's address; `/containerLogs/NAMESPACE/POD/CONTAINER` as kubelet's.

    NB: no authentication: it is a loopback address of a test machine.
    """

    async def logs(request: web.Request) -> web.StreamResponse:
        names = request.match_info
        worker = agent.worker(names["namespace"], names["pod"])
        previous = request.query.get("previous") == "true"
        path = worker.log_file(names["container"], previous=previous) if worker else None
        if path is None:
            return web.Response(status=404, text="no such container here\n")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        await _send(answer, path, request.query.get("tailLines"), request.query.get("follow"))
        return answer

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await web.TCPSite(runner, agent.address, port, ssl_context=context).start()
    return runner


async def _send(
    answer: web.StreamResponse, path: Path, tail: str | None, follow: str | None
) -> None:
    content = path.read_bytes()
    position = len(content)
    if tail is not None:
        lines = content.splitlines(keepends=True)
        content = b"".join(lines[-int(tail) :] if int(tail) else [])
    await answer.write(content)
    while follow == "true":
        await asyncio.sleep(FOLLOW_SECONDS)
        with path.open("rb") as log:
            log.seek(position)
            fresh = log.read()
        position += len(fresh)
        if fresh:
            await answer.write(fresh)
