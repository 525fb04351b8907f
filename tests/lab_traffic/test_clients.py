"""Seeded, open-loop, bounded load."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
import yaml

from e2e.lab.telemetry.clock import GridClock
from e2e.lab.telemetry.curve import DayCurve, constant
from e2e.lab.traffic.clients import Lengths, Load, Running, drive, load_from, run
from e2e.lab.traffic.request import Outcome

CLOCK = GridClock(0.0, 1.0, 0.0)


def load(**changes) -> Load:
    given = {"client": "u", "model": "m", "url": "http://127.0.0.1:9", "rate": constant(40)}
    return Load(**{**given, **changes})


async def offsets(seconds: float = 1.5, bounds: Running | None = None, **changes) -> list[tuple]:
    """What was asked and when, without a server."""
    sent: list[Outcome] = []

    async def note(session, url, outcome, *, timeout_seconds):
        return outcome

    await drive(load(**changes), CLOCK, bounds or Running(seconds), sent.append, note)
    sent.sort(key=lambda item: item.scheduled_time)
    return [
        (
            round(item.scheduled_time - sent[0].scheduled_time, 6),
            item.prompt_tokens,
            item.expected_tokens,
        )
        for item in sent
    ]


async def test_same_seed_asks_the_same_at_the_same_offsets() -> None:
    first, second = await offsets(), await offsets()
    shared = min(len(first), len(second))
    assert shared > 20
    assert [item[1:] for item in first[:shared]] == [item[1:] for item in second[:shared]]
    assert [a[0] for a in first[:shared]] == pytest.approx(
        [b[0] for b in second[:shared]], abs=1e-5
    )


async def test_another_seed_asks_something_else() -> None:
    assert [item[1:] for item in await offsets(seed=1)] != [
        item[1:] for item in await offsets(seed=2)
    ]


async def test_request_limit_ends_the_run() -> None:
    assert len(await offsets(bounds=Running(60, request_limit=7))) == 7


async def test_no_rate_sends_nothing() -> None:
    assert await offsets(rate=constant(0)) == []


async def test_rate_follows_the_curve_on_the_grid_clock() -> None:
    """A day of 1.5 s: nothing in its first half, load in its second."""
    fast = GridClock(0.0, 86_400 / 1.5, 0.0)
    curve = DayCurve((0.0, 43_199.0, 43_200.0, 86_399.0), (0.0, 0.0, 80.0, 80.0))
    sent: list[Outcome] = []

    async def note(session, url, outcome, *, timeout_seconds):
        return outcome

    await drive(load(rate=curve), fast, Running(3.0), sent.append, note)
    seconds = [(item.scheduled_time * fast.speed) % 86_400 for item in sent]
    assert len(sent) > 40
    assert all(second > 43_100 for second in seconds)


async def test_requests_beyond_the_limit_in_flight_are_recorded_as_failures() -> None:
    sent: list[Outcome] = []

    async def hang(session, url, outcome, *, timeout_seconds):
        await asyncio.sleep(0.5)
        outcome.ok = True
        return outcome

    await drive(load(in_flight_limit=2), CLOCK, Running(0.4), sent.append, hang)
    refused = [item for item in sent if item.error.startswith("client limit")]
    assert refused
    assert sum(item.ok for item in sent) == 2


def test_lengths_stay_inside_their_bounds() -> None:
    source = random.Random(1)
    drawn = [Lengths(50, 1.5, 200).draw(source) for _ in range(2000)]
    assert min(drawn) >= 1
    assert max(drawn) == 200


def test_config_reads_a_curve_beside_it(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("# made up\ntime,chat\n00:00,0.5\n12:00,1.0\n")
    found = load_from(
        {
            "model": "m",
            "url": "http://127.0.0.1:1/",
            "curve": {"csv": "day.csv", "column": "chat", "zoneOffsetHours": 8},
            "objectives": {"ttftMilliseconds": 800},
        },
        tmp_path,
    )
    assert found.url == "http://127.0.0.1:1"
    assert found.rate.at(12 * 3600 - 8 * 3600) == 1.0
    assert found.objectives.ttft_ms == 800
    assert found.objectives.itl_ms is None


@pytest.mark.engine
async def test_a_run_against_an_engine_accounts_for_every_request(fleet, tmp_path: Path) -> None:
    (url,) = await fleet.start(1)
    out = tmp_path / "requests.jsonl"
    config = yaml.safe_load(
        json.dumps(
            {
                "durationSeconds": 3,
                "windowSeconds": 1,
                "out": str(out),
                "loads": [
                    {
                        "model": "qwen",
                        "url": url,
                        "rate": 6,
                        "outputTokens": {"median": 20, "maximum": 40},
                        "objectives": {"ttftMilliseconds": 5000, "itlMilliseconds": 500},
                    }
                ],
            }
        )
    )
    summary = (await run(config, tmp_path))["qwen"]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert summary["requests"] == len(lines) == sum(w["requests"] for w in summary["windows"]) > 5
    assert summary["attainment"] == 1.0
    assert all(line["ok"] and line["tokens"] == line["expected_tokens"] for line in lines)
    assert len({line["id"] for line in lines}) == len(lines)


@pytest.mark.engine
async def test_overload_is_seen_by_clients_although_the_engine_says_otherwise(
    fleet, tmp_path: Path
) -> None:
    """The simulator's own TTFT omits queueing: judge latency at the clients."""
    (url,) = await fleet.start(1, seqs=1, ttft="100ms", itl="20ms")
    config = {
        "durationSeconds": 4,
        "loads": [
            {
                "model": "qwen",
                "url": url,
                "rate": 3,
                "outputTokens": {"median": 40, "sigma": 0.01, "maximum": 60},
                "objectives": {"ttftMilliseconds": 500},
            }
        ],
    }
    summary = (await run(config, tmp_path))["qwen"]
    assert summary["succeeded"] == summary["requests"]
    assert summary["attainment"] < 0.5
