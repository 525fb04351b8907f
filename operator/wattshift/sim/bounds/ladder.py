"""From the loosest bound to a schedule with whole replicas and moves: where capture is lost.

Each rung knows everything. B8: no margin, caps allowed. B8m: the margin that plans keep, no caps (the
governor's means, not a plan's), each workload's replicas counted whole. Rounded: those loads on whole
replicas at each site. With moves: that, and what starting replicas and moving load would have cost.
The last two are schedules, not bounds: a better one may exist; they are made where steps stand alone.
Neighbours: `sim/result.py` (capture), `floors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattshift.sim.bounds import flow, lp
from wattshift.sim.bounds.flow import Optimum, Weights, costs_of
from wattshift.sim.bounds.instance import Instance, instance_of
from wattshift.sim.bounds.milp import round_up
from wattshift.sim.bounds.window import cut
from wattshift.sim.scenario import Array, Scenario, Window

DAY_SECONDS = 86400.0
TOGETHER = 60_000
"""Variables that are solved in one program where steps are coupled; beyond it day by day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The same objective at each rung, fixed load included, summed over windows."""

    bound: float
    """B8."""
    bound_with_margin: float
    """B8m."""
    rounded: float | None
    """None with several workloads, which would have to share replicas, and where steps are coupled."""
    rounded_with_moves: float | None
    without_idle_gain: float
    """B8m without replicas that are on only to be paid for it; equals B8m where no price is negative.
    """
    unmet_tokens: float
    """Demand for which even B8 has no room; costs say nothing then."""


def bound(instance: Instance, weights: Weights) -> Optimum:
    """The bound of an instance by the method that is exact for it."""
    if flow.fits(instance):
        return flow.solve(instance, weights)
    return lp.solve(instance, weights)


def windows_of(scenario: Scenario, windows: Sequence[Window]) -> list[tuple[int, int]]:
    """(first, last) steps to solve at once: a window, or its days where steps are coupled and many.

    Work that is due after the end of a span may be left, so that the sum stays a lower bound.
    """
    coupled = _coupled(scenario)
    places = {(p.site_name, p.profile_name) for row in scenario.workloads for p in row.placements}
    day = max(1, round(DAY_SECONDS / scenario.step_seconds))
    spans = []
    for row in windows:
        steps = row.last_step - row.first_step
        size = day if coupled and steps * len(places) > TOGETHER else steps
        spans += [
            (first, min(first + size, row.last_step))
            for first in range(row.first_step, row.last_step, size)
        ]
    return spans


def _coupled(scenario: Scenario) -> bool:
    """Whether work can wait or energy can be stored."""
    return any(row.batch is not None for row in scenario.workloads) or any(
        row.storage is not None for row in scenario.sites
    )


def ladder(scenario: Scenario, windows: Sequence[Window], weights: Weights) -> Ladder:
    """All rungs. The scenario's demand is taken as it is: apply its noise before."""
    rungs = np.zeros(6)
    alone = len(scenario.workloads) == 1 and not _coupled(scenario)
    starts = max(table.start_seconds for table in scenario.tables)
    for first, last in windows_of(scenario, windows):
        part = cut(scenario, first, last)
        free = bound(instance_of(part), weights)
        held = instance_of(part, margin=part.margin, caps=False, whole=True)
        kept = bound(held, weights)
        idle = kept.objective
        if flow.fits(held):
            idle = flow.solve(held, weights, idle_earns=False).objective
        on_whole, moved = 0.0, 0.0
        if alone:
            plain = instance_of(part, margin=part.margin, caps=False)
            tokens = bound(plain, weights).tokens
            on_whole = round_up(plain, weights, tokens, start_seconds=0.0).objective
            moved = round_up(plain, weights, tokens, start_seconds=starts).objective
            moved += _moves(part, plain, weights, tokens)
        unmet = float(free.unmet.sum()) * scenario.step_seconds
        rungs += [free.objective, kept.objective, on_whole, moved, idle, unmet]
    return Ladder(
        bound=float(rungs[0]),
        bound_with_margin=float(rungs[1]),
        rounded=float(rungs[2]) if alone else None,
        rounded_with_moves=float(rungs[3]) if alone else None,
        without_idle_gain=float(rungs[4]),
        unmet_tokens=float(rungs[5]),
    )


def _moves(scenario: Scenario, instance: Instance, weights: Weights, tokens: Array) -> float:
    """Prompts computed again where a pool's share of all tokens grew, at the demand of the step."""
    total = tokens.sum(axis=1, keepdims=True)
    share = np.divide(tokens, total, out=np.zeros_like(tokens), where=total > 0)
    gained = np.maximum(np.diff(share, axis=0), 0.0) * total[1:]
    joules = max(
        (
            row.prompt_tokens_per_request
            * table.prefill_watt_seconds_per_token
            * table.sequences_at_objective
            / rate
            for row in scenario.workloads
            for table, rate in zip(scenario.tables, _rates(scenario), strict=True)
        ),
        default=0.0,
    )
    site = instance.pool_site
    price = np.maximum(costs_of(instance, weights).grid[1:, site], 0.0)
    return float((gained * joules * price * instance.marginal[1:, site]).sum()) / 3.6e6


def _rates(scenario: Scenario) -> list[float]:
    return [
        float(np.interp(row.sequences_at_objective, row.sequences, row.tokens_per_second))
        for row in scenario.tables
    ]
