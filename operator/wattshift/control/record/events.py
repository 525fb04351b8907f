"""Events (events.k8s.io/v1) of ours: one per decision that changes something, one per condition flip.

`emit` never waits: events go through a bounded queue to one task. A repeat of the same (object,
reason, action, type) becomes a series, whose count reaches the server at most once per
`series_seconds`. Losing an event loses an explanation, never an action: errors are counted only.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from wattshift.control.clock import Clock
from wattshift.control.hub.keys import ObjectKey
from wattshift.errors import WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.kube.resources import EVENTS, WATTSHIFT, Json

CONTROLLER = "wattshift.io/controller"
_MAX_NOTE_BYTES = 1000
_MAX_SERIES = 2048
_CLUSTER_SCOPED_NAMESPACE = "default"
"""Where Kubernetes keeps events of cluster-scoped objects."""


class EventType(StrEnum):
    """The two types that Kubernetes knows."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What happened to which object."""

    key: ObjectKey
    uid: str
    type: EventType
    reason: str
    """The same constant as in condition, metric and log."""
    action: str
    """`Scale`, `Pause`, `Migrate`, `Accept` ...: what was done or tried."""
    note: str
    related: ObjectKey | None = None


@dataclass(slots=True)
class _Series:
    name: str
    namespace: str
    count: int
    last_utc: float
    sent_wall: float
    sent_count: int


class EventRecorder:
    """Queue of occasions and the task that sends them."""

    def __init__(
        self,
        *,
        client: ClusterClient,
        clock: Clock,
        instance: str,
        series_seconds: float = 300.0,
        capacity: int = 512,
        on_result: Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance
        self._series_seconds = series_seconds
        self._pending: asyncio.Queue[Occasion] = asyncio.Queue(capacity)
        self._series: OrderedDict[tuple[str, str, str, str], _Series] = OrderedDict()
        self._on_result = on_result or (lambda _result: None)

    @property
    def name(self) -> str:
        """Component name."""
        return "events"

    def emit(
        self,
        key: ObjectKey,
        uid: str,
        *,
        reason: str,
        action: str,
        note: str,
        warning: bool = False,
        related: ObjectKey | None = None,
    ) -> None:
        """Tell people; returns at once. Dropped (and counted) when far too many are waiting."""
        occasion = Occasion(
            key=key,
            uid=uid,
            type=EventType.WARNING if warning else EventType.NORMAL,
            reason=str(reason),
            action=str(action),
            note=note,
            related=related,
        )
        try:
            self._pending.put_nowait(occasion)
        except asyncio.QueueFull:
            self._on_result("dropped")

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self.send(await self._pending.get())

    async def drain(self) -> None:
        """Send what waits; at shutdown, before the lease is released."""
        while not self._pending.empty():
            await self.send(self._pending.get_nowait())

    async def send(self, occasion: Occasion) -> None:
        """Create the event, or count it into its series."""
        identity = (occasion.uid, occasion.reason, occasion.action, occasion.type.value)
        series = self._series.get(identity)
        now_utc, now_wall = self._clock.utc(), self._clock.monotonic()
        try:
            if series is None or now_utc - series.last_utc > 2 * self._series_seconds:
                created = await self._create(occasion, now_utc)
                metadata = created["metadata"]
                self._series[identity] = _Series(
                    name=metadata["name"],
                    namespace=metadata["namespace"],
                    count=1,
                    last_utc=now_utc,
                    sent_wall=now_wall,
                    sent_count=1,
                )
                while len(self._series) > _MAX_SERIES:
                    self._series.popitem(last=False)
                self._on_result("created")
                return
            series.count += 1
            series.last_utc = now_utc
            first_repeat = series.sent_count == 1
            if first_repeat or now_wall - series.sent_wall >= self._series_seconds:
                series.sent_wall, series.sent_count = now_wall, series.count
                await self._repeat(series)
                self._on_result("series")
        except WattshiftError:
            self._series.pop(identity, None)
            self._on_result("failed")

    async def _create(self, occasion: Occasion, now_utc: float) -> Json:
        namespace = occasion.key.namespace or _CLUSTER_SCOPED_NAMESPACE
        body: Json = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{occasion.key.name[:200]}.{secrets.token_hex(8)}",
                "namespace": namespace,
            },
            "eventTime": _micro(now_utc),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "action": occasion.action[:128],
            "reason": occasion.reason[:128],
            "type": occasion.type.value,
            "note": shortened(occasion.note),
            "regarding": _reference(occasion.key, occasion.uid),
        }
        if occasion.related is not None:
            body["related"] = _reference(occasion.related, "")
        return await self._client.create(EVENTS, body, namespace=namespace)

    async def _repeat(self, series: _Series) -> None:
        # NB: all else of an event is immutable, its note included.
        patch: Json = {
            "series": {"count": series.count, "lastObservedTime": _micro(series.last_utc)}
        }
        await self._client.merge_patch(EVENTS, series.name, patch, namespace=series.namespace)


def shortened(note: str) -> str:
    """At most 1 kB of UTF-8, cut between characters."""
    raw = note.encode()
    if len(raw) <= _MAX_NOTE_BYTES:
        return note
    return raw[:_MAX_NOTE_BYTES].decode(errors="ignore") + "..."


def _reference(key: ObjectKey, uid: str) -> dict[str, Any]:
    reference = {"apiVersion": WATTSHIFT, "kind": key.kind.value, "name": key.name}
    if key.namespace:
        reference["namespace"] = key.namespace
    if uid:
        reference["uid"] = uid
    return reference


def _micro(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
