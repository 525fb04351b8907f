"""One watch of a member that may not be permitted, or not be served: asks first, then follows.

Asking (SelfSubjectAccessReview, discovery) keeps the audit log free of denied lines. Neighbours:
`cache.py` does the following, `member.py` owns the tasks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wattshift.errors import WattshiftError
from wattshift.kube.cache import Backoff, Informer, OnChange
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import Json


class Availability(StrEnum):
    """What is known about one watch."""

    UNKNOWN = "Unknown"
    ABSENT = "Absent"
    """The server does not serve the kind."""
    DENIED = "Denied"
    """The role does not let us list and watch it."""
    FOLLOWED = "Followed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which watch: compared, to keep running what is still wanted."""

    api_version: str
    kind: str
    namespace: str | None = None
    label_selector: str = ""
    optional: bool = False
    """Its absence is normal and not reported (nodes, kinds that are not installed)."""

    @property
    def what(self) -> str:
        """For people: `Pod in team-chat`."""
        return self.kind if self.namespace is None else f"{self.kind} in {self.namespace}"


class Follower:
    """Follows one `Wanted` on one client; ends only by cancellation."""

    def __init__(
        self,
        *,
        wanted: Wanted,
        client: ClusterClient,
        project: Callable[[Json], Any],
        on_change: OnChange[Any],
        on_update: Callable[[], None],
        recheck_seconds: float,
        backoff: Backoff,
        rng: random.Random,
    ) -> None:
        self.wanted = wanted
        self.availability = Availability.UNKNOWN
        self.informer: Informer[Any] | None = None
        self._client = client
        self._project = project
        self._on_change = on_change
        self._on_update = on_update
        self._recheck_seconds = recheck_seconds
        self._backoff = backoff
        self._rng = rng
        self._failure: WattshiftError | None = None
        self._kicked = asyncio.Event()

    @property
    def failure(self) -> WattshiftError | None:
        """Why it cannot be followed at the moment."""
        return self.informer.failure if self.informer else self._failure

    @property
    def settled(self) -> bool:
        """Whether it is synced, or known to be unavailable."""
        if self.availability in (Availability.ABSENT, Availability.DENIED):
            return True
        return self.informer is not None and self.informer.synced.is_set()

    def kick(self) -> None:
        """Try again at once."""
        self._kicked.set()
        if self.informer:
            self.informer.kick()

    async def run(self) -> None:
        """Ask until it is served and permitted, then follow."""
        failures = 0
        while True:
            try:
                informer = await self._permitted()
            except WattshiftError as error:
                failures += 1
                self._failure = error
                self._on_update()
                await self._pause(self._backoff.wait(failures, self._rng))
                continue
            failures, self._failure = 0, None
            if informer is None:
                self._on_update()
                await self._pause(self._recheck_seconds)
                continue
            self.informer = informer
            self.availability = Availability.FOLLOWED
            self._on_update()
            await informer.run()

    async def _permitted(self) -> Informer[Any] | None:
        wanted = self.wanted
        try:
            resource = await self._client.discover(wanted.api_version, wanted.kind)
        except ApiError as error:
            if not error.is_not_found:
                raise
            self.availability = Availability.ABSENT
            return None
        namespace = wanted.namespace
        if not await self._client.can_i(["list", "watch"], resource, namespace=namespace):
            self.availability = Availability.DENIED
            return None
        return Informer(
            client=self._client,
            resource=resource,
            project=self._project,
            namespace=namespace,
            label_selector=wanted.label_selector,
            on_change=self._on_change,
            on_update=self._on_update,
            backoff=self._backoff,
            rng=self._rng,
        )

    async def _pause(self, seconds: float) -> None:
        self._kicked.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._kicked.wait()
        except TimeoutError:
            return
