"""From JSON of a member's objects to the immutable views of `views.py`. Pure.

Reads only fields it needs and forgives absent ones; a field of the wrong type raises ValueError,
TypeError or AttributeError, which the informer counts as 'no such object'.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from wattshift.kube import selectors
from wattshift.kube.resources import Json
from wattshift.kube.views import HpaView, OwnerRef, PodView, TargetKey, TargetView

FLEXIBLE_LABEL = "wattshift.io/flexible"
FLEXIBLE_SELECTOR = f"{FLEXIBLE_LABEL},{FLEXIBLE_LABEL}!=false"
"""Opted in: the label is there, and nobody wrote `false` into it."""
_OURS = "wattshift.io/"
_POD_ANNOTATIONS = ("controller.kubernetes.io/pod-deletion-cost",)
_DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """A target with its parsed selector, kept beside the view for matching pods."""

    view: TargetView
    selector: selectors.Selector


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """Extended resources a node offers; empty while it is cordoned or not ready."""

    accelerators: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SliceRecord:
    """Pods (by UID) that one EndpointSlice lists as ready and not terminating."""

    service: str
    pod_uids: frozenset[str]


@dataclass(frozen=True, slots=True)
class HpaRecord:
    """An autoscaler and what it points at."""

    target: tuple[str, str]
    """(kind, name) in its own namespace."""
    view: HpaView


def project_target(obj: Json, *, api_version: str, kind: str) -> TargetRecord | None:
    """Project a scalable object; None without the opt-in label.

    Args:
        obj: the object; items of a list carry no kind of their own.
        api_version: group and version it was read with.
        kind: its kind.
    """
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    labels = _texts(metadata.get("labels"))
    if labels.get(FLEXIBLE_LABEL, "false") == "false":
        return None
    template = _pod_template(spec)
    selector = _selector(spec, status)
    replicas = spec.get("replicas")
    total = int(status.get("replicas") or 0)
    updated = status.get("updatedReplicas")
    generation = int(metadata.get("generation") or 0)
    observed = int(status.get("observedGeneration") or 0)
    pod_spec = template.get("spec") or {}
    containers = pod_spec.get("containers") or []
    view = TargetView(
        key=TargetKey(api_version, kind, str(metadata.get("namespace") or ""), metadata["name"]),
        uid=str(metadata["uid"]),
        resource_version=str(metadata.get("resourceVersion") or ""),
        replicas_spec=1 if replicas is None else int(replicas),
        replicas_total=total,
        replicas_ready=int(status.get("readyReplicas") or 0),
        replicas_updated=int(updated or 0),
        generation=generation,
        observed_generation=observed,
        labels=labels,
        annotations=_only_ours(metadata.get("annotations")),
        selector=str(selector),
        grace_seconds=_grace(pod_spec),
        has_readiness_probe=any(c.get("readinessProbe") for c in containers),
        rollout_in_progress=_rolling_out(kind, spec, status, generation, observed),
        paused=bool(spec.get("paused")),
        deleting=bool(metadata.get("deletionTimestamp")),
        owner_refs=_owners(metadata),
        replicas_writers=_replicas_writers(metadata),
        resources=_pod_resources(pod_spec),
        template_digest=_template_digest(pod_spec),
    )
    return TargetRecord(view, selector)


def project_pod(obj: Json) -> PodView:
    """Project a pod."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or []}
    statuses = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    owner = next((o for o in _owners(metadata) if o.controller), None)
    ports = {
        str(p.get("name") or p["containerPort"]): int(p["containerPort"])
        for c in spec.get("containers") or []
        for p in c.get("ports") or []
    }
    annotations = _texts(metadata.get("annotations"))
    started = status.get("startTime")
    return PodView(
        name=metadata["name"],
        namespace=str(metadata.get("namespace") or ""),
        uid=str(metadata["uid"]),
        ip=str(status.get("podIP") or ""),
        node=str(spec.get("nodeName") or ""),
        phase=str(status.get("phase") or ""),
        ready=_is_true(conditions.get("Ready")),
        terminating=bool(metadata.get("deletionTimestamp")),
        scheduled=_is_true(conditions.get("PodScheduled")) or bool(spec.get("nodeName")),
        ports=ports,
        labels=_texts(metadata.get("labels")),
        annotations={
            k: v for k, v in annotations.items() if k.startswith(_OURS) or k in _POD_ANNOTATIONS
        },
        created_time=_epoch(metadata["creationTimestamp"]),
        start_time=_epoch(started) if started else None,
        grace_seconds=_grace(spec),
        restarts=sum(int(c.get("restartCount") or 0) for c in statuses),
        reasons=_reasons(conditions, statuses),
        created_by=f"{owner.kind}/{owner.name}" if owner else "",
    )


def project_hpa(obj: Json) -> HpaRecord:
    """Project an autoscaler; an absent minimum is the server's default of 1."""
    metadata, spec = obj["metadata"], obj["spec"]
    target = spec["scaleTargetRef"]
    least = spec.get("minReplicas")
    return HpaRecord(
        (str(target["kind"]), str(target["name"])),
        HpaView(
            name=metadata["name"],
            min_replicas=1 if least is None else int(least),
            max_replicas=int(spec["maxReplicas"]),
            owner_refs=_owners(metadata),
        ),
    )


