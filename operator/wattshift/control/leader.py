"""One leader by a `coordination.k8s.io/v1` Lease, and the fence in front of every write.

A standby takes over when the record has not changed for its duration *as observed here* on the
monotonic clock; wall-clock times in the record are for people. On loss nothing is released: `on_lost`
ends the process (`kubernetes.md` 2.4, 12). Neighbours: `app.py` wires it, `kube/transport.py` asks `fence`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wattshift.errors import FenceLost, NeedsHuman, WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import LEASES, Json
from wattshift.kube.transport import ClientTimings

log = logging.getLogger(__name__)
_JITTER = 0.2
CLIENT_TIMINGS = ClientTimings(connect=3.0, read=5.0, write=5.0, attempts=1)
"""For the elector's own client: it retries by itself, and must know soon that it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """Seconds; lease > renew deadline > 1.2 x retry, as in client-go, and lease > fence margin."""

    lease: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    fence_margin: float = 5.0
    """Longest time a write may take after it was let through."""

    def __post_init__(self) -> None:
        """Refuse timings under which two leaders, or none, could act."""
        if not self.lease >= 1.0:
            raise NeedsHuman("lease duration must be at least 1 s", reason="LeaseTimingsInvalid")
        if not self.lease > self.renew_deadline > self.retry * (1 + _JITTER) > 0:
            raise NeedsHuman(
                "lease duration must exceed the renew deadline, and that 1.2 times the retry period",
                reason="LeaseTimingsInvalid",
            )
        if not self.lease - self.retry * (1 + _JITTER) > self.fence_margin > 0:
            raise NeedsHuman(
                "lease duration must exceed fence margin plus 1.2 retry periods, else nothing may act",
                reason="LeaseTimingsInvalid",
            )


