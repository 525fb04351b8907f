"""Dual bound of a green share: the least cost at which a share of all energy is green.

One number couples all steps, so that its price does: at a price per green kWh every step is solved
alone, and the best such price gives the optimum of the whole program. Where flow is not exact, one
program over all steps gives both. Neighbours: `flow.py`, `lp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wattshift.sim.bounds import flow, lp
from wattshift.sim.bounds.flow import Optimum, Weights, costs_of
from wattshift.sim.bounds.instance import Instance

_SAME_SHARE = 1e-6
_MOST_ROUNDS = 20


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
    """Least objective with at least `share` of all energy green.

    `most_value` (objective per kWh) is the highest price tried; bisection takes `rounds` trials.
    """
    if flow.fits(instance):
        return _by_price(instance, weights, share, most_value, rounds)
    try:
        found = lp.solve(instance, weights, green_share=share)
    except lp.Infeasible:
        greenest = lp.solve(
            instance,
            weights,
            costs=costs_of(instance, weights, green_value=most_value, share=share),
        )
        return _result(instance, share, greenest, most_value, feasible=False)
    return _result(instance, share, found, found.share_value, feasible=True)


def _result(
    instance: Instance, share: float, found: Optimum, value: float, *, feasible: bool
) -> GreenBound:
    energy, green = energies(instance, found)
    return GreenBound(
        share=share,
        objective=found.objective,
        value_per_kilowatt_hour=value,
        reached=green / max(energy, 1e-12),
        feasible=feasible,
    )


def greenest(instance: Instance) -> float:
    """The greatest green share of all energy that any schedule has, whatever it costs.

    Dinkelbach: the greatest ratio is the share at which the best of green - share x energy is zero.
    Replicas that run only to use green power count: an upper limit for those who do not waste.
    """
    share, nothing = 0.0, Weights(money=0.0, carbon=0.0)
    for _ in range(_MOST_ROUNDS):
        costs = costs_of(instance, nothing, green_value=1.0, share=share)
        solve = flow.solve if flow.fits(instance) else lp.solve
        energy, green = energies(instance, solve(instance, nothing, costs=costs))
        better = green / max(energy, 1e-12)
        if better <= share + _SAME_SHARE:
            break
        share = better
    return share


def _by_price(
    instance: Instance, weights: Weights, share: float, most_value: float, rounds: int
) -> GreenBound:
    """Maximise the dual over prices from 0 to `most_value`."""
    best: GreenBound | None = None
    low, high = 0.0, most_value
    for step in range(rounds):
        value = 0.0 if step == 0 else high if step == 1 else (low + high) / 2
        costs = costs_of(instance, weights, green_value=value, share=share)
        found = flow.solve(instance, weights, costs=costs)
        energy, green = energies(instance, found)
        short = instance.kilowatt_hours * float(
            (share * instance.fixed_watts - instance.base_green).sum()
        )
        enough = green >= (share - 1e-9) * energy
        feasible = enough or step != 1
        trial = replace(
            _result(instance, share, found, value, feasible=feasible),
            objective=found.objective + value * short,
        )
        if best is None or trial.objective > best.objective or not feasible:
            best = trial
        if not feasible or (enough and step == 0):
            break
        if step > 1:
            low, high = (low, value) if enough else (value, high)
    assert best is not None
    return best


def energies(instance: Instance, found: Optimum) -> tuple[float, float]:
    """(kWh in all, green kWh) of a schedule, fixed load included."""
    load = instance.marginal * found.it_watts
    own = load.clip(max=instance.supply)
    green = own + instance.green * (load - own) + instance.base_green
    hours = instance.kilowatt_hours
    return hours * float((load + instance.fixed_watts).sum()), hours * float(green.sum())
