"""The kind provider on real kind clusters; needs Docker and the kind binary."""

from __future__ import annotations

import subprocess

import pytest

from e2e.lab.client import wait_for
from e2e.lab.lab import Lab, ensure_namespace
from e2e.lab.providers.base import SiteSpec
from e2e.lab.providers.kind import KindProvider

pytestmark = pytest.mark.kind


@pytest.fixture(scope="module")
def kind_lab():
    provider = KindProvider()
    if reason := provider.unavailable_reason():
        pytest.skip(f"kind not available: {reason}")
    with Lab([SiteSpec("hub")], provider=provider) as lab:
        yield lab


def test_kind_cluster_scales_and_shows_logs_and_takes_a_member_account(kind_lab, tmp_path):
    access = kind_lab.hub.access
    ensure_namespace(access, "serving")
    image = "registry.k8s.io/pause:3.10.1"
    found = access.get("/api/v1/nodes")["items"][0]["status"]["images"]
    names = [n for i in found for n in i.get("names", []) if "/pause:" in n]
    access.kubectl("create", "deployment", "d", f"--image={(names or [image])[0]}", "-n", "serving")
    path = "/apis/apps/v1/namespaces/serving/deployments/d"
    access.merge(f"{path}/scale", {"spec": {"replicas": 3}})
    wait_for(
        "three ready",
        lambda: access.get(path)["status"].get("readyReplicas") == 3,
        timeout_seconds=120,
    )
    assert kind_lab.hub.log("serving", "d-") == ""
    account = kind_lab.install_member("hub", namespaces=["serving"])
    assert account.items("/apis/apps/v1/deployments")


def test_clusters_are_gone_afterwards():
    if KindProvider().unavailable_reason():
        pytest.skip("kind not available")
    provider = KindProvider()
    provider.create([SiteSpec("a")])
    provider.destroy()
    listed = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=True)
    assert provider._prefix not in listed.stdout
