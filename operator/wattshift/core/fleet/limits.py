"""Rows of limits by step: devices of sites, watts of connections, own supply.

What other workloads use is taken off. Events that were announced bind from their start, so that load
leaves before; nothing here rewards drawing more before one. Neighbours: `core/limits.py` (bounds of
the moment), `core/fleet/build.py`.
"""

from __future__ import annotations

import numpy as np

from wattshift.core.fleet.ahead import Ahead
from wattshift.core.fleet.problem import Floats
from wattshift.core.power import FeedKey
from wattshift.core.score import watts_by_feed
from wattshift.core.survey import Feed, Job, Survey


class LimitRows:
    """Rows with their names; `count` is also the number that stands for none."""

    def __init__(
        self, world: Survey, prices: dict[FeedKey, Ahead], steps: Floats, jobs: list[Job]
    ) -> None:
        self.devices: dict[tuple[str, str], int] = {}
        self.feeds: dict[FeedKey, int] = {}
        self.supplies: dict[FeedKey, int] = {}
        self._rows: list[Floats] = []
        self._ceilings: list[Floats] = []
        self._hard = np.full(steps.shape[0] - 1, np.inf)
        watts, devices = _used(jobs)
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
            if price.own is not None and price.own_watts is not None:
                others = max(0.0, (feed.power.committed_watts or 0.0) - mine)
                above = np.maximum(0.0, price.grid - price.own) / 1000
                left = np.maximum(0.0, price.own_watts - others)
                self.supplies[key] = self._add(left, above)
        self.count = len(self._rows)
        shape = (self._hard.shape[0], 0)
        self.limit = np.stack(self._rows, axis=1) if self._rows else np.zeros(shape)
        self.ceiling = np.stack(self._ceilings, axis=1) if self._rows else np.zeros(shape)

    def _add(self, limit: Floats, ceiling: Floats) -> int:
        self._rows.append(limit)
        self._ceilings.append(ceiling)
        return len(self._rows) - 1


def _used(jobs: list[Job]) -> tuple[dict[FeedKey, float], dict[tuple[str, str], int]]:
    """Watts by connection and devices by (site, resource) of the workloads to be placed."""
    watts: dict[FeedKey, float] = {}
    devices: dict[tuple[str, str], int] = {}
    for job in jobs:
        for key, amount in watts_by_feed(job, job.vector).items():
            watts[key] = watts.get(key, 0.0) + amount
        for spot in job.spots:
            if spot.profile is not None and spot.frozen is None:
                where = (spot.state.site_name, spot.profile.resource_name)
                count = spot.replicas * max(1, spot.profile.devices_per_replica)
                devices[where] = devices.get(where, 0) + count
    return watts, devices


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
    for event in feed.site.events:
        if event.upper_watts is None or event.connection_name not in ("", name):
            continue
        hit = (steps[:-1] < event.end_time) & (steps[1:] > event.start_time)
        hit[0] = False
        room = np.where(hit, np.minimum(room, event.upper_watts - used), room)
    return room
