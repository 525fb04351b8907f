"""Decisions for workloads whose entry routes by origin: the optimiser's next step as a candidate.

Capacity that is owed comes at once; all else goes through the planner's checks like any saving.
Neighbours: `core/fleet/carry.py` (the step), `core/planner/planner.py` (the checks).
"""

from __future__ import annotations

from wattshift.core.decision import Action
from wattshift.core.fleet.carry import Step, step
from wattshift.core.fleet.classes import routed
from wattshift.core.fleet.goal import Goals
from wattshift.core.planner.assemble import Draft
from wattshift.core.planner.candidates import Candidate
from wattshift.core.planner.score import Pricer, Score
from wattshift.core.reasons import Reason
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Survey


def routed_step(draft: Draft, found: Goals | None, world: Survey, room: Room) -> bool:
    """Draft the next step of a routed workload; False = it has none, decide as for any other."""
    job = draft.job
    if found is None or not routed(job):
        return False
    try:
        draft.step = step(found, job, room, world.now)
    except Exception as error:  # noqa: BLE001  # the others' plan must not wait for one's solver
        draft.note = f"{job.key}: decided without the optimiser: {type(error).__name__}: {error}"
    if draft.step is None:
        return False
    _draft(draft, draft.step, world, room)
    return True


def _draft(draft: Draft, here: Step, world: Survey, room: Room) -> None:
    job = draft.job
    if here.owed:
        score = draft.pricer.score(here.vector)
        for spot in job.spots:
            room.take(spot, here.vector[spot.index] - spot.replicas)
        draft.chosen = Candidate(
            action=Action.RESUME if job.standing == 0 else Action.SCALE_TO,
            vector=here.vector,
            reason=Reason.DEMAND_GROWTH,
            message=f"users' origins need more than is in reach: {_changes(draft, here.vector)}",
            score=score if isinstance(score, Score) else None,
        )
        return
    if here.vector == job.vector and here.goal != job.vector and here.waiting:
        draft.hold = (Reason.MOVE_IN_PROGRESS, here.waiting)
        return
    # it has to pay back while the difference is known to last, not only within the dwell
    pricer = Pricer(world, job, here.lasting_seconds)
    for vector, goal in ((here.vector, here.goal), (here.lower, here.lower)):
        if vector == job.vector or any(row.vector == vector for row in draft.candidates):
            continue
        candidate = _candidate(draft, vector, pricer.score(goal))
        candidate.lasting_seconds, candidate.priced = here.lasting_seconds, goal
        if here.waiting and vector == here.vector:
            candidate.message = f"{candidate.message}; {here.waiting}"
        draft.candidates.append(candidate)


def _candidate(draft: Draft, vector: tuple[int, ...], score: Score | Reason) -> Candidate:
    candidate = Candidate(
        action=Action.SCALE_TO,
        vector=vector,
        reason=Reason.CONSOLIDATION,
        message=_changes(draft, vector),
    )
    if not isinstance(score, Score):
        candidate.refused = (score, "a price on the way is unknown")
        return candidate
    candidate.score = without_head_room(score)
    if any(count > spot.replicas for count, spot in zip(vector, draft.job.spots, strict=True)):
        candidate.reason = score.reason
    return candidate


def without_head_room(score: Score) -> Score:
    """Head room that is short without being owed is no saving of a routed workload."""
    score.total -= score.parts["latency"]
    score.parts["latency"] = 0.0
    return score


def _changes(draft: Draft, vector: tuple[int, ...]) -> str:
    return ", ".join(
        f"{spot.state.name} {spot.replicas} -> {count}"
        for spot, count in zip(draft.job.spots, vector, strict=True)
        if count != spot.replicas
    )
