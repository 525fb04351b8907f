"""Dual bound of a green share: the least cost at which a share of all energy is green.

One number couples all steps, so that its price does: at a price per green kWh every step is solved
alone, and the best such price gives the optimum of the whole program. Where steps are coupled
otherwise too, every trial is one program over all of them. Neighbours: `flow.py`, `lp.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wattshift.sim.bounds import flow, lp
from wattshift.sim.bounds.flow import Optimum, Weights, costs_of
from wattshift.sim.bounds.instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class GreenBound:
    """Outcome at one share."""

    share: float
    objective: float
    """Lower bound of the objective at that share."""
    value_per_kilowatt_hour: float
    """Dual price of a green kWh: what the next one costs."""
    reached: float
    """Green share of the schedule at that price."""
    feasible: bool
    """False: not even at the highest price tried; then `reached` is about the most there is."""


def green_bound(
    instance: Instance,
    weights: Weights,
    share: float,
    *,
    most_value: float = 10.0,
    rounds: int = 30,
) -> GreenBound:
    """Maximise the dual over prices from 0 to `most_value` (objective per kWh) by bisection."""
    solve: Callable[..., Optimum] = flow.solve if flow.fits(instance) else lp.solve
    best, value_of_best, reached = -float("inf"), 0.0, 0.0
    low, high = 0.0, most_value
    for step in range(rounds):
        value = 0.0 if step == 0 else high if step == 1 else (low + high) / 2
        found = solve(
            instance, weights, costs=costs_of(instance, weights, green_value=value, share=share)
        )
        energy, green = energies(instance, found)
        base = instance.kilowatt_hours * float(
            (share * instance.fixed_watts - instance.base_green).sum()
        )
        dual = found.objective + value * base
        if dual > best:
            best, value_of_best, reached = dual, value, green / max(energy, 1e-12)
        enough = green >= share * energy - 1e-9 * energy
        if enough and step == 0:
            break
        if step == 1 and not enough:
            return GreenBound(
                share=share,
                objective=best,
                value_per_kilowatt_hour=value,
                reached=green / max(energy, 1e-12),
                feasible=False,
            )
        if step > 1:
            low, high = (low, value) if enough else (value, high)
    return GreenBound(
        share=share,
        objective=best,
        value_per_kilowatt_hour=value_of_best,
        reached=reached,
        feasible=True,
    )


def energies(instance: Instance, found: Optimum) -> tuple[float, float]:
    """(kWh in all, green kWh) of a schedule, fixed load included."""
    load = instance.marginal * found.it_watts
    own = load.clip(max=instance.supply)
    green = own + instance.green * (load - own) + instance.base_green
    hours = instance.kilowatt_hours
    return hours * float((load + instance.fixed_watts).sum()), hours * float(green.sum())
