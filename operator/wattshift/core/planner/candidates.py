"""Target vectors that a workload could take: stay, cover the load, consolidate, migrate, pause.

Each is feasible in itself (bounds, guard, survivors, round trip, room); `core/planner/score.py` prices it and
`core/planner/planner.py` chooses under what all workloads share. A vector that raises one placement and
lowers another is a Migrate with one source and one destination: make before break.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wattshift.core.decision import Action
from wattshift.core.load.demand import KEY_VALUE_LIMIT, round_trip_milliseconds
from wattshift.core.load.latency import not_shown
from wattshift.core.model import Allowed
from wattshift.core.planner.cover import EPSILON, capacity
from wattshift.core.planner.score import Pricer, Score
from wattshift.core.reasons import Reason
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Job, Spot

SOURCES, DESTINATIONS = 3, 3
"""Most expensive sources and cheapest destinations that are combined."""


@dataclass(slots=True, kw_only=True)
class Candidate:
    """One target vector with what it would be done for."""

    action: Action
    vector: tuple[int, ...]
    reason: Reason
    message: str
    source: int = -1
    destination: int = -1
    score: Score | None = None
    refused: tuple[Reason, str] | None = None
    """Why it may not be chosen, whatever it saves."""
    lasting_seconds: float = 0.0
    """Time over which it was scored and has to pay back; 0 = the workload's horizon."""
    priced: tuple[int, ...] = ()
    """Vector that it was scored as, where it is the first step of a longer way; empty = its own."""
    alone: bool = False
    """Its score counts already what others take."""

    @property
    def disruptive(self) -> bool:
        """Whether capacity leaves a placement."""
        return self.action in (Action.MIGRATE, Action.PAUSE) or self.reason is Reason.CONSOLIDATION


def savings(job: Job, room: Room, pricer: Pricer) -> list[Candidate]:
    """Candidates that lower or move; empty where the load is unknown or the guard vetoes."""
    if job.outside:
        need, floor = capacity(job, job.vector), 0
    elif job.need is None or job.verdict.veto:
        return []
    else:
        need, floor = _kept(job), job.floor
    found: list[Candidate] = []
    slack = capacity(job, job.vector) - need
    givers = [spot for spot in job.spots if _may_give(job, spot)]
    costs = {spot.index: pricer.unit_cost(spot) for spot in job.spots}
    givers.sort(key=lambda spot: (-(costs[spot.index] or 0.0), spot.state.name))
    if Allowed.SCALE in job.state.actions and not job.outside:
        found += _lowered(job, givers, slack, floor)
    if Allowed.MIGRATE in job.state.actions:
        takers = [spot for spot in job.spots if _may_take(spot)]
        takers = [spot for spot in takers if costs[spot.index] is not None]
        takers.sort(key=lambda spot: (costs[spot.index] or 0.0, spot.state.name))
        for source in givers[:SOURCES]:
            source_cost = costs[source.index]
            # away from a feed over its bound a move may cost money
            pressed = source.feed is not None and source.feed.excess_watts() > 0
            chosen = 0
            for destination in takers:
                cost = costs[destination.index]
                if destination.index == source.index or source_cost is None or cost is None:
                    continue
                if chosen >= DESTINATIONS or (cost >= source_cost and not pressed):
                    break
                chosen += 1
                blocks = len(pricer.price(destination.feed).up) if destination.feed else 1
                found += _moves(
                    job, (source, destination), room, (need, floor), two_blocks=blocks > 1
                )
    for candidate in found:
        score = pricer.score(candidate.vector)
        if isinstance(score, Score):
            candidate.score = score
            candidate.reason = _reason(job, candidate, score, pricer)
        else:
            candidate.refused = (score, "a price on the way is unknown")
    return found


def towards(
    job: Job, goal: tuple[int, ...], room: Room, pricer: Pricer, known: list[Candidate]
) -> list[Candidate]:
    """Moves that lead towards the optimiser's goal and are not among `known` yet.

    One pair at a time: a workload has one open move. Growth that takes nothing away is not a saving.
    """
    if Allowed.MIGRATE not in job.state.actions or job.need is None:
        return []
    givers = [row for row in job.spots if goal[row.index] < row.replicas and _may_give(job, row)]
    takers = [row for row in job.spots if goal[row.index] > row.replicas and _may_take(row)]
    seen = {row.vector for row in known}
    found = []
    for source in givers:
        for destination in takers:
            for candidate in _moves(
                job,
                (source, destination),
                room,
                (_kept(job), job.floor),
                two_blocks=True,
                wanted=_pair(source, destination, goal),
            ):
                here = candidate.vector[destination.index]
                if candidate.vector in seen or here > goal[destination.index]:
                    continue
                seen.add(candidate.vector)
                score = pricer.score(candidate.vector)
                if isinstance(score, Score):
                    candidate.score = score
                    candidate.reason = _reason(job, candidate, score, pricer)
                    found.append(candidate)
    return found


def _kept(job: Job) -> float:
    """Concurrency that a saving must leave: the need, and room for a load that trembles.

    Replicas are raised when half of the head room is used up (`core/planner/cover.py`): what is lowered in a
    trough would be started again at the next crest. Never more than stands, so nothing is raised for it.
    """
    assert job.need is not None
    high, load = job.state.load_high, job.load.concurrency
    if high is None or not load:
        return job.need
    again = high * (job.need / load + 1) / 2
    return max(job.need, min(again, capacity(job, job.vector)))


def _pair(source: Spot, destination: Spot, goal: tuple[int, ...]) -> int:
    """Replicas of the source that the goal moves to one destination: no more than are to arrive there."""
    leaves = source.replicas - goal[source.index]
    comes = (goal[destination.index] - destination.replicas) * destination.capacity
    if source.capacity <= 0:
        return leaves
    return max(1, min(leaves, int(comes / source.capacity + EPSILON)))


