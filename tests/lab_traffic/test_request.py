"""What counts as a success at the client, against servers that misbehave on the wire."""

from __future__ import annotations

import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from e2e.lab.traffic.attainment import Objectives, percentile, summarise
from e2e.lab.traffic.request import Outcome, complete

DONE = b"data: [DONE]\n\n"


def chunk(text: str = "word ", finish: str | None = None) -> bytes:
    choice = {"index": 0, "finish_reason": finish, "text": text}
    return b"data: " + json.dumps({"choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


def usage(tokens: int) -> bytes:
    body = {"usage": {"prompt_tokens": 3, "completion_tokens": tokens}, "choices": []}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def seen(*events: bytes, status: int = 200, expected: int = 3, cut: bool = False) -> Outcome:
    """Outcome of a request to a server that sends these bytes."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if status != 200:
            return web.Response(status=status, text="no")
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await reply.prepare(request)
        for event in events:
            await reply.write(event)
        if cut:
            request.transport.abort()
        return reply

    application = web.Application()
    application.router.add_post("/v1/completions", handler)
    server = TestServer(application)
    await server.start_server()
    outcome = Outcome(
        id="1", model="m", client="c", scheduled_time=0.0, expected_tokens=expected, prompt_tokens=3
    )
    async with aiohttp.ClientSession(trust_env=False) as session:
        await complete(session, str(server.make_url("")).rstrip("/"), outcome, timeout_seconds=5)
    await server.close()
    return outcome


async def test_finish_reason_tokens_and_done_make_a_success() -> None:
    outcome = await seen(chunk(), chunk(), chunk(), chunk("", "length"), usage(3), DONE)
    assert outcome.ok
    assert (outcome.tokens, outcome.finish_reason, outcome.status) == (3, "length", 200)
    assert outcome.ttft_ms is not None
    assert outcome.itl_mean_ms is not None


async def test_tokens_are_counted_by_chunks_when_the_server_reports_no_usage() -> None:
    assert (await seen(chunk(), chunk(), chunk(), chunk("", "stop"), DONE)).ok


async def test_done_alone_is_no_success() -> None:
    outcome = await seen(DONE)
    assert not outcome.ok
    assert outcome.error.startswith("incomplete")


async def test_missing_done_is_a_truncated_stream() -> None:
    outcome = await seen(chunk(), chunk(), chunk(), chunk("", "length"), usage(3))
    assert not outcome.ok
    assert "without [DONE]" in outcome.error


async def test_fewer_tokens_than_asked_are_a_failure_even_with_a_finish_reason() -> None:
    outcome = await seen(chunk(), chunk("", "length"), usage(1), DONE)
    assert not outcome.ok
    assert outcome.error == "incomplete: 1/3 tokens"


async def test_aborted_finish_is_a_failure() -> None:
    assert not (await seen(chunk(), chunk(), chunk(), chunk("", "abort"), usage(3), DONE)).ok


async def test_error_frame_inside_a_good_status_is_a_failure() -> None:
    frame = b'data: {"error":{"message":"EngineCore encountered an issue"}}\n\n'
    outcome = await seen(chunk(), frame, DONE)
    assert not outcome.ok
    assert "EngineCore" in outcome.error


async def test_cut_connection_is_a_failure_with_its_cause() -> None:
    outcome = await seen(chunk(), chunk(), cut=True)
    assert not outcome.ok
    assert outcome.status == 200
    assert outcome.error


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_refusal_keeps_its_status(status: int) -> None:
    outcome = await seen(status=status)
    assert not outcome.ok
    assert outcome.status == status
    assert outcome.error == "no"


async def test_record_is_one_json_line() -> None:
    outcome = await seen(chunk(), chunk("", "length"), usage(1), DONE, expected=1)
    line = outcome.line()
    assert "\n" not in line
    assert json.loads(line)["ok"] is True


def outcome_at(
    moment: float, *, ok: bool = True, ttft: float = 100.0, itl: float = 20.0
) -> Outcome:
    return Outcome(
        id="x",
        model="m",
        client="c",
        scheduled_time=moment,
        ok=ok,
        error="" if ok else "ServerDisconnectedError: gone",
        tokens=10,
        ttft_ms=ttft if ok else None,
        itl_mean_ms=itl if ok else None,
    )


def test_failures_count_against_attainment() -> None:
    found = summarise([outcome_at(0), outcome_at(1, ok=False)], Objectives(500, 50))
    assert found["attainment"] == 0.5
    assert found["succeeded"] == 1
    assert found["errors"] == {"ServerDisconnectedError": 1}


def test_each_limit_counts_and_absent_limits_do_not() -> None:
    slow_first, slow_token = outcome_at(0, ttft=900), outcome_at(0, itl=90)
    assert summarise([slow_first, slow_token], Objectives(500, 50))["withinObjectives"] == 0
    assert summarise([slow_first, slow_token], Objectives(None, 50))["withinObjectives"] == 1
    assert summarise([slow_first, slow_token], Objectives())["withinObjectives"] == 2


def test_windows_hold_every_request_once() -> None:
    outcomes = [outcome_at(1000 + second) for second in range(0, 150, 10)]
    found = summarise(outcomes, Objectives(500, 50), window_seconds=60)
    assert [item["requests"] for item in found["windows"]] == [6, 6, 3]
    assert [item["startTime"] for item in found["windows"]] == [1000, 1060, 1120]


def test_attainment_of_nothing_is_unknown_not_perfect() -> None:
    found = summarise([], Objectives(500, 50))
    assert found["attainment"] is None
    assert found["windows"] == []


def test_percentile_is_a_value_that_occurred() -> None:
    assert percentile([4, 1, 3, 2], 0.5) == 2
    assert percentile([4, 1, 3, 2], 0.95) == 4
    assert percentile([], 0.5) is None
