"""A chart with an uninstall hook through the real Helm, its pods on the process node; its audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from helm_python import HelmReleaseError

from e2e.lab.audit import AuditLog, service_account, unused_grants, unused_rules
from e2e.lab.client import wait_for
from e2e.lab.install import install

pytestmark = pytest.mark.lab
CHART = Path(__file__).parent / "toy-chart"


def test_chart_runs_with_its_own_identity_and_its_uninstall_hook_is_real(
    control_plane, process_node, make_namespace
):
    access = control_plane.access
    space = make_namespace(access)
    release = install(access, chart=CHART, name="toy", namespace=space, timeout_seconds=60)
    assert release.status()["status"] == "deployed"
    made = f"/api/v1/namespaces/{space}/configmaps/made-by-toy"
    assert access.exists(made)

    log = AuditLog(control_plane.audit_log)
    toy = service_account(space, "toy")
    events = log.events(user=toy)
    (write,) = log.writes("configmaps", user=toy)
    assert (write.verb, write.name, write.code) == ("create", "made-by-toy", 201)
    assert write.body["kind"] == "ConfigMap"
    assert write.binding() == f"RoleBinding/toy/{space} -> Role/toy"
    rules = access.get(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/roles/toy")["rules"]
    unused = {str(g) for g in unused_grants(rules, events, namespace=space)}
    assert unused == {"delete configmaps", "get configmaps", "patch apps/deployments/scale"}
    assert unused_rules(rules, events, namespace=space) == [rules[1]]

    release.uninstall(timeout_seconds=60)
    assert not access.exists(made)
    unused = {str(g) for g in unused_grants(rules, log.events(user=toy), namespace=space)}
    assert unused == {"patch apps/deployments/scale"}
    assert log.denied(user=toy) == []
    assert "configmap/made-by-toy created" in process_node.log((space, "toy-"))


def test_failing_uninstall_hook_is_helms_failure(control_plane, process_node, make_namespace):
    space = make_namespace(control_plane.access)
    release = install(
        control_plane.access,
        chart=CHART,
        name="toy",
        namespace=space,
        values={"hookFails": True},
        timeout_seconds=60,
    )
    with pytest.raises(HelmReleaseError, match="toy-uninstall failed"):
        release.uninstall(timeout_seconds=30)
    wait_for("the hook's reason", lambda: "refusing" in process_node.log((space, "toy-uninstall")))


def test_denied_requests_are_counted(control_plane, make_namespace, tmp_path):
    access = control_plane.access
    space = make_namespace(access)
    access.create(f"/api/v1/namespaces/{space}/serviceaccounts", {"metadata": {"name": "curious"}})
    curious = access.as_service_account(space, "curious", tmp_path / "kubeconfig")
    curious.kubectl("get", "secrets", check=False)
    log = AuditLog(control_plane.audit_log)
    (event,) = log.denied(user=service_account(space, "curious"))
    assert (event.verb, event.target, event.code, event.binding()) == ("list", "secrets", 403, "")


def test_scale_patch_is_in_the_log_with_its_body(control_plane, make_namespace):
    access = control_plane.access
    space = make_namespace(access)
    access.kubectl("create", "deployment", "d", "--image=x", "--replicas=0", "-n", space)
    access.request(
        "PATCH",
        f"/apis/apps/v1/namespaces/{space}/deployments/d/scale",
        [{"op": "add", "path": "/spec/replicas", "value": 0}],
        content_type="application/json-patch+json",
    )
    (event,) = AuditLog(control_plane.audit_log).writes("deployments/scale", namespace=space)
    assert event.body == [{"op": "add", "path": "/spec/replicas", "value": 0}]
    assert event.user == "lab-admin"


def test_secrets_are_never_written_to_the_log(control_plane, make_namespace):
    access = control_plane.access
    space = make_namespace(access)
    access.create(
        f"/api/v1/namespaces/{space}/secrets",
        {"metadata": {"name": "s"}, "stringData": {"k": "very-secret"}},
    )
    assert "very-secret" not in control_plane.audit_log.read_text()
    assert AuditLog(control_plane.audit_log).writes("secrets", namespace=space)
