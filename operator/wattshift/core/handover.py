"""Where a hand-over stands, derived from the world, and the one thing to do next.

Make before break: the destination is raised, ready, probed and carries traffic (or there is none)
before the source is lowered. Nothing is remembered but the intent, so a restart resumes and a
repeated step does no harm. Carried out by `actuators/migrate.py`. Evidence: serving.md's
hand-over conditions (ready, warm, own counters rising).
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
    """A member is unreachable or unknown: nothing may be written."""


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
    needed_replicas: int
    """Replicas that the present load needs over all placements."""
    in_service_elsewhere: int
    """In-service replicas of the other placements."""


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
    is finished.
    """
    intent, source, destination = view.intent, view.source, view.destination
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
    remaining = view.in_service_elsewhere + in_service + intent.source_replicas
    before = (
        view.in_service_elsewhere + intent.destination_before + (source.in_service_replicas or 0)
    )
    floor = min(before, view.needed_replicas)
    if remaining < floor:
        return NextStep(
            step=Step.AWAIT_TRAFFIC,
            reason=Reason.CAPACITY_SHORT,
            message=f"lowering {source.name} would leave {remaining} replicas in service, "
            f"the load needs {floor}",
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
    if in_service == 0 and intent.destination_replicas > 0 and intent.deadline_wall_seconds < 0:
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
    remaining = (
        view.in_service_elsewhere + (source.in_service_replicas or 0) + intent.destination_before
    )
    if remaining < min(view.needed_replicas, intent.source_before + intent.destination_before):
        return _wait(f"{source.name} is not back in service yet; {destination.name} keeps its pods")
    return NextStep(
        step=Step.GIVE_BACK_DESTINATION,
        reason=Reason.DEADLINE_EXCEEDED,
        message=f"lower {destination.name} back to {intent.destination_before}",
        placement_name=destination.name,
        replicas=intent.destination_before,
    )


def _wait(message: str) -> NextStep:
    return NextStep(step=Step.WAIT, reason=Reason.MEMBER_LOST, message=message)
