"""Entry routing: which placement serves how much of each origin's demand, in tokens/s.

Follows the plan's split, else nearest first, within reach and within what replicas in service
carry; a site is loaded past its planned margin only where the request would else wait or be lost.
Pure numpy over `layout.py`'s arcs. Neighbour: `plant.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.sim.curves import sums
from wattshift.sim.layout import Layout
from wattshift.sim.scenario import Array

NOTHING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Result of one routing, tokens/s."""

    flow: Array
    """By arc; beyond `most` of a placement the rest queues there."""
    offered: Array
    """By placement."""
    lost: Array
    """By load: nobody in reach is in service."""
    past_margin: float
    """Served beyond the planned share of capacity, to avoid waiting or loss."""


class Router:
    """Shares of the plan, and the routing rule."""

    def __init__(self, layout: Layout) -> None:
        arcs = layout.arcs
        self._layout = layout
        self.share = np.zeros(len(arcs.load))
        """By arc: what the plan wants."""
        self._last: dict[int, dict[int, float]] = {}
        edges = np.searchsorted(arcs.load, np.arange(len(layout.load_origin) + 1))
        self._edges: list[int] = edges.tolist()
        self.has_split = np.zeros(len(layout.load_origin), dtype=bool)
        self._spread = ~layout.follows[arcs.load] if arcs.load.size else np.zeros(0, dtype=bool)
        self._any_spread = bool(self._spread.any())
        self._any_follow = bool(layout.follows.any())

    def set_split(self, load: int, shares: dict[int, float]) -> bool:
        """Shares of one load by placement; unreachable ones are ignored, the rest is normed.

        Returns whether they differ from what held.
        """
        arcs = self._layout.arcs
        if self._last.get(load) == shares:
            return False
        self._last[load] = dict(shares)
        first, last = self._edges[load], self._edges[load + 1]
        held = self.share[first:last].copy()
        self.share[first:last] = 0.0
        total = 0.0
        for place, share in shares.items():
            arc = arcs.of.get((load, place))
            if arc is not None and share > 0 and arcs.reachable[arc]:
                self.share[arc] = share
                total += share
        self.has_split[load] = total > 0
        if total > 0:
            self.share[first:last] /= total
        return not np.array_equal(held, self.share[first:last])

    def route(self, demand: Array, planned: Array, full: Array, most: Array) -> Routed:
        """Route `demand` (by load); capacities by placement: inside the margin, full, with queue."""
        arcs = self._layout.arcs
        places = len(planned)
        flow = np.zeros(len(arcs.load))
        lost = np.zeros(len(demand))
        past = 0.0
        if self._any_spread:
            self._spread_out(demand, full, flow, lost)
            there = sums(arcs.placement, flow, places)
            past = float(np.maximum(np.minimum(there, most) - planned, 0.0).sum())
        if self._any_follow:
            left = np.where(self._layout.follows, demand, 0.0)
            room = planned.copy()
            if self.has_split.any():
                want = left[arcs.load] * self.share
                self._grant(want, None, room, flow, left)
            left = self._nearest(left, room, flow)
            if left.max(initial=0.0) > NOTHING:
                before = float(left.sum())
                used = sums(arcs.placement, flow, places)
                left = self._nearest(left, np.maximum(0.0, full - used), flow)
                used = sums(arcs.placement, flow, places)
                left = self._nearest(left, np.maximum(0.0, most - used), flow)
                past += before - float(left.sum())
                left = self._queue(left, most, flow)
                lost += left
        offered = sums(arcs.placement, flow, places)
        return Routed(flow=flow, offered=offered, lost=lost, past_margin=past)

    def _grant(
        self,
        want: Array,
        arcs: np.ndarray[tuple[int], np.dtype[np.intp]] | None,
        room: Array,
        flow: Array,
        left: Array,
    ) -> None:
        """Give every arc its part of the room of its placement; changes room, flow and left."""
        table = self._layout.arcs
        place = table.placement if arcs is None else table.placement[arcs]
        load = table.load if arcs is None else table.load[arcs]
        asked = sums(place, want, len(room))
        scale = np.ones(len(room))
        over = asked > room
        scale[over] = room[over] / asked[over]
        given = want * scale[place]
        if arcs is None:
            flow += given
        else:
            flow[arcs] += given
        room -= sums(place, given, len(room))
        np.maximum(room, 0.0, out=room)
        left -= sums(load, given, len(left))
        np.maximum(left, 0.0, out=left)

    def _nearest(self, left: Array, room: Array, flow: Array) -> Array:
        """Nearest placements with room first, all loads of one rank at once."""
        for rank in self._layout.arcs.by_rank:
            if left.max(initial=0.0) <= NOTHING or room.max(initial=0.0) <= NOTHING:
                break
            want = left[self._layout.arcs.load[rank]]
            if want.max(initial=0.0) > NOTHING:
                self._grant(want, rank, room, flow, left)
        return left

    def _queue(self, left: Array, most: Array, flow: Array) -> Array:
        """What nobody can carry waits at the nearest placement that serves at all."""
        table = self._layout.arcs
        for rank in table.by_rank:
            if left.max(initial=0.0) <= NOTHING:
                break
            rows = rank[most[table.placement[rank]] > 0]
            flow[rows] += left[table.load[rows]]
            left[table.load[rows]] = 0.0
        return left

    def _spread_out(self, demand: Array, full: Array, flow: Array, lost: Array) -> None:
        """Without ShiftTraffic: every origin over all replicas in service, by capacity."""
        table = self._layout.arcs
        weight = np.where(self._spread, full[table.placement], 0.0)
        total = sums(table.load, weight, len(demand))
        served = total > 0
        factor = np.zeros(len(demand))
        np.divide(demand, total, out=factor, where=served)
        flow += weight * factor[table.load]
        lost += np.where(~served & ~self._layout.follows, demand, 0.0)
