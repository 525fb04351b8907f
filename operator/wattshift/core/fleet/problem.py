"""The fleet as arrays: classes of load, the places that may carry them, costs ahead and limits.

Plain numpy without look-ups: `core/fleet/build.py` makes it from a survey, the solvers read it. A
class is load that may go to the same places; a place is one placement of one workload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """C classes, F columns (places of a class, padded), N places, R limits, T steps, G workloads.

    Units of capacity are sequences in flight inside the objective; money is the reporting currency.
    """

    hours: Floats
    """[T] length of each step."""
    need: Floats
    """[T, C] units to provide, head room included."""
    place: Integers
    """[C, F] place of each column; any where padded."""
    open: Booleans
    """[C, F] whether the class may use the column."""
    cost: Floats
    """[T, N] money per unit and hour at a place whose replicas are full."""
    start: Floats
    """[N] money once per unit by which a place grows: start, overlap while others drain."""
    arrive: Floats
    """[N] money once per unit of a class that newly arrives: warming up, prompts computed again."""
    present: Floats
    """[C, F] units carried there now."""
    group: Integers
    """[C] workload of each class."""
    owner: Integers
    """[N] workload of each place."""
    size: Floats
    """[N] units of one replica."""
    most: Floats
    """[N] units that a place may carry at most."""
    pool: Integers
    """[N] limit row of its devices; R where none."""
    feed: Integers
    """[N] limit row of its connection's watts; R where none."""
    supply: Integers
    """[N] limit row of own supply or the billed peak, which only prices what is above it; R where none."""
    devices: Floats
    """[N] devices per unit."""
    watts: Floats
    """[N] facility watts per unit at full load."""
    limit: Floats
    """[T, R] what each limit allows: devices, or watts."""
    ceiling: Floats
    """[T, R] money per unit and hour for which a limit may be passed; inf = it may not."""
    moves: Floats
    """[G] units that may move within the horizon; inf = not limited."""
    distance: Floats
    """[C, F] tie-break in 0..1: nearer to the users is better."""
    held: Booleans
    """[C] whether the class stays where it is in the first step: a dwell time of the whole workload."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.place.shape[0])

    @property
    def places(self) -> int:
        """Number of places."""
        return int(self.size.shape[0])

    @property
    def groups(self) -> int:
        """Number of workloads."""
        return int(self.moves.shape[0])

    @property
    def rows(self) -> int:
        """Number of limits."""
        return int(self.limit.shape[1])

    @property
    def enter(self) -> Floats:
        """[N] money once per unit that newly arrives, all in."""
        return self.start + self.arrive

    def at(self, by_column: Floats) -> Floats:
        """[N] sums over all classes of what is given by column."""
        weights = np.where(self.open, by_column, 0.0).ravel()
        sums = np.bincount(self.place.ravel(), weights=weights, minlength=self.places)
        return sums.astype(np.float64, copy=False)

    def above_supply(self, at: Floats, step: int) -> float:
        """Money per hour that units `at` places pay on top where own supply does not reach."""
        used = np.bincount(self.supply, weights=at * self.watts, minlength=self.rows + 1)[:-1]
        above = np.maximum(0.0, used - self.limit[step])
        priced = np.isfinite(self.ceiling[step])
        return float((above[priced] * self.ceiling[step][priced]).sum())
