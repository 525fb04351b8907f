"""The last look before an act: one named cause per refusal, judged on a fresher snapshot.

Mode and people first, then the world, then latency and limits. It never repairs a decision: the next
plan does. Neighbours: `core/planner/planner.py`, `control/act.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.decision import Action, Decision
from wattshift.core.model import Mode, OverrideMode, Snapshot
from wattshift.core.planner.cover import EPSILON, capacity
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Job, Spot, survey_one

_BOUND_REASONS = (
    Reason.SITE_LIMIT,
    Reason.EVENT_LIMIT,
    Reason.COOLING_LIMIT,
    Reason.EMERGENCY,
)
"""Reasons that outrank latency; of events only those that are committed or mandatory do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a decision may not be carried out any more."""

    reason: Reason
    message: str


def validate(decision: Decision, fresh: Snapshot, now: float) -> Refusal | None:
    """None when `decision` may be carried out on the world of `fresh`; a Hold never may.

    Checked in this order: expiry, the workload and its mode, people's word, an open hand-over, then
    each placement that would change (found, ready member, no rival, count as decided), the latency
    guard, floor and load for what is lowered, and limits for what is raised.
    """
    if decision.valid_until < now:
        late = now - decision.valid_until
        return _no(Reason.STALE_PLAN, f"the decision expired {late:.0f} s ago")
    world = survey_one(fresh, now, decision.workload_key)
    if world is None:
        return _no(Reason.STALE_PLAN, f"workload {decision.workload_key} is gone")
    job = world.jobs[0]
    return (
        _workload(decision, job, fresh)
        or _placements(decision, job)
        or _latency(decision, job)
        or _left(decision, job)
        or _limits(decision, job, Room(world))
    )


def _no(reason: Reason, message: str) -> Refusal:
    return Refusal(reason=reason, message=message)


def _workload(decision: Decision, job: Job, fresh: Snapshot) -> Refusal | None:
    return (
        _mode(decision, job, fresh)
        or _state(decision, job)
        or _people(decision, job)
        or _moving(decision, job)
    )


def _mode(decision: Decision, job: Job, fresh: Snapshot) -> Refusal | None:
    state = job.state
    if decision.workload_uid and decision.workload_uid != state.uid:
        return _no(Reason.STALE_PLAN, f"{job.key} was deleted and made anew")
    if decision.action is Action.HOLD:
        return _no(decision.reason, f"a Hold changes nothing: {decision.message}")
    restoring = decision.action is Action.RESTORE
    if not restoring and Mode.OBSERVE in (fresh.mode, state.mode):
        return _no(Reason.MODE_OBSERVE, "the mode is Observe: nothing is written")
    if not restoring and Mode.RECOMMEND in (fresh.mode, state.mode):
        return _no(Reason.MODE_RECOMMEND, "the mode is Recommend: nothing is written")
    return None


def _state(decision: Decision, job: Job) -> Refusal | None:
    state, restoring = job.state, decision.action is Action.RESTORE
    if not state.accepted and not restoring:
        return _no(Reason.NOT_ACCEPTED, f"{job.key} is not accepted")
    if not state.originals_known:
        return _no(Reason.ORIGINALS_UNKNOWN, "what was found is in doubt")
    if state.deleting and not restoring:
        return _no(Reason.RELEASED, f"{job.key} is being deleted")
    if state.orphans and not restoring and not decision.urgent:
        names = ", ".join(row.name for row in state.orphans)
        return _no(Reason.RELEASED, f"{names} left the spec: first all is given back as found")
    return None


def _moving(decision: Decision, job: Job) -> Refusal | None:
    intent = job.state.intent
    if intent is None or decision.urgent or decision.action is Action.RESTORE:
        return None
    return _no(Reason.MOVE_IN_PROGRESS, f"hand-over {intent.id} is open")


def _people(decision: Decision, job: Job) -> Refusal | None:
    """What a person's override leaves of a decision: only bounds that are hard pass a Hold."""
    override = job.state.override
    if override is None or decision.action is Action.RESTORE:
        return None
    words = f"{override.requested_by}: {override.reason}"
    if override.mode is OverrideMode.RELEASE:
        return _no(Reason.OVERRIDE_RELEASE, words)
    if _bound_asks(decision, job, Hardness.MANDATORY):
        return None
    if override.mode is OverrideMode.HOLD:
        return _no(Reason.OVERRIDE_HOLD, words)
    if decision.reason is not Reason.OVERRIDE_PIN:
        return _no(Reason.OVERRIDE_PIN, words)
    return None


