"""One member cluster: its connection as a small state machine, its budget, its last good view.

Probes kube-system's UID: one read proves contact, credential and identity. Never lets a write pass to
a cluster that is lost or is another one. Failures keep the time of the first. Neighbours: `pool.py`
starts and stops members, `observe.py` has the watches of one connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from wattshift.errors import Bug, NeedsHuman, WattshiftError
from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError, ClusterIdentityChanged, SpokeUnreachable
from wattshift.kube.observe import Observation, Seen
from wattshift.kube.reasons import CONNECTED, CONNECTING, connection_reason
from wattshift.kube.sources import MemberSource, Sources
from wattshift.kube.timings import PoolTimings
from wattshift.kube.views import MemberState, MemberView

log = logging.getLogger(__name__)


class Member:
    """One member cluster. `run` is its only task; everything else never blocks."""

    def __init__(
        self,
        *,
        name: str,
        source: MemberSource,
        sources: Sources,
        clock: Callable[[], float],
        timings: PoolTimings,
        on_change: Callable[[str], None],
        write_guard: Callable[[], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self._sources = sources
        self._clock = clock
        self._timings = timings
        self._on_change = on_change
        self._write_guard = write_guard
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._budget = asyncio.Semaphore(timings.writes_at_once)
        self._wake = asyncio.Event()
        self._replan_wanted = False
        self._access: Access | None = None
        self._kept = ""
        self._client: ClusterClient | None = None
        self._observation: Observation | None = None
        self._seen = Seen()
        self._dirty = False
        self._uid = ""
        self._version = ""
        self._synced_once = False
        self._failure: WattshiftError | None = None
        self._refused = False
        """The failure is about credential or identity: no patience, no writes."""
        self._credential_refused = False
        self._failures = 0
        self._first_failure: float | None = None
        self._last_current: float | None = None
        self._state = MemberState.CONNECTING
        self._since = clock()

    # -- what others ask ---------------------------------------------------------------

    def view(self) -> MemberView:
        """Latest view; never blocks."""
        now = self._clock()
        if self._dirty and self._observation is not None:
            self._dirty = False
            self._seen = self._observation.build(self._seen)
        reason, message = self._judge(now)
        missing = self._seen.missing + ((self._kept,) if self._kept else ())
        return MemberView(
            name=self.name,
            uid=self._uid,
            state=self._state,
            reason=reason,
            message=message,
            since=self._since,
            age_seconds=float("inf") if self._last_current is None else now - self._last_current,
            targets=self._seen.targets,
            pods=self._seen.pods,
            allocatable=self._seen.allocatable,
            missing=missing,
            server_version=self._version,
        )

    def client(self) -> ClusterClient:
        """Client for reads and writes.

        Raises:
            SpokeUnreachable: never connected, or lost.
            NeedsHuman: credential refused, or `ClusterIdentityChanged`.
        """
        self._judge(self._clock())
        if self._refused and self._failure is not None:
            raise self._failure
        if self._client is None or self._state in (MemberState.CONNECTING, MemberState.LOST):
            detail = f": {self._failure}" if self._failure else ""
            if self._state is MemberState.READY:  # what is known is current, the connection is new
                detail = " and connects anew"
            raise SpokeUnreachable(f"member {self.name} is {self._state}{detail}")
        return self._client

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[ClusterClient]:
        """Client for one write, at most `writes_at_once` of them at a time."""
        self.client()
        async with self._budget:
            yield self.client()

    def kick(self) -> None:
        """Probe at once."""
        self._wake.set()

    # -- life --------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect and follow until cancelled; every failure ends in `view`, none here."""
        unsubscribe = self._sources.subscribe(self._secret_changed)
        try:
            while True:
                try:
                    access = self._resolve()
                    if access is not None:
                        await self._connected(access)
                        if not self._refused:
                            log.info("member %s: its credential changed, connects anew", self.name)
                            continue
                except Exception as error:  # our own fault must not end the member for ever
                    log.exception("member %s", self.name, extra={"reason": "Bug"})
                    self._failed(Bug(f"{type(error).__name__} while following the member"))
                await self._pause(
                    self._timings.probe_backoff.wait(max(1, self._failures), self._rng)
                )
        finally:
            unsubscribe()

    def _resolve(self) -> Access | None:
        """Credential to use now; the last one while its Secret is gone; None if refused."""
        try:
            access = self._sources.resolve(self.source)
        except NeedsHuman as error:
            if error.reason == "SecretNotFound" and self._access is not None:
                self._kept = f"Secret {self.source.secret_name} (gone: its last content is in use)"
                return self._access
            self._credential_refused = True
            self._failed(error, refused=True)
            return None
        except WattshiftError as error:
            if self._access is not None:
                return self._access
            self._failed(error)
            return None
        self._kept = ""
        if self._credential_refused:  # mended: start afresh; identity is still to be proved
            self._credential_refused = self._refused = False
            self._failure, self._first_failure = None, None
            self._updated()
        return access

    async def _connected(self, access: Access) -> None:
        """Follow over one connection until the credential changes."""
        self._access = access
        client = ClusterClient(
            name=self.name,
            access=access,
            clock=self._clock,
            write_guard=self._write_guard,
            timings=self._timings.client,
            rng=self._rng,
        )
        observation = Observation(
            client=client,
            source=self.source,
            timings=self._timings,
            rng=self._rng,
            on_update=self._updated,
            on_replan=self._replan,
        )
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._supervise(client, observation, group)
                finally:
                    observation.stop()
        finally:
            if self._client is client:
                self._client = None
            await client.close()

    async def _supervise(
        self, client: ClusterClient, observation: Observation, group: asyncio.TaskGroup
    ) -> None:
        while True:
            wait = await self._probe(client)
            if self._refused:
                return  # another cluster: its content is not this member's
            if self._failure is None:
                self._client, self._observation = client, observation
                observation.replan(group)
            deadline = self._clock() + wait
            while (left := deadline - self._clock()) > 0:
                await self._pause(left)
                if not self._replan_wanted:
                    break
                self._replan_wanted = False
                if self._failure is None:
                    observation.replan(group)
            if self._resolve() != client.access:
                return

    async def _probe(self, client: ClusterClient) -> float:
        """Ask for the cluster's identity; returns seconds until the next probe."""
        try:
            uid = await client.cluster_uid(timeout_seconds=self._timings.probe_timeout)
        except WattshiftError as error:
            retry_after = error.retry_after_seconds if isinstance(error, ApiError) else None
            if isinstance(error, ApiError) and error.is_throttled and self._uid:
                self._contact()  # it answers, it is only busy
                return max(self._timings.probe_interval, retry_after or 0.0)
            self._failed(error)
            wait = self._timings.probe_backoff.wait(self._failures, self._rng)
            wait = max(wait, min(retry_after or 0.0, self._timings.probe_backoff.maximum))
            assert self._first_failure is not None
            until_lost = self._first_failure + self._timings.lost_after - self._clock()
            return min(wait, until_lost) if until_lost > 0 else wait
        expected = self.source.expected_uid or self._uid
        if expected and uid != expected:
            self._failed(
                ClusterIdentityChanged(
                    f"member {self.name} now leads to another cluster (kube-system uid {uid},"
                    f" recorded {expected}); restore its address, or rename the member"
                ),
                refused=True,
            )
            return self._timings.probe_backoff.wait(self._failures, self._rng)
        self._uid = uid
        self._contact()
        if not self._version:
            with suppress(WattshiftError):  # for people only
                self._version = await client.version()
        return self._timings.probe_interval

    # -- the state machine -------------------------------------------------------------

    def _contact(self) -> None:
        was_failing = self._failure is not None
        self._failure, self._failures, self._refused = None, 0, False
        if was_failing and self._observation is not None:
            self._observation.kick()
        self._updated()

    def _failed(self, error: WattshiftError, *, refused: bool = False) -> None:
        self._failures += 1
        if self._first_failure is None:
            self._first_failure = self._clock()  # kept over repeated failures
        self._failure, self._refused = error, refused
        self._updated()

    def _updated(self) -> None:
        """Content or health moved: remember how current it is, judge, tell."""
        self._dirty = True
        now = self._clock()
        observation = self._observation
        if observation is not None and observation.synced:
            self._synced_once = True
        if self._failure is None and observation is not None and observation.current:
            self._last_current = now
        self._judge(now)
        self._on_change(self.name)

    def _judge(self, now: float) -> tuple[str, str]:
        """Set state and `since`; returns reason and message."""
        state, failure = self._next_state(now)
        if state is not self._state:
            failing = state in (MemberState.DEGRADED, MemberState.LOST)
            self._since = (
                self._first_failure if failing and self._first_failure is not None else now
            )
            log.info(
                "member %s: %s -> %s",
                self.name,
                self._state,
                state,
                extra={
                    "reason": connection_reason(failure) if failure else str(state),
                    "cluster": self.name,
                },
            )
            self._state = state
        if failure is not None:
            return connection_reason(failure), str(failure)
        return (CONNECTED if state is MemberState.READY else CONNECTING), ""

    def _next_state(self, now: float) -> tuple[MemberState, WattshiftError | None]:
        observation = self._observation
        failure = self._failure
        if failure is None and observation is not None:
            failure = observation.failure
            if failure is None and observation.target_kinds_missing():
                failure = NeedsHuman("the role hides targets from us", reason="Forbidden")
        if failure is None:
            self._first_failure = None
            recent = (
                self._last_current is not None
                and now - self._last_current < self._timings.lost_after
            )
            live = observation is not None and not observation.stopped
            known = self._synced_once and (live or recent)
            return (MemberState.READY if known else MemberState.CONNECTING), None
        if self._first_failure is None:
            self._first_failure = now
        if self._refused:
            return MemberState.LOST, failure
        contact = self._failure is None
        if (
            not contact or not self._synced_once
        ) and now - self._first_failure >= self._timings.lost_after:
            return MemberState.LOST, failure
        return (MemberState.DEGRADED if self._synced_once else MemberState.CONNECTING), failure

    def _secret_changed(self, name: str) -> None:
        if name == self.source.secret_name:
            self._wake.set()

    def _replan(self) -> None:
        self._replan_wanted = True
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()
