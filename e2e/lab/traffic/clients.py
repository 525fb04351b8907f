"""`python -m e2e.lab.traffic.clients --config FILE`: seeded open-loop load on the entry.

Poisson arrivals follow a day curve on the grid clock, while requests run on the wall clock. Open
loop: a slow service does not slow the arrivals, so waiting shows. Bounded in time, count and
requests in flight; ends by itself and prints the attainment as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import aiohttp
import yaml

from e2e.lab.telemetry.clock import GridClock, clock_from
from e2e.lab.telemetry.curve import Curve, constant, read_curve
from e2e.lab.traffic.attainment import Objectives, summarise
from e2e.lab.traffic.request import Outcome, complete


class Send(Protocol):
    """Sends one request and fills its record."""

    async def __call__(
        self, session: aiohttp.ClientSession, url: str, outcome: Outcome, *, timeout_seconds: float
    ) -> Outcome:
        """Returns `outcome`."""
        ...


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal token counts, clipped."""

    median: float
    sigma: float = 0.6
    maximum: int = 512

    def draw(self, source: random.Random) -> int:
        """One length, at least 1."""
        return max(1, min(self.maximum, round(self.median * math.exp(source.gauss(0, self.sigma)))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Who asks for what: one model at one entry."""

    client: str
    model: str
    url: str
    rate: Curve
    """Shape over the grid day; multiplied by `scale` = requests per wall second."""
    scale: float = 1.0
    prompt: Lengths = field(default_factory=lambda: Lengths(128))
    output: Lengths = field(default_factory=lambda: Lengths(48, 0.5, 256))
    objectives: Objectives = field(default_factory=Objectives)
    timeout_seconds: float = 120.0
    in_flight_limit: int = 256
    seed: int = 1


@dataclass(slots=True)
class Running:
    """Bounds of a run, and its stop switch."""

    duration_seconds: float = 60.0
    request_limit: int = 100_000
    sent: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    multiplier: Callable[[float], float] = field(default=lambda _: 1.0)
    """Extra factor at a wall time since start: bursts."""


async def drive(
    load: Load,
    clock: GridClock,
    bounds: Running,
    record: Callable[[Outcome], None],
    send: Send = complete,
) -> None:
    """Send one load until its bounds; returns when the last answer is in.

    Thinning of a Poisson process at the peak rate: arrivals depend on the seed only, not on how
    fast the service is.
    """
    source = random.Random(f"{load.seed}/{load.client}/{load.model}")
    peak = load.rate.peak * load.scale * max(1.0, _peak(bounds))
    if peak <= 0:
        return
    started = time.time()
    arrival = started
    running: set[asyncio.Task[None]] = set()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
    async with aiohttp.ClientSession(trust_env=False, connector=connector) as session:
        while not bounds.stopping.is_set() and bounds.sent < bounds.request_limit:
            arrival += source.expovariate(peak)
            if arrival > started + bounds.duration_seconds:
                break
            keep, prompt, output = (
                source.random(),
                load.prompt.draw(source),
                load.output.draw(source),
            )
            grid_time = clock.start_time + (arrival - clock.wall_start_time) * clock.speed
            rate = load.rate.at(grid_time) * load.scale * bounds.multiplier(arrival - started)
            if keep * peak >= rate:
                continue
            if not await _wait_until(arrival, bounds.stopping):
                break
            bounds.sent += 1
            outcome = Outcome(
                id=f"{load.client}-{bounds.sent}",
                model=load.model,
                client=load.client,
                scheduled_time=arrival,
                expected_tokens=output,
                prompt_tokens=prompt,
            )
            if len(running) >= load.in_flight_limit:
                outcome.start_time = outcome.end_time = time.time()
                outcome.error = "client limit: too many requests in flight"
                record(outcome)
                continue
            task = asyncio.create_task(_one(session, load, outcome, record, send))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running)


def _peak(bounds: Running) -> float:
    step = max(0.5, bounds.duration_seconds / 2000)
    count = int(bounds.duration_seconds / step) + 1
    return max(bounds.multiplier(index * step) for index in range(count))


async def _wait_until(moment: float, stopping: asyncio.Event) -> bool:
    while (left := moment - time.time()) > 0:
        try:
            await asyncio.wait_for(stopping.wait(), left)
        except TimeoutError:
            break
    return not stopping.is_set()


async def _one(
    session: aiohttp.ClientSession,
    load: Load,
    outcome: Outcome,
    record: Callable[[Outcome], None],
    send: Send,
) -> None:
    record(await send(session, load.url, outcome, timeout_seconds=load.timeout_seconds))


@dataclass(frozen=True, slots=True)
class Burst:
    """`factor` times the load between two wall offsets."""

    start_seconds: float
    end_seconds: float
    factor: float


def load_from(document: Mapping[str, Any], base: Path) -> Load:
    """Load of a config entry `{client, model, url, curve {csv, column}|rate, scale, ...}`."""
    curve = document.get("curve")
    rate = (
        read_curve(
            base / curve["csv"],
            curve["column"],
            zone_offset_seconds=float(curve.get("zoneOffsetHours", 0)) * 3600,
        )
        if curve
        else constant(float(document.get("rate", 1)))
    )
    return Load(
        client=document.get("client", "users"),
        model=document["model"],
        url=document["url"].rstrip("/"),
        rate=rate,
        scale=float(document.get("scale", 1)),
        prompt=Lengths(**document.get("promptTokens", {"median": 128})),
        output=Lengths(
            **document.get("outputTokens", {"median": 48, "sigma": 0.5, "maximum": 256})
        ),
        objectives=Objectives.from_config(document.get("objectives", {})),
        timeout_seconds=float(document.get("timeoutSeconds", 120)),
        in_flight_limit=int(document.get("inFlightLimit", 256)),
        seed=int(document.get("seed", 1)),
    )


async def run(config: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Run all loads of a config; returns the summary by model."""
    clock = clock_from(config.get("clock"))
    loads = [load_from(item, base) for item in config["loads"]]
    outcomes: list[Outcome] = []
    sink: TextIO | None = None
    if "out" in config:
        sink = Path(config["out"]).open("a", buffering=1)  # noqa: SIM115 - closed below

    def record(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if sink:
            sink.write(outcome.line() + "\n")

    bursts = [Burst(**item) for item in config.get("bursts", [])]

    def multiplier(offset: float) -> float:
        return math.prod(
            burst.factor for burst in bursts if burst.start_seconds <= offset < burst.end_seconds
        )

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await asyncio.gather(
            *(
                drive(
                    load,
                    clock,
                    Running(
                        float(config.get("durationSeconds", 60)),
                        int(config.get("requestLimit", 100_000)),
                        stopping=stopping,
                        multiplier=multiplier,
                    ),
                    record,
                )
                for load in loads
            )
        )
    finally:
        if sink:
            sink.close()
    window = float(config.get("windowSeconds", 60))
    return {
        load.model: summarise(
            [item for item in outcomes if item.model == load.model],
            load.objectives,
            window_seconds=window,
        )
        for load in loads
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m e2e.lab.traffic.clients", description=__doc__)
    parser.add_argument("--config", required=True, help="YAML or JSON")
    options = parser.parse_args()
    path = Path(options.config)
    summary = asyncio.run(run(yaml.safe_load(path.read_text()), path.parent))
    json.dump(summary, sys.stdout)
    print()


if __name__ == "__main__":
    main()
