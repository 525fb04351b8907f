"""Reads the engines of all placements and keeps their windows: direct from pods, or by Prometheus.

Direct asks `http://podIP:port/metrics`, each pod with a time-out of its own. By Prometheus it asks
one query per server and engine family for all workloads, never one per object, and takes the time
of each scrape from the server. Neighbours: `exposition.py` parses, `window.py`, `stats.py`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from wattshift.adapters.failures import Credentials, SourceError, SourceNeedsHuman
from wattshift.adapters.http import HttpTarget, address_refused, get_bytes
from wattshift.adapters.latency.exposition import (
    MetricMissing,
    PodScrape,
    RawSample,
    build_scrape,
    parse_text,
)
from wattshift.adapters.latency.profile import EngineProfile, engine_profiles
from wattshift.adapters.latency.stats import engine_stats, load_window
from wattshift.adapters.latency.window import PlacementWindow
from wattshift.adapters.prometheus import PrometheusEndpoint, PrometheusPool
from wattshift.adapters.reasons import EngineReason, SourceReason
from wattshift.core.engine import EngineStats
from wattshift.core.load.learn import LoadWindow
from wattshift.core.model import Objective
from wattshift.errors import WattshiftError

log = logging.getLogger(__name__)
METRICS_LIMIT_BYTES = 8 * 1024 * 1024
PODS_PER_QUERY = 150
_LABEL_SAFE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePod:
    """One pod to ask."""

    uid: str
    name: str
    namespace: str
    address: str
    """Pod IP."""
    port: int
    metrics_path: str = "/metrics"

    @property
    def base_url(self) -> str:
        """`http://address:port`, IPv6 in brackets."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ScrapeFailure:
    """Why a pod gave nothing."""

    reason: str
    message: str


ScrapeResult = PodScrape | ScrapeFailure


class EngineReader(Protocol):
    """A way to read engines; one per cluster."""

    async def read(
        self, pods: Sequence[EnginePod], profile: EngineProfile
    ) -> Sequence[ScrapeResult]:
        """One result per pod, in order; never raises for a pod that fails."""
        ...


class DirectReader:
    """Asks every pod itself, many at a time."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        wall_clock: Callable[[], float],
        timeout_seconds: float = 2.0,
        parallel: int = 32,
    ) -> None:
        self._session = session
        self._wall_clock = wall_clock
        self._timeout = timeout_seconds
        self._parallel = asyncio.Semaphore(parallel)

    async def read(
        self, pods: Sequence[EnginePod], profile: EngineProfile
    ) -> Sequence[ScrapeResult]:
        """Scrape all pods; one that hangs costs its own time-out and nobody else's."""
        return await asyncio.gather(*(self._one(pod, profile) for pod in pods))

    async def _one(self, pod: EnginePod, profile: EngineProfile) -> ScrapeResult:
        where = f"engine {pod.namespace}/{pod.name}"
        if address_refused(pod.address):
            return ScrapeFailure(SourceReason.HOST_NOT_ALLOWED, f"{where}: {pod.address}")
        try:
            async with self._parallel:
                body = await get_bytes(
                    self._session,
                    pod.base_url + pod.metrics_path,
                    endpoint=where,
                    timeout_seconds=self._timeout,
                    limit_bytes=METRICS_LIMIT_BYTES,
                )
            now = self._wall_clock()
            return build_scrape(
                parse_text(body.decode("utf-8", "replace"), profile),
                profile,
                pod_uid=pod.uid,
                pod_name=pod.name,
                wall_time=now,
            )
        except SourceError as error:
            return ScrapeFailure(error.reason, error.message)
        except MetricMissing as error:
            return ScrapeFailure(EngineReason.METRIC_MISSING, f"{where}: {error}")
        except ValueError as error:
            return ScrapeFailure(SourceReason.ANSWER_NOT_READABLE, f"{where}: {error}"[:300])


