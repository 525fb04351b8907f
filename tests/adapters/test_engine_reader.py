"""Reading engines: recorded payloads, faults at the wire, the monitor's bookkeeping, the probe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.adapters.conftest import Clocks, WebServer
from wattshift.adapters.latency.engine import (
    DirectReader,
    EngineMonitor,
    EnginePod,
    EngineTarget,
    ScrapeFailure,
)
from wattshift.adapters.latency.exposition import (
    MetricMissing,
    PodScrape,
    build_scrape,
    parse_text,
)
from wattshift.adapters.latency.probe import (
    ProbeOutcome,
    ProbeResult,
    judge_warm,
    probe,
)
from wattshift.adapters.latency.profile import (
    EngineProfile,
    EngineProfileError,
    engine_profiles,
    parse_profile,
)
from wattshift.adapters.reasons import EngineReason, SourceReason

GOLDEN = Path(__file__).parent / "golden"
VLLM = engine_profiles()["VLLM"]


def read(name: str, profile: EngineProfile = VLLM) -> PodScrape:
    return scrape_of((GOLDEN / name).read_text(), profile)


def scrape_of(text: str, profile: EngineProfile = VLLM) -> PodScrape:
    return build_scrape(
        parse_text(text, profile), profile, pod_uid="u", pod_name="p", wall_time=1.0
    )


# --- recorded payloads -----------------------------------------------------------------------------


def test_a_busy_engine_as_recorded() -> None:
    seen = read("inference-sim-0.10.2-busy.txt")
    assert (seen.running, seen.waiting, seen.kv_cache_usage, seen.served) == (2, 2, 0.0, True)
    assert {
        name: seen.total(name)
        for name in ("finished", "aborted", "promptTokens", "generationTokens")
    } == {
        "finished": 5,
        "aborted": None,
        "promptTokens": 20,
        "generationTokens": 30,
    }
    ttft = seen.histograms["timeToFirstToken", ("m1", "")]
    assert (ttft.count, round(ttft.sum_seconds, 3)) == (7, 0.42)
    itl = seen.histograms["interTokenLatency", ("m1", "")]
    assert itl.count == 102, "the old name beside the new one is not added"
    assert itl.bounds[:3] == (0.01, 0.025, 0.05)


def test_a_fresh_engine_shows_gauges_and_no_counters() -> None:
    seen = read("inference-sim-0.10.2-fresh.txt")
    assert (seen.running, seen.waiting, seen.served) == (0, 0, False)
    assert dict(seen.counters) == {}


def test_an_engine_that_always_shows_counters_may_not_lack_them() -> None:
    strict = replace(VLLM, lazy_counters=False)
    with pytest.raises(MetricMissing, match="request_success_total"):
        read("inference-sim-0.10.2-fresh.txt", strict)


VLLM_033 = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="q"} 3.0
vllm:num_requests_running{engine="1",model_name="q"} 4.0
vllm:num_requests_waiting{engine="0",model_name="q"} 0.0
vllm:num_requests_waiting{engine="1",model_name="q"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="q",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="q"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="q"} 0.75
vllm:num_preemptions_total{engine="0",model_name="q"} 2.0
vllm:prompt_tokens_total{engine="0",model_name="q"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="q"} 300.0
vllm:generation_tokens_total{engine="0",model_name="q"} 500.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="q"} 10.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="q"} 5.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="q"} 2.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="q"} 1.0
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="q"} 7.0
vllm:iteration_tokens_total_count{engine="0",model_name="q"} 70.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="q"} 11.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="q"} 18.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="q"} 9.5
vllm:request_success_created{engine="0",finished_reason="stop",model_name="q"} 1.7e+09
"""


def test_the_names_of_vllm_033_with_two_engines_in_a_pod() -> None:
    seen = scrape_of(VLLM_033)
    assert (seen.running, seen.waiting, seen.kv_cache_usage) == (7, 2, 0.75)
    assert (seen.total("finished"), seen.total("aborted")) == (15, 3)
    assert (seen.total("iterations"), seen.total("preemptions")) == (70, 2)
    assert seen.histograms["timeToFirstToken", ("q", "0")].count == 18


def test_sglang_counts_one_rank_only() -> None:
    text = ""
    for rank in ("0", "1"):
        labels = f'{{model_name="q",engine_type="unified",tp_rank="{rank}",pp_rank="0"}}'
        text += f"sglang:num_running_reqs{labels} 4\nsglang:num_queue_reqs{labels} 1\n"
        text += f"sglang:e2e_request_latency_seconds_count{labels} 9\n"
    seen = scrape_of(text, engine_profiles()["SGLang"])
    assert (seen.running, seen.waiting, seen.total("finished")) == (4, 1, 9)


