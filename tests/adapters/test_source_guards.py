"""Guards around sources: where names may lead, what servers ask for, what an answer leaves out."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.adapters.conftest import (
    NOON,
    Clocks,
    Scripted,
    Secrets,
    WebServer,
    signal,
)
from wattshift.adapters.base import Fetched, Observation, SourceContext
from wattshift.adapters.failures import SourceError, SourceNeedsHuman, SourceTransient
from wattshift.adapters.checks import Refusal, check_value
from wattshift.adapters.grid.file import parse_table
from wattshift.adapters.grid.http_json import HttpJsonSource
from wattshift.adapters.grid.prometheus import PrometheusSource
from wattshift.adapters.http import HttpTarget, address_refused, retry_after_seconds
from wattshift.adapters.latency.engine import EnginePod, RefusedReader, ScrapeFailure
from wattshift.adapters.latency.profile import engine_profiles
from wattshift.adapters.poller import Poller
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import Quality, SignalKind
from wattshift.core.units import Quantity
from wattshift.kube.hosts import host_allowed

KEY = ("PowerSite", "gansu-1", "feed")
HOUR = "2026-11-22T00:00:00+08:00"


def vector(value: float, **more: Any) -> dict[str, Any]:
    result = [{"metric": {}, "value": [NOON, str(value)]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def prometheus(context: SourceContext, url: str) -> PrometheusSource:
    spec = {"url": url, "query": "site_meter_watts", "timeoutSeconds": 2}
    return PrometheusSource(signal({"prometheus": spec}), context)


# --- where names may lead --------------------------------------------------------------------


@pytest.mark.parametrize("address", ["100.100.100.200", "192.0.0.192", "::ffff:100.100.100.200"])
def test_metadata_services_outside_of_link_local_are_never_read(address: str) -> None:
    assert address_refused(address)


async def test_a_name_that_leads_to_cloud_metadata_is_not_asked_as_a_prometheus(
    context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [row])
    with pytest.raises(SourceTransient, match="must not be read"):
        await prometheus(context, "http://innocent.example").fetch(NOON)


async def test_a_name_that_answers_differently_when_it_is_asked_again_is_not_sent_to(
    context: SourceContext, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.json("/api/v1/query", vector(1))
    monkeypatch.setattr(
        "wattshift.adapters.prometheus.socket.socket.getpeername",
        lambda _: ("169.254.169.254", 80),
        raising=False,
    )
    with pytest.raises(SourceTransient, match="must not be read"):
        await prometheus(context, server.url).fetch(NOON)
    assert server.requests == []


@pytest.mark.parametrize("tail", ["?token=abc123", "/?token=abc123", "/#abc123"])
def test_a_prometheus_address_with_a_query_is_refused_without_repeating_it(
    tail: str, context: SourceContext
) -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        prometheus(context, "https://prom.example" + tail)
    assert caught.value.reason is SourceReason.SOURCE_INVALID
    assert "abc123" not in caught.value.message


async def test_a_slash_at_the_end_of_a_url_is_part_of_it(
    context: SourceContext, server: WebServer
) -> None:
    server.json("/price/", {"value": 7})
    server.redirect("/price", "/price/")
    spec = {"url": server.url + "/price/", "valuePath": "value"}
    (seen,) = (await HttpJsonSource(signal({"httpJson": spec}), context).fetch(NOON)).observations
    assert seen.value == 7


async def test_engines_behind_a_server_that_must_not_be_asked_are_unknown_with_the_reason() -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        HttpTarget.from_spec({"url": "http://169.254.169.254"}, base=True)
    reader = RefusedReader(caught.value)
    pod = EnginePod(
        uid="1", name="a", namespace="n", address="10.0.0.1", port=8000, metrics_path="/metrics"
    )
    results = await reader.read([pod, pod], engine_profiles()["VLLM"])
    assert [type(row) for row in results] == [ScrapeFailure, ScrapeFailure]
    assert results[0].reason == SourceReason.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.example/v", True),
        ("https://api.example:443/v", True),
        ("http://api.example/v", False),
        ("http://api.example:/v", False),
        ("http://api.example:443/v", True),
        ("https://[2001:db8::1]/v", False),
    ],
)
def test_a_secret_for_port_443_is_not_sent_in_clear_text(url: str, allowed: bool) -> None:
    assert host_allowed(HttpTarget.from_spec({"url": url}).host, ("api.example:443",)) is allowed


async def test_what_an_answer_repeats_of_the_credential_is_not_repeated_by_us(
    context: SourceContext, server: WebServer, secrets: Secrets
) -> None:
    secrets.values["api", "token"] = ("s3cr3t-value", {server.host})
    auth = {"type": "BearerToken", "secretRef": {"name": "api", "key": "token"}}
    server.text("/v", "s3cr3t-value is no longer valid", kind="application/json")
    server.json("/n", {"value": "s3cr3t-value"})
    for path in ("/v", "/n"):
        spec = {"url": server.url + path, "valuePath": "value", "auth": auth}
        with pytest.raises(SourceNeedsHuman) as caught:
            await HttpJsonSource(signal({"httpJson": spec}), context).fetch(NOON)
        assert "s3cr3t" not in caught.value.message


# --- what servers ask for --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "999999999"}, 3600),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({}, 0),
        (
            {
                "Retry-After": "Sun, 22 Nov 2026 10:02:00 GMT",
                "Date": "Sun, 22 Nov 2026 10:00:00 GMT",
            },
            120,
        ),
        ({"Retry-After": "Sun, 22 Nov 2026 10:02:00 GMT"}, 0),
        ({"Retry-After": "Sun, 22 Nov 2026 10:02:00 GMT", "Date": "2026"}, 0),
        (
            {
                "Retry-After": "Sun, 22 Nov 2026 10:02:00 -0000",
                "Date": "Sun, 22 Nov 2026 10:00:00 GMT",
            },
            0,
        ),
    ],
)
def test_a_server_says_how_long_it_wants_to_be_left_alone(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after_seconds(headers) == seconds


@pytest.mark.parametrize("kind", ["httpJson", "prometheus"])
async def test_a_server_that_asks_for_a_pause_is_not_asked_before(
    kind: str, context: SourceContext, server: WebServer, clocks: Clocks
) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "900"}, text="slow down")

    server.routes["/api/v1/query"] = server.routes["/v"] = busy
    spec = {"httpJson": {"url": server.url + "/v", "valuePath": "value"}}
    if kind == "prometheus":
        spec = {"prometheus": {"url": server.url, "query": "a"}}
    poller = Poller(context)
    poller.configure([signal(spec, poll_period_seconds=10)])
    await poller.poll_once()
    assert len(server.requests) == 1
    clocks.advance(890)
    await poller.poll_once()
    assert len(server.requests) == 1
    clocks.advance(11)
    await poller.poll_once()
    assert len(server.requests) == 2


async def test_a_server_may_think_for_as_long_as_the_source_allows(
    context: SourceContext, server: WebServer
) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.json_response({"value": 1})

    server.routes["/v"] = slow
    impatient = aiohttp.ClientTimeout(total=0.1, sock_read=0.1)
    async with aiohttp.ClientSession(timeout=impatient) as session:
        where = replace(context, session=session)
        spec = {"url": server.url + "/v", "valuePath": "value", "timeoutSeconds": 20}
        fetched = await HttpJsonSource(signal({"httpJson": spec}), where).fetch(NOON)
    assert fetched.observations[0].value == 1


async def test_a_signal_that_goes_stale_as_fast_as_it_is_read_is_read_twice_as_often(
    context: SourceContext, clocks: Clocks
) -> None:
    made: list[Scripted] = []

    class Live(Scripted):
        async def fetch(self, now: float) -> Fetched:
            self.calls += 1
            return Fetched(observations=(Observation(value=5.0, source_time=now - 10),))

    def make(config: Any, where: SourceContext) -> Scripted:
        made.append(Live(config, where))
        return made[-1]

    poller = Poller(context, sources={"live": make})
    config = signal({"live": {"answers": []}}, poll_period_seconds=60, stale_after_seconds=60)
    poller.configure([config])
    for _ in range(300):
        await poller.poll_once()
        reading = poller.states(clocks.grid)[KEY].reading
        assert reading is not None
        assert reading.quality is Quality.MEASURED
        clocks.advance(1)
    assert made[0].calls < 15


# --- what an answer leaves out ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("warnings", "refused"),
    [
        (["fetch series from store 10.0.0.7:10901: connection refused"], True),
        (["PromQL info: metric might not be a counter"], False),
        ([], False),
        (None, False),
    ],
)
async def test_a_sum_over_a_part_of_the_stores_is_no_sum(
    warnings: list[str] | None, refused: bool, context: SourceContext, server: WebServer
) -> None:
    server.json("/api/v1/query", vector(NOON, warnings=warnings))
    try:
        await prometheus(context, server.url).fetch(NOON)
    except SourceError as error:
        assert refused
        assert "incomplete" in error.message
    else:
        assert not refused


@pytest.mark.parametrize("kind", [SignalKind.OBSERVATION, SignalKind.FORECAST])
@pytest.mark.parametrize(
    "result",
    [
        [{"metric": {}, "value": [1]}],
        [{"metric": "a", "value": [1, "2"]}],
        [{"metric": {}, "value": ["x", "2"]}],
        [{"metric": {}, "value": 7}],
        [{"metric": {}, "values": [[1]]}],
        [{"metric": {}, "values": 7}],
        ["a", "b", "c"],
        [["a"]],
        {"a": 1},
        "text",
        7,
    ],
)
async def test_what_is_no_prometheus_answer_is_said_and_no_fault_of_ours(
    result: Any, kind: SignalKind, context: SourceContext, server: WebServer
) -> None:
    document = {"status": "success", "data": {"resultType": "vector", "result": result}}
    for path in ("query", "query_range"):
        server.json(f"/api/v1/{path}", document)
    spec = {"url": server.url, "query": "a", "timeoutSeconds": 2}
    with pytest.raises(SourceNeedsHuman):
        await PrometheusSource(signal({"prometheus": spec}, kind=kind), context).fetch(NOON)


@pytest.mark.parametrize(
    ("text", "reason", "part"),
    [
        (f"time,price\n{HOUR},0,62\n", SourceReason.ANSWER_NOT_READABLE, "line 2: more cells"),
        (f"time,price,price\n{HOUR},1,2\n", SourceReason.ANSWER_NOT_READABLE, "there twice"),
        (f"time;price\n{HOUR};1\n", SourceReason.SOURCE_NOT_FOUND, "separate them by commas"),
        (f"time,price\r{HOUR},1\r", SourceReason.ANSWER_NOT_READABLE, "no CSV"),
        (f"time,price\n{HOUR},{'9' * 140_000}\n", SourceReason.ANSWER_NOT_READABLE, "no CSV"),
        (f"time,price\n{HOUR},1_000\n", SourceReason.NOT_A_NUMBER, "'1_000' is no number"),
        ("time,price\n0001-01-01T00:00:00,1\n", SourceReason.LOCAL_TIME_INVALID, "line 2"),
    ],
)
def test_a_table_that_would_be_read_wrongly_is_refused(
    text: str, reason: SourceReason, part: str
) -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        parse_table(text, ("time", "price"), "Asia/Shanghai", "file a/b")
    assert caught.value.reason is reason
    assert part in caught.value.message


@pytest.mark.parametrize("row", [f"{HOUR},1,", f"# a, b, c\n{HOUR},1", f"\n{HOUR},1,,"])
def test_empty_cells_at_the_end_and_commas_in_comments_do_no_harm(row: str) -> None:
    steps, _ = parse_table(f"time,price\n{row}\n", ("time", "price"), None, "file a/b")
    assert [step.value for step in steps] == [1.0]


@pytest.mark.parametrize(
    ("value", "unit"), [(1e13, "Watt"), (1e305, "Megawatt"), (-2e6, "Megawatt")]
)
def test_a_number_that_nothing_can_be_is_refused(value: float, unit: str) -> None:
    judged = check_value(signal({"constant": {}}, unit=unit), value)
    assert isinstance(judged, Refusal)
    assert judged.reason == SourceReason.IMPLAUSIBLE


async def test_a_bad_step_of_a_curve_is_named_by_its_time(
    context: SourceContext, config_maps: dict[str, dict[str, str]]
) -> None:
    config_maps["day"] = {"d.csv": f"time,price\n{HOUR},NaN\n"}
    spec = {"configMapRef": {"name": "day", "key": "d.csv"}, "timeColumn": "time"}
    poller = Poller(context)
    poller.configure([signal({"file": {**spec, "valueColumn": "price"}})])
    await poller.poll_once()
    assert poller.diagnose()[KEY].message == "step at 2026-11-21T16:00:00Z: the value is NaN"


# --- what the answer says about itself -------------------------------------------------------


async def test_two_signals_that_mean_different_zones_are_judged_each_by_its_own(
    context: SourceContext, server: WebServer
) -> None:
    server.json("/v", {"value": 500, "unit": "gCO2eq/kWh", "zone": "CN-NW"})
    common = {"url": server.url + "/v", "valuePath": "value", "zonePath": "zone"}
    poller = Poller(context)
    base = signal(
        {"httpJson": {**common, "zone": "CN-NW"}},
        quantity=Quantity.CARBON_INTENSITY_AVERAGE,
        unit="GramPerKilowattHour",
        name="north-west",
    )
    east = replace(base, name="east", source_spec={**common, "zone": "CN-E"})
    percent = replace(
        base,
        name="unit",
        unit="KilogramPerKilowattHour",
        source_spec={"url": server.url + "/v", "valuePath": "value", "unitPath": "unit"},
    )
    poller.configure([base, east, percent])
    await poller.poll_once()
    told = {key[2]: row.reason for key, row in poller.diagnose().items()}
    assert told == {
        "north-west": "",
        "east": SourceReason.WRONG_ZONE,
        "unit": SourceReason.WRONG_UNIT,
    }


@pytest.mark.parametrize(
    ("spec", "kind", "part"),
    [
        ({"zone": "CN"}, SignalKind.OBSERVATION, "zone and zonePath"),
        ({"zonePath": "zone"}, SignalKind.OBSERVATION, "zone and zonePath"),
        ({"itemsPath": "a"}, SignalKind.OBSERVATION, "itemsPath needs timePath"),
        ({"timePath": "t"}, SignalKind.FORECAST, "needs itemsPath"),
    ],
)
async def test_paths_that_cannot_work_are_named(
    spec: dict[str, str], kind: SignalKind, part: str, context: SourceContext
) -> None:
    full = {"url": "https://a.example/v", "valuePath": "value", **spec}
    poller = Poller(context)
    poller.configure([signal({"httpJson": full}, kind=kind)])
    diagnosis = poller.diagnose()[KEY]
    assert diagnosis.reason == SourceReason.SOURCE_INVALID
    assert part in diagnosis.message
