"""Arrays by place: what a unit costs there by step, what arriving costs, sizes and maxima."""

from __future__ import annotations

import numpy as np

from wattshift.core.fleet.ahead import Ahead
from wattshift.core.fleet.classes import routed
from wattshift.core.fleet.limits import LimitRows
from wattshift.core.fleet.problem import Floats, Integers
from wattshift.core.planner.score import (
    PREFILL_SECONDS,
    PREFILL_SHARE,
    WARM_SECONDS,
    lift_of,
    prompt_watts,
    watts_of,
)
from wattshift.core.power.power import FeedKey
from wattshift.core.survey.survey import Job, Spot

LEAST_ENTER = 1e-3
"""Of a typical cost over the first step: what breaks ties towards staying."""
START_CHARGED, ARRIVAL_CHARGED = 0.4, 0.3
"""Of a start and of an arrival, in the flow of a workload with many classes: what its classes exchange
mostly cancels at a place, and `core/planner/stability.py` asks for the whole. Frozen on development weeks of S1."""
WATT_SECONDS_PER_KILOWATT_HOUR = 3.6e6


class Places:
    """Columns of the problem that belong to places."""

    def __init__(
        self,
        jobs: list[Job],
        spots: list[Spot],
        owner: list[int],
        *,
        prices: dict[FeedKey, Ahead],
        rows: LimitRows,
        hours: Floats,
    ) -> None:
        n = len(spots)
        self.size = np.asarray([spot.capacity for spot in spots])
        self.cost: Floats = np.empty((hours.shape[0], n))
        self.idle: Floats = np.empty(n)
        self.start: Floats = np.empty(n)
        self.arrive: Floats = np.empty(n)
        self.most = np.empty(n)
        self.watts, self.devices, self.carries = np.empty(n), np.zeros(n), np.zeros(n)
        self.paid = np.zeros(n)
        self.least: Integers = np.zeros(n, dtype=np.int64)
        self.pool, self.feed, self.supply = (np.full(n, rows.count) for _ in range(3))
        self._rows = rows
        # IT power of a unit in kW, and of an idle replica in W; seconds of W that starting and arriving take
        self._unit, self._lowest = np.empty(n), np.empty(n)
        self._starting, self._arriving = np.empty(n), np.empty(n)
        numbers = {key: number for number, key in enumerate(prices)}
        where = np.empty(n, dtype=np.int64)
        marginal = np.empty(n)
        for k, spot in enumerate(spots):
            assert spot.feed is not None
            job = jobs[owner[k]]
            where[k], marginal[k] = numbers[spot.feed.key], spot.feed.terms.marginal
            self._power(k, job, spot)
            self._count(k, job, spot)
        self._price(list(prices.values()), where, marginal, hours)
        typical = float(np.median(np.abs(self.cost[0])))
        self.start = np.maximum(self.start, LEAST_ENTER * typical * hours[0])
        self.arrive = np.maximum(self.arrive, LEAST_ENTER * typical * hours[0])

    def _power(self, k: int, job: Job, spot: Spot) -> None:
        profile = spot.profile
        assert profile is not None
        full = 1.0
        if job.need and job.load.concurrency is not None:
            full = min(1.0, job.load.concurrency / job.need)
        self._unit[k] = watts_of(spot, spot.capacity * full) / 1000 / spot.capacity
        idle = float(profile.loaded_idle_watts or 0)
        self._lowest[k] = max(idle, float(profile.floor_watts or 0))
        prompts = 0.0
        if profile.watts_per_prompt_token_per_second:
            prompts = PREFILL_SHARE * PREFILL_SECONDS * prompt_watts(job, spot)
            prompts /= max(job.standing, 1)
        # while both sides stand the load is served once: what is wasted is idle power
        start, arrival = (START_CHARGED, ARRIVAL_CHARGED) if routed(job) else (1.0, 1.0)
        self._starting[k] = start * idle * profile.cold_start_seconds / spot.capacity
        self._arriving[k] = arrival * (idle * WARM_SECONDS + prompts) / spot.capacity
        self.watts[k] = max(float(profile.busy_watts or 0), 1.0) / spot.capacity

    def _price(self, prices: list[Ahead], where: Integers, marginal: Floats, hours: Floats) -> None:
        """Money of what places draw; `where` = connection of each, `marginal` = facility W per IT W."""
        # a negative price earns by work, not by waste (core/planner/score.py)
        least = np.min([row.grid for row in prices], axis=0)
        lift: Floats = np.asarray([lift_of(float(row)) for row in least])
        # own supply is cheaper up to what there is: the rest pays the difference at its limit
        rates = np.stack(
            [row.grid if row.own is None else np.minimum(row.own, row.grid) for row in prices],
            axis=1,
        )
        rates += lift[:, None]
        self.cost = rates[:, where] * (marginal * self._unit)
        self.idle = rates[0, where] * marginal * self._lowest / 1000 * hours[0]
        grid = np.asarray([float(row.grid[0]) for row in prices]) + lift[0]
        paid = marginal * (np.maximum(0.0, grid) / WATT_SECONDS_PER_KILOWATT_HOUR)[where]
        self.start = self._starting * paid
        self.arrive = self._arriving * paid
        self.watts *= marginal

    def _count(self, k: int, job: Job, spot: Spot) -> None:
        feed, profile, rows = spot.feed, spot.profile, self._rows
        assert feed is not None
        assert profile is not None
        row = rows.devices.get((spot.state.site_name, profile.resource_name))
        if row is not None:
            self.pool[k] = row
            self.devices[k] = max(1, profile.devices_per_replica) / spot.capacity
        self.feed[k] = rows.feeds.get(feed.key, rows.count)
        self.supply[k] = rows.supplies.get(feed.key, rows.count)
        most = spot.state.max_replicas
        # where the guard vetoes, a routed workload still gets what its users need
        if spot.no_raise is not None or (spot.verdict.veto and not routed(job)):
            most = min(most, spot.replicas)
        self.most[k] = most * spot.capacity
        self.least[k] = spot.state.min_replicas
        if not spot.verdict.removal_allowed:
            self.least[k] = max(self.least[k], spot.replicas)
        standing, engine = spot.replicas * spot.capacity, spot.state.engine
        self.carries[k] = standing
        if not routed(job):
            return
        if engine is not None and spot.replicas > 0:
            self.carries[k] = min(standing, spot.load)
        if spot.replicas > (spot.state.in_service_replicas or 0):
            # what starts is paid for already: it is no move again
            self.paid[k] = standing


def dwells(job: Job, spot: Spot, count: int, now: float) -> bool:
    """Whether a placement of a routed workload was written too short a time ago to have `count` replicas.

    What was lowered may be lowered further: what a hand-over's load leaves goes as it leaves.
    """
    written = spot.state.last_write_time
    if not routed(job) or written is None:
        return False
    if count < spot.replicas and spot.state.lowered_last:
        return False
    # a write "in the future" was made before the clock was set back: it says nothing
    return 0 <= now - written < job.state.min_dwell_seconds
