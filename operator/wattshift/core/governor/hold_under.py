"""Keeping every connection under its upper bounds, hardest bound first, by the ladder.

Counts are compared with the power as it would be without device caps, so that a cap that bridges a
drain hides nothing from the slower rungs. Mutable while one tick takes shape. Neighbours:
`core/governor/governor.py` (the tick), `core/governor/shed.py` and `core/governor/caps.py` (the rungs).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from wattshift.core.decision import Notice, PowerCap
from wattshift.core.governor.bursts import COMING, owed_watts, passing_watts
from wattshift.core.governor.caps import (
    Load,
    allot,
    cappable,
    eased,
    held_watts,
    light_watts,
)
from wattshift.core.governor.freed import drawn_watts
from wattshift.core.governor.ladder import Mechanism, available, spoken
from wattshift.core.governor.preference import Preference
from wattshift.core.governor.shed import Pair, shed
from wattshift.core.planner.event_wait import settling
from wattshift.core.power.meter_lag import CAP_EFFECT_SECONDS, capped_since
from wattshift.core.power.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Bound, Hardness
from wattshift.core.survey.room import STILL
from wattshift.core.survey.survey import Feed, Survey

ON_ITS_WAY_BACK = (Reason.RAMP_LIMIT, Reason.REBOUND_LIMIT)
"""Bounds that growth has to keep; nothing is shed for them, but caps are lifted along them."""
_NOTICEABLE_WATTS = 1.0


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a workload was lowered."""

    workload_key: str
    reason: Reason
    words: str


