"""Names and URL paths of Kubernetes resources, and the ones used everywhere.

Pure: the mapping of (apiVersion, kind) to a plural for other kinds is `discovery.py`'s, which asks
the server instead of guessing English plurals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]
"""A Kubernetes object as it came over the wire. Never written back whole."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource: enough to build its URLs."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    has_scale: bool = False

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str = ""
    ) -> str:
        """URL path; `namespace=None` on a namespaced resource means all namespaces (lists only)."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if self.namespaced and namespace is not None:
            parts.append("namespaces/" + quote(namespace, safe=""))
        parts.append(self.plural)
        if name is not None:
            if self.namespaced and namespace is None:
                raise ValueError(f"{self.kind} {name} needs a namespace")
            parts.append(quote(name, safe=""))
            if subresource:
                parts.append(subresource)
        return "/".join(parts)


WATTSHIFT = "wattshift.io/v1alpha1"
POWER_SITES = Resource(WATTSHIFT, "PowerSite", "powersites", namespaced=False)
ENERGY_CONTRACTS = Resource(WATTSHIFT, "EnergyContract", "energycontracts", namespaced=False)
FLEXIBLE_WORKLOADS = Resource(WATTSHIFT, "FlexibleWorkload", "flexibleworkloads")
NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)
NODES = Resource("v1", "Node", "nodes", namespaced=False)
SECRETS = Resource("v1", "Secret", "secrets")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PODS = Resource("v1", "Pod", "pods")
EVENTS = Resource("events.k8s.io/v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments", has_scale=True)
STATEFUL_SETS = Resource("apps/v1", "StatefulSet", "statefulsets", has_scale=True)
HPAS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
CRDS = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False
)
WELL_KNOWN: Mapping[tuple[str, str], Resource] = {
    (r.api_version, r.kind): r
    for r in (
        POWER_SITES,
        ENERGY_CONTRACTS,
        FLEXIBLE_WORKLOADS,
        NAMESPACES,
        NODES,
        SECRETS,
        CONFIG_MAPS,
        PODS,
        EVENTS,
        LEASES,
        ENDPOINT_SLICES,
        DEPLOYMENTS,
        STATEFUL_SETS,
        HPAS,
        CRDS,
    )
}
