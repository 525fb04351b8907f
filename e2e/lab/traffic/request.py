"""One streamed completion and what a client saw of it.

Success = 200, a finish reason that is not an error, the tokens that were asked for, no error frame
and the closing `[DONE]`: anything less is a failure, whatever the status says.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

_FINISHED = b'"finish_reason":"'
_NO_TEXT = b'"text":""'
_GOOD_REASONS = ("length", "stop")


@dataclass(slots=True)
class Outcome:
    """Record of one request; times in wall epoch seconds, latencies in milliseconds."""

    id: str
    model: str
    client: str
    scheduled_time: float
    start_time: float = 0.0
    end_time: float = 0.0
    expected_tokens: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    status: int = 0
    finish_reason: str = ""
    error: str = ""
    ok: bool = False
    ttft_ms: float | None = None
    """From the scheduled arrival, so that a slow client process cannot hide waiting."""
    itl_mean_ms: float | None = None
    itl_max_ms: float | None = None

    def line(self) -> str:
        """One JSON line."""
        return json.dumps(
            {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in asdict(self).items()
            },
            separators=(",", ":"),
        )


async def complete(
    session: aiohttp.ClientSession, url: str, outcome: Outcome, *, timeout_seconds: float
) -> Outcome:
    """Send one request of `outcome.prompt_tokens` in and `expected_tokens` out; fill the record."""
    body: dict[str, Any] = {
        "model": outcome.model,
        "prompt": "w " * max(1, outcome.prompt_tokens),
        "max_tokens": outcome.expected_tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    outcome.start_time = time.time()
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.post(f"{url}/v1/completions", json=body) as reply,
        ):
            outcome.status = reply.status
            if reply.status == 200:
                await _read(reply.content, outcome)
            else:
                outcome.error = (await reply.text())[:200] or f"status {reply.status}"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as problem:
        outcome.error = outcome.error or f"{type(problem).__name__}: {problem}"[:200]
    outcome.end_time = time.time()
    outcome.ok = (
        not outcome.error
        and outcome.status == 200
        and outcome.finish_reason in _GOOD_REASONS
        and outcome.tokens == outcome.expected_tokens
    )
    if not outcome.ok and not outcome.error:
        outcome.error = f"incomplete: {outcome.tokens}/{outcome.expected_tokens} tokens"
    return outcome


async def _read(content: aiohttp.StreamReader, outcome: Outcome) -> None:
    """Read the events; only few of them are parsed, since clients share two cores with the lab."""
    first = last = 0.0
    chunks, longest, done, usage = 0, 0.0, False, None
    async for line in content:
        if not line.startswith(b"data:"):
            continue
        if line.startswith(b"data: [DONE]"):
            done = True
            continue
        if b'"error"' in line and b'"choices"' not in line:
            outcome.error = line.decode(errors="replace").strip()[:200]
            continue
        if b'"completion_tokens"' in line:
            usage = int(json.loads(line[5:])["usage"]["completion_tokens"])
        if _FINISHED in line:
            start = line.index(_FINISHED) + len(_FINISHED)
            outcome.finish_reason = line[start : line.index(b'"', start)].decode()
        if b'"text":' not in line or _NO_TEXT in line:
            continue
        now = time.time()
        chunks += 1
        if first:
            longest = max(longest, now - last)
        else:
            first = now
            outcome.ttft_ms = (now - outcome.scheduled_time) * 1000
        last = now
    outcome.tokens = usage if usage is not None else chunks
    if chunks > 1:
        outcome.itl_mean_ms = (last - first) / (chunks - 1) * 1000
        outcome.itl_max_ms = longest * 1000
    if not done and not outcome.error:
        outcome.error = f"stream ended without [DONE] after {chunks} chunks"
