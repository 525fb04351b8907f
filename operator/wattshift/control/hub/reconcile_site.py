"""Visit to a PowerSite: members and signals configured, their state published.

Connections and signals are read also for a site that is not accepted: reading does no harm, and a
typing error must not cut the way back of a workload that deviates. Power, events and limits are the
loops' (`gather_site.py`, `show.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from wattshift.adapters.base import SignalConfig
from wattshift.adapters.poller import Poller
from wattshift.adapters.reasons import SourceReason
from wattshift.api.conditions import PowerSiteCondition as Type
from wattshift.api.powersite import PowerSiteSpec
from wattshift.api.reasons import ConnectionReason, SignalReason
from wattshift.api.site_clusters import Cluster, ClusterType
from wattshift.api.site_status import ClusterState, ClusterStatus, PowerSiteSummary, SignalStatus
from wattshift.control.clock import Clock
from wattshift.control.hub.conditions import Condition, condition
from wattshift.control.hub.keys import Kind, ObjectKey, member_name
from wattshift.control.hub.store import Acceptance, Store, Stored
from wattshift.control.record.shown import signal_status, utc_time
from wattshift.control.record.status import StatusBook
from wattshift.core.signal import Quality
from wattshift.kube.pool import Pool
from wattshift.kube.resources import WELL_KNOWN
from wattshift.kube.sources import MemberSource, SourceType
from wattshift.kube.views import MemberState, MemberView
from wattshift.obs.logs import fields

log = logging.getLogger(__name__)
VISIT_SECONDS = 10.0
"""Wall seconds between visits: signals grow stale without an event."""
_SOURCES = {
    ClusterType.LOCAL: SourceType.LOCAL,
    ClusterType.KUBECONFIG_SECRET: SourceType.KUBECONFIG_SECRET,
}
_NOT_CURRENT = (Quality.STALE, Quality.FALLBACK)


class SiteReconciler:
    """Configures pool and poller from all sites, publishes the state of one."""

    def __init__(
        self,
        *,
        store: Store,
        book: StatusBook,
        pool: Pool,
        poller: Poller,
        clock: Clock,
        settling: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._book = book
        self._pool = pool
        self._poller = poller
        self._clock = clock
        self._settling = settling
        self._kinds: dict[str, set[tuple[str, str]]] = {}
        self._left_out: set[tuple[ObjectKey, int, str]] = set()
        """Signals that cannot be configured: told once a version."""

    async def visit(self, stored: Stored, acceptance: Acceptance) -> float | None:
        """Configure, then publish clusters, signals and the conditions about them."""
        self.reconfigure()
        spec = stored.spec
        if not isinstance(spec, PowerSiteSpec):
            self._book.set_conditions(
                stored.key, condition(Type.READY, False, "NotAccepted", acceptance.message)
            )
            return None
        record = self._book.site(stored.key)
        clusters = tuple(self._cluster(stored, row) for row in spec.clusters)
        signals = self._signals(stored)
        known = sum(row.state is ClusterState.READY for row in clusters)
        summary = record.summary or PowerSiteSummary()
        self._book.update(
            stored.key,
            replace(
                record,
                clusters=clusters,
                signals=signals,
                summary=summary.model_copy(update={"clusters": f"{known}/{len(clusters)}"}),
            ),
        )
        publish = self._book.settle_conditions if self._settling() else self._book.set_conditions
        publish(stored.key, _connected(clusters), _fresh(signals))
        self._book.set_conditions(stored.key, _ready(acceptance, clusters))
        return VISIT_SECONDS

    def reconfigure(self) -> None:
        """Make members and signals exactly what the objects say; returns at once."""
        self._poller.configure(self._signal_configs())
        self._pool.reconcile(self._member_sources())

    def _member_sources(self) -> dict[str, MemberSource]:
        kinds = self._extra_kinds()
        sources: dict[str, MemberSource] = {}
        for stored in self._store.sites():
            if not isinstance(stored.spec, PowerSiteSpec):
                continue
            record = self._book.site(stored.key)
            for row in stored.spec.clusters:
                source = _SOURCES.get(row.type)
                if source is None:
                    continue
                secret = row.kubeconfig_secret_ref
                name = member_name(stored.key.name, row.name)
                sources[name] = MemberSource(
                    type=source,
                    secret_name=secret.name if secret is not None else "",
                    expected_uid=record.cluster_uid(row.name),
                    extra_kinds=kinds.get(name, ()),
                )
        return sources

    def _extra_kinds(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Kinds of targets beyond the usual ones, by member.

        One that was needed stays as long as we run: a placement that left the spec may still have
        to be given back there.
        """
        found = self._kinds
        for stored in self._store.workloads():
            if stored.spec is None:
                continue
            for row in stored.spec.placements:
                target = row.target_ref or stored.spec.target_ref
                if target is None or (target.api_version, target.kind) in WELL_KNOWN:
                    continue
                name = member_name(row.site_name, row.cluster_name)
                found.setdefault(name, set()).add((target.api_version, target.kind))
        return {name: tuple(sorted(kinds)) for name, kinds in found.items()}

    def _signal_configs(self) -> list[SignalConfig]:
        configs = []
        for stored in (*self._store.sites(), *self._store.contracts()):
            zone = stored.document.get("timeZone")
            if stored.key.kind is Kind.POWER_SITE:
                zone = (stored.document.get("location") or {}).get("timeZone")
            for signal in stored.document.get("signals") or ():
                try:
                    configs.append(
                        SignalConfig.from_spec(stored.key.kind.value, stored.key.name, signal, zone)
                    )
                except Exception as error:  # noqa: BLE001 - one signal stops no site
                    told = (stored.key, stored.generation, str(error))
                    if told not in self._left_out:
                        self._left_out.add(told)
                        words = fields(object=str(stored.key))
                        log.warning("signal left out: %s", error, extra=words)
        return configs

    def _cluster(self, stored: Stored, row: Cluster) -> ClusterStatus:
        record = self._book.site(stored.key)
        before = next((old for old in record.clusters if old.name == row.name), None)
        view = self._pool.view(member_name(stored.key.name, row.name))
        waiting = view is None or view.state is MemberState.CONNECTING
        if waiting and before is not None and self._settling():
            return before
        if row.type not in _SOURCES:
            state, reason = ClusterState.LOST, ConnectionReason.CLUSTER_TYPE_NOT_AVAILABLE.value
            message = f"type {row.type.value} is not supported yet: use KubeconfigSecret or Local"
        elif view is None:
            state, reason = ClusterState.CONNECTING, ConnectionReason.CONNECTING.value
            message = "the first answer is awaited"
        else:
            state, reason, message = ClusterState(view.state.value), view.reason, view.message
        same = before is not None and before.state is state
        since = before.since_time if before is not None and same else self._since(view)
        # NB: the identity that was recorded first stays: another one under this name is refused.
        uid = (before.uid if before is not None else None) or (
            view.uid if view is not None and view.state is MemberState.READY else None
        )
        return ClusterStatus(
            name=row.name,
            uid=uid or None,
            state=state,
            since_time=since,
            reason=reason or None,
            message=message[:1024] or None,
        )

    def _since(self, view: MemberView | None) -> datetime:
        age = 0.0 if view is None else max(0.0, self._clock.monotonic() - view.since)
        return utc_time(self._clock.utc() - age)

    def _signals(self, stored: Stored) -> tuple[SignalStatus, ...]:
        states = self._poller.states(self._clock.grid())
        rows = tuple(
            signal_status(state)
            for (kind, owner, _), state in sorted(states.items())
            if (kind, owner) == (Kind.POWER_SITE.value, stored.key.name)
        )
        if not self._settling():
            return rows
        # Not asked yet since the start: what was read before stands for the moment.
        before = {row.name: row for row in self._book.site(stored.key).signals}
        return tuple(
            before.get(row.name, row) if row.reason == SourceReason.NOT_YET_READ else row
            for row in rows
        )


