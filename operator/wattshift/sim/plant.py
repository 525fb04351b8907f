"""The true plant: requests to tokens, latency, watts and moves of one span, vectorised.

Queue per placement; concurrency from the token rate by the table's inverse; latency lognormal
through the table's percentiles. It never decides: orders come in, a `Record` comes out.
Neighbours: `router.py`, `replicas.py`, `facility.py`, `attainment.py`, `books.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.sim.curves import sums
from wattshift.sim.facility import Flows, Sources, Truth, truth_of
from wattshift.sim.faults import lost_sites, unreachable_sites
from wattshift.sim.layout import Layout
from wattshift.sim.moves import Moves
from wattshift.sim.policies.base import Orders
from wattshift.sim.replicas import DRAINING, Fleet, Mean
from wattshift.sim.router import Router
from wattshift.sim.scenario import Array
from wattshift.sim.work import BatchWork

GIVE_UP_SECONDS = 60.0
"""Clients leave a queue after this wait."""
DRAIN_TOKENS_PERCENTILE = 3.0
"""A drain waits for the 95th percentile of an answer, about three times its mean (Azure traces)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """By placement, ms."""

    inter_p50: Array
    inter_p99: Array
    first_p50: Array
    """Prefill without waiting and without the round trip."""
    first_p99: Array
    wait: Array
    """Mean wait in the queue, ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What happened in one span. Rates are per second, energies in Wh, by index of `Layout`."""

    step: int
    start: float
    """Scenario seconds."""
    seconds: float
    demand: Array
    flow: Array
    """By arc, offered tokens/s."""
    lost: Array
    """By load, tokens/s that nobody took."""
    offered: Array
    served: Array
    """By placement, tokens/s."""
    gave_up: Array
    """By placement, tokens of clients that left the queue."""
    queue: Array
    """By placement, tokens that wait at the end."""
    queue_before: Array
    sequences: Array
    """By placement, in flight over all its replicas."""
    mean: Mean
    in_service: Array
    """Replicas at the end of the span."""
    draining: Array
    """Replicas that drain at the end of the span."""
    capped: Array
    latency: Latency
    moved: Array
    """By workload: share of its load whose site was changed by decisions (positive changes)."""
    site_change: Array
    """By placement: change of its share by decisions."""
    rerouted: float
    """Tokens/s that changed their placement, origin by origin."""
    past_margin: float
    move_watt_hours: Array
    """By site: KV cache computed again."""
    serving_watt_hours: Array
    """By placement: replicas in service."""
    waiting_watt_hours: Array
    """By placement: starting, draining and parked."""
    flows: Flows
    power_factor: Array
    """By placement: watts per replica in service."""
    batch_done: Array
    """By workload, units."""


