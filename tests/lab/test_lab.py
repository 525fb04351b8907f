"""A whole lab: sites in parallel, members opened to the hub with the chart's roles only."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest
import yaml

from e2e.lab.compiler import LabUnavailable
from e2e.lab.client import ApiError, wait_for
from e2e.lab.lab import SYSTEM_NAMESPACE, Lab, ensure_namespace, merged
from e2e.lab.paths import REPOSITORY
from e2e.lab.process import marked_processes
from e2e.lab.providers.base import NotOffered, SiteSpec
from e2e.lab.providers.choose import choose_provider
from e2e.lab.providers.existing import ExistingProvider
from e2e.lab.providers.kind import KindCluster

ENGINE = {
    "name": "engine",
    "image": "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2",
    "args": ["--port", "8000", "--", "--model", "m", "--force-dummy-tokenizer", "--mode", "echo"],
    "ports": [{"name": "http", "containerPort": 8000}],
    "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
}


@pytest.fixture(scope="module")
def lab(request):
    from e2e.lab import binaries
    from e2e.lab.fixtures import require_binaries

    require_binaries(binaries.LAB_MODE, request)
    with Lab([SiteSpec("hub"), SiteSpec("west")]) as running:
        yield running


@pytest.mark.lab
def test_sites_are_distinct_clusters_with_a_process_node_each(lab):
    uids = {
        c.access.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        for c in lab.clusters.values()
    }
    assert len(uids) == 2
    for cluster in lab.clusters.values():
        (node,) = cluster.access.items("/api/v1/nodes")
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert node["metadata"]["labels"].items() >= cluster.node_selector.items()


@pytest.mark.lab
def test_engines_run_side_by_side_on_one_port_and_scale_down_ends_them(lab):
    access = lab["west"].access
    ensure_namespace(access, "engines")
    path = "/apis/apps/v1/namespaces/engines/deployments"
    access.create(
        path,
        {
            "metadata": {"name": "m"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "m"}},
                "template": {
                    "metadata": {"labels": {"app": "m"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 5,
                        "nodeSelector": lab["west"].node_selector,
                        "containers": [ENGINE],
                    },
                },
            },
        },
    )
    wait_for("two engines", lambda: access.get(f"{path}/m")["status"].get("readyReplicas") == 2)
    pods = access.items("/api/v1/namespaces/engines/pods")
    assert len({p["status"]["podIP"] for p in pods}) == 2
    access.merge(f"{path}/m/scale", {"spec": {"replicas": 0}})
    wait_for("no pods", lambda: not access.items("/api/v1/namespaces/engines/pods"))
    wait_for(
        "no engine processes",
        lambda: not [p for p in marked_processes(lab.folder.name) if is_engine(p)],
    )


def is_engine(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"llm-d-inference-sim" in file.read()
    except OSError:
        return False


@pytest.mark.lab
def test_member_gives_the_hub_exactly_the_charts_roles(lab):
    west = lab["west"]
    account = lab.install_member("west", namespaces=["serving"], revocable=True)
    west.access.kubectl("create", "deployment", "d", "--image=x", "--replicas=0", "-n", "serving")
    path = "/apis/apps/v1/namespaces/serving/deployments"
    assert account.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert account.items("/apis/apps/v1/deployments")
    account.request(
        "PATCH",
        f"{path}/d/scale",
        [{"op": "add", "path": "/spec/replicas", "value": 0}],
        content_type="application/json-patch+json",
    )
    for method, where in (
        ("PATCH", f"{path}/d"),
        ("PATCH", "/apis/apps/v1/namespaces/kube-system/deployments/d/scale"),
        ("GET", "/api/v1/namespaces/serving/secrets"),
    ):
        with pytest.raises(ApiError) as refused:
            account.request(method, where, {}, content_type="application/merge-patch+json")
        assert refused.value.code == 403


@pytest.mark.lab
def test_hub_has_the_members_kubeconfig_and_the_token_can_be_revoked(lab):
    lab.install_member("west", namespaces=["serving"], revocable=True)
    secret = lab.hub.access.get(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/west")
    assert "wattshift.io/credential" in secret["metadata"]["labels"]
    config = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    server = config["clusters"][0]["cluster"]["server"]
    assert server == lab["west"].access.url
    assert secret["metadata"]["annotations"]["wattshift.io/allowed-hosts"] in server
    token = config["users"][0]["user"]["token"]
    west = lab["west"].access
    held = type(west)(west.url, west.ca_file, token, west.kubeconfig)
    assert held.items("/apis/apps/v1/deployments") is not None
    west.delete(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/wattshift-hub-token")

    def refused():
        try:
            held.items("/apis/apps/v1/deployments")
        except ApiError as problem:
            return problem.code == 401
        return False

    wait_for("revoked", refused, timeout_seconds=30)


@pytest.mark.lab
def test_lab_that_stays_is_started_shown_and_ended_by_commands(tmp_path):
    def command(*words):
        return subprocess.run(
            [sys.executable, "-m", "e2e.lab", *words, "--name", f"test-{os.getpid()}"],
            cwd=REPOSITORY,
            env={**os.environ, "WATTSHIFT_LAB_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    up = command("up", "--sites", "1", "--no-install")
    try:
        assert up.returncode == 0, up.stderr
        kubeconfig = up.stdout.split("KUBECONFIG=")[1].split()[0]
        nodes = subprocess.run(
            ["kubectl", f"--kubeconfig={kubeconfig}", "get", "nodes", "-o", "name"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert nodes.stdout == "node/hub-node\n"
        assert command("status").stdout == up.stdout
    finally:
        down = command("down")
    assert down.returncode == 0
    assert command("status").returncode == 1
    assert list(tmp_path.glob("wattshift-lab-*")) == []


def test_existing_clusters_are_not_offered_and_it_says_why():
    with pytest.raises(LabUnavailable, match="not offered yet"):
        choose_provider("existing")
    with pytest.raises(NotOffered):
        ExistingProvider().create([])


def test_unknown_provider_names_the_known_ones(monkeypatch):
    monkeypatch.setenv("LAB", "cloud")
    with pytest.raises(LabUnavailable, match="local, kind, existing"):
        choose_provider()


def test_kind_cluster_refuses_faults(tmp_path):
    cluster = KindCluster("a", "k-a", tmp_path)
    with pytest.raises(NotOffered):
        cluster.freeze()
    with pytest.raises(NotOffered):
        _ = cluster.audit


def test_values_merge_deeply_and_the_later_wins():
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merged(base, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}
