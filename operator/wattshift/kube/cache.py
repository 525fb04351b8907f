"""`Informer`: a set of projected objects that follows one resource, and says how fresh it is.

Never keeps whole objects; never lets a failing server or a strange object end its task. Neighbours:
`watch.py` below, `pool.py` and `secrets.py` above.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from wattshift.errors import WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError, SpokeUnreachable
from wattshift.kube.resources import Json, Resource
from wattshift.kube.watch import Alive, Changed, Listed, Watch

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is empty."""
OnChange = Callable[[Key, T | None, T | None], None]
"""`(key, old, new)`: None where it did not exist, or does not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential waits with +-20 % jitter, in seconds."""

    minimum: float = 1.0
    maximum: float = 60.0

    def wait(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after the n-th failure in a row (n >= 1)."""
        base = min(self.maximum, self.minimum * 2.0 ** min(failures - 1, 30))
        return min(self.maximum, base * rng.uniform(0.8, 1.2))


class Informer(Generic[T]):
    """Follows one resource until its `run` task is cancelled."""

    def __init__(
        self,
        *,
        client: ClusterClient,
        resource: Resource,
        project: Callable[[Json], T | None],
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        on_change: OnChange[T] | None = None,
        on_update: Callable[[], None] | None = None,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`project` returns what to keep of an object, or None for: not ours."""
        self.resource = resource
        self.namespace = namespace
        self.label_selector = label_selector
        self.synced = asyncio.Event()
        self.failure: WattshiftError | None = None
        """Why the last attempt failed; None while it follows."""
        self._clock = client.clock
        self._watch = Watch(
            client,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        self._project = project
        self._on_change = on_change
        self._on_update = on_update
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._objects: dict[Key, T] = {}
        self._failures = 0
        self._kicked = asyncio.Event()

    @property
    def objects(self) -> Mapping[Key, T]:
        """What is known now (live view, read only)."""
        return MappingProxyType(self._objects)

    def get(self, name: str, namespace: str = "") -> T | None:
        """One object, or None."""
        return self._objects.get((namespace, name))

    def last_event_age(self) -> float:
        """Seconds since the server last sent anything on this watch; infinite before the first."""
        return self._watch.last_event_age()

    def kick(self) -> None:
        """Contact is back: try again at once, and open the watch anew, it may be silently dead."""
        self._kicked.set()
        if self.failure is None and self._watch.reconnect():
            self.failure = SpokeUnreachable("opening the watch anew", reason="WatchSilent")

    async def run(self) -> None:
        """Follow for ever; ends only by cancellation. Failures show in `failure`."""
        while True:
            try:
                async with aclosing(self._watch.events()) as events:  # type: ignore[type-var]
                    async for event in events:
                        self._take(event)
            except WattshiftError as error:
                await self._wait(error)

    def _take(self, event: Listed | Changed | Alive) -> None:
        if isinstance(event, Listed):
            fresh: dict[Key, T] = {}
            for obj in event.items:
                self._into(fresh, obj)
            for key in self._objects.keys() - fresh.keys():
                self._change(key, None)
            for key, value in fresh.items():
                self._change(key, value)
            self.synced.set()
        elif isinstance(event, Changed):
            one: dict[Key, T] = {}
            changed = self._into(one, event.obj)
            if changed is not None:
                self._change(changed, None if event.type == "DELETED" else one.get(changed))
        self._failures = 0
        self.failure = None
        if self._on_update:
            self._on_update()

    def _into(self, found: dict[Key, T], obj: Json) -> Key | None:
        """Project one object; a strange one is logged and counts as absent."""
        try:
            metadata = obj["metadata"]
            key = (str(metadata.get("namespace") or ""), str(metadata["name"]))
            value = self._project(obj)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            # NB: the type only: an object may hold a secret.
            log.warning("%s: skipped an object: %s", self.resource.plural, type(error).__name__)
            return None
        if value is not None:
            found[key] = value
        return key

    def _change(self, key: Key, new: T | None) -> None:
        old = self._objects.get(key)
        if old == new:
            return
        if new is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = new
        if self._on_change:
            self._on_change(key, old, new)

    async def _wait(self, error: WattshiftError) -> None:
        self.failure = error
        self._failures += 1
        wait = self._backoff.wait(self._failures, self._rng)
        if isinstance(error, ApiError) and error.retry_after_seconds is not None:
            wait = max(wait, min(error.retry_after_seconds, self._backoff.maximum))
        if self._on_update:
            self._on_update()
        self._kicked.clear()
        try:
            async with asyncio.timeout(wait):
                await self._kicked.wait()
        except TimeoutError:
            return
