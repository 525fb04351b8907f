"""The replay of events by the governor alone: figures by hand, one short run, errors without a trace."""

from __future__ import annotations

import json

import pytest
from wattshift.sim import dr
from wattshift.sim.events import EventResult


def kept(**changes):
    values = {
        "name": "e",
        "site": "a",
        "duration_seconds": 600.0,
        "reference_watts": 1000.0,
        "upper_watts": 800.0,
        "lower_watts": None,
        "seconds_to_shed": 4.0,
        "error": 0.0,
        "over_curtailment": 0.02,
        "below_upper": 0.03,
        "rebound": 0.01,
        "samples": 9,
        "samples_inside": 9,
    }
    return EventResult(**{**values, **changes})


def test_an_event_that_was_never_reached_counts_with_its_whole_length():
    told = dr.summary([kept(), kept(seconds_to_shed=None, samples_inside=3)])

    assert (told["events"], told["met"], told["minutes"]) == (2, 1, 18)
    assert told["minutesInside"] == pytest.approx(12 / 18)
    assert told["reached"] == 0.5
    assert told["secondsToShed"]["max"] == 600.0


def test_deep_ones_are_told_apart_and_events_without_an_upper_bound_have_no_time_to_shed():
    rows = [kept(upper_watts=700.0, seconds_to_shed=9.0), kept(), kept(upper_watts=None)]
    told = dr.summary(rows)

    assert told["secondsToShed30Percent"]["mean"] == 9.0
    assert told["secondsToShed"]["mean"] == 6.5


def test_nothing_to_sum_up_is_no_figure():
    told = dr.summary([])

    assert told["secondsToShed"] is None
    assert told["minutesInside"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no such file, and no shipped scenario"),
        (["s4-small", "--set", "events.random.count=0"], "events.random.count"),
        (["s7-small"], "has no events to replay"),
    ],
)
def test_what_cannot_be_replayed_is_said_without_a_trace(capsys, words, message):
    assert dr.main(words) == 2
    assert message in capsys.readouterr().err


def test_a_short_replay_sheds_and_tells_its_figures(capsys):
    fields = ["events.random.count=1", "days=0.125", "events.random.firstSeconds=1800"]
    words = [word for field in fields for word in ("--set", field)]
    assert dr.main(["s4-small", *words, "--each"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)

    assert found["events"] == 1
    assert found["decisions"] > 0
    assert found["ticks"] > 100
    assert "EventResult(name='drawn-0000'" in told.err
