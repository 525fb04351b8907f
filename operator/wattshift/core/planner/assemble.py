"""Turns what the planner chose into decisions that explain themselves, and a plan with an id.

Neighbours: `core/planner/planner.py` (chooses), `core/decision.py` (the values), `core/explain.py` (words).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import islice

from wattshift.core.decision import (
    Action,
    Alternative,
    Decision,
    Effect,
    Plan,
    SiteOutlook,
    Target,
)
from wattshift.core.entry import Split
from wattshift.core.fleet.carry import Step
from wattshift.core.fleet.goal import Goals, objective
from wattshift.core.fleet.problem import Floats
from wattshift.core.planner.batch import Wish
from wattshift.core.planner.candidates import Candidate
from wattshift.core.planner.score import Pricer
from wattshift.core.planner.wake import next_wake_time
from wattshift.core.reasons import Reason
from wattshift.core.survey.outlook import outlook
from wattshift.core.survey.survey import Feed, Job, Survey

ALTERNATIVES = 3


@dataclass(slots=True, kw_only=True)
class Draft:
    """What is being decided for one job."""

    job: Job
    pricer: Pricer
    candidates: list[Candidate] = field(default_factory=list)
    chosen: Candidate | None = None
    hold: tuple[Reason, str] | None = None
    note: str = ""
    wish: Wish | None = None
    step: Step | None = None
    """Next step of a workload whose entry routes by origin."""

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be decided."""
        return self.chosen is not None or self.hold is not None


def assemble(
    drafts: list[Draft], world: Survey, notes: list[str], interval: int, found: Goals | None
) -> Plan:
    """The plan from all drafts, in the order of their keys; `interval` is seconds."""
    now = world.now
    decisions = tuple(_decision(draft, now + interval) for draft in drafts)
    digest = hashlib.sha256(repr((now, world.snapshot.wall_time)).encode())
    for row in decisions:
        digest.update(repr((row.workload_key, row.action, row.targets, row.reason)).encode())
    horizon = float(interval)
    bound, money, told = _bound(drafts, found)
    goal = None if found is None or bound is None else _goal(found)
    return Plan(
        id=digest.hexdigest()[:12],
        grid_time=now,
        valid_until=now + 2 * interval,
        decisions=decisions,
        sites=tuple(
            # where nobody can keep a limit its price means nothing
            _outlook(feed, world, horizon, None if bound is None else found)
            for feed in world.feeds.values()
        ),
        objective_per_hour=money,
        bound_per_hour=bound,
        goal_per_hour=goal,
        horizon_hours=None if found is None else found.horizon_hours,
        next_wake_time=next_wake_time(world, [row.wish for row in drafts]),
        loads=tuple(
            (draft.job.key, draft.job.load.concurrency)
            for draft in drafts
            if draft.job.load.concurrency is not None
        ),
        notes=(*notes, *dict.fromkeys(row.note for row in drafts if row.note), *told),
    )


