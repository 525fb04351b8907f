"""A plant as a process: it reads real engines, and a real Prometheus reads it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from e2e.lab.fixtures import require_binaries
from e2e.lab.telemetry.prometheus import Prometheus, ScrapeUrl
from e2e.lab.telemetry.targets import write_targets
from e2e.lab.traffic.child import die_with_parent, stop
from e2e.lab.traffic.pods import Pod
from e2e.lab.traffic.request import Outcome, complete

SITE = {
    "site": "gansu-1",
    "seed": 3,
    "stepSeconds": 0.25,
    "powerClasses": [
        {
            "name": "h100x4",
            "loadedIdleWatts": 456,
            "floorWatts": 1703,
            "wattsPerOutputTokenPerSecond": 2,
        }
    ],
    "baseItWatts": 1000,
    "facility": [{"temperatureMillicelsius": 20000, "fixedWatts": 500, "marginalPermille": 1150}],
    "uncontrolled": {"watts": 700},
    "supplies": [{"name": "wind", "capacityWatts": 2000, "share": 0.4}],
    "meters": {"lagSeconds": 0.5},
}


class Plant:
    """A running plant process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process, self.url = process, url

    async def get(self, path: str) -> str:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.get(self.url + path) as reply,
        ):
            assert reply.status == 200
            return await reply.text()

    async def truth(self) -> dict:
        return json.loads(await self.get("/truth"))

    async def post(self, path: str) -> int:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.post(self.url + path) as reply,
        ):
            return reply.status

    async def until_engines(self, **states: int) -> dict:
        """Wait until so many engines are in each state."""
        async with asyncio.timeout(20):
            while True:
                truth = await self.truth()
                seen = [part.get("state") for part in truth["parts"]]
                if all(seen.count(state) == count for state, count in states.items()):
                    return truth
                await asyncio.sleep(0.1)


async def start_plant(config: dict, folder: Path) -> Plant:
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "e2e.lab.plant", "--config", str(path)),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    return Plant(process, json.loads(line)["url"])


@pytest.fixture
async def plant(fleet, tmp_path: Path) -> AsyncIterator[Plant]:
    """A site of two engines, of which none runs yet."""
    engines = [{"name": f"e{n}", "address": f"{fleet.prefix}.{n}"} for n in (1, 2)]
    found = await start_plant({**SITE, "engines": engines}, tmp_path)
    yield found
    await stop(found.process)


@pytest.mark.engine
async def test_power_follows_the_processes(fleet, plant: Plant) -> None:
    nothing = await plant.until_engines(Starting=2)
    await fleet.start(2)
    serving = await plant.until_engines(Serving=2)
    idle = 456 * 0.91 * 2
    assert serving["now"]["engine_watts"] > idle
    assert serving["now"]["engine_watts"] > nothing["now"]["engine_watts"]
    os.kill(fleet.processes[0].pid, signal.SIGKILL)
    left = await plant.until_engines(Serving=1)
    assert left["now"]["engine_watts"] < serving["now"]["engine_watts"]


@pytest.mark.engine
async def test_work_raises_power_and_its_end_lowers_it(fleet, plant: Plant) -> None:
    (url,) = await fleet.start(1)
    await plant.until_engines(Serving=1)
    before = (await plant.truth())["now"]["engine_watts"]
    async with aiohttp.ClientSession(trust_env=False) as session:
        streams = asyncio.gather(
            *(
                complete(
                    session,
                    url,
                    Outcome(str(n), "qwen", "t", 0.0, expected_tokens=150, prompt_tokens=4),
                    timeout_seconds=60,
                )
                for n in range(6)
            )
        )
        async with asyncio.timeout(20):
            while (await plant.truth())["now"]["engine_watts"] < before + 800:
                await asyncio.sleep(0.1)
        assert all(item.ok for item in await streams)
    async with asyncio.timeout(20):
        while (await plant.truth())["now"]["engine_watts"] > before + 50:
            await asyncio.sleep(0.1)


@pytest.mark.engine
async def test_parts_make_the_whole_and_tokens_are_all_counted(fleet, plant: Plant) -> None:
    (url,) = await fleet.start(1)
    await plant.until_engines(Serving=1)
    async with aiohttp.ClientSession(trust_env=False) as session:
        outcome = Outcome("1", "qwen", "t", 0.0, expected_tokens=60, prompt_tokens=4)
        assert (await complete(session, url, outcome, timeout_seconds=60)).ok
    async with asyncio.timeout(10):
        while True:
            truth = await plant.truth()
            engine = next(part for part in truth["parts"] if part["pod"] == "e1")
            if engine["tokens"] >= 60:
                break
            await asyncio.sleep(0.1)
    assert engine["tokens"] == pytest.approx(60)
    now = truth["now"]
    assert sum(part["watts"] for part in truth["parts"]) == pytest.approx(now["it_watts"], rel=0.1)
    assert now["load_watts"] == pytest.approx(now["facility_watts"] + now["uncontrolled_watts"])


@pytest.mark.engine
async def test_prometheus_sees_the_instruments_and_the_injected_change(
    request: pytest.FixtureRequest, plant: Plant, tmp_path: Path
) -> None:
    require_binaries(("prometheus",), request)
    prometheus = Prometheus(
        [ScrapeUrl(job="plant", url=f"{plant.url}/metrics", labels={"region": "CN-GS"})],
        workdir=tmp_path / "prometheus",
    )
    await prometheus.start()

    async def value(expression: str) -> float:
        async with asyncio.timeout(20):
            while not (found := await prometheus.query(expression)):
                await asyncio.sleep(0.1)
        return found[0][1]

    shown = await value('site_meter_watts{site="gansu-1",region="CN-GS"}')
    truth = (await plant.truth())["now"]["load_watts"]
    assert shown == pytest.approx(truth, rel=0.03)
    assert await value("farm_power_watts") == pytest.approx(800, rel=0.05)
    assert await plant.post("/inject?kind=step&watts=5000&seconds=60") == 200
    async with asyncio.timeout(20):
        while await value("site_meter_watts") < truth + 4500:
            await asyncio.sleep(0.1)
    assert await plant.post("/inject?kind=nonsense") == 400
    await prometheus.stop()


@pytest.mark.engine
async def test_plant_ends_at_sigterm(plant: Plant) -> None:
    plant.process.terminate()
    assert await asyncio.wait_for(plant.process.wait(), 10) == 0


def pod(name: str, *, running: bool = True) -> Pod:
    return Pod(f"uid-{name}", name, "team", "127.1.1.1", 8000, {}, "node", running, True, False)


def test_targets_are_the_running_pods_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "new" / "targets.json"
    write_targets(path, [pod("b"), pod("a"), pod("c", running=False)], {"cluster": "gs-a"})
    groups = json.loads(path.read_text())
    assert [group["labels"]["pod"] for group in groups] == ["a", "b"]
    assert groups[0]["targets"] == ["127.1.1.1:8000"]
    assert groups[0]["labels"]["cluster"] == "gs-a"
    before = path.stat().st_mtime_ns
    write_targets(path, [pod("a"), pod("b")], {"cluster": "gs-a"})
    assert path.stat().st_mtime_ns == before, "unchanged targets are not written again"