class Under:
    """What one tick takes at all connections; `vectors` change in place."""

    def __init__(self, world: Survey, vectors: dict[str, list[int]], prefer: Preference) -> None:
        self.freed: dict[FeedKey, float] = {}
        self.causes: list[Cause] = []
        self.caps: list[PowerCap] = []
        self.notices: list[Notice] = []
        self._snapshot = world.snapshot
        self._now = world.now
        self._vectors = vectors
        self._prefer = prefer
        self._here: dict[FeedKey, list[Pair]] = {}
        self._lowered: set[str] = set()
        self._capping: set[FeedKey] = set()
        for job in world.jobs:
            for spot in job.spots:
                if spot.feed is None:
                    continue
                self._here.setdefault(spot.feed.key, []).append((job, spot))
                if spot.state.mechanisms and available(Mechanism.POWER_CAP, spot.state):
                    self._capping.add(spot.feed.key)

    def keep(self, feed: Feed) -> None:
        """Shed for each upper bound of a connection, then cap what whole replicas leave over."""
        here = self._here.get(feed.key, [])
        if feed.key in self._capping and self._unsettled(feed, here):
            self._keep_caps(feed, here)
            return
        loads = (
            cappable(self._snapshot, feed, here, self._vectors) if feed.key in self._capping else []
        )
        others = _beside(self.freed, feed)
        saved = feed.power.cap_saved_committed_watts
        arriving = self._arriving(feed, here)
        freed, steady = 0.0, 0.0
        binding: Bound | None = None
        last: Bound | None = None
        for hardness in Hardness:
            bound = feed.limits.upper_at(hardness)
            if bound is None or bound.upper_watts is None or bound is last:
                continue
            last = bound
            if bound.reason in ON_ITS_WAY_BACK:
                continue
            beside = others if bound.whole_site else 0.0
            excess = _compared(feed, bound) + saved + arriving - bound.upper_watts - beside
            if loads and bound.hardness is not Hardness.PHYSICAL:
                excess -= passing_watts(feed)
            if excess - freed <= 0:
                continue
            light = light_watts(loads, bound.hardness)
            if loads and self._bridged(feed, bound, here, excess - freed <= light):
                if excess - freed > steady:
                    steady, binding = excess - freed, bound
                continue
            left = _ramp_down(feed, bound)
            done = shed(
                feed,
                bound,
                excess - freed,
                here,
                self._vectors,
                prefer=self._prefer,
                most_watts=min(left - freed - others, _above_floor(feed, bound) - freed),
                first=freed + others <= 0 and _at_rest(feed, left),
                trim_watts=light,
                slowed=partial(held_watts, loads, bound.hardness, self._vectors),
            )
            words = (
                f"{feed.site.name}: {excess - freed:.0f} W over {bound.name} "
                f"{bound.upper_watts:.0f} W"
            )
            freed += done.freed_watts
            self.freed[feed.key] = self.freed.get(feed.key, 0.0) + done.acting_watts
            self._lowered.update(done.steps)
            for key, step in done.steps.items():
                self.causes.append(Cause(key, bound.reason, f"{words} ({spoken(step)})"))
            rest = excess - freed
            if rest > steady:
                steady, binding = rest, bound
            if rest > light + _NOTICEABLE_WATTS and not done.ramped:
                self._short(feed, bound, rest - light)
        if loads:
            # anew, for those that stay are fuller by now
            self._cap(feed, cappable(self._snapshot, feed, here, self._vectors), steady, binding)

    def _arriving(self, feed: Feed, here: list[Pair]) -> float:
        """Watts of tokens that come here because their replicas elsewhere were lowered in this tick."""
        if feed.power.ceiling or not self._lowered:
            return 0.0
        total = 0.0
        for job in {id(job): job for job, _ in here if job.key in self._lowered}.values():
            vector = self._vectors[job.key]
            if job.load.concurrency is not None and not job.outside:
                more = drawn_watts(job, feed, vector) - drawn_watts(job, feed, job.vector)
                total += max(0.0, more)
        return total

    def _bridged(self, feed: Feed, bound: Bound, here: list[Pair], little: bool) -> bool:
        """Whether caps go first: at once for little, and until what was lowered for a bound is gone and shows.

        A moment of prompts that are computed again asks for no replica; what devices that are capped
        deeply would draw without is known roughly, and to shed for that takes too much. Physical limits
        do not wait.
        """
        metered, now, speed = feed.power.metered_watts, self._now, self._snapshot.speed
        if bound.hardness is Hardness.PHYSICAL:
            return False
        if feed.power.cap_saved_watts <= 0:
            return little
        if metered is None or metered > (bound.upper_watts or 0.0):
            return False
        return any(settling(spot, now, speed) for _, spot in here)

    def _unsettled(self, feed: Feed, here: list[Pair]) -> bool:
        """Whether the meter does not show the last change of a cap yet: it would be made twice.

        Physical limits do not wait for it.
        """
        changed = capped_since(spot.state for _, spot in here)
        meter = feed.connection.metered if feed.connection is not None else None
        if changed is None or feed.power.metered_watts is None or meter is None:
            return False
        hard = feed.limits.upper_at(Hardness.PHYSICAL)
        if hard is not None and (feed.power.now_watts or 0.0) > (hard.upper_watts or 0.0):
            return False
        shown = meter.source_time if meter.source_time is not None else self._snapshot.grid_time
        return shown < changed + CAP_EFFECT_SECONDS * self._snapshot.speed

    def _keep_caps(self, feed: Feed, here: list[Pair]) -> None:
        for job, spot in here:
            permille = spot.state.power_cap_permille
            if permille is not None:
                self.caps.append(
                    PowerCap(
                        workload_key=job.key,
                        placement_name=spot.state.name,
                        permille=permille,
                        reason=Reason.EVENT_LIMIT,
                        message=f"{feed.site.name}: the meter does not show the last change yet",
                    )
                )

    def _cap(self, feed: Feed, loads: list[Load], steady: float, binding: Bound | None) -> None:
        """Caps that should be in force: what replicas leave over, and what they have yet to do."""
        power = feed.power
        bound, bridge = binding, float("-inf")
        for row in (*_uppers(feed), *feed.limits.recovery):
            if row.upper_watts is None:
                continue
            over = _now(feed, row) + power.cap_saved_watts - row.upper_watts
            if row.reason is Reason.EVENT_LIMIT:
                over += owed_watts(feed, row.upper_watts)
                over += row.upper_watts * (COMING if self._starts(feed) else 0.0)
            if over > bridge:
                bridge = over
                # without one that binds, the nearest: caps are lifted towards it, not all at once
                bound = row if binding is None or steady < over else bound
        if bound is None or bound.upper_watts is None:
            return
        most = power.cap_saved_watts + _ramp_down(feed, bound) - self.freed.get(feed.key, 0.0)
        lower = feed.limits.lower_watts
        if lower is not None and power.now_watts is not None:
            most = min(most, power.now_watts + power.cap_saved_watts - lower)
        hardness = bound.hardness
        if bound.reason in ON_ITS_WAY_BACK:
            hardness = min(hardness, Hardness.COMMITTED)
        if bound.reason in ON_ITS_WAY_BACK:
            # caps are lifted along such a bound; work that nobody waits for is also put back by it
            loads = [row for row in loads if row.job.outside or _is_capped(row)]
        found = allot(loads, steady, min(bridge, most), hardness, bound.upper_watts)
        if lower is None or (power.now_watts is not None and power.now_watts > lower):
            found = eased(loads, found, power.cap_saved_watts - bridge)
        for cap in found:
            words = (
                f"{feed.site.name}: {bridge:.0f} W over {bound.name} "
                f"{bound.upper_watts:.0f} W ({spoken(cap.step)})"
            )
            self.caps.append(
                PowerCap(
                    workload_key=cap.job.key,
                    placement_name=cap.spot.state.name,
                    permille=cap.permille,
                    reason=bound.reason,
                    message=words,
                )
            )

    def _starts(self, feed: Feed) -> bool:
        """Whether replicas that start will draw at once, and compute prompts again, when they serve."""
        return any(
            spot.state.in_service_replicas is not None
            and spot.state.in_service_replicas < spot.replicas
            for _, spot in self._here.get(feed.key, ())
        )

    def _short(self, feed: Feed, bound: Bound, watts: float) -> None:
        softer = "" if bound.hardness <= Hardness.MANDATORY else " that it justifies"
        words = f"{watts:.0f} W over {bound.name}: nothing is left to shed{softer}"
        self.notices.append(
            Notice(
                site_name=feed.site.name,
                connection_name=feed.power.connection_name,
                reason=Reason.BOUND_SHORT,
                message=words,
            )
        )


