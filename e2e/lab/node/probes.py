"""HTTP, TCP and command probes with kubelet's thresholds and defaults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from e2e.lab.node.api import Document

RunCommand = Callable[[list[str], float], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One probe's answer: whether it passed, and a message for events when it did not."""

    passed: bool
    message: str = ""


async def ask(probe: Document, container: Document, address: str, run: RunCommand) -> Verdict:
    """Probe once; anything that goes wrong is a failed probe."""
    seconds = float(probe.get("timeoutSeconds") or 1)
    try:
        async with asyncio.timeout(seconds):
            if "httpGet" in probe:
                return await http_get(probe["httpGet"], container, address)
            if "exec" in probe:
                return Verdict(await run(probe["exec"]["command"], seconds), "command failed")
            where = probe.get("tcpSocket") or probe.get("grpc") or {}
            port = port_number(where.get("port"), container)
            _, writer = await asyncio.open_connection(where.get("host") or address, port)
            writer.close()
            return Verdict(True)
    except (TimeoutError, OSError, aiohttp.ClientError, ValueError) as problem:
        return Verdict(False, f"{type(problem).__name__}: {problem}"[:200])


async def http_get(action: Document, container: Document, address: str) -> Verdict:
    """GET as kubelet does: a connection of its own, 200-399 passes, no proxy, no TLS check."""
    host = action.get("host") or address
    scheme = str(action.get("scheme") or "HTTP").lower()
    port = port_number(action.get("port"), container)
    url = f"{scheme}://{host}:{port}/{str(action.get('path') or '/').lstrip('/')}"
    headers = {h["name"]: h["value"] for h in action.get("httpHeaders") or []}
    connector = aiohttp.TCPConnector(force_close=True, ssl=False)
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        passed = 200 <= answer.status < 400
        return Verdict(passed, f"HTTP probe failed with statuscode: {answer.status}")


def port_number(port: object, container: Document) -> int:
    """A number, or the container port of that name; ValueError else."""
    if isinstance(port, int):
        return port
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    return int(str(port))


async def watch_probe(
    probe: Document,
    container: Document,
    address: str,
    run: RunCommand,
    report: Callable[[bool, str], None],
) -> None:
    """Probe for ever, calling `report(state, message)` when a threshold is crossed.

    The first success counts at once (successThreshold 1); the first report may be a failure.
    """
    await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
    period = float(probe.get("periodSeconds") or 10)
    needed = {
        True: int(probe.get("successThreshold") or 1),
        False: int(probe.get("failureThreshold") or 3),
    }
    streak, last, state = 0, None, None
    while True:
        verdict = await ask(probe, container, address, run)
        streak = streak + 1 if verdict.passed == last else 1
        last = verdict.passed
        if streak >= needed[last] and state != last:
            state = last
            report(state, verdict.message)
        await asyncio.sleep(period)