class PrometheusReader:
    """Reads engines from the Prometheus that scrapes them.

    Series are matched to pods by the labels `namespace` and `pod`, else by `instance` =
    `address:port`; series of anything else (a router that re-exports them) are dropped.
    """

    def __init__(
        self,
        *,
        pool: PrometheusPool,
        target: HttpTarget,
        credentials: Credentials,
        wall_clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._target = target
        self._credentials = credentials
        self._wall_clock = wall_clock

    async def read(
        self, pods: Sequence[EnginePod], profile: EngineProfile
    ) -> Sequence[ScrapeResult]:
        """Two queries per 150 pods: the series, and when they were scraped."""
        results: list[ScrapeResult] = []
        for first in range(0, len(pods), PODS_PER_QUERY):
            results.extend(await self._chunk(pods[first : first + PODS_PER_QUERY], profile))
        return results

    async def _chunk(
        self, pods: Sequence[EnginePod], profile: EngineProfile
    ) -> Sequence[ScrapeResult]:
        try:
            endpoint = PrometheusEndpoint(
                self._target.url,
                self._target.identity(self._credentials),
                self._target.timeout_seconds,
            )
            selector = _selector(pods, tuple(profile.sample_names))
            gauge = _selector(pods, profile.metrics["running"])
            series, stamps = await asyncio.gather(
                self._pool.query(endpoint, selector),
                self._pool.query(endpoint, f"timestamp({gauge})"),
            )
        except WattshiftError as error:
            return [ScrapeFailure(error.reason, error.message)] * len(pods)
        now = self._wall_clock()
        raw: dict[str, list[RawSample]] = {}
        ages: dict[str, float] = {}
        by_label, by_instance = _index(pods)
        for sample in series:
            uid = _uid(sample.labels, by_label, by_instance)
            if uid is not None:
                name = sample.labels.get("__name__", "")
                raw.setdefault(uid, []).append((name, sample.labels, sample.value))
        for stamp in stamps:
            uid = _uid(stamp.labels, by_label, by_instance)
            if uid is not None:
                ages[uid] = max(ages.get(uid, 0.0), stamp.time - stamp.value)
        return [self._scrape(pod, profile, raw, ages, now) for pod in pods]

    def _scrape(
        self,
        pod: EnginePod,
        profile: EngineProfile,
        raw: Mapping[str, list[RawSample]],
        ages: Mapping[str, float],
        now: float,
    ) -> ScrapeResult:
        where = f"{self._target.url} for {pod.namespace}/{pod.name}"
        if pod.uid not in raw or pod.uid not in ages:
            return ScrapeFailure(SourceReason.NO_DATA, f"{where}: no series of this pod")
        try:
            return build_scrape(
                raw[pod.uid],
                profile,
                pod_uid=pod.uid,
                pod_name=pod.name,
                # NB: rounded, so that one scrape seen twice has one time
                wall_time=round(now - ages[pod.uid], 1),
            )
        except MetricMissing as error:
            return ScrapeFailure(EngineReason.METRIC_MISSING, f"{where}: {error}")


class RefusedReader:
    """Stands for a server that must not be asked: its cluster's engines are unknown, with why."""

    def __init__(self, error: WattshiftError) -> None:
        self._failure = ScrapeFailure(error.reason, error.message)

    async def read(
        self,
        pods: Sequence[EnginePod],
        profile: EngineProfile,  # noqa: ARG002 - of the protocol
    ) -> Sequence[ScrapeResult]:
        """The refusal, for every pod."""
        return [self._failure] * len(pods)


def _selector(pods: Sequence[EnginePod], names: Iterable[str]) -> str:
    """All wanted series of these pods' namespaces, or of their addresses."""
    quoted = "|".join(sorted(re.escape(name).replace("\\", "\\\\") for name in names))
    namespaces = sorted({pod.namespace for pod in pods})
    if not all(_LABEL_SAFE.match(namespace) for namespace in namespaces):
        raise SourceNeedsHuman(SourceReason.SOURCE_INVALID, "a namespace is no Kubernetes name")
    # an empty label value also matches series without the label, which `instance` identifies
    return f'{{__name__=~"{quoted}",namespace=~"|{"|".join(namespaces)}"}}'


def _index(
    pods: Sequence[EnginePod],
) -> tuple[Mapping[tuple[str, str], str], Mapping[str, str]]:
    by_label = {(pod.namespace, pod.name): pod.uid for pod in pods}
    by_instance = {pod.base_url.removeprefix("http://"): pod.uid for pod in pods}
    return by_label, by_instance


def _uid(
    labels: Mapping[str, str],
    by_label: Mapping[tuple[str, str], str],
    by_instance: Mapping[str, str],
) -> str | None:
    if "pod" in labels:
        return by_label.get((labels.get("namespace", ""), labels["pod"]))
    return by_instance.get(labels.get("instance", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTarget:
    """One placement whose engines are read."""

    key: str
    """Identity of the placement, such as `team-chat/qwen3-32b/gansu`."""
    engine_type: str
    reader_key: str
    """Which reader: the member cluster's name."""
    pods: tuple[EnginePod, ...]


@dataclass(slots=True)
class _Watched:
    target: EngineTarget
    window: PlacementWindow
    failures: dict[str, ScrapeFailure]
    told: str = ""
    """Why engines are unreadable, as the log says at present; empty = they are not."""


class EngineMonitor:
    """Windows of all placements; `configure` as pods come and go, `scrape_once` on a timer."""

    def __init__(
        self,
        *,
        wall_clock: Callable[[], float],
        scrape_interval_seconds: float = 2.0,
        profiles: Mapping[str, EngineProfile] | None = None,
        read_timeout_seconds: float = 20.0,
    ) -> None:
        self._wall_clock = wall_clock
        self._interval = scrape_interval_seconds
        self._profiles = engine_profiles() if profiles is None else profiles
        self._read_timeout = read_timeout_seconds
        self._watched: dict[str, _Watched] = {}
        self._readers: dict[str, EngineReader] = {}
        self._reading: set[str] = set()

    def configure(
        self, targets: Iterable[EngineTarget], readers: Mapping[str, EngineReader]
    ) -> None:
        """Make the set of placements exactly `targets`; pods that left vanish from their windows."""
        now = self._wall_clock()
        self._readers = dict(readers)
        wanted = {target.key: target for target in targets}
        for key in self._watched.keys() - wanted.keys():
            del self._watched[key]
        for key, target in wanted.items():
            watched = self._watched.get(key)
            if watched is None:
                self._watched[key] = _Watched(target, PlacementWindow(), {})
                continue
            watched.target = target
            uids = {pod.uid for pod in target.pods}
            watched.window.keep_only(uids, now)
            watched.failures = {u: f for u, f in watched.failures.items() if u in uids}

    async def scrape_once(self) -> None:
        """Ask every reader once, side by side; one that is still busy is left out."""
        groups: dict[tuple[str, str], list[_Watched]] = {}
        for watched in self._watched.values():
            target = watched.target
            if target.pods:
                groups.setdefault((target.reader_key, target.engine_type), []).append(watched)
        await asyncio.gather(
            *(self._read(reader, engine, group) for (reader, engine), group in groups.items())
        )

    async def _read(self, reader_key: str, engine_type: str, group: list[_Watched]) -> None:
        busy_key = f"{reader_key}/{engine_type}"
        if busy_key in self._reading:
            return
        self._reading.add(busy_key)
        try:
            await self._read_group(reader_key, engine_type, group)
        finally:
            self._reading.discard(busy_key)

    async def _read_group(self, reader_key: str, engine_type: str, group: list[_Watched]) -> None:
        pods = list({pod.uid: pod for watched in group for pod in watched.target.pods}.values())
        results: Sequence[ScrapeResult]
        profile = self._profiles.get(engine_type)
        reader = self._readers.get(reader_key)
        if profile is None or reader is None:
            what = f"no metric profile for engine {engine_type!r}"
            if profile is not None:
                what = f"no way to read engines of cluster {reader_key!r}"
            results = [ScrapeFailure(EngineReason.PROFILE_UNKNOWN, what)] * len(pods)
        else:
            try:
                async with asyncio.timeout(self._read_timeout):
                    results = await reader.read(pods, profile)
            except TimeoutError:
                text = f"engines of {reader_key}: no answer in {self._read_timeout:g} s"
                results = [ScrapeFailure(SourceReason.SOURCE_TIMED_OUT, text)] * len(pods)
        by_uid = dict(zip((pod.uid for pod in pods), results, strict=True))
        for watched in group:
            # the set of pods may have changed while we waited: take only those still wanted
            for pod in watched.target.pods:
                result = by_uid.get(pod.uid)
                if isinstance(result, PodScrape):
                    watched.window.add(result)
                    watched.failures.pop(pod.uid, None)
                elif result is not None:
                    watched.failures[pod.uid] = result
            self._tell(watched)

    def _tell(self, watched: _Watched) -> None:
        """One line when engines begin or end to be unreadable, or are so for another reason."""
        now = self.problem(watched.target.key)
        cause = "" if now is None else now.reason
        if now is not None and now.reason == EngineReason.SCRAPE_FAILED:
            cause = now.message.partition(":")[0]
        if watched.told == cause:
            return
        watched.told = cause
        details = {"object": watched.target.key, "reason": "Fresh" if now is None else now.reason}
        if now is None:
            log.info("engines of %s are read again", watched.target.key, extra=details)
        else:
            # pods that come and go are unreadable for a moment: only all of them is alarming
            level = logging.INFO if now.reason == EngineReason.SCRAPE_PARTIAL else logging.WARNING
            log.log(level, "engines of %s: %s", watched.target.key, now.message, extra=details)

    def stats(
        self, key: str, objectives: Iterable[Objective], pods_expected: int | None = None
    ) -> EngineStats | None:
        """Statistics of one placement now; None before its first good scrape."""
        watched = self._watched.get(key)
        if watched is None:
            return None
        expected = len(watched.target.pods) if pods_expected is None else pods_expected
        return engine_stats(
            watched.window,
            objectives,
            now=self._wall_clock(),
            pods_expected=expected,
            scrape_interval_seconds=self._interval,
        )

    def load(self, key: str, objectives: Iterable[Objective], seconds: float) -> LoadWindow | None:
        """What the last `seconds` of one placement say about its capacity."""
        watched = self._watched.get(key)
        if watched is None:
            return None
        return load_window(
            watched.window,
            objectives,
            now=self._wall_clock(),
            seconds=seconds,
            pods_expected=len(watched.target.pods),
        )

    def problem(self, key: str) -> ScrapeFailure | None:
        """Why engine metrics of a placement are missing or incomplete; None while all is well."""
        watched = self._watched.get(key)
        if watched is None or not watched.target.pods:
            return ScrapeFailure(EngineReason.NO_ENDPOINTS, "no pod to ask")
        if not watched.failures:
            return None
        first = next(iter(watched.failures.values()))
        if len(watched.failures) == len(watched.target.pods):
            if first.reason == EngineReason.METRIC_MISSING:
                return first
            return ScrapeFailure(EngineReason.SCRAPE_FAILED, f"{first.reason}: {first.message}")
        text = f"{len(watched.failures)} of {len(watched.target.pods)}: {first.message}"
        return ScrapeFailure(EngineReason.SCRAPE_PARTIAL, text)
