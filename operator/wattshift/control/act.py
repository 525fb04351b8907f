"""Carries out decisions: intent recorded before each write, absolute targets, one act per workload.

Order of a first deviation: annotation and finalizer, the site's in-use finalizer, status, `/scale`.
It never decides and never retries: what failed or is unknown is seen and planned again. Neighbours:
`moves.py` (hand-overs), `release.py` (restoration), `actuators/` (the writes).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from wattshift.actuators.base import Actuator, Outcome, Result, ScaleOrder
from wattshift.control.clock import Clock
from wattshift.control.hub.finalizer import (
    ORIGINALS,
    RESTORE,
    hold_site,
    protect_workload,
    unprotect_workload,
)
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.store import Store
from wattshift.control.inputs.gather_workload import originals_of
from wattshift.control.inputs.world import Found, World
from wattshift.control.record.status import StatusBook
from wattshift.core.decision import Action, Decision
from wattshift.core.model import Mode, Original, PlacementState, Snapshot, WorkloadState
from wattshift.core.reasons import Reason
from wattshift.core.validate import validate
from wattshift.errors import WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.kube.pool import Pool

log = logging.getLogger(__name__)

Locate = Callable[[WorkloadState, PlacementState], Found | None]
"""Finds the target of a placement in the world as of now."""


ALREADY_SO = "already so"
"""Message of a decision that found nothing left to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What became of one decision; `result` is Done, Refused, Failed, NotActed or Started."""

    workload_key: str
    action: Action
    reason: str
    result: str
    message: str


class Actor:
    """The only writer of replicas."""

    def __init__(
        self,
        *,
        store: Store,
        book: StatusBook,
        hub: ClusterClient,
        pool: Pool,
        world: World,
        locate: Locate,
        clock: Clock,
        scale: Actuator,
    ) -> None:
        self._store = store
        self._book = book
        self._hub = hub
        self._pool = pool
        self._world = world
        self._locate = locate
        self._clock = clock
        self._scale = scale
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._behind: set[str] = set()
        """Workloads whose annotation still names an original that was conceded."""

    def lock(self, workload_key: str) -> asyncio.Lock:
        """One open act per workload: planner, governor, moves and releases share it."""
        return self._locks[workload_key]

    async def carry_out(self, decisions: Iterable[Decision], fresh: Snapshot) -> tuple[Acted, ...]:
        """Carry out all decisions against the fresh snapshot; one failure stops no other."""
        acting = [decision for decision in decisions if decision.action is not Action.HOLD]
        done = await asyncio.gather(*(self._guarded(decision, fresh) for decision in acting))
        return tuple(done)

    async def _guarded(self, decision: Decision, fresh: Snapshot) -> Acted:
        try:
            return await self._one(decision, fresh)
        except Exception as error:
            log.exception("act", extra={"object": decision.workload_key, "reason": "Bug"})
            words = f"a fault of ours: {type(error).__name__}"
            return _acted(decision, "Failed", Reason.WRITE_REFUSED, words)

    async def _one(self, decision: Decision, fresh: Snapshot) -> Acted:
        workload = find_workload(fresh, decision.workload_key)
        if workload is None:
            return _acted(decision, "Refused", Reason.STALE_PLAN, "the workload is gone")
        if workload.mode is not Mode.ENFORCE:
            reason = Reason.MODE_OBSERVE if workload.mode is Mode.OBSERVE else Reason.MODE_RECOMMEND
            return _acted(decision, "NotActed", reason, f"mode is {workload.mode}")
        refusal = validate(decision, fresh, fresh.grid_time)
        if refusal is not None:
            return _acted(decision, "Refused", refusal.reason, refusal.message)
        lock = self.lock(workload.key)
        if lock.locked():
            return _acted(decision, "Refused", Reason.MOVE_IN_PROGRESS, "another act is open")
        async with lock:
            if decision.urgent and workload.intent is not None:
                self._drop_move(workload)
            return await self._write_all(decision, workload)

    def _drop_move(self, workload: WorkloadState) -> None:
        """An urgent decision pre-empts an open hand-over, else the two would undo each other.

        Both placements keep what they have; the next plan starts from there. The record reaches
        status together with the intent of the first write.
        """
        key = ObjectKey.workload(workload.key)
        self._book.update(key, replace(self._book.workload(key), move=None))

    async def _write_all(self, decision: Decision, workload: WorkloadState) -> Acted:
        """Raises before lowers; lowers that go with raises wait for the next plan to see them.

        What is urgent does not: a bound that outranks latency is kept at once, whether a raise
        elsewhere succeeds or not.
        """
        ups, downs = _split(decision, workload)
        writes = [*ups, *downs] if decision.urgent else ups or downs
        failed = ""
        for placement, replicas in writes:
            outcome = await self.set_replicas(workload, placement, replicas)
            if outcome.result is Result.DONE:
                continue
            failed = failed or outcome.message
            if not decision.urgent:
                break
        if failed:
            return _acted(decision, "Failed", Reason.WRITE_REFUSED, failed)
        self._note_pause(decision, workload, raised=bool(ups))
        words = ", ".join(f"{placement.name} to {replicas}" for placement, replicas in writes)
        return _acted(decision, "Done", decision.reason, words or ALREADY_SO)

    async def set_replicas(
        self, workload: WorkloadState, placement: PlacementState, replicas: int
    ) -> Outcome:
        """Record the intent, write `/scale`, record the acknowledgement. Call under the lock."""
        found = self._locate(workload, placement)
        if found is None:
            message = f"{placement.name}: the target is not visible in its cluster"
            return Outcome(result=Result.REFUSED, message=message)
        if (
            placement.observed_replicas is not None
            and found.replicas != placement.observed_replicas
        ):
            message = (
                f"{placement.name} has {found.replicas} replicas by now, "
                f"not {placement.observed_replicas}"
            )
            return Outcome(result=Result.CONFLICT, message=message)
        key = ObjectKey.workload(workload.key)
        foreign = self._held_otherwise(key, workload, placement, found)
        if foreign:
            return Outcome(result=Result.REFUSED, message=foreign)
        previous = self._book.workload(key).placement(placement.name)
        self._world.begin_write(found.target.uid)
        try:
            await self._record_intent(key, workload, placement, found, replicas)
        except BaseException as error:
            self._world.end_write(found.target.uid, known=True)
            if not isinstance(error, WattshiftError):
                raise
            self._take_back(key, placement.name, previous.desired_replicas)
            return Outcome(result=Result.REFUSED, message=f"not recorded: {error.message}")
        order = ScaleOrder(
            target=found.target.key,
            target_uid=found.target.uid,
            observed_replicas=found.replicas,
            replicas=replicas,
        )
        known = False
        try:
            async with self._pool.acting(found.member_name) as client:
                outcome = await self._scale.carry_out(client, order)
            known = outcome.result is not Result.UNKNOWN
        except WattshiftError as error:
            known = True
            outcome = Outcome(result=Result.REFUSED, message=error.message)
        finally:
            self._world.end_write(found.target.uid, known=known)
        await self._record_outcome(key, placement.name, previous.desired_replicas, found, outcome)
        log.info(
            outcome.message,
            extra={
                "reason": outcome.result.value,
                "object": str(key),
                "cluster": found.member_name,
                "placement": placement.name,
                "replicas": replicas,
            },
        )
        return outcome

    def _held_otherwise(
        self, key: ObjectKey, workload: WorkloadState, placement: PlacementState, found: Found
    ) -> str:
        """Why the count of this target may not be written, if its original is not this placement's.

        A name that points to another target by now still owes the former one its count; a target
        that another object holds stands off what was found, so it must not be captured again.
        """
        mine = (*self._book.workload(key).originals, *workload.originals)
        if any(
            row.placement_name == placement.name and row.target_uid != found.target.uid
            for row in mine
        ):
            return f"{placement.name}: its former target is to be given back first"
        for stored in self._store.workloads():
            if stored.key == key:
                continue
            originals, _ = originals_of(stored, self._book.workload(stored.key))
            if any(row.target_uid == found.target.uid for row in originals):
                return (
                    f"{placement.name}: its target is held by {stored.key.path}: release that first"
                )
        return ""

    async def _record_intent(
        self,
        key: ObjectKey,
        workload: WorkloadState,
        placement: PlacementState,
        found: Found,
        replicas: int,
    ) -> None:
        record = self._book.workload(key)
        # NB: where status was lost the annotation still knows; what it knows is never recaptured.
        known = {row.placement_name for row in record.originals}
        originals = (
            *record.originals,
            *(row for row in workload.originals if row.placement_name not in known),
        )
        missing = all(row.placement_name != placement.name for row in originals)
        if missing:
            captured = Original(
                placement_name=placement.name,
                cluster_uid=found.cluster_uid,
                target_uid=found.target.uid,
                replicas=found.replicas,
                captured_time=self._clock.grid(),
            )
            originals = (*originals, captured)
        originals = tuple(sorted(originals, key=lambda row: row.placement_name))
        if missing or not (workload.deleting or self._is_protected(key)):
            await self._protect(key, workload.uid, originals)
            await self._hold_site(placement.site_name)
        row = replace(
            record.placement(placement.name),
            desired_replicas=replicas,
            target_uid=found.target.uid,
            cluster_uid=found.cluster_uid,
        )
        self._book.update(
            key, replace(record, originals=originals, placements=record.with_placement(row))
        )
        await self._book.persist_now(key)

    async def _protect(self, key: ObjectKey, uid: str, originals: tuple[Original, ...]) -> None:
        """Finalizer and annotation; the store learns of it at once, not when the watch does."""
        body = await protect_workload(self._hub, key, uid=uid, originals=originals)
        self._store.put(key.kind, body)

    def _is_protected(self, key: ObjectKey) -> bool:
        stored = self._store.get(key)
        return (
            stored is not None and RESTORE in stored.finalizers and ORIGINALS in stored.annotations
        )

    def _take_back(self, key: ObjectKey, placement_name: str, desired: int | None) -> None:
        """Nothing was sent, so nothing is wanted: a later write of status must not say so."""
        record = self._book.workload(key)
        row = replace(record.placement(placement_name), desired_replicas=desired)
        self._book.update(key, replace(record, placements=record.with_placement(row)))

    async def rewrite_originals(self, workload_key: str) -> None:
        """Bring the annotation up to the record after a placement was left to its other writer.

        It is tried again by `catch_up` until the two copies agree: meanwhile they are in doubt.
        """
        self._behind.add(workload_key)
        await self.catch_up()

    async def catch_up(self) -> None:
        """Rewrite the annotations that are behind their record; nothing held, nothing annotated."""
        for workload_key in sorted(self._behind):
            key = ObjectKey.workload(workload_key)
            record, stored = self._book.workload(key), self._store.get(key)
            try:
                if stored is not None and record.originals:
                    await self._protect(key, stored.uid, record.originals)
                elif stored is not None:
                    body = await unprotect_workload(self._hub, key, uid=stored.uid)
                    if body is not None:
                        self._store.put(key.kind, body)
                self._behind.discard(workload_key)
                if stored is not None:
                    await self._book.persist_now(key)
            except WattshiftError as error:
                log.warning(
                    "originals not rewritten: %s", error.message, extra={"object": str(key)}
                )

    async def _hold_site(self, site_name: str) -> None:
        key = ObjectKey.site(site_name)
        stored = self._store.get(key)
        if stored is not None:
            body = await hold_site(self._hub, key, uid=stored.uid)
            self._store.put(key.kind, body)

    async def _record_outcome(
        self,
        key: ObjectKey,
        placement_name: str,
        desired_before: int | None,
        found: Found,
        outcome: Outcome,
    ) -> None:
        """After UNKNOWN the desired count stays on record: the write may have landed."""
        if outcome.result is Result.UNKNOWN:
            return
        record = self._book.workload(key)
        row = record.placement(placement_name)
        if outcome.result is Result.DONE and outcome.replicas is not None:
            self._world.acknowledge(
                found.target.uid, before=found.replicas, replicas=outcome.replicas
            )
            now = self._clock.grid()
            row = replace(row, last_written_replicas=outcome.replicas, last_write_time=now)
            record = replace(record, last_change_time=now)
        else:
            row = replace(row, desired_replicas=desired_before)
        self._book.update(key, replace(record, placements=record.with_placement(row)))
        try:
            await self._book.persist_now(key)
        except WattshiftError as error:
            # The write stands; status follows with the next composition.
            log.warning("status not written: %s", error.message, extra={"object": str(key)})

    def _note_pause(self, decision: Decision, workload: WorkloadState, *, raised: bool) -> None:
        key = ObjectKey.workload(workload.key)
        record = self._book.workload(key)
        if decision.action is Action.PAUSE and record.paused_since_time is None:
            self._book.update(key, replace(record, paused_since_time=self._clock.grid()))
        elif (
            decision.action is not Action.PAUSE and record.paused_since_time is not None and raised
        ):
            self._book.update(key, replace(record, paused_since_time=None))


def find_workload(snapshot: Snapshot, workload_key: str) -> WorkloadState | None:
    """The workload of a key."""
    for workload in snapshot.workloads:
        if workload.key == workload_key:
            return workload
    return None


def _split(
    decision: Decision, workload: WorkloadState
) -> tuple[list[tuple[PlacementState, int]], list[tuple[PlacementState, int]]]:
    ups: list[tuple[PlacementState, int]] = []
    downs: list[tuple[PlacementState, int]] = []
    for placement in workload.placements:
        wanted = decision.replicas_of(placement.name)
        if wanted is None or placement.observed_replicas in (None, wanted):
            continue
        assert placement.observed_replicas is not None
        (ups if wanted > placement.observed_replicas else downs).append((placement, wanted))
    return ups, downs


def _acted(decision: Decision, result: str, reason: Reason, message: str) -> Acted:
    return Acted(
        workload_key=decision.workload_key,
        action=decision.action,
        reason=str(reason),
        result=result,
        message=message,
    )
