"""From a goal to the next step of a routed workload: raise now, lower once the raised replicas serve.

Never fewer in service than the need: a placement counts as carrying load when its replicas are in
service and, if there is demand, its own engines show requests. Neighbours: `core/fleet/goal.py`,
`core/planner/planner.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wattshift.core.entry import Split
from wattshift.core.fleet.classes import need_factor
from wattshift.core.fleet.flow import Flow, Network, Routes
from wattshift.core.fleet.goal import Goals
from wattshift.core.fleet.integers import EPSILON
from wattshift.core.fleet.places import dwells
from wattshift.core.fleet.problem import Floats, Problem
from wattshift.core.planner.stability import moves_made
from wattshift.core.survey.limits import Hardness
from wattshift.core.survey.own_supply import own_supply_watts, supplies_behind
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Job, Spot

SHORT = 1e-3
"""Share of the need by which capacity may be short before it is owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What may be done now towards the goal of one workload."""

    vector: tuple[int, ...]
    goal: tuple[int, ...]
    """Where it leads, as far as there is room."""
    lower: tuple[int, ...]
    """What may be lowered without raising anything: for when the step itself does not pay."""
    lower_split: Split
    lower_carried: Floats
    owed: bool
    """What is commanded does not carry the need: no dwell and no saving is asked for."""
    waiting: str
    """Which raised replicas must serve before others are lowered; empty = none."""
    split: Split
    """By origin: shares of its requests by placement."""
    standing_split: Split
    """The same if nothing is changed."""
    lasting_seconds: float
    """How long the goal is better than staying by what is known ahead; at least the first step."""
    carried: Floats
    """[classes, columns] of the workload: units by the split."""
    standing_carried: Floats


class Carrier:
    """The problem of one routed workload, and routes through it at given replica counts."""

    def __init__(self, goals: Goals, job: Job) -> None:
        fleet = goals.fleet
        part = goals.parts[job.key]
        small, classes, places = part.problem, part.classes, part.places
        group = int(fleet.problem.group[classes[0]])
        self.job = job
        self.spots = [fleet.spots[k] for k in places.tolist()]
        self._origins = [fleet.origins[c] for c in classes.tolist()]
        self._problem: Problem = small
        # replicas are given: a unit costs what it adds to them
        added = small.cost[0] * small.hours[0] - fleet.idle[places] / small.size
        self._worth: Floats = np.where(small.open, added[small.place], 0.0)
        self._kept = fleet.kept[places]
        self._bonus = small.start + goals.dual.move_price[group]
        self.exhausted = moves_made(job.state) >= job.state.max_moves_per_day
        """The day's moves are used up: only what must moves, whatever prices do."""
        if self.exhausted:
            self._bonus = np.full(self._bonus.shape, self._forbidding())
        self._need = float(small.need[0].sum())
        self._network = part.network
        self._routes: dict[tuple[bool, float], Routes] = {}
        self._splits: dict[int, tuple[Flow, Split]] = {}
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...] | None, float], Flow] = {}

    def flow(
        self, counts: list[int], *, preferred: list[int] | None = None, part: float = 1.0
    ) -> Flow:
        """Cheapest routes at these replicas.

        With `preferred`, beyond those only where needed; `part` of the need.
        """
        key = (tuple(counts), None if preferred is None else tuple(preferred), part)
        if key not in self._known:
            self._known[key] = self._flow(counts, preferred, part)
        return self._known[key]

    def _flow(self, counts: list[int], preferred: list[int] | None, part: float) -> Flow:
        most = np.asarray(counts, dtype=float) * self._problem.size
        kept = self._kept
        if preferred is not None:
            kept = np.minimum(np.asarray(preferred, dtype=float) * self._problem.size, most)
        key = (preferred is None, part)
        if key not in self._routes:
            bonus = self._bonus
            if preferred is not None:
                bonus = np.full(bonus.shape, self._forbidding())
            network = self._network
            if part < 1:
                less = replace(self._problem, need=self._problem.need * part)
                network = Network(less, limits=False)
            self._routes[key] = network.at(self._worth, bonus)
        return self._routes[key].route(kept, most)

    def _forbidding(self) -> float:
        """Money per unit that no difference between places outweighs."""
        return 100.0 * (float(np.abs(self._worth).max()) + 1e-9)

    def short(self, flow: Flow) -> bool:
        """Whether a flow leaves more than rounding unserved."""
        return float(flow.unserved.sum()) > self.least

    @property
    def least(self) -> float:
        """Units below which a shortage is rounding."""
        return SHORT * self._need

    def missing(self, flow: Flow) -> float:
        """Units that a flow leaves unserved."""
        return float(flow.unserved.sum())

    def loads(self, flow: Flow) -> Floats:
        """[N] units by place."""
        return self._problem.at(flow.carried)

    def used(self, flow: Flow) -> list[int]:
        """Replicas by place that a flow needs."""
        return [
            int(np.ceil(load / self.size(k) - EPSILON)) for k, load in enumerate(self.loads(flow))
        ]

    def size(self, k: int) -> float:
        """Units of one replica at a place."""
        return float(self._problem.size[k])

    def lasting(self, before: Flow, after: Flow) -> float:
        """Seconds for which the places after cost less than those before, from now on."""
        change = self.loads(after) - self.loads(before)
        saves = (self._problem.cost * change).sum(axis=1) < 0
        steps = saves.shape[0] if saves.all() else int(np.argmin(saves))
        return float(self._problem.hours[: max(1, steps)].sum()) * 3600

    def split(self, flow: Flow) -> Split:
        """Shares by origin; an origin that nothing serves is left out."""
        known = self._splits.get(id(flow))
        if known is not None and known[0] is flow:
            return known[1]
        carried = np.where(self._problem.open, flow.carried, 0.0)
        totals = carried.sum(axis=1)
        shares = carried / np.where(totals > 0, totals, 1.0)[:, None]
        there = (carried > 1e-6 * totals[:, None]).tolist()
        rows = []
        for c, (total, part) in enumerate(zip(totals.tolist(), shares.tolist(), strict=True)):
            if total > 0:
                places = self._problem.place[c].tolist()
                names = (self.spots[k].state.name for k in places)
                row = zip(names, part, there[c], strict=True)
                told = tuple((name, share) for name, share, more in row if more)
                rows.append((self._origins[c], told))
        found = tuple(rows)
        self._splits[id(flow)] = (flow, found)
        return found


