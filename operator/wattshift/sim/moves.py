"""Moves: which shares of the load changed their placement by decisions, and what that costs.

Shares are compared at the demand of now, so that demand itself moves nothing. Prompts of moved
sequences are computed again at the destination, within what its replicas have left.
Neighbour: `plant.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.sim.curves import sums
from wattshift.sim.layout import Layout
from wattshift.sim.scenario import Array

LEAST_SPARE = 0.05
"""Share of a replica's highest watts that prefill of moved prompts may always add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Changes of one span."""

    by_workload: Array
    """Sum of positive changes of site shares."""
    by_placement: Array
    """Change of each placement's share of its workload."""
    rerouted: float
    """Tokens/s that changed their placement, origin by origin."""
    joules: Array
    """By placement, drawn in this span for prompts that are computed again."""


class Moves:
    """Shares of the span before, and joules that are still owed."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._share: Array | None = None
        tables = [layout.scenario.tables[m] for m in layout.table_of]
        joules = np.asarray([row.prefill_watt_seconds_per_token for row in tables])
        loads, first = len(layout.load_origin), layout.load_first
        per_rate = np.asarray(
            [
                layout.sequences_per_rate[first[w]] if first[w] < loads else 0.0
                for w in layout.workload_of
            ]
        )
        self._joules_per_rate = per_rate * layout.prompt_tokens * joules
        """Per token/s that moves to a placement."""
        self._most_watts = np.asarray([layout.curves[m].watts.max() for m in layout.table_of])
        self.owed = np.zeros(len(layout.names))
        """Joules of moved prompts that are still to be computed again."""

    def count(
        self, demand: Array, flow: Array, watts: Array, serving: Array, seconds: float
    ) -> Moved:
        """Compare with the span before; `watts` is what one replica draws by placement."""
        change, gain = self._changes(demand, flow)
        arcs, layout = self._layout.arcs, self._layout
        places, workloads = len(layout.names), len(layout.scenario.workloads)
        self.owed = self.owed + sums(arcs.placement, gain, places) * self._joules_per_rate
        spare = np.maximum(LEAST_SPARE * self._most_watts, self._most_watts - watts)
        drawn = np.minimum(self.owed, spare * serving * seconds)
        self.owed = self.owed - drawn
        total = sums(layout.load_workload, demand, workloads)[layout.workload_of]
        share = np.zeros(places)
        np.divide(sums(arcs.placement, change, places), total, out=share, where=total > 0)
        return Moved(
            by_workload=sums(layout.workload_of, np.maximum(share, 0.0), workloads),
            by_placement=share,
            rerouted=float(gain.sum()),
            joules=drawn,
        )

    def _changes(self, demand: Array, flow: Array) -> tuple[Array, Array]:
        """(change, positive change) by arc in tokens/s at the demand of now."""
        arcs = self._layout.arcs
        asked = demand[arcs.load]
        share = np.zeros_like(flow)
        np.divide(flow, asked, out=share, where=asked > 0)
        before, self._share = self._share, share
        if before is None:
            return np.zeros_like(flow), np.zeros_like(flow)
        # an origin that was silent, or lost, has not been anywhere: it moves nothing
        known = (demand > 0) & (sums(arcs.load, before, len(demand)) > 0)
        change = np.where(known[arcs.load], (share - before) * asked, 0.0)
        self._share = np.where(asked > 0, share, before)
        return change, np.maximum(change, 0.0)
