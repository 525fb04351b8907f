"""`python -m e2e.lab.traffic.dispatcher --config FILE`: holds batch work and sends it to engines.

The backlog lives here, outside the engines: work that dies with an engine is sent again, so no unit
is lost. Dispatches as many units at once as there are in-service workers times `perWorker`, and none
while there are no workers or dispatch is closed. A journal keeps finished units over a restart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import yaml
from aiohttp import web

from e2e.lab.telemetry.clock import GridClock, clock_from
from e2e.lab.traffic.request import Outcome, complete

LOOK_SECONDS = 1.0
BACKOFF_SECONDS = (0.5, 1, 2, 4, 5)


@dataclass(slots=True)
class Unit:
    """One piece of batch work."""

    number: int
    submitted_time: float
    """Grid time."""
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a unit is and how it is sent."""

    model: str
    url: str
    output_tokens: int = 128
    prompt_tokens: int = 256
    per_worker: int = 4
    timeout_seconds: float = 120.0
    name: str = "batch"


@dataclass(slots=True)
class Tally:
    """Counters; submitted = completed + pending + in flight at every moment."""

    submitted: int = 0
    completed: int = 0
    failed_attempts: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Dispatcher:
    """The queue and its senders."""

    work: Work
    clock: GridClock
    journal: Path | None = None
    open: bool = True
    workers: int = 0
    tally: Tally = field(default_factory=Tally)
    pending: deque[Unit] = field(default_factory=deque)
    in_flight: dict[int, Unit] = field(default_factory=dict)
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is pending or in flight."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _sink: TextIO | None = None
    _quiet_until: float = 0.0
    _failures: int = 0

    def __post_init__(self) -> None:
        if self.journal:
            self._recover(self.journal)
            self._sink = self.journal.open("a", buffering=1)

    def submit(self, units: int) -> None:
        """Add work."""
        now = self.clock.now()
        for _ in range(units):
            self.tally.submitted += 1
            self.pending.append(Unit(self.tally.submitted, now))
        self._note({"submitted": self.tally.submitted, "gridTime": now})
        self._kick()

    def set_open(self, value: bool) -> None:
        """Open or close dispatch; what is in flight finishes."""
        self.open = value
        self._kick()

    @property
    def backlog(self) -> int:
        """Units not finished."""
        return len(self.pending) + len(self.in_flight)

    @property
    def lost(self) -> int:
        """Units that are nowhere: always 0, or the books are wrong."""
        return self.tally.submitted - self.tally.completed - self.backlog

    @property
    def oldest_age_seconds(self) -> float:
        """Grid age of the oldest unit not finished."""
        ages = [unit.submitted_time for unit in (*self.pending, *self.in_flight.values())]
        return self.clock.now() - min(ages) if ages else 0.0

    async def run(self) -> None:
        """Send work for ever."""
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(trust_env=False, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._count_workers(session))
            while True:
                self._wake.clear()
                while self._may_send():
                    unit = self.pending.popleft()
                    self.in_flight[unit.number] = unit
                    group.create_task(self._send(session, unit))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)

    def _may_send(self) -> bool:
        room = self.workers * self.work.per_worker - len(self.in_flight)
        rested = time.monotonic() >= self._quiet_until
        return bool(self.open and self.pending and room > 0 and rested)

    async def _send(self, session: aiohttp.ClientSession, unit: Unit) -> None:
        unit.attempts += 1
        outcome = Outcome(
            id=f"{self.work.name}-{unit.number}-{unit.attempts}",
            model=self.work.model,
            client=self.work.name,
            scheduled_time=time.time(),
            expected_tokens=self.work.output_tokens,
            prompt_tokens=self.work.prompt_tokens,
        )
        try:
            await complete(
                session, self.work.url, outcome, timeout_seconds=self.work.timeout_seconds
            )
        finally:
            del self.in_flight[unit.number]
            if outcome.ok:
                self._failures = 0
                self.tally.completed += 1
                self.tally.tokens += outcome.tokens
                self._note({"completed": unit.number})
            else:
                self.tally.failed_attempts += 1
                self.pending.appendleft(unit)
                pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
                self._quiet_until = time.monotonic() + pause
                self._failures += 1
            self._kick()

    async def _count_workers(self, session: aiohttp.ClientSession) -> None:
        """Ask the router how many workers it has; unknown counts as none."""
        while True:
            try:
                async with session.get(
                    f"{self.work.url}/list_workers", timeout=aiohttp.ClientTimeout(total=3)
                ) as reply:
                    reply.raise_for_status()
                    self.workers = len((await reply.json(content_type=None))["urls"])
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
                self.workers = 0
            self._kick()
            await asyncio.sleep(LOOK_SECONDS)

    def _kick(self) -> None:
        (self.drained.clear if self.backlog else self.drained.set)()
        self._wake.set()

    def _note(self, entry: Mapping[str, Any]) -> None:
        if self._sink:
            self._sink.write(json.dumps(entry) + "\n")

    def _recover(self, journal: Path) -> None:
        """Units submitted and not completed are pending again."""
        if not journal.exists():
            return
        submitted: dict[int, float] = {}
        done: set[int] = set()
        for line in journal.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if "submitted" in entry:
                    for number in range(len(submitted) + 1, entry["submitted"] + 1):
                        submitted[number] = entry["gridTime"]
                elif "completed" in entry:
                    done.add(entry["completed"])
        self.tally.submitted, self.tally.completed = len(submitted), len(done)
        self.pending.extend(
            Unit(number, moment) for number, moment in submitted.items() if number not in done
        )
        self._kick()

    def state(self) -> dict[str, Any]:
        """What reports ask for."""
        return {
            "name": self.work.name,
            "model": self.work.model,
            "open": self.open,
            "workers": self.workers,
            "submittedUnits": self.tally.submitted,
            "completedUnits": self.tally.completed,
            "backlogUnits": self.backlog,
            "inFlightUnits": len(self.in_flight),
            "failedAttempts": self.tally.failed_attempts,
            "lostUnits": self.lost,
            "tokens": self.tally.tokens,
            "oldestAgeSeconds": self.oldest_age_seconds,
        }

    def metrics(self) -> str:
        """Prometheus text."""
        labels = f'{{queue="{self.work.name}",model="{self.work.model}"}}'
        values = {
            "batch_backlog_units": self.backlog,
            "batch_in_flight_units": len(self.in_flight),
            "batch_oldest_age_seconds": self.oldest_age_seconds,
            "batch_dispatch_open": int(self.open),
            "batch_units_submitted_total": self.tally.submitted,
            "batch_units_completed_total": self.tally.completed,
            "batch_attempts_failed_total": self.tally.failed_attempts,
            "batch_units_lost": self.lost,
        }
        return "".join(f"{name}{labels} {value}\n" for name, value in values.items())


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Units that come in over grid time."""

    units_per_grid_hour: float = 0.0

    async def run(self, dispatcher: Dispatcher) -> None:
        """Submit for ever, whole units as they come due."""
        due, last = 0.0, dispatcher.clock.now()
        while self.units_per_grid_hour > 0:
            await asyncio.sleep(LOOK_SECONDS)
            now = dispatcher.clock.now()
            due += (now - last) / 3600 * self.units_per_grid_hour
            last = now
            if due >= 1:
                dispatcher.submit(int(due))
                due -= int(due)


def application(dispatcher: Dispatcher) -> web.Application:
    """GET /metrics, /state; POST /submit?units=N, /dispatch?open=true|false."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=dispatcher.metrics(), content_type="text/plain")

    async def state(_: web.Request) -> web.Response:
        return web.json_response(dispatcher.state())

    async def submit(request: web.Request) -> web.Response:
        dispatcher.submit(int(request.query["units"]))
        return web.json_response(dispatcher.state())

    async def dispatch(request: web.Request) -> web.Response:
        dispatcher.set_open(request.query["open"] == "true")
        return web.json_response(dispatcher.state())

    found = web.Application()
    found.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/state", state),
            web.post("/submit", submit),
            web.post("/dispatch", dispatch),
        ]
    )
    return found