def step(goals: Goals, job: Job, room: Room, now: float) -> Step | None:
    """The next step of a routed workload towards its goal; None where it has none."""
    goal = goals.by_key.get(job.key)
    if goal is None:
        return None
    carrier = Carrier(goals, job)
    spots = carrier.spots
    here = [spot.replicas for spot in spots]
    standing = carrier.flow(here)
    # half of the head room is slack, so that a load that trembles does not start replicas
    full = need_factor(job)
    owed = carrier.short(standing) and (
        any(row.verdict.violated_now for row in spots)
        or carrier.short(carrier.flow(here, part=(1 + full) / 2 / full))
    )
    hardness = Hardness.COMMITTED if owed else Hardness.VOLUNTARY
    wanted = [goal.vector[spot.index] for spot in spots]
    wanted = [
        min(count, spot.replicas + room.most(spot, hardness)) if count > spot.replicas else count
        for count, spot in zip(wanted, spots, strict=True)
    ]
    # who was changed within the dwell is not changed again for a saving
    wanted = [
        spot.replicas
        if (count < spot.replicas or not owed) and dwells(job, spot, count, now)
        else count
        for count, spot in zip(wanted, spots, strict=True)
    ]
    if job.verdict.veto:
        # no saving: what is not owed stays as it is
        wanted = [
            max(count, spot.replicas) if owed else spot.replicas
            for count, spot in zip(wanted, spots, strict=True)
        ]
    budget = job.state.max_replicas - job.standing
    raised = list(here)
    for k in sorted(range(len(spots)), key=lambda k: wanted[k] - here[k]):
        if wanted[k] > here[k]:
            more = min(wanted[k] - here[k], max(0, budget))
            raised[k] += more
            budget -= more
    fewer = [min(a, b) for a, b in zip(wanted, here, strict=True)]
    if carrier.exhausted:
        # what carries load stays: taking it away would move the load
        used = carrier.used(standing)
        fewer = [max(a, min(b, c)) for a, b, c in zip(fewer, here, used, strict=True)]
    lowered, waiting = _lowered(carrier, job, raised, fewer if raised == here else wanted, now)
    only = lowered
    if raised != here:
        only, _ = _lowered(carrier, job, here, fewer, now)
    vector, final, lower = list(job.vector), list(job.vector), list(job.vector)
    for k, spot in enumerate(spots):
        lower[spot.index] = min(only[k], here[k])
        vector[spot.index] = lowered[k]
        final[spot.index] = min(wanted[k], lowered[k]) if wanted[k] < here[k] else raised[k]
    after = carrier.flow(lowered)
    least = (
        after
        if only is lowered
        else carrier.flow([min(a, b) for a, b in zip(only, here, strict=True)])
    )
    reached = carrier.flow(
        [
            min(w, low) if w < h else r
            for w, low, h, r in zip(wanted, lowered, here, raised, strict=True)
        ]
    )
    return Step(
        vector=tuple(vector),
        goal=tuple(final),
        lower=tuple(lower),
        lower_split=carrier.split(least),
        lower_carried=least.carried,
        owed=owed
        and any(count > spot.replicas for count, spot in zip(lowered, spots, strict=True)),
        waiting=waiting,
        split=carrier.split(after),
        standing_split=carrier.split(standing),
        lasting_seconds=carrier.lasting(standing, reached),
        carried=after.carried,
        standing_carried=standing.carried,
    )


