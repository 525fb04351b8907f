"""Decisions that need no price: people's overrides, deletion, open moves, and what may not be touched.

Neighbours: `core/planner/planner.py`, which asks here first; `core/restore.py`, which carries a Restore out.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.decision import Action
from wattshift.core.model import OverrideMode
from wattshift.core.planner.event_wait import explained, held_until, in_time
from wattshift.core.reasons import Reason
from wattshift.core.restore import deviates, original_replicas
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Job

ALL_PLACEMENTS = ""
"""Placement name in `Override.replicas` of a Pin over the sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A settled decision for one job."""

    action: Action
    vector: tuple[int, ...]
    reason: Reason
    message: str


def standing_order(job: Job, room: Room) -> Order | None:
    """The order that settles a job before anything is priced; None = it may be planned."""
    state, here = job.state, job.vector
    if state.deleting:
        return _restore(job, Reason.RELEASED, "the workload is being deleted")
    override = state.override
    if override is not None and override.mode is OverrideMode.RELEASE:
        words = f"{override.requested_by}: {override.reason}"
        return _restore(job, Reason.OVERRIDE_RELEASE, words)
    untouched = _untouchable(job)
    if untouched is not None:
        return untouched
    if override is not None:
        words = f"{override.requested_by}: {override.reason}"
        if override.mode is OverrideMode.HOLD:
            return _hold(here, Reason.OVERRIDE_HOLD, words)
        return _pin(job, room, words)
    return _kept_still(job, room.now)


def _untouchable(job: Job) -> Order | None:
    """Not accepted, originals in doubt, a move under way, or nothing that may be written."""
    state, here = job.state, job.vector
    if not state.accepted:
        return _hold(here, Reason.NOT_ACCEPTED, "the object is not accepted")
    if not state.originals_known:
        message = "the two copies of the originals disagree: set placements[].baselineReplicas"
        return _hold(here, Reason.ORIGINALS_UNKNOWN, message)
    if state.intent is not None:
        return _moving(job)
    if not job.spots:
        return _hold(here, Reason.TARGET_NOT_FOUND, "it has no placement")
    if all(spot.frozen is not None for spot in job.spots):
        why = next(spot.frozen for spot in job.spots if spot.frozen is not None)
        return _hold(here, why[0], why[1])
    return None


def _kept_still(job: Job, now: float) -> Order | None:
    """While an event presses that is over before a replica would serve, the governor alone acts.

    What is short by more than the tier tolerates is no event's doing: that is planned.
    """
    until, name = held_until(job, now)
    if not name or not explained(job, job.vector):
        return None
    if any(spot.feed is not None and in_time(spot, until, now) for spot in job.spots):
        return None
    words = f"the governor keeps event {name}, which ends in {until - now:.0f} s"
    return _hold(job.vector, Reason.EVENT_LIMIT, words)


def _hold(vector: tuple[int, ...], reason: Reason, message: str) -> Order:
    return Order(action=Action.HOLD, vector=vector, reason=reason, message=message)


def _restore(job: Job, reason: Reason, words: str) -> Order:
    """Back to what was found; nothing to do where nothing deviates."""
    vector = []
    for spot in job.spots:
        original = original_replicas(job.state, spot.state)
        vector.append(spot.replicas if original is None else original)
    if not deviates(job.state) and job.state.intent is None:
        return _hold(job.vector, reason, f"{words}; it is as found")
    return Order(action=Action.RESTORE, vector=tuple(vector), reason=reason, message=words)


def _moving(job: Job) -> Order:
    intent = job.state.intent
    assert intent is not None
    vector = list(job.vector)
    for spot in job.spots:
        if spot.state.name == intent.destination_name:
            vector[spot.index] = intent.destination_replicas
        elif spot.state.name == intent.source_name:
            vector[spot.index] = intent.source_replicas
    message = (
        f"hand-over {intent.id} from {intent.source_name} to {intent.destination_name} is open"
    )
    return _hold(tuple(vector), Reason.MOVE_IN_PROGRESS, message)


def _wanted(job: Job, asked: dict[str, int]) -> dict[str, int]:
    """Counts by placement; a Pin without a placement is about the sum.

    The sum is met where the workload stands: raised at the placement with most replicas that has
    room, lowered at the one with fewest.
    """
    if ALL_PLACEMENTS not in asked:
        return asked
    total = asked[ALL_PLACEMENTS]
    found = {spot.state.name: spot.replicas for spot in job.spots}
    free = [spot for spot in job.spots if spot.frozen is None]
    order = sorted(free, key=lambda spot: (-spot.replicas, spot.state.name))
    missing = total - sum(found.values())
    for spot in order if missing > 0 else reversed(order):
        here = found[spot.state.name]
        step = (
            min(missing, max(0, spot.state.max_replicas - here))
            if missing > 0
            else max(missing, min(0, spot.state.min_replicas - here))
        )
        found[spot.state.name] = here + step
        missing -= step
    return found


def _pin(job: Job, room: Room, words: str) -> Order:
    """A person's counts, within bounds that are physical or mandatory."""
    override = job.state.override
    assert override is not None
    wanted = _wanted(job, dict(override.replicas))
    vector, short = list(job.vector), []
    for spot in job.spots:
        count = wanted.get(spot.state.name)
        if count is None or spot.frozen is not None or count == spot.replicas:
            continue
        if count > spot.replicas:
            fits = spot.replicas + room.most(spot, Hardness.MANDATORY)
            if fits < count:
                short.append(room.why_not(spot, Hardness.MANDATORY) or f"{spot.state.name} is full")
            count = min(count, fits)
        vector[spot.index] = count
    message = f"{words}; {'; '.join(short)}" if short else words
    if tuple(vector) == job.vector:
        return _hold(job.vector, Reason.OVERRIDE_PIN, message)
    for spot in job.spots:
        room.take(spot, vector[spot.index] - spot.replicas)
    return Order(
        action=Action.SCALE_TO, vector=tuple(vector), reason=Reason.OVERRIDE_PIN, message=message
    )
