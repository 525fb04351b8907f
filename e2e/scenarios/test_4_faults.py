"""The hub away, a member lost, a member stuck: users notice nothing, the others go on.

Law 6 (operator down: workloads stay as they are) and the rules of loss of a hand-over.
"""

from __future__ import annotations

import time
from functools import partial

import pytest

from e2e.lab.client import wait_for
from e2e.scenarios.test_3_kill import raised
from e2e.scenarios.world import SITES, World

pytestmark = pytest.mark.e2e
HUB_DOWN_SECONDS = 30.0
MEMBER_DOWN_SECONDS = 120.0
"""Ready, Degraded (at once), Lost (15 s), and every step of back-off."""
RENEW_DEADLINE_SECONDS = 10.0
QUICK_SECONDS = 8.0
"""From a person's order to the write: ticks of 1 s on a machine that is busy with much else."""


def test_a_destination_is_lost_in_a_hand_over_and_comes_back(world: World) -> None:
    found = {"hub": 2, "west": 0}
    with (
        world.case("lost", found) as case,
        world.case("other", {"north": 1}, traffic=False) as other,
    ):
        world.flat_prices()
        # two and no more: what a slow machine's requests in flight would ask for is not the point
        case.apply(replicas={"min": 2, "max": 2})
        other.apply(replicas={"min": 1, "max": 4})
        case.wait_condition("Ready")
        other.wait_condition("Ready")
        clients = case.clients(seconds=400, rate=5)
        began = time.time()
        world.flat_prices(east="1.50", west="0.10", north="2.00")
        wait_for("raised", partial(raised, case), interval_seconds=0.02)
        west = world.lab.lab["west"]
        west.stop_api_server(kill=True)
        stopped = time.time()

        # The others go on while it is away.
        other.pin(SITES["north"], 2)
        other.wait_counts(north=2, timeout_seconds=QUICK_SECONDS)
        print(f"another member's order carried out in {time.time() - stopped:.1f} s")
        wait_for("Lost", lambda: member_state(world, "west") == "Lost")
        time.sleep(max(0.0, stopped + MEMBER_DOWN_SECONDS - time.time()))
        hub = world.lab.access("hub").get(
            f"/apis/apps/v1/namespaces/{case.namespace}/deployments/{case.name}"
        )
        assert hub["spec"]["replicas"] == 2, "never lower the source without the destination"
        assert case.move(), "the intent waits"

        world.start_api_server("west")
        back = time.time()
        case.wait_counts(hub=0, west=2, timeout_seconds=90)
        case.wait_settled()
        print(f"handed over {time.time() - back:.0f} s after the member is back")
        assert case.recorder.least(since=began) >= 2
        seen = case.served(clients)
        assert seen["succeeded"] == seen["requests"] > 100, seen["errors"]


def test_a_stuck_member_delays_nobody(world: World) -> None:
    world.flat_prices()
    with (
        world.case("stuck", {"north": 1}, traffic=False) as stuck,
        world.case("moving", {"west": 1}, traffic=False) as moving,
    ):
        for case in (stuck, moving):
            case.apply(replicas={"min": 1, "max": 4})
            case.wait_condition("Ready")
        north = world.lab.lab["north"]
        north.freeze()
        try:
            stuck.pin(SITES["north"], 2)
            for count in (2, 3):
                asked = time.time()
                moving.pin(SITES["west"], count)
                moving.wait_counts(west=count, timeout_seconds=QUICK_SECONDS)
                print(f"beside a stuck member: {time.time() - asked:.1f} s to {count}")
            wait_for("noticed", lambda: member_state(world, "north") != "Ready")
        finally:
            north.thaw()
        stuck.wait_counts(north=2, timeout_seconds=60)
        world.wait_sites(SITES["north"])


def test_the_hub_is_away_for_half_a_minute(world: World) -> None:
    world.wait_led()
    with world.case("hub-down", {"west": 2}) as case:
        case.apply(replicas={"min": 2, "max": 4})
        case.wait_condition("Ready")
        clients = case.clients(seconds=200)
        stopped = time.time()
        world.lab.lab.hub.stop_api_server(kill=True)
        time.sleep(HUB_DOWN_SECONDS)
        assert case.counts() == {"west": 2}
        started = time.time()
        world.start_api_server("hub")
        wait_for("led again", lambda: world.acquired_after(started) < float("inf"))
        print(f"led {world.acquired_after(started) - started:.0f} s after the hub is back")

        # The fence: nobody writes to a member when the lease could not be renewed in time.
        fenced = stopped + RENEW_DEADLINE_SECONDS
        for _, event, _ in world.scale_writes(case, since=fenced):
            assert event.time >= world.acquired_after(started), f"past the fence: {event}"

        # And it acts again.
        world.wait_led()
        case.pin(SITES["west"], 3)
        case.wait_counts(west=3)
        seen = case.served(clients)
        assert seen["succeeded"] == seen["requests"] > 50, seen["errors"]


def member_state(world: World, place: str) -> str:
    """State of a member cluster as its PowerSite shows it."""
    status = world.lab.object("powersites", SITES[place]).get("status") or {}
    rows = status.get("clusters") or [{}]
    assert len(rows) == 1
    return str(rows[0].get("state") or "")
