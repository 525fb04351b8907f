"""Hand-overs: begins one from a decision, and takes each open one a step further every tick.

The position comes from `core/handover.next_step`; this file gathers its evidence and carries out
the one write it asks for. The intent is in status before the first write, so a restart resumes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from wattshift.actuators.base import Result
from wattshift.actuators.warm import WarmBook
from wattshift.control.act import Acted, Actor, Locate, find_workload
from wattshift.control.clock import Clock
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.inputs.gather_workload import move_day
from wattshift.control.record.records import MoveRecord, PlacementRecord, WorkloadRecord
from wattshift.control.record.status import StatusBook
from wattshift.core.decision import Action, Decision
from wattshift.core.handover import HandoverView, NextStep, Step, next_step
from wattshift.core.model import (
    MemberPhase,
    Mode,
    MoveIntent,
    PlacementState,
    Snapshot,
    WorkloadState,
)
from wattshift.core.reasons import Reason
from wattshift.core.survey.need import Needed
from wattshift.core.validate import validate
from wattshift.errors import WattshiftError

log = logging.getLogger(__name__)

EXTRA_DEADLINE_SECONDS = 120
"""Beyond the destination's cold start: probes, traffic, drain."""


class Need(Protocol):
    """What the present load of a workload needs (`core/survey/need.py`)."""

    def __call__(self, workload: WorkloadState, snapshot: Snapshot) -> Needed:
        """Capacity over all placements."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a tick did to an open hand-over."""

    workload_key: str
    step: NextStep
    result: str
    """`Done`, `Failed`, `Waiting`, `Finished`, `Aborted`."""
    message: str


