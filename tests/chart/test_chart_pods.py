"""Pods of the chart: the restricted profile, a read-only root, and only what they need."""

from __future__ import annotations

import pytest

from .conftest import values_of

RESTRICTED_VOLUMES = {"configMap", "emptyDir", "projected", "secret", "downwardAPI", "csi"}


@pytest.fixture(params=["Deployment", "Job"])
def pod(request, render):
    return render(values_of("full")).pods()[request.param]


def test_a_pod_meets_the_restricted_profile(pod):
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for word in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"):
        assert not pod.get(word)
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= RESTRICTED_VOLUMES
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
        assert not security.get("privileged")
        assert not [port for port in container.get("ports", []) if "hostPort" in port]


def test_a_pod_writes_to_tmp_only_and_never_to_its_settings(render):
    for pod in render({}).pods().values():
        mounts = {row["mountPath"]: row for row in pod["containers"][0]["volumeMounts"]}
        assert set(mounts) == {"/etc/wattshift", "/tmp"}
        assert mounts["/etc/wattshift"]["readOnly"] is True
        (tmp,) = [row for row in pod["volumes"] if row["name"] == "tmp"]
        assert tmp["emptyDir"]["sizeLimit"]


def test_a_pod_knows_its_name_and_namespace(pod):
    (container,) = pod["containers"]
    fields = {
        row["name"]: row["valueFrom"]["fieldRef"]["fieldPath"]
        for row in container["env"]
        if "valueFrom" in row
    }
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}


def test_a_pod_has_requests_and_a_memory_limit(pod):
    resources = pod["containers"][0]["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]


def test_what_places_and_pulls_is_the_same_for_operator_and_hook(render):
    pods = render(values_of("full")).pods()
    operator, hook = pods["Deployment"], pods["Job"]
    for word in ("nodeSelector", "tolerations", "imagePullSecrets", "volumes"):
        assert operator[word] == hook[word]
    for word in ("env", "volumeMounts", "resources", "imagePullPolicy"):
        assert operator["containers"][0][word] == hook["containers"][0][word]


def test_extra_labels_never_change_what_the_deployment_selects(render):
    deployment = render(values_of("full")).one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels["example.com/tier"] == "control"
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert "example.com/tier" not in deployment["selector"]["matchLabels"]


def test_the_token_of_the_account_is_mounted_where_it_is_used_only(render):
    rendered = render({})
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    for pod in rendered.pods().values():
        assert pod["automountServiceAccountToken"] is True


def test_the_grace_period_outlasts_the_release_of_the_lease(render):
    for values in ({}, values_of("full")):
        assert render(values).pods()["Deployment"]["terminationGracePeriodSeconds"] >= 5


def test_the_recorder_has_a_place_to_write_to_where_a_directory_is_given(render):
    rendered = render(values_of("full"))
    directory = rendered.config()["recorder"]["directory"]
    mounts = rendered.pods()["Deployment"]["containers"][0]["volumeMounts"]
    assert directory in [row["mountPath"] for row in mounts if not row.get("readOnly")]


def test_v1_is_served_only_where_asked_for_and_never_on_the_pods_address(render):
    off, on = render({}), render({"api": {"enabled": True}})
    assert "apiPort" not in off.config()["server"]
    assert on.config()["server"]["apiPort"] == 8090
    assert "apiBindAddress" not in on.config()["server"], "the default is loopback"
    ports = [row["containerPort"] for row in on.pods()["Deployment"]["containers"][0]["ports"]]
    assert ports == [8080]
