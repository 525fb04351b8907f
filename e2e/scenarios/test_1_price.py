"""A price band changes: replicas follow, and nobody who uses the model notices."""

from __future__ import annotations

import time

import pytest

from e2e import objects
from e2e.scenarios.world import World

pytestmark = pytest.mark.e2e
PREPARED_SECONDS = 600.0
"""Grid time: a change that is known ahead may be prepared by a planning interval and a start."""


def test_a_price_band_change_scales_and_hands_over_without_a_lost_request(world: World) -> None:
    found = {"hub": 3, "west": 0, "north": 0}
    with world.case("chat", found) as case:
        window, begin = world.window(after_minutes=27, length_minutes=400)
        world.flat_prices(east="0.90", north="1.50")
        world.lab.apply(
            objects.contract("west-2026", "west", [("Cheap", window, "0.20"), ("Dear", "", "1.20")])
        )
        case.apply(replicas={"min": 2, "max": 6})
        case.wait_condition("Ready")
        clients = case.clients(seconds=150, rate=5)

        # Dear hours: three replicas carry what two can; the third is parked where it is.
        case.wait_counts(hub=2, west=0, north=0)
        assert world.clock.now() < begin, "consolidated before the band changed"

        # The band changes, as was known ahead: the model moves, make before break.
        started = time.time()
        case.wait_counts(hub=0, west=2, north=0, timeout_seconds=120)
        ended = time.time()
        assert world.clock.now() >= begin - PREPARED_SECONDS
        case.wait_settled()
        assert case.recorder.least(since=started, until=ended) >= 2
        told = case.status()["lastDecision"]
        assert told["action"] == "Migrate"
        assert told["reason"] in {"CheaperPower", "PrepareChange"}, told

        seen = case.served(clients)
        assert seen["succeeded"] == seen["requests"] > 50, seen["errors"]

        # Let go: as found, and nothing of ours stays on the object.
        case.release()
        case.wait_counts(**found)
        case.wait_condition("AtBaseline")
        metadata = world.lab.hub.get(case.path)["metadata"]
        assert not metadata.get("finalizers")
        assert "wattshift.io/originals" not in metadata.get("annotations", {})
