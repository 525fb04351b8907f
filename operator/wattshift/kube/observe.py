"""What is watched on one member, and the views made of it.

Targets by the opt-in label; pods, EndpointSlices and autoscalers only in namespaces that have targets,
pods only by the targets' selectors; nodes where the role allows it. Keeps the last good view while a
new connection syncs. Neighbours: `follow.py` (one watch), `member.py` (the connection).
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from wattshift.errors import WattshiftError
from wattshift.kube import projection, selectors
from wattshift.kube.cache import Key
from wattshift.kube.client import ClusterClient
from wattshift.kube.follow import Availability, Follower, Wanted
from wattshift.kube.resources import DEPLOYMENTS, ENDPOINT_SLICES, HPAS, NODES, PODS, STATEFUL_SETS
from wattshift.kube.sources import MemberSource
from wattshift.kube.timings import PoolTimings
from wattshift.kube.views import PodView, TargetKey, TargetView

LEADER_WORKER_SET = ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
_ALWAYS = (
    (DEPLOYMENTS.api_version, DEPLOYMENTS.kind),
    (STATEFUL_SETS.api_version, STATEFUL_SETS.kind),
)
_PROJECTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    PODS.kind: projection.project_pod,
    HPAS.kind: projection.project_hpa,
    ENDPOINT_SLICES.kind: projection.project_slice,
    NODES.kind: projection.project_node,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The projected content of one member."""

    targets: Mapping[TargetKey, TargetView] = field(default_factory=dict)
    pods: Mapping[TargetKey, tuple[PodView, ...]] = field(default_factory=dict)
    allocatable: Mapping[str, int] | None = None
    missing: tuple[str, ...] = ()


