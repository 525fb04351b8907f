"""Carbon and money at once: eleven fixed weights, and the area that a policy covers of the bound's.

Axes are reductions against B0 as a share of what each objective can reach alone; only points that
were run count, for policy and bound alike, and nothing is interpolated between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wattshift.sim.bounds.flow import CARBON, MONEY, Weights
from wattshift.sim.bounds.instance import instance_of
from wattshift.sim.bounds.ladder import bound, windows_of
from wattshift.sim.scenario import Scenario, Window

SHARES = tuple(k / 10 for k in range(11))
"""Share of money in the objective; the rest is carbon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Money and grams of one run."""

    money: float
    grams: float


def weights_at(share: float, reference: Point) -> Weights:
    """Weights at one share, normalised so that B0 costs 1 on each axis."""
    return Weights(
        money=share / max(abs(reference.money), 1e-12),
        carbon=(1 - share) / max(abs(reference.grams), 1e-12),
    )


def carbon_price_per_tonne(share: float, reference: Point, *, highest: float = 1e6) -> float:
    """The same trade-off as a price: what a policy that thinks in money is given; 0 = `highest`."""
    weights = weights_at(share, reference)
    if weights.money <= 0:
        return highest
    return min(highest, weights.carbon / weights.money * 1e6)


def bound_points(
    solve: Callable[[Weights], Point], reference: Point
) -> tuple[tuple[Point, ...], Point]:
    """(points at the eleven weights, the two single-objective optima as one point)."""
    points = tuple(solve(weights_at(share, reference)) for share in SHARES)
    return points, Point(money=solve(MONEY).money, grams=solve(CARBON).grams)


def points_of(
    scenario: Scenario, windows: Sequence[Window], reference: Point
) -> tuple[tuple[Point, ...], Point]:
    """`bound_points` of B8m over some windows of a scenario; `reference` is B0 over the same."""
    instances = [
        instance_of(
            scenario,
            margin=scenario.margin,
            caps=False,
            whole=True,
            first_step=first,
            last_step=last,
        )
        for first, last in windows_of(scenario, windows)
    ]

    def solve(weights: Weights) -> Point:
        found = [bound(row, weights) for row in instances]
        return Point(money=sum(row.money for row in found), grams=sum(row.grams for row in found))

    return bound_points(solve, reference)


def reductions(
    points: Iterable[Point], reference: Point, own: Point
) -> tuple[tuple[float, float], ...]:
    """(money, carbon) of each point as shares of their single-objective bounds."""
    return tuple(
        (
            _share(reference.money - row.money, reference.money - own.money),
            _share(reference.grams - row.grams, reference.grams - own.grams),
        )
        for row in points
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def hypervolume(rows: Iterable[tuple[float, float]]) -> float:
    """Area between the origin (B0) and the points, both axes to be maximised."""
    area, height = 0.0, 0.0
    for x, y in sorted(((x, y) for x, y in rows if x > 0 and y > 0), reverse=True):
        if y > height:
            area += x * (y - height)
            height = y
    return area


def share_of_bound(
    policy: Iterable[Point], bound: Iterable[Point], reference: Point, own: Point
) -> float:
    """Hypervolume of a policy as a share of the bound's, both at the same weights."""
    whole = hypervolume(reductions(bound, reference, own))
    covered = hypervolume(reductions(policy, reference, own))
    return covered / whole if whole > 0 else 0.0
