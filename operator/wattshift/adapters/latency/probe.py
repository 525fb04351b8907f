"""Sends one small completion to one pod and measures it: the evidence that a pod is warm.

Success is a 200, a finish reason, the expected tokens and no error frame; `[DONE]` alone is not.
Never goes through a router, and never retries: a retry would hide what the probe is for.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp

from wattshift.adapters.http import address_refused

LINE_LIMIT_BYTES = 256 * 1024
PROBES_NEEDED = 5
FIRST_TOKEN_SHARE = 0.5
VARIATION_LIMIT = 0.2


class ProbeOutcome(StrEnum):
    """How a probe ended."""

    OK = "Ok"
    UNREACHABLE = "Unreachable"
    TIMED_OUT = "TimedOut"
    REFUSED = "Refused"
    """A status other than 200."""
    ENGINE_ERROR = "EngineError"
    """An error frame inside the stream."""
    INCOMPLETE = "Incomplete"
    """The stream ended without a finish reason, or with fewer tokens than asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One probe."""

    outcome: ProbeOutcome
    message: str = ""
    first_token_milliseconds: float | None = None
    inter_token_milliseconds: float | None = None
    """Mean over the stream."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def ok(self) -> bool:
        """Whether the engine did all that was asked."""
        return self.outcome is ProbeOutcome.OK


async def probe(
    session: aiohttp.ClientSession,
    base_url: str,
    model: str,
    *,
    clock: Callable[[], float],
    prompt_tokens: int = 32,
    completion_tokens: int = 8,
    timeout_seconds: float = 30.0,
) -> ProbeResult:
    """Stream one completion from `base_url` (`http://podIP:port`); `clock` is monotonic seconds.

    The prompt is about `prompt_tokens` words; generation runs to `completion_tokens` (`ignore_eos`).
    """
    body = {
        "model": model,
        "prompt": " ".join(f"w{index % 10}" for index in range(max(1, prompt_tokens))),
        "max_tokens": completion_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "ignore_eos": True,
    }
    host = base_url.removeprefix("http://").rpartition(":")[0]
    if address_refused(host):
        return ProbeResult(outcome=ProbeOutcome.REFUSED, message=f"address {host} is not a pod's")
    stream = _Stream(clock)
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.post(
                f"{base_url}/v1/completions",
                json=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            ) as response,
        ):
            if response.status != 200:
                detail = (await response.content.read(300)).decode("utf-8", "replace")
                text = f"{base_url} answered {response.status}: {detail}"
                return ProbeResult(outcome=ProbeOutcome.REFUSED, message=text)
            async for line in response.content:
                if stream.feed(line):
                    break
    except TimeoutError:
        text = f"{base_url}: {stream.tokens} tokens in {timeout_seconds:g} s"
        return ProbeResult(outcome=ProbeOutcome.TIMED_OUT, message=text)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        text = f"{base_url}: {type(error).__name__}: {error}"[:300]
        outcome = ProbeOutcome.INCOMPLETE if stream.tokens else ProbeOutcome.UNREACHABLE
        return ProbeResult(outcome=outcome, message=text)
    return stream.result(completion_tokens)


class _Stream:
    """Frames of one server-sent stream, with the times of their tokens."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._times: list[float] = []
        self._finish: str | None = None
        self._error: str | None = None
        self._usage: Mapping[str, Any] = {}

    @property
    def tokens(self) -> int:
        """Tokens so far: as the engine says, else frames with text."""
        return int(self._usage.get("completion_tokens") or len(self._times))

    def feed(self, line: bytes) -> bool:
        """Take one line; True at the end of the stream."""
        if not line.startswith(b"data:") or len(line) > LINE_LIMIT_BYTES:
            return False
        payload = line[5:].strip()
        if payload == b"[DONE]":
            return True
        frame = json.loads(payload)
        if not isinstance(frame, Mapping):
            return False
        if frame.get("error"):
            self._error = str(frame["error"])[:200]
            return True
        if isinstance(frame.get("usage"), Mapping):
            self._usage = frame["usage"]
        for choice in frame.get("choices") or ():
            if choice.get("text"):
                self._times.append(self._clock())
            self._finish = choice.get("finish_reason") or self._finish
        return False

    def result(self, wanted: int) -> ProbeResult:
        """What the whole stream shows."""
        first = (self._times[0] - self._started) * 1000 if self._times else None
        gaps = len(self._times) - 1
        between = (self._times[-1] - self._times[0]) * 1000 / gaps if gaps > 0 else None
        outcome, message = ProbeOutcome.OK, ""
        if self._error is not None:
            outcome, message = ProbeOutcome.ENGINE_ERROR, self._error
        elif self._finish not in {"length", "stop"} or not self._times:
            outcome, message = ProbeOutcome.INCOMPLETE, f"finish reason {self._finish}"
        elif self._finish == "length" and self.tokens < wanted:
            outcome, message = ProbeOutcome.INCOMPLETE, f"{self.tokens} of {wanted} tokens"
        return ProbeResult(
            outcome=outcome,
            message=message,
            first_token_milliseconds=first,
            inter_token_milliseconds=between,
            prompt_tokens=int(self._usage.get("prompt_tokens") or 0),
            completion_tokens=self.tokens,
        )


@dataclass(frozen=True, slots=True)
class WarmVerdict:
    """Whether probes show a pod to be warm, and why not."""

    warm: bool
    message: str


def judge_warm(
    results: Sequence[ProbeResult],
    *,
    first_token_objective_milliseconds: float | None,
    inter_token_objective_milliseconds: float | None,
) -> WarmVerdict:
    """Of the last five probes: TTFT <= half of the objective, ITL <= objective, variation < 20 %.

    Without an objective the variation alone counts. Variation is the standard deviation over the
    mean of the times to the first token; below 10 ms of deviation it is timer noise.
    Source: serving.md 2.
    """
    last = results[-PROBES_NEEDED:]
    if len(last) < PROBES_NEEDED:
        return WarmVerdict(False, f"{len(last)} of {PROBES_NEEDED} probes")
    failed = next((result for result in last if not result.ok), None)
    if failed is not None:
        return WarmVerdict(False, f"a probe ended {failed.outcome}: {failed.message}")
    first = [r.first_token_milliseconds for r in last if r.first_token_milliseconds is not None]
    between = [r.inter_token_milliseconds for r in last if r.inter_token_milliseconds is not None]
    if first_token_objective_milliseconds is not None:
        limit = FIRST_TOKEN_SHARE * first_token_objective_milliseconds
        if max(first) > limit:
            return WarmVerdict(False, f"first token after {max(first):.0f} ms, limit {limit:.0f}")
    limit = inter_token_objective_milliseconds or math.inf
    if between and max(between) > limit:
        return WarmVerdict(False, f"{max(between):.0f} ms between tokens, objective {limit:.0f}")
    deviation = statistics.pstdev(first)
    if deviation > 10.0 and deviation / statistics.fmean(first) >= VARIATION_LIMIT:
        share = deviation / statistics.fmean(first)
        return WarmVerdict(False, f"first tokens still vary by {share:.0%}")
    return WarmVerdict(True, f"first token after {max(first):.0f} ms at most")
