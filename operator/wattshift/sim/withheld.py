"""What events take from a site and do not give back: the most that it would draw more without them.

Replicas that an order lowered for an event, until they are raised again, or until an order for another
reason lowers that placement further: then they are not wanted any more; and power that device caps hold
back. Only while an event is in force. Neighbours: `events.py` (asks), `run.py` (feeds it).
"""

from __future__ import annotations

import numpy as np

from wattshift.core.reasons import Reason
from wattshift.sim.curves import sums
from wattshift.sim.layout import Index, Layout
from wattshift.sim.plant import Record
from wattshift.sim.policies.base import Orders
from wattshift.sim.scenario import Array

AT_CAP_WATTS = 1.0
"""A replica that draws this near to its cap is held back by it."""


class Withheld:
    """Replicas that are owed by placement."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._busy = np.asarray([layout.curves[m].busy_watts for m in layout.table_of])
        self._owed = np.zeros(len(layout.names), dtype=np.int64)

    def ordered(self, orders: Orders, before: Index, after: Index, bound_sites: set[int]) -> None:
        """Orders were carried out: targets by placement before and after, and sites with an event."""
        owed, layout = self._owed, self._layout
        owed[~np.isin(layout.site_of, list(bound_sites))] = 0
        for place in np.flatnonzero(before != after):
            change = int(after[place] - before[place])
            reason = orders.reasons.get(layout.scenario.workloads[layout.workload_of[place]].key)
            if change > 0:
                owed[place] = max(0, owed[place] - change)
            elif reason != Reason.EVENT_LIMIT:
                owed[place] = 0
            elif int(layout.site_of[place]) in bound_sites:
                owed[place] -= change

    def watts(self, record: Record, marginal: Array) -> Array:
        """Facility watts by site that are withheld at most in a span: at full load."""
        limit = record.capped * self._busy
        held = (record.capped < 1) & (record.power_factor >= limit - AT_CAP_WATTS)
        it = self._owed * self._busy
        it += np.where(held, record.mean.serving * (self._busy - limit), 0.0)
        return sums(self._layout.site_of, it, len(marginal)) * marginal