class Elector:
    """Candidate for, or holder of, one Lease.

    Args:
        client: its own client, *without* a write guard.
        namespace: of the Lease.
        name: of the Lease.
        identity: unique per process start (pod name plus a random suffix).
        clock: monotonic seconds.
        epoch: epoch seconds, only written into the record for people.
        on_lost: called once when leadership ends without `release`; should end the process.
        on_acquired: called once when leadership begins.
    """

    def __init__(
        self,
        *,
        client: ClusterClient,
        namespace: str,
        identity: str,
        clock: Callable[[], float],
        epoch: Callable[[], float],
        on_lost: Callable[[str], None],
        on_acquired: Callable[[], None] | None = None,
        name: str = "wattshift",
        timings: LeaseTimings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.identity = identity
        self.timings = timings or LeaseTimings()
        self.failure: WattshiftError | None = None
        """Why the last attempt failed; None after a good one."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._epoch = epoch
        self._on_lost = on_lost
        self._on_acquired = on_acquired
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._lock = asyncio.Lock()
        self._acquired = asyncio.Event()
        self._released = False
        self._record: Json = {}
        self._resource_version = ""
        self._observed_at = -math.inf
        self._valid_until = -math.inf
        self._last_contact = -math.inf

    # -- what others ask ---------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Whether the lease is held and not expired by our own clock."""
        return self._clock() < self._valid_until

    @property
    def holder(self) -> str:
        """Last observed holder identity; empty if none."""
        return str(self._record.get("holderIdentity") or "")

    @property
    def valid_until(self) -> float:
        """Monotonic time at which others may take the lease; -inf while not leading."""
        return self._valid_until

    def fence(self) -> None:
        """Let a write pass only if it ends before anybody else may lead.

        Raises:
            FenceLost: the lease does not outlive now + fence_margin.
        """
        remaining = self._valid_until - self._clock()
        if remaining < self.timings.fence_margin:
            state = f"valid for {remaining:.1f} s more" if math.isfinite(remaining) else "not held"
            raise FenceLost(f"lease {self._namespace}/{self._name} is {state}: nothing is written")

    def healthy(self) -> bool:
        """Readiness of a standby: the Lease was read or renewed within one lease duration."""
        return self._clock() - self._last_contact <= self.timings.lease

    async def wait_acquired(self) -> None:
        """Return once this process leads."""
        await self._acquired.wait()

    # -- life --------------------------------------------------------------------------

    async def run(self) -> None:
        """Acquire, then renew, until cancelled, released, or lost (calls `on_lost`, returns)."""
        while True:
            held = await self._step()
            if self._released:
                return
            if held:
                break
            await asyncio.sleep(self._candidate_wait())
        log.info("leading", extra={"reason": "LeaseAcquired", "identity": self.identity})
        self._acquired.set()
        if self._on_acquired:
            self._on_acquired()
        lost_because = await self._renew_until_lost()
        if lost_because and not self._released:
            self._valid_until = -math.inf
            log.error("lost", extra={"reason": "LeaseLost", "identity": self.identity})
            self._on_lost(lost_because)

    async def release(self) -> None:
        """On SIGTERM, after the last write: empty holder, duration 1 s. Then `fence` refuses.

        Never raises: a lease that cannot be released runs out by itself.
        """
        self._released = True
        was_leader = self.is_leader
        self._valid_until = -math.inf
        async with self._lock:
            # Again: a renewal that was under way when we came may have succeeded.
            self._valid_until = -math.inf
            if not was_leader:
                return
            record = {**self._record, "holderIdentity": "", "leaseDurationSeconds": 1}
            record["renewTime"] = self._micro_time()
            try:
                async with asyncio.timeout(self.timings.renew_deadline):
                    await self._client.replace(LEASES, self._lease(record))
            except (WattshiftError, TimeoutError) as error:
                log.warning("lease not released: %s", error, extra={"reason": "LeaseNotReleased"})

    async def _renew_until_lost(self) -> str:
        """Renew until released (empty answer), or return why leadership ended."""
        while not self._released:
            await asyncio.sleep(self.timings.retry)
            deadline = self._valid_until - self.timings.lease + self.timings.renew_deadline
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock())):
                    held = await self._step()
            except TimeoutError:
                held = False
            if self._released:
                break
            if held:
                continue
            if self.holder and self.holder != self.identity:
                return f"taken by {self.holder}"
            if self._clock() >= deadline:
                return f"not renewed within {self.timings.renew_deadline:g} s: {self.failure}"
        return ""

    async def _step(self) -> bool:
        """One attempt to acquire or renew; True if we hold the lease after it."""
        async with self._lock:
            if self._released:
                return False
            try:
                held = await self._acquire_or_renew()
            except WattshiftError as error:
                self.failure = error
                return False
            self.failure = None
            self._last_contact = self._clock()
            return held

    async def _acquire_or_renew(self) -> bool:
        leading = math.isfinite(self._valid_until)
        if leading:
            try:
                return await self._write()  # the usual renewal: one request
            except ApiError as error:
                if not (error.is_conflict or error.is_not_found):
                    raise
        try:
            self._observe(await self._client.get(LEASES, self._name, namespace=self._namespace))
        except ApiError as error:
            if not error.is_not_found:
                raise
            self._record, self._resource_version = {}, ""
        if self.holder not in ("", self.identity) and self._clock() < self._expires_at():
            return False
        try:
            return await self._write()
        except ApiError as error:
            if error.is_conflict or error.is_already_exists:
                return False  # lost the race; observed again at the next attempt
            raise

    async def _write(self) -> bool:
        """Write our record; valid from *before* the request was sent."""
        sent_at = self._clock()
        now = self._micro_time()
        renewing = self.holder == self.identity
        changes_hands = bool(self._record) and not renewing
        record: Json = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self.timings.lease),
            "acquireTime": self._record.get("acquireTime", now) if renewing else now,
            "renewTime": now,
            "leaseTransitions": int(self._record.get("leaseTransitions") or 0) + changes_hands,
        }
        if self._resource_version:
            answer = await self._client.replace(LEASES, self._lease(record))
        else:
            answer = await self._client.create(
                LEASES, self._lease(record), namespace=self._namespace
            )
        self._observe(answer)
        self._valid_until = sent_at + self.timings.lease
        return True

    def _observe(self, lease: Json) -> None:
        record = dict(lease.get("spec") or {})
        self._resource_version = str((lease.get("metadata") or {}).get("resourceVersion") or "")
        if record != self._record:
            self._record = record
            self._observed_at = self._clock()

    def _expires_at(self) -> float:
        duration = max(1, int(self._record.get("leaseDurationSeconds") or self.timings.lease))
        return self._observed_at + duration

    def _candidate_wait(self) -> float:
        """Retry period with jitter, but awake when the record runs out."""
        wait = self.timings.retry * (1 + self._rng.uniform(0, _JITTER))
        left = self._expires_at() - self._clock() if self.holder else 0.0
        return min(wait, left + self._rng.uniform(0.05, _JITTER)) if left > 0 else wait

    def _lease(self, record: Json) -> Json:
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if self._resource_version:
            metadata["resourceVersion"] = self._resource_version
        return {"metadata": metadata, "spec": record}

    def _micro_time(self) -> str:
        now = datetime.fromtimestamp(self._epoch(), UTC)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
