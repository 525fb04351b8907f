"""How fast load grows while a replica starts: the 95th percentile, learnt from the series of load.

A histogram of growth over the cold-start horizon with decayed weights, and a short ring of the last
loads: bounded memory whatever the time. Pure; `control/` feeds it. Neighbour: `demand.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

HALF_LIFE_SECONDS = 7 * 86400.0
STEPS_PER_HORIZON = 4
"""Loads kept over one horizon."""
EDGES_PERMILLE = (0, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 700, 1000)
"""Upper edges of the bins; the last is also the most that is believed."""
SHARE = 0.95
LEARNT_SAMPLES = 240.0
"""Samples until something is learnt: sixty horizons that do not overlap; 59 show a 95th percentile."""
LEAST_LOAD = 1.0
"""Sequences below which growth is not counted: from nothing everything is infinite growth."""
GAP = 2.5
"""Steps without a load after which the ring begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What is known of one workload's growth."""

    horizon_seconds: float = 0.0
    """Longest cold start that it was learnt for."""
    time: float = 0.0
    """UTC seconds to which the weights are decayed."""
    recent: tuple[tuple[float, float], ...] = ()
    """(UTC seconds, sequences), oldest first, over one horizon; not kept over a restart."""
    weights: tuple[float, ...] = ()
    """Decayed samples by bin of `EDGES_PERMILLE`; what is above the last edge is in the last."""

    @property
    def samples(self) -> float:
        """Decayed samples in all."""
        return sum(self.weights)

    @property
    def permille(self) -> int:
        """95th percentile of growth, rounded up to a bin's edge; 0 until learnt."""
        total = self.samples
        if total < LEARNT_SAMPLES:
            return 0
        reached = 0.0
        for edge, weight in zip(EDGES_PERMILLE, self.weights, strict=True):
            reached += weight
            if reached >= SHARE * total - 1e-9:
                return edge
        return EDGES_PERMILLE[-1]


def update(state: Growth, load: float, now: float, horizon_seconds: float) -> Growth:
    """Take the load of this moment; what comes sooner than a step after the last is not needed.

    Growth = highest load within the horizon over the load at its beginning, less one. Another horizon
    begins anew: growth over five minutes says nothing about one.
    """
    horizon = max(STEPS_PER_HORIZON * 5.0, horizon_seconds)
    if abs(horizon - state.horizon_seconds) > 0.2 * horizon or not state.weights:
        state = Growth(horizon_seconds=horizon, time=now, weights=(0.0,) * len(EDGES_PERMILLE))
    step = state.horizon_seconds / STEPS_PER_HORIZON
    recent = state.recent
    if recent and now < recent[-1][0]:
        recent = ()  # the clock was set back
    if recent and now - recent[-1][0] < step * 0.99:
        return state
    if recent and now - recent[-1][0] > GAP * step:
        recent = ()
    recent = (*recent, (now, max(0.0, load)))[-(STEPS_PER_HORIZON + 1) :]
    if len(recent) <= STEPS_PER_HORIZON or recent[0][1] < LEAST_LOAD:
        return replace(state, recent=recent)
    peak = max(row for _, row in recent[1:])
    growth = 1000 * max(0.0, peak / recent[0][1] - 1)
    place = min(bisect_left(EDGES_PERMILLE, growth - 1e-9), len(EDGES_PERMILLE) - 1)
    factor = 0.5 ** (max(0.0, now - state.time) / HALF_LIFE_SECONDS)
    weights = [row * factor for row in state.weights]
    weights[place] += 1.0
    return replace(state, time=now, recent=recent, weights=tuple(weights))
