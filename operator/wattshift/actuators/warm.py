"""Evidence that a new pod serves: probes to that very pod, then its own request counters rising.

Kept in process memory by pod UID; after a restart it is taken again. Probes are small completions
to the pod's address; they are excluded from the counters by taking the base line after the last
probe was counted. Criterion: serving.md's Warm(pod).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from wattshift.adapters.latency.probe import PROBES_NEEDED, ProbeResult, judge_warm
from wattshift.core.engine import Metric, PodCounters
from wattshift.core.handover import PodEvidence
from wattshift.core.model import Objective
from wattshift.kube.views import PodView

Probe = Callable[[PodView], Awaitable[ProbeResult]]
"""Sends one small completion to the pod itself, with its own time-out; never raises."""


@dataclass(slots=True)
class _Pod:
    results: list[ProbeResult] = field(default_factory=list)
    base_line: int | None = None
    """Success counter at the first scrape after the last probe."""
    last: PodCounters | None = None
    warm_wall_time: float | None = None
    message: str = "not probed yet"


class WarmBook:
    """What is known of the destination pods of open hand-overs."""

    def __init__(self, *, probe: Probe, monotonic: Callable[[], float]) -> None:
        self._probe = probe
        self._monotonic = monotonic
        self._pods: dict[str, _Pod] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def observe(self, counters: Iterable[PodCounters]) -> None:
        """Take the latest scrape of each pod into account."""
        for row in counters:
            pod = self._pods.get(row.pod_uid)
            if pod is None:
                continue
            restarted = pod.last is not None and row.success_total < pod.last.success_total
            if restarted:  # another process in the same pod: nothing is known of it yet
                pod.results.clear()
                pod.warm_wall_time = pod.base_line = None
                pod.message = "the engine restarted"
            pod.last = row
            warm_since = pod.warm_wall_time
            if (
                warm_since is not None
                and pod.base_line is None
                and row.scrape_wall_time > warm_since
            ):
                pod.base_line = row.success_total

    def probe(self, pods: Iterable[PodView], objectives: tuple[Objective, ...]) -> None:
        """Start probing the ready pods that are not warm; returns at once."""
        for view in pods:
            known = self._pods.setdefault(view.uid, _Pod())
            if not view.ready or known.warm_wall_time is not None or view.uid in self._running:
                continue
            task = asyncio.get_running_loop().create_task(self._warm(view, known, objectives))
            self._running[view.uid] = task
            task.add_done_callback(partial(self._ended, view.uid))

    def _ended(self, pod_uid: str, _: asyncio.Task[None]) -> None:
        self._running.pop(pod_uid, None)

    async def _warm(self, view: PodView, known: _Pod, objectives: tuple[Objective, ...]) -> None:
        limits = {row.metric: float(row.threshold_milliseconds) for row in objectives}
        for _ in range(PROBES_NEEDED):
            known.results.append(await self._probe(view))
            if not known.results[-1].ok:
                break
        verdict = judge_warm(
            known.results,
            first_token_objective_milliseconds=limits.get(Metric.TIME_TO_FIRST_TOKEN),
            inter_token_objective_milliseconds=limits.get(Metric.INTER_TOKEN_LATENCY),
        )
        known.message = "" if verdict.warm else verdict.message
        del known.results[:-PROBES_NEEDED]
        if verdict.warm:
            known.warm_wall_time = self._monotonic()

    def evidence(self, pods: Iterable[PodView]) -> tuple[PodEvidence, ...]:
        """Evidence of the given pods, in their order."""
        rows = []
        for view in pods:
            known = self._pods.get(view.uid, _Pod())
            last = known.last
            rise = 0
            if known.base_line is not None and last is not None:
                rise = last.success_total - known.base_line
            rows.append(
                PodEvidence(
                    pod_uid=view.uid,
                    ready=view.ready and not view.terminating,
                    warm=known.warm_wall_time is not None,
                    requests_since_warm=rise,
                    busy=known.base_line is not None
                    and last is not None
                    and last.running + last.waiting > 0,
                )
            )
        return tuple(rows)

    def problem(self, pod_uid: str) -> str:
        """Why a pod is not warm yet; empty when it is."""
        known = self._pods.get(pod_uid)
        return "not probed yet" if known is None else known.message

    def forget(self, keep: set[str]) -> None:
        """Drop pods that no open hand-over needs any more."""
        for uid in [uid for uid in self._pods if uid not in keep]:
            del self._pods[uid]

    async def close(self) -> None:
        """Cancel running probes and wait for them."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
