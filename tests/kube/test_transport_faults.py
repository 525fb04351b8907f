"""What the client makes of a wire that misbehaves: the family of the error, and how often it asks."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wattshift.errors import Bug, FenceLost, NeedsHuman, Transient
from wattshift.kube.auth import Access
from wattshift.kube.errors import ApiError, SpokeUnreachable
from wattshift.kube.resources import CONFIG_MAPS, DEPLOYMENTS

OBJECT = {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "1", "uid": "u"}}
SCALE = {"metadata": {"uid": "u"}, "spec": {"replicas": 2}, "status": {"replicas": 2}}


@pytest.fixture
def slept():
    return []


@pytest.fixture
def build(connect, wire, slept):
    """A client of a fault server whose waits are recorded instead of waited."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def make(server, **options):
        return connect(
            server.access, timings=options.pop("timings", wire.FAST), sleep=sleep, **options
        )

    return make


def status(code: int, reason: str = "", **details) -> dict:
    return {"kind": "Status", "code": code, "reason": reason, "message": "because", **details}


async def read(client):
    return await client.get(CONFIG_MAPS, "a", namespace="n")


async def write(client):
    return await client.patch_scale(DEPLOYMENTS, "a", namespace="n", uid="u", observed=2, target=3)


# -- answers that are errors -------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "family"),
    [
        (400, Bug),
        (401, NeedsHuman),
        (403, NeedsHuman),
        (404, NeedsHuman),
        (405, Bug),
        (408, Transient),
        (409, Transient),
        (410, Transient),
        (413, Bug),
        (415, Bug),
        (422, Bug),
        (429, Transient),
        (500, Transient),
        (502, Transient),
        (503, Transient),
        (504, Transient),
        (418, Bug),
        (599, Transient),
    ],
)
async def test_every_status_belongs_to_one_family(fault_server, build, wire, code, family):
    client = build(await fault_server(wire.http(code, status(code))))
    with pytest.raises(ApiError) as caught:
        await read(client)
    assert caught.value.status == code
    families = [f for f in (Transient, NeedsHuman, Bug) if isinstance(caught.value, f)]
    assert families == [family]


async def test_429_honours_retry_after_and_succeeds(fault_server, build, wire, slept):
    busy = wire.http(429, status(429, "TooManyRequests"), headers={"Retry-After": "1"})
    server = await fault_server(wire.http(200, OBJECT), busy, busy)
    assert (await read(build(server)))["metadata"]["uid"] == "u"
    assert len(slept) == 2 and all(1.0 <= s <= 1.1 for s in slept)


async def test_429_without_retry_after_backs_off_with_jitter(fault_server, build, wire, slept):
    server = await fault_server(wire.http(200, OBJECT), wire.http(429), wire.http(429))
    await read(build(server))
    base = wire.FAST.retry_base
    assert base / 2 <= slept[0] <= base * 1.5 and base <= slept[1] <= base * 3


async def test_429_that_never_ends_is_throttled_not_unreachable(fault_server, build, wire):
    server = await fault_server(wire.http(429, status(429)))
    with pytest.raises(ApiError) as caught:
        await read(build(server))
    assert caught.value.is_throttled and len(server.requests) == wire.FAST.attempts


async def test_a_retry_after_beyond_patience_is_handed_to_the_caller(
    fault_server, build, wire, slept
):
    server = await fault_server(wire.http(429, status(429), headers={"Retry-After": "120"}))
    with pytest.raises(ApiError) as caught:
        await read(build(server))
    assert caught.value.retry_after_seconds == 120 and slept == [] and len(server.requests) == 1


@pytest.mark.parametrize("text", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "1e99", "nan"])
async def test_a_strange_retry_after_is_ignored(fault_server, build, wire, text):
    server = await fault_server(
        wire.http(200, OBJECT), wire.http(503, headers={"Retry-After": text})
    )
    assert await read(build(server))


async def test_a_burst_of_500_is_ridden_out_by_reads(fault_server, build, wire):
    server = await fault_server(wire.http(200, OBJECT), wire.http(500), wire.http(500))
    assert await read(build(server))
    assert len(server.requests) == 3


async def test_a_longer_burst_of_500_ends_as_transient(fault_server, build, wire):
    server = await fault_server(wire.http(500, status(500, "InternalError")))
    with pytest.raises(Transient) as caught:
        await read(build(server))
    assert caught.value.reason == "InternalError" and len(server.requests) == 3


async def test_503_with_a_page_of_a_proxy_keeps_its_status(fault_server, build, wire):
    page = wire.http(503, b"<html>no backend</html>", headers={"Content-Type": "text/html"})
    with pytest.raises(ApiError) as caught:
        await read(build(await fault_server(page)))
    assert (caught.value.status, caught.value.reason) == (503, "ServiceUnavailable")


@pytest.mark.parametrize("code", [429, 500, 503, 504])
async def test_writes_of_replicas_are_never_repeated(fault_server, build, wire, code):
    server = await fault_server(wire.http(code, status(code)))
    with pytest.raises(ApiError):
        await write(build(server))
    assert len(server.requests) == 1


