"""From objects of a member to views: what counts as a rollout, a reason, a writer, a device."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest

from wattshift.kube.projection import (
    project_hpa,
    project_node,
    project_pod,
    project_slice,
    project_target,
)
from wattshift.kube.views import TargetKey

TEMPLATE = {
    "metadata": {"labels": {"app": "chat"}},
    "spec": {
        "terminationGracePeriodSeconds": 120,
        "containers": [
            {
                "name": "engine",
                "readinessProbe": {"httpGet": {"port": 8000}},
                "resources": {
                    "requests": {"cpu": "500m", "memory": "2Gi"},
                    "limits": {"nvidia.com/gpu": "2", "cpu": "4"},
                },
            },
            {"name": "sidecar", "resources": {"limits": {"cpu": "250m"}}},
        ],
    },
}


def deployment(**changes) -> dict:
    body = {
        "metadata": {
            "name": "chat",
            "namespace": "team",
            "uid": "u1",
            "generation": 3,
            "resourceVersion": "9",
            "labels": {"wattshift.io/flexible": "true"},
            "annotations": {"wattshift.io/originals": "{}", "kubectl": "long"},
        },
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "chat"}},
            "template": copy.deepcopy(TEMPLATE),
        },
        "status": {
            "replicas": 4,
            "readyReplicas": 3,
            "updatedReplicas": 4,
            "observedGeneration": 3,
        },
    }
    for section, fields in changes.items():
        body[section] = {**body[section], **fields}
    return body


def view(body=None, *, api_version="apps/v1", kind="Deployment"):
    record = project_target(body or deployment(), api_version=api_version, kind=kind)
    return record.view if record else None


def test_a_deployment_has_everything_a_plan_needs():
    target = view()
    assert target.key == TargetKey("apps/v1", "Deployment", "team", "chat")
    assert (target.uid, target.resource_version) == ("u1", "9")
    assert (target.replicas_spec, target.replicas_total, target.replicas_ready) == (4, 4, 3)
    assert (target.replicas_updated, target.generation, target.observed_generation) == (4, 3, 3)
    assert target.selector == "app=chat" and target.grace_seconds == 120
    assert target.has_readiness_probe and not target.rollout_in_progress
    assert not target.paused and not target.deleting


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda pod: pod["containers"][0].update(image="engine:2"), False),
        (lambda pod: pod["containers"][0].update(args=["--max-num-seqs=64"]), False),
        (lambda pod: pod["containers"][0].update(env=[{"name": "A", "value": "1"}]), False),
        (lambda pod: pod["containers"][0]["resources"]["limits"].update(cpu="8"), False),
        (lambda pod: pod.update(nodeSelector={"gpu": "h100"}), False),
        (lambda pod: pod["containers"][0].update(readinessProbe={}), True),
        (lambda pod: pod.update(terminationGracePeriodSeconds=5), True),
    ],
)
def test_the_digest_of_a_template_is_of_what_decides_how_fast_a_replica_is(change, same):
    body = deployment()
    change(body["spec"]["template"]["spec"])
    assert (view(body).template_digest == view().template_digest) is same
    assert len(view().template_digest) == 16


def test_of_annotations_only_ours_are_kept():
    assert set(view().annotations) == {"wattshift.io/originals"}


def test_resources_are_those_of_one_pod_with_requests_before_limits():
    target = view()
    assert target.resources["cpu"] == Decimal("0.75")  # 500m requested + 250m by limit
    assert target.resources["memory"] == 2 * 1024**3
    assert target.accelerators == {"nvidia.com/gpu": 2}


@pytest.mark.parametrize("labels", [{}, {"wattshift.io/flexible": "false"}, {"app": "x"}])
def test_without_consent_there_is_no_target(labels):
    assert view(deployment(metadata={"labels": labels})) is None


@pytest.mark.parametrize("value", ["true", "", "yes"])
def test_the_label_is_consent_whatever_else_it_says(value):
    assert view(deployment(metadata={"labels": {"wattshift.io/flexible": value}}))


@pytest.mark.parametrize(("replicas", "expected"), [(None, 1), (0, 0), (7, 7)])
def test_absent_replicas_are_the_servers_default_of_one(replicas, expected):
    assert view(deployment(spec={"replicas": replicas})).replicas_spec == expected


@pytest.mark.parametrize(
    ("status", "rolling"),
    [
        ({}, False),
        ({"observedGeneration": 2}, True),
        ({"replicas": 5, "updatedReplicas": 2}, True),
        ({"replicas": 4, "updatedReplicas": 0}, True),
        ({"replicas": 2, "updatedReplicas": 2}, False),  # scaling up is no rollout
        ({"replicas": 0, "updatedReplicas": None}, False),
    ],
)
def test_a_deployment_rolls_out_while_old_pods_exist(status, rolling):
    assert view(deployment(status=status)).rollout_in_progress is rolling


@pytest.mark.parametrize(
    ("strategy", "current", "update", "rolling"),
    [
        ("RollingUpdate", "a", "a", False),
        ("RollingUpdate", "a", "b", True),
        ("OnDelete", "a", "b", False),
        ("RollingUpdate", None, None, False),
    ],
)
def test_a_stateful_set_rolls_out_while_revisions_differ(strategy, current, update, rolling):
    body = deployment(
        spec={"updateStrategy": {"type": strategy}},
        status={"currentRevision": current, "updateRevision": update},
    )
    assert view(body, kind="StatefulSet").rollout_in_progress is rolling


def test_a_leader_worker_set_is_read_by_its_leader_and_its_own_selector():
    body = deployment()
    del body["spec"]["template"], body["spec"]["selector"]
    body["spec"]["leaderWorkerTemplate"] = {"size": 2, "workerTemplate": TEMPLATE}
    body["status"]["hpaPodSelector"] = "leaderworkerset.sigs.k8s.io/name=chat,role=leader"
    target = view(body, api_version="leaderworkerset.x-k8s.io/v1", kind="LeaderWorkerSet")
    assert target.accelerators == {"nvidia.com/gpu": 2}
    assert target.selector == "leaderworkerset.sigs.k8s.io/name=chat,role=leader"


def test_a_kind_that_says_little_is_read_as_unknown_not_as_broken():
    body = {
        "metadata": {"name": "x", "uid": "u", "labels": {"wattshift.io/flexible": "true"}},
        "spec": {"replicas": 2},
    }
    target = view(body, api_version="example.io/v1", kind="Engine")
    assert target.selector == "" and not target.has_readiness_probe
    assert not target.rollout_in_progress and target.resources == {}


def test_owners_and_writers_of_replicas_are_named():
    manager = {"f:spec": {"f:replicas": {}}}
    body = deployment(
        metadata={
            "ownerReferences": [
                {
                    "apiVersion": "serving.kserve.io/v1",
                    "kind": "LLMInferenceService",
                    "name": "q",
                    "uid": "o",
                    "controller": True,
                }
            ],
            "managedFields": [
                {"manager": "git", "fieldsV1": manager},
                {"manager": "hpa", "fieldsV1": manager, "subresource": "scale"},
                {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
                {"manager": "old", "fieldsV1": None},
            ],
        }
    )
    target = view(body)
    assert target.replicas_writers == ("git", "hpa")
    assert target.owner_refs[0].kind == "LLMInferenceService" and target.owner_refs[0].controller


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"name": "x", "labels": {"wattshift.io/flexible": "1"}}},
        deployment(spec={"replicas": "many"}),
        deployment(spec={"selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}),
        deployment(
            spec={"template": {"spec": {"containers": [{"resources": {"limits": {"a/b": "?"}}}]}}}
        ),
    ],
)
def test_a_strange_object_raises_what_the_informer_catches(body):
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError, ArithmeticError)):
        view(body)


# -- pods --------------------------------------------------------------------------------


def pod(**status) -> dict:
    return {
        "metadata": {
            "name": "chat-1",
            "namespace": "team",
            "uid": "p1",
            "labels": {"app": "chat"},
            "creationTimestamp": "2026-11-22T06:00:00Z",
            "annotations": {
                "controller.kubernetes.io/pod-deletion-cost": "-100",
                "wattshift.io/fence": "move-1",
                "other": "x",
            },
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "chat-5c",
                    "uid": "r",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "nodeName": "n1",
            "terminationGracePeriodSeconds": 300,
            "containers": [
                {"ports": [{"name": "http", "containerPort": 8000}, {"containerPort": 9090}]}
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.9",
            "startTime": "2026-11-22T06:00:05Z",
            "conditions": [{"type": "Ready", "status": "True"}],
            **status,
        },
    }


def test_a_serving_pod():
    one = project_pod(pod())
    assert one.ready and one.scheduled and not one.terminating and one.phase == "Running"
    assert one.ports == {"http": 8000, "9090": 9090} and one.ip == "10.0.0.9"
    assert one.start_time - one.created_time == 5 and one.grace_seconds == 300
    assert set(one.annotations) == {
        "controller.kubernetes.io/pod-deletion-cost",
        "wattshift.io/fence",
    }
    assert one.created_by == "ReplicaSet/chat-5c" and one.reasons == ()


def test_a_pod_that_is_going_away_may_still_be_ready():
    body = pod()
    body["metadata"]["deletionTimestamp"] = "2026-11-22T06:10:00Z"
    assert project_pod(body).terminating and project_pod(body).ready


def test_a_pod_without_a_place_says_why():
    body = pod(
        phase="Pending",
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    )
    del body["spec"]["nodeName"]
    one = project_pod(body)
    assert one.reasons == ("Unschedulable",) and not one.scheduled and not one.ready


@pytest.mark.parametrize(
    ("state", "reasons"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, ("ImagePullBackOff",)),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, ("CrashLoopBackOff",)),
        ({"terminated": {"reason": "OOMKilled"}}, ("OOMKilled",)),
        ({"terminated": {"reason": "Completed"}}, ()),
        ({"running": {}}, ()),
    ],
)
def test_container_states_give_reasons_and_restarts_are_summed(state, reasons):
    statuses = [{"state": state, "restartCount": 2}, {"state": state, "restartCount": 1}]
    one = project_pod(pod(containerStatuses=statuses))
    assert one.reasons == reasons and one.restarts == 3


# -- the others --------------------------------------------------------------------------


def test_an_autoscaler_names_its_target_and_its_own_owner():
    record = project_hpa(
        {
            "metadata": {
                "name": "keda-hpa-chat",
                "ownerReferences": [
                    {
                        "apiVersion": "keda.sh/v1alpha1",
                        "kind": "ScaledObject",
                        "name": "chat",
                        "uid": "k",
                    }
                ],
            },
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "chat"}, "maxReplicas": 9},
        }
    )
    assert record.target == ("Deployment", "chat")
    assert (record.view.min_replicas, record.view.max_replicas) == (1, 9)
    assert record.view.owner_refs[0].kind == "ScaledObject"


def test_an_endpoint_counts_unless_it_is_unready_or_terminating():
    def endpoint(uid, kind="Pod", **conditions):
        return {"targetRef": {"kind": kind, "uid": uid}, "conditions": conditions}

    record = project_slice(
        {
            "metadata": {"labels": {"kubernetes.io/service-name": "svc"}},
            "endpoints": [
                endpoint("a", ready=True),
                endpoint("b"),  # unknown: consumers read it as ready
                endpoint("c", ready=False),
                endpoint("d", ready=True, terminating=True),
                endpoint("e", kind="Node", ready=True),
                {"addresses": ["10.0.0.1"]},
            ],
        }
    )
    assert record.service == "svc" and record.pod_uids == {"a", "b"}


@pytest.mark.parametrize(
    ("spec", "ready", "expected"),
    [
        ({}, "True", (("huawei.com/Ascend910", 8),)),
        ({"unschedulable": True}, "True", ()),
        ({}, "False", ()),
        ({}, "Unknown", ()),
    ],
)
def test_a_node_offers_devices_only_while_ready_and_schedulable(spec, ready, expected):
    allocatable = {"cpu": "64", "memory": "1Ti", "huawei.com/Ascend910": "8"}
    body = {
        "metadata": {"name": "n"},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}], "allocatable": allocatable},
    }
    assert project_node(body).accelerators == expected
