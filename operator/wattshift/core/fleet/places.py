"""Arrays by place: what a unit costs there by step, what arriving costs, sizes and maxima."""

from __future__ import annotations

import numpy as np

from wattshift.core.fleet.ahead import Ahead
from wattshift.core.fleet.classes import routed
from wattshift.core.fleet.limits import LimitRows
from wattshift.core.fleet.problem import Floats, Integers
from wattshift.core.power import FeedKey
from wattshift.core.score import (
    PREFILL_SECONDS,
    PREFILL_SHARE,
    WARM_SECONDS,
    lift_of,
    prompt_watts,
    watts_of,
)
from wattshift.core.survey import Job, Spot

LEAST_ENTER = 1e-3
"""Of a typical cost over the first step: what breaks ties towards staying."""
START_CHARGED, ARRIVAL_CHARGED = 0.4, 0.3
"""Of a start and of an arrival, in the flow of a workload with many classes: what its classes exchange
mostly cancels at a place, and `core/stability.py` asks for the whole. Frozen on development weeks of S1."""
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
        self.cost = np.empty((hours.shape[0], n))
        self.idle, self.most = np.empty(n), np.empty(n)
        self.start, self.arrive = np.empty(n), np.empty(n)
        self.watts, self.devices, self.carries = np.empty(n), np.zeros(n), np.zeros(n)
        self.paid = np.zeros(n)
        self.least: Integers = np.zeros(n, dtype=np.int64)
        self.pool, self.feed, self.supply = (np.full(n, rows.count) for _ in range(3))
        self._hours, self._rows = hours, rows
        # a negative price earns by work, not by waste (core/score.py)
        lowest = np.min([row.grid for row in prices.values()], axis=0)
        self._lift: Floats = np.asarray([lift_of(float(row)) for row in lowest])
        for k, spot in enumerate(spots):
            assert spot.feed is not None
            job = jobs[owner[k]]
            self._price(k, job, spot, prices[spot.feed.key])
            self._count(k, job, spot)
        typical = float(np.median(np.abs(self.cost[0])))
        self.start = np.maximum(self.start, LEAST_ENTER * typical * hours[0])
        self.arrive = np.maximum(self.arrive, LEAST_ENTER * typical * hours[0])

    def _price(self, k: int, job: Job, spot: Spot, price: Ahead) -> None:
        feed, profile = spot.feed, spot.profile
        assert feed is not None
        assert profile is not None
        full = 1.0
        if job.need and job.load.concurrency is not None:
            full = min(1.0, job.load.concurrency / job.need)
        # own supply is cheaper up to what there is: the rest pays the difference at its limit
        rate = price.grid if price.own is None else np.minimum(price.own, price.grid)
        rate = rate + self._lift
        marginal = feed.terms.marginal
        self.cost[:, k] = (
            rate * marginal * watts_of(spot, spot.capacity * full) / 1000 / spot.capacity
        )
        idle = float(profile.loaded_idle_watts or 0)
        lowest = max(idle, float(profile.floor_watts or 0))
        self.idle[k] = rate[0] * marginal * lowest / 1000 * self._hours[0]
        busy = float(profile.busy_watts or 0)
        prompts = PREFILL_SHARE * PREFILL_SECONDS * prompt_watts(job, spot) / max(job.standing, 1)
        paid = max(0.0, float(price.grid[0] + self._lift[0])) / WATT_SECONDS_PER_KILOWATT_HOUR
        each = marginal * paid / spot.capacity
        # while both sides stand the load is served once: what is wasted is idle power
        start, arrival = (START_CHARGED, ARRIVAL_CHARGED) if routed(job) else (1.0, 1.0)
        self.start[k] = start * idle * profile.cold_start_seconds * each
        self.arrive[k] = arrival * (idle * WARM_SECONDS + prompts) * each
        self.watts[k] = marginal * max(busy, 1.0) / spot.capacity

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
            self.carries[k] = min(standing, max(engine.concurrency, float(engine.running)))
        if spot.replicas > (spot.state.in_service_replicas or 0):
            # what starts is paid for already: it is no move again
            self.paid[k] = standing


def dwells(job: Job, spot: Spot, now: float) -> bool:
    """Whether a placement of a routed workload was written within the dwell."""
    written = spot.state.last_write_time
    if not routed(job) or written is None:
        return False
    # a write "in the future" was made before the clock was set back: it says nothing
    return 0 <= now - written < job.state.min_dwell_seconds
