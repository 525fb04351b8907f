"""`python -m e2e.lab.plant --config site.yaml`: the plant of one site as a process.

GET /metrics (what instruments show), /truth (what is), /healthz; POST /inject?kind=K&seconds=S
[&watts=W][&factor=F] with step | leak | supply | spike | stuck | missing | nan | negative | clear;
POST /reset. Prints one JSON line with its address once it serves; ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from e2e.lab.plant.site import SitePlant
from e2e.lab.telemetry.targets import write_targets
from e2e.lab.traffic.pods import Api, Pod, PodWatch


def watches_of(config: Mapping[str, Any]) -> list[PodWatch]:
    """Pod watches of `members: [{kubeconfig, selector, namespace, containerPort}]`.

    A member's `targetsFile` (with `targetLabels`) keeps its engine pods for Prometheus to scrape.
    """
    return [_watch(member) for member in config.get("members", [])]


def _watch(member: Mapping[str, Any]) -> PodWatch:
    def changed() -> None:
        if "targetsFile" in member:
            path, labels = Path(member["targetsFile"]), member.get("targetLabels", {})
            write_targets(path, watch.pods.values(), labels)

    watch = PodWatch(
        Api.from_kubeconfig(member["kubeconfig"]),
        selector=member["selector"],
        namespace=member.get("namespace", ""),
        port=int(member.get("containerPort", 8000)),
        changed=changed,
    )
    return watch


def fixed_engines(config: Mapping[str, Any]) -> list[Pod]:
    """Engines outside Kubernetes: `engines: [{name, address, port, labels}]`."""
    return [
        Pod(
            uid=item["name"],
            name=item["name"],
            namespace="",
            address=item["address"],
            port=int(item.get("port", 8000)),
            labels=item.get("labels", {}),
            node="",
            running=True,
            ready=True,
            terminating=False,
        )
        for item in config.get("engines", [])
    ]


async def follow(
    plant: SitePlant, watches: list[PodWatch], fixed: list[Pod], seconds: float
) -> None:
    """Look at the engines and step, for ever; a lost API server changes nothing physical."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(trust_env=False, connector=connector) as session:
        while True:
            pods = fixed + [pod for watch in watches for pod in watch.pods.values()]
            await plant.engines.look(session, pods)
            plant.step()
            await asyncio.sleep(seconds)


def application(plant: SitePlant) -> web.Application:
    """The plant's HTTP interface."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=plant.metrics(), content_type="text/plain")

    async def truth(_: web.Request) -> web.Response:
        return web.json_response(plant.truth())

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"stepped": plant.moment is not None})

    async def inject(request: web.Request) -> web.Response:
        query = request.query
        try:
            plant.inject(
                query["kind"],
                seconds=float(query.get("seconds", "30")),
                watts=float(query.get("watts", "0")),
                factor=float(query.get("factor", "1")),
            )
        except (KeyError, ValueError) as problem:
            raise web.HTTPBadRequest(text=str(problem)) from problem
        return web.json_response({})

    async def reset(_: web.Request) -> web.Response:
        plant.reset()
        return web.json_response({})

    application = web.Application()
    application.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/truth", truth),
            web.get("/healthz", healthz),
            web.post("/inject", inject),
            web.post("/reset", reset),
        ]
    )
    return application


async def serve(config: Mapping[str, Any], base: Path) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    plant = SitePlant(config, base=base)
    watches = watches_of(config)
    tasks = [asyncio.create_task(watch.run()) for watch in watches]
    seconds = float(config.get("stepSeconds", 1))
    tasks.append(asyncio.create_task(follow(plant, watches, fixed_engines(config), seconds)))
    runner = web.AppRunner(application(plant), access_log=None)
    await runner.setup()
    host, _, port = str(config.get("listen", "127.0.0.1:0")).partition(":")
    await web.TCPSite(runner, host, int(port or 0)).start()
    url = f"http://{host}:{runner.addresses[0][1]}"
    print(json.dumps({"site": plant.name, "url": url}), flush=True)
    ended = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({ended, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()
    for finished in done:
        finished.result()  # loops run for ever: one that ended says why


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m e2e.lab.plant", description=__doc__)
    parser.add_argument("--config", required=True, help="YAML or JSON of one site")
    path = Path(parser.parse_args().config)
    asyncio.run(serve(yaml.safe_load(path.read_text()), path.parent))


if __name__ == "__main__":
    main()
