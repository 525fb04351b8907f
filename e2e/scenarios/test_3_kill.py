"""SIGKILL of the leader at each step of a hand-over: the next one goes on from what it finds.

Judged by the end state, the pods in service at every moment, and the servers' own audit logs.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

import pytest

from e2e.lab.client import wait_for
from e2e.scenarios.world import SITES, Case, World

pytestmark = pytest.mark.e2e
LEASE_SECONDS, RETRY_SECONDS = 15.0, 2.0
"""The chart's defaults."""
KILLED_SECONDS = LEASE_SECONDS + RETRY_SECONDS + 3.0
"""Most from SIGKILL to the next leader: the lease runs out, one try, and the margin of the issue."""
FENCE_SECONDS = 5.0


def intent_recorded(case: Case) -> bool:
    return bool(case.move())


def raised(case: Case) -> bool:
    move = case.move()
    return bool(move) and case.counts()[_place(move["destinationPlacement"])] > 0


def warming(case: Case) -> bool:
    move = case.move()
    return bool(move) and case.ready()[_place(move["destinationPlacement"])] > 0


def lowered(case: Case) -> bool:
    move = case.move()
    return bool(move) and case.counts()[_place(move["sourcePlacement"])] == 0


def _place(site: str) -> str:
    return next(place for place, name in SITES.items() if name == site)


POINTS: tuple[Callable[[Case], bool], ...] = (intent_recorded, raised, warming, lowered)


def test_a_leader_killed_at_any_step_of_a_hand_over_does_no_harm(world: World) -> None:
    found = {"hub": 2, "west": 0, "north": 0}
    with world.case("killed", found) as case:
        world.flat_prices()
        case.apply(replicas={"min": 2, "max": 4})
        case.wait_condition("Ready")
        clients = case.clients(seconds=400, rate=5)
        here, there = "hub", "west"
        for point in POINTS:
            world.wait_led()
            began = time.time()
            world.flat_prices(**{SITES[here]: "1.50", SITES[there]: "0.10", "north": "2.00"})
            wait_for(point.__name__, partial(point, case), interval_seconds=0.02)
            before = world.holder()
            pod, killed = world.kill_leader(signal.SIGKILL)
            took = world.wait_new_leader(before, killed)
            print(f"{point.__name__}: {pod} killed, another leads after {took:.1f} s")
            assert took <= KILLED_SECONDS

            case.wait_counts(**{here: 0, there: 2, "north": 0}, timeout_seconds=120)
            case.wait_settled()
            ended = time.time()
            assert case.recorder.least(since=began, until=ended) >= 2
            _no_harm(world, case, began, here, there, killed)
            here, there = there, here
        seen = case.served(clients)
        assert seen["succeeded"] == seen["requests"], seen["errors"]


def _no_harm(world: World, case: Case, began: float, here: str, there: str, killed: float) -> None:
    """No write away from the target, none below the floor, none while nobody led.

    How many replicas move at a time is the planner's: each write goes towards the target, none back.
    """
    counts = {here: 2, there: 0, "north": 0}
    for place, event, replicas in world.scale_writes(case, since=began):
        towards = {here: 0 <= replicas <= counts[here], there: counts[there] <= replicas <= 2}
        assert towards.get(place, False), f"away from the target: {event}"
        counts[place] = replicas
        assert sum(counts.values()) >= 2, f"below the floor: {event}"
        led = event.time <= killed + 0.5 or event.time >= world.acquired_after(killed)
        assert led, f"written while nobody led: {event}"
    assert counts == {here: 0, there: 2, "north": 0}


def test_sigterm_hands_the_lease_over_at_once(world: World) -> None:
    world.wait_led()
    before = world.holder()
    pod, ended = world.kill_leader(signal.SIGTERM)
    took = world.wait_new_leader(before, ended)
    print(f"{pod} ended gracefully, another leads after {took:.1f} s")
    assert took <= RETRY_SECONDS * 1.2 + 3.0
