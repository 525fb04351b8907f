"""Rows of limits by step: devices of sites, watts of connections, own supply, billed peaks.

What other workloads use is taken off. Events that were announced bind from their start, so that load
leaves before; nothing here rewards drawing more before one. Neighbours: `core/survey/limits.py` (bounds of
the moment), `core/fleet/build.py`.
"""

from __future__ import annotations

import numpy as np

from wattshift.core.fleet.ahead import Ahead, own_ahead
from wattshift.core.fleet.problem import Floats
from wattshift.core.load.guard import GuardState
from wattshift.core.planner.score import watts_of
from wattshift.core.power.power import FeedKey
from wattshift.core.survey.survey import Feed, Job, Spot, Survey

MOST_WATTS = 1e12
"""For a step in which no peak is billed."""


class LimitRows:
    """Rows with their names; `count` is also the number that stands for none."""

    def __init__(
        self,
        world: Survey,
        prices: dict[FeedKey, Ahead],
        steps: Floats,
        placed: list[tuple[Job, Spot]],
    ) -> None:
        self.devices: dict[tuple[str, str], int] = {}
        self.feeds: dict[FeedKey, int] = {}
        self.supplies: dict[FeedKey, int] = {}
        self._rows: list[Floats] = []
        self._ceilings: list[Floats] = []
        self._hard = np.full(steps.shape[0] - 1, np.inf)
        watts, devices = _used(placed)
        for where, free in sorted(world.accelerators.items()):
            most = float(max(0, free + devices.get(where, 0)))
            self.devices[where] = self._add(np.full(self._hard.shape, most), self._hard)
        for key, feed in sorted(world.feeds.items()):
            price = prices.get(key)
            if price is None:
                continue
            mine = watts.get(key, 0.0)
            allowed = np.maximum(0.0, room_ahead(feed, steps) + mine)
            if np.isfinite(allowed).any():
                self.feeds[key] = self._add(allowed, self._hard)
            others = max(0.0, (feed.power.committed_watts or 0.0) - mine)
            if price.own is not None and price.own_watts is not None:
                above = np.maximum(0.0, price.grid - price.own) / 1000
                left = np.maximum(0.0, price.own_watts - others)
                self.supplies[key] = self._add(left, above)
            elif price.peak.any():
                # a price for what is above the billed peak has the same form
                left = np.maximum(0.0, price.peak_watts - others)
                self.supplies[key] = self._add(np.minimum(left, MOST_WATTS), price.peak / 1000)
        self.count = len(self._rows)
        shape = (self._hard.shape[0], 0)
        self.limit = np.stack(self._rows, axis=1) if self._rows else np.zeros(shape)
        self.ceiling = np.stack(self._ceilings, axis=1) if self._rows else np.zeros(shape)

    def _add(self, limit: Floats, ceiling: Floats) -> int:
        self._rows.append(limit)
        self._ceilings.append(ceiling)
        return len(self._rows) - 1


def _used(
    placed: list[tuple[Job, Spot]],
) -> tuple[dict[FeedKey, float], dict[tuple[str, str], int]]:
    """Watts by connection and devices by (site, resource) of what is to be placed.

    What the same workloads have where nothing may be touched stays where it is, and is used up.
    """
    watts: dict[FeedKey, float] = {}
    devices: dict[tuple[str, str], int] = {}
    uses: dict[str, float | None] = {}
    for job, spot in placed:
        if not spot.replicas or spot.profile is None or spot.feed is None:
            continue
        where = (spot.state.site_name, spot.profile.resource_name)
        count = spot.replicas * max(1, spot.profile.devices_per_replica)
        devices[where] = devices.get(where, 0) + count
        if not spot.profile.has_power:
            continue
        if job.key not in uses:
            uses[job.key] = _use(job)
        use = uses[job.key]
        each = watts_of(spot, None if use is None else _each(spot, use))
        key = spot.feed.power.key
        watts[key] = watts.get(key, 0.0) + spot.replicas * each * spot.feed.terms.marginal
    return watts, devices


def _each(spot: Spot, use: float) -> float:
    """Sequences of one replica: as its engines say; those that came into service just now carry little."""
    if spot.state.engine is None or spot.verdict.state is GuardState.BLIND:
        return use * spot.capacity
    return spot.load / spot.replicas


def _use(job: Job) -> float | None:
    """Share of its capacity that a workload uses; None = unknown, or all of it."""
    if job.load.concurrency is None or job.outside:
        return None
    whole = sum(spot.replicas * spot.capacity for spot in job.spots)
    return min(1.0, job.load.concurrency / whole) if whole > 0 else 0.0


def room_ahead(feed: Feed, steps: Floats) -> Floats:
    """Facility watts that may be added by step.

    The first step is judged by the bounds in force and those within the planner's lead; later ones
    by the lasting bounds and by the events that were announced.
    """
    lasting = [
        row.upper_watts
        for row in feed.limits.bounds
        if row.upper_watts is not None and not row.name.startswith(("event ", "ramp "))
    ]
    used = feed.power.upper_watts
    room = np.full(steps.shape[0] - 1, max(0.0, min(lasting) - used) if lasting else np.inf)
    bound = feed.limits.upper
    room[0] = feed.room_watts()
    if bound is not None and bound.upper_watts is not None and not feed.limits.frozen:
        room[0] = bound.upper_watts - used  # below zero: so much has to leave
    name = feed.connection.name if feed.connection is not None else ""
    own = own_ahead(feed, float(steps[0]), steps)
    for event in feed.site.events:
        if event.upper_watts is None or event.connection_name not in ("", name):
            continue
        hit = (steps[:-1] < event.end_time) & (steps[1:] > event.start_time)
        hit[0] = False
        left = event.upper_watts - used + (0.0 if own is None else own)
        room = np.where(hit, np.minimum(room, left), room)
    return room
