"""Power of one replica against tokens per second: the hulls between which every schedule lies.

The lower hull starts at nothing running (0 tokens, 0 W): with parts of replicas allowed, any mix of
off, idle and busy replicas lies above it. The upper hull keeps all replicas on: where a kWh earns,
idle watts earn too, so that a chord from zero would be no bound. Neighbour: `sim/curves.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.sim.curves import curve_of
from wattshift.sim.scenario import ReplicaTable

Points = tuple[tuple[float, float], ...]
"""(tokens/s, IT watts), ordered by tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hulls:
    """One replica of one table inside its latency objective."""

    lower: Points
    """From (0, 0), convex."""
    upper: Points
    """From (0, idle watts), concave."""
    running: Points
    """Lower hull of a replica that is on: from (0, idle watts), convex."""
    points: Points
    """The table itself, without caps."""
    devices: int

    @property
    def tokens(self) -> float:
        """Most tokens/s that one replica may carry."""
        return self.lower[-1][0]


def hulls_of(
    table: ReplicaTable,
    *,
    margin: float = 0.0,
    caps: bool = True,
    beyond_objective: bool = False,
) -> Hulls:
    """Hulls of a table up to `(1 - margin)` of its token rate at the objective.

    With `caps` power caps give further operating points: shares of the token rate at shares of busy
    watts.
    `beyond_objective` goes on to the last point of the table, where latency is no longer kept.
    """
    curve = curve_of(table)
    limit = (1 - margin) * (curve.rate_max if beyond_objective else curve.rate_at_objective)
    rates = [*(float(rate) for rate in curve.rate if rate < limit), limit]
    table_points = [(rate, float(np.interp(rate, curve.rate, curve.watts))) for rate in rates]
    points = list(table_points)
    for power, speed in zip(curve.cap_power, curve.cap_rate, strict=True) if caps else ():
        slower = limit * float(speed)
        uncapped = float(np.interp(slower, curve.rate, curve.watts))
        points.append((slower, min(uncapped, float(power) * curve.busy_watts)))
    return Hulls(
        lower=_hull([(0.0, 0.0), *points], sign=1.0),
        upper=_hull(points, sign=-1.0),
        running=_hull(points, sign=1.0),
        points=tuple(table_points),
        devices=table.devices_per_replica,
    )


def _hull(points: list[tuple[float, float]], *, sign: float) -> Points:
    """Lower hull (sign 1) or upper hull (sign -1), from the least to the most tokens."""
    best: dict[float, float] = {}
    for x, y in points:
        best[x] = sign * min(sign * y, sign * best.get(x, y))
    hull: list[tuple[float, float]] = []
    for x, y in sorted(best.items()):
        while len(hull) >= 2:
            (x1, y1), (x2, y2) = hull[-2], hull[-1]
            if sign * ((y2 - y1) * (x - x1) - (y - y1) * (x2 - x1)) < 0:
                break
            hull.pop()
        hull.append((x, y))
    return tuple(hull)