async def test_apply_is_idempotent_and_is_repeated(fault_server, build, wire):
    server = await fault_server(wire.http(200, OBJECT), wire.http(504), wire.reset)
    await build(server).apply(CONFIG_MAPS, OBJECT)
    assert len(server.requests) == 3
    assert "fieldManager=wattshift&force=false" in server.requests[0]


async def test_the_guard_is_asked_before_every_attempt_of_a_write(fault_server, build, wire):
    asked = []

    def guard() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise FenceLost("lost between two attempts")

    server = await fault_server(wire.http(200, OBJECT), wire.http(504))
    with pytest.raises(FenceLost):
        await build(server, write_guard=guard).apply(CONFIG_MAPS, OBJECT)
    assert len(server.requests) == 1  # the second was never sent


async def test_reads_do_not_ask_the_guard(fault_server, build, wire):
    def guard() -> None:
        raise FenceLost("standby")

    assert await read(build(await fault_server(wire.http(200, OBJECT)), write_guard=guard))


async def test_401_then_200_is_one_more_try_with_the_token_read_again(
    fault_server, connect, wire, tmp_path
):
    token = tmp_path / "token"
    token.write_text("old\n")
    server = await fault_server(wire.http(200, OBJECT), wire.http(200, OBJECT), wire.http(401))
    server.answers = [wire.http(200, OBJECT), wire.http(401)]
    client = connect(Access(server=server.url, token_path=token), timings=wire.FAST)
    await read(client)
    token.write_text("new\n")
    await read(client)
    tokens = [h.split("Bearer ")[1].split("\r")[0] for h in server.heads]
    assert tokens == ["old", "old", "new"]


async def test_401_for_ever_asks_twice_and_needs_a_human(fault_server, build, wire):
    server = await fault_server(wire.http(401, status(401, "Unauthorized")))
    with pytest.raises(NeedsHuman) as caught:
        await read(build(server))
    assert caught.value.is_unauthorized and len(server.requests) == 2


async def test_one_403_is_not_repeated(fault_server, build, wire):
    server = await fault_server(wire.http(200, OBJECT), wire.http(403, status(403, "Forbidden")))
    with pytest.raises(NeedsHuman) as caught:
        await read(build(server))
    assert caught.value.is_forbidden and len(server.requests) == 1


async def test_410_on_a_continue_token_starts_the_list_again_once(fault_server, build, wire):
    page = wire.http(200, {"metadata": {"continue": "next"}, "items": [OBJECT]})
    whole = wire.http(200, {"metadata": {"resourceVersion": "7"}, "items": [OBJECT]})
    gone = wire.http(410, status(410, "Expired"))
    server = await fault_server(whole, page, gone)
    result = await build(server).list(CONFIG_MAPS)
    assert (len(result.items), result.resource_version) == (1, "7")
    again = await fault_server(gone)
    with pytest.raises(ApiError) as caught:
        await build(again).list(CONFIG_MAPS)
    assert caught.value.is_gone


async def test_422_on_scale_is_a_conflict_to_plan_again(fault_server, build, wire):
    server = await fault_server(wire.http(422, status(422, "Invalid")))
    with pytest.raises(Transient) as caught:
        await write(build(server))
    assert caught.value.reason == "ScaleConflict"


# -- no usable answer --------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["silence", "headers_then_silence"])
async def test_silence_ends_at_the_time_out_and_is_not_repeated(fault_server, build, wire, fault):
    server = await fault_server(getattr(wire, fault))
    timings = dataclasses.replace(wire.FAST, read=0.2)
    with pytest.raises(SpokeUnreachable) as caught:
        await read(build(server, timings=timings))
    assert caught.value.reason == "Timeout" and isinstance(caught.value, Transient)
    assert len(server.requests) == 1


async def test_a_write_into_silence_ends_at_its_own_time_out(fault_server, build, wire):
    timings = dataclasses.replace(wire.FAST, read=60.0, write=0.2)
    with pytest.raises(SpokeUnreachable) as caught:
        await write(build(await fault_server(wire.silence), timings=timings))
    assert caught.value.reason == "Timeout"


async def test_nobody_listening_is_unreachable(fault_server, build, wire):
    server = await fault_server(wire.silence)
    await server.stop()
    with pytest.raises(SpokeUnreachable) as caught:
        await read(build(server))
    assert caught.value.reason == "Unreachable"


