"""What the scenarios share: one powered lab with the chart on it, and a workload of its own each.

A `Case` is a model in a namespace of its own with its Deployments, entry, clients and a recorder
of its in-service pods; it leaves the lab as it was found. Times: grid time is `World.clock.now()`.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from e2e import objects
from e2e.lab.audit import AuditEvent, AuditLog, service_account
from e2e.lab.client import Access, ApiError, Document, wait_for
from e2e.lab.lab import MEMBER_ACCOUNT, SYSTEM_NAMESPACE
from e2e.lab.process import marked_processes
from e2e.lab.telemetry.clock import GridClock, clock_from
from e2e.lab.traffic.companion import Companion, get_json
from e2e.powered import Place, PoweredLab, Service, replay_clock
from e2e.scenarios.recorder import Recorder

START = "2026-07-15T09:00:00+08:00"
SPEED = 60.0
ZONE = timezone(timedelta(hours=8))
PLACES = (
    Place(name="hub", site="east"),
    Place(name="west", site="west", round_trip_milliseconds=10),
    Place(name="north", site="north", round_trip_milliseconds=20),
)
"""Cluster and site by the same order everywhere; the first is the hub."""
SITES = {place.name: place.site for place in PLACES}
KINDS = {
    "powersites": "PowerSite",
    "energycontracts": "EnergyContract",
    "flexibleworkloads": "FlexibleWorkload",
}
NAMESPACES = tuple(f"serving-{number}" for number in range(1, 8))
"""Opted in at installation; cases take them in turn."""
OPERATOR = service_account(SYSTEM_NAMESPACE, "wattshift")
MEMBER = service_account(SYSTEM_NAMESPACE, MEMBER_ACCOUNT)
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/wattshift"
WARM_UP_SECONDS = 10.0
PLANT = {
    "meters": {"lagSeconds": 0.5},
    "facility": [
        {"temperatureMillicelsius": 20000, "fixedWatts": 500, "marginalPermille": 1150},
    ],
}
VALUES: Document = {
    "mode": "Enforce",
    "planner": {"intervalSeconds": 300, "minimumWallSeconds": 1},
    "governor": {"intervalSeconds": 1},
    "engineMetrics": {"intervalSeconds": 1, "timeoutSeconds": 2},
}


class World:
    """The lab, the installation, and what scenarios ask of both."""

    def __init__(self, lab: PoweredLab) -> None:
        self.lab = lab
        self.clock: GridClock = clock_from(lab.clock)
        self._free = list(NAMESPACES)
        self.replicas = 2
        self.cases = 0
        """Scenarios that ran so far."""
        self._restarts: list[tuple[str, float, float]] = []

    # ---- set up ------------------------------------------------------------------------------

    def install(self) -> None:
        """Chart, profile and sites; every connection Ready."""
        clock = self.lab.clock
        replay = {
            "startTime": clock["startTime"],
            "speed": clock["speed"],
            "wallStartTime": datetime.fromtimestamp(clock["wallStartTime"], UTC).isoformat(),
        }
        self.lab.install(
            list(NAMESPACES), {**VALUES, "replay": replay, "replicaCount": self.replicas}
        )
        self.lab.apply(objects.profile(), *(self.site(place) for place in SITES.values()))
        self.flat_prices()
        self.wait_sites()

    def reconnect(self) -> None:
        """Sites, contracts and credentials again, after they were deleted."""
        for place in PLACES[1:]:
            self.lab.lab.install_member(place.name, namespaces=list(NAMESPACES))
        self.lab.apply(*(self.site(place) for place in SITES.values()))
        self.flat_prices()
        self.wait_sites()

    def wait_namespace_gone(self, name: str) -> None:
        """Wait until a namespace of the hub is finalized."""
        path = f"/api/v1/namespaces/{name}"
        wait_for(f"namespace {name} gone", lambda: not self.lab.hub.exists(path))

    def all_objects(self) -> list[Document]:
        """Every object of our kinds, fit for `kubectl delete -f`."""
        return [
            {"apiVersion": objects.GROUP, "kind": kind, "metadata": row["metadata"]}
            for plural, kind in KINDS.items()
            for row in self.lab.hub.items(f"/apis/{objects.GROUP}/{plural}")
        ]

    def wait_sites(self, *names: str, timeout_seconds: float = 60) -> None:
        """Wait until sites are Ready: all when none is named."""
        for name in names or SITES.values():
            self.lab.wait_condition("powersites", name, "Ready", timeout_seconds=timeout_seconds)

    def site(self, name: str, **options: Any) -> Document:
        """PowerSite document of a site of this lab."""
        place = next(row for row in PLACES if row.site == name)
        return objects.site(
            name,
            place.name,
            local=place is PLACES[0],
            prometheus=self.lab.prometheus_url,
            round_trip_milliseconds=5 + round(place.round_trip_milliseconds),
            **options,
        )

    def flat_prices(self, **rates: str) -> None:
        """One price per site all day; 0.60 where none is given."""
        self.lab.apply(
            *(
                objects.contract(f"{site}-2026", site, [("All", "", rates.get(site, "0.60"))])
                for site in SITES.values()
            )
        )

    def window(self, after_minutes: float, length_minutes: float) -> tuple[str, float]:
        """A calendar window that begins after grid minutes from now, and its begin in grid time."""
        begin = datetime.fromtimestamp(self.clock.now() + 60 * after_minutes, ZONE)
        begin = begin.replace(second=0, microsecond=0)
        end = begin + timedelta(minutes=length_minutes)
        return f"{begin:%H:%M}-{end:%H:%M}", begin.timestamp()

    def grid_text(self, after_seconds: float) -> str:
        """RFC 3339 grid time after seconds from now."""
        moment = datetime.fromtimestamp(int(self.clock.now() + after_seconds), ZONE)
        return moment.isoformat()

    def watts(self, site: str) -> float:
        """True power of a site now; the operator never sees it."""
        return float(self.lab.truth(site)["now"]["load_watts"])

    def wait_steady(self, site: str, *, above_watts: float = 0.0) -> float:
        """Wait until the meter, as its readers see it, stands still; true power then."""
        query = f'site_meter_watts{{site="{site}"}}[4s]'

        def steady() -> float:
            low, high = (self._query(f"{name}_over_time({query})") for name in ("min", "max"))
            now = self.watts(site)
            still = high - low < 0.05 * high and abs(now - high) < 0.05 * high
            return now if still and now > above_watts else 0.0

        return wait_for(f"steady power at {site}", steady, interval_seconds=0.5)

    def _query(self, text: str) -> float:
        found = get_json(f"{self.lab.prometheus_url}/api/v1/query?{urlencode({'query': text})}")
        return float(found["data"]["result"][0]["value"][1])

    # ---- the operator ------------------------------------------------------------------------

    def leader_pod(self) -> str:
        """Pod that holds the Lease; empty if nobody does."""
        holder = str(self.lab.hub.get(LEASE)["spec"].get("holderIdentity") or "")
        return holder.rpartition("-")[0]

    def operator_pid(self, pod_name: str) -> int:
        """Process id of an operator pod's process. Raises LookupError when it has none."""
        wanted = f"POD_NAME={pod_name}".encode()
        for pid in marked_processes(self.lab.folder.name):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if b"operator" in words and wanted in variables:
                    return pid
        raise LookupError(f"no process of pod {pod_name}")

    def kill_leader(self, number: signal.Signals = signal.SIGKILL) -> tuple[str, float]:
        """End the leading process; its pod's name and the wall time of the signal."""
        pod = self.leader_pod()
        pid = self.operator_pid(pod)
        os.kill(pid, number)
        return pod, time.time()

    def wait_new_leader(self, before: str, since: float, *, timeout_seconds: float = 40) -> float:
        """Wait until another holder has the Lease; wall seconds from `since`."""

        def changed() -> bool:
            spec = self.lab.hub.get(LEASE)["spec"]
            holder = str(spec.get("holderIdentity") or "")
            return holder not in ("", before)

        wait_for("another leader", changed, timeout_seconds=timeout_seconds, interval_seconds=0.05)
        return time.time() - since

    def wait_led(self) -> None:
        """Wait until every operator pod is Ready: one leads with its watches synced, others wait."""
        path = f"/apis/apps/v1/namespaces/{SYSTEM_NAMESPACE}/deployments/wattshift"

        def ready() -> bool:
            status = self.lab.hub.get(path)["status"]
            pods = int(status.get("readyReplicas", 0))
            return pods == self.replicas and bool(self.operator_pid(self.leader_pod()))

        wait_for("operator pods Ready", ready, timeout_seconds=90)

    def acquired_after(self, since: float) -> float:
        """Wall time of the first Lease write by another holder after `since`; inf if none."""
        last = ""
        for event in self.audit(PLACES[0].name).writes("leases", name="wattshift"):
            holder = str((event.body.get("spec") or {}).get("holderIdentity") or "")
            if event.time > since and holder not in ("", last):
                return event.time
            if event.time <= since:
                last = holder
        return float("inf")

    def log_lines(self) -> list[str]:
        """What the operator's pods said, in order of time, without figures that come and go."""
        found = []
        for line in self.lab.lab.operator_log().splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if row.get("reason") in ("WithinLimit", "PowerModelSuspect", "Valid", "Known"):
                    continue
                words = [row["time"][11:23], row["level"], str(row.get("object", ""))]
                more = {"reason", "why", "pod", "cluster", "exception"} & row.keys()
                words += [row["message"], *(f"{key}={row[key]}" for key in sorted(more))]
                found.append(" ".join(words))
        return sorted(found)

    def holder(self) -> str:
        """Full identity in the Lease."""
        return str(self.lab.hub.get(LEASE)["spec"].get("holderIdentity") or "")

    def audit(self, place: str) -> AuditLog:
        """Audit log of a place's API server."""
        return self.lab.lab[place].audit

    def start_api_server(self, place: str) -> None:
        """Start a stopped API server again."""
        began = time.time()
        self.lab.lab[place].start_api_server()
        self._restarts.append((place, began, time.time() + WARM_UP_SECONDS))

    def denied(self, place: str, *, until: float = float("inf")) -> list[str]:
        """What the server of a place refused to the operator for want of permission.

        Not while the server warms up: until its caches have the roles it refuses everybody.
        """
        return [
            str(event)
            for event in self.audit(place).denied(user=self.identity(place))
            if event.time < until
            and not any(
                where == place and begin <= event.time <= end
                for where, begin, end in self._restarts
            )
        ]

    def identity(self, place: str) -> str:
        """User name by which the operator writes in a place."""
        return OPERATOR if place == PLACES[0].name else MEMBER

    def scale_writes(self, case: Case, *, since: float = 0.0) -> list[tuple[str, AuditEvent, int]]:
        """(place, request, replicas asked) of every acknowledged `/scale` of ours, in time order."""
        found = []
        for place in SITES:
            for event in self.audit(place).writes(
                "deployments/scale",
                user=self.identity(place),
                since=since,
                namespace=case.namespace,
                name=case.name,
            ):
                asked = [row["value"] for row in event.body if row["path"] == "/spec/replicas"]
                found.append((place, event, int(asked[-1])))
        return sorted(found, key=lambda row: row[1].time)

    def told(self, case: Case, reason: str) -> list[Document]:
        """Events about a workload with a reason."""
        path = f"/apis/events.k8s.io/v1/namespaces/{case.namespace}/events"
        return [
            row
            for row in self.lab.hub.items(path)
            if row.get("reason") == reason and row["regarding"]["name"] == case.name
        ]

    # ---- workloads -----------------------------------------------------------------------------

    @contextmanager
    def case(self, name: str, replicas: Mapping[str, int], **options: Any) -> Iterator[Case]:
        """A deployed service; everything of it is taken away at the end."""
        self.cases += 1
        case = Case(self, name, self._free.pop(0), replicas, **options)
        try:
            case.start()
            yield case
        except BaseException as problem:
            problem.add_note(case.explain())
            raise
        finally:
            case.stop()
            self._free.append(case.namespace)


@dataclass(slots=True)
class Case:
    """One model, its Deployments, its FlexibleWorkload and its users."""

    world: World
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


def powered_lab() -> PoweredLab:
    """The lab of the scenarios: one grid clock for plants, clients and operator."""
    places = [
        Place(
            name=row.name,
            site=row.site,
            resource=row.resource,
            devices=row.devices,
            round_trip_milliseconds=row.round_trip_milliseconds,
            plant=PLANT,
        )
        for row in PLACES
    ]
    return PoweredLab(places, clock=replay_clock(START, SPEED), power_classes=[objects.CLASS])


def as_found(case: Case, replicas: Mapping[str, int]) -> bool:
    """Whether every Deployment has the replicas it was found with."""
    return case.counts() == dict(replicas)


__all__ = ["Access", "Case", "Sequence", "World", "as_found", "powered_lab"]
