"""What a policy may see: a core Snapshot from delayed telemetry, signals with provenance, quotes.

The only door between truth and policies. Everything of a moment t is made from spans that were over by
t and had begun by t - telemetry delay (time inside a span is not resolved), from what had been
published by t, and from orders given before t.
Neighbours: `sites_seen.py`, `workloads_seen.py`, `run.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import replace

from wattshift.core.model import Mode, Snapshot
from wattshift.core.power.meter_lag import (
    ESTIMATE_MEMORY_SECONDS,
    ESTIMATE_SPACING_SECONDS,
    METER_LAG_SECONDS,
    Estimates,
    capped_since,
)
from wattshift.core.power.power import estimate
from wattshift.core.power.power_profile import PowerProfile
from wattshift.sim.called import Calls
from wattshift.sim.curves import profile_of
from wattshift.sim.plant import Plant, Record
from wattshift.sim.policies.base import Orders
from wattshift.sim.pricing import ContractBook
from wattshift.sim.sites_seen import SitesSeen
from wattshift.sim.workloads_seen import WorkloadsSeen

FINE_SECONDS = 60.0
"""With decisions closer than this, the model's estimate at the meter's time is kept."""


class World:
    """Telemetry of a plant, late by the scenario's delay."""

    def __init__(self, plant: Plant, books: tuple[ContractBook | None, ...], seed: int) -> None:
        scenario = plant.scenario
        self._scenario = scenario
        self._records: deque[Record] = deque()
        self._delay = scenario.telemetry_delay_seconds
        self._calls = Calls(plant)
        self._sites = SitesSeen(plant, books, seed, self._calls.refused)
        self._workloads = WorkloadsSeen(plant, seed)
        self._profiles: tuple[PowerProfile, ...] = tuple(
            sorted((profile_of(curve) for curve in plant.layout.curves), key=lambda p: p.name)
        )
        self._estimates = Estimates()
        self._fine = scenario.govern_every_seconds < FINE_SECONDS

    @property
    def refused(self) -> AbstractSet[str]:
        """Names of events that were not called; it grows."""
        return self._calls.refused

    def see(self, record: Record) -> None:
        """A span has passed; it becomes visible after the telemetry delay."""
        self._records.append(record)

    def ordered(self, orders: Orders, now: float) -> None:
        """Orders of a policy, as the operator would record them before it writes."""
        self._workloads.ordered(orders, now)

    def snapshot(self, now: float) -> Snapshot:
        """The world at scenario second `now`, at the start of its span."""
        if self._records:
            self._calls.decide(self._records[-1], now)
        record = self._seen(now)
        scenario = self._scenario
        snapshot = Snapshot(
            grid_time=scenario.start_time + now,
            wall_time=now,
            speed=1.0,
            mode=Mode.ENFORCE,
            settings=scenario.settings,
            sites=self._sites.states(record, now, {}),
            workloads=self._workloads.states(record, now),
            profiles=self._profiles,
        )
        if self._fine:
            feeds = estimate(snapshot, snapshot.grid_time)
            # the operator looks every second, also where the simulator passes time in one span
            self._estimates.held(now - scenario.govern_every_seconds)
            self._estimates.note(
                now,
                {key: round(feed.model_watts) for key, feed in feeds.items()},
                spacing=ESTIMATE_SPACING_SECONDS,
                memory=ESTIMATE_MEMORY_SECONDS,
            )
            snapshot = self._compared(snapshot, self._model_watts(record, snapshot))
        return snapshot

    @staticmethod
    def _compared(snapshot: Snapshot, model_watts: dict[tuple[str, str], int]) -> Snapshot:
        """With the estimate that each meter reading shows, as `control/gather.py` puts it in."""
        sites = []
        for site in snapshot.sites:
            rows = []
            for row in site.connections:
                model = model_watts.get((site.name, row.name))
                rows.append(row if model is None else replace(row, model_watts_at_meter=model))
            sites.append(replace(site, connections=tuple(rows)))
        return replace(snapshot, sites=tuple(sites))

    def _seen(self, now: float) -> Record | None:
        """The newest span that had begun by `now - delay`; counts those it passes on the way."""
        until = now - self._delay
        while len(self._records) > 1 and self._records[1].start <= until:
            self._count(self._records.popleft())
        if not self._records:
            return None
        first = self._records[0]
        if first.start + first.seconds <= now:
            self._count(first)
        return first

    def _count(self, record: Record) -> None:
        self._workloads.count(record)

    def _model_watts(self, record: Record | None, snapshot: Snapshot) -> dict[tuple[str, str], int]:
        """The recent estimate that the meter shows, as `control/gather.py` picks it."""
        if record is None:
            return {}
        at = record.start + record.seconds
        found = {}
        for s, site in enumerate(self._scenario.sites):
            metered = float(record.flows.load[s])
            key = (site.name, "grid")
            since = at - METER_LAG_SECONDS
            changed = capped_since(
                row
                for job in snapshot.workloads
                for row in job.placements
                if row.site_name == site.name
            )
            if changed is not None:
                # the estimate of that very tick is from before the change
                since = max(since, min(at, changed - self._scenario.start_time + 1e-3))
            watts = self._estimates.shown(key, at, since, metered)
            if watts is not None:
                found[key] = watts
        return found
