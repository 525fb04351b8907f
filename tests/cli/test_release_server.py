"""Override and release on a real API server, with the operator alive, dead, and absent."""

from __future__ import annotations

import pytest

from e2e.lab.client import wait_for

pytestmark = pytest.mark.lab
GROUP = "/apis/wattshift.io/v1alpha1"
RESTORE = "wattshift.io/restore"


def fw(namespace: str, name: str = "chat") -> str:
    return f"{GROUP}/namespaces/{namespace}/flexibleworkloads/{name}"


def deployment(namespace: str, name: str = "chat") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


@pytest.fixture
def pinned(crds, namespace, start_whole_operator, wattshift, objects):
    """A workload that a running operator holds at 3 replicas where 2 were found."""
    crds.apply(
        objects.site("s1"),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1", powerProfileName="h100-llama-3-1-70b"),
    )
    ready = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    crds.merge(deployment(namespace) + "/status", {"status": {**ready, "availableReplicas": 2}})
    operator = start_whole_operator().wait_ready()
    objects.condition_is(crds, fw(namespace), "Ready", "True")
    done = wattshift(
        "override", "fw/chat", "-n", namespace, "--pin", "3", "--for", "1h", "--reason", "test"
    )
    assert done.status == 0, done

    def deviates() -> bool:
        body = crds.get(fw(namespace))
        held = RESTORE in body["metadata"].get("finalizers", ())
        return held and crds.get(deployment(namespace))["spec"]["replicas"] == 3

    try:
        wait_for("the pin is carried out", deviates, timeout_seconds=40)
    except TimeoutError as error:
        told = wattshift("explain", "fw/chat", "-n", namespace)
        raise AssertionError(f"{error}\n{told}\n{operator.tail()}") from error
    return operator


def assert_given_back(crds, namespace: str) -> dict:
    assert crds.get(deployment(namespace))["spec"]["replicas"] == 2
    body = crds.get(fw(namespace))
    assert RESTORE not in body["metadata"].get("finalizers", ())
    assert "wattshift.io/originals" not in body["metadata"].get("annotations", {})
    assert "wattshift.io/in-use" not in crds.get(f"{GROUP}/powersites/s1")["metadata"].get(
        "finalizers", ()
    )
    return body


def test_release_all_waits_until_a_living_operator_gave_everything_back(
    crds, namespace, pinned, wattshift, objects
):
    done = wattshift(
        "release", "--all", "--wait", "--deadline", "60", "--reason", "uninstall",
        "--operator-namespace", namespace,
    )  # fmt: skip
    assert done.status == 0, (done, pinned.tail())
    assert "everything stands as it was found" in done.out
    body = assert_given_back(crds, namespace)
    # The override stays: a living operator would take the workload up again before it is stopped.
    assert body["spec"]["override"]["mode"] == "Release"
    assert objects.conditions(body)["AtBaseline"]["status"] == "True"


def test_release_all_takes_the_lease_and_restores_while_no_operator_lives(
    crds, namespace, pinned, wattshift
):
    pinned.kill()
    done = wattshift(
        "release", "--all", "--wait", "--deadline", "110", "--config", str(pinned.config)
    )
    assert done.status == 0, done
    assert "taking the Lease" in done.out
    body = assert_given_back(crds, namespace)
    assert "override" not in body["spec"], "cleared: a later install is not held"
    lease = crds.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/wattshift")
    assert not lease["spec"]["holderIdentity"]


def test_at_the_deadline_finalizers_go_with_a_warning_and_the_hook_succeeds(
    crds, namespace, pinned, wattshift
):
    pinned.kill()
    done = wattshift(
        "release", "--all", "--wait", "--deadline", "3", "--operator-namespace", namespace
    )
    assert done.status == 0, done
    assert "WARNING" in done.out
    body = crds.get(fw(namespace))
    assert RESTORE not in body["metadata"].get("finalizers", ())
    assert crds.get(deployment(namespace))["spec"]["replicas"] == 3
    rows = crds.items(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    assert any(row["reason"] == "RestoreTimedOut" and row["type"] == "Warning" for row in rows)


def test_one_workload_that_is_not_given_back_in_time_fails_and_keeps_its_finalizer(
    crds, namespace, pinned, wattshift
):
    pinned.kill()
    done = wattshift(
        "release", "fw/chat", "-n", namespace, "--wait", "--deadline", "3",
        "--operator-namespace", namespace,
    )  # fmt: skip
    assert done.status == 1, done
    assert "not given back within 3 s" in done.out
    assert RESTORE in crds.get(fw(namespace))["metadata"]["finalizers"]


def test_release_all_of_nothing_is_done_at_once(crds, namespace, wattshift):
    done = wattshift("release", "--all", "--wait", "--operator-namespace", namespace)
    assert done.status == 0, done


def test_an_override_is_owned_by_the_cli_and_survives_the_next_apply_of_git(
    crds, namespace, wattshift, objects
):
    crds.apply(objects.site("s1"), objects.workload(namespace, "chat", "s1"))
    done = wattshift(
        "override", "fw/chat", "-n", namespace, "--hold", "--for", "2h", "--reason", "launch day"
    )
    assert done.status == 0, done
    override = crds.get(fw(namespace))["spec"]["override"]
    assert override["mode"] == "Hold"
    assert override["reason"] == "launch day"
    assert override["requestedBy"]
    owners = [
        row["manager"]
        for row in crds.get(fw(namespace))["metadata"]["managedFields"]
        if "f:override" in row["fieldsV1"].get("f:spec", {})
    ]
    assert owners == ["wattshift-cli"]
    # Git applies its whole manifest again, with a change, and without the override.
    crds.apply(objects.workload(namespace, "chat", "s1", posture="Batch"))
    body = crds.get(fw(namespace))
    assert body["spec"]["posture"] == "Batch"
    assert body["spec"]["override"] == override
    done = wattshift("override", "fw/chat", "-n", namespace, "--clear")
    assert done.status == 0, done
    assert "override" not in crds.get(fw(namespace))["spec"]


def test_an_override_of_another_manager_is_not_taken_without_force(
    crds, namespace, wattshift, objects
):
    git = {
        "mode": "Hold",
        "untilTime": "2099-01-01T00:00:00Z",
        "reason": "freeze",
        "requestedBy": "git",
    }
    crds.apply(objects.site("s1"), objects.workload(namespace, "chat", "s1", override=git))
    words = ("override", "fw/chat", "-n", namespace, "--pin", "2", "--for", "1h", "--reason", "x")
    refused = wattshift(*words)
    assert refused.status == 1
    assert "OverrideOwnedByOther" in refused.err
    cleared = wattshift("override", "fw/chat", "-n", namespace, "--clear")
    assert cleared.status == 1
    assert "remove it where it comes from" in cleared.err
    assert wattshift(*words, "--force").status == 0
    assert crds.get(fw(namespace))["spec"]["override"]["replicas"] == 2
    assert crds.get(fw(namespace))["spec"]["override"]["placementName"] == "here"


def test_a_server_dry_run_changes_nothing_and_a_site_can_be_held(
    crds, namespace, wattshift, objects
):
    crds.apply(objects.site("s1"))
    words = ("override", "psite/s1", "--hold", "--for", "30m", "--reason", "works at the feed")
    assert wattshift(*words, "--dry-run", "server").status == 0
    assert "override" not in crds.get(f"{GROUP}/powersites/s1")["spec"]
    assert wattshift(*words).status == 0
    assert crds.get(f"{GROUP}/powersites/s1")["spec"]["override"]["mode"] == "Hold"
    assert wattshift("override", "psite/s1", "--pin", "1", "--for", "1h").status == 2
