"""How much of the distance to the bound nobody can close: whole replicas and starts on a short window.

`python -m wattshift.sim.bounds.looseness SCENARIO [--steps N]`. The true optimum of that model lies
between the integer program's own bound and its best schedule; its gap is printed, not hidden.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from wattshift.errors import WattshiftError
from wattshift.sim.bounds import milp
from wattshift.sim.bounds.flow import CARBON, MONEY, Weights
from wattshift.sim.bounds.instance import instance_of
from wattshift.sim.bounds.ladder import bound
from wattshift.sim.load import load
from wattshift.sim.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Looseness:
    """Shares above the bound with margin."""

    bound: float
    proven: float
    """No schedule with whole replicas is closer than that."""
    found: float
    """The best that the integer program found."""
    rounded: float
    """The bound's loads on whole replicas."""


def looseness(
    scenario: Scenario,
    weights: Weights,
    first_step: int,
    last_step: int,
    *,
    time_limit_seconds: float = 30.0,
) -> Looseness:
    """Solve a window with integers; starts cost what the first table says."""
    instance = instance_of(
        scenario, margin=scenario.margin, caps=False, first_step=first_step, last_step=last_step
    )
    relaxed = bound(instance, weights)
    starts = scenario.tables[0].start_seconds
    whole = milp.solve(
        instance,
        weights,
        start_seconds=starts,
        time_limit_seconds=time_limit_seconds,
        relative_gap=1e-3,
    )
    rounded = milp.round_up(instance, weights, relaxed.tokens, start_seconds=starts)
    return Looseness(
        bound=relaxed.objective,
        proven=whole.best_bound / relaxed.objective - 1,
        found=whole.objective / relaxed.objective - 1,
        rounded=rounded.objective / relaxed.objective - 1,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line an objective."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args(arguments)
    try:
        scenario = load(options.scenario, overrides=options.overrides)
    except WattshiftError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for name, weights in (("money", MONEY), ("carbon", CARBON)):
        row = looseness(scenario, weights, options.first, options.first + options.steps)
        sys.stdout.write(
            f"{name}: whole replicas and starts cost {100 * row.proven:.2f} to "
            f"{100 * row.found:.2f} % over the bound, rounding up {100 * row.rounded:.2f} %\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
