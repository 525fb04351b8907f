"""One model of a scenario: its Deployments, its FlexibleWorkload, its users; leaves the lab as found.

Neighbour: `world.py`, which makes cases and takes them away again.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from e2e import objects
from e2e.lab.client import ApiError, Document, wait_for
from e2e.lab.traffic.companion import Companion
from e2e.powered import PoweredLab, Service
from e2e.scenarios.recorder import Recorder
from e2e.scenarios.setting import PLACES, SITES


class Around(Protocol):
    """What a case needs of its world."""

    @property
    def lab(self) -> PoweredLab:
        """The API servers and plants."""
        ...

    def grid_text(self, after_seconds: float) -> str:
        """A moment of the grid clock, RFC 3339."""
        ...

    def log_lines(self) -> list[str]:
        """What the operators said."""
        ...


@dataclass(slots=True)
class Case:
    """One model, its Deployments, its FlexibleWorkload and its users."""

    world: Around
    name: str
    namespace: str
    replicas: Mapping[str, int]
    """As found, by place."""
    service: Mapping[str, Any] = field(default_factory=dict)
    traffic: bool = True
    _recorder: Recorder | None = None
    entry: Companion | None = None
    _service: Service | None = None
    _started: list[Companion] = field(default_factory=list)

    def start(self) -> None:
        """Deployments, recorder and entry."""
        lab = self.world.lab
        self._service = Service(
            name=self.name,
            namespace=self.namespace,
            replicas=self.replicas,
            **{"pre_stop_seconds": 1, **self.service},
        )
        lab.deploy(self._service)
        self._recorder = Recorder(
            {place: lab.access(place).kubeconfig for place in self.replicas},
            namespace=self.namespace,
            selector=f"app={self.name}",
        ).start()
        if self.traffic:
            self._start_entry()

    def _start_entry(self) -> None:
        lab = self.world.lab
        config = {
            "sites": [
                {
                    "name": place.name,
                    "kubeconfig": str(lab.access(place.name).kubeconfig),
                    "roundTripMilliseconds": place.round_trip_milliseconds,
                    "proxied": place.round_trip_milliseconds > 0,
                }
                for place in PLACES
            ],
            "models": [
                {
                    "name": self.name,
                    "selector": f"app={self.name}",
                    "namespace": self.namespace,
                    "retries": False,
                    "sites": list(self.replicas),
                }
            ],
        }
        self.entry = lab.companion(f"entry-{self.name}", "e2e.lab.traffic.entry", config).wait()
        self._started.append(self.entry)

    def stop(self) -> None:
        """Take the objects, Deployments and processes away; waits for the pods of this case."""
        lab = self.world.lab
        for companion in reversed(self._started):
            companion.stop()
        if self._recorder is not None:
            self._recorder.stop()
        path = f"/apis/wattshift.io/v1alpha1/namespaces/{self.namespace}/flexibleworkloads"
        with suppress(ApiError):
            lab.hub.delete(f"{path}/{self.name}")
            with suppress(TimeoutError):
                wait_for(
                    "workload gone",
                    lambda: not lab.hub.exists(f"{path}/{self.name}"),
                    timeout_seconds=30,
                )
            with suppress(ApiError):
                lab.hub.merge(f"{path}/{self.name}", {"metadata": {"finalizers": None}})
        for place in self.replicas:
            root = f"/apis/apps/v1/namespaces/{self.namespace}"
            with suppress(ApiError, OSError):
                lab.access(place).delete(f"{root}/deployments/{self.name}")
        if self._service in lab.services:
            lab.services.remove(self._service)

    @property
    def recorder(self) -> Recorder:
        """Of the pods in service, since `start`."""
        assert self._recorder is not None, "not started"
        return self._recorder

    # ---- acts ----------------------------------------------------------------------------------

    def apply(self, **spec: Any) -> None:
        """Apply the FlexibleWorkload: placements at every place of this case."""
        placements = spec.pop(
            "placements",
            [
                {
                    "name": SITES[place],
                    "siteName": SITES[place],
                    "clusterName": place,
                    "maxReplicas": 4,
                }
                for place in self.replicas
            ],
        )
        flexibility = {
            "tier": "Low",
            "actions": ["Scale", "Migrate"],
            "minDwellSeconds": 300,
            "maxMovesPerDay": 20,
            **spec.pop("flexibility", {}),
        }
        spec.setdefault(
            "objectives",
            [
                {
                    "metric": "TimeToFirstToken",
                    "thresholdMilliseconds": 800,
                    "attainmentPermille": 950,
                    "windowSeconds": 60,
                }
            ],
        )
        spec.setdefault(
            "origins",
            [{"name": "users", "sharePermille": 1000, "maxRoundTripMilliseconds": 60}],
        )
        spec.setdefault("replicas", {"min": sum(self.replicas.values()), "max": 6})
        self.world.lab.apply(
            objects.workload(self.name, self.namespace, placements, flexibility=flexibility, **spec)
        )

    def clients(self, *, seconds: float, rate: float = 2, **options: Any) -> Companion:
        """Users for some wall seconds; `served` gives what they saw."""
        assert self.entry is not None
        loads = [
            {
                "model": self.name,
                "url": self.entry.info["models"][self.name]["url"],
                "rate": rate,
                "outputTokens": {"median": 40, "sigma": 0.4, "maximum": 80},
                **options.pop("load", {}),
            }
        ]
        config = {"durationSeconds": seconds, "loads": loads, **options}
        name = f"clients-{self.name}-{secrets.token_hex(2)}"
        clients = self.world.lab.clients(name, config)
        self._started.append(clients)
        return clients

    def served(self, clients: Companion, *, stop: bool = True) -> dict[str, Any]:
        """End the users' load and give its summary; every request is answered or counted."""
        if stop:
            clients.process.send(signal.SIGTERM)
        return dict(clients.join(timeout_seconds=60)[self.name])

    def release(self) -> None:
        """Ask for the state found by an override."""
        self._override(mode="Release")

    def pin(self, placement: str, replicas: int) -> None:
        """Ask for a count at a placement by an override."""
        self._override(mode="Pin", placementName=placement, replicas=replicas)

    def _override(self, **body: Any) -> None:
        common = {
            "untilTime": self.world.grid_text(20 * 3600),
            "reason": "a scenario",
            "requestedBy": "scenarios",
        }
        self.patch({"spec": {"override": {**common, **body}}})

    def delete(self) -> None:
        """Delete the FlexibleWorkload and wait until it is gone."""
        self.world.lab.hub.delete(self.path)
        self.wait("gone", lambda: not self.world.lab.hub.exists(self.path))

    def patch(self, body: Document) -> None:
        """Merge patch of the FlexibleWorkload."""
        self.world.lab.hub.merge(self.path, body)

    @property
    def path(self) -> str:
        """Of the FlexibleWorkload."""
        root = "/apis/wattshift.io/v1alpha1/namespaces"
        return f"{root}/{self.namespace}/flexibleworkloads/{self.name}"

    # ---- observations --------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """`spec.replicas` by place."""
        return {place: self._count(place)[0] for place in self.replicas}

    def ready(self) -> dict[str, int]:
        """`status.readyReplicas` by place."""
        return {place: self._count(place)[1] for place in self.replicas}

    def _count(self, place: str) -> tuple[int, int]:
        assert self._service is not None
        return self.world.lab.counts(self._service, place)

    def wait_counts(self, *, timeout_seconds: float = 60, **expected: int) -> None:
        """Wait until `spec.replicas` of places are as expected."""
        wait_for(
            f"{self.name} at {expected}",
            lambda: all(self._count(place)[0] == count for place, count in expected.items()),
            timeout_seconds=timeout_seconds,
        )

    def wait(self, what: str, probe: Callable[[], Any], *, timeout_seconds: float = 60) -> Any:
        """Wait for a condition of the world."""
        return wait_for(f"{self.name}: {what}", probe, timeout_seconds=timeout_seconds)

    def wait_condition(self, condition: str, status: str = "True", **options: Any) -> None:
        """Wait for a condition of the FlexibleWorkload."""
        self.world.lab.wait_condition(
            "flexibleworkloads",
            self.name,
            condition,
            status,
            namespace=self.namespace,
            **options,
        )

    def condition(self, name: str) -> Document:
        """One condition of the FlexibleWorkload."""
        return self.world.lab.condition("flexibleworkloads", self.name, name, self.namespace)

    def status(self) -> Document:
        """Status of the FlexibleWorkload."""
        return dict(self.world.lab.hub.get(self.path).get("status") or {})

    def move(self) -> Document:
        """The open hand-over in status; empty when there is none."""
        return dict(self.status().get("move") or {})

    def wait_settled(self, *, timeout_seconds: float = 60) -> None:
        """No open hand-over, and every placement has what it asks for in service."""
        self.wait(
            "settled",
            lambda: not self.move() and self.counts() == self.ready(),
            timeout_seconds=timeout_seconds,
        )

    def explain(self) -> str:
        """For failures: counts, statuses, and the end of the operator's log."""
        lab = self.world.lab
        lines = [f"--- {self.namespace}/{self.name} ---"]
        with suppress(Exception):
            lines.append(f"spec {self.counts()}, ready {self.ready()}")
        with suppress(Exception):
            lines.append(str(lab.hub.get(self.path)))
        for site in SITES.values():
            with suppress(Exception):
                status = lab.object("powersites", site).get("status") or {}
                kept = {k: status.get(k) for k in ("conditions", "power", "activeEvents")}
                lines.append(f"{site}: {kept}")
        with suppress(Exception):
            lines += ["--- operator ---", *self.world.log_lines()[-60:]]
        return "\n".join(lines)


def as_found(case: Case, replicas: Mapping[str, int]) -> bool:
    """Whether every Deployment has the replicas it was found with."""
    return case.counts() == dict(replicas)
