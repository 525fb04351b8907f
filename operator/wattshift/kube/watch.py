"""List, then watch, for ever: survives time-outs, bookmarks, expired versions and silent servers.

Yields whole objects; keeps nothing but the resourceVersion, so that a reconnect costs no list. Raises
what the server or the network says; patience and state belong to `cache.py` and `pool.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError, SpokeUnreachable, api_error
from wattshift.kube.resources import Json, Resource

_LINE_LIMIT_BYTES = 16 * 1024 * 1024
_QUICK_END_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A complete state: whatever is not in `items` no longer exists."""

    items: list[Json]


@dataclass(frozen=True, slots=True)
class Changed:
    """One change: `type` is ADDED, MODIFIED or DELETED."""

    type: str
    obj: Json


@dataclass(frozen=True, slots=True)
class Alive:
    """The watch is established, or a bookmark came: the state is current."""


class Watch:
    """One list+watch; remembers its position between calls of `events`."""

    def __init__(
        self,
        client: ClusterClient,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._labels = label_selector
        self._fields = field_selector
        self._version = ""
        self._last_event: float | None = None
        self._reading: asyncio.Timeout | None = None
        self.silent_reconnects = 0
        """How often an established watch went silent and was opened again."""

    def reconnect(self) -> bool:
        """Open the watch anew from where it is; False if none is open now."""
        if self._reading is None:
            return False
        if not self._reading.expired():  # else it ends already; moving its end is an error
            self._reading.reschedule(asyncio.get_running_loop().time())
        return True

    def last_event_age(self) -> float:
        """Seconds since the server last sent anything here; infinite before the first list."""
        if self._last_event is None:
            return float("inf")
        return self._client.clock() - self._last_event

    async def events(self) -> AsyncIterator[Listed | Changed | Alive]:
        """Yield the state, then its changes; ends only by an error or by being closed.

        Raises:
            ApiError, SpokeUnreachable: call again later; it goes on where it was.
        """
        while True:
            if not self._version:
                result = await self._client.list(
                    self._resource,
                    namespace=self._namespace,
                    label_selector=self._labels,
                    field_selector=self._fields,
                )
                self._version = result.resource_version
                self._touch()
                yield Listed(result.items)
            opened = self._client.clock()
            try:
                async for event in self._one_watch():
                    yield event
            except ApiError as error:
                if not error.is_gone:
                    raise
                self._version = ""  # expired: list again
            if self._client.clock() - opened < _QUICK_END_SECONDS:
                await asyncio.sleep(_QUICK_END_SECONDS)  # a server that ends watches at once

    async def _one_watch(self) -> AsyncIterator[Changed | Alive]:
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(self._client.timings.watch_server),
        }
        if self._labels:
            params["labelSelector"] = self._labels
        if self._fields:
            params["fieldSelector"] = self._fields
        path = self._resource.path(namespace=self._namespace)
        async with self._client.stream(path, params) as body:
            self._touch()
            yield Alive()
            async for line in self._lines(body):
                self._touch()
                event = self._decode(line, path)
                if event is not None:
                    yield event

    async def _lines(self, body: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        """Split the body; end it quietly when nothing came for the inactivity time-out."""
        buffer = bytearray()
        while True:
            try:
                async with asyncio.timeout(self._client.timings.watch_inactivity) as self._reading:
                    chunk = await body.readany()
            except TimeoutError:
                self.silent_reconnects += 1
                return
            finally:
                self._reading = None
            if not chunk:
                return
            buffer += chunk
            if b"\n" in chunk:
                *lines, rest = bytes(buffer).split(b"\n")
                buffer = bytearray(rest)
                for line in lines:
                    if line.strip():
                        yield line
            if len(buffer) > _LINE_LIMIT_BYTES:
                raise SpokeUnreachable("a watch event is too large", reason="GarbledResponse")

    def _decode(self, line: bytes, path: str) -> Changed | Alive | None:
        try:
            event = json.loads(line)
            kind, obj = event["type"], event["object"]
            if kind == "ERROR":
                raise api_error(int(obj.get("code") or 500), obj, where=f"WATCH {path}")
            version = obj["metadata"]["resourceVersion"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SpokeUnreachable(
                f"WATCH {path}: an event is not JSON of a Kubernetes object",
                reason="GarbledResponse",
            ) from error
        self._version = str(version)
        if kind == "BOOKMARK":
            return Alive()
        return Changed(kind, obj) if kind in ("ADDED", "MODIFIED", "DELETED") else None

    def _touch(self) -> None:
        self._last_event = self._client.clock()
