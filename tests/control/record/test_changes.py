"""What must be written now, what waits for the minute or the hour, and what never counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.control.record.changes import Urgency, compare, same_words


def urgency(old: dict, new: dict) -> Urgency:
    return compare(old, new, ratio=0.02)


def test_equal_documents_need_no_write():
    assert urgency({"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}) is Urgency.NONE


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"placements": [{"observed": 2}]}, {"placements": [{"observed": 3}]}, Urgency.STEP),
        ({"conditions": [{"status": "True"}]}, {"conditions": [{"status": "False"}]}, Urgency.STEP),
        ({}, {"move": {"id": "m"}}, Urgency.STEP),
        ({"power": {"itWatts": 1000}}, {"power": {"itWatts": 1019}}, Urgency.COSMETIC),
        ({"power": {"itWatts": 1000}}, {"power": {"itWatts": 1030}}, Urgency.DRIFT),
        ({"power": {"itWatts": 1000}}, {"power": {}}, Urgency.STEP),
        ({"signals": [{"value": "10.0"}]}, {"signals": [{"value": "10.1"}]}, Urgency.COSMETIC),
        ({"signals": [{"value": "10"}]}, {"signals": [{"value": "11"}]}, Urgency.DRIFT),
        ({"signals": [{"quality": "Measured"}]}, {"signals": [{"quality": "Stale"}]}, Urgency.STEP),
        (
            {"signals": [{"sourceTime": "2026-11-22T10:00:00Z"}]},
            {"signals": [{"sourceTime": "2026-11-22T10:05:00Z"}]},
            Urgency.COSMETIC,
        ),
        ({"totals": {"wattHours": 10}}, {"totals": {"wattHours": 99}}, Urgency.TOTALS),
        ({"summary": {"power": "3.10 MW"}}, {"summary": {"power": "3.12 MW"}}, Urgency.COSMETIC),
        ({"summary": {"mode": "Observe"}}, {"summary": {"mode": "Enforce"}}, Urgency.DRIFT),
        (
            {"conditions": [{"message": "130 s old"}]},
            {"conditions": [{"message": "140 s old"}]},
            Urgency.COSMETIC,
        ),
        (
            {"conditions": [{"message": "gs-a is lost"}]},
            {"conditions": [{"message": "gs-b is lost"}]},
            Urgency.DRIFT,
        ),
    ],
)
def test_urgency_of_a_change(old, new, expected):
    assert urgency(old, new) is expected


json_like = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.text("ab1", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["power", "totals", "summary", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(["power", "totals", "summary", "x"]), json_like)


@given(documents, documents)
def test_nothing_is_reported_exactly_for_equal_documents(old, new):
    assert (urgency(old, new) is Urgency.NONE) == (old == new)


def test_the_bill_so_far_and_the_pace_grow_with_the_period_and_wait_for_the_hour():
    old = {"cost": {"total": "1.63"}, "pace": [{"name": "green", "slackWattHours": 10}]}
    new = {"cost": {"total": "2.45"}, "pace": [{"name": "green", "slackWattHours": 90}]}
    assert compare(old, new, ratio=0.02) is Urgency.TOTALS


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (25, 25, Urgency.TOTALS),
        (25, 30, Urgency.TOTALS),
        (25, 35, Urgency.DRIFT),
        (25, 17, Urgency.DRIFT),
        (None, 25, Urgency.TOTALS),
    ],
)
def test_a_capacity_that_changed_far_does_not_wait_for_the_hour(before, after, expected):
    def status(sequences, samples):
        row = {"key": "k", "samples": samples, "bins": f"{samples}"}
        return {
            "learnt": {
                "capacities": [row | ({} if sequences is None else {"sequences": sequences})]
            }
        }

    assert urgency(status(before, 10), status(after, 20)) is expected


@pytest.mark.parametrize("name", ["unitsPerReplicaHour", "arrivalsPerHour"])
def test_a_speed_of_batch_work_that_changed_far_does_not_wait_for_the_hour(name):
    def status(value):
        return {"learnt": {"batch": {name: value, "looks": f"looks at {value}"}}}

    assert urgency(status("24"), status("40.5")) is Urgency.DRIFT
    assert urgency(status("24"), status("27.5")) is Urgency.TOTALS
    assert urgency({"learnt": {}}, status("24")) is Urgency.TOTALS


def test_a_peak_that_rises_inside_of_the_period_does_not_wait_for_the_hour():
    old = {"period": {"wattHours": 1, "peaks": [{"componentName": "d", "peakWatts": 100}]}}
    new = {"period": {"wattHours": 2, "peaks": [{"componentName": "d", "peakWatts": 150}]}}
    assert compare(old, new, ratio=0.02) is Urgency.DRIFT


@given(st.text(), st.integers(0, 10**9), st.integers(0, 10**9))
def test_figures_that_count_up_in_a_text_are_no_other_words(words, before, after):
    assert same_words(f"{words} {before} s", f"{words} {after} s")
    assert not same_words(f"{words} {before} s", f"{words} {before} s more")


def test_the_cost_in_a_summary_is_a_figure_however_many_decimals_it_has():
    old, new = {"summary": {"cost": "0 CNY"}}, {"summary": {"cost": "0.82 CNY"}}
    assert urgency(old, new) is Urgency.COSMETIC
    assert urgency(old, {"summary": {"cost": "0.82 EUR"}}) is Urgency.DRIFT
