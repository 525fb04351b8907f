"""What the scenarios share: one powered lab with the chart on it, and a workload of its own each.

A `Case` is a model in a namespace of its own with its Deployments, entry, clients and a recorder
of its in-service pods; it leaves the lab as it was found. Times: grid time is `World.clock.now()`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from e2e import objects
from e2e.lab.audit import AuditEvent, AuditLog
from e2e.lab.client import Document, wait_for
from e2e.lab.lab import SYSTEM_NAMESPACE
from e2e.lab.process import marked_processes
from e2e.lab.telemetry.clock import GridClock, clock_from
from e2e.lab.traffic.companion import get_json
from e2e.powered import Place, PoweredLab, replay_clock
from e2e.scenarios.case import Case, as_found
from e2e.scenarios.setting import (
    KINDS,
    LEASE,
    MEMBER,
    NAMESPACES,
    OPERATOR,
    PLACES,
    PLANT,
    SITES,
    SPEED,
    START,
    VALUES,
    WARM_UP_SECONDS,
    ZONE,
)


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


__all__ = ["NAMESPACES", "PLACES", "SITES", "SPEED", "Case", "World", "as_found", "powered_lab"]
