"""Engine pods as targets of Prometheus, in a file that it watches.

Debian's Prometheus is built without Kubernetes discovery, hence the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from e2e.lab.traffic.pods import Pod


def write_targets(path: Path, pods: Iterable[Pod], labels: Mapping[str, str]) -> None:
    """One target for each running pod with pod, pod_uid, namespace and node; atomic, only if new."""
    groups = [
        {
            "targets": [f"{pod.address}:{pod.port}"],
            "labels": {
                "pod": pod.name,
                "pod_uid": pod.uid,
                "namespace": pod.namespace,
                "node": pod.node,
                **labels,
            },
        }
        for pod in sorted(pods, key=lambda pod: pod.uid)
        if pod.running and pod.address
    ]
    text = json.dumps(groups, indent=1)
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
