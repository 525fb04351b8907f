"""Control planes: real servers, their identities, faults and life cycle."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from e2e.lab.client import ApiError, wait_for
from e2e.lab.control_plane import ControlPlane
from e2e.lab.keys import signed_token, write_signing_key

pytestmark = pytest.mark.lab


def test_api_server_is_the_pinned_version_and_kubectl_reaches_it(api_server, namespace):
    assert api_server.access.get("/version")["gitVersion"] == "v1.36.3"
    assert namespace in api_server.kubectl("get", "namespaces", "-o", "name")


def test_service_account_without_a_role_is_denied(api_server, namespace, tmp_path):
    access = api_server.access
    access.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "nobody"}}
    )
    nobody = access.as_service_account(namespace, "nobody", tmp_path / "nobody.kubeconfig")
    with pytest.raises(ApiError) as refused:
        nobody.get(f"/api/v1/namespaces/{namespace}/pods")
    assert refused.value.code == 403
    assert f"system:serviceaccount:{namespace}:nobody" in nobody.kubectl("auth", "whoami")


def test_own_tokens_are_accepted_and_expired_or_foreign_ones_refused(
    api_server, namespace, tmp_path
):
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    made = api_server.access.create(accounts, {"metadata": {"name": "a"}})

    def status(seconds, key):
        now = int(time.time())
        account = {"name": "a", "uid": made["metadata"]["uid"]}
        claims = {
            "iss": "https://lab.wattshift.io",
            "aud": ["https://lab.wattshift.io"],
            "sub": f"system:serviceaccount:{namespace}:a",
            "iat": now - 300,
            "nbf": now - 300,
            "exp": now + seconds,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": account},
        }
        with pytest.raises(ApiError) as refused:
            replace(api_server.access, token=signed_token(key, claims)).get("/api/v1/nodes")
        return refused.value.code

    foreign = tmp_path / "foreign.key"
    write_signing_key(foreign)
    assert status(600, api_server.signing_key) == 403  # known, but may not list nodes
    assert status(-60, api_server.signing_key) == 401
    assert status(600, foreign) == 401


def test_api_server_comes_back_on_the_same_port_with_its_objects(two_api_servers, make_namespace):
    hub, _ = two_api_servers
    name = make_namespace(hub.access)
    url = hub.url
    hub.stop_api_server(kill=True)
    with pytest.raises(OSError):
        hub.access.get("/readyz")
    hub.start_api_server()
    assert hub.url == url
    assert hub.access.exists(f"/api/v1/namespaces/{name}")


def test_frozen_server_hangs_and_thaws(two_api_servers):
    hub, member = two_api_servers
    member.freeze()
    try:
        with pytest.raises(TimeoutError):
            member.access.request("GET", "/readyz", timeout_seconds=1)
        assert hub.access.get("/readyz")["text"] == "ok"
    finally:
        member.thaw()
    wait_for("answers again", lambda: member.access.get("/readyz"))


def test_two_servers_share_nothing(two_api_servers):
    hub, member = two_api_servers
    uids = {
        plane.access.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        for plane in (hub, member)
    }
    assert len(uids) == 2
    assert hub.url != member.url


def test_deployment_scales_on_pretended_nodes(control_plane: ControlPlane, make_namespace):
    access = control_plane.access
    name = make_namespace(access)
    control_plane.add_kwok_node("fake-gpu", resources={"nvidia.com/gpu": "8"})
    control_plane.add_kwok_node("fake-npu", resources={"huawei.com/Ascend910": "8"})
    wait_for(
        "service account",
        lambda: access.exists(f"/api/v1/namespaces/{name}/serviceaccounts/default"),
    )
    for accelerator in ("nvidia.com/gpu", "huawei.com/Ascend910"):
        label = {"app": accelerator.split("/")[1].lower()}
        access.create(
            f"/apis/apps/v1/namespaces/{name}/deployments",
            {
                "metadata": {"name": label["app"]},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": label},
                    "template": {
                        "metadata": {"labels": label},
                        "spec": {
                            "nodeSelector": {"wattshift.io/lab-node": "kwok"},
                            "containers": [
                                {
                                    "name": "engine",
                                    "image": "engine",
                                    "resources": {"limits": {accelerator: "1"}},
                                }
                            ],
                        },
                    },
                },
            },
        )
        path = f"/apis/apps/v1/namespaces/{name}/deployments/{label['app']}"
        access.merge(f"{path}/scale", {"spec": {"replicas": 3}})
        wait_for(
            "three ready",
            lambda path=path: access.get(path)["status"].get("readyReplicas") == 3,
        )