def _connected(clusters: tuple[ClusterStatus, ...]) -> Condition:
    if not clusters:
        reason = ConnectionReason.NO_CLUSTERS.value
        return condition(Type.CLUSTERS_CONNECTED, True, reason, "the site has no clusters")
    bad = [row for row in clusters if row.state in (ClusterState.LOST, ClusterState.DEGRADED)]
    if bad:
        words = "; ".join(f"{row.name}: {row.message or row.reason}" for row in bad)
        return condition(Type.CLUSTERS_CONNECTED, False, bad[0].reason or "Unreachable", words)
    waiting = [row.name for row in clusters if row.state is ClusterState.CONNECTING]
    if waiting:
        words = f"waits for {', '.join(waiting)}"
        reason = ConnectionReason.CONNECTING.value
        return condition(Type.CLUSTERS_CONNECTED, None, reason, words)
    words = f"{len(clusters)} connected"
    return condition(Type.CLUSTERS_CONNECTED, True, ConnectionReason.CONNECTED.value, words)


def _fresh(signals: tuple[SignalStatus, ...]) -> Condition:
    if not signals:
        reason = SignalReason.NO_SIGNALS.value
        return condition(Type.SIGNALS_FRESH, True, reason, "no signals are declared")
    unknown = [row for row in signals if row.quality.value == Quality.UNKNOWN.value]
    stale = [row for row in signals if row.quality.value in {q.value for q in _NOT_CURRENT}]
    if unknown:
        words = ", ".join(f"{row.name} ({row.reason})" for row in unknown)
        reason = SignalReason.SIGNALS_UNKNOWN.value
        if all(row.reason == SignalReason.SOURCE_NOT_AVAILABLE.value for row in unknown):
            reason = SignalReason.SOURCE_NOT_AVAILABLE.value
        return condition(Type.SIGNALS_FRESH, False, reason, f"unknown: {words}")
    if stale:
        words = ", ".join(row.name for row in stale)
        reason = SignalReason.SIGNALS_STALE.value
        return condition(Type.SIGNALS_FRESH, False, reason, f"stale: {words}")
    return condition(Type.SIGNALS_FRESH, True, SignalReason.FRESH.value, "all signals are fresh")


def _ready(acceptance: Acceptance, clusters: tuple[ClusterStatus, ...]) -> Condition:
    """Accepted, and every cluster answered once; a lost one does not flip it."""
    if not acceptance.accepted:
        return condition(Type.READY, False, "NotAccepted", acceptance.message)
    never = [row.name for row in clusters if not row.uid]
    if never:
        words = f"never connected: {', '.join(never)}"
        return condition(Type.READY, False, "ClusterNotReady", words)
    return condition(Type.READY, True, "Resolved", "accepted; every cluster answered")