def _bound_asks(decision: Decision, job: Job, hardness: Hardness) -> bool:
    """Whether a bound at least that hard is still broken where an urgent decision lowers."""
    if not decision.urgent or decision.reason not in _BOUND_REASONS:
        return False
    if decision.reason is not Reason.EVENT_LIMIT:
        return True
    for spot, wanted in _changes(decision, job):
        if wanted >= spot.replicas or spot.feed is None:
            continue
        bound = spot.feed.limits.upper_at(hardness)
        most = None if bound is None else bound.upper_watts
        if most is not None and spot.feed.power.upper_watts > most:
            return True
    return False


def _changes(decision: Decision, job: Job) -> list[tuple[Spot, int]]:
    return [
        (spot, wanted)
        for spot in job.spots
        if (wanted := decision.replicas_of(spot.state.name)) is not None and wanted != spot.replicas
    ]


def _placements(decision: Decision, job: Job) -> Refusal | None:
    names = {spot.state.name for spot in job.spots}
    for target in decision.targets:
        if target.placement_name not in names:
            return _no(Reason.STALE_PLAN, f"placement {target.placement_name} is gone")
    decided_on = {row.placement_name: row.replicas for row in decision.basis}
    for spot, _ in _changes(decision, job):
        if decision.action is Action.RESTORE:
            continue  # `core/restore.py` judges each write itself
        # the governor touches what a person holds at a site for mandatory bounds only
        held = spot.frozen is not None and spot.frozen[0] is Reason.OVERRIDE_HOLD
        bound = decision.urgent and decision.reason in _BOUND_REASONS
        if spot.frozen is not None and not (held and bound):
            return _no(*spot.frozen)
        basis = decided_on.get(spot.state.name)
        if basis is not None and basis != spot.replicas:
            return _no(
                Reason.STALE_PLAN,
                f"{spot.state.name} has {spot.replicas} replicas, decided on {basis}",
            )
    return None


def _latency(decision: Decision, job: Job) -> Refusal | None:
    """A veto since the decision stops what lowers, unless a bound outranks latency."""
    lowered = [spot for spot, wanted in _changes(decision, job) if wanted < spot.replicas]
    people = decision.reason is Reason.OVERRIDE_PIN or decision.action is Action.RESTORE
    if not lowered or people or _bound_asks(decision, job, Hardness.COMMITTED):
        return None
    if job.verdict.veto:
        return _no(job.verdict.reason or Reason.LATENCY_GUARD, job.verdict.message)
    for spot in lowered:
        if not spot.verdict.removal_allowed and not job.outside:
            reason = spot.verdict.reason or Reason.OBJECTIVE_UNKNOWN
            return _no(reason, f"{spot.state.name}: {spot.verdict.message}")
    return None


def _left(decision: Decision, job: Job) -> Refusal | None:
    """What stays must still be the floor and carry the load, which may have grown since.

    Half of the head room may be gone, as in `core/planner/cover.py`: less would be given back at once.
    """
    changes = {spot.index: wanted for spot, wanted in _changes(decision, job)}
    people = decision.reason is Reason.OVERRIDE_PIN or decision.action is Action.RESTORE
    if people or (decision.urgent and decision.reason in _BOUND_REASONS):
        return None
    if all(wanted >= job.vector[index] for index, wanted in changes.items()):
        return None
    left = tuple(changes.get(spot.index, spot.replicas) for spot in job.spots)
    if sum(left) < min(job.floor, job.standing):
        return _no(
            Reason.STALE_PLAN, f"{sum(left)} replicas would stay, at least {job.floor} are wanted"
        )
    if job.outside or job.need is None:
        return None
    least = (job.need + (job.load.concurrency or 0.0)) / 2
    if capacity(job, left) + EPSILON < min(least, capacity(job, job.vector)):
        return _no(
            Reason.STALE_PLAN,
            f"the load has grown: {sum(left)} replicas carry {capacity(job, left):.1f} concurrent "
            f"requests, {least:.1f} are wanted",
        )
    return None


def _limits(decision: Decision, job: Job, room: Room) -> Refusal | None:
    """What is raised must still fit, under the bounds that outrank its reason."""
    if decision.action is Action.RESTORE:
        return None
    hardness = Hardness.VOLUNTARY
    if decision.reason is Reason.OVERRIDE_PIN:
        hardness = Hardness.MANDATORY
    elif decision.urgent or decision.reason in (
        Reason.DEMAND_GROWTH,
        Reason.LATENCY_GUARD,
        Reason.QUEUE_GROWING,
    ):
        hardness = Hardness.COMMITTED
    for spot, wanted in _changes(decision, job):
        if wanted <= spot.replicas:
            continue
        if wanted - spot.replicas > room.most(spot, hardness):
            why = room.why_not(spot, hardness, wanted - spot.replicas)
            emergency = spot.feed is not None and bool(spot.feed.site.emergency)
            reason = Reason.EMERGENCY if emergency else Reason.SITE_LIMIT
            return _no(reason, why)
        room.take(spot, wanted - spot.replicas)
    return None
