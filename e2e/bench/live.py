"""Drives the live benchmark: starts of the operator, a frozen window, fast planning, the baseline.

Every figure comes from outside the product: audit logs of the API servers, `/proc`, and `/metrics` as
any Prometheus reads it.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from e2e.bench import frozen
from e2e.bench.figures import (
    Samples,
    by_name,
    cpu_seconds,
    histogram,
    memory_megabytes,
    parse_metrics,
    say,
    spread,
    started_epoch,
    total,
)
from e2e.lab.audit import AuditEvent, service_account
from e2e.lab.binaries import ensure
from e2e.lab.client import wait_for
from e2e.lab.lab import MEMBER_ACCOUNT, SYSTEM_NAMESPACE, Lab, merged
from e2e.lab.process import Process, marked_processes
from e2e.lab.providers.base import SiteSpec
from e2e.lab.telemetry.prometheus import Prometheus

OPERATOR = service_account(SYSTEM_NAMESPACE, "wattshift")
MEMBER = service_account(SYSTEM_NAMESPACE, MEMBER_ACCOUNT)
REVIEWS = "selfsubjectaccessreviews"
ASIDE = frozenset({"leases", REVIEWS})
"""A review is a question that takes the verb create: nothing is stored. Both are counted apart."""
UNINFORMED = frozenset({"NotAccepted", "MemberLost", "TargetNotFound", "PowerProfileNotFound"})
"""Reasons of a Hold that only says that something is not known yet: such a plan is not full."""
VALUES = {"mode": "Enforce"}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Live:
    """The lab with everything applied; `with Live(count) as live`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.lab = Lab([SiteSpec(name) for name in frozen.PLACES])
        self._prometheus: Process | None = None
        self._installed = 0.0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._prometheus is not None:
            self._prometheus.stop()
        self.lab.stop()

    def _start(self) -> None:
        say("three control planes ...")
        self.lab.start()
        say(f"{self.count} workloads' Deployments on fake nodes ...")
        frozen.deploy(self.lab, self.count)
        self._installed = time.time()
        self.lab.install_hub(namespaces=[frozen.NAMESPACE], values=VALUES)
        for cluster in list(frozen.PLACES)[1:]:
            self.lab.install_member(cluster, namespaces=[frozen.NAMESPACE])
        for document in frozen.documents(self.count, self._start_prometheus()):
            self.lab.hub.access.apply(document)
        self.wait_full_plan()

    def _start_prometheus(self) -> str:
        folder = self.lab.folder
        server = Prometheus([], workdir=folder / "prometheus")
        binary = ensure(["prometheus"])["prometheus"]
        self._prometheus = Process(
            "prometheus", server.command(binary), workdir=folder, lab=folder.name
        )
        url = f"{server.url}/api/v1/status/runtimeinfo"

        def ready() -> bool:
            with suppress(OSError):
                return bool(_OPENER.open(url, timeout=2).status == 200)
            return False

        wait_for("prometheus", ready, timeout_seconds=60)
        return server.url

    # ---- the operator's process -----------------------------------------------------------------

    def pod(self) -> dict[str, Any]:
        """The operator's pod that is not on its way out."""
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods"
        rows = [
            row
            for row in self.lab.hub.access.items(path)
            if row["metadata"]["name"].startswith("wattshift-")
            and "deletionTimestamp" not in row["metadata"]
            and (row.get("status") or {}).get("phase") in (None, "Pending", "Running")
        ]
        return dict(rows[0]) if rows else {}

    def pid(self, pod_name: str) -> int:
        """Process id of the operator in a pod; 0 while it has none."""
        wanted = f"POD_NAME={pod_name}".encode()
        for pid in marked_processes(self.lab.folder.name):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if b"operator" in words and wanted in variables:
                    return pid
        return 0

    def metrics(self, pod: Mapping[str, Any]) -> Samples:
        """The operator's metrics now; empty while it does not answer."""
        address = (pod.get("status") or {}).get("podIP")
        url = f"http://{address}:8080/metrics"
        with suppress(OSError), _OPENER.open(url, timeout=5) as answer:
            return parse_metrics(answer.read().decode())
        return {}

    def wait_full_plan(self, timeout_seconds: float = 180) -> None:
        """Wait until the last plan was made in full knowledge."""
        watch = _Plans(self.count)
        wait_for(
            "a full plan",
            lambda: watch.full(self.metrics(self.pod())),
            timeout_seconds=timeout_seconds,
            interval_seconds=0.5,
        )

    def restart(self) -> dict[str, float]:
        """Replace the pod and time its process: first ready, first plan, first full plan (seconds)."""
        before = self.pod()["metadata"]["name"]
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{before}"
        self.lab.hub.access.delete(path)
        found: dict[str, Any] = {}

        def begun() -> bool:
            pod = self.pod()
            name = pod.get("metadata", {}).get("name", "")
            if not name or name == before or not (pod.get("status") or {}).get("podIP"):
                return False
            found["pod"], found["pid"] = pod, self.pid(name)
            return bool(found["pid"])

        wait_for("the new process", begun, timeout_seconds=60, interval_seconds=0.05)
        start = started_epoch(found["pid"])
        watch = _Plans(self.count)
        times: dict[str, float] = {}

        def full() -> bool:
            samples = self.metrics(found["pod"])
            now = time.time() - start
            if samples:
                times.setdefault("serves", now)
            if total(samples, "wattshift_leader") >= 1:
                times.setdefault("leads", now)
            done = watch.full(samples)
            if watch.plans:
                times.setdefault("firstPlan", now)
            if done:
                times.setdefault("fullPlan", now)
            return done

        wait_for("a full plan", full, timeout_seconds=120, interval_seconds=0.1)
        return {name: round(value, 2) for name, value in times.items()}

    # ---- the audit logs --------------------------------------------------------------------------

    def writes(self, since: float, until: float) -> list[tuple[str, AuditEvent]]:
        """(cluster, request) of every write tried by our identities, Lease and reviews aside."""
        found = []
        for cluster in frozen.PLACES:
            user = OPERATOR if cluster == "hub" else MEMBER
            log = self.lab[cluster].audit
            found += [
                (cluster, event)
                for event in log.writes(user=user, since=since, successful=False)
                if event.time <= until and event.resource not in ASIDE
            ]
        return found

    def status_seconds(self, since: float) -> list[float]:
        """How long the hub's API server took for each status write of ours."""
        took = []
        for line in self.lab.hub.audit.path.read_text().splitlines():
            entry = json.loads(line)
            reference = entry.get("objectRef") or {}
            received = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
            if (
                entry.get("stage") == "ResponseComplete"
                and entry["user"].get("username") == OPERATOR
                and reference.get("subresource") == "status"
                and entry["verb"] == "patch"
                and received >= since
            ):
                done = datetime.fromisoformat(entry["stageTimestamp"]).timestamp()
                took.append(done - received)
        return took

    def settle(self, quiet_seconds: float, timeout_seconds: float) -> float:
        """Wait until nothing has been written for a while; wall seconds that it took."""
        began = time.time()
        while time.time() - began < timeout_seconds:
            now = time.time()
            if not self.writes(now - quiet_seconds, now) and now - began > quiet_seconds:
                return now - began
            time.sleep(2)
        return time.time() - began

    # ---- measurements ----------------------------------------------------------------------------

    def window(self, seconds: float) -> dict[str, Any]:
        """Writes, memory, CPU and ticks over a time in which nothing happens."""
        pod = self.pod()
        pid = self.pid(pod["metadata"]["name"])
        before, used, began = self.metrics(pod), cpu_seconds(pid), time.time()
        time.sleep(seconds)
        ended = time.time()
        spent = cpu_seconds(pid) - used
        after = self.metrics(pod)
        events = self.writes(began, ended)
        requests = self._requests(began, ended)
        return {
            "seconds": round(ended - began, 1),
            "writes": len(events),
            "writesPerSecond": round(len(events) / (ended - began), 4),
            "writesByWhat": by_name(
                f"{cluster}: {event.verb} {event.target} {event.namespace}/{event.name}"
                for cluster, event in events
            ),
            "leaseWrites": requests.pop("leases"),
            "accessReviews": requests.pop("reviews"),
            "otherRequests": requests,
            "memoryMebibytes": memory_megabytes(pid),
            "cpuShare": round(spent / (ended - began), 4),
            "governorTickSeconds": histogram(
                before, after, "wattshift_loop_duration_seconds", loop="governor"
            ),
            "planIterationSeconds": histogram(
                before, after, "wattshift_loop_duration_seconds", loop="planner"
            ),
        } | self._stages(before, after)

    def _requests(self, since: float, until: float) -> dict[str, int]:
        """Lease writes, and reads by their verb."""
        found = {"leases": 0, "reviews": 0}
        for cluster in frozen.PLACES:
            user = OPERATOR if cluster == "hub" else MEMBER
            for event in self.lab[cluster].audit.events(user=user, since=since):
                if event.time > until:
                    continue
                if event.is_write:
                    found["leases"] += event.resource == "leases"
                    found["reviews"] += event.resource == REVIEWS
                else:
                    found[event.verb] = found.get(event.verb, 0) + 1
        return found

    @staticmethod
    def _stages(before: Samples, after: Samples) -> dict[str, Any]:
        return {
            "stageSeconds": {
                stage: histogram(before, after, "wattshift_stage_duration_seconds", stage=stage)
                for stage in ("gather", "plan", "act", "record")
            }
        }

    def plan_often(self, interval_seconds: int, seconds: float) -> dict[str, Any]:
        """The same installation with a short planning interval, for figures of many plans."""
        values = merged(VALUES, {"planner": {"intervalSeconds": interval_seconds}})
        self.lab.install_hub(namespaces=[frozen.NAMESPACE], values=values)
        self.wait_full_plan()
        self.settle(15, 120)
        return {"intervalSeconds": interval_seconds} | self.window(seconds)

    def first_writes(self) -> dict[str, Any]:
        """All writes since the installation, and how long those of status took."""
        events = self.writes(self._installed, time.time())
        return {
            "byTarget": by_name(f"{event.verb} {event.target}" for _, event in events),
            "statusSeconds": spread(self.status_seconds(self._installed)),
        }

    def noop(self, seconds: float) -> dict[str, Any]:
        """A kopf operator that only watches the same objects, on the same hub."""
        folder = self.lab.folder
        result = folder / "noop.time"
        process = Process(
            "noop",
            [
                sys.executable,
                "-m",
                "e2e.bench.noop_operator",
                str(self.lab.hub.access.kubeconfig),
                str(self.count + 6),
                str(result),
            ],
            workdir=Path.cwd(),
            lab=folder.name,
        )
        try:
            wait_for("the baseline sees all", result.exists, timeout_seconds=60)
            seen = float(result.read_text()) - started_epoch(process.pid)
            used, began = cpu_seconds(process.pid), time.time()
            time.sleep(seconds)
            spent = (cpu_seconds(process.pid) - used) / (time.time() - began)
            return {
                "startToAllSeenSeconds": round(seen, 2),
                "memoryMebibytes": memory_megabytes(process.pid),
                "cpuShare": round(spent, 4),
            }
        finally:
            process.stop()
            for path in (process.log_path, process.pid_path):
                path.unlink(missing_ok=True)


class _Plans:
    """Follows the counters of decisions; a full plan decided over all workloads in full knowledge."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._before: Samples = {}
        self.plans = 0

    def full(self, samples: Samples) -> bool:
        """Whether the plans since the last look include a full one."""
        name = "wattshift_stage_duration_seconds_count"
        plans = total(samples, name, stage="record") - total(self._before, name, stage="record")
        if plans < 1:
            return False
        informed = 0.0
        for (key, labels), value in samples.items():
            row = dict(labels)
            if key != "wattshift_decisions_total" or row["loop"] != "planner":
                continue
            if row["reason"] not in UNINFORMED:
                informed += value - self._before.get((key, labels), 0.0)
        self._before = samples
        self.plans += int(plans)
        # NB: two plans between looks: only if both were full is it certain that one was.
        return informed >= plans * self._count
