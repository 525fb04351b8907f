"""Entry, plant and Prometheus follow real pods of a real control plane."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.lab.client import wait_for
from e2e.lab.fixtures import require_binaries
from e2e.lab.process import Process
from e2e.lab.binaries import ensure
from e2e.lab.telemetry.prometheus import Prometheus, ScrapeFile
from e2e.lab.traffic.companion import Companion, get_json

pytestmark = [pytest.mark.lab, pytest.mark.engine]

LABELS = {"app": "qwen", "wattshift.io/flexible": "true"}
ENGINE = [
    *("--model", "qwen", "--max-num-seqs", "8", "--max-model-len", "4096"),
    *("--time-to-first-token", "100ms", "--inter-token-latency", "20ms"),
]


def deployment(name: str, replicas: int) -> dict:
    probe = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1}
    container = {
        "name": "engine",
        "image": "vllm/vllm-openai",
        "args": ENGINE,
        "ports": [{"containerPort": 8000}],
        "readinessProbe": probe,
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "2"]}}},
    }
    return {
        "metadata": {"name": name, "labels": LABELS},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "qwen"}},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "nodeSelector": {"wattshift.io/lab-node": "process"},
                    "terminationGracePeriodSeconds": 30,
                    "containers": [container],
                },
            },
        },
    }


class Stack:
    """One site with a Deployment of engines, its entry and its plant."""

    def __init__(self, plane, namespace: str, workdir: Path) -> None:
        self.access, self.namespace, self.workdir = plane.access, namespace, workdir
        self.kubeconfig = str(plane.kubeconfig)
        self.path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        site = {"name": "near", "kubeconfig": self.kubeconfig, "roundTripMilliseconds": 10}
        model = {"name": "qwen", "selector": "app=qwen", "namespace": namespace}
        self.entry = Companion(
            "entry",
            "e2e.lab.traffic.entry",
            {"sites": [site], "models": [model]},
            workdir=workdir,
        )
        member = {"kubeconfig": self.kubeconfig, "selector": "app=qwen", "namespace": namespace}
        self.targets = workdir / "targets" / "near.json"
        member |= {"targetsFile": str(self.targets), "targetLabels": {"cluster": "near-a"}}
        power = {"name": "h100x4", "labels": {"app": "qwen"}, "loadedIdleWatts": 456}
        power |= {"floorWatts": 1703, "wattsPerOutputTokenPerSecond": 2}
        self.plant = Companion(
            "plant",
            "e2e.lab.plant",
            {"site": "near", "members": [member], "powerClasses": [power], "stepSeconds": 0.5},
            workdir=workdir,
        )

    @property
    def url(self) -> str:
        return self.entry.info["models"]["qwen"]["url"]

    def workers(self) -> list[dict]:
        return get_json(self.entry.info["control"] + "/workers")["qwen"]

    def wait_workers(self, count: int) -> None:
        wait_for(f"{count} workers", lambda: len(self.workers()) == count, timeout_seconds=60)

    def engines(self) -> list[dict]:
        parts = get_json(self.plant.info["url"] + "/truth")["parts"]
        return [part for part in parts if part.get("state") == "Serving"]

    def scale(self, replicas: int) -> None:
        self.access.merge(f"{self.path}/qwen", {"spec": {"replicas": replicas}})

    def clients(self, name: str, seconds: float, rate: float) -> Companion:
        load = {"model": "qwen", "url": self.url, "rate": rate}
        load["outputTokens"] = {"median": 40, "sigma": 0.4, "maximum": 120}
        return Companion(
            name,
            "e2e.lab.traffic.clients",
            {"durationSeconds": seconds, "loads": [load]},
            workdir=self.workdir,
        )


@pytest.fixture
def stack(control_plane, process_node, make_namespace, tmp_path, request) -> Iterator[Stack]:
    require_binaries(("llm-d-inference-sim",), request)
    namespace = make_namespace(control_plane.access)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    wait_for("service account", lambda: control_plane.access.exists(account))
    found = Stack(control_plane, namespace, tmp_path)
    control_plane.access.create(found.path, deployment("qwen", 2))
    found.entry.wait()
    found.plant.wait()
    yield found
    found.scale(0)
    found.plant.stop()
    found.entry.stop()


def test_scaling_under_load_moves_workers_and_watts_and_loses_nothing(stack: Stack) -> None:
    stack.wait_workers(2)
    wait_for("two engines draw power", lambda: len(stack.engines()) == 2, timeout_seconds=30)
    clients = stack.clients("clients", 14, 8)
    stack.scale(3)
    stack.wait_workers(3)
    wait_for("three engines draw power", lambda: len(stack.engines()) == 3, timeout_seconds=30)
    stack.scale(1)
    stack.wait_workers(1)
    wait_for("one engine draws power", lambda: len(stack.engines()) == 1, timeout_seconds=60)
    summary = clients.join(timeout_seconds=60)["qwen"]
    assert summary["errors"] == {}
    assert summary["succeeded"] == summary["requests"] > 30


def test_no_replica_leaves_no_worker_and_no_engine_watts(stack: Stack) -> None:
    stack.wait_workers(2)
    stack.scale(0)
    stack.wait_workers(0)
    wait_for("no engine", lambda: not stack.engines(), timeout_seconds=60)
    totals = get_json(stack.plant.info["url"] + "/truth")["totals"]
    assert totals["engineWattHours"] > 0
    clients = stack.clients("clients-0", 2, 3)
    summary = clients.join(timeout_seconds=60)["qwen"]
    assert summary["succeeded"] == 0
    assert summary["requests"] > 0


def test_prometheus_follows_the_pods(stack: Stack, tmp_path: Path, request) -> None:
    require_binaries(("prometheus",), request)
    prometheus = Prometheus(
        [ScrapeFile(job="engines", path=stack.targets)], workdir=tmp_path / "prometheus"
    )
    command = prometheus.command(ensure(["prometheus"])["prometheus"])
    process = Process("prometheus", command, workdir=tmp_path, lab="")
    query = f'vllm:num_requests_running{{cluster="near-a",namespace="{stack.namespace}"}}'
    url = f"{prometheus.url}/api/v1/query?query={urllib.parse.quote(query)}"

    def series() -> list[dict]:
        try:
            return get_json(url)["data"]["result"]
        except (OSError, json.JSONDecodeError):
            return []

    stack.wait_workers(2)
    found = wait_for(
        "series of two pods", lambda: (s := series()) and len(s) == 2 and s, timeout_seconds=60
    )
    listed = {
        pod["metadata"]["uid"]: pod["metadata"]["name"]
        for pod in stack.access.items(f"/api/v1/namespaces/{stack.namespace}/pods")
    }
    assert {s["metric"]["pod_uid"]: s["metric"]["pod"] for s in found} == listed
    stack.scale(1)
    wait_for("series of one pod", lambda: len(series()) == 1, timeout_seconds=60)
    process.stop()
