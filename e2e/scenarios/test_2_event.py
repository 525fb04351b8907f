"""A power event: the site sheds to the target by its own meter, and gets its load back at the end.

The judge is the plant's meter and truth, of which the operator sees only the meter.
"""

from __future__ import annotations

from typing import Any

import pytest

from e2e.lab.client import Document, wait_for
from e2e.scenarios.world import SPEED, World

pytestmark = pytest.mark.e2e
METER_ERROR = 0.03
"""Noise and bias of the plant's meter, of which the operator cannot know."""
REDUCTION = 3000
"""Watts: between one and two of four replicas."""


def set_events(world: World, site: str, events: list[dict[str, Any]]) -> None:
    world.lab.hub.merge(
        f"/apis/wattshift.io/v1alpha1/powersites/{site}", {"spec": {"events": events or None}}
    )


def event_status(world: World, name: str) -> Document:
    rows = world.lab.object("powersites", "north").get("status", {}).get("activeEvents") or []
    return next((row for row in rows if row["name"] == name), {})


@pytest.mark.parametrize("reference", ["Absolute", "PreEvent"])
def test_an_event_sheds_to_its_target_and_is_released_at_its_end(
    world: World, reference: str
) -> None:
    name = f"event-{reference.lower()}"
    with world.case(name, {"north": 4}, service={"inter_token_latency": "50ms"}) as case:
        case.apply(replicas={"min": 4, "max": 4})
        case.wait_condition("Ready")
        clients = case.clients(seconds=120, rate=5)
        before = world.wait_steady("north", above_watts=5000)
        absolute = reference == "Absolute"
        event = {
            "name": name,
            "type": "Limit" if absolute else "Reduction",
            "reference": reference,
            "upperWatts": round(before) - REDUCTION if absolute else REDUCTION,
            "firmness": "Mandatory",
            "startTime": world.grid_text(2 * SPEED),
            "endTime": world.grid_text(20 * SPEED),
        }
        try:
            set_events(world, "north", [event])
            wait_for("active", lambda: event_status(world, name).get("state") == "Active")
            shown = event_status(world, name)
            target = float(shown["upperWatts"])
            if not absolute:
                assert shown["frozenWatts"] - REDUCTION == target
                assert shown["frozenWatts"] == pytest.approx(before, rel=2 * METER_ERROR)
            case.wait(
                "shed to the target",
                lambda: world.watts("north") <= target * (1 + METER_ERROR),
                timeout_seconds=12,
            )
            assert 0 < case.counts()["north"] < 4, "no more than is needed"
            held = held_until_end(world, name)
            assert sorted(held)[len(held) // 2] <= target * (1 + METER_ERROR), held
            case.wait_counts(north=4)
            ended = event_status(world, name)
            assert ended["state"] == "Completed"
            case.wait("load is back", lambda: world.watts("north") > target * 1.2)
        finally:
            set_events(world, "north", [])
        seen = case.served(clients)
        assert seen["succeeded"] >= 0.95 * seen["requests"], seen["errors"]


def held_until_end(world: World, name: str) -> list[float]:
    """True power at every look until the event is over."""
    found: list[float] = []

    def ended() -> bool:
        found.append(world.watts("north"))
        return event_status(world, name).get("state") == "Completed"

    wait_for("the event's end", ended, interval_seconds=0.5)
    return found
