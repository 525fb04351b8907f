"""`python -m e2e.lab.traffic.entry --config FILE`: routers, keepers and distances of all models.

Prints one JSON line with the addresses once it serves. Control (`--control`): GET /workers, GET
/healthz, POST /fault?site=S&fault=drop|refuse|, POST /distance?site=S&milliseconds=M.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from e2e.lab.traffic.keeper import RouterKeeper, Worker
from e2e.lab.traffic.pods import Api, PodWatch
from e2e.lab.traffic.proxy import Distance, Distances
from e2e.lab.traffic.router import Router, RouterOptions


class Entry:
    """All routers of a lab in one process.

    Config: `sites: [{name, kubeconfig, roundTripMilliseconds, proxied}]`,
    `models: [{name, host, port, policy, retries, circuitBreaker, log, selector, namespace,
    containerPort, fenceLabel, sites: [..]}]` (sites: all when absent).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.routers: dict[str, Router] = {}
        self.keepers: dict[str, RouterKeeper] = {}
        self.distances = Distances(
            {
                site["name"]: Distance(
                    float(site.get("roundTripMilliseconds", 0)), bool(site.get("proxied"))
                )
                for site in config["sites"]
            }
        )
        self._watches: list[PodWatch] = []
        self.tasks: list[asyncio.Task[None]] = []
        """They run for ever: one that ends is a bug, and ends the process."""
        apis = {
            site["name"]: Api.from_kubeconfig(site["kubeconfig"])
            for site in config["sites"]
            if "kubeconfig" in site
        }
        for model in config["models"]:
            self._add_model(model, apis)

    def _add_model(self, model: Mapping[str, Any], apis: Mapping[str, Api]) -> None:
        name = model["name"]
        router = self.routers[name] = Router(
            RouterOptions(
                host=model.get("host", "127.0.0.1"),
                port=int(model.get("port", 0)),
                policy=model.get("policy", "round_robin"),
                retries=bool(model.get("retries", True)),
                circuit_breaker=bool(model.get("circuitBreaker", True)),
                log=Path(model["log"]) if "log" in model else None,
            )
        )
        watches: dict[str, PodWatch] = {}

        def wanted() -> list[Worker]:
            return [
                Worker(pod.url, site)
                for site, watch in watches.items()
                for pod in watch.in_service()
            ]

        keeper = self.keepers[name] = RouterKeeper(router, wanted, distances=self.distances)
        for site in model.get("sites") or apis:
            watches[site] = PodWatch(
                apis[site],
                selector=model["selector"],
                namespace=model.get("namespace", ""),
                port=int(model.get("containerPort", 8000)),
                fence_label=model.get("fenceLabel", ""),
                changed=keeper.kick,
            )
        self._watches += watches.values()

    async def start(self) -> None:
        """Start routers, then follow the pods."""
        await asyncio.gather(*(router.start() for router in self.routers.values()))
        runs = [
            *(watch.run() for watch in self._watches),
            *(k.run() for k in self.keepers.values()),
        ]
        self.tasks = [asyncio.create_task(run) for run in runs]

    async def stop(self) -> None:
        """End everything."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(router.stop() for router in self.routers.values()))
        await self.distances.close()

    def application(self) -> web.Application:
        """The control interface."""

        async def workers(_: web.Request) -> web.Response:
            return web.json_response(
                {
                    name: [
                        {"url": worker.url, "site": worker.site, "via": url}
                        for url, worker in sorted(keeper.in_router.items())
                    ]
                    for name, keeper in self.keepers.items()
                }
            )

        async def healthz(_: web.Request) -> web.Response:
            return web.json_response({name: router.alive for name, router in self.routers.items()})

        async def fault(request: web.Request) -> web.Response:
            try:
                self.distances.set_fault(request.query["site"], request.query.get("fault", ""))
            except ValueError as problem:
                raise web.HTTPBadRequest(text=str(problem)) from problem
            return web.json_response({})

        async def distance(request: web.Request) -> web.Response:
            self.distances.set_round_trip(
                request.query["site"], float(request.query["milliseconds"])
            )
            return web.json_response({})

        application = web.Application()
        application.add_routes(
            [
                web.get("/workers", workers),
                web.get("/healthz", healthz),
                web.post("/fault", fault),
                web.post("/distance", distance),
            ]
        )
        return application


async def serve(config: Mapping[str, Any], control: str) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    entry = Entry(config)
    await entry.start()
    runner = web.AppRunner(entry.application(), access_log=None)
    await runner.setup()
    host, _, port = control.partition(":")
    site = web.TCPSite(runner, host, int(port or 0))
    await site.start()
    addresses = {
        "control": f"http://{host}:{runner.addresses[0][1]}",
        "models": {
            name: {
                "url": router.url,
                "metrics": f"http://{router.options.host}:{router.metrics_port}/metrics",
            }
            for name, router in entry.routers.items()
        },
    }
    print(json.dumps(addresses), flush=True)
    ended = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({ended, *entry.tasks}, return_when=asyncio.FIRST_COMPLETED)
    await runner.cleanup()
    await entry.stop()
    for task in done:
        task.result()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m e2e.lab.traffic.entry", description=__doc__)
    parser.add_argument("--config", required=True, help="YAML or JSON")
    parser.add_argument("--control", default="127.0.0.1:0", help="HOST:PORT (0 = free)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s entry %(message)s")
    asyncio.run(serve(yaml.safe_load(Path(options.config).read_text()), options.control))


if __name__ == "__main__":
    main()
