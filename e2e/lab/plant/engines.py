"""Live engines of a site: their counters, read from each engine itself, as activity.

An engine counts while it answers, whatever its pod's object says: power ends when the process ends.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp

from e2e.lab.plant.physics import Activity
from e2e.lab.traffic.pods import Pod

SCRAPE_SECONDS = 2.0
MISSES_UNTIL_GONE = 2
"""Scrapes in a row without an answer after which a process that did answer counts as ended."""
NAMES = {
    "vllm:num_requests_running": "running",
    "vllm:inter_token_latency_seconds_sum": "itl_sum",
    "vllm:inter_token_latency_seconds_count": "itl_count",
    "vllm:time_to_first_token_seconds_count": "first_tokens",
    "vllm:prompt_tokens_total": "prompt_tokens",
}
"""The inter-token histogram rises with each token; `generation_tokens_total` of the simulator only
at a request's end."""


def parse_counters(text: str) -> dict[str, float]:
    """Sum over labels of the samples in NAMES; other lines are not looked at."""
    found = dict.fromkeys(NAMES.values(), 0.0)
    for line in text.splitlines():
        if not line.startswith("vllm:"):
            continue
        end = line.find("{")
        name = line[: end if end > 0 else line.find(" ")]
        if (key := NAMES.get(name)) is not None:
            found[key] += float(line.rsplit(" ", 1)[1])
    return found


def activity_between(
    before: Mapping[str, float], after: Mapping[str, float], seconds: float
) -> Activity:
    """Activity from two looks at the counters; a counter that fell starts again at 0.

    Duty: work at both looks counts as work all the time, else arrivals are taken as random, so that
    a mean of c sequences leaves the engine empty for exp(-c) of the time.
    """

    def rate(key: str) -> float:
        grown = after[key] - before[key] if after[key] >= before[key] else after[key]
        return grown / seconds

    concurrency = rate("itl_sum")
    both = before["running"] > 0 and after["running"] > 0
    return Activity(
        duty=1.0 if both else 1 - math.exp(-concurrency),
        output_tokens_per_second=rate("itl_count") + rate("first_tokens"),
        prompt_tokens_per_second=rate("prompt_tokens"),
        concurrency=concurrency,
    )


@dataclass(slots=True)
class LiveEngine:
    """One engine and what it did lately; `activity` None while it loads."""

    pod: Pod
    activity: Activity | None = None
    tokens: float = 0.0
    """Output tokens since the plant saw it first."""
    _last: Mapping[str, float] | None = None
    _last_time: float = 0.0
    _misses: int = 0
    gone: bool = False

    @property
    def state(self) -> str:
        """`Starting`, `Serving` or `Gone`."""
        return "Gone" if self.gone else ("Starting" if self._last is None else "Serving")

    def saw(self, counters: Mapping[str, float], now: float) -> None:
        """A scrape answered."""
        self._misses = 0
        if self._last is not None and now > self._last_time:
            self.activity = activity_between(self._last, counters, now - self._last_time)
            self.tokens += self.activity.output_tokens_per_second * (now - self._last_time)
        elif self._last is None:
            self.activity = Activity(0.0, 0.0, 0.0)
        self._last, self._last_time = counters, now

    def missed(self) -> None:
        """A scrape did not."""
        self._misses += 1
        if self._last is not None and self._misses >= MISSES_UNTIL_GONE:
            self.gone = True


@dataclass(slots=True)
class Engines:
    """All engines of a site by pod UID."""

    live: dict[str, LiveEngine] = field(default_factory=dict)

    async def look(self, session: aiohttp.ClientSession, pods: Iterable[Pod]) -> None:
        """Scrape every engine once; forget those that ended or never came up before deletion."""
        listed = {pod.uid: pod for pod in pods if pod.address}
        for uid, pod in listed.items():
            if uid in self.live or not pod.terminating:
                self.live.setdefault(uid, LiveEngine(pod)).pod = pod
        await asyncio.gather(*(self._scrape(session, item) for item in self.live.values()))
        for uid, item in list(self.live.items()):
            leaving = uid not in listed or item.pod.terminating
            if leaving and item.state != "Serving":
                del self.live[uid]
            elif item.gone:
                # Its pod stays: a container that restarts loads its weights again.
                self.live[uid] = LiveEngine(item.pod, tokens=item.tokens)

    async def _scrape(self, session: aiohttp.ClientSession, engine: LiveEngine) -> None:
        try:
            async with session.get(
                engine.pod.url + "/metrics", timeout=aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
            ) as reply:
                reply.raise_for_status()
                counters = parse_counters(await reply.text())
        except (aiohttp.ClientError, TimeoutError, OSError):
            engine.missed()
        else:
            engine.saw(counters, time.monotonic())
