"""Override and release on a real API server, with the operator alive, dead, and absent."""

from __future__ import annotations

import json

import pytest
import yaml

from e2e.lab.client import wait_for
from e2e.lab.install import installed

pytestmark = pytest.mark.lab
GROUP = "/apis/wattshift.io/v1alpha1"
RESTORE = "wattshift.io/restore"
SHORT_LEASE = {
    "durationSeconds": 6,
    "renewDeadlineSeconds": 4,
    "retryPeriodSeconds": 1,
    "fenceMarginSeconds": 2,
}
"""A dead leader is found after 8 s; the usual lease takes 20."""


def fw(namespace: str, name: str = "chat") -> str:
    return f"{GROUP}/namespaces/{namespace}/flexibleworkloads/{name}"


def deployment(namespace: str, name: str = "chat") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def roll_out(crds, namespace: str) -> None:
    """What the Deployment controller would say; no controller runs here."""
    ready = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    crds.merge(deployment(namespace) + "/status", {"status": {**ready, "availableReplicas": 2}})


@pytest.fixture
def pinned(crds, namespace, start_whole_operator, wattshift, objects):
    """A workload that a running operator holds at 3 replicas where 2 were found."""
    crds.apply(
        objects.site("s1"),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1", powerProfileName="h100-llama-3-1-70b"),
    )
    roll_out(crds, namespace)
    operator = start_whole_operator(lease=SHORT_LEASE).wait_ready()
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


def test_the_uninstall_hook_needs_no_right_that_the_chart_does_not_give(
    api_server, crds, namespace, pinned, wattshift, tmp_path
):
    """The operator is dead, and the command has the chart's service account and settings."""
    pinned.kill()
    values = {
        "crds": {"enabled": False},
        "uninstall": {"restore": False},
        "mode": "Enforce",
        "member": {"namespaces": [namespace]},
    }
    with installed(crds, namespace=namespace, values=values, wait=False):
        account = crds.as_service_account(namespace, "wattshift", tmp_path / "hook.kubeconfig")
        mounted = crds.get(f"/api/v1/namespaces/{namespace}/configmaps/wattshift")["data"]
        config = tmp_path / "hook.yaml"
        settings = yaml.safe_load(mounted["config.yaml"])
        settings["lease"] = (settings.get("lease") or {}) | SHORT_LEASE
        config.write_text(yaml.safe_dump(settings))
        start = len(api_server.audit_log.read_text().splitlines())
        done = wattshift(
            "release", "--all", "--wait", "--deadline", "110", "--reason", "uninstall",
            env={
                "WATTSHIFT_CONFIG": str(config),
                "WATTSHIFT_KUBECONFIG": str(account.kubeconfig),
                "KUBECONFIG": str(account.kubeconfig),
                "POD_NAMESPACE": namespace,
                "POD_NAME": "wattshift-restore-x",
            },
        )  # fmt: skip
        denied = [
            (row["verb"], row["requestURI"])
            for row in map(json.loads, api_server.audit_log.read_text().splitlines()[start:])
            if row["user"]["username"] == f"system:serviceaccount:{namespace}:wattshift"
            and row.get("responseStatus", {}).get("code") == 403
        ]
    assert done.status == 0, done
    assert "everything stands as it was found" in done.out, done
    assert denied == []
    body = assert_given_back(crds, namespace)
    assert "override" not in body["spec"]


def test_in_a_replay_overrides_expire_on_the_grid_clock(
    crds, namespace, start_whole_operator, wattshift, objects
):
    """The grid clock is a year ahead: an override until real time would have ended before it began."""
    crds.apply(
        objects.site(
            "s1",
            signals=[
                {
                    "name": "carbon",
                    "quantity": "CarbonIntensityAverage",
                    "unit": "GramPerKilowattHour",
                    "source": {"constant": {"value": "620"}},
                }
            ],
        ),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1", powerProfileName="h100-llama-3-1-70b"),
    )
    roll_out(crds, namespace)
    replay = {"startTime": "2030-07-15T10:00:00+08:00", "speed": 60}
    start_whole_operator(replay=replay).wait_ready()
    wait_for(
        "a decision",
        lambda: crds.get(fw(namespace)).get("status", {}).get("lastDecision"),
        timeout_seconds=40,
    )
    words = ("--hold", "--for", "2h", "--reason", "replay")
    assert wattshift("override", "fw/chat", "-n", namespace, *words).status == 0
    assert crds.get(fw(namespace))["spec"]["override"]["untilTime"].startswith("2030-07-15T0")
    told = wait_for(
        "the hold is in force",
        lambda: (
            crds.get(fw(namespace))["status"]["lastDecision"]["reason"] == "OverrideHold" or None
        ),
        timeout_seconds=30,
    )
    assert told
    assert "replay: the grid clock runs 60 x" in wattshift("status", "-n", namespace).out
    done = wattshift(
        "release", "--all", "--wait", "--deadline", "30", "--operator-namespace", namespace
    )
    assert done.status == 0, done
    assert crds.get(fw(namespace))["spec"]["override"]["untilTime"].startswith("2030-07-15T")
