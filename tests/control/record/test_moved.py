"""Moves of the day, in shares of the load: counted as the simulator counts them, kept over a restart."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.control.hub.test_convert import state, stored, workload_spec
from tests.control.inputs.value_book import Book
from tests.core.build import NOW, PROFILE, placement, snapshot, workload
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.inputs.gather_workload import WorkloadInputs, move_day, workload_state
from wattshift.control.inputs.world import World
from wattshift.control.record.changes import Urgency, compare
from wattshift.control.record.documents import compose
from wattshift.control.record.documents_load import load
from wattshift.control.record.moved import Moved
from wattshift.control.record.records import WorkloadRecord
from wattshift.core.model import Mode

KEY = ObjectKey.workload("team/chat")
DAY = 86_400.0


class Process:
    """One life of the operator over a book."""

    def __init__(self, book=None):
        self.book = Book() if book is None else book
        self.moved, self.now = Moved(book=self.book), NOW

    def see(self, east, west, *, ordered=None, profiles=(PROFILE,), **more):
        """Replicas in service, and those that are asked for where they are others."""
        asked = (east, west) if ordered is None else ordered
        rows = [
            placement(name, count, in_service_replicas=serving)
            for name, count, serving in zip(("east", "west"), asked, (east, west), strict=True)
        ]
        row = workload(placements=tuple(rows), **more)
        self.moved.advance(snapshot((row,), grid_time=self.now, profiles=profiles))
        return self.book.workload(KEY).moved_permille


def test_a_whole_hand_over_is_one_move_however_many_steps_it_takes():
    live = Process()
    for east, west in [(4, 0), (4, 1), (4, 3), (4, 4), (2, 4), (0, 4)]:
        moved = live.see(east, west)
    assert moved == pytest.approx(1000, abs=3)


def test_a_quarter_of_the_load_is_a_quarter_of_a_move():
    live = Process()
    live.see(4, 4)
    assert live.see(2, 6) == 250


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=12))
def test_the_sum_is_that_of_positive_changes_of_shares(path):
    live, shares = Process(), [east / (east + west) for east, west in path]
    for east, west in path:
        moved = live.see(east, west)
    expected = sum(abs(after - before) for before, after in zip(shares, shares[1:]))
    assert moved == pytest.approx(1000 * expected, abs=0.5 * len(path))


def test_a_pod_that_fails_and_comes_back_is_no_move():
    live = Process()
    live.see(4, 4)
    for _ in range(5):
        live.see(3, 4, ordered=(4, 4))
        moved = live.see(4, 4)
    assert moved == 0


def test_a_hand_over_that_is_given_up_before_a_pod_served_moved_nothing():
    live = Process()
    live.see(4, 0)
    live.see(4, 0, ordered=(4, 4))
    assert live.see(4, 0) == 0


def test_a_pause_and_a_start_move_nothing():
    live = Process()
    live.see(4, 0)
    live.see(0, 0)
    assert live.see(0, 4) == 0


def test_a_placement_that_was_not_seen_until_now_moved_nothing():
    live = Process()
    live.see(4, None)
    assert live.see(4, 4) == 0
    assert live.see(4, None) == 0
    assert live.see(2, 4) == 0


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.RECOMMEND])
def test_what_others_move_is_not_counted(mode):
    live = Process()
    live.see(4, 4, mode=mode)
    assert live.see(0, 8, mode=mode) == 0
    assert live.see(0, 8) == 0


def test_replicas_count_at_what_they_carry():
    slow = replace(
        PROFILE, name="slow", max_concurrency_at_objective=PROFILE.max_concurrency_at_objective / 3
    )
    live, rows = Process(), []
    for east, west in [(3, 0), (3, 3)]:
        west_row = placement("west", west, profile_name="slow")
        rows.append(workload(placements=(placement("east", east), west_row)))
    for row in rows:
        live.moved.advance(snapshot((row,), profiles=(PROFILE, slow)))
    assert live.book.workload(KEY).moved_permille == 250


def test_where_a_capacity_is_not_known_replicas_are_counted():
    live = Process()
    live.see(4, 4, profiles=())
    assert live.see(2, 6, profiles=()) == 250


def test_a_restart_keeps_the_sum_of_the_day_and_counts_no_share_anew():
    first = Process()
    first.see(4, 4)
    first.see(2, 6)
    second = Process(first.book.through_status())
    assert second.see(2, 6) == 250
    assert second.see(0, 8) == 500


def test_another_day_begins_at_nothing():
    live = Process()
    live.see(4, 4)
    live.see(2, 6)
    live.now += DAY
    assert live.see(4, 4) == 250
    assert live.book.workload(KEY).moves_day == move_day(NOW + DAY)


def test_nothing_is_written_while_nothing_moves():
    live = Process()
    live.see(4, 4)
    live.see(2, 6)
    writes = live.book.writes
    for _ in range(100):
        live.see(2, 6)
    assert live.book.writes == writes


def test_a_share_waits_for_the_minute_and_never_for_the_hour():
    old = compose(Kind.FLEXIBLE_WORKLOAD, record(moved=100), (), generation=1)
    new = compose(Kind.FLEXIBLE_WORKLOAD, record(moved=350), (), generation=1)
    assert compare(old, new, ratio=0.02) is Urgency.DRIFT


def record(moved=0, moves=0, now=NOW):
    return WorkloadRecord(moves_today=moves, moved_permille=moved, moves_day=move_day(now))


def test_status_of_before_shares_were_counted_has_whole_moves():
    status = compose(Kind.FLEXIBLE_WORKLOAD, record(moves=2), (), generation=1)
    del status["movesToday"]["movedPermille"]
    loaded, _ = load(Kind.FLEXIBLE_WORKLOAD, status)
    assert (loaded.moves_today, loaded.moved_permille) == (2, 2000)


def gathered(kept):
    world = World(pool=SimpleNamespace(view=lambda _name: None), monotonic=lambda: 0.0)
    given_inputs = WorkloadInputs(
        states={},
        world=world,
        engines=lambda _workload, _placement: None,
        cooling_off=lambda _workload, _placement: False,
        veto_wall_time=lambda _workload, _placement: None,
        utc=NOW,
        steady=0.0,
        now=NOW,
        cluster_uid=lambda _site, _cluster: "",
    )
    held = stored(Kind.FLEXIBLE_WORKLOAD, workload_spec())
    return workload_state(state(workload_spec()), held, held.spec, kept, given_inputs)


def test_decisions_are_told_of_the_shares_of_today():
    assert gathered(record(moved=1250, moves=2)).moved_share_today == 1.25
    assert gathered(record(moved=1250, moves=2)).moves_today == 2


def test_decisions_are_told_nothing_of_another_day():
    found = gathered(record(moved=1250, moves=2, now=NOW - DAY))
    assert (found.moved_share_today, found.moves_today) == (0.0, 0)