class Observation:
    """All watches over one connection. Call `replan` after changes, `stop` at the end."""

    def __init__(
        self,
        *,
        client: ClusterClient,
        source: MemberSource,
        timings: PoolTimings,
        rng: random.Random,
        on_update: Callable[[], None],
        on_replan: Callable[[], None],
    ) -> None:
        """`on_update`: content or health moved. `on_replan`: other watches are wanted now."""
        self._client = client
        self._source = source
        self._timings = timings
        self._rng = rng
        self._on_update = on_update
        self._on_replan = on_replan
        self._followers: dict[Wanted, tuple[Follower, asyncio.Task[None]]] = {}
        self.stopped = False
        """Its connection has ended; the views stay readable, their age grows."""

    # -- health ------------------------------------------------------------------------

    @property
    def failure(self) -> WattshiftError | None:
        """Failure of any watch, the targets' first."""
        if self.stopped:
            return None
        found = [f.failure for f in self._all() if f.failure is not None]
        return found[0] if found else None

    @property
    def synced(self) -> bool:
        """Whether the targets' watches are settled, so that absence means absence."""
        base = [f for f in self._all() if self._is_target_kind(f.wanted)]
        return bool(base) and all(f.settled for f in base)

    @property
    def current(self) -> bool:
        """Whether the targets are settled and no watch fails; pods still to come are just unknown."""
        return not self.stopped and self.synced and self.failure is None

    def kick(self) -> None:
        """Contact is back: every waiting watch tries again at once."""
        for follower in self._all():
            follower.kick()

    # -- which watches -----------------------------------------------------------------

    def replan(self, group: asyncio.TaskGroup) -> None:
        """Start watches that are wanted and not there; stop the others once these are settled."""
        wanted = self._wanted()
        for one in sorted(wanted - self._followers.keys(), key=repr):
            follower = self._follower(one)
            self._followers[one] = (follower, group.create_task(follower.run()))
        for one in list(self._followers.keys() - wanted):
            siblings = [
                f for w, (f, _) in self._followers.items() if w in wanted and w.kind == one.kind
            ]
            if all(f.settled for f in siblings):
                _, task = self._followers.pop(one)
                task.cancel()

    def stop(self) -> None:
        """Cancel all watches; the views stay readable."""
        self.stopped = True
        for _, task in self._followers.values():
            task.cancel()

    def _wanted(self) -> set[Wanted]:
        wanted = {
            Wanted(
                api_version=api_version,
                kind=kind,
                namespace=namespace,
                label_selector=projection.FLEXIBLE_SELECTOR,
                optional=(api_version, kind) == LEADER_WORKER_SET,
            )
            for api_version, kind in (*_ALWAYS, LEADER_WORKER_SET, *self._source.extra_kinds)
            for namespace in self._source.namespaces or (None,)
        }
        wanted.add(Wanted(api_version=NODES.api_version, kind=NODES.kind, optional=True))
        by_namespace: dict[str, list[selectors.Selector]] = defaultdict(list)
        for record in self._records():
            by_namespace[record.view.key.namespace].append(record.selector)
        for namespace, found in by_namespace.items():
            for resource in (HPAS, ENDPOINT_SLICES):
                wanted.add(
                    Wanted(
                        api_version=resource.api_version, kind=resource.kind, namespace=namespace
                    )
                )
            for text in selectors.covering(found):
                wanted.add(
                    Wanted(
                        api_version=PODS.api_version,
                        kind=PODS.kind,
                        namespace=namespace,
                        label_selector=text,
                    )
                )
        return wanted

    def _follower(self, wanted: Wanted) -> Follower:
        project = _PROJECTIONS.get(wanted.kind) or partial(
            projection.project_target, api_version=wanted.api_version, kind=wanted.kind
        )
        return Follower(
            wanted=wanted,
            client=self._client,
            project=project,
            on_change=self._changed,
            on_update=self._on_update,
            recheck_seconds=self._timings.recheck,
            backoff=self._timings.watch_backoff,
            rng=self._rng,
        )

    def _changed(self, _key: Key, old: Any, new: Any) -> None:
        record = new or old
        if isinstance(record, projection.TargetRecord) and (
            old is None or new is None or old.selector != new.selector
        ):
            self._on_replan()

    # -- the views ---------------------------------------------------------------------

    def build(self, previous: Seen) -> Seen:
        """Compose the views; what is not synced yet is taken from `previous`."""
        if not self.synced:
            return previous
        autoscalers = {
            (namespace, *record.target): record.view
            for (namespace, _), record in self._objects(HPAS.kind)
        }
        serving: dict[str, set[str]] = defaultdict(set)
        for _, endpoint_slice in self._objects(ENDPOINT_SLICES.kind):
            for uid in endpoint_slice.pod_uids:
                serving[uid].add(endpoint_slice.service)
        in_namespace: dict[str, dict[str, PodView]] = defaultdict(dict)
        for (namespace, _), pod in self._objects(PODS.kind):
            services = tuple(sorted(serving.get(pod.uid, ())))
            in_namespace[namespace][pod.name] = replace(pod, services=services) if services else pod
        targets: dict[TargetKey, TargetView] = {}
        pods: dict[TargetKey, tuple[PodView, ...]] = {}
        for record in self._records():
            key = record.view.key
            hpa = autoscalers.get((key.namespace, key.kind, key.name))
            targets[key] = replace(record.view, hpa=hpa) if hpa else record.view
            if self._pods_known(key.namespace, record.selector):
                found = in_namespace.get(key.namespace, {})
                pods[key] = tuple(
                    found[name]
                    for name in sorted(found)
                    if record.selector.matches(found[name].labels)
                )
            elif key in previous.pods and not self._pods_denied(key.namespace):
                pods[key] = previous.pods[key]
        return Seen(
            targets=MappingProxyType(targets),
            pods=MappingProxyType(pods),
            allocatable=self._allocatable(),
            missing=self._missing(),
        )

    def _allocatable(self) -> Mapping[str, int] | None:
        nodes = [f for f in self._all() if f.wanted.kind == NODES.kind]
        if not any(f.informer and f.informer.synced.is_set() for f in nodes):
            return None
        total: dict[str, int] = defaultdict(int)
        for _, node in self._objects(NODES.kind):
            for name, count in node.accelerators:
                total[name] += count
        return MappingProxyType(dict(total))

    def _missing(self) -> tuple[str, ...]:
        return tuple(
            sorted(
                f.wanted.what
                for f in self._all()
                if f.availability is Availability.DENIED and not f.wanted.optional
            )
        )

    def target_kinds_missing(self) -> bool:
        """Whether the role hides a kind of target from us."""
        return any(
            f.availability is Availability.DENIED and not f.wanted.optional
            for f in self._all()
            if self._is_target_kind(f.wanted)
        )

    def _pods_known(self, namespace: str, selector: selectors.Selector) -> bool:
        if not selector:
            return False
        found = [
            f for f in self._all() if f.wanted.kind == PODS.kind and f.wanted.namespace == namespace
        ]
        return bool(found) and all(f.informer and f.informer.synced.is_set() for f in found)

    def _pods_denied(self, namespace: str) -> bool:
        return any(
            f.availability is Availability.DENIED
            for f in self._all()
            if f.wanted.kind == PODS.kind and f.wanted.namespace == namespace
        )

    def _records(self) -> Iterator[projection.TargetRecord]:
        for follower in self._all():
            if self._is_target_kind(follower.wanted) and follower.informer:
                yield from follower.informer.objects.values()

    def _objects(self, kind: str) -> Iterator[tuple[Key, Any]]:
        for follower in self._all():
            if follower.wanted.kind == kind and follower.informer:
                yield from follower.informer.objects.items()

    def _all(self) -> list[Follower]:
        return [follower for follower, _ in self._followers.values()]

    @staticmethod
    def _is_target_kind(wanted: Wanted) -> bool:
        return wanted.kind not in _PROJECTIONS