def _is_capped(row: Load) -> bool:
    return row.spot.state.power_cap_permille is not None


def _uppers(feed: Feed) -> list[Bound]:
    """The tightest upper bound of each hardness, once."""
    found: list[Bound] = []
    for hardness in Hardness:
        bound = feed.limits.upper_at(hardness)
        if bound is not None and (not found or bound is not found[-1]):
            found.append(bound)
    return found


def _compared(feed: Feed, bound: Bound) -> float:
    """Power that a bound is compared with: for events the safe figure, else the best."""
    power = feed.power
    if bound.reason in (Reason.EVENT_LIMIT, Reason.EVENT_FLOOR) or power.committed_watts is None:
        return power.upper_watts
    return power.committed_watts


def _now(feed: Feed, bound: Bound) -> float:
    """Power at this moment: as metered, for caps act within seconds and are corrected by the meter.

    What has come since the meter was read counts already; what has gone does not.
    """
    power = feed.power
    if power.now_watts is None or power.committed_watts is None:
        return power.upper_watts
    if power.metered_watts is not None:
        return max(power.metered_watts, power.now_watts)
    return power.now_watts + max(0.0, _compared(feed, bound) - power.committed_watts)


def _beside(watts: dict[FeedKey, float], feed: Feed) -> float:
    """Watts that this tick changes at the other connections of the site."""
    name, key = feed.site.name, feed.key
    return sum(value for row, value in watts.items() if row[0] == name and row != key)


def _ramp_down(feed: Feed, bound: Bound) -> float:
    """Watts that may be shed in this tick: a minute's ramp less what fell, or is on its way to."""
    limit = feed.site.ramp_down_watts_per_minute
    if limit is None or bound.hardness is Hardness.PHYSICAL:
        return float("inf")
    power = feed.power
    fallen = max(0.0, power.it_watts - power.commanded_it_watts) * feed.terms.marginal
    most = feed.connection.most_watts if feed.connection is not None else None
    if most is not None and power.committed_watts is not None:
        fallen = max(fallen, most - power.committed_watts)
    return max(0.0, limit - fallen)


def _above_floor(feed: Feed, bound: Bound) -> float:
    """Watts above a lower bound that is harder than the upper one: it may not be broken for that."""
    lower, power = feed.limits.lower, feed.power.committed_watts
    if lower is None or lower.lower_watts is None or power is None:
        return float("inf")
    if lower.hardness >= bound.hardness:
        return float("inf")
    return max(0.0, power + feed.power.cap_saved_committed_watts - lower.lower_watts)


def _at_rest(feed: Feed, left: float) -> bool:
    """Whether nearly the whole ramp of this minute is left, so that one large replica may go."""
    limit = feed.site.ramp_down_watts_per_minute
    return limit is None or left >= (1 - STILL) * limit
