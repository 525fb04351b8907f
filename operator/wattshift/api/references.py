"""References between objects: names that resolve, who may, and who was first. Pure.

The younger of two objects that claim one thing gets the finding; the oldest wins. Neighbours:
`validate.py` (one object), `control/hub/reconcile.py` (which sets `Accepted`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattshift.api.base import Resource
from wattshift.api.energycontract import EnergyContract
from wattshift.api.findings import Finding
from wattshift.api.flexibleworkload import FlexibleWorkload
from wattshift.api.powersite import PowerSite
from wattshift.api.references_contract import check_contract
from wattshift.api.references_site import check_site
from wattshift.api.references_workload import check_workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """The objects that references are resolved in: sites and contracts by name, workloads by key."""

    sites: Mapping[str, PowerSite] = field(default_factory=dict)
    contracts: Mapping[str, EnergyContract] = field(default_factory=dict)
    workloads: Mapping[str, FlexibleWorkload] = field(default_factory=dict)
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of the namespaces that are known, by name."""
    reporting_currency: str = ""
    """Chart value; empty = not checked."""
    convertible: frozenset[str] = frozenset()
    """Currencies with an exchange rate."""


def check_references(resource: Resource, others: Others) -> list[Finding]:
    """Faults in the references of any of our objects; the object itself may be among `others`."""
    match resource:
        case PowerSite():
            return check_site(resource, sites=others.sites, contracts=others.contracts)
        case EnergyContract():
            return check_contract(
                resource,
                sites=others.sites,
                contracts=others.contracts,
                reporting_currency=others.reporting_currency,
                convertible=others.convertible,
            )
        case FlexibleWorkload():
            return check_workload(
                resource,
                sites=others.sites,
                workloads=others.workloads,
                namespace_labels=others.namespace_labels.get(resource.metadata.namespace),
            )
    raise TypeError(f"{type(resource).__name__} is not one of our kinds")
