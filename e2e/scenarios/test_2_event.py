"""A power event: the site sheds to the target by its own meter, and gets its load back at the end.

The judge is the plant's meter and truth, of which the operator sees only the meter.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from e2e.lab.client import Document, wait_for
from e2e.scenarios.world import SPEED, World

pytestmark = pytest.mark.e2e
METER_ERROR = 0.03
"""Noise and bias of the plant's meter, of which the operator cannot know."""


def watts(world: World, site: str) -> float:
    """True power of a site now."""
    return float(world.lab.truth(site)["now"]["load_watts"])


def set_events(world: World, site: str, events: list[dict[str, Any]]) -> None:
    world.lab.hub.merge(
        f"/apis/wattshift.io/v1alpha1/powersites/{site}", {"spec": {"events": events or None}}
    )


def event_status(world: World, site: str, name: str) -> Document:
    rows = world.lab.object("powersites", site).get("status", {}).get("activeEvents") or []
    return next((row for row in rows if row["name"] == name), {})


@pytest.mark.parametrize("reference", ["Absolute", "PreEvent"])
def test_an_event_sheds_to_its_target_and_is_released_at_its_end(
    world: World, reference: str
) -> None:
    name = f"event-{reference.lower()}"
    with world.case(name, {"north": 4}) as case:
        case.apply(replicas={"min": 4, "max": 4})
        case.wait_condition("Ready")
        clients = case.clients(seconds=120)
        case.wait("load at the meter", lambda: watts(world, "north") > 3000)
        before = watts(world, "north")
        reduction = 2500
        event: dict[str, Any] = {
            "name": name,
            "type": "Limit" if reference == "Absolute" else "Reduction",
            "reference": reference,
            "upperWatts": round(before) - reduction if reference == "Absolute" else reduction,
            "firmness": "Mandatory",
            "startTime": world.grid_text(2 * SPEED),
            "endTime": world.grid_text(17 * SPEED),
        }
        try:
            set_events(world, "north", [event])
            wait_for(
                "event active", lambda: event_status(world, "north", name).get("state") == "Active"
            )
            target = float(event_status(world, "north", name)["upperWatts"])
            assert abs(target - (before - reduction)) < METER_ERROR * before
            case.wait(
                "shed to the target",
                lambda: watts(world, "north") <= target * (1 + METER_ERROR),
                timeout_seconds=20,
            )
            shed_at = time.time()
            assert sum(case.counts().values()) < 4
            assert event_status(world, "north", name)["state"] == "Active"
            case.wait(
                "the end", lambda: event_status(world, "north", name).get("state") == "Completed"
            )
            case.wait_counts(north=4)
            assert shed_at < time.time()
        finally:
            set_events(world, "north", [])
        case.served(clients)
