"""The slow loop's decision: one Decision per workload, coupled through what sites can bear.

Order: what people said, capacity owed to users, feeds that are or will be over a bound, then savings
by value. The optimiser (`core/fleet/`) says what all together should be; candidates lead there and pass
the same checks as those found without it. Pure: the same snapshot gives the same plan. Neighbours:
`core/planner/candidates.py`, `core/planner/score.py`, `core/planner/routed.py`, `core/governor/governor.py`.
"""

from __future__ import annotations

from wattshift.core.decision import (
    Action,
    Plan,
)
from wattshift.core.fleet.advantage import Lasting
from wattshift.core.fleet.classes import routed
from wattshift.core.fleet.goal import Goals, goals
from wattshift.core.model import Allowed, Mode, Snapshot, Tier
from wattshift.core.planner.assemble import Draft, assemble
from wattshift.core.planner.batch import wishes
from wattshift.core.planner.batch_lowering import fewer
from wattshift.core.planner.candidates import Candidate, savings, towards
from wattshift.core.planner.cover import Owed, cover, owed_to
from wattshift.core.planner.relief import fits, relieve, take
from wattshift.core.planner.routed import routed_step, without_head_room
from wattshift.core.planner.score import Pricer, Score
from wattshift.core.planner.stability import Budgets, horizon_seconds, pays, waits, within_dwell
from wattshift.core.planner.standing import standing_order
from wattshift.core.power.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Job, Survey, survey

TIERS = tuple(Tier)
"""Firm first."""


def plan(snapshot: Snapshot, now: float) -> Plan:
    """Decide for every workload; pure and deterministic.

    Args:
        snapshot: the world; events count already that start before a replica, started by the next
            plan, could serve.
        now: grid seconds, normally the snapshot's own.

    Returns:
        A plan with exactly one decision per workload, in the order of their keys, Hold included, also
        for modes that do not act (`core/validate.py` refuses those).
    """
    interval = snapshot.settings.plan_interval_seconds
    world = survey(snapshot, now, lead_seconds=interval + _slowest_start(snapshot))
    room, budgets = Room(world), Budgets(world)
    drafts = [_draft(job, world) for job in world.jobs]
    for draft in drafts:
        order = standing_order(draft.job, room)
        if order is None:
            continue
        if order.action is Action.HOLD and order.vector == draft.job.vector:
            draft.hold = (order.reason, order.message)
        else:
            draft.chosen = Candidate(
                action=order.action,
                vector=order.vector,
                reason=order.reason,
                message=order.message,
            )
    found, trouble = _optimum(world, drafts)
    trouble += _ask(world, drafts)
    for draft in sorted(drafts, key=_first_served):
        if not draft.settled and not routed_step(draft, found, world, room):
            _cover_owed(draft, world, room)
    for draft in drafts:
        if not draft.settled:
            _collect(draft, room, found)
    notes = [*trouble, *relieve(drafts, world, room, now)]
    _choose_savings(drafts, world, room, budgets)
    return assemble(drafts, world, notes, interval, found)


def _slowest_start(snapshot: Snapshot) -> float:
    """Seconds until a replica of the slowest profile serves: who leaves a feed has to be there before."""
    used = {row.profile_name for job in snapshot.workloads for row in job.placements}
    return max(
        (float(row.cold_start_seconds) for row in snapshot.profiles if row.name in used),
        default=0.0,
    )


def _optimum(world: Survey, drafts: list[Draft]) -> tuple[Goals | None, list[str]]:
    """What the optimiser wants of all that is not decided yet; without one, a note that says why.

    Capacity that is owed and bounds must not wait for a solver, whatever is wrong with it.
    """
    try:
        return goals(world, tuple(draft.job for draft in drafts if not draft.settled)), []
    except Exception as error:  # noqa: BLE001
        return None, [f"decided without the optimiser: {type(error).__name__}: {error}"]


def _ask(world: Survey, drafts: list[Draft]) -> list[str]:
    """What batch work should do; where that cannot be told it stays as it is, and a note says why."""
    try:
        wanted = wishes(world, [draft.job for draft in drafts if not draft.settled])
    except Exception as error:  # noqa: BLE001
        return [f"batch work stays as it is: {type(error).__name__}: {error}"]
    for draft in drafts:
        draft.wish = wanted.get(draft.job.key)
    return []


def _draft(job: Job, world: Survey) -> Draft:
    seconds = horizon_seconds(job.state, world.snapshot.settings)
    return Draft(job=job, pricer=Pricer(world, job, seconds))


def _first_served(draft: Draft) -> tuple[int, int, int, str]:
    """Who gets room first: those that act, firm tiers, high priority."""
    state = draft.job.state
    acting = 0 if state.mode is Mode.ENFORCE else 1
    return (acting, TIERS.index(state.tier), -state.priority, draft.job.key)


def _cover_owed(draft: Draft, world: Survey, room: Room) -> None:
    """Capacity that load, guard, floor or deadline ask for; prices only say where."""
    job = draft.job
    owed, hardness = owed_to(job), Hardness.COMMITTED
    if owed is None and job.outside:
        owed, hardness = _owed_batch(draft, world), Hardness.VOLUNTARY
    if owed is None:
        return
    if Allowed.SCALE not in job.state.actions and not (job.outside and job.standing == 0):
        draft.hold = (Reason.ACTION_NOT_ALLOWED, f"{owed.message}; Scale is not allowed")
        return
    avoid = frozenset[int]() if draft.wish is None else draft.wish.avoid
    vector, why = cover(job, room, draft.pricer, owed, hardness=hardness, avoid=avoid)
    if vector == job.vector:
        draft.hold = (Reason.CAPACITY_SHORT, f"{owed.message}; {why}")
        return
    for spot in job.spots:
        room.take(spot, vector[spot.index] - spot.replicas)
    score = draft.pricer.score(vector)
    draft.chosen = Candidate(
        action=Action.RESUME if job.standing == 0 else Action.SCALE_TO,
        vector=vector,
        reason=owed.reason,
        message=f"{owed.message}; still short: {why}" if why else owed.message,
        score=score if isinstance(score, Score) else None,
    )


