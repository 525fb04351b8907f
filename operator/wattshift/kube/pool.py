"""The member clusters: one task each, so that a stuck one delays nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from wattshift.kube.client import ClusterClient
from wattshift.kube.sources import MemberSource
from wattshift.kube.views import MemberView


class Pool:
    """All member clusters by name. Wire it once; `reconcile` whenever PowerSites change.

    `Pool(sources=..., clock=monotonic, write_guard=elector.fence, timings=PoolTimings(),
    on_change=callback(name))`; run as `async with Pool(...) as pool:`.
    """

    def reconcile(self, desired: Mapping[str, MemberSource]) -> None:
        """Start, restart or stop members; returns at once, never waits for a cluster."""
        raise NotImplementedError

    def view(self, name: str) -> MemberView | None:
        """Return the latest view; None if there is no such member. Never blocks."""
        raise NotImplementedError

    def views(self) -> dict[str, MemberView]:
        """All views, sorted by name. Never blocks."""
        raise NotImplementedError

    def client(self, name: str) -> ClusterClient:
        """Client of a usable member.

        Raises:
            SpokeUnreachable: unknown, never connected, or lost for lack of contact.
            NeedsHuman: credential refused, or `ClusterIdentityChanged`.
        """
        raise NotImplementedError

    def acting(self, name: str) -> AbstractAsyncContextManager[ClusterClient]:
        """`async with pool.acting(name) as client:` bounds concurrent writes per member (4)."""
        raise NotImplementedError

    def subscribe(self, on_change: Callable[[str], None]) -> Callable[[], None]:
        """Call `on_change(name)` on any change of a view; returns the unsubscriber."""
        raise NotImplementedError
