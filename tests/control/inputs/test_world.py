"""What is seen as of now: acknowledged writes while the watch lags, and nothing invented."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wattshift.control.clock import ManualClock
from wattshift.control.inputs.world import SETTLE_SECONDS, Found, World
from wattshift.kube.views import MemberState, MemberView, TargetKey, TargetView

KEY = TargetKey("apps/v1", "Deployment", "team", "chat")


def target(replicas: int, uid: str = "t-1") -> TargetView:
    return TargetView(
        key=KEY,
        uid=uid,
        resource_version="1",
        replicas_spec=replicas,
        replicas_total=replicas,
        replicas_ready=replicas,
        replicas_updated=replicas,
        generation=1,
        observed_generation=1,
        labels={},
        annotations={},
        selector="app=chat",
        grace_seconds=30,
        has_readiness_probe=True,
        rollout_in_progress=False,
        paused=False,
        deleting=False,
    )


class Views:
    """A pool's views as values."""

    def __init__(self) -> None:
        self.shown: dict[str, MemberView] = {}

    def show(self, *targets: TargetView, name: str = "east/hub", uid: str = "c-1") -> None:
        self.shown[name] = MemberView(
            name=name,
            uid=uid,
            state=MemberState.READY,
            reason="Connected",
            message="",
            since=0.0,
            age_seconds=0.0,
            targets={row.key: row for row in targets},
            pods={},
            allocatable=None,
        )

    def view(self, name: str) -> MemberView | None:
        return self.shown.get(name)

    def views(self) -> dict[str, MemberView]:
        return self.shown


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def views() -> Views:
    made = Views()
    made.show(target(6))
    return made


@pytest.fixture
def world(views, clock) -> World:
    return World(pool=views, monotonic=clock.monotonic)


def count(world: World) -> int:
    return world.find("east/hub", KEY).replicas


def test_what_is_not_shown_is_not_found(world):
    assert world.find("west/hub", KEY) is None
    assert world.find("east/hub", KEY._replace(name="other")) is None
    assert world.find_by_uid("c-1", "t-9") is None and world.find_by_uid("c-9", "t-1") is None


def test_pods_that_may_not_be_read_are_unknown_and_not_none_at_all(world):
    assert world.find("east/hub", KEY).pods is None


def test_an_acknowledged_write_counts_while_the_watch_still_shows_the_count_before(world):
    world.acknowledge("t-1", before=6, replicas=4)
    assert count(world) == 4


def test_the_watch_counts_once_it_has_caught_up_and_whatever_it_shows_then(world, views):
    world.acknowledge("t-1", before=6, replicas=4)
    views.show(target(4))
    assert count(world) == 4
    views.show(target(6))
    assert count(world) == 6


def test_a_third_count_is_somebody_elses_at_once(world, views):
    world.acknowledge("t-1", before=6, replicas=4)
    views.show(target(9))
    assert count(world) == 9


def test_a_watch_that_never_follows_is_believed_in_the_end(world, clock):
    world.acknowledge("t-1", before=6, replicas=4)
    clock.advance(SETTLE_SECONDS)
    assert count(world) == 6


def test_two_writes_inside_one_lag_are_not_taken_for_a_rival(world, views):
    world.acknowledge("t-1", before=6, replicas=4)
    world.acknowledge("t-1", before=4, replicas=3)
    assert count(world) == 3
    views.show(target(4))
    assert count(world) == 3
    views.show(target(3))
    assert count(world) == 3


def test_a_write_back_to_the_first_count_is_seen_as_such(world, views):
    world.acknowledge("t-1", before=6, replicas=4)
    world.acknowledge("t-1", before=4, replicas=6)
    views.show(target(6))
    assert count(world) == 6
    views.show(target(4))
    assert count(world) in (4, 6)


def test_an_old_write_does_not_explain_a_count_much_later(world, views, clock):
    world.acknowledge("t-1", before=6, replicas=4)
    clock.advance(SETTLE_SECONDS)
    world.acknowledge("t-1", before=4, replicas=3)
    assert count(world) == 6


def test_a_target_is_found_by_identity_in_whatever_member_shows_that_cluster(world, views):
    views.show(target(2, "t-2"), name="west/hub", uid="c-2")
    found = world.find_by_uid("c-2", "t-2")
    assert (found.member_name, found.replicas) == ("west/hub", 2)


@pytest.mark.parametrize(
    ("generation", "observed", "acknowledged", "lags"),
    [
        (3, 3, 2, False),
        (4, 3, 2, True),
        # told by no status: never late
        (4, 0, 2, False),
        # our write is not in the watch yet, so nobody can have acted on it
        (3, 3, 4, True),
    ],
)
def test_a_controller_lags_until_it_has_seen_the_present_count(
    generation, observed, acknowledged, lags
):
    seen = replace(target(2), generation=generation, observed_generation=observed)
    found = Found(
        member_name="east/hub", cluster_uid="c-1", target=seen, pods=None, replicas=acknowledged
    )
    assert found.controller_lags is lags
