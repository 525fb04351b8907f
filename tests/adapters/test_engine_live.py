"""Engine metrics and the probe against a real engine process, direct and through Prometheus."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from e2e.lab.binaries import ENGINE, ensure, unavailable_reason
from e2e.lab.telemetry.prometheus import Prometheus, ScrapeUrl
from e2e.lab.traffic.child import free_port
from tests.adapters.conftest import Secrets
from wattshift.adapters.base import SourceContext
from wattshift.adapters.http import HttpTarget
from wattshift.adapters.latency.engine import (
    DirectReader,
    EngineMonitor,
    EnginePod,
    EngineTarget,
    PrometheusReader,
)
from wattshift.adapters.latency.probe import judge_warm, probe
from wattshift.core.engine import Metric
from wattshift.core.model import Objective

MISSING = unavailable_reason([ENGINE])
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(MISSING is not None, reason=MISSING or ""),
]
OBJECTIVES = (
    Objective(
        metric=Metric.TIME_TO_FIRST_TOKEN,
        threshold_milliseconds=500,
        attainment_permille=950,
        window_seconds=60,
    ),
    Objective(
        metric=Metric.INTER_TOKEN_LATENCY,
        threshold_milliseconds=10,
        attainment_permille=950,
        window_seconds=60,
    ),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePod]:
    port = free_port()
    log = (tmp_path_factory.mktemp("engine") / "log").open("wb")
    command = (
        f"{ensure([ENGINE])[ENGINE]} --model m1 --port {port} --force-dummy-tokenizer --mode random "
        "--time-to-first-token 80ms --inter-token-latency 20ms --max-num-seqs 4"
    )
    process = subprocess.Popen(command.split(), stdout=log, stderr=log)
    try:
        yield EnginePod(uid="u0", name="qwen-0", namespace="team", address="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(30)


async def ready(session: aiohttp.ClientSession, pod: EnginePod) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(pod.base_url + "/health/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def load(session: aiohttp.ClientSession, pod: EnginePod, count: int, tokens: int) -> None:
    async def one() -> None:
        result = await probe(
            session,
            pod.base_url,
            "m1",
            clock=time.monotonic,
            prompt_tokens=20,
            completion_tokens=tokens,
            timeout_seconds=60,
        )
        assert result.ok, result.message

    await asyncio.gather(*(one() for _ in range(count)))


def target(pod: EnginePod) -> EngineTarget:
    return EngineTarget(key="team/qwen/a", engine_type="VLLM", reader_key="a", pods=(pod,))


async def test_probes_of_a_real_engine_show_it_warm(
    session: aiohttp.ClientSession, engine: EnginePod
) -> None:
    await ready(session, engine)
    results = [await probe(session, engine.base_url, "m1", clock=time.monotonic) for _ in range(5)]
    assert all(result.ok for result in results), [result.message for result in results]
    assert all(result.completion_tokens == 8 for result in results)
    assert all((result.first_token_milliseconds or 0) >= 60 for result in results)
    assert all((result.inter_token_milliseconds or 0) >= 15 for result in results)
    generous = judge_warm(
        results, first_token_objective_milliseconds=60_000, inter_token_objective_milliseconds=None
    )
    strict = judge_warm(
        results, first_token_objective_milliseconds=100, inter_token_objective_milliseconds=None
    )
    assert not strict.warm and "first token" in strict.message
    assert generous.warm or "vary" in generous.message


async def test_a_real_engine_is_read_direct_with_its_load_and_its_latency(
    session: aiohttp.ClientSession, engine: EnginePod
) -> None:
    await ready(session, engine)
    reader = DirectReader(session=session, wall_clock=time.monotonic, timeout_seconds=5)
    monitor = EngineMonitor(wall_clock=time.monotonic, scrape_interval_seconds=0.5)
    monitor.configure([target(engine)], {"a": reader})
    await load(session, engine, 1, 4)
    await monitor.scrape_once()
    running = asyncio.create_task(load(session, engine, 8, 60))
    seen_running, seen_waiting = 0, 0
    while not running.done():
        await asyncio.sleep(0.6)
        await monitor.scrape_once()
        now = monitor.stats("team/qwen/a", OBJECTIVES)
        assert now is not None
        seen_running = max(seen_running, now.running)
        seen_waiting = max(seen_waiting, now.waiting)
    await running
    await asyncio.sleep(0.6)
    await monitor.scrape_once()
    stats = monitor.stats("team/qwen/a", OBJECTIVES)
    assert stats is not None and monitor.problem("team/qwen/a") is None
    assert (seen_running, seen_waiting >= 2) == (4, True)
    assert (stats.running, stats.waiting) == (0, 0)
    assert 0 < stats.concurrency <= 4.5
    assert stats.output_tokens_per_second > 0 and stats.prompt_tokens_per_second > 0
    (pod,) = stats.pods
    assert pod.success_total >= 9 and pod.aborted_total == 0
    first, between = stats.windows
    assert first.slow.total == 8 and first.slow.bad == 0, "the simulator omits queueing"
    assert between.slow.bad == between.slow.total == 8 * 59, "20 ms between tokens, 10 ms allowed"
    assert between.requests_slow == 8


@pytest.mark.lab
@pytest.mark.skipif(unavailable_reason(["prometheus"]) is not None, reason="no prometheus binary")
async def test_prometheus_and_direct_say_the_same_of_a_quiet_engine(
    context: SourceContext,
    session: aiohttp.ClientSession,
    engine: EnginePod,
    secrets: Secrets,
    tmp_path: Path,
) -> None:
    await ready(session, engine)
    await load(session, engine, 2, 4)
    labels = {"pod": engine.name, "namespace": engine.namespace}
    url = f"{engine.base_url}/metrics"
    made = Prometheus(
        [
            ScrapeUrl(job="engine", url=url, labels=labels),
            # a router that re-exports the engine's names must not be counted twice
            ScrapeUrl(job="router", url=url, labels={"pod": "router-0", "namespace": "team"}),
        ],
        workdir=tmp_path,
    )
    await made.start()
    try:
        through = PrometheusReader(
            pool=context.prometheus,
            target=HttpTarget.from_spec({"url": made.url}),
            credentials=secrets,
            wall_clock=time.monotonic,
        )
        direct = DirectReader(session=session, wall_clock=time.monotonic, timeout_seconds=5)
        found = []
        for reader in (direct, through):
            monitor = EngineMonitor(wall_clock=time.monotonic)
            monitor.configure([target(engine)], {"a": reader})
            async with asyncio.timeout(40):
                while (stats := monitor.stats("team/qwen/a", OBJECTIVES)) is None:
                    await monitor.scrape_once()
                    await asyncio.sleep(0.2)
            found.append(stats)
        one, two = found
        assert (one.running, one.waiting, one.kv_cache_usage) == (
            two.running,
            two.waiting,
            two.kv_cache_usage,
        )
        assert one.pods[0].success_total == two.pods[0].success_total > 0
        assert one.pods[0].prompt_tokens_total == two.pods[0].prompt_tokens_total
    finally:
        await made.stop()
