"""Whose replicas go when a feed is over a bound: the rungs of `core/governor/ladder.py` that change counts.

Held work, spare replicas, (committed and harder) down to each tier's tolerated loss, (mandatory and
physical) beyond it, then below floors; all rungs of acting workloads before those of workloads that only watch. In a
rung: flexible tiers first, then whom the plan prefers, then who has not given for longest. Taken
greedily, then fitted (`core/governor/fit.py`). Neighbour: `core/governor/caps.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from wattshift.core.governor.fit import SLACK, Offers, Taking, Unit, fit
from wattshift.core.governor.ladder import Mechanism, Step, steps
from wattshift.core.governor.preference import Preference
from wattshift.core.model import Allowed, Mode, OverrideMode, Tier
from wattshift.core.planner.batch import level_of
from wattshift.core.planner.cover import EPSILON, capacity
from wattshift.core.planner.local_load import only_here
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Bound, Hardness
from wattshift.core.survey.survey import Feed, Job, Spot

TIERS = tuple(Tier)
HELD, SPARE, FIRST_CAP, BEYOND, BELOW_FLOORS = 1, 2, 4, 7, 8
"""Rungs that follow rules of their own; the one between keeps what the tier tolerates."""
Pair = tuple[Job, Spot]
Amounts = tuple[float, float, bool, float, Callable[[], float]]
"""Of `shed`: excess, most, first, trim, slowed."""


@dataclass(slots=True, kw_only=True)
class Shed:
    """What a feed gives up; the vectors have changed in place."""

    freed_watts: float = 0.0
    acting_watts: float = 0.0
    """Of it what workloads free that act: other connections of the site may count on that."""
    steps: dict[str, Step] = field(default_factory=dict)
    """Highest rung by workload that gives."""
    ramped: bool = False
    """The ramp stopped it: the rest goes in the next ticks."""


def shed(
    feed: Feed,
    bound: Bound,
    excess_watts: float,
    here: Sequence[Pair],
    vectors: dict[str, list[int]],
    *,
    prefer: Preference | None = None,
    most_watts: float = float("inf"),
    first: bool = True,
    trim_watts: float = 0.0,
    slowed: Callable[[], float] = lambda: 0.0,
) -> Shed:
    """Lower `vectors` until `excess_watts` are freed at `feed`, as far as the bound's hardness lets.

    Args:
        feed: the connection that is over its bound.
        bound: the bound; its hardness says how much harm it justifies.
        excess_watts: facility watts to free.
        here: placements fed by `feed`, with their workloads.
        vectors: target replicas by job key, changed in place.
        prefer: what the plan says about whom to ask first.
        most_watts: what may be freed in this tick (ramp).
        first: nothing was shed here in this minute yet: one replica, the smallest step, may exceed it.
        trim_watts: what may be left to device power caps.
        slowed: the part of it that held work gives at the present `vectors`: it is slowed before it is paused.
    """
    if excess_watts <= 0:
        return Shed()
    prefer = prefer or Preference()
    rows = [pair for pair in here if _may_touch(pair[0], pair[1], bound)]
    rows.sort(key=lambda pair: _order(pair[0], pair[1], prefer))
    # What only watches frees nothing: it comes when those that act have given all they may.
    acting = [pair for pair in rows if pair[0].state.mode is Mode.ENFORCE]
    result = _shed_group(
        feed, bound, acting, vectors, (excess_watts, most_watts, first, trim_watts, slowed)
    )
    result.acting_watts = result.freed_watts
    rest = excess_watts - result.freed_watts
    if result.ramped or rest <= trim_watts + SLACK:
        return result
    watching = [pair for pair in rows if pair[0].state.mode is not Mode.ENFORCE]
    first = first and result.freed_watts <= 0
    amounts = (rest, most_watts - result.freed_watts, first, trim_watts, slowed)
    more = _shed_group(feed, bound, watching, vectors, amounts)
    result.freed_watts += more.freed_watts
    result.steps |= more.steps
    result.ramped = more.ramped
    return result


def _shed_group(
    feed: Feed,
    bound: Bound,
    rows: list[Pair],
    vectors: dict[str, list[int]],
    amounts: Amounts,
) -> Shed:
    """Take from one group and give back what is too much; amounts are as in `_take`."""
    excess_watts, _, _, trim_watts, slowed = amounts
    taking = Taking(feed, vectors)
    table = {step.number: step for step in steps(Mechanism.SCALE, bound.hardness)}
    ramped = _take(taking, rows, table, bound, amounts)
    if taking.freed + SLACK >= excess_watts - trim_watts:
        offers = Offers(
            lambda number: [Unit(job, spot, number) for job, spot in rows],
            lambda unit: (
                _spare(table[unit.step], unit.job, unit.spot, vectors[unit.job.key], bound) > 0
            ),
        )
        # caps take off what is less than a replica, and replace no step that does less harm
        if taking.units and taking.units[-1].step < FIRST_CAP:
            trim_watts = max(slowed(), min(trim_watts, taking.last_watts))
        fit(taking, excess_watts, offers, trim_watts=trim_watts)
    given: dict[str, Step] = {}
    for unit in sorted(taking.units, key=lambda unit: unit.step):
        given[unit.job.key] = table[unit.step]
    return Shed(freed_watts=taking.freed, steps=given, ramped=ramped)


def _take(
    taking: Taking,
    rows: list[Pair],
    table: dict[int, Step],
    bound: Bound,
    amounts: Amounts,
) -> bool:
    """Take in the order of the ladder until it is enough; True = the ramp stopped it."""
    excess, most, first, trim, slowed = amounts
    for step in table.values():

        def enough(step: Step = step) -> bool:
            left = trim if step.number > FIRST_CAP else slowed()
            return taking.freed + SLACK >= excess - left

        if enough():
            return False
        for job, spot, count in _offers(step, rows, taking.vectors, bound):
            unit = Unit(job, spot, step.number)
            for _ in range(count):
                before = taking.freed
                taking.take(unit)
                over = taking.freed > most + EPSILON
                if over and not (first and before <= 0 < most):
                    taking.undo(unit)
                    return True
                if enough():
                    return False
    return False


def _may_touch(job: Job, spot: Spot, bound: Bound) -> bool:
    state, hard = job.state, bound.hardness <= Hardness.MANDATORY
    if not state.accepted or not state.originals_known or state.deleting:
        return False
    if spot.frozen is not None and not (hard and _only_held(spot)):
        return False
    return hard or (may_change(job, bound) and state.intent is None and state.override is None)


def _only_held(spot: Spot) -> bool:
    """Whether a person's Hold of the site is all that is against a write here."""
    state = spot.state
    free = state.target_found and not state.target_problem and not state.rival
    known = spot.profile is not None and state.observed_replicas is not None
    return spot.frozen is not None and spot.frozen[0] is Reason.OVERRIDE_HOLD and free and known


