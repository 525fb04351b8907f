"""The steps of docs/install.md on kind clusters, with kubectl and Helm as a user has them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from e2e import objects
from e2e.documented import run_steps, steps_of
from e2e.lab import install
from e2e.lab.client import Access, Document, wait_for
from e2e.lab.install import Installed
from e2e.lab.lab import SYSTEM_NAMESPACE, Lab, ensure_namespace
from e2e.lab.providers.kind import KindCluster

SERVING = "serving"
REPLICAS = 2
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
NOON = "2026-07-15T10:00:00+08:00"
"""The grid clock stands in the dear band, whenever the test runs."""
BANDS = (("Peak", "08:00-12:00", "1.30"), ("Valley", "", "0.20"))
_PYTHON = "/opt/wattshift/bin/python"


class Installation:
    """Hub and member with the chart, the objects, and what to see of them."""

    def __init__(self, lab: Lab, image: str) -> None:
        self.lab = lab
        self.image = image
        self.repository, _, self.tag = image.rpartition(":")
        self.release: Installed | None = None
        for cluster in lab.clusters.values():
            assert isinstance(cluster, KindCluster)
            cluster.load_image(image)
            ensure_namespace(cluster.access, SYSTEM_NAMESPACE, RESTRICTED)
            ensure_namespace(cluster.access, SERVING, RESTRICTED)

    @property
    def hub(self) -> Access:
        return self.lab["hub"].access

    @property
    def west(self) -> Access:
        return self.lab["west"].access

    def values(self, **more: Any) -> Document:
        """Values of the hub."""
        return {
            "mode": "Enforce",
            "image": {"repository": self.repository, "tag": self.tag, "pullPolicy": "Never"},
            "replay": {"startTime": NOON, "speed": 1},
            "member": {"namespaces": [SERVING]},
            "uninstall": {"deadlineSeconds": 120},
            **more,
        }

    def install_hub(self) -> Installed:
        """`helm install` of the operator; waits until it is ready."""
        try:
            self.release = install.install(
                self.hub, namespace=SYSTEM_NAMESPACE, values=self.values(), timeout_seconds=300
            )
        except Exception:
            print(self.hub.kubectl("describe", "pods", "-n", SYSTEM_NAMESPACE, check=False))
            print(self.log())
            raise
        return self.release

    def log(self) -> str:
        """The end of what the operator said."""
        return self.lab["hub"].log(SYSTEM_NAMESPACE, "wattshift")[-6000:]

    def add_member(self) -> None:
        """The member's part of the chart, its token, and the kubeconfig Secret on the hub."""
        values = yaml.safe_load((install.CHART / "ci" / "member-only-values.yaml").read_text())
        install.install(self.west, namespace=SYSTEM_NAMESPACE, values=values, wait=False)
        secret = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/wattshift-token"
        wait_for("the token", lambda: "token" in self.west.get(secret).get("data", {}))
        server = self.internal_address("west")
        script = steps_of("install.md", "member").replace("https://api.west.example:6443", server)
        run_steps(script, {"hub": self.hub, "west": self.west}, self.lab.folder / "steps")

    def internal_address(self, name: str) -> str:
        """The API server as pods of other kind clusters reach it: by the node's address."""
        cluster = self.lab[name]
        assert isinstance(cluster, KindCluster)
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        done = subprocess.run(
            ["docker", "inspect", "-f", form, f"{cluster.kind_name}-control-plane"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return f"https://{done.stdout.strip()}:6443"

    def deploy(self, access: Access) -> None:
        """The workload: pods with a readiness probe, opted in by a label."""
        access.apply(deployment(self.image))
        access.kubectl(
            "rollout", "status", "deployment/nightly", "-n", SERVING, "--timeout=120s",
            timeout_seconds=130,
        )  # fmt: skip

    def describe(self) -> None:
        """Profile, sites, contracts, and one workload per site."""
        backlog = {
            "name": "backlog", "quantity": "BacklogUnits", "unit": "Count",
            "source": {"constant": {"value": "500"}},
        }  # fmt: skip
        self.hub.apply(objects.profile())
        for site, cluster in (("home", "hub"), ("west", "west")):
            row = objects.site(site, cluster, local=cluster == "hub")
            row["spec"]["signals"].append(backlog)
            self.hub.apply(row, objects.contract(f"{site}-2026", site, BANDS))
        self.hub.apply(workload("nightly-home", "home", "hub"))
        self.hub.apply(workload("nightly-west", "west", "west"))

    def replicas(self, access: Access) -> tuple[int, int]:
        """(spec, ready) of the Deployment by kubectl."""
        text = access.kubectl("get", "deployment", "nightly", "-n", SERVING, "-o", "json")
        body = json.loads(text)
        return body["spec"]["replicas"], body["status"].get("readyReplicas", 0)

    def status(self, name: str) -> Document:
        """Status of a FlexibleWorkload."""
        text = self.hub.kubectl("get", "fw", name, "-n", SERVING, "-o", "json")
        found: Document = json.loads(text).get("status", {})
        return found


def workload(name: str, site: str, cluster: str) -> Document:
    """Batch work with somebody outside who holds it: it may stop while power is dear."""
    return objects.workload(
        name,
        SERVING,
        [{"name": "only", "siteName": site, "clusterName": cluster, "maxReplicas": 4}],
        posture="Batch",
        targetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "nightly"},
        replicas={"min": 0, "max": 4},
        flexibility={
            "tier": "High",
            "actions": ["Scale", "Pause"],
            "minDwellSeconds": 60,
            "maxMovesPerDay": 20,
            "maxPauseSeconds": 43200,
        },
        batch={
            "backlog": {"siteName": site, "signalName": "backlog"},
            "dispatch": {"type": "External"},
        },
    )


def deployment(image: str) -> Document:
    """Two pods that answer HTTP on the engine's port; `replicas` is left to the scale afterwards."""
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "nightly",
            "namespace": SERVING,
            "labels": {"wattshift.io/flexible": "true"},
        },
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": "nightly"}},
            "template": {
                "metadata": {"labels": {"app": "nightly"}},
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    "containers": [
                        {
                            "name": "engine",
                            "image": image,
                            "imagePullPolicy": "Never",
                            "command": [_PYTHON, "-m", "http.server", "8000", "-d", "/opt"],
                            "ports": [{"containerPort": 8000}],
                            "readinessProbe": {
                                "httpGet": {"path": "/", "port": 8000},
                                "periodSeconds": 2,
                            },
                            "securityContext": security,
                        }
                    ],
                },
            },
        },
    }
