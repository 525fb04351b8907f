"""What a lagging meter shows: the estimate of the time before the drain, kept by time and not by ticks."""

from __future__ import annotations

from tests.core.build import NOW, placement, snapshot, workload
from wattshift.core.meter_lag import Estimates, drains

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


def test_a_bias_that_was_seen_while_nothing_changed_is_no_other_estimate():
    here = noted((0, 4000), (20, 4000))
    # the model reads 100 W low; nothing changes for a whole window
    assert here.shown(KEY, 20, 0, 4100.0) == 4000
    for time, watts in ((21, 4100), (22, 4000)):
        here.note(time, {KEY: watts}, spacing=0.25, memory=300.0)
    # without the bias 4100 W would look like the estimate of 4100 W
    assert here.shown(KEY, 22, 1, 4100.0) == 4000
    assert here.shown(KEY, 22, 1, 4190.0) == 4100


def test_a_difference_beyond_a_tenth_is_no_bias():
    here = noted((0, 4000), (20, 4000))
    assert here.shown(KEY, 20, 0, 6000.0) == 4000
    here.note(21, {KEY: 5900}, spacing=0.25, memory=300.0)
    assert here.shown(KEY, 21, 1, 6000.0) == 5900