class Mover:
    """Begins and advances hand-overs."""

    def __init__(
        self,
        *,
        actor: Actor,
        book: StatusBook,
        warm: WarmBook,
        locate: Locate,
        need: Need,
        clock: Clock,
    ) -> None:
        self._actor = actor
        self._book = book
        self._warm = warm
        self._locate = locate
        self._need = need
        self._clock = clock
        self._started_utc = clock.steady()

    async def begin(self, decision: Decision, fresh: Snapshot) -> Acted:
        """Record the intent of a Migrate decision; the first write follows in `advance`."""
        try:
            return await self._begin(decision, fresh)
        except Exception as error:  # one decision's trouble stops no other
            log.exception("hand-over", extra={"object": decision.workload_key, "reason": "Bug"})
            words = f"a fault of ours: {type(error).__name__}"
            return replace(_refused(decision, Reason.WRITE_REFUSED, words), result="Failed")

    async def _begin(self, decision: Decision, fresh: Snapshot) -> Acted:
        workload = find_workload(fresh, decision.workload_key)
        if workload is None:
            return _refused(decision, Reason.STALE_PLAN, "the workload is gone")
        if workload.mode is not Mode.ENFORCE:
            reason = Reason.MODE_OBSERVE if workload.mode is Mode.OBSERVE else Reason.MODE_RECOMMEND
            return replace(
                _refused(decision, reason, f"mode is {workload.mode}"), result="NotActed"
            )
        refusal = validate(decision, fresh, fresh.grid_time)
        if refusal is not None:
            return _refused(decision, refusal.reason, refusal.message)
        places = {placement.name: placement for placement in workload.placements}
        source = places.get(decision.source_name)
        destination = places.get(decision.destination_name)
        if source is None or destination is None:
            return _refused(decision, Reason.STALE_PLAN, "source or destination left the spec")
        intent = self._intent(decision, source, destination, fresh)
        if intent is None:
            return _refused(decision, Reason.TARGET_NOT_FOUND, "a count is unknown")
        lock = self._actor.lock(workload.key)
        if lock.locked() or workload.intent is not None:
            return _refused(decision, Reason.MOVE_IN_PROGRESS, "another act is open")
        async with lock:
            key = ObjectKey.workload(workload.key)
            record = self._book.workload(key)
            if record.move is not None:
                return _refused(decision, Reason.MOVE_IN_PROGRESS, "another hand-over is open")
            self._book.update(
                key,
                replace(
                    _counted(record, self._clock.grid()),
                    placements=self._identified(workload, record, source, destination),
                    move=MoveRecord.from_intent(intent, self._clock.steady()),
                ),
            )
            try:
                await self._book.persist_now(key)
            except WattshiftError as error:
                self._book.update(key, record)
                return _refused(decision, Reason.WRITE_REFUSED, f"not recorded: {error.message}")
        return Acted(
            workload_key=workload.key,
            action=Action.MIGRATE,
            reason=str(decision.reason),
            result="Started",
            message=f"hand over from {source.name} to {destination.name}",
        )

    def _identified(
        self, workload: WorkloadState, record: WorkloadRecord, *sides: PlacementState
    ) -> tuple[PlacementRecord, ...]:
        """Rows of a record with the targets that both sides have now: the counts are theirs."""
        for side in sides:
            found = self._locate(workload, side)
            if found is not None:
                row = replace(
                    record.placement(side.name),
                    target_uid=found.target.uid,
                    cluster_uid=found.cluster_uid,
                )
                record = replace(record, placements=record.with_placement(row))
        return record.placements

    def _points_elsewhere(
        self, workload: WorkloadState, intent: MoveIntent, record: WorkloadRecord
    ) -> bool:
        """Whether a side has another target than when the hand-over began: its counts are no order."""
        for placement in workload.placements:
            if placement.name not in (intent.source_name, intent.destination_name):
                continue
            found, known = self._locate(workload, placement), record.placement(placement.name)
            if found is not None and known.target_uid not in ("", found.target.uid):
                return True
        return False

    def _intent(
        self,
        decision: Decision,
        source: PlacementState,
        destination: PlacementState,
        fresh: Snapshot,
    ) -> MoveIntent | None:
        source_target = decision.replicas_of(source.name)
        destination_target = decision.replicas_of(destination.name)
        if None in (
            source_target,
            destination_target,
            source.observed_replicas,
            destination.observed_replicas,
        ):
            return None
        assert source_target is not None
        assert destination_target is not None
        assert source.observed_replicas is not None
        assert destination.observed_replicas is not None
        now = self._clock.grid()
        return MoveIntent(
            id=f"{decision.workload_key.replace('/', '.')}-{int(now)}",
            source_name=source.name,
            destination_name=destination.name,
            source_before=source.observed_replicas,
            destination_before=destination.observed_replicas,
            source_replicas=source_target,
            destination_replicas=destination_target,
            started_time=now,
            deadline_wall_seconds=_patience_seconds(destination.profile_name, fresh),
            reason=str(decision.reason),
        )

    async def advance(self, snapshot: Snapshot) -> tuple[Moved, ...]:
        """Take every open hand-over one step further."""
        moved: list[Moved] = []
        open_pods: set[str] = set()
        for workload in snapshot.workloads:
            if workload.intent is None:
                continue
            lock = self._actor.lock(workload.key)
            if lock.locked():
                continue
            async with lock:
                try:
                    result = await self._advance_one(workload, snapshot, open_pods)
                except WattshiftError as error:  # one workload's trouble stops no other
                    log.warning("hand-over: %s", error.message, extra={"object": workload.key})
                    continue
                except Exception:
                    log.exception("hand-over", extra={"object": workload.key, "reason": "Bug"})
                    continue
            if result is not None:
                moved.append(result)
        self._warm.forget(open_pods)
        return tuple(moved)

    async def _advance_one(
        self, workload: WorkloadState, snapshot: Snapshot, open_pods: set[str]
    ) -> Moved | None:
        key = ObjectKey.workload(workload.key)
        record = self._book.workload(key)
        intent = workload.intent
        if intent is None or record.move is None or record.move.id != intent.id:
            return None
        if workload.mode is not Mode.ENFORCE and not workload.deleting:
            return None
        view = None
        if not self._points_elsewhere(workload, intent, record):
            view = self._view(workload, intent, snapshot, open_pods)
        if view is None:
            await self._finish(key)
            return None
        if self._restart_deadline(key, record, view.destination.profile_name, snapshot):
            return None
        step = next_step(view)
        if step.step in (Step.GIVE_BACK_SOURCE, Step.GIVE_BACK_DESTINATION, Step.ABORTED):
            record = await self._abort(key, record)
        if step.step in (Step.DONE, Step.ABORTED):
            await self._finish(key)
            result = "Finished" if step.step is Step.DONE else "Aborted"
            return Moved(workload_key=workload.key, step=step, result=result, message=step.message)
        if step.replicas is None:
            return Moved(
                workload_key=workload.key, step=step, result="Waiting", message=step.message
            )
        placement = next(p for p in workload.placements if p.name == step.placement_name)
        outcome = await self._actor.set_replicas(workload, placement, step.replicas)
        result = "Done" if outcome.result is Result.DONE else "Failed"
        message = step.message if result == "Done" else outcome.message
        return Moved(workload_key=workload.key, step=step, result=result, message=message)

    def _view(
        self,
        workload: WorkloadState,
        intent: MoveIntent,
        snapshot: Snapshot,
        open_pods: set[str],
    ) -> HandoverView | None:
        places = {placement.name: placement for placement in workload.placements}
        source = places.get(intent.source_name)
        destination = places.get(intent.destination_name)
        if source is None or destination is None:
            return None
        phases = member_phases(snapshot)
        found = self._locate(workload, destination)
        pods = tuple(pod for pod in (found.pods or ()) if not pod.terminating) if found else ()
        open_pods.update(pod.uid for pod in pods)
        self._warm.probe(pods, workload.objectives)
        if destination.engine is not None:
            self._warm.observe(destination.engine.pods)
        need = self._need(workload, snapshot)
        elsewhere = sum(
            (placement.in_service_replicas or 0) * need.of(placement.name)
            for placement in workload.placements
            if placement.name not in (intent.source_name, intent.destination_name)
        )
        return HandoverView(
            intent=intent,
            source=source,
            destination=destination,
            source_member=phases.get((source.site_name, source.cluster_name), MemberPhase.LOST),
            destination_member=phases.get(
                (destination.site_name, destination.cluster_name), MemberPhase.LOST
            ),
            pods=self._warm.evidence(pods),
            demand=_demand(workload, snapshot),
            needed_capacity=need.capacity,
            capacity_elsewhere=elsewhere,
            source_capacity=need.of(source.name),
            destination_capacity=need.of(destination.name),
        )

    def _restart_deadline(
        self, key: ObjectKey, record: WorkloadRecord, profile_name: str, snapshot: Snapshot
    ) -> bool:
        """A deadline that passed while the operator was down is given once more."""
        move = record.move
        now = self._clock.steady()
        if move is None or move.restarted or move.deadline_utc > now:
            return False
        if move.deadline_utc > self._started_utc:
            return False
        patience = _patience_seconds(profile_name, snapshot)
        renewed = replace(move, restarted=True, deadline_utc=now + patience)
        self._book.update(key, replace(record, move=renewed))
        return True

    async def _abort(self, key: ObjectKey, record: WorkloadRecord) -> WorkloadRecord:
        """Aborting is recorded before its first write: a restart must not go forward again."""
        if record.move is None or record.move.aborting:
            return record
        record = replace(record, move=replace(record.move, aborting=True))
        self._book.update(key, record)
        await self._book.persist_now(key)
        return record

    async def _finish(self, key: ObjectKey) -> None:
        self._book.update(
            key, replace(self._book.workload(key), move=None, last_change_time=self._clock.grid())
        )
        try:
            await self._book.persist_now(key)
        except WattshiftError as error:
            log.warning("status not written: %s", error.message, extra={"object": str(key)})