class Plant:
    """All state of the world."""

    def __init__(self, layout: Layout, truth: Truth | None = None) -> None:
        scenario = layout.scenario
        self.layout = layout
        self.scenario = scenario
        self.truth = truth_of(scenario) if truth is None else truth
        self.fleet = Fleet(layout)
        self.router = Router(layout)
        self.sources = Sources(scenario, self.truth)
        self.batch = BatchWork(layout)
        places, sites = len(layout.names), len(scenario.sites)
        self.cap = np.ones(places)
        """Device power caps as ordered, shares of busy watts."""
        self.acting_cap = np.ones(places)
        self._cap_due = np.zeros(places)
        self.queue = np.zeros(places)
        self.moves = Moves(layout)
        self._sites = sites
        self._lost: frozenset[int] = frozenset()
        self._busy = np.asarray([layout.curves[m].busy_watts for m in layout.table_of])
        tables = [scenario.tables[m] for m in layout.table_of]
        self._idle = np.asarray([row.loaded_idle_watts for row in tables])
        self._cap_seconds = np.asarray([row.cap_seconds for row in tables])
        self._parked = np.asarray([row.parked_watts for row in tables])
        self._prefill = layout.prompt_tokens * np.asarray(
            [row.prefill_seconds_per_token * 1000 for row in tables]
        )
        self.is_batch = np.asarray(
            [scenario.workloads[w].batch is not None for w in layout.workload_of], dtype=bool
        )
        """By placement."""
        self.has_batch = bool(self.is_batch.any())
        self._fixed_sequences = np.asarray(
            [scenario.workloads[w].sequences_per_token_rate for w in layout.workload_of]
        )
        self._drain_limit = np.asarray(
            [scenario.workloads[w].max_drain_seconds for w in layout.workload_of], dtype=float
        )
        self._inter = np.full(places, 30.0)

    # ---- orders -------------------------------------------------------------------------------

    def apply(self, orders: Orders, now: float) -> int:
        """Carry out orders; those for a site that cannot be reached change nothing.

        Returns the number of replicas, splits and caps that were changed.
        """
        layout, changed = self.layout, 0
        closed = unreachable_sites(self.scenario, now)
        lowered: list[tuple[int, int]] = []
        raised: list[tuple[int, int]] = []
        for key, wanted in orders.replicas.items():
            index = layout.place[key]
            if int(layout.site_of[index]) in closed:
                continue
            have = int(self.fleet.target[index])
            if wanted != have:
                (lowered if wanted < have else raised).append((index, wanted))
        for index, wanted in (*lowered, *raised):
            drain = min(
                self._drain_limit[index],
                DRAIN_TOKENS_PERCENTILE * layout.output_tokens[index] * self._inter[index] / 1000,
            )
            before = int(self.fleet.target[index])
            changed += self.fleet.order(index, wanted, now, drain) != before
        for (workload, origin), shares in orders.split.items():
            placed = {layout.place[workload, name]: value for name, value in shares.items()}
            changed += self.router.set_split(layout.load[workload, origin], placed)
        if orders.caps or np.any(self.cap < 1):
            held = self.cap.copy()
            for place in np.flatnonzero(held < 1):
                if int(layout.site_of[place]) not in closed:
                    self.cap[place] = 1.0
            for key, share in orders.caps.items():
                index = layout.place[key]
                if int(layout.site_of[index]) not in closed:
                    self.cap[index] = min(1.0, max(0.0, share))
            fresh = held != self.cap
            self._cap_due[fresh] = now + self._cap_seconds[fresh]
            changed += int(fresh.sum())
        return changed

    # ---- one span -----------------------------------------------------------------------------

    def advance(self, step: int, now: float, seconds: float) -> Record:
        """Run `[now, now + seconds)`, which lies inside `step`."""
        layout = self.layout
        self._site_losses(now)
        acts = self._cap_due <= now + seconds / 2
        self.acting_cap = np.where(acts, self.cap, self.acting_cap)
        mean = self.fleet.advance(now, seconds)
        speed = self._cap_rate()
        full = mean.serving * layout.rate_objective * speed
        most = mean.serving * layout.rate_max * speed
        demand = layout.demand[step]
        routed = self.router.route(demand, full * (1 - self.scenario.margin), full, most)
        before = self.queue
        stranded = self._strand(most)
        waiting = self.queue + stranded
        carried = most * seconds
        work = routed.offered * seconds + waiting
        done = np.minimum(work, carried)
        rest = work - done
        kept = np.minimum(rest, most * GIVE_UP_SECONDS)
        gave_up = rest - kept
        served = done / seconds
        wait = np.zeros_like(served)
        np.divide((waiting + kept) / 2 * 1000, most, out=wait, where=most > 0)
        self.queue = kept
        batch_busy, batch_done = self.batch.advance(step, now, seconds, mean.serving, speed)
        watts, sequences, latency = self._replicas(mean, served, speed, batch_busy, wait)
        self._inter = latency.inter_p50
        moved = self.moves.count(demand, routed.flow, watts, mean.serving, seconds)
        hours = seconds / 3600.0
        serving_wh = mean.serving * watts * hours
        idle_wh = (
            mean.starting * self._idle
            + mean.draining * (self._idle + watts) / 2
            + mean.parked * self._parked
        ) * hours
        move_wh = sums(layout.site_of, moved.joules, self._sites) / 3600.0
        it_watts = (sums(layout.site_of, serving_wh + idle_wh, self._sites) + move_wh) / hours
        return Record(
            step=step,
            start=now,
            seconds=seconds,
            demand=demand,
            flow=routed.flow,
            lost=routed.lost,
            offered=routed.offered,
            served=served,
            gave_up=gave_up + self._gone,
            queue=kept,
            queue_before=before,
            sequences=sequences,
            mean=mean,
            in_service=self.fleet.serving.astype(float),
            draining=self.fleet.pending(DRAINING).astype(float),
            capped=self.acting_cap.copy(),
            latency=latency,
            moved=moved.by_workload,
            site_change=moved.by_placement,
            rerouted=moved.rerouted,
            past_margin=routed.past_margin,
            move_watt_hours=move_wh,
            serving_watt_hours=serving_wh,
            waiting_watt_hours=idle_wh,
            flows=self.sources.flows(step, seconds, it_watts),
            power_factor=watts,
            batch_done=batch_done,
        )

    # ---- parts --------------------------------------------------------------------------------

    def _site_losses(self, now: float) -> None:
        lost = lost_sites(self.scenario, now)
        if lost == self._lost:
            return
        for site in sorted(lost - self._lost):
            self.fleet.lose(np.flatnonzero(self.layout.site_of == site))
        for site in sorted(self._lost - lost):
            self.fleet.restart(np.flatnonzero(self.layout.site_of == site), now)
        self._lost = lost

    def _cap_rate(self) -> Array:
        """Throughput share under the device power caps."""
        speed = np.ones(len(self.acting_cap))
        if np.any(self.acting_cap < 1):
            for m, places in self.layout.tables:
                curve = self.layout.curves[m]
                speed[places] = np.interp(self.acting_cap[places], curve.cap_power, curve.cap_rate)
            speed[self.acting_cap >= 1] = 1.0
        return speed

    def _strand(self, most: Array) -> Array:
        """Queues where nothing serves any more move to placements of the same workload."""
        extra = np.zeros_like(most)
        self._gone = np.zeros_like(most)
        if not self.queue.any():
            return extra
        dead = (most <= 0) & (self.queue > 0)
        if not dead.any():
            return extra
        self.queue = self.queue.copy()
        workloads = len(self.scenario.workloads)
        tokens = sums(self.layout.workload_of, np.where(dead, self.queue, 0.0), workloads)
        room = sums(self.layout.workload_of, most, workloads)
        share = np.zeros(workloads)
        np.divide(tokens, room, out=share, where=room > 0)
        homeless = dead & (room[self.layout.workload_of] <= 0)
        self._gone = np.where(homeless, self.queue, 0.0)
        self.queue[dead] = 0.0
        moved: Array = share[self.layout.workload_of] * most
        return moved

    def _replicas(
        self, mean: Mean, served: Array, speed: Array, batch_busy: Array, wait: Array
    ) -> tuple[Array, Array, Latency]:
        """(watts of a replica in service, sequences in flight, latency) by placement."""
        layout = self.layout
        places = len(served)
        rate = np.zeros(places)
        np.divide(served, mean.serving, out=rate, where=mean.serving > 0)
        rate = np.where(self.is_batch, batch_busy * layout.rate_objective, rate)
        watts, sequences = np.zeros(places), np.zeros(places)
        p50, p99 = np.zeros(places), np.zeros(places)
        for m, here in layout.tables:
            curve = layout.curves[m]
            each = rate[here]
            running = np.interp(each, curve.rate, curve.sequences)
            drawn = np.interp(running, curve.sequences, curve.watts)
            slow = speed[here]
            limit = self.acting_cap[here] * curve.busy_watts
            if np.any(slow < 1):
                bound = (slow < 1) & (drawn > limit)
                running = np.where(
                    bound,
                    np.interp(np.minimum(each / slow, curve.rate_max), curve.rate, curve.sequences),
                    running,
                )
                drawn = np.where(bound, np.maximum(limit, 0.0), drawn)
                slow = np.where(bound, slow, 1.0)
            watts[here], sequences[here] = drawn, running
            p50[here] = np.interp(running, curve.sequences, curve.p50) / slow
            p99[here] = np.interp(running, curve.sequences, curve.p99) / slow
        total = sequences * mean.serving
        total = np.where(self._fixed_sequences > 0, served * self._fixed_sequences, total)
        first = p50 + self._prefill * np.where(speed < 1, 1 / np.maximum(speed, 0.05), 1.0)
        latency = Latency(
            inter_p50=p50,
            inter_p99=p99,
            first_p50=first,
            first_p99=first * p99 / np.maximum(p50, 1e-9),
            wait=wait,
        )
        return watts, total, latency