def _owed_batch(draft: Draft, world: Survey) -> Owed | None:
    """Replicas that work with outside dispatch should have now; None = it has them, or it waits."""
    job, wish = draft.job, draft.wish
    if wish is None or not wish.run or wish.dear or job.standing >= wish.replicas:
        return None
    if wish.reason is Reason.CHEAPER_POWER:
        early = within_dwell(job, world.now)
        if early is not None:
            draft.hold = early
            return None
    return Owed(concurrency=0.0, replicas=wish.replicas, reason=wish.reason, message=wish.message)


def _collect(draft: Draft, room: Room, found: Goals | None) -> None:
    """Price what could be saved."""
    job, wish = draft.job, draft.wish
    if draft.step is not None or routed(job):
        return  # of a routed workload only the optimiser knows which origins would be left out
    if wish is not None and job.standing > 0:
        less = fewer(job, wish, draft.pricer)
        if less is not None:
            draft.candidates.append(less)
            if not wish.run:
                return
    draft.candidates += savings(job, room, draft.pricer)
    goal = None if found is None else found.by_key.get(job.key)
    if goal is not None:
        draft.candidates += towards(job, goal.vector, room, draft.pricer, draft.candidates)
    draft.candidates.sort(key=_by_score)


def _by_score(candidate: Candidate) -> tuple[bool, float, tuple[int, ...]]:
    total = candidate.score.total if candidate.score is not None else float("inf")
    return (candidate.refused is not None, total, candidate.vector)


def _choose_savings(drafts: list[Draft], world: Survey, room: Room, budgets: Budgets) -> None:
    """Best saving of each job, the most valuable job first, while room and budgets last."""
    settings, now = world.snapshot.settings, world.now
    lasting = Lasting(world)
    queue = []
    for draft in drafts:
        if draft.settled:
            continue
        best = draft.candidates[0].score if draft.candidates else None
        acting = 0 if draft.job.state.mode is Mode.ENFORCE else 1
        queue.append((acting, best.total if best is not None else 0.0, draft.job.key, draft))
    queue.sort(key=lambda row: row[:3])
    taken: dict[FeedKey, float] = {}
    for draft in drafts:
        _count(draft, taken)
    for *_, draft in queue:
        seconds = horizon_seconds(draft.job.state, settings)
        for candidate in draft.candidates:
            _price_again(draft, candidate, world, taken)
            refused = (
                candidate.refused
                or pays(candidate, settings, candidate.lasting_seconds or seconds)
                or lasting.refuses(draft.job, candidate)
                or waits(draft.job, candidate, now)
                or budgets.refuses(draft.job, candidate)
            )
            if refused is None and not fits(draft.job, candidate, room):
                refused = (Reason.CAPACITY_SHORT, "others took the room at the destination")
            if refused is None:
                budgets.take(draft.job, candidate)
                take(draft, candidate, room)
                _count(draft, taken)
                break
            candidate.refused = refused
        if draft.chosen is None:
            draft.hold = _why_hold(draft)


def _count(draft: Draft, taken: dict[FeedKey, float]) -> None:
    """Add what a decision changes at each connection."""
    if draft.chosen is None or draft.chosen.score is None:
        return
    for key, watts in draft.chosen.score.watts.items():
        taken[key] = taken.get(key, 0.0) + watts


def _price_again(
    draft: Draft, candidate: Candidate, world: Survey, taken: dict[FeedKey, float]
) -> None:
    """Price a candidate behind what others of this plan took of a surplus that it counted on."""
    score = candidate.score
    if score is None or candidate.refused is not None or candidate.alone:
        return
    for key, watts in score.watts.items():
        price = draft.pricer.price(world.feeds[key])
        curve = price.up if watts > 0 else price.down
        if len(curve) > 1 and taken.get(key, 0.0) * watts > 0:
            pricer = draft.pricer
            if candidate.lasting_seconds:
                pricer = Pricer(world, draft.job, candidate.lasting_seconds)
            again = pricer.score(candidate.priced or candidate.vector, taken)
            if isinstance(again, Score):
                candidate.score = without_head_room(again) if candidate.priced else again
            return


def _why_hold(draft: Draft) -> tuple[Reason, str]:
    """The reason of a Hold: the guard's word first, else why the best saving was refused."""
    job = draft.job
    if job.verdict.veto:
        return job.verdict.reason or Reason.LATENCY_GUARD, job.verdict.message
    if draft.wish is not None and draft.wish.run:
        return Reason.NOTHING_TO_GAIN, draft.wish.message
    if draft.wish is not None and job.standing == 0:
        return draft.wish.reason, draft.wish.message
    if draft.candidates:
        best = min(
            draft.candidates,
            key=lambda row: (row.score is None, row.score.total if row.score else 0),
        )
        if best.refused is not None and best.refused[0] is not Reason.NOTHING_TO_GAIN:
            return best.refused[0], f"{best.message}: {best.refused[1]}"
    elif not job.outside and (job.need is None or not job.verdict.removal_allowed):
        reason = job.verdict.reason or Reason.METRICS_STALE
        return reason, job.load.source if job.need is None else job.verdict.message
    unknown = [spot.frozen for spot in job.spots if spot.frozen is not None and spot.replicas > 0]
    if unknown:
        return unknown[0]
    return Reason.NOTHING_TO_GAIN, "no other placement or count saves"
