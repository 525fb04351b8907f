"""The fast loop's decision: power under the tightest bound, capacity back on a latency veto.

It needs no fresh plan and no solver: bounds and guard suffice, the plan only says whom to prefer.
What was commanded is credited, so that a tick never sheds twice for the same watts. Pure.
Neighbours: `core/shed.py` (order of harm), `core/cover.py` (what is owed), `core/planner.py`.
"""

from __future__ import annotations

import math

from wattshift.core.batch import level_of
from wattshift.core.cover import Owed, cover, owed_to
from wattshift.core.decision import Action, Decision, Effect, Governance, Plan, Target
from wattshift.core.guard import GuardState
from wattshift.core.limits import Bound, Hardness
from wattshift.core.model import Allowed, Mode, Snapshot, Tier
from wattshift.core.outlook import outlook
from wattshift.core.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.room import Room
from wattshift.core.score import Pricer, watts_by_feed
from wattshift.core.shed import may_change, replica_freed_watts, shed
from wattshift.core.stability import horizon_seconds
from wattshift.core.survey import Feed, Job, Survey, survey

VALID_SECONDS = 60.0
"""A governor decision is for now."""
TIERS = tuple(Tier)


def govern(snapshot: Snapshot, plan: Plan | None, now: float) -> Governance:
    """Only the workloads that must change now.

    Args:
        snapshot: the world of this tick.
        plan: the last plan, however old, or None.
        now: grid seconds.
    """
    world = survey(snapshot, now)
    tick = _Tick(world, plan)
    for key in sorted(world.feeds):
        tick.keep_under(world.feeds[key])
    jobs = sorted(world.jobs, key=_first_served)
    for job in jobs:
        tick.make_up_elsewhere(job)
    for job in jobs:
        tick.give_back(job)
    for key in sorted(world.feeds):
        tick.keep_above(world.feeds[key])
    return tick.result()


def _first_served(job: Job) -> tuple[int, bool, int, int, str]:
    state = job.state
    acting = 0 if state.mode is Mode.ENFORCE else 1
    return (acting, job.outside, TIERS.index(state.tier), -state.priority, job.key)


