"""Whole replicas and starts on a short window: how loose the bound is.

Reported with its gap, because the time limit may end it first; never part of a decision.
Neighbours: `lp.py` (the same model without integers), `flow.py` (the bound).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.linear_solver import pywraplp

from wattshift.errors import Bug
from wattshift.sim.bounds.flow import Costs, Weights, costs_of, optimum
from wattshift.sim.bounds.instance import Instance
from wattshift.sim.bounds.lp import add_step, make_solver, read_step
from wattshift.sim.scenario import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Outcome with whole replicas."""

    objective: float
    """Best schedule found, starts and fixed load included."""
    best_bound: float
    """No schedule of this model costs less."""
    replicas: Array
    """[T, P]."""
    starts: float
    """Objective spent on starts."""

    @property
    def gap(self) -> float:
        """Share of the objective that is not proven."""
        return (self.objective - self.best_bound) / max(abs(self.objective), 1e-12)


def solve(
    instance: Instance,
    weights: Weights,
    *,
    start_seconds: float,
    time_limit_seconds: float = 60.0,
    relative_gap: float = 1e-4,
    solver_name: str = "SCIP",
) -> Whole:
    """Cheapest schedule with whole replicas where each start draws idle watts for `start_seconds`.

    The first step starts nothing. Power of a replica that is on is the lower hull of its table.

    Raises:
        Bug: nothing found in time.
    """
    solver = make_solver(solver_name)
    solver.SetTimeLimit(int(time_limit_seconds * 1000))
    costs = costs_of(instance, weights)
    variables = [add_step(solver, instance, costs, t, whole=True) for t in range(instance.steps)]
    price = start_costs(instance, costs, start_seconds)
    for t in range(1, instance.steps):
        for p in range(len(instance.hulls)):
            begun = solver.NumVar(0, solver.infinity(), "")
            more = solver.Constraint(0.0, solver.infinity())
            more.SetCoefficient(begun, 1.0)
            more.SetCoefficient(variables[t].replicas[p], -1.0)
            more.SetCoefficient(variables[t - 1].replicas[p], 1.0)
            solver.Objective().SetCoefficient(begun, float(price[t, p]))
    parameters = pywraplp.MPSolverParameters()
    parameters.SetDoubleParam(pywraplp.MPSolverParameters.RELATIVE_MIP_GAP, relative_gap)
    status = solver.Solve(parameters)
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        raise Bug(f"the integer program ended with status {status}")
    watts = np.zeros((instance.steps, len(instance.names)))
    tokens = np.zeros((instance.steps, len(instance.hulls)))
    for t, row in enumerate(variables):
        read_step(instance, row, t, watts, tokens)
    replicas = np.array([[v.solution_value() for v in row.replicas] for row in variables])
    found = optimum(
        instance, weights, costs, it_watts=watts, tokens=tokens, unmet=np.zeros(instance.steps)
    )
    starts = float((np.maximum(np.diff(replicas, axis=0), 0.0) * price[1:]).sum())
    objective = found.objective + starts
    # what the solver does not see (the fixed load) is the same in both
    unseen = objective - solver.Objective().Value()
    return Whole(
        objective=objective,
        best_bound=solver.Objective().BestBound() + unseen,
        replicas=np.rint(replicas),
        starts=starts,
    )


def round_up(instance: Instance, weights: Weights, tokens: Array, *, start_seconds: float) -> Whole:
    """The schedule that loads `tokens` [T, P] on as few whole replicas as carry them."""
    costs = costs_of(instance, weights)
    each = np.array([hulls.tokens for hulls in instance.hulls])
    replicas = np.ceil(tokens / each - 1e-6)
    watts = np.zeros((instance.steps, len(instance.names)))
    for p, hulls in enumerate(instance.hulls):
        load = np.zeros(instance.steps)
        np.divide(tokens[:, p], replicas[:, p], out=load, where=replicas[:, p] > 0)
        x, w = zip(*hulls.points, strict=True)
        watts[:, instance.pool_site[p]] += replicas[:, p] * np.interp(load, x, w)
    found = optimum(
        instance, weights, costs, it_watts=watts, tokens=tokens, unmet=np.zeros(instance.steps)
    )
    price = start_costs(instance, costs, start_seconds)
    starts = float((np.maximum(np.diff(replicas, axis=0), 0.0) * price[1:]).sum())
    return Whole(
        objective=found.objective + starts, best_bound=-np.inf, replicas=replicas, starts=starts
    )


def start_costs(instance: Instance, costs: Costs, start_seconds: float) -> Array:
    """[T, P] objective of one start: idle watts while it loads; never a gain."""
    idle = np.array([hulls.upper[0][1] for hulls in instance.hulls])
    site = instance.pool_site
    price: Array = (np.maximum(costs.grid[:, site], 0.0) * instance.marginal[:, site] * idle) * (
        start_seconds / 3600.0 / 1000.0
    )
    return price