def _bound(
    drafts: list[Draft], found: Goals | None
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """(bound, this plan) in money per hour, both or neither, and notes about it."""
    if found is None:
        return None, None, ()
    bound, money = found.bound_per_hour, objective(found, *_decided(drafts, found))
    # a limit that no plan keeps, now or in a later step, has no least cost
    if not money >= bound - 1e-6 * max(1e-3, abs(bound)):
        return None, None, ("no bound: what stands, or is needed later, is over a limit",)
    if found.left_out:
        words = (
            f"no room: {found.left_out:.1f} sequences with head room fit nowhere within the limits"
        )
        return bound, money, (f"{words}; bound and plan are told without them",)
    return bound, money, ()


def _goal(found: Goals) -> float:
    """Money per hour if every goal stood."""
    return objective(found, {key: row.vector for key, row in found.by_key.items()}, {})


def _outlook(feed: Feed, world: Survey, horizon: float, found: Goals | None) -> SiteOutlook:
    row = outlook(feed, world, horizon)
    if found is None:
        return row
    prices = found.shadow.get(feed.key, ())
    first = feed.connection is None or feed.connection is feed.site.connections[0]
    devices = sorted(found.device_shadow.items()) if first else []
    return replace(
        row,
        limit_price_per_kilowatt_hour=prices[0] if prices else None,
        limit_price_ahead=prices,
        device_prices=tuple(
            (name, price) for (site, name), price in devices if site == feed.site.name
        ),
    )


def _decided(
    drafts: list[Draft], found: Goals
) -> tuple[dict[str, tuple[int, ...]], dict[str, Floats]]:
    """What was decided for the workloads that the optimiser knows: replicas, and routes."""
    vectors, routes = {}, {}
    for draft in drafts:
        key = draft.job.key
        if key not in found.by_key:
            continue
        vectors[key] = draft.job.vector if draft.chosen is None else draft.chosen.vector
        if draft.step is not None:
            routes[key] = _followed(draft, draft.step)[1]
    return vectors, routes


def _followed(draft: Draft, here: Step) -> tuple[Split, Floats]:
    """Shares by origin, and units, of what was chosen of a step."""
    chosen = None if draft.chosen is None else draft.chosen.vector
    if chosen == here.vector:
        return here.split, here.carried
    if chosen == here.lower:
        return here.lower_split, here.lower_carried
    return here.standing_split, here.standing_carried


def _split(draft: Draft) -> Split:
    """Where the entry should send each origin; empty where it does not route by origin."""
    return () if draft.step is None else _followed(draft, draft.step)[0]


def _decision(draft: Draft, valid_until: float) -> Decision:
    job, chosen = draft.job, draft.chosen
    basis = tuple(
        Target(placement_name=spot.state.name, replicas=spot.replicas) for spot in job.spots
    )
    others = (row for row in draft.candidates if row is not chosen)
    alternatives = tuple(_alternative(job, row) for row in islice(others, ALTERNATIVES))
    if chosen is None:
        reason, message = draft.hold or (Reason.NOTHING_TO_GAIN, "")
        return Decision(
            workload_key=job.key,
            workload_uid=job.state.uid,
            action=Action.HOLD,
            targets=basis,
            basis=basis,
            reason=reason,
            message=message,
            alternatives=alternatives,
            valid_until=valid_until,
            split=_split(draft),
        )
    targets = tuple(
        Target(placement_name=spot.state.name, replicas=count)
        for spot, count in zip(job.spots, chosen.vector, strict=True)
    )
    score = chosen.score
    moving = chosen.action is Action.MIGRATE
    return Decision(
        workload_key=job.key,
        workload_uid=job.state.uid,
        action=chosen.action,
        targets=targets,
        basis=basis,
        reason=chosen.reason,
        message=chosen.message,
        source_name=job.spots[chosen.source].state.name if moving else "",
        destination_name=job.spots[chosen.destination].state.name if moving else "",
        effect=Effect()
        if score is None
        else Effect(
            facility_watts=round(sum(score.watts.values())),
            money_per_hour=score.total,
            grams_per_hour=score.grams_per_hour,
            latency_note=job.verdict.message,
        ),
        alternatives=alternatives,
        valid_until=valid_until,
        score=None if score is None else score.total,
        parts=() if score is None else tuple(score.parts.items()),
        split=_split(draft),
    )


def _alternative(job: Job, row: Candidate) -> Alternative:
    """What was not done; targets name only the placements that would change."""
    reason, why = row.refused or (Reason.NOTHING_TO_GAIN, "another choice saves more")
    changed = tuple(
        Target(placement_name=spot.state.name, replicas=count)
        for spot, count in zip(job.spots, row.vector, strict=True)
        if count != spot.replicas
    )
    score = row.score
    return Alternative(
        targets=changed,
        score=None if score is None else score.total,
        reason=reason,
        message=f"{row.message}: {why}",
        parts=() if score is None else tuple(score.parts.items()),
    )
