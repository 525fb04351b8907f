"""Names of our objects on the hub, as one value that store, queue, status and events share."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from wattshift.kube.resources import (
    ENERGY_CONTRACTS,
    FLEXIBLE_WORKLOADS,
    POWER_SITES,
    Resource,
)


class Kind(StrEnum):
    """Our three kinds."""

    POWER_SITE = "PowerSite"
    ENERGY_CONTRACT = "EnergyContract"
    FLEXIBLE_WORKLOAD = "FlexibleWorkload"


RESOURCES: dict[Kind, Resource] = {
    Kind.POWER_SITE: POWER_SITES,
    Kind.ENERGY_CONTRACT: ENERGY_CONTRACTS,
    Kind.FLEXIBLE_WORKLOAD: FLEXIBLE_WORKLOADS,
}


class ObjectKey(NamedTuple):
    """Kind, namespace (empty for cluster-scoped kinds) and name."""

    kind: Kind
    namespace: str
    name: str

    @classmethod
    def site(cls, name: str) -> ObjectKey:
        """Key of a PowerSite."""
        return cls(Kind.POWER_SITE, "", name)

    @classmethod
    def contract(cls, name: str) -> ObjectKey:
        """Key of an EnergyContract."""
        return cls(Kind.ENERGY_CONTRACT, "", name)

    @classmethod
    def workload(cls, path: str) -> ObjectKey:
        """Key of a FlexibleWorkload from `namespace/name` (`WorkloadState.key`)."""
        namespace, _, name = path.partition("/")
        return cls(Kind.FLEXIBLE_WORKLOAD, namespace, name)

    @property
    def path(self) -> str:
        """`namespace/name`, or `name` for cluster-scoped kinds."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def resource(self) -> Resource:
        """Where it is served."""
        return RESOURCES[self.kind]

    def __str__(self) -> str:
        return f"{self.kind}/{self.path}"


def member_name(site_name: str, cluster_name: str) -> str:
    """Name of a member cluster in the pool; cluster names are unique inside a site only."""
    return f"{site_name}/{cluster_name}"
