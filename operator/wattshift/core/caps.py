"""Device power caps: the rungs of the ladder that need no replica to go, held to the watt.

They take what is left over by whole replicas, and stand in for slower rungs until those have taken
effect, then they are lifted. Every tick says all caps anew, from the power as it would be without
them, so that no memory is needed. Neighbours: `core/ladder.py` (the rungs), `core/governor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wattshift.core.ladder import Mechanism, Step, available, steps
from wattshift.core.limits import Hardness
from wattshift.core.model import Mode, Tier
from wattshift.core.power import replica_watts
from wattshift.core.survey import Feed, Job, Spot

WHOLE = 1000
"""Permille of busy watts at which a cap takes nothing."""
STEADY_PERMILLE = 5
"""A cap in force stays while it saves at most this share of the bound too much: no trembling."""
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

    def saved(self, permille: int) -> float:
        """Facility watts that a cap takes off."""
        return self.count * max(0.0, self.each - self.busy * permille / WHOLE)


def cappable(feed: Feed, here: Sequence[tuple[Job, Spot]]) -> list[Load]:
    """Placements of a feed whose devices can be capped, with what they draw."""
    found = []
    for job, spot in here:
        state, profile = spot.state, spot.profile
        if profile is None or not profile.cap_throughput_permille or spot.frozen is not None:
            continue
        if not available(Mechanism.POWER_CAP, state) or job.state.mode is not Mode.ENFORCE:
            continue
        if not job.state.accepted or job.state.deleting or job.state.override is not None:
            continue
        count = (state.ready_replicas or 0) + state.draining_replicas
        if count <= 0:
            continue
        engine = state.engine
        use = None if engine is None or job.outside else engine.concurrency / count
        busy = (profile.busy_watts or 0) * feed.terms.marginal
        each = (replica_watts(profile, use) or 0.0) * feed.terms.marginal
        found.append(Load(job, spot, count, each, busy))
    return found


def light_watts(loads: Sequence[Load], hardness: Hardness) -> float:
    """What the lightest rung could take off for a bound of this hardness, to the watt."""
    for step in steps(Mechanism.POWER_CAP, hardness):
        rows = [row for group in _groups(loads, hardness) for row in group]
        return sum(row.saved(max(step.cap_permille, _least(row))) for row in rows)
    return 0.0


def allot(
    loads: Sequence[Load],
    steady_watts: float,
    bridge_watts: float,
    hardness: Hardness,
    upper_watts: float,
) -> list[Capped]:
    """Caps that take `steady_watts`, and while slower rungs lag `bridge_watts`, off a feed.

    Args:
        loads: what can be capped.
        steady_watts: facility watts that no replica gives; rungs that the bound justifies.
        bridge_watts: facility watts above the bound at this moment; rungs that may stand in too.
        hardness: of the bound.
        upper_watts: the bound, for the width in which caps in force are left alone.
    """
    wanted = max(steady_watts, bridge_watts)
    if wanted <= 0 or not loads:
        return []
    lasting = steps(Mechanism.POWER_CAP, hardness)
    kept = _kept(loads, wanted, STEADY_PERMILLE * upper_watts / WHOLE)
    if kept:
        return [_capped(row, row.spot.state.power_cap_permille or WHOLE) for row in kept]
    chosen: dict[int, Capped] = {}
    taken: dict[int, float] = {}
    for step in _rungs():
        lasts = step in lasting
        if not lasts and (step.bridges is None or hardness > step.bridges):
            continue
        goal = wanted if step.bridges is not None and hardness <= step.bridges else steady_watts
        for group in _groups(loads, hardness):
            missing = goal - sum(taken.values())
            if missing <= 0:
                break
            before = sum(taken.get(id(row.spot), 0.0) for row in group)
            permille = _level(group, missing + before, step.cap_permille)
            for row in group:
                level = max(permille, _least(row))
                if row.saved(level) > taken.get(id(row.spot), 0.0):
                    taken[id(row.spot)] = row.saved(level)
                    chosen[id(row.spot)] = Capped(
                        job=row.job, spot=row.spot, permille=level, step=step
                    )
    return list(chosen.values())


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


def _least(row: Load) -> int:
    """Lowest cap that the profile's curve knows."""
    assert row.spot.profile is not None
    return row.spot.profile.cap_throughput_permille[0][0]


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


def _level(group: Sequence[Load], wanted: float, least: int) -> int:
    """Highest common cap that takes `wanted` watts off a group, at least `least`."""
    low, high = least, WHOLE
    if sum(row.saved(low) for row in group) <= wanted:
        return low
    while high - low > 1:
        middle = (low + high) // 2
        if sum(row.saved(middle) for row in group) >= wanted:
            low = middle
        else:
            high = middle
    return low
