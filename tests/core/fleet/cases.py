"""Random problems of the optimiser, and the same as a linear programme for another solver."""

from __future__ import annotations

import numpy as np
from ortools.linear_solver import pywraplp
from wattshift.core.fleet.problem import Problem


def problem(seed, *, classes=3, places=3, steps=3, tight=0.8, moves=None, supply=False, held=0):
    """Classes of one workload each, one pool of devices per place, maybe own supply at place 0.

    The first `held` classes stay in the first step; `tight` must leave room for what stands.
    """
    rng = np.random.default_rng(seed)
    need = rng.uniform(1, 5, (steps, classes))
    opened = rng.random((classes, places)) < 0.8
    opened[:, 0] = True
    total = need.sum(axis=1).max()
    devices = np.full(places, tight * total)
    devices[0] = 1.2 * total  # so that there is always a solution
    rows = [np.repeat(devices[None], steps, axis=0)]
    ceiling = [np.full((steps, places), np.inf)]
    if supply:
        rows.append(np.full((steps, 1), 0.3 * total))
        ceiling.append(np.full((steps, 1), 0.7))
    limit = np.concatenate(rows, axis=1)
    none = limit.shape[1]
    at = np.tile(np.arange(places), (classes, 1))
    present = np.where(opened, rng.random((classes, places)), 0.0)
    present *= need[0][:, None] / present.sum(axis=1)[:, None]
    return Problem(
        hours=rng.choice([0.5, 1.0, 2.0], steps),
        need=need,
        place=at,
        open=opened,
        cost=rng.uniform(0.1, 1.0, (steps, places)),
        start=rng.uniform(0.01, 0.3, places),
        arrive=np.zeros(places),
        present=present,
        group=np.zeros(classes, dtype=np.int64),
        owner=np.zeros(places, dtype=np.int64),
        size=np.ones(places),
        most=np.full(places, 1e9),
        pool=np.arange(places),
        feed=np.full(places, none),
        supply=np.where(supply & (np.arange(places) == 0), places, none),
        devices=np.ones(places),
        watts=np.ones(places),
        limit=limit,
        ceiling=np.concatenate(ceiling, axis=1),
        moves=np.array([np.inf if moves is None else moves]),
        distance=np.zeros((classes, places)),
        held=np.arange(classes) < held,
    )


def optimum(case):
    """Least money over the horizon by GLOP, with shares of classes as variables."""
    solver = pywraplp.Solver.CreateSolver("GLOP")
    steps, classes = case.need.shape
    arcs = [(c, f) for c in range(classes) for f in range(case.place.shape[1]) if case.open[c, f]]
    have = case.present / np.maximum(case.need[0], case.present.sum(axis=1))[:, None]
    share, money, moved = {}, 0, 0
    above = {}
    for t in range(steps):
        for c, f in arcs:
            share[t, c, f] = solver.NumVar(0, 1, "")
            gain = solver.NumVar(0, 1, "")
            before = float(have[c, f]) if t == 0 else share[t - 1, c, f]
            solver.Add(gain >= share[t, c, f] - before)
            if t == 0 and case.held[c]:
                solver.Add(share[t, c, f] == before)
            place = case.place[c, f]
            need = float(case.need[t, c])
            each = need * float(case.hours[t] * case.cost[t, place])
            money += each * share[t, c, f] + need * float(case.enter[place]) * gain
            moved += need * gain
        for c in range(classes):
            solver.Add(sum(share[t, c, f] for k, f in arcs if k == c) == 1)
        for row in range(case.rows):
            terms = [
                float(case.need[t, c]) * share[t, c, f]
                for c, f in arcs
                if row in (case.pool[case.place[c, f]], case.supply[case.place[c, f]])
            ]
            if not terms:
                continue
            used, most = sum(terms), float(case.limit[t, row])
            if np.isfinite(case.ceiling[t, row]):
                above[t, row] = solver.NumVar(0, solver.infinity(), "")
                solver.Add(used - above[t, row] <= most)
                money += float(case.ceiling[t, row] * case.hours[t]) * above[t, row]
            else:
                solver.Add(used <= most)
    if np.isfinite(case.moves[0]):
        solver.Add(moved <= float(case.moves[0]))
    solver.Minimize(money)
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        return None
    return solver.Objective().Value()
