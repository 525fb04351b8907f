"""What sites configure: kinds of targets that are watched."""

from __future__ import annotations

import copy
from typing import Any, cast

from wattshift.api.validate import read
from wattshift.control.clock import ManualClock
from wattshift.control.hub.keys import Kind
from wattshift.control.hub.reconcile_site import SiteReconciler
from wattshift.control.hub.store import Store

ROLLOUT = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "chat"}


def test_a_kind_that_was_needed_stays_watched_after_its_placement_left():
    store = Store(read=read)
    body: dict[str, Any] = {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "FlexibleWorkload",
        "metadata": {
            "name": "chat",
            "namespace": "team",
            "uid": "u",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-22T10:00:00Z",
        },
        "spec": {
            "posture": "Interactive",
            "targetRef": ROLLOUT,
            "engine": {"type": "VLLM", "port": 8000},
            "placements": [{"name": "here", "siteName": "s", "clusterName": "a"}],
        },
    }
    nobody = cast("Any", None)
    sites = SiteReconciler(
        store=store, book=nobody, pool=nobody, poller=nobody, clock=ManualClock()
    )
    wanted = {"s/a": (("argoproj.io/v1alpha1", "Rollout"),)}
    store.put(Kind.FLEXIBLE_WORKLOAD, body)
    assert sites._extra_kinds() == wanted
    moved = copy.deepcopy(body)
    moved["metadata"] |= {"generation": 2, "resourceVersion": "2"}
    moved["spec"]["targetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
    store.put(Kind.FLEXIBLE_WORKLOAD, moved)
    assert sites._extra_kinds() == wanted
