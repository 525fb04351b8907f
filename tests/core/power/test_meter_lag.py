"""What a lagging meter shows: the estimate of the time before the drain, kept by time and not by ticks."""

from __future__ import annotations

from tests.core.build import NOW, placement, snapshot, workload
from wattshift.core.power.meter_lag import Estimates, capped_since, drains

KEY = ("east", "feed")


def noted(*rows: tuple[float, int], spacing: float = 0.25, memory: float = 300.0) -> Estimates:
    found = Estimates()
    for time, watts in rows:
        found.note(time, {KEY: watts}, spacing=spacing, memory=memory)
    return found


def test_a_reading_is_compared_with_the_estimate_nearest_to_it():
    here = noted((0, 4000), (10, 4000), (20, 2000), (30, 2000))
    assert here.shown(KEY, 30, 0, 3900.0) == 4000
    assert here.shown(KEY, 30, 0, 2100.0) == 2000
    assert here.shown(KEY, 30, 25, 3900.0) == 2000
    # what changed a moment after the reading may be in it already
    assert noted((0, 4000), (10, 2000)).shown(KEY, 9, 0, 2100.0) == 2000
    assert here.shown(KEY, 30, 0, None) == 2000
    assert here.shown(("west", "feed"), 30, 0, 100.0) is None
    assert Estimates().shown(KEY, 30, 0, 100.0) is None


def test_a_loop_that_looks_seldom_knows_what_held_in_between():
    """A replica comes into service at the end of a long span: the meter shows the time before."""
    here = noted((0, 4000))
    here.held(99)
    here.note(100, {KEY: 6000}, spacing=0.25, memory=300.0)
    assert here.shown(KEY, 100, 80, 4050.0) == 4000
    assert noted((0, 4000), (100, 6000)).shown(KEY, 100, 80, 4050.0) == 6000
    empty = Estimates()
    empty.held(10)
    assert empty.latest(KEY) is None


def test_a_loop_that_is_rung_all_the_time_forgets_nothing_that_the_meter_still_shows():
    here = noted((0, 4000), *((1 + i * 0.05, 2000) for i in range(400)))
    assert here.shown(KEY, 20, 0, 3900.0) == 4000


def test_estimates_are_forgotten_after_their_time():
    here = noted((0, 4000), (301, 2000))
    assert here.shown(KEY, 301, 0, 3900.0) == 2000
    assert here.latest(KEY) == 2000


def test_a_clock_that_is_set_back_takes_the_later_estimates_with_it():
    here = noted((100, 4000), (10, 2000))
    assert here.latest(KEY) == 2000
    assert here.shown(KEY, 10, 0, 3900.0) == 2000


def test_a_write_that_is_not_due_widens_what_the_meter_may_show():
    rows = tuple(
        placement(name, 2, last_write_time=time)
        for name, time in (("east", NOW - 50), ("west", NOW - 500), ("north", None))
    )
    assert drains(snapshot((workload(placements=rows, max_drain_seconds=60),))) == {
        "east": NOW - 51
    }


def test_the_last_change_of_a_cap_is_told():
    rows = tuple(placement(str(time), 2, power_cap_time=time) for time in (None, 5.0, 3.0))
    assert capped_since(rows) == 5.0
    assert capped_since(rows[:1]) is None