def member_phases(snapshot: Snapshot) -> Mapping[tuple[str, str], MemberPhase]:
    """Connection by (site, cluster)."""
    return {
        (site.name, member.name): member.phase for site in snapshot.sites for member in site.members
    }


def _patience_seconds(profile_name: str, snapshot: Snapshot) -> float:
    """Wall seconds for a hand-over: twice the destination's cold start, and the rest."""
    cold = next((p.cold_start_seconds for p in snapshot.profiles if p.name == profile_name), 0)
    return 2 * cold + EXTRA_DEADLINE_SECONDS


def _demand(workload: WorkloadState, snapshot: Snapshot) -> bool | None:
    """Whether requests arrive anywhere; False only when every placement that runs says so now."""
    if workload.demand is not None and (workload.demand.value or 0) > 0:
        return True
    running = [p for p in workload.placements if p.observed_replicas or p.ready_replicas]
    quiet = bool(running)
    for placement in running:
        engine = placement.engine
        if engine is None:
            quiet = False
            continue
        if engine.requests_per_second > 0 or engine.running > 0 or engine.waiting > 0:
            return True
        patience = snapshot.settings.scrape_stale_intervals * engine.scrape_interval_seconds
        if engine.age_seconds > patience or engine.pods_scraped < engine.pods_expected:
            quiet = False
    return False if quiet else None


def _counted(record: WorkloadRecord, grid_now: float) -> WorkloadRecord:
    record = record.on_day(move_day(grid_now))
    return replace(record, moves_today=record.moves_today + 1)


def _refused(decision: Decision, reason: Reason, message: str) -> Acted:
    return Acted(
        workload_key=decision.workload_key,
        action=decision.action,
        reason=str(reason),
        result="Refused",
        message=message,
    )
