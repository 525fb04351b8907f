"""Device power caps: the rungs of the ladder that need no replica to go, held to the watt.

They take what is left over by whole replicas, and stand in for slower rungs until those have taken
effect, then they are lifted. Every tick says all caps anew, from the power as it would be without
them, so that no memory is needed. Neighbours: `core/governor/ladder.py` (the rungs), `core/governor/governor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wattshift.core.governor.ladder import Mechanism, Step, available, steps
from wattshift.core.model import Mode, Snapshot, Tier
from wattshift.core.planner.cover import capacity
from wattshift.core.power.power import running_replicas, uncapped_watts
from wattshift.core.power.power_profile import CONCAVITY, WHOLE, PowerProfile, throughput
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.survey import Feed, Job, Spot

LIFT = 0.5
"""Part of what caps take too much that one correction lifts; what they take too little is taken whole."""
LIFT_ELSEWHERE = 0.2
"""The same where load can be served elsewhere: it went there, and comes back when a cap is lifted, with
watts that no cap counts. One that lifted half would swing where three times the watts come back."""
MARGIN_PERMILLE = 1
"""Share of the bound by which caps aim below it, so that noise does not lie above it half the time."""
STEADY_PERMILLE = 1
"""A cap in force stays while it saves at most this share of the bound too much: no trembling."""
AT_CAP = 0.9
"""Share of a cap from which on devices count as drawing it: the model may read low by the rest."""
SLIGHT = 0.05
"""Share of the power up to which a cap saves about as much as a model is wrong by."""
TIERS = tuple(Tier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capped:
    """One placement that is to be capped."""

    job: Job
    spot: Spot
    permille: int
    step: Step


@dataclass(frozen=True, slots=True)
class Load:
    """Replicas that draw, and what each would draw without a cap, in facility watts."""

    job: Job
    spot: Spot
    count: int
    each: float
    busy: float
    harmless: int
    """Lowest cap, in permille, that leaves the throughput that the tier does not tolerate to lose."""

    def saved(self, permille: int) -> float:
        """Facility watts that a cap takes off."""
        return self.count * max(0.0, self.each - self.busy * permille / WHOLE)


def cappable(
    snapshot: Snapshot,
    feed: Feed,
    here: Sequence[tuple[Job, Spot]],
    vectors: Mapping[str, Sequence[int]],
) -> list[Load]:
    """Placements of a feed whose devices can be capped, with what they draw; counts of this tick.

    Watts as `core/power/power.py` counts them: what is taken off there is what is asked for here.
    """
    found = []
    for job, spot in here:
        state, profile = spot.state, spot.profile
        if profile is None or not profile.cap_throughput_permille or spot.frozen is not None:
            continue
        if not available(Mechanism.POWER_CAP, state) or job.state.mode is not Mode.ENFORCE:
            continue
        if not job.state.accepted or job.state.deleting or job.state.override is not None:
            continue
        count = (running_replicas(state) or 0) + state.draining_replicas
        if count <= 0 or not profile.has_power:
            continue
        busy = (profile.busy_watts or 0) * feed.terms.marginal
        each = uncapped_watts(job.state, state, count, profile, snapshot) * feed.terms.marginal
        limit = busy * (state.power_cap_permille or 0) / WHOLE
        if each >= AT_CAP * limit:
            # what a change of a cap yields is known to the watt where devices draw it
            each = max(each, limit)
        found.append(Load(job, spot, count, each, busy, _harmless(job, profile, vectors)))
    return found


def _harmless(job: Job, profile: PowerProfile, vectors: Mapping[str, Sequence[int]]) -> int:
    """Lowest cap under which the replicas that stay serve the load, less what the tier tolerates."""
    if job.outside:
        return 0
    whole = capacity(job, tuple(vectors[job.key]))
    used = 1.0
    if job.load.concurrency is not None and whole > 0:
        used = min(1.0, job.load.concurrency / whole) ** CONCAVITY
    kept = used * (1 - job.state.tier.tolerated_loss)
    low, high = profile.cap_throughput_permille[0][0], WHOLE
    while low < high:
        middle = (low + high) // 2
        if throughput(profile, middle) >= kept:
            high = middle
        else:
            low = middle + 1
    return high


def light_watts(loads: Sequence[Load], hardness: Hardness) -> float:
    """What the lightest rung could take off for a bound of this hardness, to the watt."""
    for step in steps(Mechanism.POWER_CAP, hardness):
        rows = [row for group in _groups(loads, hardness) for row in group]
        return sum(row.saved(_least(row, step, hardness)) for row in rows)
    return 0.0


def held_watts(
    loads: Sequence[Load], hardness: Hardness, vectors: Mapping[str, Sequence[int]]
) -> float:
    """The part of it that held work gives at these counts: what is paused draws nothing to cap."""
    for step in steps(Mechanism.POWER_CAP, hardness):
        return sum(
            row.saved(_least(row, step, hardness))
            * min(1.0, vectors[row.job.key][row.spot.index] / row.count)
            for row in loads
            if row.job.outside
        )
    return 0.0


def allot(
    loads: Sequence[Load],
    steady_watts: float,
    bridge_watts: float,
    hardness: Hardness,
    upper_watts: float,
) -> list[Capped]:
    """Caps that take what is above the bound at this moment off a feed: they act within seconds.

    Args:
        loads: what can be capped.
        steady_watts: the part that no replica gives: rungs that do not stand in take no more.
        bridge_watts: facility watts above the bound now, by the power without caps.
        hardness: of the bound.
        upper_watts: the bound, for the width in which caps in force are left alone.
    """
    margin = MARGIN_PERMILLE * upper_watts / WHOLE
    saved = sum(row.saved(row.spot.state.power_cap_permille or WHOLE) for row in loads)
    # a model that reads low takes savings for half of what they are: lifting all would swing
    aim = bridge_watts + margin
    wanted = max(aim, saved - _lift(loads) * (saved - aim))
    if wanted <= margin or not loads:
        return []
    lasting = steps(Mechanism.POWER_CAP, hardness)
    kept = _kept(loads, bridge_watts, margin + STEADY_PERMILLE * upper_watts / WHOLE)
    if kept:
        return [_capped(row, row.spot.state.power_cap_permille or WHOLE) for row in kept]
    chosen: dict[int, Capped] = {}
    taken: dict[int, float] = {}
    for step in _rungs():
        lasts = step in lasting
        if not lasts and (step.bridges is None or hardness > step.bridges):
            continue
        stands_in = step.bridges is not None and hardness <= step.bridges
        goal = wanted if stands_in else min(wanted, steady_watts + margin)
        for group in _groups(loads, hardness):
            missing = goal - sum(taken.values())
            if missing <= 0:
                break
            before = sum(taken.get(id(row.spot), 0.0) for row in group)
            least = {id(row): _least(row, step, hardness) for row in group}
            permille = _level(group, missing + before, least)
            for row in group:
                level = max(permille, least[id(row)])
                if row.saved(level) > taken.get(id(row.spot), 0.0):
                    taken[id(row.spot)] = row.saved(level)
                    chosen[id(row.spot)] = Capped(
                        job=row.job, spot=row.spot, permille=level, step=step
                    )
    return list(chosen.values())


def eased(loads: Sequence[Load], found: list[Capped], room_watts: float) -> list[Capped]:
    """The caps, no slight one lifted further than the room under the bound allows whatever its devices draw.

    A slight cap saves more than a model knows that reads a little low: lifted at once it is missed at once,
    and comes back with the next reading, for as long as the bound holds.
    """
    chosen = {id(cap.spot): cap for cap in found}
    rises: list[tuple[Load, int, int]] = []
    for row in loads:
        now = row.spot.state.power_cap_permille
        if now is None or row.saved(now) > SLIGHT * row.count * row.each:
            continue
        held = chosen.get(id(row.spot))
        to = WHOLE if held is None else held.permille
        if to > now:
            rises.append((row, now, to))
    added = sum(row.count * row.busy * (to - now) / WHOLE for row, now, to in rises)
    most = _lift(loads) * max(0.0, room_watts)
    if added <= most:
        return found
    for row, now, to in rises:
        chosen[id(row.spot)] = _capped(row, now + int((to - now) * most / added))
    return list(chosen.values())


def _lift(loads: Sequence[Load]) -> float:
    elsewhere = any(
        row.spot.state.power_cap_permille is not None and _served_elsewhere(row.job, row.spot)
        for row in loads
    )
    return LIFT_ELSEWHERE if elsewhere else LIFT


def _served_elsewhere(job: Job, spot: Spot) -> bool:
    """Whether requests can go to replicas of another site while these are slow."""
    return not job.outside and any(
        row.replicas > 0 and row.state.site_name != spot.state.site_name for row in job.spots
    )


def _rungs() -> tuple[Step, ...]:
    return steps(Mechanism.POWER_CAP, Hardness.PHYSICAL)


def _capped(row: Load, permille: int) -> Capped:
    step = next((step for step in _rungs() if permille >= step.cap_permille), _rungs()[-1])
    return Capped(job=row.job, spot=row.spot, permille=permille, step=step)


def _kept(loads: Sequence[Load], wanted: float, width: float) -> list[Load]:
    """Caps in force that are near enough, so that noise does not move them every second."""
    rows = [row for row in loads if row.spot.state.power_cap_permille is not None]
    saved = sum(row.saved(row.spot.state.power_cap_permille or WHOLE) for row in rows)
    return rows if rows and wanted <= saved <= wanted + width else []


def _least(row: Load, step: Step, hardness: Hardness) -> int:
    """Lowest cap of a rung: the curve's, and no lower than users stand, unless the bound is hard.

    For work that nobody waits for every rung goes as deep as the deepest: slow replicas do more per watt
    than fewer that are fast.
    """
    assert row.spot.profile is not None
    deepest = min(row.cap_permille for row in _rungs())
    least = deepest if row.job.outside else step.cap_permille
    least = max(least, row.spot.profile.cap_throughput_permille[0][0])
    hard = hardness <= Hardness.MANDATORY and step.softest >= hardness
    return least if hard else max(least, row.harmless)


def _groups(loads: Sequence[Load], hardness: Hardness) -> Iterator[list[Load]]:
    """Who is capped together and alike: held work, then tier by tier, the firm one for hard bounds."""
    yield [row for row in loads if row.job.outside]
    if hardness is Hardness.VOLUNTARY:
        return
    for tier in reversed(TIERS):
        if tier is Tier.FIRM and hardness > Hardness.MANDATORY:
            return
        rows = [row for row in loads if not row.job.outside and row.job.state.tier is tier]
        if rows:
            yield rows


def _level(group: Sequence[Load], wanted: float, least: dict[int, int]) -> int:
    """Highest common cap that takes `wanted` watts off a group, none below its least."""
    low, high = min(least.values(), default=WHOLE), WHOLE

    def saved(permille: int) -> float:
        return sum(row.saved(max(permille, least[id(row)])) for row in group)

    if saved(low) <= wanted:
        return low
    while high - low > 1:
        middle = (low + high) // 2
        if saved(middle) >= wanted:
            low = middle
        else:
            high = middle
    return low
