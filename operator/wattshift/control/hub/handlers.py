"""kopf's handlers: they put what the watch shows into store and book, and ask the queue for a visit.

Nothing else: kopf logs and forgets what a handler of `on.event` raises, so all that may fail happens
in the queue's workers. Neighbours: `kopf_setup.py` registers them, `relist.py` checks them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.hub.queue import WorkQueue
from wattshift.control.hub.store import Change, Store, plain
from wattshift.control.record.status import StatusBook
from wattshift.obs.metrics import Metrics

log = logging.getLogger(__name__)
_KEPT = ("apiVersion", "kind", "metadata", "spec", "status")
"""Copied out of kopf's read-only views."""


class Intake:
    """Where events of the watch and rows of a relist come in."""

    def __init__(
        self, *, store: Store, book: StatusBook, queue: WorkQueue[ObjectKey], metrics: Metrics
    ) -> None:
        self._store = store
        self._book = book
        self._queue = queue
        self._metrics = metrics

    def seen(self, kind: Kind, body: Mapping[str, Any]) -> Change:
        """Take an object as it is; the queue is asked only where something of interest changed."""
        metadata = body["metadata"]
        stored, change = self._store.put(kind, body)
        self._book.observe(
            stored.key,
            uid=stored.uid,
            generation=stored.generation,
            version=str(metadata.get("resourceVersion", "")),
            status=dict(body.get("status") or {}),
        )
        self._metrics.watch_events.labels(kind.value, change.value).inc()
        if change is not Change.NONE:
            self._queue.add(stored.key)
        return change

    def gone(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take a deletion; a visit tells those that referred to the object."""
        metadata = body["metadata"]
        key = ObjectKey(kind, metadata.get("namespace", ""), metadata["name"])
        uid = metadata.get("uid", "")
        if self._store.remove(key, uid=uid):
            self._book.forget(key, uid=uid)
            self._metrics.watch_events.labels(kind.value, "gone").inc()
            self._queue.add(key)


class Bridge:
    """From kopf's thread to the loop of everything else; order is kept."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop, intake: Intake) -> None:
        self._loop = loop
        self._intake = intake

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call in our loop; nothing happens once it has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def take(self, event_type: str | None, document: Mapping[str, Any]) -> None:
        """Hand one event over."""
        self.call(self._take, event_type, document)

    def _take(self, event_type: str | None, document: Mapping[str, Any]) -> None:
        try:
            kind = Kind(document["kind"])
            if event_type == "DELETED":
                self._intake.gone(kind, document)
            else:
                self._intake.seen(kind, document)
        except Exception:
            # an object that the schema would have refused must not end the watch
            log.exception("an event could not be read", extra={"reason": "Bug"})


async def on_event(
    type: str | None,  # noqa: A002 - kopf's name
    body: Mapping[str, Any],
    memo: Any,
    **_: Any,
) -> None:
    """Take one event of kopf; `memo` is the `Bridge` (kopf copies it, shallowly)."""
    bridge: Bridge = memo
    document = {name: plain(body[name]) for name in _KEPT if name in body}
    document["metadata"].pop("managedFields", None)
    bridge.take(type, document)
