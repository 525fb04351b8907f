"""A lab with electricity and load: clusters, one plant per site, a real Prometheus, a real router.

What scenarios, the demo and the control benchmark share. It knows the product only as a user does:
a chart, objects, `kubectl`. The truth of power is the plants'; the truth of latency is the clients'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from e2e.lab.binaries import ensure
from e2e.lab.client import Access, ApiError, Document, wait_for
from e2e.lab.lab import Lab, ensure_namespace
from e2e.lab.process import Process
from e2e.lab.providers.base import SiteSpec
from e2e.lab.telemetry.prometheus import Prometheus, ScrapeUrl
from e2e.lab.traffic.companion import Companion, get_json, post

DATA = Path(__file__).parent / "lab" / "traffic" / "data"
ENGINE_IMAGE = "wattshift/engine:lab"
KINDS = ("flexibleworkloads", "energycontracts", "powersites")
API = "/apis/wattshift.io/v1alpha1"


@dataclass(frozen=True, kw_only=True)
class Place:
    """One site: a cluster of the lab, and the electricity of its plant."""

    name: str
    """Cluster in the lab; the first place is the hub."""
    site: str
    """Its PowerSite."""
    resource: str = "nvidia.com/gpu"
    devices: int = 64
    round_trip_milliseconds: float = 0.0
    plant: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the plant (`e2e/lab/plant`)."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One model with its Deployments."""

    name: str
    namespace: str
    replicas: Mapping[str, int]
    """Replicas found, by place."""
    deployments: Mapping[str, str] = field(default_factory=dict)
    """Names of its Deployments where they differ from its own, by place."""
    devices_per_replica: int = 4
    time_to_first_token: str = "60ms"
    inter_token_latency: str = "15ms"
    max_sequences: int = 8
    start_delay_seconds: float = 1.0
    grace_seconds: int = 20
    pre_stop_seconds: int = 0
    """Time in which a pod that ends still takes requests, until the entry has dropped it."""
    sigterm: str = "sim"


