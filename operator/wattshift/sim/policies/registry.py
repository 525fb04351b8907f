"""Policies by name: the baselines b0 (b0s: without consolidation) to b7, and ours; each call a fresh one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np

from wattshift.errors import NeedsHuman
from wattshift.sim.bounds.rates import prices_of
from wattshift.sim.policies.b0_local import LocalAutoscaler
from wattshift.sim.policies.b0_static import LocalAtPeak
from wattshift.sim.policies.b1_schedule import NightSchedule
from wattshift.sim.policies.b2_carbon_steps import CarbonSteps
from wattshift.sim.policies.b3_static_rank import StaticRank
from wattshift.sim.policies.b4_myopic import Myopic
from wattshift.sim.policies.b5_day_old import DayOld
from wattshift.sim.policies.b6_power_router import PowerRouter
from wattshift.sim.policies.b7_cap import RoundRobinCap
from wattshift.sim.policies.base import Policy
from wattshift.sim.scenario import Scenario

TITLES = {
    "b0": "local, autoscaled",
    "b0s": "local, static",
    "b1": "night schedule",
    "b2": "carbon steps, no move",
    "b3": "static rank by mean",
    "b4": "cheapest now",
    "b5": "day-old rates, flow",
    "b6": "power-aware router",
    "b7": "round robin, power cap",
    "ours": "wattshift",
}
BASELINES = tuple(name for name in TITLES if name != "ours")
_PLAIN: dict[str, Callable[[], Policy]] = {
    "b0": LocalAutoscaler,
    "b0s": LocalAtPeak,
    "b1": NightSchedule,
    "b2": CarbonSteps,
    "b4": Myopic,
    "b5": DayOld,
    "b6": PowerRouter,
    "b7": RoundRobinCap,
}


def make(name: str, scenario: Scenario | None = None) -> Policy:
    """A fresh policy.

    With a scenario, `b3` gets the means of all its steps as its table: what a yearly statistic would
    have said, and slightly more than anybody could know. Nothing else reads the scenario.

    Raises:
        NeedsHuman: there is no policy of that name.
    """
    if name == "b3":
        return StaticRank(None if scenario is None else static_means(scenario))
    if name == "ours":
        made: Policy = import_module("wattshift.sim.policies.ours").Ours()
        return made
    if name not in _PLAIN:
        known = ", ".join(TITLES)
        raise NeedsHuman(f"no policy named {name!r}; there are {known}", reason="UnknownPolicy")
    return _PLAIN[name]()


def static_means(scenario: Scenario) -> dict[str, tuple[float, float]]:
    """(money, grams) per kWh by site, mean of all steps."""
    return {
        site.name: (
            float(np.mean(prices_of(scenario, site).grid)),
            0.0 if site.carbon is None else float(np.nanmean(site.carbon.values)),
        )
        for site in scenario.sites
    }
