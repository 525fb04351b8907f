"""Which engines are read, how, and how often: placements and pods of now into the engine monitor.

Direct by pod address, or through the Prometheus that a cluster names. Neighbours:
`adapters/latency/` reads and counts; `gather.py` takes the statistics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import aiohttp

from wattshift.adapters.failures import Credentials
from wattshift.adapters.http import HttpTarget
from wattshift.adapters.latency.engine import (
    DirectReader,
    EngineMonitor,
    EnginePod,
    EngineReader,
    EngineTarget,
    PrometheusReader,
    RefusedReader,
)
from wattshift.adapters.latency.probe import ProbeOutcome, ProbeResult, probe
from wattshift.adapters.prometheus import PrometheusPool
from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.placements import Engine, Placement
from wattshift.api.powersite import PowerSiteSpec
from wattshift.api.site_clusters import EngineMetricsType
from wattshift.control.hub.convert import objectives_of
from wattshift.control.hub.keys import ObjectKey, member_name
from wattshift.control.hub.store import Stored
from wattshift.control.inputs.gather_workload import locate
from wattshift.control.inputs.world import World
from wattshift.control.runtime import Runtime
from wattshift.core.engine import EngineStats
from wattshift.core.load.guard import thresholds_milliseconds
from wattshift.core.load.learn import LoadWindow
from wattshift.core.model import Objective
from wattshift.errors import WattshiftError
from wattshift.kube.views import PodView

log = logging.getLogger(__name__)
PROBE_TIMEOUT_SECONDS = 15.0


class EngineLoop:
    """Scrapes every `engineMetrics.intervalSeconds`."""

    name = "engines"

    def __init__(
        self,
        *,
        runtime: Runtime,
        world: World,
        session: aiohttp.ClientSession,
        prometheus: PrometheusPool,
        credentials: Credentials,
    ) -> None:
        config = runtime.config.engine_metrics
        self._runtime = runtime
        self._world = world
        self._session = session
        self._prometheus = prometheus
        self._credentials = credentials
        self._interval = config.interval_seconds
        self._monitor = EngineMonitor(
            wall_clock=runtime.clock.monotonic, scrape_interval_seconds=config.interval_seconds
        )
        self._direct = DirectReader(
            session=session,
            wall_clock=runtime.clock.monotonic,
            timeout_seconds=config.timeout_seconds,
        )
        self._objectives: dict[str, tuple[Objective, ...]] = {}
        """By workload: each objective against its own threshold, and less every round trip."""
        self._readers: dict[str, tuple[object, EngineReader]] = {}
        self._engines: dict[str, Engine] = {}
        self._models: dict[str, str] = {}
        self._then: list[Callable[[], None]] = []

    def after_scrape(self, then: Callable[[], None]) -> None:
        """Call `then` after every round of scrapes."""
        self._then.append(then)

    async def run(self) -> None:
        """Configure and scrape until cancelled."""
        progress = self._runtime.progress
        progress.expect(self.name, stall_seconds=60.0)
        while True:
            begun = self._runtime.clock.monotonic()
            try:
                self._configure()
                await self._monitor.scrape_once()
                for then in self._then:
                    then()
            except WattshiftError as error:
                log.warning("engines: %s", error.message, extra={"reason": error.reason})
            except Exception:
                self._runtime.metrics.bugs.labels(self.name).inc()
                log.exception("engines failed", extra={"reason": "Bug"})
            progress.beat(self.name)
            left = self._interval - (self._runtime.clock.monotonic() - begun)
            await asyncio.sleep(max(0.1, left))

    def stats(self, workload_key: str, placement_name: str) -> EngineStats | None:
        """Statistics of one placement; None before its first good scrape."""
        key = f"{workload_key}/{placement_name}"
        return self._monitor.stats(key, self._objectives.get(workload_key, ()))

    def load(
        self,
        workload_key: str,
        placement_name: str,
        objectives: tuple[Objective, ...],
        seconds: float,
    ) -> LoadWindow | None:
        """What the last `seconds` of one placement say about its capacity."""
        return self._monitor.load(f"{workload_key}/{placement_name}", objectives, seconds)

    async def probe(self, view: PodView) -> ProbeResult:
        """One small completion by the pod itself, for warm evidence."""
        engine = self._engines.get(view.uid)
        if engine is None:
            return ProbeResult(outcome=ProbeOutcome.REFUSED, message="no engine is declared")
        return await probe(
            self._session,
            f"http://{view.ip}:{engine.port}",
            self._models.get(view.uid, ""),
            clock=self._runtime.clock.monotonic,
            timeout_seconds=PROBE_TIMEOUT_SECONDS,
        )

    def _configure(self) -> None:
        targets: list[EngineTarget] = []
        self._engines.clear()
        self._models.clear()
        self._objectives.clear()
        for stored in self._runtime.store.workloads():
            spec = stored.spec
            if not isinstance(spec, FlexibleWorkloadSpec):
                continue
            self._objectives[stored.key.path] = self._counted(spec)
            for row in spec.placements:
                target = self._target(stored, spec, row)
                if target is not None:
                    targets.append(target)
        self._monitor.configure(targets, self._reader_of_members())

    def _counted(self, spec: FlexibleWorkloadSpec) -> tuple[Objective, ...]:
        """Objectives to count samples against: what a user feels includes the way to the site."""
        found: dict[tuple[str, int], Objective] = {}
        round_trips = {
            trip for row in spec.placements for trip in self._round_trips(spec, row.site_name)
        }
        for objective in objectives_of(spec):
            for round_trip in sorted(round_trips):
                for threshold in thresholds_milliseconds(objective, round_trip):
                    found[objective.metric, threshold] = replace(
                        objective, threshold_milliseconds=threshold
                    )
        return tuple(found[key] for key in sorted(found))

    def _round_trips(self, spec: FlexibleWorkloadSpec, site_name: str) -> tuple[int, int]:
        """Shortest and longest known round trip from any origin of the workload to a site."""
        stored = self._runtime.store.get(ObjectKey.site(site_name))
        if stored is None or not isinstance(stored.spec, PowerSiteSpec):
            return 0, 0
        known = {
            row.origin_name: row.round_trip_milliseconds for row in stored.spec.origin_latencies
        }
        trips = [known.get(row.name, 0) for row in spec.origins if row.share_permille]
        return min(trips, default=0), max(trips, default=0)

    def _target(
        self, stored: Stored, spec: FlexibleWorkloadSpec, row: Placement
    ) -> EngineTarget | None:
        engine = row.engine or spec.engine
        found = locate(stored.key.namespace, spec, row, self._world)
        if engine is None or found is None or found.pods is None:
            return None
        pods = tuple(
            EnginePod(
                uid=pod.uid,
                name=pod.name,
                namespace=pod.namespace,
                address=pod.ip,
                port=engine.port,
                metrics_path=engine.metrics_path,
            )
            for pod in found.pods
            if pod.ip and (pod.ready or pod.terminating)
        )
        # Without `models` the engine is asked by the workload's own name.
        model = spec.models[0].name if spec.models else stored.key.name
        for pod in found.pods:
            self._engines[pod.uid], self._models[pod.uid] = engine, model
        return EngineTarget(
            key=f"{stored.key.path}/{row.name}",
            engine_type=engine.type.value,
            reader_key=member_name(row.site_name, row.cluster_name),
            pods=pods,
        )

    def _reader_of_members(self) -> Mapping[str, EngineReader]:
        """A reader by member; kept while the cluster's endpoint is the same."""
        readers: dict[str, EngineReader] = {}
        for stored in self._runtime.store.sites():
            if not isinstance(stored.spec, PowerSiteSpec):
                continue
            for cluster in stored.spec.clusters:
                name = member_name(stored.key.name, cluster.name)
                metrics = cluster.engine_metrics
                if metrics is None or metrics.type is EngineMetricsType.DIRECT:
                    readers[name] = self._direct
                    continue
                known = self._readers.get(name)
                if known is None or known[0] != metrics:
                    assert metrics.prometheus is not None
                    document = metrics.prometheus.model_dump(
                        mode="json", by_alias=True, exclude_none=True
                    )
                    known = self._readers[name] = (metrics, self._prometheus_reader(name, document))
                readers[name] = known[1]
        return readers

    def _prometheus_reader(self, name: str, document: Mapping[str, Any]) -> EngineReader:
        """A reader that says why, where the server must not be asked: others go on."""
        try:
            target = HttpTarget.from_spec(document, base=True)
        except WattshiftError as error:
            details = {"cluster": name, "reason": error.reason}
            log.warning("engines of %s are not read: %s", name, error.message, extra=details)
            return RefusedReader(error)
        return PrometheusReader(
            pool=self._prometheus,
            target=target,
            credentials=self._credentials,
            wall_clock=self._runtime.clock.monotonic,
        )
