"""Clusters of a PowerSite: location, who may use it, how clusters are reached, what they have.

Neighbours: `site_power.py` (limits and supplies), `powersite.py` (the kind).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import Count, DecimalText, LocalName, Milliseconds, ObjectName, ZoneName
from wattshift.api.endpoints import HttpEndpoint, LabelSelector
from wattshift.api.rules import Rule, present, union


class Location(ApiModel):
    """Where the site is."""

    region_name: Annotated[str, Field(min_length=2, max_length=32, pattern=r"^[A-Za-z0-9-]+$")]
    """regionName is the region, such as CN-GS; data boundaries of workloads name it."""
    time_zone: ZoneName
    """timeZone is the IANA zone of local times."""
    grid_zone_name: LocalName | None = None
    """gridZoneName is the grid zone for hourly matching; absent = regionName."""
    latitude: DecimalText | None = None
    """latitude is in degrees, north positive."""
    longitude: DecimalText | None = None
    """longitude is in degrees, east positive."""


class NamespacesFrom(StrEnum):
    """Which namespaces may place workloads here."""

    ALL = "All"
    SELECTOR = "Selector"


class AllowedNamespaces(ApiModel):
    """Which namespaces of the hub may place workloads at the site."""

    atomic = True

    rules = (
        Rule(
            cel="(self.from == 'Selector') == has(self.selector)",
            message="from Selector needs selector, and only Selector takes it",
            check=lambda self: (self.from_ is NamespacesFrom.SELECTOR) == present(self, "selector"),
        ),
    )

    from_: NamespacesFrom
    """from is All, or Selector for the namespaces that `selector` matches."""
    selector: LabelSelector | None = None
    """selector matches labels of namespaces."""


class EngineMetricsType(StrEnum):
    """How the hub reads the inference engines of a cluster."""

    PROMETHEUS = "Prometheus"
    DIRECT = "Direct"


class EngineMetrics(ApiModel):
    """How the hub reads the inference engines of a cluster."""

    atomic = True

    rules = (union(Prometheus="prometheus"),)

    type: EngineMetricsType
    """type is Prometheus, or Direct (the pods; a hand-over within 60 s needs Direct)."""
    prometheus: HttpEndpoint | None = None
    """prometheus is the server that scrapes the engines."""


class ClusterType(StrEnum):
    """How a cluster is reached."""

    LOCAL = "Local"
    KUBECONFIG_SECRET = "KubeconfigSecret"  # noqa: S105
    CLUSTER_PROFILE = "ClusterProfile"


class KubeconfigSecretRef(ApiModel):
    """A Secret with the key `kubeconfig` in the operator's credentials namespace."""

    atomic = True

    name: ObjectName
    """name is the name of the Secret."""


class ClusterProfileRef(ApiModel):
    """A ClusterProfile of the multicluster API."""

    atomic = True

    namespace: ObjectName
    """namespace is the namespace of the ClusterProfile."""
    name: ObjectName
    """name is the name of the ClusterProfile."""


class Cluster(ApiModel):
    """One Kubernetes cluster of the site."""

    atomic = True

    rules = (union(KubeconfigSecret="kubeconfig_secret_ref", ClusterProfile="cluster_profile_ref"),)

    name: LocalName
    """name is what workloads call the cluster."""
    type: ClusterType
    """type is Local (the hub itself), KubeconfigSecret or ClusterProfile."""
    kubeconfig_secret_ref: KubeconfigSecretRef | None = None
    """kubeconfigSecretRef is the credential of KubeconfigSecret."""
    cluster_profile_ref: ClusterProfileRef | None = None
    """clusterProfileRef is the profile of ClusterProfile."""
    connection_name: LocalName | None = None
    """connectionName is the connection that feeds it; needed where the site has several."""
    engine_metrics: EngineMetrics | None = None
    """engineMetrics is how engines are read; absent = Direct."""


class Accelerator(ApiModel):
    """Devices of one kind at the site."""

    atomic = True

    resource_name: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    ]
    """resourceName is the extended resource, such as nvidia.com/gpu."""
    profile_name: LocalName
    """profileName is the power profile of the device."""
    count: Count
    """count is the number of devices."""


class OriginLatency(ApiModel):
    """Network distance from users to the site."""

    atomic = True

    origin_name: LocalName
    """originName is the origin that workloads name."""
    round_trip_milliseconds: Milliseconds
    """roundTripMilliseconds is the round trip from those users."""
