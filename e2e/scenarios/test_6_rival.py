"""Somebody else sets a count that wattshift holds: theirs stands, and nobody fights.

Writes are counted in the servers' audit logs.
"""

from __future__ import annotations

import time

import pytest

from e2e.lab.client import Document
from e2e.scenarios.world import SITES, Case, World

pytestmark = pytest.mark.e2e
QUIET_SECONDS = 8.0
"""Several ticks of governor and planner in which a fight would show."""


def hold(case: Case) -> None:
    """Let wattshift write 3 where 2 were found: only then is there something to concede."""
    case.apply(replicas={"min": 1, "max": 6})
    case.wait_condition("Ready")
    (place,) = case.replicas
    case.pin(SITES[place], 3)
    case.wait_counts(**{place: 3})
    case.wait_condition("AtBaseline", "False")


def test_counts_set_by_a_person_and_by_an_autoscaler_stand(world: World) -> None:
    with (
        world.case("by-hand", {"west": 2}, traffic=False) as by_hand,
        world.case("by-hpa", {"north": 2}, traffic=False) as by_hpa,
    ):
        hold(by_hpa)
        hold(by_hand)
        world.lab.access("north").apply(autoscaler(by_hpa, least=4, most=6))
        world.lab.access("west").kubectl(
            "-n", by_hand.namespace, "scale", "deployment", by_hand.name, "--replicas=5"
        )
        by_hpa.wait_counts(north=4, timeout_seconds=45)
        for case in (by_hand, by_hpa):
            case.wait_condition("Conflict")
            assert world.told(case, "ReleasedToOwner")
        since = time.time()
        time.sleep(QUIET_SECONDS)  # the absence of writes is what is shown
        for case, theirs in ((by_hand, {"west": 5}), (by_hpa, {"north": 4})):
            assert world.scale_writes(case, since=since) == []
            assert case.counts() == theirs
            notes = world.lab.hub.get(case.path)["metadata"].get("annotations", {})
            assert "wattshift.io/originals" not in notes, "their count is the new state found"
            # Deletion restores nothing that is not ours any more.
            case.delete()
            assert case.counts() == theirs


def autoscaler(case: Case, *, least: int, most: int) -> Document:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": case.name, "namespace": case.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": case.name},
            "minReplicas": least,
            "maxReplicas": most,
        },
    }
