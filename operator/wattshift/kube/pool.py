"""The member clusters: one task, lock and budget each, so that a stuck one delays nobody.

Nothing here waits for a cluster: `reconcile`, `view` and `views` return at once with what is known.
Neighbours: `member.py` is one of them, `control/gather.py` reads the views.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import SpokeUnreachable
from wattshift.kube.member import Member
from wattshift.kube.sources import MemberSource, Sources
from wattshift.kube.timings import PoolTimings
from wattshift.kube.views import MemberView

log = logging.getLogger(__name__)


class Pool:
    """All member clusters by name. `async with Pool(...) as pool`, then `reconcile` on changes."""

    def __init__(
        self,
        *,
        sources: Sources,
        clock: Callable[[], float],
        write_guard: Callable[[], None] | None = None,
        timings: PoolTimings | None = None,
        on_change: Callable[[str], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Wire it.

        Args:
            sources: resolves credentials.
            clock: monotonic seconds.
            write_guard: asked before each mutating request to any member; the elector's `fence`.
            timings: patience.
            on_change: called with a member's name on any change of its view; must not block.
            rng: jitter.
        """
        self._sources = sources
        self._clock = clock
        self._write_guard = write_guard
        self._timings = timings or PoolTimings()
        self._listeners: list[Callable[[str], None]] = [on_change] if on_change else []
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._members: dict[str, tuple[Member, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.reconcile({})
        await asyncio.gather(*self._ending, return_exceptions=True)

    def reconcile(self, desired: Mapping[str, MemberSource]) -> None:
        """Start, restart or stop members; returns at once, never waits for a cluster."""
        for name, (member, _) in list(self._members.items()):
            source = desired.get(name)
            if source is not None and member.source.same_connection(source):
                if source != member.source:  # only the recorded identity moved
                    member.source = source
                    member.kick()
                continue
            self._end(name)
        for name, source in desired.items():
            if name not in self._members:
                self._start(name, source)

    def view(self, name: str) -> MemberView | None:
        """Return the latest view; None if there is no such member. Never blocks."""
        found = self._members.get(name)
        return found[0].view() if found else None

    def views(self) -> dict[str, MemberView]:
        """All views, sorted by name. Never blocks."""
        return {name: self._members[name][0].view() for name in sorted(self._members)}

    def client(self, name: str) -> ClusterClient:
        """Client of a usable member.

        Raises:
            SpokeUnreachable: unknown, never connected, or lost for lack of contact.
            NeedsHuman: credential refused, or `ClusterIdentityChanged`.
        """
        return self._member(name).client()

    def acting(self, name: str) -> AbstractAsyncContextManager[ClusterClient]:
        """`async with pool.acting(name) as client:` bounds concurrent writes per member.

        Raises:
            SpokeUnreachable, NeedsHuman: as `client`; on entering.
        """
        return self._member(name).acting()

    def subscribe(self, on_change: Callable[[str], None]) -> Callable[[], None]:
        """Call `on_change(name)` on any change of a view; returns the unsubscriber."""
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def kick(self, name: str) -> None:
        """Probe a member at once instead of waiting out its backoff; unknown names are ignored."""
        if name in self._members:
            self._members[name][0].kick()

    def _member(self, name: str) -> Member:
        found = self._members.get(name)
        if found is None:
            raise SpokeUnreachable(f"there is no member {name}", reason="UnknownMember")
        return found[0]

    def _start(self, name: str, source: MemberSource) -> None:
        member = Member(
            name=name,
            source=source,
            sources=self._sources,
            clock=self._clock,
            timings=self._timings,
            on_change=self._changed,
            write_guard=self._write_guard,
            rng=random.Random(self._rng.random()),  # noqa: S311 - jitter
        )
        task = asyncio.create_task(member.run(), name=f"member {name}")
        self._members[name] = (member, task)

    def _end(self, name: str) -> None:
        _, task = self._members.pop(name)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        self._changed(name)

    def _changed(self, name: str) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(name)
            except Exception:  # a listener's fault must not end a member's task
                log.exception("listener of %s", name, extra={"reason": "Bug"})
