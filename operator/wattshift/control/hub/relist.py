"""Compares kopf's watch with a list: at the start until both agree, then every ten minutes.

A watch that went silent looks like a quiet cluster; our own Lease canary proves only our own watch.
What the watch missed is taken from the list at once, counted and logged; when it misses something
twice in a row this part stops beating, `/livez` fails and the process is started afresh.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from wattshift.control.hub.conditions import parse_utc
from wattshift.control.hub.handlers import Intake
from wattshift.control.hub.keys import RESOURCES, Kind, ObjectKey
from wattshift.control.hub.store import Store
from wattshift.control.serve.health import Progress
from wattshift.errors import WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.obs.logs import fields
from wattshift.obs.metrics import Metrics

log = logging.getLogger(__name__)
PART = "relist"
_GRACE_SECONDS = 5.0
"""How far the watch may lag behind a list before that counts as a difference."""
_FIRST_POLL_SECONDS = 0.2
_FIRST_PATIENCE_SECONDS = 30.0


class Relist:
    """The comparison, and whether the first one has succeeded."""

    name = PART

    def __init__(
        self,
        *,
        client: ClusterClient,
        store: Store,
        intake: Intake,
        progress: Progress,
        metrics: Metrics,
        namespaces: tuple[str, ...],
        interval_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._store = store
        self._intake = intake
        self._progress = progress
        self._metrics = metrics
        self._namespaces = namespaces
        self._interval = interval_seconds
        self._clock = clock
        self._strikes = 0
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Compare until cancelled."""
        self._progress.expect(PART, stall_seconds=2.5 * self._interval + 120)
        await self._first()
        self._progress.beat(PART)
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._compare()
            except WattshiftError as error:
                log.warning("relist: %s", error.message, extra=fields(reason=error.reason))

    async def _first(self) -> None:
        """Wait until the watch has shown all that a list shows; take it from the list if late."""
        while True:
            try:
                listed = await self._list()
                break
            except WattshiftError as error:
                log.warning("first list: %s", error.message, extra=fields(reason=error.reason))
                await asyncio.sleep(2.0)
        patience = self._clock() + _FIRST_PATIENCE_SECONDS
        while self._missing(listed) and self._clock() < patience:  # noqa: ASYNC110 - no signal
            await asyncio.sleep(_FIRST_POLL_SECONDS)
        for key in self._missing(listed):
            self._repair(key, listed[key])
        self.synced.set()

    async def _compare(self) -> None:
        known = set(self._store.all_keys())
        listed = await self._list()
        if self._missing(listed) or self._extra(listed, known):
            await asyncio.sleep(_GRACE_SECONDS)
        differences = 0
        for key in self._missing(listed):
            self._repair(key, listed[key])
            differences += 1
        for key in self._extra(listed, known):
            if await self._is_gone(key):
                stored = self._store.get(key)
                metadata = {"name": key.name, "namespace": key.namespace}
                if stored is not None:
                    metadata["uid"] = stored.uid
                self._intake.gone(key.kind, {"metadata": metadata})
                self._note(key)
                differences += 1
        self._strikes = self._strikes + 1 if differences else 0
        if self._strikes < 2:
            self._progress.beat(PART)

    def _missing(self, listed: Mapping[ObjectKey, Mapping[str, Any]]) -> list[ObjectKey]:
        found = []
        for key, body in listed.items():
            stored, metadata = self._store.get(key), body["metadata"]
            if (
                stored is None
                or (stored.uid != metadata["uid"] and stored.created_utc < _created(body))
                or (stored.uid == metadata["uid"] and stored.generation < metadata["generation"])
            ):
                found.append(key)
        return found

    def _extra(
        self, listed: Mapping[ObjectKey, Mapping[str, Any]], known: set[ObjectKey]
    ) -> list[ObjectKey]:
        return [key for key in known if self._store.get(key) and key not in listed]

    async def _is_gone(self, key: ObjectKey) -> bool:
        return key not in await self._list_kind(key.kind)

    def _repair(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        self._note(key)
        self._intake.seen(key.kind, body)

    def _note(self, key: ObjectKey) -> None:
        self._metrics.relist_differences.labels(key.kind.value).inc()
        log.warning(
            "the watch missed a change", extra=fields(object=str(key), reason="WatchSilent")
        )

    async def _list(self) -> dict[ObjectKey, Mapping[str, Any]]:
        rows: dict[ObjectKey, Mapping[str, Any]] = {}
        for kind in RESOURCES:
            rows |= await self._list_kind(kind)
        return rows

    async def _list_kind(self, kind: Kind) -> dict[ObjectKey, Mapping[str, Any]]:
        resource = RESOURCES[kind]
        spaces = self._namespaces if resource.namespaced and self._namespaces else (None,)
        rows: dict[ObjectKey, Mapping[str, Any]] = {}
        for namespace in spaces:
            for body in (await self._client.list(resource, namespace=namespace)).items:
                metadata = body["metadata"]
                rows[ObjectKey(kind, metadata.get("namespace", ""), metadata["name"])] = body
        return rows


def _created(body: Mapping[str, Any]) -> float:
    return parse_utc(body["metadata"]["creationTimestamp"])