def may_change(job: Job, bound: Bound) -> bool:
    """Whether the workload allows a change of its count, which a mandatory bound need not ask."""
    if bound.hardness <= Hardness.MANDATORY:
        return True
    wanted = Allowed.PAUSE if job.outside else Allowed.SCALE
    return wanted in job.state.actions or Allowed.SCALE in job.state.actions


def _order(job: Job, spot: Spot, prefer: Preference) -> tuple[object, ...]:
    state = job.state
    held = state.intent is not None or (
        state.override is not None and state.override.mode is not OverrideMode.RELEASE
    )
    return (
        held,
        -TIERS.index(state.tier),
        state.priority,
        *prefer.rank(job.key, spot),
        state.last_change_time if state.last_change_time is not None else float("-inf"),
        # who changed in one tick has no order by name, or the first letter would always give
        crc32(f"{job.key} {state.last_change_time}".encode()) if state.last_change_time else 0,
        job.key,
        spot.index,
    )


def _offers(
    step: Step, group: list[Pair], vectors: dict[str, list[int]], bound: Bound
) -> Iterator[tuple[Job, Spot, int]]:
    """(job, placement, replicas that may go): all of one after another, or one of each a round."""
    if not step.rounds:
        for job, spot in group:
            count = _spare(step, job, spot, vectors[job.key], bound)
            if count > 0:
                yield job, spot, count
        return
    # firm tiers only when the flexible ones have nothing left
    for tier in reversed(TIERS):
        left = [pair for pair in group if pair[0].state.tier is tier]
        while left:
            left = [
                (job, spot)
                for job, spot in left
                if _spare(step, job, spot, vectors[job.key], bound) > 0
            ]
            for job, spot in left:
                # the same workload may have given at another placement in this round
                if _spare(step, job, spot, vectors[job.key], bound) > 0:
                    yield job, spot, 1


def _spare(step: Step, job: Job, spot: Spot, vector: list[int], bound: Bound) -> int:
    """Replicas that a rung may take from a placement now; floors are kept but by the last."""
    if step.number == BELOW_FLOORS:
        return vector[spot.index]
    here = min(vector[spot.index] - spot.state.min_replicas, sum(vector) - job.floor)
    if job.outside:
        return max(0, here) if step.number == HELD else 0
    if step.number == HELD or here <= 0:
        return 0
    if step.number == BEYOND:
        # the firm tier tolerates nothing: it gives last, with the floors of the others
        return 0 if job.state.tier is Tier.FIRM else here
    if spot.capacity <= 0:
        return 0
    if step.number == SPARE:
        if job.need is None or job.verdict.veto:
            return 0
        if bound.hardness is Hardness.VOLUNTARY and not spot.verdict.removal_allowed:
            return 0
        keep, part = job.need, 1.0
    else:
        # of what is needed, else of what was found: of what is left would lose a share every tick
        part = 1 - job.state.tier.tolerated_loss
        keep = (_found(job) if job.need is None else job.need) * part
    # replicas that start yet carry nothing: they go first, and nothing is taken because they come
    serving = tuple(_serving(row, vector[row.index]) for row in job.spots)
    starting = vector[spot.index] - serving[spot.index]
    site = spot.state.site_name
    here_too = sum(
        count * row.capacity
        for count, row in zip(serving, job.spots, strict=True)
        if row.state.site_name == site
    )
    own = here_too - part * only_here(job, spot)
    slack = min(capacity(job, serving) - keep, own)
    return max(0, min(here, starting + int(max(0.0, slack) / spot.capacity + EPSILON)))


def _serving(spot: Spot, count: int) -> int:
    """Of `count` replicas of a placement those that carry load already."""
    seen = spot.state.in_service_replicas
    return count if seen is None else min(count, seen)


def _found(job: Job) -> float:
    """Capacity that a workload of unknown load had before anything was taken from it."""
    here = capacity(job, job.vector)
    return here * max(1.0, level_of(job) / job.standing) if job.standing > 0 else here
