"""Everything deleted at once, and the chart uninstalled: replicas as found, nothing stuck.

The last scenarios of a run: afterwards the product is gone from the lab.
"""

from __future__ import annotations

import time

import pytest

from e2e.lab.audit import AuditEvent
from e2e.lab.client import wait_for
from e2e.lab.lab import SYSTEM_NAMESPACE
from e2e.scenarios.world import SITES, Case, World

pytestmark = pytest.mark.e2e
WORST_ORDER = ("Secret", "PowerSite", "EnergyContract", "FlexibleWorkload")
FOUND = {"hub": 2, "west": 0, "north": 1}


def deviate(world: World, case: Case) -> None:
    """Off the state found, by a hand-over to another member, with users on it."""
    world.flat_prices(east="1.50", west="0.10", north="1.50")
    case.apply(replicas={"min": 3, "max": 6})
    case.wait_condition("Ready")
    case.clients(seconds=300, rate=5)
    case.wait("handed over", lambda: case.counts()["west"] > 0, timeout_seconds=90)
    case.wait_settled()
    assert case.counts() != FOUND


def test_all_objects_and_the_credentials_deleted_in_one_command(world: World) -> None:
    world.wait_led()
    with world.case("delete-all", FOUND) as case:
        deviate(world, case)
        rows = [
            *world.all_objects(),
            *(secret(name) for name in SITES if name != "hub"),
        ]
        # The worst order: what is needed to restore goes first.
        rows.sort(key=lambda row: WORST_ORDER.index(row["kind"]))
        began = time.time()
        world.lab.hub.kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=rows)
        wait_for("as found", lambda: case.counts() == FOUND, timeout_seconds=60)
        wait_for("all gone", lambda: not world.all_objects(), timeout_seconds=60)
        print(f"all objects gone and counts as found after {time.time() - began:.0f} s")
        assert case.recorder.least(since=began) >= 3
    world.reconnect()


def test_uninstalling_the_chart_restores_and_leaves_nothing_stuck(world: World) -> None:
    world.wait_led()
    with world.case("uninstall", FOUND) as case:
        deviate(world, case)
        began = time.time()
        took = world.lab.lab.releases["hub"].uninstall(timeout_seconds=120)
        print(f"uninstalled in {took:.0f} s")
        assert case.counts() == FOUND
        for row in world.all_objects():
            held = [n for n in row["metadata"].get("finalizers") or () if "wattshift.io" in n]
            assert held == [], row["metadata"]["name"]
        # Helm takes roles and pods at one time: a pod's last status and its Lease may come too late.
        gone = min(
            event.time
            for kind in ("clusterrolebindings", "rolebindings")
            for event in world.audit("hub").writes(kind, since=began)
            if is_delete(event)
        )
        assert world.denied("hub", until=gone) == []
        for space in (case.namespace, SYSTEM_NAMESPACE):
            world.lab.hub.delete(f"/api/v1/namespaces/{space}")
        for space in (case.namespace, SYSTEM_NAMESPACE):
            world.wait_namespace_gone(space)


def is_delete(event: AuditEvent) -> bool:
    return event.verb == "delete"


def secret(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
    }