async def test_reset_connections_are_tried_again_by_reads(fault_server, build, wire):
    server = await fault_server(wire.http(200, OBJECT), wire.reset, wire.reset)
    assert await read(build(server))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            lambda w: w.http(200, b'{"metadata": {"na', length=5000), id="cut in mid-JSON"
        ),
        pytest.param(lambda w: w.HTML, id="HTML for JSON"),
        pytest.param(lambda w: w.http(200, b"[1, 2]"), id="a list"),
        pytest.param(lambda w: w.http(200, b"\xff\xfe\x00"), id="bytes"),
        pytest.param(lambda w: w.http(200, b""), id="empty"),
        pytest.param(
            lambda w: w.http(302, b"", headers={"Location": "http://127.0.0.1:9"}), id="redirect"
        ),
        pytest.param(lambda w: w.not_http, id="another protocol"),
        pytest.param(lambda w: w.http(200, b"[" * 100_000), id="deep nesting"),
        pytest.param(lambda w: w.http(200, b" " * 2_000_000), id="huge body"),
    ],
)
async def test_garbage_is_a_garbled_response(fault_server, build, wire, fault):
    server = await fault_server(fault(wire))
    with pytest.raises(SpokeUnreachable) as caught:
        await read(build(server))
    assert caught.value.reason == "GarbledResponse"


@pytest.mark.parametrize("body", [{}, {"metadata": {}}, {"metadata": []}, {"metadata": {"uid": 7}}])
async def test_json_that_is_no_cluster_has_no_identity(fault_server, build, wire, body):
    with pytest.raises(Transient):
        await build(await fault_server(wire.http(200, body))).cluster_uid()


@pytest.mark.parametrize(
    "body", [{}, {"metadata": []}, {"metadata": {"uid": "u"}, "spec": {"replicas": "many"}}]
)
async def test_json_that_is_no_scale_is_garbled(fault_server, build, wire, body):
    with pytest.raises(SpokeUnreachable):
        await build(await fault_server(wire.http(200, body))).get_scale(
            DEPLOYMENTS, "a", namespace="n"
        )


async def test_an_unknown_authority_is_a_tls_failure_and_not_repeated(fault_server, connect, wire):
    server = await fault_server(wire.http(200, OBJECT), tls=True)
    client = connect(Access(server=server.url, token_text="t0ken"), timings=wire.FAST)
    with pytest.raises(SpokeUnreachable) as caught:
        await read(client)
    assert caught.value.reason == "TLSFailed" and server.requests == []


async def test_an_expired_certificate_is_a_tls_failure(fault_server, connect, wire, expired_tls):
    server = await fault_server(wire.http(200, OBJECT), tls=expired_tls)
    with pytest.raises(SpokeUnreachable, match="expired") as caught:
        await read(connect(server.access, timings=wire.FAST))
    assert caught.value.reason == "TLSFailed"


async def test_the_certificate_must_match_the_name(fault_server, connect, wire):
    server = await fault_server(wire.http(200, OBJECT), tls=True)
    access = dataclasses.replace(server.access, tls_server_name="elsewhere.example")
    with pytest.raises(SpokeUnreachable) as caught:
        await read(connect(access, timings=wire.FAST))
    assert caught.value.reason == "TLSFailed"
    assert await read(connect(server.access, timings=wire.FAST))


# -- what must never happen --------------------------------------------------------------


async def test_a_redirect_is_not_followed_with_the_credential(fault_server, build, wire):
    thief = await fault_server(wire.http(200, OBJECT))
    lure = wire.http(307, b"", headers={"Location": thief.url})
    with pytest.raises(SpokeUnreachable):
        await read(build(await fault_server(lure)))
    assert thief.requests == []


async def test_proxy_variables_are_not_read(fault_server, build, wire, monkeypatch):
    thief = await fault_server(wire.http(200, OBJECT))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, thief.url)
    server = await fault_server(wire.http(200, OBJECT))
    await read(build(server))
    assert thief.requests == [] and len(server.requests) == 1


async def test_errors_never_hold_the_token(fault_server, build, wire):
    for answer in (wire.http(401), wire.http(500), wire.HTML, wire.reset, wire.silence):
        with pytest.raises(Exception) as caught:
            await read(build(await fault_server(answer)))
        error: BaseException | None = caught.value
        while error is not None:
            assert "t0ken" not in f"{error} {error!r}"
            error = error.__cause__


async def test_more_requests_than_connections_wait_their_turn(fault_server, build, wire):
    server = await fault_server(wire.http(200, OBJECT))
    client = build(server)
    done = await asyncio.gather(*(read(client) for _ in range(60)))
    assert len(done) == 60 and len(server.tasks) <= 16


async def test_watches_do_not_use_up_the_connections_of_requests(fault_server, build, wire):
    server = await fault_server(wire.stream(then="silence"))
    client = build(server)
    streams = [client.stream("/api/v1/pods", {"watch": "true"}) for _ in range(20)]
    for one in streams:
        await one.__aenter__()
    server.default = wire.http(200, OBJECT)
    assert await read(client)
    for one in streams:
        await one.__aexit__(None, None, None)


async def test_a_closed_client_says_so(fault_server, build, wire):
    client = build(await fault_server(wire.http(200, OBJECT)))
    await client.close()
    await client.close()
    with pytest.raises(SpokeUnreachable) as caught:
        await read(client)
    assert caught.value.reason == "Closed"
