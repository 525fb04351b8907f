"""Conditions: transition time moves with the status only; generations never go back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.control.hub.conditions import (
    NOT_OBSERVED,
    Truth,
    condition,
    format_utc,
    load,
    merged,
    parse_utc,
)


def test_a_first_sighting_is_stamped_and_is_no_flip():
    kept, flipped = merged({}, condition("Ready", True, "Resolved"), now_utc=1000)
    assert (kept.transition_utc, flipped) == (1000, False)


def test_another_message_or_reason_keeps_the_transition_time():
    old, _ = merged({}, condition("Ready", False, "A", "1"), now_utc=1000)
    kept, flipped = merged({"Ready": old}, condition("Ready", False, "B", "2"), now_utc=2000)
    assert (kept.transition_utc, kept.reason, kept.message, flipped) == (1000, "B", "2", False)


def test_a_flip_moves_the_transition_time():
    old, _ = merged({}, condition("Ready", None, "A"), now_utc=1000)
    kept, flipped = merged({"Ready": old}, condition("Ready", True, "A"), now_utc=2000)
    assert (kept.transition_utc, kept.status, flipped) == (2000, Truth.TRUE, True)


def test_what_was_written_is_loaded_and_the_unreadable_is_left_out():
    kept, _ = merged(
        {}, condition("Ready", True, "Resolved", "words", generation=3), now_utc=1_790_000_000
    )
    rows = [kept.document(), {"type": "Broken"}, {"type": "X", "status": "Perhaps", "reason": "Y"}]
    assert load(rows) == {"Ready": kept}


def test_a_message_is_cut_to_what_the_schema_allows():
    assert len(condition("Ready", True, "R", "x" * 5000).document()["message"]) == 1024


@given(st.integers(0, 4_000_000_000))
def test_times_survive_a_round_trip(seconds):
    assert parse_utc(format_utc(seconds)) == seconds


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00", "noon", ""])
def test_a_time_without_an_offset_is_refused(text):
    with pytest.raises(ValueError):
        parse_utc(text)


@pytest.mark.parametrize(
    ("status", "words", "flips"),
    [
        (True, "all is well", False),
        (False, "it is not", True),
        (False, "", False),
        (None, "?", False),
    ],
    ids=["good", "bad", "idle", "still"],
)
def test_what_follows_on_not_observed_is_news_only_when_it_is_bad(status, words, flips):
    waiting = condition("Ready", None, NOT_OBSERVED)
    kept, flipped = merged({"Ready": waiting}, condition("Ready", status, "R", words), now_utc=2000)
    assert (kept.reason, flipped) == ("R", flips)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"),
        ("0800-01-01T00:00:00Z", "0800-01-01T00:00:00Z"),
        ("2026-11-22t10:00:00.5z", "2026-11-22T10:00:00Z"),
    ],
)
def test_every_time_that_the_schema_lets_through_can_be_written(text, written):
    assert format_utc(parse_utc(text)) == written
