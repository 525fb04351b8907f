"""Restoration: exact originals, raises before lowers, others' counts stand, in any order of trouble."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings, strategies as st

from tests.core.build import Original, placement, workload
from wattshift.core.decision import Target
from wattshift.core.model import MemberPhase, PlacementState, WorkloadState
from wattshift.core.reasons import Reason
from wattshift.core.restore import RestoreStep, deviates, original_replicas, restore_step

READY, LOST = MemberPhase.READY, MemberPhase.LOST
BOTH = {("east", "east"): READY, ("west", "west"): READY}


def original(name: str, replicas: int) -> Original:
    return Original(
        placement_name=name,
        cluster_uid=f"c-{name}",
        target_uid=f"t-{name}",
        replicas=replicas,
        captured_time=1.0,
    )


def held(east: int | None, west: int | None, *, found=(4, 0), **more) -> WorkloadState:
    """East had four and west none before we came."""
    east_more, west_more = more.pop("east_more", {}), more.pop("west_more", {})
    return workload(
        placements=(placement("east", east, **east_more), placement("west", west, **west_more)),
        originals=(original("east", found[0]), original("west", found[1])),
        **more,
    )


def step(given_: WorkloadState, *, expired: bool = False, **phases: MemberPhase) -> RestoreStep:
    where = {(name, name): phases.get(name, READY) for name in ("east", "west")}
    return restore_step(given_, where, expired=expired)


def writes(found: RestoreStep) -> list[tuple[str, int]]:
    return [(target.placement_name, target.replicas) for target in found.writes]


def test_raises_come_before_lowers():
    assert writes(step(held(0, 4))) == [("east", 4)]


def test_lowers_wait_until_what_was_raised_is_in_service():
    starting = held(4, 4, east_more={"in_service_replicas": 3})
    found = step(starting)
    assert found.writes == () and not found.done and found.reason is Reason.MOVE_IN_PROGRESS
    assert writes(step(held(4, 4))) == [("west", 0)]


def test_as_found_is_done_and_never_touched_placements_are_left_alone():
    assert step(held(4, 0)).done
    untouched = workload(placements=(placement("east", 9), placement("west", 0)))
    assert step(untouched).done and not deviates(untouched)


@pytest.mark.parametrize("lost", ["east", "west"])
def test_a_lost_member_is_waited_for_and_nothing_is_lowered_meanwhile(lost):
    found = step(held(4, 4), **{lost: LOST})
    assert found.writes == () and not found.done and found.reason is Reason.MEMBER_LOST


def test_what_can_be_reached_is_raised_while_another_member_is_lost():
    assert writes(step(held(0, 4), west=LOST)) == [("east", 4)]


def test_after_the_deadline_what_cannot_be_reached_is_let_go():
    found = step(held(4, 4), expired=True, west=LOST)
    assert found.done and found.reason is Reason.RESTORE_TIMED_OUT


def test_after_the_deadline_what_serves_in_the_place_of_a_lost_source_is_not_lowered():
    found = step(held(0, 4), expired=True, east=LOST)
    assert found.done and found.writes == () and found.reason is Reason.RESTORE_TIMED_OUT
    cold = held(4, 4, east_more={"in_service_replicas": 0})
    assert writes(step(cold, expired=True)) == []


def test_after_the_deadline_there_is_one_last_try_for_what_can_be_reached():
    found = step(held(0, 4), expired=True)
    assert writes(found) == [("east", 4)] and found.done
    assert found.reason is Reason.RESTORE_TIMED_OUT
    last = step(held(4, 4), expired=True)
    assert writes(last) == [("west", 0)] and last.done


def test_the_count_of_another_writer_stands():
    found = step(held(7, 0, east_more={"rival": True}))
    assert found.done and found.writes == ()
    assert found.reason is Reason.RELEASED_TO_OWNER and found.released_to_owner == ("east",)


def test_baseline_replicas_beat_the_captured_count():
    given_ = held(4, 0, east_more={"baseline_replicas": 6})
    assert writes(step(given_)) == [("east", 6)]
    assert deviates(given_)
    assert step(held(6, 0, east_more={"baseline_replicas": 6})).done


def test_baseline_replicas_alone_are_no_reason_to_write():
    never = workload(placements=(placement("east", 4, baseline_replicas=6),))
    assert original_replicas(never, never.placements[0]) is None
    assert step(never).writes == ()


def test_originals_in_doubt_write_nothing_and_are_let_go_at_the_deadline():
    doubtful = held(0, 4, originals_known=False)
    assert step(doubtful).writes == () and not step(doubtful).done
    late = step(doubtful, expired=True)
    assert late.writes == () and late.done and late.reason is Reason.ORIGINALS_UNKNOWN


def test_a_placement_that_left_the_spec_is_restored_too():
    gone = workload(
        placements=(placement("west", 4),),
        originals=(original("east", 4), original("west", 0)),
        orphans=(placement("east", 0),),
    )
    assert deviates(gone)
    assert writes(step(gone)) == [("east", 4)]


def test_a_placement_that_points_elsewhere_by_now_restores_its_old_target_only():
    moved = workload(
        placements=(placement("east", 9, at="west"), placement("west", 0)),
        originals=(original("east", 4),),
        orphans=(placement("east", 0),),
    )
    assert writes(step(moved)) == [("east", 4)]
    back = replace(moved, orphans=(placement("east", 4),))
    assert step(back).done and not deviates(back)


def test_a_wanted_count_that_may_still_land_is_a_deviation():
    assert deviates(held(4, 0, east_more={"desired_replicas": 2}))
    assert not deviates(held(4, 0, east_more={"desired_replicas": 4}))
    assert deviates(held(None, 0))


# ---- any order of trouble ----------------------------------------------------------------------


def serving(row: PlacementState) -> int:
    return row.in_service_replicas or 0


@settings(max_examples=200, deadline=None)
@example(
    found=(1, 0), now=(2, 1), trouble=[("crash", "east"), ("crash", "east"), ("write", "east")]
)
@given(
    found=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    now=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    trouble=st.lists(
        st.tuples(
            st.sampled_from(["lose", "back", "crash", "start", "lost write", "write"]),
            st.sampled_from(["east", "west"]),
        ),
        max_size=25,
    ),
)
def test_restoring_ends_exactly_as_found_and_never_lowers_early(found, now, trouble):
    """Two clusters in which writes get lost, members go and pods die; calm at the end."""
    counts, ready = dict(zip(("east", "west"), now, strict=True)), {}
    ready = dict(counts)
    wanted = dict(zip(("east", "west"), found, strict=True))
    away: set[str] = set()

    def state() -> WorkloadState:
        rows = tuple(
            placement(name, counts[name], in_service_replicas=ready[name]) for name in counts
        )
        return workload(placements=rows, originals=tuple(original(n, c) for n, c in wanted.items()))

    def tick(*, lost: bool = False) -> RestoreStep:
        made = restore_step(
            state(),
            {(n, n): LOST if n in away else READY for n in counts},
            expired=False,
        )
        for target in made.writes:
            name = target.placement_name
            assert target == Target(placement_name=name, replicas=wanted[name])
            assert name not in away
            if target.replicas < counts[name]:
                assert not away
                others = [n for n in counts if n != name and counts[n] <= wanted[n]]
                assert all(ready[n] >= wanted[n] for n in others)
            if not lost:
                counts[name] = target.replicas
                ready[name] = min(ready[name], counts[name])
        return made

    for what, name in trouble:
        if what == "lose":
            away.add(name)
        elif what == "back":
            away.discard(name)
        elif what == "crash":
            ready[name] = max(0, ready[name] - 1)
        elif what == "start":
            ready[name] = min(counts[name], ready[name] + 1)
        else:
            tick(lost=what == "lost write")
    away.clear()
    for _ in range(6):
        for name in counts:
            ready[name] = counts[name]
        last = tick()
    assert counts == wanted and last.done
