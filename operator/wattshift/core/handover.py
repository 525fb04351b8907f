"""Where a hand-over stands, derived from the world, and the one thing to do next.

Make before break: the destination is raised, ready, probed and carries traffic (or there is none)
before the source is lowered. Nothing is remembered but the intent, so a restart resumes and a
repeated step does no harm. Carried out by `control/acting/moves.py`. Evidence: serving.md's hand-over
conditions (ready, warm, own counters rising). Capacity is counted in sequences, not in replicas:
the two sides may have different accelerators.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wattshift.core.model import MemberPhase, MoveIntent, PlacementState
from wattshift.core.reasons import Reason


class Step(StrEnum):
    """Position of a hand-over; the order is the order in time."""

    RAISE = "Raise"
    AWAIT_READY = "AwaitReady"
    WARM = "Warm"
    AWAIT_TRAFFIC = "AwaitTraffic"
    LOWER = "Lower"
    VERIFY = "Verify"
    DONE = "Done"
    GIVE_BACK_SOURCE = "GiveBackSource"
    """Abort: the source returns to its count first."""
    GIVE_BACK_DESTINATION = "GiveBackDestination"
    """Abort: then the destination returns to its count."""
    ABORTED = "Aborted"
    WAIT = "Wait"
    """A member is unreachable, or somebody else set the count: nothing may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEvidence:
    """What is known of one destination pod in this process's lifetime."""

    pod_uid: str
    ready: bool
    warm: bool
    """Probes to this very pod met the objective."""
    requests_since_warm: int
    """Rise of its own success counter since warm, our probes excluded."""
    busy: bool
    """Running or waiting requests at the last scrape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverView:
    """All a step depends on."""

    intent: MoveIntent
    source: PlacementState
    destination: PlacementState
    source_member: MemberPhase
    destination_member: MemberPhase
    pods: tuple[PodEvidence, ...]
    demand: bool | None
    """Whether requests arrive at the workload at all; None = unknown, which counts as demand."""
    needed_capacity: float
    """What the present load needs over all placements; infinite = unknown, so all there was."""
    capacity_elsewhere: float
    """In-service capacity of the other placements."""
    source_capacity: float = 1.0
    """Of one replica of the source, in the same unit (sequences; 1 where it is not known)."""
    destination_capacity: float = 1.0
    """Of one replica of the destination."""

    @property
    def floor_capacity(self) -> float:
        """min(before, needed): what must stay in service whatever we write."""
        before = (
            self.capacity_elsewhere
            + self.intent.source_before * self.source_capacity
            + self.intent.destination_before * self.destination_capacity
        )
        return min(before, self.needed_capacity)

    def capacity_with(self, *, source: int, destination: int) -> float:
        """In-service capacity when at most these many of the serving replicas stay."""
        kept_source = min(source, self.source.in_service_replicas or 0)
        kept_destination = min(destination, self.destination.in_service_replicas or 0)
        return (
            self.capacity_elsewhere
            + kept_source * self.source_capacity
            + kept_destination * self.destination_capacity
        )

    @property
    def capacity_now(self) -> float:
        """In-service capacity over all placements."""
        return self.capacity_with(
            source=self.source.in_service_replicas or 0,
            destination=self.destination.in_service_replicas or 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """The step, why, and the one write it asks for (absolute replicas)."""

    step: Step
    reason: Reason
    message: str
    placement_name: str = ""
    replicas: int | None = None


def next_step(view: HandoverView) -> NextStep:
    """Derive the next step of a hand-over.

    Rules of loss: destination unreachable, never lower the source; source unreachable, keep the
    destination. Past its deadline a move that has not lowered the source is aborted; one that has
    is finished, or taken back where the destination does not serve. A count that somebody else set
    is never written over. Past the deadline a side whose target was deleted ends the hand-over:
    what is left of the other side serves.
    """
    step = _derive(view)
    if step.replicas is None:
        return step
    written = view.source if step.placement_name == view.source.name else view.destination
    if written.rival:
        message = f"{written.name}: somebody set {written.observed_replicas} replicas"
        return _wait(message, Reason.CONFLICT)
    if written.target_problem == Reason.CONFLICT:
        message = f"{written.name} belongs to another writer by now: the hand-over ends where it is"
        return NextStep(step=Step.ABORTED, reason=Reason.CONFLICT, message=message)
    return step


def _derive(view: HandoverView) -> NextStep:
    intent, source, destination = view.intent, view.source, view.destination
    if intent.deadline_wall_seconds < 0:
        gone = _target_gone(view)
        if gone is not None:
            return gone
    if view.destination_member is not MemberPhase.READY or destination.observed_replicas is None:
        return _wait(f"destination {destination.name} is not reachable; the source keeps its pods")
    if view.source_member is not MemberPhase.READY or source.observed_replicas is None:
        return _wait(f"source {source.name} is not reachable; the destination keeps its pods")
    lowered = source.observed_replicas <= intent.source_replicas
    if intent.aborting:
        return _abort_step(view)
    if intent.deadline_wall_seconds < 0 and not lowered:
        return _abort(Reason.DEADLINE_EXCEEDED, "the destination was not in service in time", view)
    if destination.observed_replicas < intent.destination_replicas:
        return NextStep(
            step=Step.RAISE,
            reason=Reason(intent.reason),
            message=f"raise {destination.name} to {intent.destination_replicas} replicas",
            placement_name=destination.name,
            replicas=intent.destination_replicas,
        )
    if lowered:
        return _after_lowering(view)
    if destination.unschedulable:
        return _abort(
            Reason.DESTINATION_UNSCHEDULABLE,
            f"pods of {destination.name} cannot be scheduled or their image cannot be pulled",
            view,
        )
    return _before_lowering(view)


def _target_gone(view: HandoverView) -> NextStep | None:
    """Past the deadline a target that its own member no longer has is waited for no longer."""
    intent, source, destination = view.intent, view.source, view.destination
    ready = MemberPhase.READY
    lost = [
        side.name
        for side, phase in (
            (destination, view.destination_member),
            (source, view.source_member),
        )
        if phase is ready and not side.target_found
    ]
    if not lost:
        return None
    message = f"the target of {' and of '.join(lost)} is gone"
    if destination.name in lost and source.name not in lost:
        if view.source_member is not ready or source.observed_replicas is None:
            return _wait(f"{message}; source {source.name} is not reachable")
        if source.observed_replicas < intent.source_before:
            return NextStep(
                step=Step.GIVE_BACK_SOURCE,
                reason=Reason.TARGET_NOT_FOUND,
                message=f"{message}: raise {source.name} back to {intent.source_before}",
                placement_name=source.name,
                replicas=intent.source_before,
            )
    return NextStep(step=Step.ABORTED, reason=Reason.TARGET_NOT_FOUND, message=message)


def _before_lowering(view: HandoverView) -> NextStep:
    intent, source, destination = view.intent, view.source, view.destination
    in_service = destination.in_service_replicas or 0
    if in_service < intent.destination_replicas:
        return NextStep(
            step=Step.AWAIT_READY,
            reason=Reason.MOVE_IN_PROGRESS,
            message=f"{in_service} of {intent.destination_replicas} replicas of "
            f"{destination.name} are in service",
        )
    if destination.controller_lags:
        # after an outage a controller carries out what was asked before, and only then this
        return NextStep(
            step=Step.AWAIT_READY,
            reason=Reason.MOVE_IN_PROGRESS,
            message=f"the cluster has not acted on the count of {destination.name} yet",
        )
    ready = [pod for pod in view.pods if pod.ready]
    cold = [pod.pod_uid for pod in ready if not pod.warm]
    if cold or len(ready) < intent.destination_replicas:
        return NextStep(
            step=Step.WARM,
            reason=Reason.MOVE_IN_PROGRESS,
            message=f"{len(ready) - len(cold)} of {intent.destination_replicas} replicas of "
            f"{destination.name} answered their probes inside the objective",
        )
    idle = [pod.pod_uid for pod in ready if pod.requests_since_warm <= 0 and not pod.busy]
    if view.demand is not False and idle:
        return NextStep(
            step=Step.AWAIT_TRAFFIC,
            reason=Reason.MOVE_IN_PROGRESS,
            message=f"{len(idle)} replicas of {destination.name} carry no requests yet",
        )
    remaining = view.capacity_with(source=intent.source_replicas, destination=in_service)
    if remaining < min(view.floor_capacity, view.capacity_now):
        return NextStep(
            step=Step.AWAIT_TRAFFIC,
            reason=Reason.CAPACITY_SHORT,
            message=f"lowering {source.name} to {intent.source_replicas} would leave a capacity of "
            f"{remaining:g} in service, {view.floor_capacity:g} must stay",
        )
    return NextStep(
        step=Step.LOWER,
        reason=Reason(intent.reason),
        message=f"lower {source.name} to {intent.source_replicas} replicas; "
        f"{destination.name} carries the load",
        placement_name=source.name,
        replicas=intent.source_replicas,
    )


def _after_lowering(view: HandoverView) -> NextStep:
    intent, source, destination = view.intent, view.source, view.destination
    in_service = destination.in_service_replicas or 0
    if in_service < intent.destination_replicas:
        # The source was lowered behind our back, or the destination lost pods since.
        if intent.deadline_wall_seconds >= 0:
            return NextStep(
                step=Step.VERIFY,
                reason=Reason.MOVE_IN_PROGRESS,
                message=f"{in_service} of {intent.destination_replicas} replicas of "
                f"{destination.name} are in service; {source.name} is lowered already",
            )
        if in_service == 0 or view.capacity_now < view.floor_capacity:
            return _abort(
                Reason.DEADLINE_EXCEEDED,
                f"{destination.name} lost its replicas after the hand-over",
                view,
            )
    if (source.ready_replicas or 0) > intent.source_replicas and intent.deadline_wall_seconds >= 0:
        return NextStep(
            step=Step.VERIFY,
            reason=Reason.MOVE_IN_PROGRESS,
            message=f"{source.name} still drains {source.ready_replicas} replicas",
        )
    return NextStep(
        step=Step.DONE,
        reason=Reason.HANDED_OVER,
        message=f"{destination.name} serves with {in_service} replicas, "
        f"{source.name} keeps {intent.source_replicas}",
    )


def _abort(reason: Reason, message: str, view: HandoverView) -> NextStep:
    step = _abort_step(view)
    return NextStep(
        step=step.step,
        reason=reason,
        message=f"{message}; {step.message}",
        placement_name=step.placement_name,
        replicas=step.replicas,
    )


def _abort_step(view: HandoverView) -> NextStep:
    """Way back, make before break as well: the source first, then the destination."""
    intent, source, destination = view.intent, view.source, view.destination
    assert source.observed_replicas is not None
    assert destination.observed_replicas is not None
    if source.observed_replicas < intent.source_before:
        return NextStep(
            step=Step.GIVE_BACK_SOURCE,
            reason=Reason.DEADLINE_EXCEEDED,
            message=f"raise {source.name} back to {intent.source_before}",
            placement_name=source.name,
            replicas=intent.source_before,
        )
    if destination.observed_replicas <= intent.destination_before:
        return NextStep(
            step=Step.ABORTED,
            reason=Reason.DEADLINE_EXCEEDED,
            message=f"{source.name} serves as before",
        )
    remaining = view.capacity_with(
        source=source.in_service_replicas or 0, destination=intent.destination_before
    )
    if remaining < min(view.floor_capacity, view.capacity_now):
        return _wait(
            f"{source.name} is not back in service yet; {destination.name} keeps its pods",
            Reason.CAPACITY_SHORT,
        )
    return NextStep(
        step=Step.GIVE_BACK_DESTINATION,
        reason=Reason.DEADLINE_EXCEEDED,
        message=f"lower {destination.name} back to {intent.destination_before}",
        placement_name=destination.name,
        replicas=intent.destination_before,
    )


def _wait(message: str, reason: Reason = Reason.MEMBER_LOST) -> NextStep:
    return NextStep(step=Step.WAIT, reason=reason, message=message)
