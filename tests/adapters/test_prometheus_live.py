"""Signals and engines through a real Prometheus that scrapes an exporter of this test."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_api_client import PrometheusConnect

from e2e.lab.binaries import ensure, unavailable_reason
from e2e.lab.telemetry.prometheus import Prometheus, ScrapeUrl
from tests.adapters.conftest import Clocks, Secrets, WebServer, signal
from wattshift.adapters.base import SourceContext
from wattshift.adapters.failures import SourceError
from wattshift.adapters.http import HttpTarget
from wattshift.adapters.latency.engine import EnginePod, PrometheusReader, ScrapeFailure
from wattshift.adapters.latency.exposition import PodScrape
from wattshift.adapters.latency.profile import engine_profiles
from wattshift.adapters.poller import Poller
from wattshift.adapters.prometheus import PrometheusEndpoint, PrometheusPool
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import SignalKind

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        unavailable_reason(["prometheus"]) is not None, reason="no prometheus binary"
    ),
]

EXPORTED = """\
site_meter_watts{feed="a"} 4.2e6
farm_power_watts{turbine="1"} 1000
farm_power_watts{turbine="2"} 2000
farm_power_watts{turbine="3"} NaN
broken_watts NaN
endless_watts +Inf
dead_meter_watts 77
"""
ENGINES = (Path(__file__).parent / "golden" / "inference-sim-0.10.2-busy.txt").read_text()


class Exporter(BaseHTTPRequestHandler):
    """Exposes a plant and an engine; `/dead` answers for a few scrapes and then no more."""

    answers = 3

    def do_GET(self) -> None:
        if self.path == "/dead":
            Exporter.answers -= 1
        text = ENGINES if self.path == "/engine" else EXPORTED
        self.send_response(500 if self.path == "/dead" and Exporter.answers < 0 else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    web_server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=web_server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web_server.server_port}"
    labels = {"pod": "qwen-0", "namespace": "team"}
    made = Prometheus(
        [
            ScrapeUrl(job="plant", url=f"{url}/metrics"),
            ScrapeUrl(job="engine", url=f"{url}/engine", labels=labels),
            ScrapeUrl(job="dead", url=f"{url}/dead"),
        ],
        workdir=tmp_path_factory.mktemp("prometheus"),
        scrape_seconds=2,
    )
    process = subprocess.Popen(made.command(ensure(["prometheus"])["prometheus"]))
    try:
        client = PrometheusConnect(url=made.url)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if (
                    client.custom_query("dead_meter_watts{job='dead'}", timeout=2)
                    and len(client.custom_query("up == 1", timeout=2)) >= 2
                ):
                    break
            except Exception:
                pass
            time.sleep(0.2)
        yield made
    finally:
        process.terminate()
        process.wait(10)
        web_server.shutdown()


@pytest.fixture(autouse=True)
def scraped(prometheus: Prometheus) -> None:
    """Wait until the last scrapes were good: one that a busy machine missed makes series stale."""
    client = PrometheusConnect(url=prometheus.url)
    deadline = time.monotonic() + 60
    while len(client.custom_query("up{job=~'plant|engine'} == 1", timeout=5)) < 2:
        assert time.monotonic() < deadline, "Prometheus does not reach the exporter"
        time.sleep(0.1)


def live(context: SourceContext, clocks: Clocks) -> SourceContext:
    clocks.grid = clocks.wall = time.time()
    return replace(context, grid_clock=time.time)


def feed(url: str, query: str, name: str, **overrides: Any):
    return signal({"prometheus": {"url": url, "query": query}}, name=name, **overrides)


def reading(poller: Poller, name: str):
    found = poller.states(time.time())["PowerSite", "gansu-1", name].reading
    assert found is not None
    return found


async def test_many_queries_of_all_kinds_go_out_as_one_request(
    context: SourceContext, clocks: Clocks, prometheus: Prometheus
) -> None:
    url = prometheus.url
    queries = {
        "meter": 'site_meter_watts{job="plant"}',
        "sum": 'sum(farm_power_watts{job="plant",turbine!="3"})',
        "scaled": 'max(site_meter_watts{job="plant"}) / 2 # half of it',
        "scalar": "vector(12)",
        "empty": "nobody_exports_this",
        "two": 'farm_power_watts{job="plant",turbine=~"1|2"}',
        "nan": 'broken_watts{job="plant"}',
        "inf": 'endless_watts{job="plant"}',
        "poisoned": 'sum(farm_power_watts{job="plant"})',
    }
    calls: list[str] = []
    real_query = context.prometheus.query

    async def counted(endpoint: PrometheusEndpoint, promql: str):
        calls.append(promql)
        return await real_query(endpoint, promql)

    context.prometheus.query = counted  # type: ignore[method-assign]
    poller = Poller(live(context, clocks))
    poller.configure([feed(url, query, name) for name, query in queries.items()])
    await poller.poll_once()
    assert len(calls) == 1, "one request for nine signals and the times of their samples"
    assert reading(poller, "meter").value == 4.2e6
    assert reading(poller, "sum").value == 3000.0
    assert reading(poller, "scaled").value == 2.1e6
    assert reading(poller, "scalar").value == 12.0
    reasons = {
        name: reading(poller, name).reason for name in ("empty", "two", "nan", "inf", "poisoned")
    }
    assert reasons == {
        "empty": SourceReason.NO_DATA,
        "two": SourceReason.AMBIGUOUS_RESULT,
        "nan": SourceReason.NOT_A_NUMBER,
        "inf": SourceReason.NOT_FINITE,
        "poisoned": SourceReason.NOT_A_NUMBER,
    }


async def test_one_query_with_a_mistake_does_not_spoil_the_batch(
    context: SourceContext, clocks: Clocks, prometheus: Prometheus
) -> None:
    poller = Poller(live(context, clocks))
    poller.configure(
        [
            feed(prometheus.url, 'site_meter_watts{job="plant"}', "good"),
            feed(prometheus.url, "sum(rate(site_meter_watts))", "bad"),
            feed(prometheus.url, "site_meter_watts[5m]", "range"),
        ]
    )
    await poller.poll_once()
    assert reading(poller, "good").value == 4.2e6
    assert reading(poller, "bad").reason == SourceReason.QUERY_REFUSED
    assert "parse error" in reading(poller, "bad").message
    assert reading(poller, "range").reason == SourceReason.QUERY_REFUSED


async def test_a_series_that_is_no_longer_scraped_ends_or_ages_and_never_looks_fresh(
    context: SourceContext, clocks: Clocks, prometheus: Prometheus
) -> None:
    poller = Poller(live(context, clocks))
    poller.configure(
        [
            feed(prometheus.url, 'site_meter_watts{job="plant"} * 1', "alive"),
            feed(prometheus.url, 'max(dead_meter_watts{job="dead"})', "max-with-dead"),
            feed(prometheus.url, 'max_over_time(dead_meter_watts{job="dead"}[10m])', "window"),
            feed(prometheus.url, 'sum(dead_meter_watts{job="dead"}) or vector(0)', "default"),
        ]
    )
    async with asyncio.timeout(60):
        while poller.diagnose()["PowerSite", "gansu-1", "default"].reason != SourceReason.NO_DATA:
            await asyncio.sleep(0.3)
            clocks.wall += 1000
            poller.refresh()
            await poller.poll_once()
    ended = time.time()
    await asyncio.sleep(1.0)
    clocks.wall += 1000
    poller.refresh()
    await poller.poll_once()
    window = reading(poller, "window")
    # the steps of the search may fall beside so short a life: then it is unknown, never fresh
    assert window.source_time is None or window.source_time <= ended
    assert poller.diagnose()["PowerSite", "gansu-1", "max-with-dead"].reason == SourceReason.NO_DATA
    assert time.time() - reading(poller, "alive").source_time < 3


async def test_in_a_replay_the_age_is_multiplied_by_its_speed(
    context: SourceContext, clocks: Clocks, prometheus: Prometheus
) -> None:
    fast = replace(live(context, clocks), grid_clock=lambda: 1e9, grid_speed=lambda: 1000.0)
    poller = Poller(fast)
    poller.configure([feed(prometheus.url, 'site_meter_watts{job="plant"}', "meter")])
    await poller.poll_once()
    state = poller.states(1e9)["PowerSite", "gansu-1", "meter"].reading
    assert state is not None and state.source_time is not None
    assert 1e9 - 5000 <= state.source_time <= 1e9


async def test_a_forecast_is_a_range_ahead(
    context: SourceContext, clocks: Clocks, prometheus: Prometheus
) -> None:
    poller = Poller(live(context, clocks))
    poller.configure(
        [
            feed(prometheus.url, "hour()", "ahead", kind=SignalKind.FORECAST),
            feed(prometheus.url, "nobody", "none", kind=SignalKind.FORECAST),
        ]
    )
    await poller.poll_once()
    states = poller.states(time.time())
    forecast = states["PowerSite", "gansu-1", "ahead"].forecast
    assert forecast is not None
    later = time.time() + 7200
    hours = {float(time.gmtime(later + shift).tm_hour) for shift in (-900, 0, 900)}
    assert forecast.at(later) in hours
    assert len(forecast.points) >= 90
    missing = states["PowerSite", "gansu-1", "none"].reading
    assert missing is not None and missing.reason == SourceReason.NO_DATA


async def test_engines_are_matched_to_their_pods_and_others_are_dropped(
    context: SourceContext, prometheus: Prometheus, secrets: Secrets
) -> None:
    reader = PrometheusReader(
        pool=context.prometheus,
        target=HttpTarget.from_spec({"url": prometheus.url}),
        credentials=secrets,
        wall_clock=time.monotonic,
    )
    pods = [
        EnginePod(uid=f"u{i}", name=f"qwen-{i}", namespace="team", address="127.0.0.1", port=1)
        for i in range(2)
    ]
    before = time.monotonic()
    seen, absent = await reader.read(pods, engine_profiles()["VLLM"])
    assert isinstance(seen, PodScrape)
    assert (seen.pod_uid, seen.running, seen.waiting) == ("u0", 2, 2)
    assert seen.total("finished") == 5
    assert seen.histograms["timeToFirstToken", ("m1", "")].count == 7
    assert before - 10 < seen.wall_time <= time.monotonic()
    assert isinstance(absent, ScrapeFailure) and absent.reason == SourceReason.NO_DATA


async def test_a_dead_prometheus_is_unreachable_and_does_not_hold_its_threads(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = Poller(live(context, clocks))
    poller.configure([feed("http://127.0.0.1:9", "up", "meter")])
    await poller.poll_once()
    assert reading(poller, "meter").reason == SourceReason.SOURCE_UNREACHABLE


FAULTS = {
    "/500/api/v1/query": SourceReason.SOURCE_UNREACHABLE,
    "/503/api/v1/query": SourceReason.SOURCE_UNREACHABLE,
    "/401/api/v1/query": SourceReason.CREDENTIAL_REFUSED,
    "/400/api/v1/query": SourceReason.QUERY_REFUSED,
    "/html/api/v1/query": SourceReason.ANSWER_NOT_READABLE,
    "/json/api/v1/query": SourceReason.ANSWER_NOT_READABLE,
    "/redirect/api/v1/query": SourceReason.REDIRECT_REFUSED,
    "/huge/api/v1/query": SourceReason.ANSWER_TOO_LARGE,
    "/hang/api/v1/query": SourceReason.SOURCE_TIMED_OUT,
    "/drip/api/v1/query": SourceReason.SOURCE_TIMED_OUT,
    "/absent/api/v1/query": SourceReason.SOURCE_NOT_FOUND,
}


@pytest.mark.parametrize("path", FAULTS)
async def test_a_prometheus_that_misbehaves_has_its_reason(
    path: str, context: SourceContext, server: WebServer
) -> None:
    for status in (500, 503, 401):
        server.text(f"/{status}/api/v1/query", "no", status=status)
    server.json(
        "/400/api/v1/query", {"status": "error", "errorType": "bad_data", "error": "eh"}, status=400
    )
    server.text("/html/api/v1/query", "<html>log in</html>")
    server.json("/json/api/v1/query", {"status": "success"})
    server.redirect("/redirect/api/v1/query", server.url + "/elsewhere")
    server.huge("/huge/api/v1/query", 40 * 1024 * 1024)
    server.hang("/hang/api/v1/query")

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    server.routes["/drip/api/v1/query"] = drip
    endpoint = PrometheusEndpoint(
        server.url + path.removesuffix("/api/v1/query"),
        timeout_seconds=5.0 if "huge" in path else 0.5,
    )
    with pytest.raises(SourceError) as caught:
        await context.prometheus.query(endpoint, "up")
    assert caught.value.reason is FAULTS[path], caught.value.message
    assert "/elsewhere" not in [request.path for request in server.requests]


async def test_a_hung_server_cannot_take_the_threads_of_the_others(server: WebServer) -> None:
    server.hang("/slow/api/v1/query")
    server.json(
        "/fast/api/v1/query",
        {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "7"]}},
    )
    pool = PrometheusPool(wall_clock=time.monotonic, threads=3, threads_per_server=2)
    slow = PrometheusEndpoint(server.url + "/slow", timeout_seconds=1.0)
    fast = PrometheusEndpoint(server.url + "/fast", timeout_seconds=1.0)
    try:
        stuck = [asyncio.create_task(pool.query(slow, "up")) for _ in range(6)]
        await asyncio.sleep(0.1)
        (sample,) = await pool.query(fast, "up")
        assert sample.value == 7.0
        results = await asyncio.gather(*stuck, return_exceptions=True)
        assert all(isinstance(result, SourceError) for result in results)
        # slots came back with their threads
        assert (await pool.query(fast, "up"))[0].value == 7.0
    finally:
        pool.close()


async def test_a_cancelled_query_gives_its_slot_back_when_its_thread_ends(
    server: WebServer,
) -> None:
    server.hang("/slow/api/v1/query")
    pool = PrometheusPool(wall_clock=time.monotonic, threads=1, threads_per_server=1)
    slow = PrometheusEndpoint(server.url + "/slow", timeout_seconds=0.3)
    try:
        first = asyncio.create_task(pool.query(slow, "up"))
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(SourceError):
            await pool.query(slow, "up")
    finally:
        pool.close()


async def test_credentials_reach_prometheus_and_stay_out_of_its_name(
    context: SourceContext, clocks: Clocks, server: WebServer, secrets: Secrets
) -> None:
    secrets.values["prom", "token"] = ("s3cret", {server.host})
    server.json(
        "/api/v1/query",
        {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "7"]}},
    )
    auth = {"type": "BearerToken", "secretRef": {"name": "prom", "key": "token"}}
    poller = Poller(live(context, clocks))
    spec = {"url": server.url + "/", "query": "vector(7)", "auth": auth}
    poller.configure([signal({"prometheus": spec}, name="meter")])
    await poller.poll_once()
    assert reading(poller, "meter").value == 7.0
    assert server.requests[-1].headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(poller.diagnose())


async def test_a_query_credential_is_in_no_message(
    context: SourceContext, clocks: Clocks, server: WebServer, secrets: Secrets
) -> None:
    secrets.values["prom", "token"] = ("s3cr3t t0ken", {server.host, "127.0.0.1:9"})

    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"bad token {request.query['token']}")

    server.routes["/api/v1/query"] = echo
    server.hang("/hang/api/v1/query")
    auth = {"type": "Query", "secretRef": {"name": "prom", "key": "token"}}
    poller = Poller(live(context, clocks))
    urls = {"echo": server.url, "hang": server.url + "/hang", "refused": "http://127.0.0.1:9"}
    poller.configure(
        [
            signal(
                {"prometheus": {"url": url, "query": "up", "auth": auth, "timeoutSeconds": 0.5}},
                name=name,
            )
            for name, url in urls.items()
        ]
    )
    await poller.poll_once()
    messages = [found.message for found in poller.diagnose().values()]
    assert all(messages) and "bad token ***" in messages[0]
    assert not any("s3cr3t" in text or "t0ken" in text for text in messages)
