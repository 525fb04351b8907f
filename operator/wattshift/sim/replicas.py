"""Replica states of all placements: in service, starting, waking, draining, parked, off.

Orders are absolute counts of replicas in service or on their way there. Raising takes back what
drains, then wakes what is parked, then starts; lowering first cancels what is on its way, then drains.
Times are scenario seconds. Neighbours: `plant.py` (drives it), `layout.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.sim.layout import Index, Layout
from wattshift.sim.scenario import Array

STARTING, WAKING, DRAINING = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Replicas by state as time averages over a span; `serving` may be a fraction."""

    serving: Array
    starting: Array
    """Starting or waking: they draw loaded idle."""
    draining: Array
    parked: Array


class Fleet:
    """All replicas. One instance per run."""

    def __init__(self, layout: Layout) -> None:
        count = len(layout.names)
        self._layout = layout
        self.serving = np.minimum(layout.initial, layout.max_replicas).astype(np.int64)
        self.parked = np.zeros(count, dtype=np.int64)
        self.target = self.serving.copy()
        """What was ordered last."""
        self._due = np.zeros(0)
        self._place = np.zeros(0, dtype=np.intp)
        self._count = np.zeros(0, dtype=np.int64)
        self._kind = np.zeros(0, dtype=np.int64)
        self.starts = 0
        self.wakes = 0
        self._used: Index | None = None
        self.finished = 0
        """Transitions that ended in the last span."""
        self.refused = 0
        """Replicas that were ordered and for which there were no devices."""
        tables = [layout.scenario.tables[m] for m in layout.table_of]
        self._start_seconds = np.asarray([row.start_seconds for row in tables])
        self._wake_seconds = np.asarray([row.wake_seconds for row in tables])
        self._parks = np.asarray([row.parked_watts > 0 for row in tables], dtype=bool)

    # ---- reading ------------------------------------------------------------------------------

    def pending(self, *kinds: int) -> Index:
        """Replicas by placement in transitions of the given kinds."""
        found = np.zeros(len(self.serving), dtype=np.int64)
        if self._due.size:
            mask = np.isin(self._kind, kinds)
            np.add.at(found, self._place[mask], self._count[mask])
        return found

    def next_due(self) -> float | None:
        """Earliest end of a transition."""
        return float(self._due.min()) if self._due.size else None

    # ---- orders -------------------------------------------------------------------------------

    def order(self, index: int, wanted: int, now: float, drain_seconds: float) -> int:
        """Bring one placement towards `wanted`; returns the replicas in service or on their way."""
        layout = self._layout
        wanted = int(min(max(wanted, 0), layout.max_replicas[index]))
        coming = self._of(index, STARTING, WAKING)
        have = int(self.serving[index]) + coming
        if wanted > have:
            have += self._raise(index, wanted - have, now)
        elif wanted < have:
            self._lower(index, have - wanted, now, drain_seconds)
            have = wanted
        self.target[index] = have
        return have

    def _raise(self, index: int, count: int, now: float) -> int:
        got = self._take(index, DRAINING, count)
        self.serving[index] += got
        left = count - got
        awake = min(left, int(self.parked[index]))
        if awake:
            self.parked[index] -= awake
            self.wakes += awake
            self._push(now + self._wake_seconds[index], index, awake, WAKING)
            left -= awake
        begun = min(left, self._free(index, left))
        if begun:
            self.starts += begun
            self._take_devices(index, begun)
            self._push(now + self._start_seconds[index], index, begun, STARTING)
        self.refused += left - begun
        return got + awake + begun

    def _lower(self, index: int, count: int, now: float, drain_seconds: float) -> None:
        cancelled = self._take(index, STARTING, count)
        self._take_devices(index, -cancelled)
        left = count - cancelled
        back = self._take(index, WAKING, left)
        self.parked[index] += back
        left -= back
        if left:
            self.serving[index] -= left
            self._push(now + max(drain_seconds, 0.0), index, left, DRAINING)

    def _free(self, index: int, wanted: int) -> int:
        """Replicas that still fit the site's devices; parked ones of others make room."""
        layout = self._layout
        pool = int(layout.pool_of[index])
        if pool < 0:
            return wanted
        used = self._devices_used()
        mine = int(layout.devices_each[index])
        free = int(layout.pool_devices[pool]) - int(used[pool])
        if free < wanted * mine and self.parked.any():
            members = np.flatnonzero((layout.pool_of == pool) & (self.parked > 0))
            for other in members[members != index]:
                each = int(layout.devices_each[other])
                evict = int(min(self.parked[other], -(-max(0, wanted * mine - free) // each)))
                self.parked[other] -= evict
                used[pool] -= evict * each
                free += evict * each
        return max(0, min(wanted, free // mine))

    def _devices_used(self) -> Index:
        """Devices taken in every pool; made anew only after something has ended."""
        if self._used is None:
            layout = self._layout
            here = layout.pool_of >= 0
            count = self.serving + self.parked + self.pending(STARTING, WAKING, DRAINING)
            taken = (count * layout.devices_each)[here]
            used = np.zeros(len(layout.pool_devices), dtype=np.int64)
            np.add.at(used, layout.pool_of[here], taken)
            self._used = used
        return self._used

    def _take_devices(self, index: int, replicas: int) -> None:
        pool = int(self._layout.pool_of[index])
        if self._used is not None and pool >= 0:
            self._used[pool] += replicas * int(self._layout.devices_each[index])

    def lose(self, places: Index) -> None:
        """A site is lost: whatever runs, starts or drains there is gone."""
        self._used = None
        self.serving[places] = 0
        self.parked[places] = 0
        keep = ~np.isin(self._place, places)
        self._keep(keep)

    def restart(self, places: Index, now: float) -> None:
        """A lost site is back: what had been ordered starts again."""
        for index in places:
            self.order(int(index), int(self.target[index]), now, 0.0)

    # ---- time ---------------------------------------------------------------------------------

    def advance(self, now: float, seconds: float) -> Mean:
        """Finish what ends within `[now, now + seconds)`, and give the mean counts over the span."""
        shape = len(self.serving)
        serving = self.serving.astype(float)
        parked = self.parked.astype(float)
        starting, draining = np.zeros(shape), np.zeros(shape)
        self.finished = 0
        if not self._due.size:
            return Mean(serving=serving, starting=starting, draining=draining, parked=parked)
        part = np.clip((self._due - now) / seconds, 0.0, 1.0)
        held = self._count * part
        rest = self._count - held
        drains = self._kind == DRAINING
        np.add.at(draining, self._place[drains], held[drains])
        np.add.at(starting, self._place[~drains], held[~drains])
        np.add.at(serving, self._place[~drains], rest[~drains])
        parks = drains & self._parks[self._place]
        np.add.at(parked, self._place[parks], rest[parks])
        done = self._due <= now + seconds
        if done.any():
            self.finished = int(done.sum())
            self._used = None
            up = done & ~drains
            np.add.at(self.serving, self._place[up], self._count[up])
            down = done & parks
            np.add.at(self.parked, self._place[down], self._count[down])
            self._keep(~done)
        return Mean(serving=serving, starting=starting, draining=draining, parked=parked)

    # ---- transitions --------------------------------------------------------------------------

    def _of(self, index: int, *kinds: int) -> int:
        if not self._due.size:
            return 0
        mask = self._place == index
        if not mask.any():
            return 0
        mask &= np.isin(self._kind, kinds)
        return int(self._count[mask].sum())

    def _push(self, due: float, index: int, count: int, kind: int) -> None:
        self._due = np.append(self._due, due)
        self._place = np.append(self._place, index)
        self._count = np.append(self._count, count)
        self._kind = np.append(self._kind, kind)

    def _take(self, index: int, kind: int, count: int) -> int:
        """Take up to `count` out of a kind of transition, the youngest first."""
        got = 0
        if count <= 0 or not self._due.size:
            return 0
        rows = np.flatnonzero((self._place == index) & (self._kind == kind))
        for row in rows[::-1]:
            part = min(count - got, int(self._count[row]))
            self._count[row] -= part
            got += part
            if got == count:
                break
        if got:
            self._keep(self._count > 0)
        return got

    def _keep(self, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        self._due, self._place = self._due[mask], self._place[mask]
        self._count, self._kind = self._count[mask], self._kind[mask]
