"""The world of the live benchmark: three clusters, fake nodes, many workloads, nothing that moves.

Half of the workloads serve users with a constant demand signal, half are batch with an outside
dispatcher. Pods are kwok's and nobody answers on their addresses, so engine metrics are asked of a
real Prometheus that has none. One price per site all day, constant carbon, and a constant meter equal
to what the power model says.
"""

from __future__ import annotations

from typing import Any

from e2e import objects
from e2e.lab.client import Document, wait_for
from e2e.lab.lab import Lab, ensure_namespace
from e2e.lab.providers.local import LocalCluster

NAMESPACE = "serving"
PLACES = {"hub": "east", "west": "west", "north": "north"}
"""Cluster and its site; the first is the hub."""
RATES = {"east": "0.62", "west": "0.35", "north": "0.48"}
BUSY_WATTS, FIXED_WATTS, MARGINAL = 2002, 500, 1.15
REPLICAS = 2


def names(count: int) -> list[tuple[str, str, str]]:
    """(workload, home cluster, other cluster) for each workload."""
    clusters = list(PLACES)
    return [(f"model-{n:03}", clusters[n % 3], clusters[(n + 1) % 3]) for n in range(count)]


def deploy(lab: Lab, count: int) -> None:
    """Nodes and Deployments of every workload, ready."""
    for cluster in PLACES:
        plane = lab[cluster]
        assert isinstance(plane, LocalCluster), "fake nodes need the local provider"
        for number in (1, 2):
            plane.plane.add_kwok_node(f"fake-{number}", resources={"nvidia.com/gpu": "400"})
        ensure_namespace(plane.access, NAMESPACE)
    for name, home, other in names(count):
        lab[home].access.apply(_deployment(name, REPLICAS))
        lab[other].access.apply(_deployment(name, 0))
    for cluster in PLACES:
        wait_for(
            f"Deployments in {cluster}",
            lambda c=cluster: all(  # type: ignore[misc]
                (row["status"].get("readyReplicas") or 0) == row["spec"]["replicas"]
                for row in lab[c].access.items(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
            ),
            timeout_seconds=180,
            interval_seconds=1.0,
        )


def documents(count: int, prometheus_url: str) -> list[Document]:
    """Profile, sites, contracts and workloads."""
    found = [objects.profile()]
    homes = [PLACES[home] for _, home, _ in names(count)]
    for cluster, site in PLACES.items():
        replicas = REPLICAS * homes.count(site)
        watts = round(FIXED_WATTS + MARGINAL * replicas * BUSY_WATTS)
        document = objects.site(
            site,
            cluster,
            local=cluster == "hub",
            limit_watts=2_000_000,
            carbon=[600 if site == "east" else 300] * 24,
            power={
                "itCapacityWatts": 2_000_000,
                "facility": {
                    "type": "Constant",
                    "constant": {"fixedWatts": FIXED_WATTS, "marginalPermille": 1150},
                },
            },
        )
        spec = document["spec"]
        spec["clusters"][0]["engineMetrics"] = {
            "type": "Prometheus",
            "prometheus": {"url": prometheus_url},
        }
        spec["connections"][0]["meterSignalName"] = "meter"
        spec["signals"] += [
            _constant("meter", "SitePower", "Watt", watts),
            _constant("demand", "BacklogUnits", "Count", 8),
        ]
        found.append(document)
        found.append(objects.contract(f"{site}-2026", site, [("All", "", RATES[site])]))
    for number, (name, home, other) in enumerate(names(count)):
        found.append(_workload(name, [home, other], interactive=number % 2 == 0))
    return found


def _constant(name: str, quantity: str, unit: str, value: int) -> Document:
    return {
        "name": name,
        "quantity": quantity,
        "unit": unit,
        "source": {"constant": {"value": str(value)}},
    }


def _workload(name: str, clusters: list[str], *, interactive: bool) -> Document:
    placements = [
        {"name": PLACES[row], "siteName": PLACES[row], "clusterName": row, "maxReplicas": 4}
        for row in clusters
    ]
    spec: dict[str, Any] = {
        "replicas": {"min": 1 if interactive else 0, "max": 4},
        "flexibility": {
            "tier": "Low",
            "actions": ["Scale", "Pause"],
            "minDwellSeconds": 300,
            "maxMovesPerDay": 20,
        },
    }
    if interactive:
        home = PLACES[clusters[0]]
        spec["demand"] = {
            "type": "SiteSignal",
            "siteSignal": {"siteName": home, "signalName": "demand"},
        }
    else:
        spec |= {"posture": "Batch", "batch": {"dispatch": {"type": "External"}}}
    return objects.workload(name, NAMESPACE, placements, **spec)


def _deployment(name: str, replicas: int) -> Document:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {**labels, "wattshift.io/flexible": "true"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"wattshift.io/lab-node": "kwok"},
                    "automountServiceAccountToken": False,
                    "containers": [
                        {
                            "name": "engine",
                            "image": "wattshift/engine:lab",
                            "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
                            "resources": {"limits": {"nvidia.com/gpu": "4"}},
                        }
                    ],
                },
            },
        },
    }