@pytest.mark.parametrize("absent", ["num_requests_running", "num_requests_waiting"])
def test_an_absent_gauge_is_not_zero(absent: str) -> None:
    text = "\n".join(line for line in VLLM_033.splitlines() if f"vllm:{absent}{{" not in line)
    with pytest.raises(MetricMissing, match=absent):
        scrape_of(text + "\n")


def test_engines_of_the_api_without_a_profile_are_known() -> None:
    from wattshift.api.placements import EngineType

    without = {engine.value for engine in EngineType} - set(engine_profiles())
    assert without == {"TensorRTLLM", "TGI", "LlamaCpp", "Triton"}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"metrics": {"running": ["a"]}}, "waiting"),
        ({"metrics": {"speed": ["a"]}}, "metrics.speed"),
        ({"metrics": {"running": "a"}}, "list of names"),
        ({"metrics": None}, "metrics is missing"),
        ({"engines": []}, "engines is missing"),
    ],
)
def test_a_bad_profile_names_its_field(change: Mapping[str, Any], part: str) -> None:
    good = {
        "engines": ["X"],
        "metrics": {k: [k] for k in ("running", "waiting", "finished", "timeToFirstToken")},
    }
    assert parse_profile(good, "x.yaml").engines == ("X",)
    with pytest.raises(EngineProfileError, match="x.yaml") as caught:
        parse_profile({**good, **change}, "x.yaml")
    assert part in str(caught.value)


# --- direct ----------------------------------------------------------------------------------------


def pod_at(server: WebServer, name: str, path: str = "/metrics") -> EnginePod:
    address, _, port = server.host.rpartition(":")
    return EnginePod(
        uid=f"uid-{name}",
        name=name,
        namespace="team",
        address=address,
        port=int(port),
        metrics_path=path,
    )


def reader_of(session: aiohttp.ClientSession, clocks: Clocks) -> DirectReader:
    return DirectReader(session=session, wall_clock=lambda: clocks.wall, timeout_seconds=3)


async def test_one_pod_that_hangs_costs_nobody_else(
    session: aiohttp.ClientSession, server: WebServer, clocks: Clocks
) -> None:
    server.text("/metrics", (GOLDEN / "inference-sim-0.10.2-busy.txt").read_text())
    server.hang("/hang")
    server.text("/html", "<html>", kind="text/html")
    server.text("/500", "no", status=500)
    server.huge("/huge", 10 * 1024 * 1024)
    server.text("/garbage", 'vllm:num_requests_running{model_name="m} one\n')
    names = ["metrics", "hang", "html", "500", "huge", "garbage", "absent"]
    pods = [pod_at(server, name, f"/{name}") for name in names]
    results = await reader_of(session, clocks).read(pods, VLLM)
    assert isinstance(results[0], PodScrape)
    reasons = [r.reason if isinstance(r, ScrapeFailure) else None for r in results]
    assert reasons == [
        None,
        SourceReason.SOURCE_TIMED_OUT,
        EngineReason.METRIC_MISSING,
        SourceReason.SOURCE_UNREACHABLE,
        SourceReason.ANSWER_TOO_LARGE,
        SourceReason.ANSWER_NOT_READABLE,
        SourceReason.SOURCE_NOT_FOUND,
    ]


async def test_a_pod_address_in_the_link_local_range_is_not_asked(
    session: aiohttp.ClientSession, server: WebServer, clocks: Clocks
) -> None:
    odd = replace(pod_at(server, "p"), address="169.254.169.254")
    (result,) = await reader_of(session, clocks).read([odd], VLLM)
    assert isinstance(result, ScrapeFailure) and result.reason == SourceReason.HOST_NOT_ALLOWED


def test_an_ipv6_pod_has_brackets() -> None:
    pod = EnginePod(uid="u", name="p", namespace="n", address="fd00::7", port=8000)
    assert pod.base_url == "http://[fd00::7]:8000"


# --- the monitor -----------------------------------------------------------------------------------


def target(*pods: EnginePod, key: str = "team/qwen/a", engine: str = "VLLM") -> EngineTarget:
    return EngineTarget(key=key, engine_type=engine, reader_key="gs-a", pods=pods)


