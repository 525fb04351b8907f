"""The latency guard: waiting users veto every saving, and capacity comes back.

From the waiting rule, as the simulator's own first-token times omit queueing.
"""

from __future__ import annotations

import time

import pytest

from e2e.scenarios.world import World

pytestmark = pytest.mark.e2e
BURST_SECONDS = 20.0


def test_a_burst_gives_capacity_back_and_nothing_is_saved_while_it_lasts(world: World) -> None:
    with world.case("burst", {"north": 2}, service={"max_sequences": 4}) as case:
        world.flat_prices(north="2.00")
        case.apply(replicas={"min": 1, "max": 4})
        case.wait_condition("Ready")
        calm = case.clients(seconds=120, rate=3)
        # A saving: one replica carries what two did.
        case.wait_counts(north=1, timeout_seconds=90)

        began = time.time()
        burst = case.clients(seconds=BURST_SECONDS, rate=10, load={"client": "crowd", "seed": 2})
        case.wait("capacity back", lambda: case.counts()["north"] >= 2, timeout_seconds=30)
        print(f"capacity back {time.time() - began:.1f} s after the burst began")
        case.wait("told why", lambda: world.told(case, "QueueGrowing"))
        case.wait_condition("WithinObjective", "False")
        case.served(burst, stop=False)

        # Over: the veto is kept until three slow windows are clean, so nothing is saved yet.
        lowered = [
            event
            for before, (_, event, count) in _steps(world, case, began)
            if before is not None and count < before
        ]
        assert lowered == [], "a saving in the middle of a violation"
        seen = case.served(calm)
        assert seen["succeeded"] == seen["requests"], seen["errors"]


def _steps(world: World, case, since: float):  # type: ignore[no-untyped-def]
    """(count before, write) of every write after `since`."""
    before = None
    for write in world.scale_writes(case):
        if write[1].time >= since:
            yield before, write
        before = write[2]
