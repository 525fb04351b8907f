"""What batch work gives back: replicas at a price at which it can wait, and those that would be idle.

Stopping is worth the difference between the hours, not the whole bill: the work is done later.
Neighbours: `core/planner/batch.py` (the wish), `core/planner/planner.py`.
"""

from __future__ import annotations

from wattshift.core.decision import Action
from wattshift.core.model import Allowed
from wattshift.core.planner.batch import Wish
from wattshift.core.planner.candidates import Candidate
from wattshift.core.planner.score import Pricer, Score
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import Job, Spot


def fewer(job: Job, wish: Wish, pricer: Pricer) -> Candidate | None:
    """Pause or lower as the wish says; None = nothing is to be given back, or it may not be."""
    wanted = _dear(job, wish)
    idle = wish.run and not wish.dear
    if idle:
        if wish.most is None or job.standing <= wish.most:
            return None
        wanted = _dearest(job, job.standing - wish.most, pricer)
    vector = _kept(job, wanted)
    if vector == job.vector:
        return None
    pauses = not wish.run or sum(vector) == 0
    if (Allowed.PAUSE if pauses else Allowed.SCALE) not in job.state.actions:
        return None
    found = Candidate(
        action=Action.PAUSE if pauses else Action.SCALE_TO,
        vector=vector,
        reason=Reason.CONSOLIDATION if idle else wish.reason,
        message=(
            f"{job.standing} replicas, what waits keeps {wish.most} busy" if idle else wish.message
        ),
        alone=True,
    )
    score = pricer.score(vector)
    if not isinstance(score, Score):
        found.refused = (score, "a price on the way is unknown")
        return found
    if idle:
        # the work costs the same, but what stands idle is saved
        share = max((_idle_share(spot) for spot in job.spots), default=1.0)
        score.parts = {
            name: value if name == "move" else value * share for name, value in score.parts.items()
        }
        score.total = sum(score.parts.values())
    elif wish.reason is Reason.EXPENSIVE_POWER:
        kilowatts = -sum(score.watts.values()) / 1000
        score.parts = dict.fromkeys(score.parts, 0.0) | {
            "energy": -kilowatts * wish.saves_per_kilowatt_hour,
            "move": score.parts["move"] * min(1.0, 1 / max(wish.cheap_hours, 1e-9)),
        }
        score.total = sum(score.parts.values())
    found.score = score
    return found


def _dear(job: Job, wish: Wish) -> dict[int, int]:
    """Replicas to leave by placement: all where nothing should run."""
    if wish.run or wish.dear:
        return dict(wish.dear)
    return {spot.index: spot.replicas for spot in job.spots}


def _dearest(job: Job, count: int, pricer: Pricer) -> dict[int, int]:
    """So many replicas, from the most expensive placement on."""
    costs = {spot.index: pricer.unit_cost(spot) or 0.0 for spot in job.spots}
    found = {}
    for spot in sorted(job.spots, key=lambda spot: (-costs[spot.index], spot.state.name)):
        part = 0 if spot.frozen is not None else min(count, _free(spot))
        found[spot.index] = part
        count -= part
    return found


def _free(spot: Spot) -> int:
    return max(0, spot.replicas - spot.state.min_replicas)


def _kept(job: Job, wanted: dict[int, int]) -> tuple[int, ...]:
    """The vector without `wanted`, inside the least counts of placements and workload."""
    left = [
        spot.replicas
        if spot.frozen is not None
        else spot.replicas - min(_free(spot), wanted.get(spot.index, 0))
        for spot in job.spots
    ]
    for spot in job.spots:
        left[spot.index] += min(spot.replicas - left[spot.index], max(0, job.floor - sum(left)))
    return tuple(left)


def _idle_share(spot: Spot) -> float:
    """Power of an idle replica as a share of a busy one's."""
    if spot.profile is None or not spot.profile.busy_watts:
        return 1.0
    return (spot.profile.loaded_idle_watts or 0) / spot.profile.busy_watts