async def test_the_monitor_counts_what_happened_between_scrapes(
    session: aiohttp.ClientSession, server: WebServer, clocks: Clocks
) -> None:
    monitor = EngineMonitor(wall_clock=lambda: clocks.wall)
    monitor.configure([target(pod_at(server, "p0"))], {"gs-a": reader_of(session, clocks)})
    server.text("/metrics", (GOLDEN / "inference-sim-0.10.2-fresh.txt").read_text())
    await monitor.scrape_once()
    clocks.advance(2)
    server.text("/metrics", (GOLDEN / "inference-sim-0.10.2-busy.txt").read_text())
    await monitor.scrape_once()
    stats = monitor.stats("team/qwen/a", ())
    assert stats is not None
    assert (stats.running, stats.waiting, stats.pods_scraped) == (2, 2, 1)
    assert stats.first_tokens_per_second == pytest.approx(3.5)
    assert stats.concurrency == pytest.approx(1.02)
    assert stats.pods[0].success_total == 5
    assert monitor.problem("team/qwen/a") is None


async def test_missing_engines_are_explained(
    session: aiohttp.ClientSession, server: WebServer, clocks: Clocks
) -> None:
    monitor = EngineMonitor(wall_clock=lambda: clocks.wall)
    reader = {"gs-a": reader_of(session, clocks)}
    key = "team/qwen/a"

    async def why(*pods: EnginePod, engine: str = "VLLM", readers: Any = reader) -> str | None:
        monitor.configure([target(*pods, engine=engine)], readers)
        await monitor.scrape_once()
        problem = monitor.problem(key)
        return None if problem is None else problem.reason

    server.text("/metrics", VLLM_033)
    server.text("/other", "something_else 1\n")
    good, bad, other = (
        pod_at(server, "good"),
        pod_at(server, "bad", "/absent"),
        pod_at(server, "other", "/other"),
    )
    assert await why() == EngineReason.NO_ENDPOINTS
    assert await why(good) is None
    assert await why(bad) == EngineReason.SCRAPE_FAILED
    assert await why(good, bad) == EngineReason.SCRAPE_PARTIAL
    assert await why(other) == EngineReason.METRIC_MISSING
    assert await why(bad, engine="Triton") == EngineReason.SCRAPE_FAILED
    found = monitor.problem(key)
    assert found is not None and EngineReason.PROFILE_UNKNOWN in found.message
    assert await why(bad, readers={}) == EngineReason.SCRAPE_FAILED
    assert monitor.problem("nobody") is not None
    assert monitor.stats("nobody", ()) is None


async def test_the_log_says_once_why_engines_cannot_be_read_and_when_they_can_again(
    session: aiohttp.ClientSession, server: WebServer, clocks: Clocks, caplog: Any
) -> None:
    caplog.set_level("INFO")
    monitor = EngineMonitor(wall_clock=lambda: clocks.wall)
    readers = {"gs-a": reader_of(session, clocks)}
    server.text("/metrics", VLLM_033)

    async def told(pod: EnginePod, engine: str = "VLLM") -> list[str]:
        caplog.clear()
        for _ in range(3):
            monitor.configure([target(pod, engine=engine)], readers)
            await monitor.scrape_once()
        return [row.getMessage() for row in caplog.records if row.name.endswith("latency.engine")]

    (absent,) = await told(pod_at(server, "a", "/absent"))
    assert "team/qwen/a" in absent
    assert "answered 404" in absent
    (unknown,) = await told(pod_at(server, "a", "/absent"), engine="Triton")
    assert "no metric profile for engine 'Triton'" in unknown
    assert await told(pod_at(server, "b")) == ["engines of team/qwen/a are read again"]
    assert await told(pod_at(server, "b")) == []


async def test_a_pod_that_left_is_marked_and_its_placement_forgotten_with_it(
    session: aiohttp.ClientSession, server: WebServer, clocks: Clocks
) -> None:
    monitor = EngineMonitor(wall_clock=lambda: clocks.wall)
    readers = {"gs-a": reader_of(session, clocks)}
    server.text("/metrics", VLLM_033)
    monitor.configure([target(pod_at(server, "a"), pod_at(server, "b"))], readers)
    await monitor.scrape_once()
    monitor.configure([target(pod_at(server, "a"))], readers)
    stats = monitor.stats("team/qwen/a", ())
    assert stats is not None and [pod.pod_name for pod in stats.pods] == ["a"]
    monitor.configure([], readers)
    assert monitor.stats("team/qwen/a", ()) is None


