"""The fast loop's decision: power under the tightest bound, capacity back on a latency veto.

It needs no fresh plan and no solver: bounds and guard suffice, the plan only says whom to prefer.
What was commanded is credited, so that a tick never sheds twice for the same watts. Pure.
Neighbours: `core/governor/shed.py` (order of harm), `core/planner/cover.py` (what is owed), `core/planner/planner.py`.
"""

from __future__ import annotations

from wattshift.core.decision import Action, Decision, Effect, Governance, Notice, Plan, Target
from wattshift.core.governor.hold_above import Above
from wattshift.core.governor.hold_under import Under
from wattshift.core.governor.preference import preference
from wattshift.core.load.guard import GuardState
from wattshift.core.model import Allowed, Mode, Snapshot, Tier
from wattshift.core.planner.batch import level_of
from wattshift.core.planner.cover import Owed, cover, owed_to
from wattshift.core.planner.event_wait import (
    SETTLED_SECONDS,
    explained,
    held_until,
    in_time,
    settling,
)
from wattshift.core.planner.score import Pricer, watts_by_feed
from wattshift.core.planner.stability import horizon_seconds
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.outlook import outlook
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Feed, Job, Spot, Survey, survey

VALID_SECONDS = 60.0
"""A governor decision is for now."""
OVERHANG_SECONDS = 30.0
"""Wall seconds after a cap has changed in which its sequences are still in flight."""
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
    tick.keep_under()
    jobs = sorted(world.jobs, key=_first_served)
    for job in jobs:
        tick.make_up_elsewhere(job)
    for job in jobs:
        tick.give_back(job)
    tick.keep_above()
    return tick.result()


def _first_served(job: Job) -> tuple[int, bool, int, int, str]:
    state = job.state
    acting = 0 if state.mode is Mode.ENFORCE else 1
    return (acting, job.outside, TIERS.index(state.tier), -state.priority, job.key)


def _first_raised(job: Job) -> tuple[object, ...]:
    # what only watches draws nothing more: those that act come first
    return (job.state.mode is not Mode.ENFORCE, not job.outside, _first_served(job))


