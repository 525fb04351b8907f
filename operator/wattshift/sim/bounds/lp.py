"""The bound as a linear program: several pools a site, work that can wait, green shares.

Same relaxation as `flow.py`, with the number of replicas as a continuous variable, so that the two
agree wherever both apply (tests check it). OR-tools only: GLOP by default, PDLP for long horizons.
Neighbours: `milp.py` (whole replicas and starts), `green.py` (dual bound of a share).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from ortools.linear_solver import pywraplp

from wattshift.errors import Bug, NeedsHuman
from wattshift.sim.bounds.flow import Costs, Optimum, Weights, costs_of, optimum
from wattshift.sim.bounds.instance import Instance
from wattshift.sim.scenario import Array

NEVER = 1e3
"""Cost of an unmet token/s, in the dearest tokens of the step."""
_OTHER_WAYS = (
    "use_dual_simplex: true use_preprocessing: false",
    "use_dual_simplex: true use_preprocessing: true",
    "use_dual_simplex: false use_preprocessing: false change_status_to_imprecise: false",
)
"""Parameters of GLOP for programs that it gives up as it is set: with storage, batches, tiny prices."""


class Infeasible(Bug):
    """No schedule keeps a coupling constraint; unmet demand alone always has a price."""


@dataclass(slots=True, kw_only=True)
class StepVariables:
    """Variables of one step."""

    shipped: list[pywraplp.Variable] = field(default_factory=list)
    """By arc, tokens/s."""
    replicas: list[pywraplp.Variable] = field(default_factory=list)
    """By pool."""
    deferred: list[dict[int, pywraplp.Variable]] = field(default_factory=list)
    """By batch: tokens/s by pool."""
    watts: list[pywraplp.Variable] = field(default_factory=list)
    unmet: list[pywraplp.Variable] = field(default_factory=list)
    charge: dict[int, pywraplp.Variable] = field(default_factory=dict)
    """By site with storage, W from own supply."""
    discharge: dict[int, pywraplp.Variable] = field(default_factory=dict)
    own: list[pywraplp.Variable] = field(default_factory=list)
    grid: list[pywraplp.Variable] = field(default_factory=list)
    balance: list[pywraplp.Constraint] = field(default_factory=list)
    own_price: list[float] = field(default_factory=list)


def solve(
    instance: Instance,
    weights: Weights,
    *,
    solver_name: str = "GLOP",
    costs: Costs | None = None,
    green_share: float | None = None,
    together: bool | None = None,
) -> Optimum:
    """Optimum of the relaxed instance.

    Args:
        instance: any.
        weights: what is minimised.
        solver_name: of OR-tools' linear solver wrapper: GLOP, PDLP, CLP, HIGHS.
        costs: instead of those of `weights`.
        green_share: least green share of all energy over the horizon; couples all steps.
        together: one program over all steps; default only where steps are coupled.
    """
    costs = costs or costs_of(instance, weights)
    coupled = instance.coupled or green_share is not None
    spans = [(0, instance.steps)] if (coupled or together) else _singles(instance.steps)
    watts = np.zeros((instance.steps, len(instance.names)))
    tokens = np.zeros((instance.steps, len(instance.hulls)))
    unmet = np.zeros(instance.steps)
    value, flows = 0.0, np.zeros((2, *watts.shape))
    for first, last in spans:
        solver = make_solver(solver_name)
        variables = [add_step(solver, instance, costs, t) for t in range(first, last)]
        if coupled:
            _add_batches(solver, instance, variables)
            _add_stores(solver, instance, variables)
        enough = None
        if green_share is not None:
            enough = _add_green(solver, instance, variables, green_share)
        run(solver)
        if enough is not None:
            value = enough.dual_value() / instance.kilowatt_hours
        for t, row in zip(range(first, last), variables, strict=True):
            read_step(instance, row, t, watts, tokens)
            unmet[t] = sum(v.solution_value() for v in row.unmet)
            for s in range(len(instance.names)):
                flows[0, t, s] = row.own[s].solution_value()
                flows[1, t, s] = row.grid[s].solution_value()
            for s, variable in row.charge.items():
                flows[0, t, s] += variable.solution_value()
    found = optimum(instance, weights, costs, it_watts=watts, tokens=tokens, unmet=unmet)
    found = replace(found, share_value=value)
    return _with_stores(instance, costs, found, flows) if instance.stores else found


def make_solver(name: str) -> pywraplp.Solver:
    """A solver of OR-tools by name.

    Raises:
        NeedsHuman: this build of OR-tools does not have it.
    """
    solver = pywraplp.Solver.CreateSolver(name)
    if solver is None:
        raise NeedsHuman(f"OR-tools has no solver {name!r} here", reason="SolverMissing")
    return solver


def run(solver: pywraplp.Solver) -> None:
    """Minimise.

    Raises:
        Infeasible: a coupling constraint cannot be kept.
        Bug: no optimum for another reason: the model is wrong.
    """
    status = solver.Solve()
    for parameters in _OTHER_WAYS:
        if status not in (pywraplp.Solver.ABNORMAL, pywraplp.Solver.NOT_SOLVED):
            break
        solver.SetSolverSpecificParametersAsString(parameters)
        status = solver.Solve()
    if status == pywraplp.Solver.INFEASIBLE:
        raise Infeasible("no schedule keeps all constraints")
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        raise Bug(f"the linear program ended with status {status}")


def add_step(
    solver: pywraplp.Solver, instance: Instance, costs: Costs, t: int, *, whole: bool = False
) -> StepVariables:
    """Variables, limits and costs of one step; `whole` makes replicas integers."""
    infinity, row = solver.infinity(), StepVariables()
    objective = solver.Objective()
    dearest = max(
        [1e-9]
        + [
            abs(float(costs.grid[t, s]))
            * float(instance.marginal[t, s])
            * hulls.upper[-1][1]
            / hulls.tokens
            for s, hulls in zip(instance.pool_site, instance.hulls, strict=True)
        ]
    )
    for c in range(instance.demand.shape[1]):
        row.unmet.append(solver.NumVar(0, infinity, ""))
        objective.SetCoefficient(row.unmet[c], NEVER * dearest * instance.kilowatt_hours)
    served = [solver.Constraint(float(load), float(load)) for load in instance.demand[t]]
    for c, constraint in enumerate(served):
        constraint.SetCoefficient(row.unmet[c], 1.0)
    most = instance.pool_replicas() * instance.open[t, instance.pool_site]
    room = []
    for p, hulls in enumerate(instance.hulls):
        count = float(most[p])
        make = solver.IntVar if whole else solver.NumVar
        row.replicas.append(make(0, count, ""))
        row.watts.append(solver.NumVar(0, infinity, ""))
        room.append(solver.Constraint(-infinity, 0.0))
        room[p].SetCoefficient(row.replicas[p], -hulls.tokens)
    for c, p in zip(instance.arc_class, instance.arc_pool, strict=True):
        variable = solver.NumVar(0, infinity, "")
        row.shipped.append(variable)
        served[c].SetCoefficient(variable, 1.0)
        room[p].SetCoefficient(variable, 1.0)
    for batch in instance.batches:
        row.deferred.append({p: solver.NumVar(0, infinity, "") for p in batch.pools})
        for p, variable in row.deferred[-1].items():
            room[p].SetCoefficient(variable, 1.0)
    _add_watts(solver, instance, row)
    _add_sites(solver, instance, costs, t, row)
    return row


def _add_watts(solver: pywraplp.Solver, instance: Instance, row: StepVariables) -> None:
    """Watts of the replicas that are on lie between their hulls, which scale with their number."""
    infinity = solver.infinity()
    for p, hulls in enumerate(instance.hulls):
        mine = [v for v, q in zip(row.shipped, instance.arc_pool, strict=True) if q == p]
        mine += [parts[p] for parts in row.deferred if p in parts]
        for points, low, high in (
            (hulls.running, 0.0, infinity),
            (hulls.upper, -infinity, 0.0),
        ):
            for (x1, w1), (x2, w2) in pairwise(points):
                slope = (w2 - w1) / (x2 - x1)
                line = solver.Constraint(low, high)
                line.SetCoefficient(row.watts[p], 1.0)
                line.SetCoefficient(row.replicas[p], -(w1 - slope * x1))
                for variable in mine:
                    line.SetCoefficient(variable, -slope)


def _add_sites(
    solver: pywraplp.Solver, instance: Instance, costs: Costs, t: int, row: StepVariables
) -> None:
    infinity, objective = solver.infinity(), solver.Objective()
    hours = instance.kilowatt_hours
    for kind, devices in enumerate(instance.kind_devices):
        if np.isfinite(devices):
            limit = solver.Constraint(-infinity, float(devices))
            for p in np.flatnonzero(instance.pool_kind == kind):
                limit.SetCoefficient(row.replicas[p], float(instance.hulls[p].devices))
    for s in range(len(instance.names)):
        row.own.append(solver.NumVar(0, float(instance.supply[t, s]), ""))
        row.grid.append(solver.NumVar(0, infinity, ""))
        if any(store.site == s for store in instance.stores):
            # what is discharged may serve the fixed load too, whose import is counted elsewhere
            row.grid[s].SetLb(-float(instance.fixed_bought[t, s]))
        objective.SetCoefficient(row.own[s], hours * float(costs.own[t, s]))
        objective.SetCoefficient(row.grid[s], hours * float(costs.grid[t, s]))
        most = float(instance.it_limit[t, s])
        limit = solver.Constraint(-infinity, most if np.isfinite(most) else infinity)
        row.own_price.append(float(costs.own[t, s]))
        balance = solver.Constraint(0.0, 0.0)
        row.balance.append(balance)
        balance.SetCoefficient(row.own[s], -1.0)
        balance.SetCoefficient(row.grid[s], -1.0)
        for p in np.flatnonzero(instance.pool_site == s):
            limit.SetCoefficient(row.watts[p], 1.0)
            balance.SetCoefficient(row.watts[p], float(instance.marginal[t, s]))


def _add_batches(
    solver: pywraplp.Solver, instance: Instance, variables: list[StepVariables]
) -> None:
    """Work is done after it arrives and before it is due; what falls due later may be left."""
    for b, batch in enumerate(instance.batches):
        arrived = np.cumsum(batch.arrivals)
        done: list[pywraplp.Variable] = []
        for t, row in enumerate(variables):
            least = float(arrived[t - batch.due_steps]) if t >= batch.due_steps else 0.0
            done.append(solver.NumVar(min(least, float(arrived[t])), float(arrived[t]), ""))
            step = solver.Constraint(0.0, 0.0)
            step.SetCoefficient(done[t], 1.0)
            if t:
                step.SetCoefficient(done[t - 1], -1.0)
            for p, variable in row.deferred[b].items():
                hours = instance.step_hours / float(instance.full_rate[p])
                step.SetCoefficient(variable, -hours)


def _add_stores(
    solver: pywraplp.Solver, instance: Instance, variables: list[StepVariables]
) -> None:
    """Charged by own supply only, as the sites do it; full at the start."""
    hours = instance.step_hours
    for store in instance.stores:
        terms, s = store.terms, store.site
        before: pywraplp.Variable | None = None
        for t, row in enumerate(variables):
            charge = solver.NumVar(0, terms.power_watts, "")
            give = solver.NumVar(0, terms.power_watts, "")
            row.charge[s], row.discharge[s] = charge, give
            price = instance.kilowatt_hours * row.own_price[s]
            solver.Objective().SetCoefficient(charge, price)
            shared = solver.Constraint(-solver.infinity(), float(instance.supply[t, s]))
            shared.SetCoefficient(charge, 1.0)
            shared.SetCoefficient(row.own[s], 1.0)
            row.balance[s].SetCoefficient(give, -1.0)
            least = terms.reserve_share * terms.energy_watt_hours
            held = solver.NumVar(least, terms.energy_watt_hours, "")
            start = terms.energy_watt_hours if before is None else 0.0
            level = solver.Constraint(start, start)
            level.SetCoefficient(held, 1.0)
            if before is not None:
                level.SetCoefficient(before, -1.0)
            level.SetCoefficient(charge, -hours * terms.charge_efficiency)
            level.SetCoefficient(give, hours / terms.discharge_efficiency)
            before = held


def _with_stores(instance: Instance, costs: Costs, found: Optimum, flows: Array) -> Optimum:
    """Price what was taken from own supply and grid instead of what the load alone would take."""
    load = instance.marginal * found.it_watts
    own = np.minimum(load, instance.supply)
    more_own, more_grid = flows[0] - own, flows[1] - (load - own)
    hours = instance.kilowatt_hours
    by_step = hours * (costs.own * more_own + costs.grid * more_grid).sum(axis=1)
    money = hours * float((instance.own_price * more_own + instance.price * more_grid).sum())
    return replace(
        found,
        objective=found.objective + float(by_step.sum()),
        by_step=found.by_step + by_step,
        money=found.money + money,
        grams=found.grams + hours * float((instance.carbon * more_grid).sum()),
    )


def _add_green(
    solver: pywraplp.Solver, instance: Instance, variables: list[StepVariables], share: float
) -> pywraplp.Constraint:
    """Green energy over the horizon is at least `share` of all, fixed load included."""
    base = float((instance.base_green - share * instance.fixed_watts).sum())
    enough = solver.Constraint(-base, solver.infinity())
    for t, row in enumerate(variables):
        for s in range(len(instance.names)):
            enough.SetCoefficient(row.own[s], 1.0 - share)
            enough.SetCoefficient(row.grid[s], float(instance.green[t, s]) - share)
    return enough


def read_step(instance: Instance, row: StepVariables, t: int, watts: Array, tokens: Array) -> None:
    """Write one step's solution into `watts` [T, S] and `tokens` [T, P]."""
    for p, s in enumerate(instance.pool_site):
        watts[t, s] += row.watts[p].solution_value()
    for variable, p in zip(row.shipped, instance.arc_pool, strict=True):
        tokens[t, p] += variable.solution_value()
    for parts in row.deferred:
        for p, variable in parts.items():
            tokens[t, p] += variable.solution_value()


def _singles(steps: int) -> list[tuple[int, int]]:
    return [(t, t + 1) for t in range(steps)]
