"""Power events over time: states, the frozen reference, bounds by type and reference, restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from tests.core.build import NOW, connection, reading, site, supply
from wattshift.control.inputs.power_events import (
    KEPT_SECONDS,
    MOST_ENDED,
    NEAR_SECONDS,
    EventSpec,
    advance,
    bounds,
    imports,
    parse,
    states,
)
from wattshift.control.record.records import EventRecord, SiteRecord
from wattshift.core.model import Firmness

START, END = 100_000.0, 107_200.0
METER = {"feed": 5_000, "": 9_000}


def spec(**more) -> EventSpec:
    values = {
        "name": "dr",
        "type": "Reduction",
        "reference": "PreEvent",
        "revision": 1,
        "connection_name": "feed",
        "start_time": START,
        "end_time": END,
        "upper_watts": 2_000,
        "lower_watts": None,
        "ramp_seconds": 60,
        "firmness": Firmness.COMMITTED,
        "contract_name": "c",
        "program_name": "p",
    }
    return EventSpec(**(values | more))


def run(record: SiteRecord, now: float, given_: EventSpec | None = None, meter=METER) -> SiteRecord:
    return advance(record, {} if given_ is None else {given_.name: given_}, meter, now)


def only(record: SiteRecord) -> EventRecord:
    (row,) = record.active_events
    return row


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (START - NEAR_SECONDS - 1, "Far"),
        (START - NEAR_SECONDS, "Near"),
        (START - 1, "Near"),
        (START, "Active"),
        (END - 1, "Active"),
        (END, "Completed"),
    ],
)
def test_the_state_follows_the_time(now, state):
    assert only(run(SiteRecord(), now, spec())).state == state


def test_the_reference_is_measured_at_the_start_and_never_again():
    record = run(SiteRecord(), START - 60, spec(), {"feed": 7_000})
    assert only(record).frozen_reference_watts is None and only(record).upper_watts is None
    assert "not known" in only(record).message
    record = run(record, START, spec(), {"feed": 5_000})
    assert (only(record).frozen_reference_watts, only(record).upper_watts) == (5_000, 3_000)
    record = run(record, START + 60, spec(), {"feed": 3_000})
    assert (only(record).frozen_reference_watts, only(record).upper_watts) == (5_000, 3_000)


def test_an_unknown_meter_leaves_the_event_unresolved_until_it_answers():
    record = run(SiteRecord(), START, spec(), {"feed": None})
    (event,) = states(record)
    assert event.active and event.upper_watts is None and event.unresolved_reason
    record = run(record, START + 5, spec(), {"feed": 4_000})
    (event,) = states(record)
    assert (event.upper_watts, event.unresolved_reason) == (2_000, "")


def test_a_restart_in_the_middle_keeps_the_frozen_reference():
    record = run(SiteRecord(), START, spec())
    kept = SiteRecord(active_events=(replace(only(record), message=""),))
    assert only(run(kept, START + 600, spec(), {"feed": 1_000})).upper_watts == 3_000


def test_a_new_revision_changes_watts_and_times_but_not_what_was_measured():
    record = run(SiteRecord(), START, spec())
    newer = spec(revision=2, upper_watts=4_000, end_time=END + 600)
    row = only(run(record, START + 60, newer, {"feed": 3_000}))
    assert (row.revision, row.upper_watts, row.end_time) == (2, 1_000, END + 600)
    assert row.frozen_reference_watts == 5_000 and row.received_time == START


def test_a_change_without_a_new_revision_counts_as_well():
    record = run(SiteRecord(), START, spec(firmness=Firmness.MANDATORY))
    row = only(run(record, START + 5, spec(ramp_seconds=5, program_name="q")))
    assert (row.firmness, row.ramp_seconds, row.program_name) == ("Committed", 5, "q")


def test_an_event_that_was_put_off_is_not_active_any_more():
    record = run(SiteRecord(), START, spec())
    later = spec(start_time=START + 7_200, end_time=END + 7_200)
    assert (
        only(run(record, START + 60, later)).state == "Far"
        or only(run(record, START + 60, later)).state == "Near"
    )


def test_an_event_taken_out_of_the_spec_is_cancelled_at_once_and_then_forgotten():
    record = run(SiteRecord(), START, spec())
    record = run(record, START + 60)
    assert (only(record).state, only(record).end_time) == ("Cancelled", START + 60)
    assert states(record) == ()
    assert run(record, START + 60 + KEPT_SECONDS).active_events == ()


def test_an_event_that_comes_back_after_a_cancellation_is_in_force_again():
    record = run(run(SiteRecord(), START, spec()), START + 60)
    row = only(run(record, START + 120, spec(), {"feed": 3_000}))
    assert (row.state, row.frozen_reference_watts) == ("Active", 5_000)


def test_an_end_that_passed_during_a_downtime_completes_the_event():
    record = run(SiteRecord(), START, spec())
    (event,) = states(run(record, END + 600, spec()))
    assert not event.active and event.upper_watts == 3_000
    assert run(record, END + KEPT_SECONDS, spec()).active_events == ()


def test_an_event_long_past_that_was_never_seen_leaves_no_trace():
    assert run(SiteRecord(), END + KEPT_SECONDS + 1, spec()).active_events == ()


@pytest.mark.parametrize(
    ("given_", "frozen", "wanted"),
    [
        (spec(), 5_000, (3_000, None)),
        (spec(upper_watts=8_000), 5_000, (0, None)),
        (spec(type="Increase", upper_watts=None, lower_watts=1_500), 5_000, (None, 6_500)),
        (spec(type="Increase", upper_watts=9_000, lower_watts=1_500), 5_000, (None, 6_500)),
        (spec(type="Increase", upper_watts=700), 5_000, (None, 5_700)),
        (spec(lower_watts=100, upper_watts=2_000), 5_000, (3_000, None)),
        (spec(type="Limit", reference="Absolute"), None, (2_000, None)),
        (spec(type="Limit", reference="FirmServiceLevel"), None, (2_000, None)),
        (
            spec(type="Increase", reference="Absolute", upper_watts=None, lower_watts=800),
            None,
            (None, 800),
        ),
        (spec(type="Disconnect", upper_watts=None), None, (0, None)),
        (spec(upper_watts=0), 5_000, (5_000, None)),
    ],
)
def test_bounds_by_type_and_reference(given_, frozen, wanted):
    upper, lower, why = bounds(given_, frozen)
    assert ((upper, lower), why) == (wanted, "")


@pytest.mark.parametrize(
    ("given_", "frozen"),
    [
        (spec(), None),
        (spec(reference="Baseline"), 5_000),
        (spec(upper_watts=None), 5_000),
        (spec(type="Level", reference="Absolute", upper_watts=None), 5_000),
    ],
)
def test_what_cannot_be_computed_is_unresolved_with_a_reason_and_never_open(given_, frozen):
    upper, lower, why = bounds(given_, frozen)
    assert upper is None and lower is None and why
    record = run(SiteRecord(), START, given_, {"feed": frozen})
    (event,) = states(record)
    assert event.active and event.unresolved_reason


def test_an_event_without_connection_is_measured_over_the_whole_site():
    assert only(run(SiteRecord(), START, spec(connection_name=""))).frozen_reference_watts == 9_000


DOCUMENT = {
    "connections": [{"name": "feed"}],
    "events": [
        {
            "name": "dr",
            "type": "Limit",
            "reference": "Absolute",
            "startTime": "2026-11-22T18:00:00+08:00",
            "endTime": "2026-11-22T20:00:00+08:00",
            "upperWatts": 3_000,
            "program": {"contractName": "c", "programName": "p"},
        }
    ],
}


def test_firmness_is_the_events_own_then_the_programs_then_mandatory():
    assert parse(DOCUMENT, {"c/p": "Voluntary"})["dr"].firmness is Firmness.VOLUNTARY
    assert parse(DOCUMENT, {})["dr"].firmness is Firmness.MANDATORY
    own = {**DOCUMENT, "events": [{**DOCUMENT["events"][0], "firmness": "Committed"}]}
    assert parse(own, {"c/p": "Voluntary"})["dr"].firmness is Firmness.COMMITTED


def test_the_firmness_of_a_contract_that_is_read_later_reaches_the_event():
    late = parse(DOCUMENT, {})["dr"]
    record = run(SiteRecord(), late.start_time, late)
    record = run(record, late.start_time + 5, parse(DOCUMENT, {"c/p": "Voluntary"})["dr"])
    assert states(record)[0].firmness is Firmness.VOLUNTARY


def test_times_and_the_only_connection_are_read_from_the_document():
    row = parse(DOCUMENT, {})["dr"]
    assert (row.connection_name, row.end_time - row.start_time) == ("feed", 7_200)
    two = {**DOCUMENT, "connections": [{"name": "a"}, {"name": "b"}]}
    assert parse(two, {})["dr"].connection_name == ""


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 3_000),
            st.sampled_from(["same", "gone", "revised", "moved"]),
            st.none() | st.integers(0, 10_000),
        ),
        max_size=15,
    )
)
def test_over_any_history_the_reference_never_moves_and_active_is_never_open(steps):
    record, now, frozen = SiteRecord(), START - 1_000, None
    given_ = spec()
    for seconds, what, watts in steps:
        now += seconds
        if what == "revised":
            given_ = replace(given_, revision=given_.revision + 1)
        elif what == "moved":
            given_ = replace(given_, end_time=given_.end_time + 60)
        before = record
        record = run(record, now, None if what == "gone" else given_, {"feed": watts})
        again = run(record, now, None if what == "gone" else given_, {"feed": watts})
        assert again == record, "the same moment twice changes nothing"
        for row in record.active_events:
            if frozen is not None and before.active_events:
                assert row.frozen_reference_watts == frozen
            frozen = row.frozen_reference_watts
        if not record.active_events:
            frozen = None
        for event in states(record):
            if event.active:
                assert event.upper_watts is not None or event.unresolved_reason


def test_an_event_that_was_put_off_is_measured_anew_at_its_own_start():
    record = run(SiteRecord(), START, spec(), {"feed": 5_000})
    later = spec(start_time=END + 3_600, end_time=END + 7_200)
    record = run(record, START + 60, later, {"feed": 3_000})
    assert (only(record).state, only(record).frozen_reference_watts) == ("Far", None)
    record = run(record, END + 3_600, later, {"feed": 8_000})
    assert (only(record).frozen_reference_watts, only(record).upper_watts) == (8_000, 6_000)


def test_a_name_that_is_used_again_after_its_end_is_another_event():
    record = run(SiteRecord(), START, spec(), {"feed": 5_000})
    record = run(record, END, spec())
    again = spec(start_time=END + 60, end_time=END + 3_600)
    row = only(run(record, END + 90, again, {"feed": 8_000}))
    assert (row.state, row.frozen_reference_watts) == ("Active", 8_000)


def test_an_event_that_moves_to_another_connection_is_measured_there():
    record = run(SiteRecord(), START, spec(), {"feed": 5_000})
    row = only(run(record, START + 60, spec(connection_name="b"), {"feed": 3_000, "b": 9_000}))
    assert row.frozen_reference_watts == 9_000


def test_a_clock_that_steps_back_over_the_start_does_not_measure_what_runs_again():
    record = run(SiteRecord(), START + 2, spec(), {"feed": 5_000})
    record = run(record, START - 3, spec(), {"feed": 3_000})
    row = only(run(record, START + 1, spec(), {"feed": 3_000}))
    assert (row.state, row.frozen_reference_watts) == ("Active", 5_000)


@pytest.mark.parametrize("text", ["2026-11-22t18:00:00z", "2026-11-22T18:00:00Z"])
def test_times_are_read_as_the_schema_allows_them(text):
    event = {"name": "dr", "type": "Limit", "reference": "Absolute", "upperWatts": 1}
    found = parse({"events": [event | {"startTime": text, "endTime": text}]}, {})
    assert found["dr"].start_time == 1_795_370_400.0


def test_a_writer_of_ever_new_names_leaves_room_for_events_on_record():
    record = SiteRecord()
    for number in range(200):
        now = START + number
        given_ = {f"e-{number}": spec(name=f"e-{number}")}
        record = advance(record, given_, METER, now)
        assert len(record.active_events) <= MOST_ENDED + len(given_)
    assert record.active_events[-1].name and any(
        row.state == "Active" for row in record.active_events
    )


def test_what_is_imported_is_the_load_less_own_supply_behind_the_connection():
    rows = (
        connection("one", metered=reading(5000.0)),
        connection("two", metered=reading(4000.0)),
    )
    here = site("a", connections=rows, supplies=(supply(3000.0),))
    assert imports(here, NOW) == {"one": 2000, "two": 4000, "": 6000}
    assert imports(replace(here, supplies=()), NOW) == {"one": 5000, "two": 4000, "": 9000}
    lost = replace(here, supplies=(supply(None),))
    assert imports(lost, NOW) == {"one": None, "two": 4000, "": None}
    unmeasured = replace(here, supplies=(replace(supply(None), power=None),))
    assert imports(unmeasured, NOW)["one"] == 5000
    second = replace(here, supplies=(replace(supply(3000.0), connection_name="two"),))
    assert imports(second, NOW) == {"one": 5000, "two": 1000, "": 6000}
    windy = replace(here, supplies=(supply(20_000.0),))
    assert imports(windy, NOW) == {"one": 0, "two": 4000, "": 0}
    dark = replace(here, connections=(rows[0], connection("two")))
    assert imports(dark, NOW) == {"one": 2000, "two": None, "": None}
