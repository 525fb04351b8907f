"""Exact optimum of tiny scenarios by trying everything: what no bound may exceed.

Written apart from the bounds on purpose: watts come from the tables, not from hulls. Every split of
each origin's demand in equal parts, on every whole number of replicas, under all limits of a site.
Nothing is carried from step to step, so that it costs less than any schedule with starts or moves.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from wattshift.sim.bounds.flow import Weights
from wattshift.sim.bounds.rates import prices_of
from wattshift.sim.curves import curve_of
from wattshift.sim.facility import truth_of
from wattshift.sim.scenario import Array, Scenario, SimWorkload

MOST = 400_000
"""Combinations a step before it is not tiny any more."""


def best(scenario: Scenario, weights: Weights, *, parts: int = 2) -> float | None:
    """Least objective over all steps; None = some step cannot be served at all.

    Raises:
        ValueError: too many combinations, or deferrable work.
    """
    total = 0.0
    for step in range(scenario.steps):
        costs = _step(scenario, weights, step, parts)
        if costs is None:
            return None
        total += costs
    return total


def _step(scenario: Scenario, weights: Weights, step: int, parts: int) -> float | None:
    sites = len(scenario.sites)
    choices = [_choices(scenario, row, step, parts) for row in scenario.workloads]
    if any(not rows for rows in choices):
        return None
    size = int(np.prod([float(len(rows)) for rows in choices]))
    if size > MOST:
        raise ValueError(f"{size} combinations in step {step}: not tiny")
    watts = np.zeros((1, sites))
    kinds = sorted({(s, name) for s, site in enumerate(scenario.sites) for name, _ in site.devices})
    used = np.zeros((1, len(kinds)))
    for workload, rows in zip(scenario.workloads, choices, strict=True):
        more = np.array([row[0] for row in rows])
        taken = np.zeros((len(rows), len(kinds)))
        for k, (_, counts) in enumerate(rows):
            for place, count in zip(workload.placements, counts, strict=True):
                taken[k] += _devices(scenario, place.site_name, place.profile_name, count, kinds)
        watts = (watts[:, None, :] + more[None, :, :]).reshape(-1, sites)
        used = (used[:, None, :] + taken[None, :, :]).reshape(-1, len(kinds))
    installed = np.array([dict(scenario.sites[s].devices)[name] for s, name in kinds], dtype=float)
    fits = (used <= installed + 1e-9).all(axis=1)
    objective, inside = _price(scenario, weights, step, watts)
    fits &= inside
    return float(objective[fits].min()) if fits.any() else None


def _devices(
    scenario: Scenario, site: str, profile: str, count: int, kinds: list[tuple[int, str]]
) -> Array:
    table = next(row for row in scenario.tables if row.name == profile)
    index = next(i for i, row in enumerate(scenario.sites) if row.name == site)
    found = np.zeros(len(kinds))
    if (index, table.resource_name) in kinds:
        found[kinds.index((index, table.resource_name))] = count * table.devices_per_replica
    return found


def _choices(
    scenario: Scenario, workload: SimWorkload, step: int, parts: int
) -> list[tuple[list[float], tuple[int, ...]]]:
    """(IT watts by site, replicas by placement) of everything one workload can do."""
    if workload.batch is not None:
        raise ValueError("deferrable work is not for trying everything")
    names = [site.name for site in scenario.sites]
    curves = {table.name: curve_of(table) for table in scenario.tables}
    placements = workload.placements
    loads = {(0.0,) * len(placements)}
    for column, origin in enumerate(workload.origins):
        trips = scenario.round_trip_milliseconds[scenario.origins.index(origin.name)]
        longest = origin.max_round_trip_milliseconds
        near = [
            k
            for k, row in enumerate(placements)
            if longest is None or trips[names.index(row.site_name)] <= longest
        ]
        demand = float(workload.demand_tokens_per_second[step, column])
        splits = [
            tuple(demand * chosen.count(k) / parts for k in range(len(placements)))
            for chosen in product(near, repeat=parts)
        ]
        loads = {
            tuple(round(a + b, 9) for a, b in zip(before, split, strict=True))
            for before in loads
            for split in splits
        }
    rows: dict[tuple[tuple[float, ...], tuple[int, ...]], None] = {}
    for load in loads:
        options = []
        for place, tokens in zip(placements, load, strict=True):
            curve = curves[place.profile_name]
            least = int(np.ceil(tokens / curve.rate_at_objective - 1e-9))
            options.append(range(least, place.max_replicas + 1))
        for counts in product(*options):
            if sum(counts) > workload.max_replicas:
                continue
            watts = [0.0] * len(names)
            for place, tokens, count in zip(placements, load, counts, strict=True):
                curve = curves[place.profile_name]
                each = tokens / count if count else 0.0
                drawn = float(np.interp(each, curve.rate, curve.watts)) if count else 0.0
                watts[names.index(place.site_name)] += count * drawn
            rows[tuple(watts), counts] = None
    return [(list(watts), counts) for watts, counts in rows]


def _price(
    scenario: Scenario, weights: Weights, step: int, watts: Array
) -> tuple[Array, np.ndarray]:
    """([N] objective of the step, [N] whether all limits hold)."""
    truth = truth_of(scenario)
    hours = scenario.step_seconds / 3600.0 / 1000.0
    load = truth.fixed[step] + truth.marginal[step] * watts + truth.uncontrolled[step]
    own = np.minimum(load, truth.supply[step])
    bought = load - own
    prices = [prices_of(scenario, site) for site in scenario.sites]
    grid = np.array([row.grid[step] for row in prices])
    direct = np.array([row.own[step] for row in prices])
    grams = np.nan_to_num(truth.carbon[step], nan=0.0)
    objective = weights.money * (grid * bought + direct * own) + weights.carbon * grams * bought
    inside = (bought <= truth.import_limit + 1e-6) & (watts <= truth.cooling_limit[step] + 1e-6)
    return hours * objective.sum(axis=1), inside.all(axis=1)
