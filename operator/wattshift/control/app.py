"""The life of the process: stand by, lead, hand over.

Order: probes -> elector -> (acquired) watches, queue -> (synced) loops. On SIGTERM: loops and writes
stop, the lease is released within three seconds, the rest ends. On loss of the lease the process
ends at once without releasing anything: whoever leads now must not be disturbed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from wattshift import __version__
from wattshift.control.assembly import Assembly, Parts
from wattshift.control.clock import Clock
from wattshift.control.config import Config
from wattshift.control.hub.keys import RESOURCES
from wattshift.control.leader import CLIENT_TIMINGS, Elector, LeaseTimings
from wattshift.control.serve.health import HealthServer, Progress
from wattshift.control.supervise import Supervisor
from wattshift.errors import WattshiftError
from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import hub_access, load_hub_files
from wattshift.obs.logs import fields
from wattshift.obs.metrics import Metrics

log = logging.getLogger(__name__)
_STOPPED, _FAILED = 0, 1
_RELEASE_SECONDS = 1.0


class App:
    """One process of the operator."""

    def __init__(
        self,
        *,
        config: Config,
        clock: Clock,
        parts: Parts,
        environment: Mapping[str, str] | None = None,
        end_process: Callable[[int], None] = os._exit,
    ) -> None:
        self._config = config
        self._clock = clock
        self._parts = parts
        self._environment = os.environ if environment is None else environment
        self._end_process = end_process
        self._stop = asyncio.Event()
        self._lost = asyncio.Event()
        self._assembly: Assembly | None = None
        self.metrics = Metrics()
        self.progress = Progress(clock=clock.monotonic)
        self.health = HealthServer(
            host=config.server.bind_address,
            port=config.server.health_port,
            progress=self.progress,
            ready=self._ready,
            registry=self.metrics.registry,
            refresh=self._refresh,
        )
        self._elector: Elector | None = None

    def stop(self) -> None:
        """Ask for a graceful end (SIGTERM)."""
        self._stop.set()

    async def run(self) -> int:
        """Run until stopped; returns the exit status."""
        self._declare()
        access = self._access()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self.health.start()
        client = ClusterClient(
            name="lease", access=access, clock=self._clock.monotonic, timings=CLIENT_TIMINGS
        )
        supervisor = Supervisor()
        try:
            elector = self._make_elector(client)
            supervisor.start("lease", "elector", elector.run())
            if not await self._acquired(elector, supervisor):
                return _STOPPED if self._stop.is_set() else _FAILED
            try:
                return await self._lead(access, elector, supervisor)
            finally:
                await self._release(elector)
        finally:
            await supervisor.stop_all(grace_seconds=0.5)
            await client.close()
            await self.health.stop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _acquired(self, elector: Elector, supervisor: Supervisor) -> bool:
        """Wait for the lease; False if stopped, or if the elector gave up."""
        return (
            await _first(elector.wait_acquired(), self._stop.wait(), supervisor.failure()) == 0
            and not self._stop.is_set()
        )

    async def _lead(self, access: Access, elector: Elector, supervisor: Supervisor) -> int:
        self.metrics.leader.labels(self._config.pod_name).set(1)
        await self._wait_for_kinds(access)
        if self._stop.is_set():
            return _STOPPED
        work = Supervisor()
        async with Assembly(
            config=self._config,
            clock=self._clock,
            access=access,
            elector=elector,
            metrics=self.metrics,
            progress=self.progress,
            supervisor=work,
            parts=self._parts,
        ) as assembly:
            self._assembly = assembly
            assembly.start()
            ends = (self._stop.wait, work.failure, supervisor.failure)
            if await _first(assembly.start_acting(), *(end() for end in ends)) == 0:
                log.info("synced; loops run", extra=fields(reason="Synced"))
                # Specs and modules stay: walking over them in each full collection would hold the
                # event loop up for 0.2 s at 2,000 workloads.
                gc.collect()
                gc.freeze()
                await _first(*(end() for end in ends))
            status = _STOPPED
            if not self._stop.is_set():
                await self._report_failure(work, supervisor)
                status = _FAILED
            await assembly.stop_acting()
            await self._release(elector)
            await assembly.stop_watching()
            self._assembly = None
        return status

    async def _report_failure(self, *supervisors: Supervisor) -> None:
        for supervisor in supervisors:
            if supervisor.has_failed:
                failure = await supervisor.failure()
                log.critical("%s ended: %s", failure.part, failure.error, exc_info=failure.error)

    async def _release(self, elector: Elector) -> None:
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await elector.release()
        except TimeoutError:
            log.warning("the lease was not released in time: it runs out by itself")
        self.metrics.leader.labels(self._config.pod_name).set(0)

    async def _wait_for_kinds(self, access: Access) -> None:
        """Kopf looks for resources once: start it only when the CRDs are there."""
        client = ClusterClient(name="hub", access=access, clock=self._clock.monotonic)
        try:
            while not self._stop.is_set():
                try:
                    for resource in RESOURCES.values():
                        await client.discover(resource.api_version, resource.kind)
                except WattshiftError as error:
                    log.warning(
                        "our kinds are not served yet: %s", error, extra=fields(reason=error.reason)
                    )
                    await _first(self._stop.wait(), asyncio.sleep(2.0))
                else:
                    return
        finally:
            await client.close()

    def _make_elector(self, client: ClusterClient) -> Elector:
        lease = self._config.lease
        elector = Elector(
            client=client,
            namespace=self._config.own_namespace,
            name=lease.name,
            identity=f"{self._config.pod_name or 'wattshift'}-{secrets.token_hex(4)}",
            clock=self._clock.monotonic,
            epoch=self._clock.utc,
            on_lost=self._lease_lost,
            on_acquired=lambda: self.metrics.lease_transitions.labels("acquired").inc(),
            timings=LeaseTimings(
                lease=lease.duration_seconds,
                renew_deadline=lease.renew_deadline_seconds,
                retry=lease.retry_period_seconds,
                fence_margin=lease.fence_margin_seconds,
            ),
        )
        self._elector = elector
        return elector

    def _lease_lost(self, why: str) -> None:
        """Not graceful on purpose: nothing of ours may reach a server any more."""
        log.critical("lease lost: %s", why, extra=fields(reason="LeaseLost"))
        logging.shutdown()
        self._end_process(_FAILED)

    def _ready(self) -> tuple[bool, str]:
        """A standby is ready while it can take over; a leader once it is synced."""
        elector = self._elector
        if elector is None or not elector.healthy():
            return False, "the lease cannot be read"
        if not elector.is_leader:
            return True, f"standby; {elector.holder or 'nobody'} leads"
        if self._assembly is None or not self._assembly.synced:
            return False, "leading; not synced yet"
        return True, "leading"

    def _refresh(self) -> None:
        """Gauges that follow from state, for one scrape."""
        for part, age in self.progress.ages().items():
            self.metrics.part_age.labels(part).set(age)
        if self._assembly is not None:
            self._assembly.refresh()

    def _declare(self) -> None:
        self.metrics.build.info({"version": __version__})
        self.metrics.mode.labels(self._config.mode.value).set(1)
        self.metrics.grid_speed.set(self._clock.speed)
        self.metrics.leader.labels(self._config.pod_name).set(0)
        log.info(
            "wattshift %s starts in mode %s",
            __version__,
            self._config.mode.value,
            extra=fields(pod=self._config.pod_name, grid_speed=self._clock.speed),
        )

    def _access(self) -> Access:
        if self._config.hub.kubeconfig:
            return load_hub_files([Path(self._config.hub.kubeconfig)])
        return hub_access(self._environment, home=Path.home())


async def _first(*awaitables: object) -> int:
    """Index of the first that ends; the others are cancelled. Its error is raised."""
    tasks = [asyncio.ensure_future(item) for item in awaitables]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        index = next(i for i, task in enumerate(tasks) if task.done())
        tasks[index].result()
        return index
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