class _Tick:
    """Targets of one tick as they take shape."""

    def __init__(self, world: Survey, plan: Plan | None) -> None:
        self.world = world
        self.room = Room(world, growth=True)
        self.plan = plan
        self.vectors = {job.key: list(job.vector) for job in world.jobs}
        self.causes: dict[str, tuple[Reason, list[str]]] = {}
        self.shed_keys: set[str] = set()
        self.blocked: dict[str, str] = {}
        self.planned = {row.workload_key: row for row in plan.decisions} if plan else {}
        self.under = Under(world, self.vectors, preference(plan))
        self.above = Above(self.room, self.vectors)

    def keep_under(self) -> None:
        """Shed and cap at every connection that is over a bound."""
        for key in sorted(self.world.feeds):
            self.under.keep(self.world.feeds[key])
        for cause in self.under.causes:
            self.shed_keys.add(cause.workload_key)
            self._because(cause.workload_key, cause.reason, cause.words)

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
        until, name = held_until(job, self.world.now)
        if name and explained(job, base):
            # what the event takes is back before a replica that is started for it would serve
            taken |= {s.index for s in job.spots if not in_time(s, until, self.world.now)}
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
        if owed is not None and _slowed(job, self.world.now, self.world.snapshot.speed):
            owed = None
        hardness = Hardness.COMMITTED
        ended = self._ended(job)
        if owed is None and job.outside:
            owed, hardness = self._taken(job), Hardness.VOLUNTARY
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
        avoid = self._waits(job)
        # who misses an objective takes the reserve of a cooling limit too; others leave it
        room = self.room.claimed() if job.verdict.violated_now else self.room
        vector, why = cover(job, room, pricer, owed, hardness=hardness, avoid=avoid)
        if vector != job.vector:
            self._raise(job, job.vector, vector)
            self._because(job.key, owed.reason, owed.message)
        elif why:
            self.blocked[job.key] = why

    def _waits(self, job: Job) -> frozenset[int]:
        """Placements where nothing is given back yet: an event just took it, or is over before it serves."""
        now, speed = self.world.now, self.world.snapshot.speed
        found = {spot.index for spot in job.spots if settling(spot, now, speed)}
        until, name = held_until(job, now)
        if name and explained(job, job.vector):
            found |= {spot.index for spot in job.spots if not in_time(spot, until, now)}
        return frozenset(found)

    def keep_above(self) -> None:
        """Raise where an event wants more power."""
        order = sorted(self.world.jobs, key=_first_raised)
        for key in sorted(self.world.feeds):
            for cause in self.above.keep(self.world.feeds[key], order):
                self._because(cause.workload_key, cause.reason, cause.words)

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
        feeds = [world.feeds[key] for key in sorted(world.feeds)]
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
            caps=tuple(self.under.caps),
            notices=(*self.under.notices, *(row for feed in feeds for row in _doubts(feed))),
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
        """Name of an event that has ended where the job is placed, and no other is in force there."""
        for spot in job.spots:
            if spot.feed is None or any(row.active for row in spot.feed.site.events):
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

    def _taken(self, job: Job) -> Owed | None:
        """Held work that a bound took after the plan was made returns as soon as there is room.

        Less would be drawn than the bound allows until the next plan. Not within `SETTLED_SECONDS` of
        the last change, so that a load that trembles does not stop and start it.
        """
        plan, changed = self.plan, job.state.last_change_time
        if plan is None or plan.valid_until < self.world.now or changed is None:
            return None
        settled = changed + SETTLED_SECONDS * max(1.0, self.world.snapshot.speed)
        if changed < plan.grid_time or self.world.now < settled:
            return None
        row = self.planned.get(job.key)
        wanted = sum(target.replicas for target in row.targets) if row is not None else 0
        if wanted <= job.standing:
            return None
        return Owed(
            concurrency=0.0,
            replicas=wanted,
            reason=Reason.EVENT_ENDED,
            message=f"there is room again; back to the {wanted} replicas of the plan",
        )

    def _plan_decides(self, job: Job) -> bool:
        plan = self.plan
        if plan is None or plan.valid_until < self.world.now:
            return False
        return job.key in self.planned


_STATUS = {
    GuardState.WITHIN: "True",
    GuardState.IDLE: "True",
    GuardState.VIOLATED: "False",
    GuardState.UNKNOWN: "Unknown",
    GuardState.BLIND: "Unknown",
}


def _slowed(job: Job, now: float, speed: float) -> bool:
    """Whether caps explain what looks like growth: slower tokens keep more sequences in flight.

    They are lifted before a replica is added; then the load tells the truth again, once the sequences
    that they held up are done. Who misses an objective on devices that no cap slows is slowed by none.
    """
    if job.standing < job.floor:
        return False
    capped = {spot.index for spot in job.spots if _capped_lately(spot, now, speed)}
    missing = {spot.index for spot in job.spots if spot.verdict.violated_now}
    return bool(capped) and missing <= capped


def _capped_lately(spot: Spot, now: float, speed: float) -> bool:
    """Whether a cap slows a placement, or did until a moment ago."""
    state = spot.state
    if spot.replicas > 0 and state.power_cap_permille is not None:
        return True
    changed = state.power_cap_time
    return changed is not None and 0 <= now - changed < OVERHANG_SECONDS * max(1.0, speed)


def _doubts(feed: Feed) -> list[Notice]:
    """What people should know: bounds that contradict each other, power in doubt under a bound."""
    rows = [(Reason.BOUNDS_CONTRADICT, words) for words in feed.limits.notes]
    bounded = feed.limits.upper is not None or feed.limits.lower is not None
    if bounded and feed.power.reason is not None:
        rows.append((feed.power.reason, feed.power.message))
    return [
        Notice(
            site_name=feed.site.name,
            connection_name=feed.power.connection_name,
            reason=reason,
            message=words,
        )
        for reason, words in rows
    ]


def _never_measured(job: Job) -> bool:
    """No engine ever reported, so that only what was found can say how much is needed."""
    return bool(job.state.originals) and all(spot.state.engine is None for spot in job.spots)
