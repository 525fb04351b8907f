"""Which events are called: a reduction is asked only of a site whose work could yield it then.

A programme calls what is available. Decided once, from what was true when an event is first announced (at
its start, without notice), and told to policies and to the judge alike. A bound in watts is always
called. Neighbours: `events_seen.py` (what a policy sees), `events.py` (the judge), `world.py` (asks).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from wattshift.core.model import Allowed, Firmness
from wattshift.sim.faults import lost_sites
from wattshift.sim.plant import Plant, Record
from wattshift.sim.scenario import SimEvent, SimWorkload

GROWTH = 1.15
"""What other load on the connection may grow to while an event lasts."""


class Calls:
    """Events that were not called; `refused` grows while the run goes on."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._scenario = plant.scenario
        self._sites = {site.name: s for s, site in enumerate(plant.scenario.sites)}
        rows = [row for row in plant.scenario.events if row.reduction_share is not None]
        self._open = deque(sorted(rows, key=_announced))
        self.refused: set[str] = set()
        """Names of events that were not called."""

    def decide(self, record: Record, now: float) -> None:
        """Decide all that are announced by `now`, from the span that was over then."""
        while self._open and _announced(self._open[0]) <= now:
            event = self._open.popleft()
            site = self._sites[event.site_name]
            upper = float(record.flows.imported[site]) * (1.0 - (event.reduction_share or 0.0))
            if site in lost_sites(self._scenario, now) or upper < self._least(record, site, event):
                self.refused.add(event.name)

    def _least(self, record: Record, site: int, event: SimEvent) -> float:
        """Import in watts below which the work at a site cannot bring it, with what it has to serve."""
        plant, flows = self._plant, record.flows
        places = np.flatnonzero(plant.layout.site_of == site)
        it = sum(self._least_of(record, int(place), event.firmness) for place in places)
        truth = plant.truth
        facility = truth.fixed[record.step, site] + truth.marginal[record.step, site] * it
        own = flows.taken[site] - flows.charge[site] + flows.discharge[site]
        return float(facility + GROWTH * flows.uncontrolled[site] - own)

    def _least_of(self, record: Record, place: int, firmness: Firmness) -> float:
        """IT watts of a placement at its floor, or with the load that only its site may serve."""
        layout, fleet = self._plant.layout, self._plant.fleet
        workload = self._scenario.workloads[layout.workload_of[place]]
        curve = layout.curves[layout.table_of[place]]
        have = int(fleet.target[place])
        lowest = min(
            curve.busy_watts * float(curve.cap_power[0]), float(record.power_factor[place])
        )
        if firmness is Firmness.MANDATORY:
            have = 0
        elif Allowed.SCALE in workload.actions or _pauses(workload):
            others = int(fleet.target[layout.workload_of == layout.workload_of[place]].sum()) - have
            have = min(have, max(int(layout.min_replicas[place]), workload.min_replicas - others))
        # watts for a token where devices are capped as deeply as it pays
        pays = min(1.0, float(np.min(curve.cap_power / np.maximum(curve.cap_rate, 1e-9))))
        each = pays * curve.busy_watts / curve.rate_at_objective
        kept = _kept(workload.tier.tolerated_loss, firmness)
        return float(max(have * lowest, kept * self._only_here(record, place) * each))

    def _only_here(self, record: Record, place: int) -> float:
        """Tokens/s that a placement serves and that no other site with replicas is near enough for."""
        layout, fleet = self._plant.layout, self._plant.fleet
        arcs = layout.arcs
        away = (layout.site_of != layout.site_of[place]) & (fleet.serving > 0)
        elsewhere = np.zeros(len(layout.load_workload), dtype=bool)
        # without a split by origin requests go wherever replicas serve
        near = arcs.reachable | ~layout.follows[arcs.load]
        elsewhere[arcs.load[near & away[arcs.placement]]] = True
        here = (arcs.placement == place) & ~elsewhere[arcs.load]
        return float(record.flow[here].sum())


def _pauses(workload: SimWorkload) -> bool:
    return workload.batch is not None and Allowed.PAUSE in workload.actions


def _kept(tolerated_loss: float, firmness: Firmness) -> float:
    """Share of the load that an event of this firmness leaves to users."""
    if firmness is Firmness.MANDATORY:
        return 0.0
    return 1.0 - tolerated_loss if firmness is Firmness.COMMITTED else 1.0


def _announced(event: SimEvent) -> float:
    return event.start_seconds - event.notice_seconds
