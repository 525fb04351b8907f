"""The whole horizon by first steps: a plan that keeps every limit, to size the gap to the bound.

Each step is the flow of `core/fleet/flow.py` at the dual's prices, from where the step before ended.
Amounts stay continuous. The planner decides only the first step; tests and benchmarks ask for this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wattshift.core.fleet.dual import Dual, values
from wattshift.core.fleet.flow import route
from wattshift.core.fleet.problem import Floats, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """A plan over the horizon."""

    money: float
    """Over the horizon: what is used and what moves."""
    unserved: float
    """Unit-hours that found no place."""
    carried: tuple[Floats, ...]
    """By step: [C, F] units."""


def rolled(problem: Problem, dual: Dual) -> Rolled:
    """Cost of following the dual's prices step by step."""
    later = values(problem, dual)
    present, money, unserved = problem.present, 0.0, 0.0
    found: list[Floats] = []
    for t in range(problem.hours.shape[0]):
        scale = problem.need[t] / np.maximum(present.sum(axis=1), 1e-12)
        present = np.where(problem.open, present * scale[:, None], 0.0)
        here = replace(
            problem,
            hours=problem.hours[t:],
            need=problem.need[t:],
            cost=problem.cost[t:],
            limit=problem.limit[t:],
            ceiling=problem.ceiling[t:],
            present=present,
            held=problem.held if t == 0 else np.zeros_like(problem.held),
        )
        each = (problem.cost[t] * problem.hours[t])[problem.place]
        worth = each + later[t] / np.maximum(problem.need[t], 1e-12)[:, None]
        flow = route(
            here,
            np.where(problem.open, worth, 0.0),
            kept=problem.at(present),
            bonus=problem.start + dual.move_price[problem.owner],
        )
        hours = float(problem.hours[t])
        money += float((problem.cost[t] * problem.at(flow.carried)).sum()) * hours
        arriving = np.where(problem.open, np.maximum(0.0, flow.carried - present), 0.0)
        money += float((arriving * problem.enter[problem.place]).sum())
        money += problem.above_supply(problem.at(flow.carried), t) * hours
        unserved += float(flow.unserved.sum()) * hours
        present = flow.carried
        found.append(flow.carried)
    return Rolled(money=money, unserved=unserved, carried=tuple(found))