class PoweredLab:
    """Start with `with PoweredLab(places) as lab`; stops everything at the end, also after a crash."""

    def __init__(
        self,
        places: Sequence[Place],
        *,
        clock: Mapping[str, Any] | None = None,
        power_classes: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.places = list(places)
        self.clock = dict(clock or {})
        self._classes = [dict(row) for row in power_classes]
        self.lab = Lab([SiteSpec(p.name, {p.resource: str(p.devices)}) for p in self.places])
        self.plants: dict[str, Companion] = {}
        self.entry: Companion | None = None
        self.services: list[Service] = []
        self._started: list[Companion | Process] = []
        self.extra_targets: dict[str, str] = {}
        """Further `/metrics` addresses by job for the Prometheus, set before `start_power`."""
        self._prometheus = ""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Clusters, then plants and Prometheus."""
        self.lab.start()
        self.start_power()
        return self

    def start_power(self) -> None:
        """Plants and Prometheus; apart from the clusters for a clock that is set late."""
        for place in self.places:
            config = {
                "site": place.site,
                "clock": self.clock,
                "powerClasses": self._classes,
                "stepSeconds": 0.5,
                "members": [
                    {
                        "kubeconfig": str(self.access(place.name).kubeconfig),
                        "selector": "wattshift.io/lab-engine",
                        "containerPort": 8000,
                    }
                ],
                **place.plant,
            }
            self.plants[place.site] = self._companion(
                f"plant-{place.site}", "e2e.lab.plant", config
            )
        for plant in self.plants.values():
            plant.wait()
        self._start_prometheus()

    def stop(self) -> None:
        """End everything; safe to call twice."""
        for started in reversed(self._started):
            started.stop()
        self._started.clear()
        self.lab.stop()

    @property
    def folder(self) -> Path:
        """Files of this lab."""
        return self.lab.folder

    @property
    def hub(self) -> Access:
        """Administrator's access to the hub."""
        return self.lab.hub.access

    @property
    def prometheus_url(self) -> str:
        """Base URL of the Prometheus that scrapes the plants and the dispatcher."""
        return self._prometheus

    def access(self, place: str) -> Access:
        """Administrator's access to a place's cluster."""
        return self.lab[place].access

    # ---- workloads --------------------------------------------------------------------------

    def deploy(self, service: Service) -> None:
        """Create the service's Deployment in every place it names, and wait for its replicas."""
        self.services.append(service)
        for place, replicas in service.replicas.items():
            access = self.access(place)
            ensure_namespace(access, service.namespace)
            access.apply(self._deployment(service, place, replicas))
        for place, replicas in service.replicas.items():
            wait_for(
                f"{service.name} in {place}",
                lambda p=place, r=replicas: self.counts(service, p)[1] == r,  # type: ignore[misc]
                timeout_seconds=120,
            )

    def counts(self, service: Service, place: str) -> tuple[int, int]:
        """(spec.replicas, readyReplicas) of a Deployment."""
        name = service.deployments.get(place, service.name)
        path = f"/apis/apps/v1/namespaces/{service.namespace}/deployments/{name}"
        body = self.access(place).get(path)
        return int(body["spec"].get("replicas", 1)), int(body["status"].get("readyReplicas", 0))

    def start_entry(self, *, retries: bool = True) -> None:
        """One real router per service, its workers kept equal to the in-service pods."""
        self.entry = self._companion(
            "entry",
            "e2e.lab.traffic.entry",
            {
                "sites": [
                    {
                        "name": place.name,
                        "kubeconfig": str(self.access(place.name).kubeconfig),
                        "roundTripMilliseconds": place.round_trip_milliseconds,
                        "proxied": place.round_trip_milliseconds > 0,
                    }
                    for place in self.places
                ],
                "models": [
                    {
                        "name": service.name,
                        "selector": f"app={service.name}",
                        "namespace": service.namespace,
                        "retries": retries,
                        "sites": list(service.replicas),
                    }
                    for service in self.services
                ],
            },
        ).wait()

    def model_url(self, name: str) -> str:
        """Where clients of a service send requests."""
        assert self.entry is not None
        return str(self.entry.info["models"][name]["url"])

    def clients(self, name: str, config: Mapping[str, Any]) -> Companion:
        """Seeded clients; `join` gives their summary."""
        return self._companion(name, "e2e.lab.traffic.clients", {"clock": self.clock, **config})

    def companion(self, name: str, module: str, config: Mapping[str, Any]) -> Companion:
        """Any other server of the lab."""
        return self._companion(name, module, config)

    def truth(self, site: str) -> dict[str, Any]:
        """What really happened at a site; the operator never sees it."""
        document: dict[str, Any] = get_json(self.plants[site].info["url"] + "/truth")
        return document

    def inject(self, site: str, **query: Any) -> None:
        """Change the truth of a site, or break its meter (`e2e/lab/plant`)."""
        words = "&".join(f"{key}={value}" for key, value in query.items())
        post(f"{self.plants[site].info['url']}/inject?{words}")

    # ---- the product ------------------------------------------------------------------------

    def install(self, namespaces: Sequence[str], values: Document | None = None) -> None:
        """The chart on the hub and its member part on every other cluster."""
        self.lab.install_hub(namespaces=namespaces, values=values)
        for place in self.places[1:]:
            self.lab.install_member(place.name, namespaces=namespaces)

    def apply(self, *documents: Document) -> None:
        """Apply objects to the hub."""
        for document in documents:
            self.hub.apply(document)

    def object(self, kind: str, name: str, namespace: str = "") -> Document:
        """One of our objects."""
        middle = f"/namespaces/{namespace}" if namespace else ""
        return self.hub.get(f"{API}{middle}/{kind}/{name}")

    def condition(self, kind: str, name: str, condition: str, namespace: str = "") -> Document:
        """One condition of one of our objects; empty while it is not there."""
        try:
            body = self.object(kind, name, namespace)
        except ApiError:
            return {}
        rows = (body.get("status") or {}).get("conditions") or []
        return next((row for row in rows if row["type"] == condition), {})

    def wait_condition(
        self, kind: str, name: str, condition: str, status: str = "True", **options: Any
    ) -> None:
        """Wait until a condition has a status."""
        namespace = options.pop("namespace", "")
        wait_for(
            f"{kind}/{name} {condition}={status}",
            lambda: self.condition(kind, name, condition, namespace).get("status") == status,
            **options,
        )

    # ---- parts ------------------------------------------------------------------------------

    def _companion(self, name: str, module: str, config: Mapping[str, Any]) -> Companion:
        started = Companion(name, module, config, workdir=self.folder, lab=self.folder.name)
        self._started.append(started)
        return started

    def _start_prometheus(self) -> None:
        targets = [
            ScrapeUrl(job=site, url=f"{plant.info['url']}/metrics")
            for site, plant in self.plants.items()
        ]
        targets += [ScrapeUrl(job=job, url=url) for job, url in self.extra_targets.items()]
        server = Prometheus(targets, workdir=self.folder / "prometheus")
        binary = ensure(["prometheus"])["prometheus"]
        process = Process(
            "prometheus", server.command(binary), workdir=self.folder, lab=self.folder.name
        )
        self._started.append(process)
        self._prometheus = server.url
        wait_for("prometheus", lambda: _ready(server.url), timeout_seconds=60)

    def _deployment(self, service: Service, place: str, replicas: int) -> Document:
        labels = {"app": service.name, "wattshift.io/lab-engine": "true"}
        resource = next(p.resource for p in self.places if p.name == place)
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": service.deployments.get(place, service.name),
                "namespace": service.namespace,
                "labels": {**labels, "wattshift.io/flexible": "true"},
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": service.name}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeSelector": self.lab[place].node_selector,
                        "terminationGracePeriodSeconds": service.grace_seconds,
                        "automountServiceAccountToken": False,
                        "containers": [
                            {
                                "name": "engine",
                                "image": ENGINE_IMAGE,
                                "args": [
                                    f"--start-delay={service.start_delay_seconds}",
                                    f"--sigterm={service.sigterm}",
                                    "--",
                                    "--model",
                                    service.name,
                                    "--time-to-first-token",
                                    service.time_to_first_token,
                                    "--inter-token-latency",
                                    service.inter_token_latency,
                                    "--max-num-seqs",
                                    str(service.max_sequences),
                                ],
                                "ports": [{"name": "http", "containerPort": 8000}],
                                "lifecycle": _lifecycle(service),
                                "readinessProbe": {
                                    "httpGet": {"path": "/health", "port": 8000},
                                    "periodSeconds": 1,
                                },
                                "resources": {
                                    "limits": {resource: str(service.devices_per_replica)}
                                },
                            }
                        ],
                    },
                },
            },
        }


def replay_clock(start_time: str, speed: float) -> dict[str, Any]:
    """A grid clock that begins now, equal in every process that gets it."""
    return {"startTime": start_time, "speed": speed, "wallStartTime": time.time()}


def _lifecycle(service: Service) -> Document:
    if not service.pre_stop_seconds:
        return {}
    return {"preStop": {"sleep": {"seconds": service.pre_stop_seconds}}}


def _ready(url: str) -> bool:
    try:
        get_json(f"{url}/api/v1/status/runtimeinfo")
    except OSError:
        return False
    return True