async def serve(config: Mapping[str, Any]) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    dispatcher = Dispatcher(
        Work(
            model=config["model"],
            url=config["url"].rstrip("/"),
            output_tokens=int(config.get("outputTokens", 128)),
            prompt_tokens=int(config.get("promptTokens", 256)),
            per_worker=int(config.get("perWorker", 4)),
            timeout_seconds=float(config.get("timeoutSeconds", 120)),
            name=config.get("name", "batch"),
        ),
        clock_from(config.get("clock")),
        Path(config["journal"]) if "journal" in config else None,
    )
    if not dispatcher.tally.submitted:
        dispatcher.submit(int(config.get("initialUnits", 0)))
    arrivals = Arrivals(float(config.get("unitsPerGridHour", 0)))
    tasks = [asyncio.create_task(dispatcher.run()), asyncio.create_task(arrivals.run(dispatcher))]
    runner = web.AppRunner(application(dispatcher), access_log=None)
    await runner.setup()
    host, _, port = str(config.get("listen", "127.0.0.1:0")).partition(":")
    await web.TCPSite(runner, host, int(port or 0)).start()
    print(json.dumps({"url": f"http://{host}:{runner.addresses[0][1]}"}), flush=True)
    await stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.lab.traffic.dispatcher", description=__doc__
    )
    parser.add_argument("--config", required=True, help="YAML or JSON")
    asyncio.run(serve(yaml.safe_load(Path(parser.parse_args().config).read_text())))


if __name__ == "__main__":
    main()