def _may_give(job: Job, spot: Spot) -> bool:
    if spot.replicas <= spot.state.min_replicas or spot.frozen is not None:
        return False
    return job.outside or spot.verdict.removal_allowed


def _may_take(spot: Spot) -> bool:
    """Feasible in principle; whether there is room is told apart, so that it can be explained."""
    if spot.frozen is not None or spot.no_raise is not None or spot.capacity <= 0:
        return False
    return spot.replicas < spot.state.max_replicas and not spot.verdict.veto


def _lowered(job: Job, givers: list[Spot], slack: float, floor: int) -> list[Candidate]:
    """Consolidation: at each placement alone, and over all from the most expensive on."""
    found = []
    left, spare, together = slack, job.standing - floor, list(job.vector)
    for spot in givers:
        alone = _removable(spot, slack, job.standing - floor)
        if alone > 0:
            vector = _with(job.vector, spot.index, -alone)
            found.append(_consolidation(job, vector, f"lower {spot.state.name} by {alone}"))
        count = _removable(spot, left, spare)
        together[spot.index] -= count
        left -= count * spot.capacity
        spare -= count
    vector = tuple(together)
    if vector != job.vector and all(vector != row.vector for row in found):
        found.append(_consolidation(job, vector, "lower several placements"))
    return found


def _removable(spot: Spot, slack: float, spare: int) -> int:
    """Replicas that may leave a placement: capacity, floors, and the KV cache of the survivors."""
    count = min(spot.replicas - spot.state.min_replicas, spare)
    if spot.capacity > 0:
        count = min(count, int(slack / spot.capacity + EPSILON))
    engine = spot.state.engine
    if count > 0 and engine is not None and engine.kv_cache_usage:
        least = math.ceil(engine.kv_cache_usage * spot.replicas / KEY_VALUE_LIMIT - EPSILON)
        count = min(count, spot.replicas - least)
    return max(0, count)


def _consolidation(job: Job, vector: tuple[int, ...], message: str) -> Candidate:
    return Candidate(
        action=Action.SCALE_TO,
        vector=vector,
        reason=Reason.CONSOLIDATION,
        message=f"{message}: {sum(vector)} replicas carry {_amount(job)}",
    )


def _moves(
    job: Job,
    pair: tuple[Spot, Spot],
    room: Room,
    bounds: tuple[float, int],
    *,
    two_blocks: bool,
    wanted: int = 0,
) -> list[Candidate]:
    """Moves from one placement to another that keep the need covered.

    All of it; half and one only where all may not fit, or where the destination's price has two
    blocks, so that a part may run on surplus; and what is `wanted`.
    """
    source, destination = pair
    need, floor = bounds
    whole = source.replicas - source.state.min_replicas
    has = capacity(job, job.vector)
    fits = min(room.most(destination), job.state.max_replicas - job.standing + whole)
    counts = [whole]
    if fits * destination.capacity < whole * source.capacity or two_blocks:
        counts += [whole // 2, 1]
    counts.append(min(wanted, whole))
    found: list[Candidate] = []
    for count in dict.fromkeys(count for count in counts if count > 0):
        missing = max(0.0, need - (has - count * source.capacity))
        replicas = math.ceil(missing / destination.capacity - EPSILON)
        replicas = max(replicas, floor - (job.standing - count))
        if replicas <= 0:
            continue  # that is a consolidation
        vector = _with(job.vector, source.index, -count)
        vector = _with(vector, destination.index, replicas)
        if any(row.vector == vector for row in found):
            continue
        candidate = Candidate(
            action=Action.MIGRATE,
            vector=vector,
            reason=Reason.CHEAPER_POWER,
            message=(
                f"move {count} of {source.replicas} replicas from {source.state.name} to "
                f"{replicas} at {destination.state.name}"
            ),
            source=source.index,
            destination=destination.index,
        )
        if replicas > fits:
            why = room.why_not(destination) or (
                f"{destination.state.name} has room for {fits} of {replicas} replicas"
            )
            candidate.refused = (Reason.CAPACITY_SHORT, why)
        elif not job.outside:
            candidate.refused = _too_slow(job, source, destination)
        found.append(candidate)
    return found


def _too_slow(job: Job, source: Spot, destination: Spot) -> tuple[Reason, str] | None:
    """Whether the samples of the source would still hold at the round trip of the destination."""
    if destination.feed is None or source.state.engine is None or not source.state.engine.windows:
        return None
    distance = round_trip_milliseconds(destination.feed.site, job.state.origins)
    reason, message = not_shown(source.state.engine, job.state.objectives, distance)
    return None if reason is None else (reason, f"at {destination.state.name}: {message}")


def _with(vector: tuple[int, ...], index: int, change: int) -> tuple[int, ...]:
    return (*vector[:index], vector[index] + change, *vector[index + 1 :])


def _reason(job: Job, candidate: Candidate, score: Score, pricer: Pricer) -> Reason:
    """The reason is the part that saves most; known ahead is told apart from cheaper now."""
    if candidate.action is not Action.MIGRATE:
        return candidate.reason
    if score.own_supply:
        return score.reason
    here = pricer.present_unit_cost(job.spots[candidate.source])
    there = pricer.present_unit_cost(job.spots[candidate.destination])
    if score.total < 0 and here is not None and there is not None and there >= here:
        return Reason.PREPARE_CHANGE
    return score.reason


def _amount(job: Job) -> str:
    if job.load.concurrency is None:
        return "the load"
    return f"{job.load.concurrency:.1f} concurrent requests with head room"
