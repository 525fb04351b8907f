"""What an objective cannot be bound by: a price or carbon that a site lacks, a tariff that bends.

Nothing at some sites is no figure but a hole: load that moves there would look free or clean.
Neighbours: `study.py` (asks), `bounds/rates.py` (what bends a tariff).
"""

from __future__ import annotations

from wattshift.sim.bounds.rates import bent
from wattshift.sim.scenario import Scenario, SimSite

_WORDS = {"price": "price", "carbon": "carbon intensity"}
_NEEDS = {"money": ("price",), "carbon": ("carbon",)}


def unpriced(scenario: Scenario, objective: str) -> str:
    """Words on what keeps a bound from being told; empty = nothing."""
    said = []
    for quantity in _NEEDS.get(objective, ("price", "carbon")):
        names = [site.name for site in scenario.sites if not _has(site, quantity)]
        words = _WORDS[quantity]
        if len(names) == len(scenario.sites):
            said.append(f"no site has a {words}")
        elif names:
            verb = "has" if len(names) == 1 else "have"
            said.append(f"{_listed(names)} {verb} no {words}, so that energy there counts as 0")
        if quantity != "price":
            continue
        for site in scenario.sites:
            why = "" if site.contract is None else bent(site.contract)
            if why:
                said.append(f"the contract of {site.name} has {why}, which it does not price")
    return "; ".join(said)


def _has(site: SimSite, quantity: str) -> bool:
    return getattr(site, quantity) is not None or (
        quantity == "price" and site.contract is not None
    )


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more sites"]
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + shown[-1]
