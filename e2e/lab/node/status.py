"""The status of a pod composed from its containers, as kubelet computes it."""

from __future__ import annotations

from collections.abc import Sequence

from e2e.lab.node.api import Document
from e2e.lab.node.container import Container, timestamp


def phase_of(containers: Sequence[Container], *, initialized: bool, policy: str, over: bool) -> str:
    """Pending, Running, Succeeded or Failed."""
    if over:
        ended_well = initialized and all(c.exit_code == 0 for c in containers)
        return "Succeeded" if ended_well else "Failed"
    if not initialized or not any(
        c.running or c.restart_count or c.exit_code is not None for c in containers
    ):
        return "Pending"
    return "Running"


def compose(
    pod: Document,
    containers: Sequence[Container],
    inits: Sequence[Container],
    *,
    address: str,
    host: str,
    started: str,
    initialized: bool,
    over: bool,
    waiting: str = "",
    reason: str = "",
) -> Document:
    """The whole status as it should be; conditions keep their transition times.

    `waiting`: message why containers cannot be created yet; `over`: nothing runs or will run.
    """
    policy = pod["spec"].get("restartPolicy", "Always")
    phase = phase_of(containers, initialized=initialized, policy=policy, over=over)
    all_ready = initialized and not over and all(c.ready for c in containers)
    given = {c["type"]: c["status"] for c in pod["status"].get("conditions") or []}
    gates = [g["conditionType"] for g in pod["spec"].get("readinessGates") or []]
    unmet = [gate for gate in gates if given.get(gate) != "True"]
    not_ready = [c.name for c in containers if not c.ready]
    why = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
    message = f"containers with unready status: [{' '.join(not_ready)}]" if not_ready else ""
    conditions = [
        _condition(pod, "PodScheduled", True),
        _condition(
            pod, "Initialized", initialized, "" if initialized else "ContainersNotInitialized"
        ),
        _condition(pod, "ContainersReady", all_ready, "" if all_ready else why, message),
        _condition(
            pod,
            "Ready",
            all_ready and not unmet,
            "" if all_ready and not unmet else ("ReadinessGatesNotReady" if all_ready else why),
            message or (f"readiness gates not met: {' '.join(unmet)}" if unmet else ""),
        ),
    ]
    status: Document = {
        "phase": phase,
        "hostIP": host,
        # Lists merge by `ip`: without the directive a new address would join the old one.
        "hostIPs": [{"$patch": "replace"}, {"ip": host}],
        "podIP": address,
        "podIPs": [{"$patch": "replace"}, {"ip": address}],
        "startTime": started,
        "conditions": conditions,
        "containerStatuses": [c.status() for c in containers],
        "message": waiting or None,
        "reason": reason or None,
        "qosClass": pod["status"].get("qosClass") or "BestEffort",
    }
    if inits:
        status["initContainerStatuses"] = [c.status() for c in inits]
    return status


def _condition(
    pod: Document, kind: str, state: bool, reason: str = "", message: str = ""
) -> Document:
    text = "True" if state else "False"
    old: Document = next(
        (c for c in pod["status"].get("conditions") or [] if c["type"] == kind), {}
    )
    since = old.get("lastTransitionTime") if old.get("status") == text else None
    return {
        "type": kind,
        "status": text,
        "lastTransitionTime": since or timestamp(),
        "reason": reason or None,
        "message": message or None,
    }