def project_slice(obj: Json) -> SliceRecord:
    """Project an EndpointSlice; an unknown `ready` counts as ready, as consumers must read it."""
    labels = _texts(obj["metadata"].get("labels"))
    uids = frozenset(
        str(e["targetRef"]["uid"])
        for e in obj.get("endpoints") or []
        if (e.get("targetRef") or {}).get("kind") == "Pod"
        and (e.get("conditions") or {}).get("ready") is not False
        and not (e.get("conditions") or {}).get("terminating")
    )
    return SliceRecord(labels.get("kubernetes.io/service-name", ""), uids)


def project_node(obj: Json) -> NodeRecord:
    """Project a node's extended resources."""
    status = obj.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or []}
    if (obj.get("spec") or {}).get("unschedulable") or not _is_true(conditions.get("Ready")):
        return NodeRecord(())
    allocatable = status.get("allocatable") or {}
    found = {n: int(_quantity(q)) for n, q in allocatable.items() if "/" in n}
    return NodeRecord(tuple(sorted(found.items())))


def _pod_template(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    group = spec.get("leaderWorkerTemplate") or {}  # a LeaderWorkerSet; its leader serves
    return spec.get("template") or group.get("leaderTemplate") or group.get("workerTemplate") or {}


def _selector(spec: Mapping[str, Any], status: Mapping[str, Any]) -> selectors.Selector:
    for found in (spec.get("selector"), status.get("hpaPodSelector"), status.get("selector")):
        if found:
            return selectors.parse(found)
    return selectors.Selector()


def _rolling_out(
    kind: str, spec: Mapping[str, Any], status: Mapping[str, Any], generation: int, observed: int
) -> bool:
    """Old pods still exist, or the controller has not seen the last change yet."""
    if observed < generation:
        return True
    if kind == "StatefulSet":
        strategy = (spec.get("updateStrategy") or {}).get("type", "RollingUpdate")
        current, update = status.get("currentRevision"), status.get("updateRevision")
        return strategy != "OnDelete" and bool(update) and current != update
    updated = status.get("updatedReplicas")
    if updated is None and kind != "Deployment":
        return False  # a kind that does not say
    return int(status.get("replicas") or 0) > int(updated or 0)


def _pod_resources(pod_spec: Mapping[str, Any]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for container in pod_spec.get("containers") or []:
        declared = container.get("resources") or {}
        # An absent request defaults to the limit; extended resources need only the limit.
        for name, text in {
            **(declared.get("limits") or {}),
            **(declared.get("requests") or {}),
        }.items():
            total[name] = total.get(name, Decimal(0)) + _quantity(text)
    return total


def _template_digest(pod_spec: Mapping[str, Any]) -> str:
    """Digest of what decides how fast a replica is; probes, labels and mounts do not."""
    parts = [
        [
            container.get("image"),
            container.get("command"),
            container.get("args"),
            [[row.get("name"), row.get("value")] for row in container.get("env") or []],
            container.get("resources"),
        ]
        for container in pod_spec.get("containers") or []
    ]
    kind = [pod_spec.get("nodeSelector"), pod_spec.get("runtimeClassName")]
    text = json.dumps([parts, kind], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _owners(metadata: Mapping[str, Any]) -> tuple[OwnerRef, ...]:
    return tuple(
        OwnerRef(
            api_version=str(o["apiVersion"]),
            kind=str(o["kind"]),
            name=str(o["name"]),
            controller=bool(o.get("controller")),
        )
        for o in metadata.get("ownerReferences") or []
    )


def _replicas_writers(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                str(entry.get("manager") or "unknown")
                for entry in metadata.get("managedFields") or []
                if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
            }
        )
    )


def _reasons(conditions: Mapping[Any, Json], statuses: list[Json]) -> tuple[str, ...]:
    found: list[str] = []
    scheduled = conditions.get("PodScheduled")
    if scheduled and scheduled.get("status") == "False":
        found.append(str(scheduled.get("reason") or "Unschedulable"))
    for status in statuses:
        state = status.get("state") or {}
        for phase in ("waiting", "terminated"):
            reason = (state.get(phase) or {}).get("reason")
            if reason and reason != "Completed":
                found.append(str(reason))
    return tuple(dict.fromkeys(found))


def _grace(pod_spec: Mapping[str, Any]) -> int:
    grace = pod_spec.get("terminationGracePeriodSeconds")
    return _DEFAULT_GRACE_SECONDS if grace is None else int(grace)


def _is_true(condition: Json | None) -> bool:
    return bool(condition) and condition is not None and condition.get("status") == "True"


def _texts(value: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(k): str(v) for k, v in (value or {}).items()}


def _only_ours(value: Mapping[str, Any] | None) -> dict[str, str]:
    return {k: v for k, v in _texts(value).items() if k.startswith(_OURS)}


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _quantity(text: str | float) -> Decimal:
    """A quantity of a resource list; the library has no types."""
    return Decimal(parse_quantity(text))  # type: ignore[no-untyped-call]
