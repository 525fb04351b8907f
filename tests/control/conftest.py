"""Operator processes against the lab's real API server, and objects of our kinds."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml

from e2e.lab.client import Access, wait_for
from tests.control.bench import Bench

ROOT = Path(__file__).resolve().parents[2]
GROUP = "/apis/wattshift.io/v1alpha1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OperatorProcess:
    """One running operator; `kill` and `terminate` as the kubelet would."""

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        folder: Path,
        name: str,
        whole: bool = False,
        **extra,
    ) -> None:
        self.port = free_port()
        config = {
            "mode": "Enforce",
            "reportingCurrency": "CNY",
            "namespace": namespace,
            "podName": name,
            "hub": {"kubeconfig": str(kubeconfig)},
            "server": {"bindAddress": "127.0.0.1", "healthPort": self.port},
            "status": {"minimumSeconds": 1},
        } | extra
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        self.log = folder / f"{name}.log"
        program = [str(Path(__file__).with_name("operator_process.py"))]
        if whole:
            program = ["-m", "wattshift.control", "--config"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, str(path)], stdout=output, stderr=output, cwd=ROOT
            )

    def probe(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_ready(self, words: str = "leading") -> OperatorProcess:
        def ready() -> bool:
            assert self.process.poll() is None, self.tail()
            status, text = self.probe("/readyz")
            return status == 200 and words in text

        try:
            wait_for(f"ready as {words}", ready, timeout_seconds=40)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error
        return self

    def metric(self, line: str) -> float:
        for row in self.probe("/metrics")[1].splitlines():
            if row.startswith(line + " "):
                return float(row.rsplit(" ", 1)[1])
        return 0.0

    def tail(self) -> str:
        return self.log.read_text()[-4000:]

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def start_operator(
    api_server, namespace: str, crds: Access, tmp_path: Path
) -> Iterator[Callable[..., OperatorProcess]]:
    """Start operators on the shared server, in a namespace of their own; all end with the test."""
    started: list[OperatorProcess] = []

    def start(name: str = "op-a", **extra) -> OperatorProcess:
        process = OperatorProcess(api_server.kubeconfig, namespace, tmp_path, name, **extra)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.process.poll() is None:
            process.kill()


def serve(access: Access) -> None:
    """Our kinds as they are now, served, without any object; plain requests, for it is done often."""
    paths = []
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        body = yaml.safe_load(file.read_text())
        paths.append(f"{CRDS}/{body['metadata']['name']}")
        access.request(
            "PATCH",
            paths[-1],
            body,
            query={"fieldManager": "kubectl", "force": "true"},
            content_type="application/apply-patch+yaml",
        )

    def established() -> bool:
        for path in paths:
            rows = access.get(path).get("status", {}).get("conditions") or ()
            if not any(row["type"] == "Established" and row["status"] == "True" for row in rows):
                return False
        return True

    wait_for("our kinds are established", established, timeout_seconds=30, interval_seconds=0.1)
    wait_for("our kinds are served", lambda: remove_all(access) or True, timeout_seconds=30)


@pytest.fixture
def crds(api_server) -> Iterator[Access]:
    """The server with our kinds, and none of our objects before and after the test."""
    access = api_server.access
    serve(access)
    yield access
    remove_all(access)


@pytest.fixture(scope="module")
def served(api_server) -> Access:
    """The server with our kinds, made sure of once a module."""
    access = api_server.access
    serve(access)
    return access


@pytest.fixture
async def bench(api_server, served: Access, namespace: str, objects):
    """`tests/control/bench.py`: a workload on a real server and the parts that act on it."""
    async with AsyncExitStack() as stack:
        made = Bench(served, api_server.kubeconfig, namespace, objects, stack)
        await made.start()
        yield made
    remove_all(served)


def remove_all(access: Access) -> None:
    for plural in ("flexibleworkloads", "energycontracts", "powersites"):
        for body in access.items(f"{GROUP}/{plural}"):
            metadata = body["metadata"]
            place = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
            path = f"{GROUP}/{place}{plural}/{metadata['name']}"
            if metadata.get("finalizers"):
                access.merge(path, {"metadata": {"finalizers": None}})
            access.delete(path)


def site(name: str, **spec) -> dict:
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "PowerSite",
        "metadata": {"name": name},
        "spec": {
            "location": {"regionName": "CN-SH", "timeZone": "Asia/Shanghai"},
            "allowedNamespaces": {"from": "All"},
            "clusters": [{"name": "hub", "type": "Local"}],
            "connections": [{"name": "feed", "importLimitWatts": 200000}],
            "power": {"itCapacityWatts": 120000},
        }
        | spec,
    }


def workload(namespace: str, name: str, site_name: str, **spec) -> dict:
    placement = {
        "name": "here",
        "siteName": site_name,
        "clusterName": "hub",
        "minReplicas": 1,
        "maxReplicas": 4,
    }
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "FlexibleWorkload",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "posture": "Interactive",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "engine": {"type": "VLLM", "port": 8000},
            "placements": [placement],
        }
        | spec,
    }


def contract(name: str, site_name: str, **spec) -> dict:
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "EnergyContract",
        "metadata": {"name": name},
        "spec": {
            "role": "Complete",
            "points": [{"siteName": site_name, "connectionName": "feed"}],
            "currency": "CNY",
            "timeZone": "Asia/Shanghai",
            "validFromTime": "2020-01-01T00:00:00+08:00",
            "calendars": [
                {
                    "name": "tou",
                    "bands": [{"name": "Valley", "windows": ["00:00-08:00"]}, {"name": "Day"}],
                }
            ],
            "components": [
                {
                    "name": "energy",
                    "measure": {"type": "Energy", "energy": {"basis": "Import"}},
                    "calendarName": "tou",
                    "bandRates": [
                        {"bandName": "Valley", "rate": "0.30"},
                        {"bandName": "Day", "rate": "0.75"},
                    ],
                    "per": "kWh",
                }
            ],
        }
        | spec,
    }


def deployment(namespace: str, name: str, *, flexible: bool = True, probe: bool = True) -> dict:
    container: dict = {"name": "engine", "image": "engine"}
    if probe:
        container["readinessProbe"] = {"httpGet": {"path": "/health", "port": 8000}}
    labels = {"wattshift.io/flexible": "true"} if flexible else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container]},
            },
        },
    }


def conditions(body: dict) -> dict[str, dict]:
    return {row["type"]: row for row in (body.get("status") or {}).get("conditions", ())}


def condition_is(access: Access, path: str, kind: str, status: str, reason: str = "") -> dict:
    """Wait for a condition; returns the object."""

    def probe() -> dict | None:
        body = access.get(path)
        row = conditions(body).get(kind, {})
        found = row.get("status") == status and reason in ("", row.get("reason"))
        if not found:
            raise LookupError(json.dumps(conditions(body)))
        return body

    return wait_for(f"{kind}={status} {reason} on {path}", probe, timeout_seconds=30)


@pytest.fixture
def objects():
    """Builders of objects, and how to wait for conditions."""

    class Objects:
        pass

    made = Objects()
    made.site, made.workload, made.contract = site, workload, contract
    made.deployment, made.conditions, made.condition_is = deployment, conditions, condition_is
    return made