async def test_a_reader_that_hangs_is_timed_out_and_not_asked_twice(clocks: Clocks) -> None:
    class Stuck:
        calls = 0

        async def read(self, pods: Any, profile: Any) -> Any:
            self.calls += 1
            await asyncio.Event().wait()

    stuck = Stuck()
    monitor = EngineMonitor(wall_clock=lambda: clocks.wall, read_timeout_seconds=0.05)
    pod = EnginePod(uid="u", name="p", namespace="n", address="127.0.0.1", port=9)
    monitor.configure([target(pod)], {"gs-a": stuck})
    await asyncio.gather(monitor.scrape_once(), monitor.scrape_once())
    assert stuck.calls == 1
    problem = monitor.problem("team/qwen/a")
    assert problem is not None and SourceReason.SOURCE_TIMED_OUT in problem.message


# --- the probe -------------------------------------------------------------------------------------


def stream(server: WebServer, *frames: Any, done: bool = True, status: int = 200) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for frame in frames:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            await response.write(f"data: {text}\n\n".encode())
        if done:
            await response.write(b"data: [DONE]\n\n")
        return response

    server.routes["/v1/completions"] = answer


def token(text: str = "a ", finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 32, "completion_tokens": 2}}


@pytest.mark.parametrize(
    ("frames", "outcome"),
    [
        ([token(), token(finish="length"), USAGE], ProbeOutcome.OK),
        ([token(), token(), token("", "stop")], ProbeOutcome.OK),
        ([token(), token(finish="abort")], ProbeOutcome.INCOMPLETE),
        ([token(), token()], ProbeOutcome.INCOMPLETE),
        ([token(finish="length")], ProbeOutcome.INCOMPLETE),
        ([], ProbeOutcome.INCOMPLETE),
        ([token(), {"error": {"message": "EngineCore"}}], ProbeOutcome.ENGINE_ERROR),
        (["{not json"], ProbeOutcome.UNREACHABLE),
    ],
    ids=["length", "stop", "abort", "no-finish", "too-few", "done-alone", "error-frame", "garbage"],
)
async def test_a_probe_believes_only_a_complete_answer(
    frames: list[Any], outcome: ProbeOutcome, session: aiohttp.ClientSession, server: WebServer
) -> None:
    stream(server, *frames)
    ticks = iter(range(1000))
    result = await probe(
        session, server.url, "m", clock=lambda: next(ticks) * 0.05, completion_tokens=2
    )
    assert result.outcome is outcome, result.message
    if result.ok:
        assert result.first_token_milliseconds == pytest.approx(50)
        assert result.inter_token_milliseconds == pytest.approx(50)


async def test_a_probe_that_is_refused_hangs_or_finds_nobody(
    session: aiohttp.ClientSession, server: WebServer
) -> None:
    async def outcome(url: str) -> ProbeOutcome:
        found = await probe(session, url, "m", clock=lambda: 0.0, timeout_seconds=0.3)
        return found.outcome

    assert await outcome(server.url) is ProbeOutcome.REFUSED
    server.hang("/v1/completions")
    assert await outcome(server.url) is ProbeOutcome.TIMED_OUT
    assert await outcome("http://127.0.0.1:9") is ProbeOutcome.UNREACHABLE
    assert await outcome("http://169.254.169.254:80") is ProbeOutcome.REFUSED
    server.redirect("/v1/completions", server.url + "/elsewhere")
    assert await outcome(server.url) is ProbeOutcome.REFUSED


def good(first: float = 100.0, between: float | None = 20.0) -> ProbeResult:
    return ProbeResult(
        outcome=ProbeOutcome.OK,
        first_token_milliseconds=first,
        inter_token_milliseconds=between,
        completion_tokens=8,
    )


BAD = ProbeResult(outcome=ProbeOutcome.TIMED_OUT, message="slow")


@pytest.mark.parametrize(
    ("results", "warm"),
    [
        ([good()] * 4, False),
        ([good()] * 5, True),
        ([BAD, *[good()] * 5], True),
        ([*[good()] * 4, BAD], False),
        ([*[good()] * 4, good(first=260.0)], False),
        ([*[good()] * 4, good(between=61.0)], False),
        ([good(100), good(200), good(100), good(200), good(100)], False),
        ([good(10), good(14), good(10), good(13), good(12)], True),
        ([good(between=None)] * 5, True),
    ],
)
def test_warm_is_five_good_steady_probes_within_half_of_the_objective(
    results: list[ProbeResult], warm: bool
) -> None:
    verdict = judge_warm(
        results,
        first_token_objective_milliseconds=500,
        inter_token_objective_milliseconds=60,
    )
    assert verdict.warm is warm, verdict.message
    assert verdict.message
