"""The life of a power event on record: states, references, revisions, what survives a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from wattshift.control.power_events import (
    KEPT_SECONDS,
    NEAR_SECONDS,
    EventSpec,
    advance,
    bounds,
    parse,
    states,
)
from wattshift.control.records import SiteRecord
from wattshift.core.model import Firmness

NOW = 1_800_000_000.0


def event(**more) -> EventSpec:
    given_ = {
        "name": "dr",
        "type": "Limit",
        "reference": "Absolute",
        "revision": 0,
        "connection_name": "feed",
        "start_time": NOW + 600,
        "end_time": NOW + 1200,
        "upper_watts": 5000,
        "lower_watts": None,
        "ramp_seconds": 0,
        "firmness": Firmness.MANDATORY,
        "contract_name": "",
        "program_name": "",
    }
    return EventSpec(**(given_ | more))


def reduction(**more) -> EventSpec:
    return event(type="Reduction", reference="PreEvent", upper_watts=3000, **more)


def step(record: SiteRecord, spec: EventSpec | None, at: float, watts=None) -> SiteRecord:
    specs = {} if spec is None else {spec.name: spec}
    return advance(record, specs, {"feed": watts}, NOW + at)


def row(record: SiteRecord):
    (only,) = record.active_events
    return only


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (-NEAR_SECONDS, "Far"),
        (0, "Near"),
        (599, "Near"),
        (600, "Active"),
        (1199, "Active"),
        (1200, "Completed"),
        (1200 + KEPT_SECONDS - 1, "Completed"),
    ],
)
def test_the_state_follows_from_the_time_alone(at, state):
    assert row(step(SiteRecord(), event(), at)).state == state


def test_an_event_whose_end_passed_during_a_downtime_is_completed_and_forgotten_later():
    record = step(SiteRecord(), event(), 700)
    record = step(record, event(), 1300)
    assert row(record).state == "Completed"
    assert step(record, event(), 1200 + KEPT_SECONDS + 1).active_events == ()


def test_a_reduction_counts_from_the_power_at_its_start_and_never_measures_again():
    record = step(SiteRecord(), reduction(), 0, watts=9000)
    assert row(record).frozen_reference_watts is None, "load shifted ahead must not lower it"
    record = step(record, reduction(), 600, watts=8000)
    assert (row(record).frozen_reference_watts, row(record).upper_watts) == (8000, 5000)
    record = step(record, reduction(), 660, watts=5000)
    assert (row(record).frozen_reference_watts, row(record).upper_watts) == (8000, 5000)


def test_a_reduction_without_a_meter_is_unresolved_and_takes_the_first_reading_that_comes():
    record = step(SiteRecord(), reduction(), 600)
    assert row(record).upper_watts is None
    (seen,) = states(record, {"dr": reduction()})
    assert seen.active
    assert "not known" in seen.unresolved_reason
    assert row(step(record, reduction(), 610, watts=8000)).upper_watts == 5000


def test_a_reduction_by_more_than_there_is_asks_for_nothing_below_zero():
    assert bounds(reduction(), 1000) == (0, None, "")


def test_an_increase_adds_to_the_reference():
    more = event(type="Increase", reference="PreEvent", upper_watts=None, lower_watts=2000)
    assert bounds(more, 6000) == (None, 8000, "")


def test_a_disconnection_leaves_nothing():
    assert bounds(event(type="Disconnect", upper_watts=None), None) == (0, None, "")


def test_a_reference_that_is_not_computed_says_so_instead_of_a_bound():
    upper, lower, why = bounds(event(reference="Baseline"), 9000)
    assert (upper, lower) == (None, None)
    assert "Baseline" in why


def test_a_new_revision_replaces_the_bounds_and_keeps_the_reference_and_the_first_receipt():
    record = step(SiteRecord(), reduction(), 600, watts=8000)
    newer = reduction(revision=1, end_time=NOW + 2400)
    record = step(record, replace(newer, upper_watts=4000), 700, watts=5000)
    now = row(record)
    assert (now.revision, now.end_time, now.upper_watts) == (1, NOW + 2400, 4000)
    assert (now.frozen_reference_watts, now.received_time) == (8000, NOW + 600)


def test_an_older_revision_that_comes_late_changes_no_revision():
    record = step(SiteRecord(), event(revision=3), 0)
    assert row(step(record, event(revision=2), 10)).revision == 3


def test_an_event_taken_out_of_the_spec_is_cancelled_at_once():
    record = step(SiteRecord(), event(), 700)
    record = step(record, None, 800)
    assert (row(record).state, row(record).end_time) == ("Cancelled", NOW + 800)
    assert states(record, {}) == ()


def test_an_event_taken_out_after_its_end_stays_completed():
    record = step(step(SiteRecord(), event(), 700), event(), 1300)
    assert row(step(record, None, 1400)).state == "Completed"


def test_decisions_see_events_to_come_active_and_just_ended():
    record = SiteRecord()
    for at, active in ((0, False), (700, True), (1300, False)):
        record = step(record, event(ramp_seconds=30), at)
        (seen,) = states(record, {"dr": event(ramp_seconds=30)})
        assert (seen.active, seen.upper_watts, seen.ramp_seconds) == (active, 5000, 30)


def test_an_event_without_a_program_is_mandatory_and_a_programs_firmness_is_taken():
    times = {
        "startTime": "2026-07-15T10:00:00+08:00",
        "endTime": "2026-07-15T11:00:00+08:00",
        "type": "Limit",
        "reference": "Absolute",
        "upperWatts": 1,
    }
    program = {"contractName": "c", "programName": "p"}
    document = {
        "connections": [{"name": "feed"}],
        "events": [
            {"name": "alone", **times},
            {"name": "with", "program": program, **times},
            {"name": "own", "program": program, "firmness": "Committed", **times},
        ],
    }
    found = parse(document, {"c/p": "Voluntary"})
    assert {name: row.firmness for name, row in found.items()} == {
        "alone": Firmness.MANDATORY,
        "with": Firmness.VOLUNTARY,
        "own": Firmness.COMMITTED,
    }
    assert found["alone"].connection_name == "feed", "the only one"
    assert found["alone"].end_time - found["alone"].start_time == 3600


def test_with_two_connections_an_event_that_names_none_is_about_the_whole_site():
    document = {
        "connections": [{"name": "a"}, {"name": "b"}],
        "events": [
            {
                "name": "x",
                "type": "Limit",
                "reference": "Absolute",
                "startTime": "2026-07-15T10:00:00Z",
                "endTime": "2026-07-15T11:00:00Z",
            }
        ],
    }
    assert parse(document, {})["x"].connection_name == ""


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.one_of(st.none(), st.integers(0, 20_000))), max_size=25
    ),
    restarts=st.sets(st.integers(0, 24)),
)
def test_the_reference_is_frozen_once_whatever_is_measured_later(steps, restarts):
    record, now, frozen = SiteRecord(), 0.0, None
    for number, (seconds, watts) in enumerate(steps):
        now += seconds
        if number in restarts:
            record = replace(record)  # as read back from status
        record = step(record, reduction(), now, watts)
        for item in record.active_events:
            if frozen is None:
                frozen = item.frozen_reference_watts
            assert item.frozen_reference_watts == frozen
            if item.upper_watts is not None:
                assert frozen is not None
                assert item.upper_watts == max(0, frozen - 3000)
