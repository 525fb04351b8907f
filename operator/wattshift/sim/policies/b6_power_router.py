"""B6: a router that weighs sites by the power they have, as Heron and XWind do.

Weight = load that present power and devices can carry, turned down while queues grow or the KV cache
is nearly full, and slowly up again. Reactive: no forecast, no price.
"""

from __future__ import annotations

from wattshift.core.model import PlacementState, Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.costs import room_watts
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.jobs import Flow, Job, Spot
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import place_all

FULL_CACHE = 0.9
DOWN, UP, LEAST = 0.8, 1.05, 0.1
"""Feedback: factor under pressure, factor without, and where it ends."""
ROUNDS = 8
NOTHING = 1e-9
"""Sequences that are not worth a share."""


class PowerRouter:
    """Shares in proportion to power, within reach."""

    name = "b6"

    def __init__(self) -> None:
        self._pace = Pace()
        self._handover = Handover()
        self._trust: dict[tuple[str, str], float] = {}

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Weigh, then share."""
        if not self._pace.due(snapshot, now):
            return Orders()
        left = {row.name: room_watts(row, now) for row in snapshot.sites}

        def most(spot: Spot) -> int:
            watts = left[spot.site.name]
            busy = float(spot.profile.busy_watts or 1)
            return int(min(watts / busy, 1e6))

        def rule(job: Job) -> Flow:
            weight = [spot.room * self._feedback(job.state.key, spot.state) for spot in job.spots]
            flow = _share(job, weight)
            for (_, index), load in flow.items():
                spot = job.spots[index]
                busy = float(spot.profile.busy_watts or 0)
                left[spot.site.name] = max(0.0, left[spot.site.name] - load / spot.sequences * busy)
            return flow

        return place_all(snapshot, rule, most=most, handover=self._handover)

    def _feedback(self, key: str, state: PlacementState) -> float:
        trust = self._trust.get((key, state.name), 1.0)
        engine = state.engine
        if engine is not None:
            pressed = engine.waiting > 0 or (engine.kv_cache_usage or 0.0) > FULL_CACHE
            trust = max(LEAST, trust * DOWN) if pressed else min(1.0, trust * UP)
        self._trust[key, state.name] = trust
        return trust


def _share(job: Job, weight: list[float]) -> Flow:
    """Every origin over the spots in its reach by weight, in rounds until rooms or load are used."""
    flow: Flow = {}
    room = [spot.room for spot in job.spots]
    left = {origin: load for origin, load in job.loads.items() if load > 0}
    for _ in range(ROUNDS):
        wish: Flow = {}
        for origin, load in left.items():
            if load <= NOTHING:
                continue
            open_spots = [i for i in job.near[origin] if room[i] > NOTHING and weight[i] > 0]
            total = sum(weight[i] for i in open_spots)
            wish.update({(origin, i): load * weight[i] / total for i in open_spots})
        asked = [0.0] * len(room)
        for (_, index), part in wish.items():
            asked[index] += part
        for (origin, index), part in wish.items():
            given = part * min(1.0, room[index] / max(asked[index], NOTHING))
            flow[origin, index] = flow.get((origin, index), 0.0) + given
            left[origin] -= given
        room = [have - min(have, ask) for have, ask in zip(room, asked, strict=True)]
        if max(left.values(), default=0.0) <= NOTHING:
            return flow
    for origin, load in left.items():
        if load > NOTHING and job.near[origin]:
            first = job.near[origin][0]
            flow[origin, first] = flow.get((origin, first), 0.0) + load
    return flow