class _Tick:
    """Targets of one tick as they take shape."""

    def __init__(self, world: Survey, plan: Plan | None) -> None:
        self.world = world
        self.room = Room(world)
        self.plan = plan
        self.vectors = {job.key: list(job.vector) for job in world.jobs}
        self.causes: dict[str, tuple[Reason, list[str]]] = {}
        self.shed_keys: set[str] = set()
        self.blocked: dict[str, str] = {}
        self.freed: dict[FeedKey, float] = {}
        self.added: dict[FeedKey, float] = {}
        lowered = (row for row in plan.decisions if row.targets != row.basis) if plan else ()
        self.lowering = frozenset(
            row.workload_key
            for row in lowered
            if sum(t.replicas for t in row.targets) < sum(t.replicas for t in row.basis)
            or row.action is Action.MIGRATE
        )

    def keep_under(self, feed: Feed) -> None:
        """Shed for each upper bound of a feed, hardest first."""
        freed = 0.0
        others = _beside(self.freed, feed)
        last: Bound | None = None
        for hardness in Hardness:
            bound = feed.limits.upper_at(hardness)
            if bound is None or bound.upper_watts is None or bound is last:
                continue
            last = bound
            if bound.reason is Reason.RAMP_LIMIT:
                continue
            excess = _compared(feed, bound) - freed - bound.upper_watts
            if bound.whole_site:
                excess -= others
            if excess <= 0:
                continue
            done = shed(
                feed,
                bound,
                excess,
                self.world.jobs,
                self.vectors,
                lowering=self.lowering,
                most_watts=_ramp_down(feed, bound) - freed - others,
                first=freed + others <= 0,
            )
            freed += done.freed_watts
            self.freed[feed.key] = freed
            words = f"{feed.site.name}: {excess:.0f} W over {bound.name} {bound.upper_watts:.0f} W"
            for key in dict.fromkeys(done.touched or ()):
                self.shed_keys.add(key)
                self._because(key, bound.reason, words)

    def make_up_elsewhere(self, job: Job) -> None:
        """Raise other placements for what a bound took from users."""
        if job.key not in self.shed_keys or job.outside:
            return
        base = tuple(self.vectors[job.key])
        owed = Owed(
            concurrency=job.need or 0.0,
            replicas=max(job.floor, job.standing if job.need is None else 0),
            reason=self.causes[job.key][0],
            message="",
        )
        taken = {spot.index for spot in job.spots if base[spot.index] < spot.replicas}
        vector, _ = cover(job, self.room, None, owed, base=base, avoid=frozenset(taken))
        self._raise(job, base, vector)

    def give_back(self, job: Job) -> None:
        """Capacity that is owed now: guard, load, floor, or the end of an event."""
        state = job.state
        if job.key in self.shed_keys or not state.accepted or not state.originals_known:
            return
        if state.deleting or state.intent is not None or state.override is not None:
            return
        if Allowed.SCALE not in state.actions and not job.outside:
            return
        owed = owed_to(job)
        hardness = Hardness.COMMITTED
        ended = self._ended(job)
        if owed is None and (ended or (_never_measured(job) and not job.outside)):
            owed, hardness = self._owed_after(job, ended), Hardness.VOLUNTARY
        elif owed is not None and ended and owed.reason is Reason.DEMAND_GROWTH:
            owed = Owed(
                concurrency=owed.concurrency,
                replicas=owed.replicas,
                reason=Reason.EVENT_ENDED,
                message=f"{ended} has ended; {owed.message}",
            )
        if owed is None:
            return
        pricer = Pricer(self.world, job, horizon_seconds(state, self.world.snapshot.settings))
        vector, why = cover(job, self.room, pricer, owed, hardness=hardness)
        if vector != job.vector:
            self._raise(job, job.vector, vector)
            self._because(job.key, owed.reason, owed.message)
        elif why:
            self.blocked[job.key] = why

    def keep_above(self, feed: Feed) -> None:
        """Raise where an event wants more power: held work first, then any workload."""
        bound, power = feed.limits.lower, feed.power.committed_watts
        if bound is None or bound.lower_watts is None or power is None:
            return
        missing = bound.lower_watts - power
        if bound.whole_site:
            missing -= _beside(self.added, feed)
        # what only watches draws nothing more: those that act come first
        order = sorted(
            self.world.jobs,
            key=lambda job: (
                job.state.mode is not Mode.ENFORCE,
                not job.outside,
                _first_served(job),
            ),
        )
        for job in order:
            state = job.state
            held = state.intent is not None or state.override is not None or state.deleting
            if held or not state.accepted or not state.originals_known:
                continue
            if not may_change(job, bound):
                continue
            for spot in job.spots:
                if missing <= 0:
                    return
                if spot.feed is not feed or spot.profile is None:
                    continue
                limit = state.max_replicas - sum(self.vectors[job.key])
                count = min(self.room.most(spot), limit)
                each = replica_freed_watts(job, spot, feed)
                count = min(count, math.ceil(missing / each))
                if count <= 0:
                    continue
                self.vectors[job.key][spot.index] += count
                self.room.take(spot, count)
                missing -= count * each
                self.added[feed.key] = self.added.get(feed.key, 0.0) + count * each
                words = f"{feed.site.name}: {missing + count * each:.0f} W below {bound.name}"
                self._because(job.key, Reason.EVENT_FLOOR, words)

    def result(self) -> Governance:
        """Decisions for what changed, and the guard's words for everybody."""
        world, decisions, vetoes, within = self.world, [], [], []
        for job in world.jobs:
            if job.verdict.veto:
                words = job.verdict.message
                if job.key in self.blocked:
                    words = f"{words}; cannot give capacity back: {self.blocked[job.key]}"
                vetoes.append((job.key, job.verdict.reason or Reason.LATENCY_GUARD, words))
            within.append(
                (job.key, _STATUS[job.verdict.state], job.verdict.reason, job.verdict.message)
            )
            vector = tuple(self.vectors[job.key])
            if vector != job.vector:
                decisions.append(self._decision(job, vector))
        feeds = world.feeds.values()
        return Governance(
            grid_time=world.now,
            decisions=tuple(decisions),
            sites=tuple(outlook(feed, world, 0.0) for feed in feeds),
            vetoes=tuple(vetoes),
            within_objective=tuple(within),
            violations=tuple(
                (job.key, spot.state.name)
                for job in world.jobs
                for spot in job.spots
                if spot.verdict.violated_now
            ),
        )

    def _decision(self, job: Job, vector: tuple[int, ...]) -> Decision:
        reason, words = self.causes[job.key]
        before, after = watts_by_feed(job, job.vector), watts_by_feed(job, vector)
        action = Action.SCALE_TO
        if sum(vector) == 0:
            action = Action.PAUSE
        elif job.standing == 0:
            action = Action.RESUME
        return Decision(
            workload_key=job.key,
            workload_uid=job.state.uid,
            action=action,
            targets=tuple(
                Target(placement_name=spot.state.name, replicas=count)
                for spot, count in zip(job.spots, vector, strict=True)
            ),
            basis=tuple(
                Target(placement_name=spot.state.name, replicas=spot.replicas) for spot in job.spots
            ),
            reason=reason,
            message="; ".join(dict.fromkeys(words)),
            urgent=True,
            effect=Effect(
                facility_watts=round(sum(after.values()) - sum(before.values())),
                latency_note=job.verdict.message,
            ),
            valid_until=self.world.now + VALID_SECONDS * max(1.0, self.world.snapshot.speed),
        )

    def _because(self, key: str, reason: Reason, words: str) -> None:
        first, told = self.causes.get(key, (reason, []))
        self.causes[key] = (first, [*told, words])

    def _raise(self, job: Job, base: tuple[int, ...], vector: tuple[int, ...]) -> None:
        for spot in job.spots:
            self.room.take(spot, vector[spot.index] - base[spot.index])
        self.vectors[job.key] = list(vector)

    def _ended(self, job: Job) -> str:
        """Name of an event that has ended where the job is placed, while it is still told of."""
        for spot in job.spots:
            if spot.feed is None:
                continue
            for event in spot.feed.site.events:
                if not event.active and event.end_time <= self.world.now:
                    return f"event {event.name}"
        return ""

    def _owed_after(self, job: Job, ended: str) -> Owed | None:
        """What was found returns after an event, where no load tells and no fresh plan objects."""
        if job.outside and self._plan_decides(job):
            return None
        if not job.outside and job.need is not None:
            return None
        level = level_of(job)
        if job.standing >= level:
            return None
        return Owed(
            concurrency=0.0,
            replicas=level,
            reason=Reason.EVENT_ENDED,
            message=f"{ended or 'the bound'} has ended; back to {level} replicas as found",
        )

    def _plan_decides(self, job: Job) -> bool:
        plan = self.plan
        if plan is None or plan.valid_until < self.world.now:
            return False
        return any(row.workload_key == job.key for row in plan.decisions)


