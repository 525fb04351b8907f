"""`httpJson` against a real HTTP server: values, lists, credentials, and faults at the wire."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.conftest import NOON, Clocks, Secrets, WebServer, signal
from wattshift.adapters.base import SourceContext
from wattshift.adapters.failures import SourceError, SourceNeedsHuman, SourceTransient
from wattshift.adapters.grid.http_json import HttpJsonSource, follow, split_path
from wattshift.adapters.http import GuardedResolver, address_refused, check_url
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import SignalKind


def source(context: SourceContext, url: str, **spec: Any) -> HttpJsonSource:
    kind = spec.pop("kind", SignalKind.OBSERVATION)
    full = {"url": url, "valuePath": "value", "timeoutSeconds": 2, **spec}
    return HttpJsonSource(signal({"httpJson": full}, kind=kind), context)


async def test_one_value_and_its_own_time(context: SourceContext, server: WebServer) -> None:
    server.json("/v4", {"data": [{"carbonIntensity": 302, "datetime": "2026-11-22T03:00:00.000Z"}]})
    fetched = await source(
        context,
        server.url + "/v4",
        valuePath="data[0].carbonIntensity",
        timePath="data[0].datetime",
    ).fetch(NOON)
    (seen,) = fetched.observations
    assert (seen.value, seen.source_time, seen.exact_time) == (302.0, NOON - 3600, True)


async def test_without_a_time_path_the_time_of_the_request_counts(
    context: SourceContext, server: WebServer
) -> None:
    server.json("/v", {"value": "12.5"})
    (seen,) = (await source(context, server.url + "/v").fetch(NOON)).observations
    assert (seen.value, seen.source_time, seen.exact_time) == (12.5, NOON, False)


async def test_a_list_of_points_becomes_steps_in_order(
    context: SourceContext, server: WebServer
) -> None:
    points = [{"t": NOON + 3600, "p": 2}, {"t": NOON, "p": 1}, {"t": NOON + 7200, "p": None}]
    server.json("/f", {"forecast": points})
    fetched = await source(
        context,
        server.url + "/f",
        kind=SignalKind.FORECAST,
        itemsPath="forecast",
        valuePath="p",
        timePath="t",
        timeFormat="EpochSeconds",
    ).fetch(NOON)
    assert [(s.start_time - NOON, s.value) for s in fetched.steps] == [
        (0, 1),
        (3600, 2),
        (7200, None),
    ]
    assert fetched.end_time == NOON + 10_800


async def test_in_a_replay_a_live_time_stamp_keeps_its_age_times_the_speed(
    context: SourceContext, server: WebServer
) -> None:
    from dataclasses import replace

    real_now = 1_800_000_000.0
    fast = replace(context, epoch_clock=lambda: real_now, grid_speed=lambda: 60.0)
    server.json("/v", {"value": 1, "time": real_now - 2})
    (seen,) = (
        await source(fast, server.url + "/v", timePath="time", timeFormat="EpochSeconds").fetch(
            NOON
        )
    ).observations
    assert seen.source_time == NOON - 120


@pytest.mark.parametrize(
    ("kind", "name", "secret", "header", "expected"),
    [
        ("BearerToken", None, "s3cret\n", "Authorization", "Bearer s3cret"),
        ("Basic", None, "user:pass", "Authorization", "Basic dXNlcjpwYXNz"),
        ("Headers", "auth-token", "s3cret", "auth-token", "s3cret"),
        ("Headers", None, "s3cret", "token", "s3cret"),
    ],
)
async def test_a_credential_travels_as_its_type_says(
    kind: str,
    name: str | None,
    secret: str,
    header: str,
    expected: str,
    context: SourceContext,
    server: WebServer,
    secrets: Secrets,
) -> None:
    secrets.values["emaps", "token"] = (secret, {server.host})
    server.json("/v", {"value": 1})
    auth = {"type": kind, "secretRef": {"name": "emaps", "key": "token"}, "name": name}
    await source(context, server.url + "/v", auth=auth).fetch(NOON)
    assert server.requests[-1].headers[header] == expected


async def test_a_query_credential_is_a_parameter_and_never_part_of_a_message(
    context: SourceContext, server: WebServer, secrets: Secrets
) -> None:
    secrets.values["emaps", "token"] = ("s3cret", {server.host})
    server.text("/v", "no", status=500)
    auth = {
        "type": "Query",
        "secretRef": {"name": "emaps", "key": "token"},
        "name": "securityToken",
    }
    with pytest.raises(SourceTransient) as caught:
        await source(context, server.url + "/v?zone=CN", auth=auth).fetch(NOON)
    assert server.requests[-1].query == {"zone": "CN", "securityToken": "s3cret"}
    assert "s3cret" not in caught.value.message


async def test_a_credential_is_not_sent_to_a_host_that_its_secret_does_not_allow(
    context: SourceContext, server: WebServer, secrets: Secrets
) -> None:
    secrets.values["emaps", "token"] = ("s3cret", {"api.electricitymaps.com"})
    server.json("/v", {"value": 1})
    auth = {"type": "BearerToken", "secretRef": {"name": "emaps", "key": "token"}}
    with pytest.raises(SourceNeedsHuman) as caught:
        await source(context, server.url + "/v", auth=auth).fetch(NOON)
    assert caught.value.reason is SourceReason.HOST_NOT_ALLOWED
    assert server.requests == []


FAULTS = [
    ("/hang", SourceTransient, SourceReason.SOURCE_TIMED_OUT),
    ("/500", SourceTransient, SourceReason.SOURCE_UNREACHABLE),
    ("/429", SourceTransient, SourceReason.SOURCE_UNREACHABLE),
    ("/401", SourceNeedsHuman, SourceReason.CREDENTIAL_REFUSED),
    ("/403", SourceNeedsHuman, SourceReason.CREDENTIAL_REFUSED),
    ("/404", SourceNeedsHuman, SourceReason.SOURCE_NOT_FOUND),
    ("/422", SourceNeedsHuman, SourceReason.QUERY_REFUSED),
    ("/redirect", SourceNeedsHuman, SourceReason.REDIRECT_REFUSED),
    ("/html", SourceNeedsHuman, SourceReason.ANSWER_NOT_READABLE),
    ("/huge", SourceNeedsHuman, SourceReason.ANSWER_TOO_LARGE),
    ("/deep", SourceNeedsHuman, SourceReason.ANSWER_NOT_READABLE),
    ("/null", SourceNeedsHuman, SourceReason.NO_DATA),
    ("/text", SourceNeedsHuman, SourceReason.NOT_A_NUMBER),
    ("/elsewhere", SourceNeedsHuman, SourceReason.SOURCE_NOT_FOUND),
]


@pytest.mark.parametrize(("path", "family", "reason"), FAULTS, ids=[row[0] for row in FAULTS])
async def test_a_fault_at_the_wire_has_its_reason(
    path: str,
    family: type[SourceError],
    reason: SourceReason,
    context: SourceContext,
    server: WebServer,
) -> None:
    server.hang("/hang")
    for status in (500, 429, 401, 403, 422):
        server.text(f"/{status}", "no", status=status)
    server.redirect("/redirect", "http://169.254.169.254/latest")
    server.text("/html", "<html>Please log in</html>", kind="text/html")
    server.huge("/huge", 6 * 1024 * 1024)
    server.text("/deep", "[" * 200_000, kind="application/json")
    server.json("/null", {"value": None})
    server.json("/text", {"value": "cheap"})
    server.json("/elsewhere", {"price": 1})
    with pytest.raises(SourceError) as caught:
        await source(context, server.url + path, timeoutSeconds=0.5).fetch(NOON)
    assert isinstance(caught.value, family)
    assert caught.value.reason is reason
    assert caught.value.message


async def test_nobody_listens(context: SourceContext) -> None:
    with pytest.raises(SourceTransient) as caught:
        await source(context, "http://127.0.0.1:9/v").fetch(NOON)
    assert caught.value.reason is SourceReason.SOURCE_UNREACHABLE


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://a.example/",
        "http://user:pass@a.example/",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0:8080/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://metadata.google.internal/",
        "http:///nothing",
        "http://a.example:99999/",
    ],
)
def test_urls_that_must_not_be_read_are_refused(url: str) -> None:
    with pytest.raises(SourceNeedsHuman):
        check_url(url)


def test_the_installation_may_allow_only_some_hosts(context: SourceContext) -> None:
    assert check_url("https://scada.example/x", lambda host: host == "scada.example")
    with pytest.raises(SourceNeedsHuman) as caught:
        check_url("https://other.example/x", lambda host: host == "scada.example")
    assert caught.value.reason is SourceReason.HOST_NOT_ALLOWED


async def test_a_name_that_resolves_to_a_refused_address_does_not_resolve() -> None:
    from aiohttp.abc import AbstractResolver

    class Fixed(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
            return [{"host": "169.254.169.254", "hostname": host, "port": port}]

        async def close(self) -> None:
            return None

    with pytest.raises(OSError, match="must not be read"):
        await GuardedResolver(Fixed()).resolve("innocent.example", 80)


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "192.168.1.1", "8.8.8.8", "name"])
def test_private_and_loopback_addresses_are_where_meters_live(address: str) -> None:
    assert not address_refused(address)


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("/data/0/value", ("data", "0", "value")),
        ("data[0].value", ("data", "0", "value")),
        ("$.data[-1].value", ("data", "-1", "value")),
        ("/a~1b/m~0n", ("a/b", "m~n")),
        ("", ()),
        ("$", ()),
    ],
)
def test_paths_are_pointers_or_dotted(path: str, tokens: tuple[str, ...]) -> None:
    assert split_path(path) == tokens


def test_a_path_that_leads_nowhere_names_the_token() -> None:
    with pytest.raises(SourceNeedsHuman, match="/data/3"):
        follow({"data": [1]}, ("data", "3", "value"), "x")


async def test_the_answer_says_unit_and_zone_where_paths_point_at_them(
    context: SourceContext, server: WebServer
) -> None:
    server.json("/v", {"value": 1, "unit": "gCO2eq/kWh", "zone": "CN-NW"})
    fetched = await source(
        context, server.url + "/v", unitPath="unit", zonePath="zone", zone="CN"
    ).fetch(NOON)
    assert (fetched.unit, fetched.zone) == ("gCO2eq/kWh", "CN-NW")


async def test_equal_requests_share_a_key_and_another_credential_does_not(
    context: SourceContext,
) -> None:
    one = {"type": "BearerToken", "secretRef": {"name": "a", "key": "t"}}
    two = {"type": "BearerToken", "secretRef": {"name": "b", "key": "t"}}
    url = "https://a.example/v"
    assert source(context, url, auth=one).fetch_key == source(context, url, auth=one).fetch_key
    assert source(context, url, auth=one).fetch_key != source(context, url, auth=two).fetch_key


async def test_clocks_do_not_move_by_themselves(clocks: Clocks) -> None:
    assert clocks.grid == NOON
