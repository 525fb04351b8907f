"""The check list: what counts as seen, and what does not although it was said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from e2e.demo import scene
from e2e.demo.moments import EVENT, HAND_OVER, PAUSE, SCALE, TITLES, VETO, find, hour_text
from tests.demo.scenes import MIDNIGHT, ORDER, day, say, words


def seen(samples, told) -> dict[str, bool]:
    return {row.name: row.seen for row in find(samples, told, ORDER)}


def test_a_day_with_everything_shows_everything_in_order():
    rows = find(day(), words(), ORDER)
    assert [row.name for row in rows] == list(TITLES)
    assert all(row.seen for row in rows)
    assert all(row.reason and row.words and row.evidence for row in rows)


def test_nothing_said_is_nothing_seen():
    assert not any(seen(day(), []).values())
    assert not any(seen([], words()).values())


def test_words_without_a_change_in_the_cluster_are_no_scale():
    flat = day(code=lambda _: 2, chat=lambda _: (4, 0))
    assert not seen(flat, words())[SCALE]
    assert not seen(flat, words())[VETO]


def test_a_pause_needs_replicas_to_go_and_to_return():
    assert not seen(day(batch=lambda _: 2), words())[PAUSE]
    assert not seen(day(batch=lambda hour: 0 if hour > 8 else 2), words())[PAUSE]
    without_resume = [row for row in words() if row.action != "Resume"]
    assert not seen(day(), without_resume)[PAUSE]


def test_a_hand_over_counts_when_it_is_finished_and_tells_the_fewest_ready():
    unfinished = [row for row in words() if row.reason != "HandedOver"]
    assert not seen(day(), unfinished)[HAND_OVER]
    both = day(chat=lambda h: (4, 0) if h < 5.9 else (4, 2) if h < 6.1 else (0, 2))
    row = next(row for row in find(both, words(), ORDER) if row.name == HAND_OVER)
    assert "never fewer than 2 ready" in row.evidence
    assert "shanghai 4 -> 0" in row.evidence
    assert row.reason == "SupplySurplus"


@pytest.mark.parametrize(
    ("watts", "kept"),
    [
        (lambda h: 3000.0 if 12.5 <= h < 15.2 else 6000.0, True),
        (lambda h: 4030.0 if 12.5 <= h < 15.2 else 6000.0, True),  # within the meter's 1 %
        (lambda h: 4100.0 if 14 <= h < 14.2 else 3000.0 if h > 12.5 else 6000.0, False),
        (lambda _: 3000.0, False),  # it never meant anything
        (lambda _: 6000.0, False),
        (lambda _: None, False),
    ],
)
def test_an_event_is_judged_by_the_plant_s_meter_after_the_ramp(watts, kept):
    assert seen(day(gansu_watts=watts), words())[EVENT] is kept


def test_a_fall_of_the_wind_is_followed_within_seconds():
    at_432 = 432 * 11 / 3600  # hours of the day in eleven seconds on the wall
    fell = 13.0

    def importing(until):
        return lambda h: 6000.0 if h < 12.5 else 4900.0 if fell <= h < until else 3900.0

    wind = {"wind": lambda h: 2000.0 if h < fell else 1000.0}
    assert seen(day(gansu_watts=importing(fell + 0.6), **wind), words())[EVENT]
    assert not seen(day(gansu_watts=importing(fell + 2 * at_432), **wind), words())[EVENT]
    assert not seen(day(gansu_watts=importing(fell + 0.6)), words())[EVENT]


def test_an_event_that_nobody_acted_on_is_not_obeyed_by_chance():
    silent = [row for row in words() if row.reason != "EventLimit"]
    assert not seen(day(), silent)[EVENT]


def test_an_event_that_the_planner_left_nothing_to_shed_for_is_obeyed():
    ahead = [
        replace(
            row,
            action="Migrate",
            reason="PrepareChange",
            note=f"gansu: 2000 W over event {ORDER.name}; move 2 of 2 replicas",
        )
        if row.reason == "EventLimit"
        else row
        for row in words()
    ]
    row = next(row for row in find(day(), ahead, ORDER) if row.name == EVENT)
    assert row.seen
    assert row.reason == "PrepareChange"


def test_a_veto_is_the_guard_s_word_and_capacity_that_came():
    row = next(row for row in find(day(), words(), ORDER) if row.name == VETO)
    assert row.reason == "QueueGrowing"
    assert "2 -> 4 replicas by DemandGrowth" in row.evidence
    assert "3000 ms" in row.evidence
    over = [replace(row, reason="WithinObjective") for row in words()]
    assert not seen(day(), over)[VETO]
    silent = [row for row in words() if row.action != "Guard"]
    assert not seen(day(), silent)[VETO]


def test_other_subjects_do_not_count():
    site = replace(say(15.6, scene.CODE, "Guard", "QueueGrowing"), subject="PowerSite/gansu")
    assert not seen(day(), [site])[VETO]


def test_times_are_local():
    assert hour_text(MIDNIGHT + 3600) == "15 01:00"