_STATUS = {
    GuardState.WITHIN: "True",
    GuardState.IDLE: "True",
    GuardState.VIOLATED: "False",
    GuardState.UNKNOWN: "Unknown",
    GuardState.BLIND: "Unknown",
}


def _compared(feed: Feed, bound: Bound) -> float:
    """Power that a bound is compared with: for events the safe figure, else the best."""
    power = feed.power
    if bound.reason in (Reason.EVENT_LIMIT, Reason.EVENT_FLOOR) or power.committed_watts is None:
        return power.upper_watts
    return power.committed_watts


def _beside(watts: dict[FeedKey, float], feed: Feed) -> float:
    """Watts that this tick changes at the other connections of the site."""
    name, key = feed.site.name, feed.key
    return sum(value for row, value in watts.items() if row[0] == name and row != key)


def _ramp_down(feed: Feed, bound: Bound) -> float:
    """Watts that may be shed in this tick: a minute's ramp less what is on its way."""
    limit = feed.site.ramp_down_watts_per_minute
    if limit is None or bound.hardness is Hardness.PHYSICAL:
        return float("inf")
    power = feed.power
    pending = max(0.0, power.it_watts - power.commanded_it_watts) * feed.terms.marginal
    return max(0.0, limit - pending)


def _never_measured(job: Job) -> bool:
    """No engine ever reported, so that only what was found can say how much is needed."""
    return bool(job.state.originals) and all(spot.state.engine is None for spot in job.spots)