def _lowered(
    carrier: Carrier, job: Job, raised: list[int], wanted: list[int], now: float
) -> tuple[list[int], str]:
    """Counts after lowering what is not needed by what serves already, and who is waited for."""
    if all(count >= spot.replicas for count, spot in zip(wanted, carrier.spots, strict=True)):
        return raised, ""
    proven = [
        min(count, proves(job, spot)) for count, spot in zip(raised, carrier.spots, strict=True)
    ]
    late = [
        spot.state.name
        for spot, count, serves in zip(carrier.spots, wanted, proven, strict=True)
        if count > serves
    ]
    waiting = f"{', '.join(late)} must serve first" if late else ""
    if late:
        # load that waits for a replica moves once, to there: not to others for the time being
        used = carrier.used(carrier.flow([spot.replicas for spot in carrier.spots]))
        wanted = [
            count if _presses(spot, now) else max(count, min(spot.replicas, needed))
            for count, needed, spot in zip(wanted, used, carrier.spots, strict=True)
        ]
    flow = carrier.flow(proven, preferred=[min(a, b) for a, b in zip(wanted, proven, strict=True)])
    if carrier.missing(flow) > carrier.missing(carrier.flow(raised)) + carrier.least:
        return raised, waiting
    loads = carrier.loads(flow)
    found = list(raised)
    floor = job.floor
    for k, spot in enumerate(carrier.spots):
        if wanted[k] >= spot.replicas or not spot.verdict.removal_allowed:
            continue
        needs = int(np.ceil(loads[k] / carrier.size(k) - EPSILON))
        found[k] = min(spot.replicas, max(wanted[k], needs, spot.state.min_replicas))
    others = job.standing - sum(spot.replicas for spot in carrier.spots)
    k = 0
    while sum(found) + others < floor and k < len(found):
        found[k] = min(carrier.spots[k].replicas, found[k] + floor - sum(found) - others)
        k += 1
    return found, waiting


def _presses(spot: Spot, now: float) -> bool:
    """Whether what is at a connection leaves as soon as it can: it is over a bound, or over its own supply."""
    feed = spot.feed
    if feed is None:
        return False
    name = None if feed.connection is None else feed.connection.name
    own = own_supply_watts(feed.site, now, connection_name=name)
    short = bool(supplies_behind(feed.site, name)) and feed.uncapped_watts > own
    return short or feed.excess_watts() > 0


def proves(job: Job, spot: Spot) -> int:
    """Replicas of a placement that are seen to carry load."""
    serving = spot.state.in_service_replicas or 0
    if spot.state.controller_lags:
        return 0
    engine = spot.state.engine
    if serving == 0 or engine is None or not job.load.concurrency:
        return serving
    seen = engine.running > 0 or engine.concurrency > 0 or engine.requests_per_second > 0
    return serving if seen else 0
