"""Hours and watts that batch work may use, step by step: jobs take their part one after the other.

All at once, because each alone would count on the same surplus of own supply, and stop and start with
the others for ever. Other load is taken to stay as it is; what is not known ahead counts like the
dearest that is known. Neighbours: `core/planner/batch.py` (asks), `core/fleet/ahead.py` (prices).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from wattshift.core.fleet.ahead import Ahead, ahead
from wattshift.core.fleet.limits import room_ahead
from wattshift.core.fleet.problem import Floats
from wattshift.core.model import Mode
from wattshift.core.planner.score import watts_of
from wattshift.core.power.power import FeedKey
from wattshift.core.survey.survey import Feed, Job, Spot, Survey

HOUR = 3600.0
EXACT_SECONDS = 3 * HOUR
"""Changes of price sooner than that are edges of their own; later ones are averaged by the hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Replicas of one placement that may run in one step at one price."""

    step: int
    index: int
    """Of the spot."""
    price: float
    """Reporting currency per kWh."""
    replicas: float
    seconds: float
    own: bool = False
    """On surplus of own supply."""
    above: bool = False
    """It would set a new billed peak."""
    delay: float = 0.0
    """Cost of waiting for it, per kWh."""

    @property
    def cost(self) -> float:
        """By which slots are chosen."""
        return self.price + self.delay


@dataclass(slots=True, kw_only=True)
class _Ledger:
    """What one connection still has, by step."""

    price: Ahead
    surplus: Floats
    room: Floats
    below: Floats
    """Watts of import that set no new billed peak."""


class Agenda:
    """Prices, surplus and room by step for the batch jobs of one plan."""

    def __init__(self, world: Survey, jobs: Sequence[Job]) -> None:
        """Args: world; jobs = all with an outside dispatcher, in any order."""
        self._world = world
        feeds: dict[FeedKey, Feed] = {}
        for job in jobs:
            for spot in job.spots:
                if spot.feed is not None and spot.profile is not None and spot.frozen is None:
                    feeds[spot.feed.key] = spot.feed
        self.edges = _edges(world, list(feeds.values()))
        self.seconds: Floats = np.diff(self.edges)
        mine: dict[FeedKey, float] = {}
        for job in jobs:
            if acting(job):
                for spot in job.spots:
                    if spot.feed is not None and spot.frozen is None:
                        key = spot.feed.key
                        mine[key] = mine.get(key, 0.0) + spot.replicas * draws(spot)
        self._ledgers: dict[FeedKey, _Ledger] = {}
        for key, feed in feeds.items():
            price = ahead(feed, world, self.edges)
            if price is None:
                continue
            used = max(0.0, (feed.power.committed_watts or 0.0) - mine.get(key, 0.0))
            supply = price.own_watts if price.own is not None else None
            surplus = np.zeros(self.seconds.shape) if supply is None else supply - used
            imported = np.full(self.seconds.shape, used) if supply is None else used - supply
            self._ledgers[key] = _Ledger(
                price=_prudent(price, self.edges),
                surplus=np.maximum(0.0, surplus),
                room=np.maximum(0.0, room_ahead(feed, self.edges) + mine.get(key, 0.0)),
                below=np.maximum(0.0, price.peak_watts - np.maximum(0.0, imported)),
            )

    def slots(self, job: Job, most: int, end: float) -> list[Slot]:
        """Where and when `most` replicas of a job may run before `end`, the cheapest of each step.

        Args:
            job: with an outside dispatcher.
            most: replicas at the same time.
            end: grid seconds.
        """
        found: list[Slot] = []
        rows = [self._offer(spot, acting(job)) for spot in job.spots if self._known(spot)]
        for step, (start, following) in enumerate(pairwise(self.edges.tolist())):
            seconds = min(following, end) - start
            if seconds <= 0:
                break
            here = [slot for row in rows for slot in row.at(step, seconds)]
            here.sort(key=lambda slot: (slot.price, slot.index))
            left = float(most)
            for slot in here:
                count = min(left, slot.replicas)
                if count <= 0:
                    continue
                left -= count
                found.append(slot if count == slot.replicas else replace(slot, replicas=count))
        return found

    def standing(self, job: Job) -> list[Slot]:
        """What the replicas that run now cost in the first step, block by block."""
        found: list[Slot] = []
        for spot in job.spots:
            left = float(spot.replicas)
            if left <= 0 or not self._known(spot):
                continue
            for slot in self._offer(spot, acting(job)).at(0, float(self.seconds[0])):
                if slot.above:
                    continue  # what runs has set its peak
                count = left if not slot.own else min(left, slot.replicas)
                if count > 0:
                    found.append(
                        Slot(
                            step=0,
                            index=spot.index,
                            price=slot.price,
                            replicas=count,
                            seconds=slot.seconds,
                            own=slot.own,
                        )
                    )
                    left -= count
        return found

    def take(self, job: Job, used: Sequence[tuple[Slot, float]]) -> None:
        """Use up what a job was given: (slot, replicas)."""
        if not acting(job):
            return
        for slot, replicas in used:
            spot = job.spots[slot.index]
            assert spot.feed is not None
            ledger = self._ledgers[spot.feed.key]
            watts = replicas * draws(spot)
            ledger.room[slot.step] = max(0.0, ledger.room[slot.step] - watts)
            if not slot.own and not slot.above:
                ledger.below[slot.step] = max(0.0, ledger.below[slot.step] - watts)
            if slot.own:
                ledger.surplus[slot.step] = max(0.0, ledger.surplus[slot.step] - watts)

    def start_of(self, step: int) -> float:
        """Grid seconds at which a step begins."""
        return float(self.edges[step])

    def _known(self, spot: Spot) -> bool:
        return spot.frozen is None and spot.feed is not None and spot.feed.key in self._ledgers

    def _offer(self, spot: Spot, counted: bool) -> _Offer:
        assert spot.feed is not None
        ledger = self._ledgers[spot.feed.key]
        each = max(1.0, draws(spot))
        own = ledger.surplus
        room = ledger.room
        if not counted:
            # it is in the load of others, and is asked as if it were not
            own = own + spot.replicas * each
            room = room + spot.replicas * each
        most = float(spot.state.max_replicas)
        if spot.no_raise is not None:
            most = min(most, float(spot.replicas))
        devices = self._world.free_devices(spot)
        if spot.profile is not None and np.isfinite(devices):
            free = max(0.0, devices) // max(1, spot.profile.devices_per_replica)
            most = min(most, spot.replicas + free)
        fits = np.minimum(most, np.floor(room / each + 1e-6))
        price = ledger.price
        return _Offer(
            index=spot.index,
            own=None if price.own is None else price.own.tolist(),
            grid=price.grid.tolist(),
            peak=price.peak.tolist(),
            surplus=np.minimum(own / each, fits).tolist(),
            fits=fits.tolist(),
            below=(ledger.below / each).tolist(),
        )


@dataclass(slots=True, kw_only=True)
class _Offer:
    """What one placement has to offer to one job, by step."""

    index: int
    own: list[float] | None
    """Price of own supply; None = there is none."""
    grid: list[float]
    peak: list[float]
    """On top for what sets a new billed peak."""
    surplus: list[float]
    """Replicas on own supply."""
    fits: list[float]
    """Replicas in all."""
    below: list[float]
    """Replicas that set no new billed peak."""

    def at(self, step: int, seconds: float) -> list[Slot]:
        """The blocks of one step, own supply first where it is cheaper."""
        grid, index = self.grid[step], self.index
        found = []
        cheap = 0.0
        if self.own is not None and self.own[step] < grid:
            cheap = self.surplus[step]
            found.append(
                Slot(
                    step=step,
                    index=index,
                    price=self.own[step],
                    replicas=cheap,
                    seconds=seconds,
                    own=True,
                )
            )
        rest = max(0.0, self.fits[step] - cheap)
        calm = min(rest, self.below[step])
        found.append(Slot(step=step, index=index, price=grid, replicas=calm, seconds=seconds))
        if rest > calm:
            found.append(
                Slot(
                    step=step,
                    index=index,
                    price=grid + self.peak[step],
                    replicas=rest - calm,
                    seconds=seconds,
                    above=True,
                )
            )
        return found


def draws(spot: Spot) -> float:
    """Facility watts of one busy replica."""
    if spot.feed is None or spot.profile is None:
        return 0.0
    return spot.feed.terms.marginal * watts_of(spot, None)


def acting(job: Job) -> bool:
    """Whether what is decided for a job is carried out."""
    return job.state.mode is Mode.ENFORCE


def _edges(world: Survey, feeds: list[Feed]) -> Floats:
    """Now, changes of price that are near, then whole hours to the horizon."""
    now = world.now
    end = now + max(HOUR, float(world.snapshot.settings.horizon_seconds))
    times = {now, end}
    for feed in feeds:
        if feed.connection is not None:
            times |= {
                start
                for start, _ in feed.connection.price_ahead
                if now < start <= min(end, now + EXACT_SECONDS)
            }
    mark = (now // HOUR + 1) * HOUR
    while mark < end:
        times.add(mark)
        mark += HOUR
    return np.asarray(sorted(times))


def _prudent(price: Ahead, edges: Floats) -> Ahead:
    """What is not known ahead counts like the dearest that is: nobody waits for it."""
    known = edges[:-1] < price.known_until
    if known.all() or not known.any():
        return price
    grid = np.where(known, price.grid, float(price.grid[known].max()))
    return replace(price, grid=grid)
