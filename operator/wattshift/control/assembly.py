"""Wiring of the leading process: builds every part once and says which tier it runs in.

No decision is made here. Tiers start in this order and stop in the reverse one: `watch` (hub,
credentials, members, signals), `work` (queue, status, events), `loops` (planner, governor).
Neighbours: `app.py` drives the life of it, `runtime.py` is what the loops get.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Self

from wattshift.adapters.base import SourceContext
from wattshift.adapters.http import make_session
from wattshift.adapters.poller import Poller
from wattshift.adapters.prometheus import PrometheusPool
from wattshift.api.validate import read
from wattshift.control.clock import Clock
from wattshift.control.config import Config
from wattshift.control.hub import kopf_setup
from wattshift.control.hub.conditions import Condition, Truth
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.handlers import Intake
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.hub.queue import WorkQueue
from wattshift.control.hub.reconcile import Reconciler
from wattshift.control.hub.reconcile_contract import ContractReconciler
from wattshift.control.hub.reconcile_site import SiteReconciler
from wattshift.control.hub.reconcile_workload import WorkloadReconciler
from wattshift.control.hub.relist import Relist
from wattshift.control.hub.resolve import Resolver
from wattshift.control.hub.store import Store
from wattshift.control.hub.watches import LeaseCanary, NamespaceLabels, OwnConfigMaps
from wattshift.control.leader import Elector
from wattshift.control.record.events import EventRecorder
from wattshift.control.record.status import StatusBook, StatusPace
from wattshift.control.record.writer import StatusWriter
from wattshift.control.runtime import Component, Runtime
from wattshift.control.serve.health import Progress
from wattshift.control.supervise import Supervisor
from wattshift.control.wake import Wake
from wattshift.errors import NeedsHuman, WattshiftError
from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.pool import Pool
from wattshift.kube.secrets import CredentialStore
from wattshift.kube.sources import Sources
from wattshift.kube.views import MemberState
from wattshift.obs.logs import fields
from wattshift.obs.metrics import Metrics

log = logging.getLogger(__name__)
Parts = Callable[[Runtime], Sequence[Component]]
"""Builds planner loop, governor loop and scrapers."""
_MEMBER_DEBOUNCE_SECONDS = 1.0
_LOOP_STALL_SECONDS = 120.0
_NAMESPACES_PATIENCE_SECONDS = 5.0
_SETTLING_SECONDS = 20.0
_KNOWN_SECONDS = 5.0
"""After the start what was true is not called false for want of a first answer."""


class Assembly:
    """Everything that exists while this process leads. Use as `async with`."""

    def __init__(
        self,
        *,
        config: Config,
        clock: Clock,
        access: Access,
        elector: Elector,
        metrics: Metrics,
        progress: Progress,
        supervisor: Supervisor,
        parts: Parts,
    ) -> None:
        self._config = config
        self._clock = clock
        self._access = access
        self._elector = elector
        self._metrics = metrics
        self._progress = progress
        self._supervisor = supervisor
        self._parts = parts
        self._stack = AsyncExitStack()
        self._components: tuple[Component, ...] = ()
        self.planner_wake, self.governor_wake = Wake(), Wake()

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def synced(self) -> bool:
        """Whether the watch has shown all that exists, so that loops may decide."""
        return self._relist.synced.is_set()

    def start(self) -> None:
        """Start to watch; work and loops follow once all is synced (`start_acting`)."""
        start = self._supervisor.start
        watch = kopf_setup.watch(
            access=self._access,
            clock=self._clock,
            intake=self._intake,
            namespaces=self._config.namespaces,
        )
        start("watch", "credentials", self._credentials.run())
        start("watch", self._namespaces.name, self._namespaces.run())
        start("watch", self._config_maps.name, self._config_maps.run())
        start("watch", self._canary.name, self._canary.run())
        start("watch", "poller", self._poller.run())
        start("watch", "kopf", watch)
        start("watch", self._relist.name, self._relist.run())

    async def start_acting(self) -> None:
        """Wait until all that references may name is known, then start to judge and to decide.

        Judged earlier, a good object would be refused for a site that has not been read yet.
        """
        await self._relist.synced.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NAMESPACES_PATIENCE_SECONDS):
                await self._namespaces.wait_synced()
        start = self._supervisor.start
        start("work", "queue", self._queue.run())
        start("work", self._writer.name, self._writer.run())
        start("work", self._events.name, self._events.run())
        await self._wait_known()
        for component in self._components:
            self._progress.expect(component.name, stall_seconds=_LOOP_STALL_SECONDS)
            self._supervisor.start("loops", component.name, component.run())

    async def _wait_known(self) -> None:
        """Until every object is judged and every member has answered once, but not for long.

        A first plan without them would only say of every workload that its clusters are not known,
        in status and events; a member that hangs delays nobody for more than moments.
        """
        deadline = self._clock.monotonic() + _KNOWN_SECONDS
        while self._clock.monotonic() < deadline and not self._known():  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def _known(self) -> bool:
        judged = all(self._store.acceptance(key) is not None for key in self._store.all_keys())
        return judged and all(
            view.state is not MemberState.CONNECTING for view in self._pool.views().values()
        )

    async def stop_acting(self) -> None:
        """End all writing: loops first, then what waits, each within a moment."""
        await self._supervisor.stop("loops", grace_seconds=1.0)
        await self._supervisor.stop("work", grace_seconds=0.5)
        for component in self._components:
            self._progress.dismiss(component.name)
        last = (self._book.flush, self._events.drain, self._book.flush_sums)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.7):
                for part in last:
                    try:
                        await part()
                    except Exception as error:  # noqa: BLE001 - one failure keeps no other
                        log.warning("last status not written: %s", error)

    async def stop_watching(self) -> None:
        """End kopf and our own watches."""
        await self._supervisor.stop_all(grace_seconds=2.5)

    def refresh(self) -> None:
        """Gauges that follow from state."""
        metrics = self._metrics
        metrics.queue_depth.set(len(self._queue))
        metrics.watch_canary_age.set(self._canary.age())
        metrics.objects.clear()
        for key in self._store.all_keys():
            accepted = str(self._store.accepted(key)).lower()
            metrics.objects.labels(key.kind.value, accepted).inc()
        metrics.condition.clear()
        for key, row in self._book.all_conditions():
            labels = (key.kind.value, row.type, row.status.value, row.reason)
            metrics.condition.labels(*labels).inc()
        metrics.member_state.clear()
        metrics.member_age.clear()
        for name, view in self._pool.views().items():
            metrics.member_state.labels(name, view.state.value).set(1)
            metrics.member_age.labels(name).set(view.age_seconds)
        metrics.signal_age.clear()
        now = self._clock.grid()
        for (_, owner, signal), state in self._poller.states(now).items():
            reading = state.reading
            if reading is not None and reading.source_time is not None:
                metrics.signal_age.labels(owner, signal).set(now - reading.source_time)

    # ---- building --------------------------------------------------------------------------

    async def _build(self) -> None:
        config, clock = self._config, self._clock
        self._started = clock.monotonic()
        self._hub = ClusterClient(
            name="hub",
            access=self._access,
            clock=clock.monotonic,
            write_guard=self._elector.fence,
        )
        self._stack.push_async_callback(self._hub.close)
        self._credentials = CredentialStore(client=self._hub, namespace=config.secrets_namespace)
        self._store = Store(read=read)
        self._events = EventRecorder(
            client=self._hub,
            clock=clock,
            instance=config.pod_name,
            on_result=lambda result: self._metrics.events.labels(result).inc(),
        )
        self._book = StatusBook(
            client=self._hub,
            clock=clock,
            pace=StatusPace(
                minimum_seconds=config.status.minimum_seconds,
                totals_grid_seconds=config.status.totals_seconds,
                change_ratio=config.status.change_permille / 1000,
            ),
            on_flip=self._flipped,
            on_write=self._count_write,
        )
        self._contracts = Contracts()
        self._namespaces = NamespaceLabels(client=self._hub, on_change=self._namespace_changed)
        self._config_maps = OwnConfigMaps(
            client=self._hub,
            namespace=config.own_namespace,
            on_change=lambda _name: self._poller.refresh("file"),
        )
        await self._build_world()
        self._build_reconcilers()
        self._intake = Intake(
            store=self._store, book=self._book, queue=self._queue, metrics=self._metrics
        )
        self._relist = Relist(
            client=self._hub,
            store=self._store,
            intake=self._intake,
            progress=self._progress,
            metrics=self._metrics,
            namespaces=config.namespaces,
            interval_seconds=config.relist_seconds,
            clock=clock.monotonic,
        )
        self._canary = LeaseCanary(
            client=self._hub,
            namespace=config.own_namespace,
            lease_name=config.lease.name,
            progress=self._progress,
            clock=clock.monotonic,
        )
        self._writer = StatusWriter(book=self._book, progress=self._progress, metrics=self._metrics)
        self._components = tuple(self._parts(self._runtime()))

    async def _build_world(self) -> None:
        """Members and signals."""
        clock = self._clock
        self._session = make_session()
        self._stack.push_async_callback(self._session.close)
        self._prometheus = PrometheusPool(wall_clock=clock.monotonic)
        self._stack.callback(self._prometheus.close)
        self._poller = Poller(
            SourceContext(
                credentials=self._credentials.get,
                config_map=self._config_maps.content,
                session=self._session,
                prometheus=self._prometheus,
                grid_clock=clock.grid,
                wall_clock=clock.monotonic,
                epoch_clock=clock.utc,
                grid_speed=lambda: clock.speed,
            )
        )
        self._pool = await self._stack.enter_async_context(
            Pool(
                sources=Sources(hub=self._access, credentials=self._credentials),
                clock=clock.monotonic,
                write_guard=self._elector.fence,
                on_change=self._member_changed,
            )
        )

    def _build_reconcilers(self) -> None:
        self._resolver = Resolver(
            store=self._store,
            book=self._book,
            contracts=self._contracts,
            config=self._config,
            namespace_labels=self._namespaces.get,
        )
        reconciler = Reconciler(
            store=self._store,
            book=self._book,
            resolver=self._resolver,
            contracts=self._contracts,
            sites=SiteReconciler(
                store=self._store,
                book=self._book,
                pool=self._pool,
                poller=self._poller,
                clock=self._clock,
                settling=self._settling,
            ),
            contract_parts=ContractReconciler(
                book=self._book, contracts=self._contracts, clock=self._clock
            ),
            workloads=WorkloadReconciler(
                store=self._store,
                book=self._book,
                pool=self._pool,
                installation=self._config.mode,
                settling=self._settling,
            ),
            events=self._events,
            metrics=self._metrics,
            wakes=(self.planner_wake, self.governor_wake),
        )
        self._queue: WorkQueue[ObjectKey] = WorkQueue(
            clock=self._clock.monotonic,
            handle=reconciler.visit,
            on_error=self._visit_failed,
            workers=self._config.workers,
        )
        reconciler.attach(self._queue)

    def _runtime(self) -> Runtime:
        return Runtime(
            config=self._config,
            clock=self._clock,
            hub=self._hub,
            elector=self._elector,
            store=self._store,
            book=self._book,
            queue=self._queue,
            pool=self._pool,
            poller=self._poller,
            session=self._session,
            prometheus=self._prometheus,
            credentials=self._credentials,
            config_maps=self._config_maps,
            contracts=self._contracts,
            events=self._events,
            metrics=self._metrics,
            progress=self._progress,
            planner_wake=self.planner_wake,
            governor_wake=self.governor_wake,
            settling=self._settling,
        )

    def _settling(self) -> bool:
        return self._clock.monotonic() - self._started < _SETTLING_SECONDS

    # ---- what happens ----------------------------------------------------------------------

    def _member_changed(self, member: str) -> None:
        """A member's view changed: its site and the workloads there are looked at again."""
        site_name = member.partition("/")[0]
        self._queue.add(ObjectKey.site(site_name), delay_seconds=_MEMBER_DEBOUNCE_SECONDS)
        for key in self._resolver.workloads_at(site_name):
            self._queue.add(key, delay_seconds=_MEMBER_DEBOUNCE_SECONDS)

    def _namespace_changed(self, name: str) -> None:
        for stored in self._store.workloads():
            if stored.key.namespace == name:
                self._queue.add(stored.key)

    def _flipped(self, key: ObjectKey, row: Condition) -> None:
        stored = self._store.get(key)
        log.info(
            "%s is %s: %s",
            row.type,
            row.status.value,
            row.message,
            extra=fields(reason=row.reason, object=str(key)),
        )
        if stored is not None:
            self._events.emit(
                key,
                stored.uid,
                reason=row.reason,
                action=row.type,
                note=f"{row.type} is {row.status.value}: {row.message}",
                warning=row.status is not Truth.TRUE,
            )

    def _count_write(self, key: ObjectKey, written: bool) -> None:
        result = "written" if written else "failed"
        self._metrics.status_writes.labels(key.kind.value, result).inc()

    def _visit_failed(self, key: ObjectKey, error: Exception, delay_seconds: float) -> None:
        family = "Bug"
        if isinstance(error, WattshiftError):
            family = "NeedsHuman" if isinstance(error, NeedsHuman) else "Transient"
        self._metrics.reconcile_errors.labels(Kind(key.kind).value, family).inc()
        log.warning(
            "visit failed, again in %.0f s: %s",
            delay_seconds,
            error,
            exc_info=error if family == "Bug" else None,
            extra=fields(reason=getattr(error, "reason", "Bug"), object=str(key)),
        )
