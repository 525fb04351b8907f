"""Gives workloads back as found: on deletion, a Release override, or when nothing deviates any more.

Every tick takes each due workload one step (`core/restore.py`); finalizers and originals go when
nothing is left to restore, and the site's in-use finalizer when no placement there deviates.
After the release deadline what cannot be reached is let go, with a Warning event.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from wattshift.actuators.base import Result
from wattshift.control.act import Actor
from wattshift.control.acting.moves import member_phases
from wattshift.control.clock import Clock
from wattshift.control.hub.finalizer import (
    IN_USE,
    ORIGINALS,
    RESTORE,
    hold_site,
    let_go_of_site,
    unprotect_workload,
)
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.store import Store
from wattshift.control.inputs.gather_workload import originals_of
from wattshift.control.record.records import PlacementRecord, WorkloadRecord
from wattshift.control.record.status import StatusBook
from wattshift.core.model import MemberPhase, Mode, OverrideMode, Snapshot, WorkloadState
from wattshift.core.reasons import Reason
from wattshift.core.restore import RestoreStep, deviates, held_placements, restore_step
from wattshift.errors import WattshiftError
from wattshift.kube.client import ClusterClient

log = logging.getLogger(__name__)

DEFAULT_DEADLINE_SECONDS = 1800
"""`spec.release.deadlineSeconds` when absent; wall seconds."""
TRY_SECONDS = 120.0
"""What a process that just began tries for, though the deadline passed while nobody ran."""
GONE_SECONDS = 30.0
"""How long a connected cluster has not shown a target before that counts as gone, not as a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What a tick did for one workload."""

    workload_key: str
    step: RestoreStep
    finished: bool
    orphaned: bool
    """The deadline passed: something was left as it is."""


class Releaser:
    """Restores, and takes our finalizers away."""

    def __init__(
        self, *, actor: Actor, store: Store, book: StatusBook, hub: ClusterClient, clock: Clock
    ) -> None:
        self._actor = actor
        self._store = store
        self._book = book
        self._hub = hub
        self._clock = clock
        self._begun = clock.steady()
        self._absent: dict[tuple[str, str], float] = {}
        """(workload, placement): wall time since which its target is not shown."""

    async def advance(self, snapshot: Snapshot) -> tuple[Released, ...]:
        """One step for every workload that is to be given back."""
        released: list[Released] = []
        for workload in snapshot.workloads:
            if not is_due(workload) or (workload.deleting and not self._held(workload)):
                self._withdraw(workload)
                continue
            lock = self._actor.lock(workload.key)
            if lock.locked():
                continue
            async with lock:
                try:
                    step = await self._advance_one(workload, snapshot)
                except WattshiftError as error:
                    log.warning("release: %s", error.message, extra={"object": workload.key})
                except Exception:  # one workload's trouble stops no other
                    log.exception("release", extra={"object": workload.key, "reason": "Bug"})
                else:
                    released += [step] if step is not None else []
        await self._keep_sites(snapshot)
        return tuple(released)

    async def _advance_one(self, workload: WorkloadState, snapshot: Snapshot) -> Released | None:
        key = ObjectKey.workload(workload.key)
        record = self._book.workload(key)
        if _moved_on(workload, record):
            return None
        now = self._clock.steady()
        started = record.release_started_utc
        if started is None or started > now or record.move is not None:
            # NB: a move ends where it stands; restoring knows the way back from anywhere.
            started = now if started is None else min(started, now)
            record = replace(record, release_started_utc=started, move=None)
            self._book.update(key, record)
            if not self._is_gone(workload):
                await self._book.persist_now(key)
        policy, deadline = self._policy(key)
        if policy == "Orphan" and asked_for(workload):
            step = RestoreStep(
                writes=(), done=True, reason=Reason.RELEASED, message="left as it is: type Orphan"
            )
            await self._finish(workload, key)
            return Released(workload_key=workload.key, step=step, finished=True, orphaned=False)
        tried = now - self._begun > min(deadline, TRY_SECONDS)
        step = restore_step(
            workload,
            member_phases(snapshot),
            expired=tried and now - started > deadline,
            gone=self._gone(workload, snapshot),
        )
        failed = False
        for target in step.writes:
            placement = next(
                p for p in held_placements(workload) if p.name == target.placement_name
            )
            outcome = await self._actor.set_replicas(workload, placement, target.replicas)
            if outcome.result is not Result.DONE:
                failed = True
                log.warning(
                    "restore of %s: %s",
                    target.placement_name,
                    outcome.message,
                    extra={"object": workload.key, "reason": str(step.reason)},
                )
        if not step.done:
            return Released(workload_key=workload.key, step=step, finished=False, orphaned=False)
        orphaned = failed or step.reason is Reason.RESTORE_TIMED_OUT
        orphaned = orphaned or (step.reason is Reason.ORIGINALS_UNKNOWN)
        if step.reason is Reason.RESTORE_TIMED_OUT and not asked_for(workload):
            await self._give_up_orphans(workload, key)
        else:
            await self._finish(workload, key)
        return Released(workload_key=workload.key, step=step, finished=True, orphaned=orphaned)

    async def _finish(self, workload: WorkloadState, key: ObjectKey) -> None:
        """Finalizer and annotation in one request, then status: the annotation is the older copy."""
        body = await unprotect_workload(self._hub, key, uid=workload.uid)
        if workload.deleting or body is None:
            return
        self._store.put(key.kind, body)
        record = self._book.workload(key)
        self._book.update(
            key,
            replace(
                record,
                originals=(),
                move=None,
                release_started_utc=None,
                paused_since_time=None,
                placements=tuple(
                    PlacementRecord(name=row.name, target_uid=row.target_uid)
                    for row in record.placements
                ),
            ),
        )
        await self._book.persist_now(key)

    async def _give_up_orphans(self, workload: WorkloadState, key: ObjectKey) -> None:
        """What left the spec cannot be reached: that alone is let go, the rest stays held."""
        names = {row.name for row in workload.orphans}
        record = self._book.workload(key)
        rows = tuple(
            PlacementRecord(name=row.name) if row.name in names else row
            for row in record.placements
        )
        kept = tuple(row for row in record.originals if row.placement_name not in names)
        self._book.update(
            key, replace(record, originals=kept, placements=rows, release_started_utc=None)
        )
        await self._actor.rewrite_originals(workload.key)

    def _withdraw(self, workload: WorkloadState) -> None:
        """Nobody asks any more: the next release has its whole deadline."""
        key = ObjectKey.workload(workload.key)
        record = self._book.workload(key)
        if record.release_started_utc is not None:
            self._book.update(key, replace(record, release_started_utc=None))

    def _gone(self, workload: WorkloadState, snapshot: Snapshot) -> frozenset[str]:
        """Held targets that do not exist any more, or whose owner took the opt-in label away.

        Only where the cluster itself is connected and has not shown them for a while. Of what left
        the spec this is not said: its kind may not be watched any more.
        """
        ready = {
            member.uid
            for site in snapshot.sites
            for member in site.members
            if member.phase is MemberPhase.READY
        }
        clusters = {row.placement_name: row.cluster_uid for row in workload.originals}
        found = set()
        for placement in held_placements(workload):
            if placement in workload.orphans:
                continue
            identity = (workload.key, placement.name)
            if placement.target_found or clusters.get(placement.name) not in ready:
                self._absent.pop(identity, None)
            elif snapshot.wall_time - self._absent.setdefault(identity, snapshot.wall_time) >= (
                GONE_SECONDS
            ):
                found.add(placement.name)
        return frozenset(found)

    def _policy(self, key: ObjectKey) -> tuple[str, float]:
        stored = self._store.get(key)
        release = stored.document.get("release") if stored is not None else None
        if not isinstance(release, dict):
            return "Restore", DEFAULT_DEADLINE_SECONDS
        deadline = release.get("deadlineSeconds") or DEFAULT_DEADLINE_SECONDS
        return str(release.get("type") or "Restore"), float(deadline)

    def _is_gone(self, workload: WorkloadState) -> bool:
        return self._store.get(ObjectKey.workload(workload.key)) is None

    async def _keep_sites(self, snapshot: Snapshot) -> None:
        """The in-use finalizer is where something is held, and nowhere else.

        An act that was cut off, or somebody who replaced the object, may have left a site without.
        """
        in_use = self._sites_in_use(snapshot)
        if in_use is None:
            return
        for stored in self._store.sites():
            used, held = stored.key.name in in_use, IN_USE in stored.finalizers
            if used == held or (used and stored.deleting):
                continue
            try:
                if used:
                    body = await hold_site(self._hub, stored.key, uid=stored.uid)
                    self._store.put(stored.key.kind, body)
                else:
                    await let_go_of_site(self._hub, stored.key, uid=stored.uid)
            except WattshiftError as error:
                log.warning("site: %s", error.message, extra={"object": str(stored.key)})

    def _sites_in_use(self, snapshot: Snapshot) -> set[str] | None:
        """Sites at which something is held; None while it is not known where.

        By the book and the annotations as of now, not by the snapshot: an act may have captured an
        original since, and its site is held for it.
        """
        orphans = {
            (workload.key, row.name): row.site_name
            for workload in snapshot.workloads
            for row in workload.orphans
        }
        found: set[str] = set()
        for stored in self._store.workloads():
            captured, agree = originals_of(stored, self._book.workload(stored.key))
            if not agree:
                return None
            places = {
                row["name"]: row["siteName"] for row in stored.document.get("placements") or ()
            }
            for row in captured:
                name = row.placement_name
                site = orphans.get((stored.key.path, name)) or places.get(name)
                if not site:
                    return None
                found.add(site)
                found.update([places[name]] if name in places else [])
        return found

    def _held(self, workload: WorkloadState) -> bool:
        return bool(workload.originals) or self._protected(workload)

    def _protected(self, workload: WorkloadState) -> bool:
        stored = self._store.get(ObjectKey.workload(workload.key))
        return stored is not None and (
            RESTORE in stored.finalizers or ORIGINALS in stored.annotations
        )


def _moved_on(workload: WorkloadState, record: WorkloadRecord) -> bool:
    """Whether an act was recorded since the snapshot: what it captured must not be dropped."""
    for placement in held_placements(workload):
        row = record.placement(placement.name)
        seen = (placement.desired_replicas, placement.last_written_replicas)
        if (row.desired_replicas, row.last_written_replicas) != seen:
            return True
    return False


def asked_for(workload: WorkloadState) -> bool:
    """Whether somebody wants the workload back: by deletion or by a Release override."""
    override = workload.override
    return workload.deleting or (override is not None and override.mode is OverrideMode.RELEASE)


def is_due(workload: WorkloadState) -> bool:
    """Whether a workload is to be given back now.

    Deletion and a Release override ask for it, and so does a placement that left the spec while its
    target deviates. Without a deviation the finalizer goes as well, so that an operator that is down
    later cannot block a deletion; a pending move keeps it.
    """
    if workload.deleting:
        return True
    if not workload.originals and workload.originals_known:
        return False
    if asked_for(workload):
        return True
    if not workload.originals_known or workload.mode is not Mode.ENFORCE:
        return False
    if workload.orphans:
        return True
    return workload.intent is None and not deviates(workload)
