"""Somebody else sets a count that wattshift holds: theirs stands, and nobody fights.

Writes are counted in the servers' audit logs.
"""

from __future__ import annotations

import time

import pytest

from e2e.lab.client import Document
from e2e.scenarios.world import SITES, Case, World

pytestmark = pytest.mark.e2e
PLACE = "west"
QUIET_SECONDS = 8.0
"""Several ticks of governor and planner in which a fight would show."""


def hold(world: World, case: Case) -> None:
    """Let wattshift write 3 where 2 were found: only then is there something to concede."""
    case.apply(replicas={"min": 1, "max": 6})
    case.wait_condition("Ready")
    case.pin(SITES[PLACE], 3)
    case.wait_counts(**{PLACE: 3})
    case.wait_condition("AtBaseline", "False")


def assert_conceded(world: World, case: Case, theirs: int) -> None:
    case.wait_condition("Conflict")
    assert case.condition("Conflict")["reason"] == "ReleasedToOwner"
    since = time.time()
    time.sleep(QUIET_SECONDS)  # the absence of writes is what is shown
    assert world.scale_writes(case, since=since) == []
    assert case.counts() == {PLACE: theirs}
    originals = world.lab.hub.get(case.path)["metadata"].get("annotations", {})
    assert "wattshift.io/originals" not in originals, "their count is the new state found"
    assert world.told(case, "ReleasedToOwner")


def test_a_count_set_by_a_person_stands(world: World) -> None:
    with world.case("by-hand", {PLACE: 2}, traffic=False) as case:
        hold(world, case)
        world.lab.access(PLACE).kubectl(
            "-n", case.namespace, "scale", "deployment", case.name, "--replicas=5"
        )
        assert_conceded(world, case, 5)
        # Deletion restores nothing that is not ours any more.
        case.delete()
        assert case.counts() == {PLACE: 5}


def test_a_horizontal_pod_autoscaler_is_left_alone(world: World) -> None:
    with world.case("by-hpa", {PLACE: 2}, traffic=False) as case:
        hold(world, case)
        access = world.lab.access(PLACE)
        access.apply(autoscaler(case, least=4, most=6))
        case.wait_counts(**{PLACE: 4}, timeout_seconds=45)
        assert_conceded(world, case, 4)
        assert "by-hpa" in str(case.condition("Conflict")) or case.condition("Conflict")


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
