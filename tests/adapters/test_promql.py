"""Reading PromQL: which samples are behind a result, and what may go into a batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.adapters.promql import (
    batch,
    duration_seconds,
    is_self_contained,
    sample_time_query,
    selectors,
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("site_meter_watts", ("site_meter_watts",)),
        ('site_meter_watts{site="a"} * 1000', ('site_meter_watts{site="a"}',)),
        ("sum(farm_power_watts)", ("farm_power_watts",)),
        ('sum by (site) (farm{x=~"a|b"})', ('farm{x=~"a|b"}',)),
        ("sum(a) without (b)", ("a",)),
        ("a + on(site) group_left(zone) b", ("a", "b")),
        ("rate(energy_joules_total[5m])", ("energy_joules_total",)),
        ('{__name__="x",site="a"}', ('{__name__="x",site="a"}',)),
        ("a - a offset 1d", ("a",)),
        ("a offset 1d", ()),
        ("max_over_time(a[1h:5m])", ("a",)),
        ("max_over_time(sum(a)[1h:5m])", ("a",)),
        ("avg_over_time((a > 0)[1h:])", ("a",)),
        ("max_over_time(sum(a)[1h:5m] offset 1d) + b", ("b",)),
        ("vllm:num_requests_running", ("vllm:num_requests_running",)),
        ('a{x="b(c)"} # comment about d', ('a{x="b(c)"}',)),
        ("1 + 1", ()),
        ("clamp_min(a, 0) unless bool b", ("a", "b")),
        ("time()", ()),
        ("a == bool NaN", ("a",)),
        ("quantile(0.9, a)", ("a",)),
    ],
)
def test_the_series_behind_a_query_are_found(query: str, expected: tuple[str, ...]) -> None:
    assert tuple(selector for selector, _ in selectors(query)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("max_over_time(a[1h:5m])", (("a", "1h"),)),
        ("max_over_time(rate(a[5m])[1h:])", (("a", "1h"),)),
        ("rate(a[2h]) + max_over_time(sum(b)[1h:1m])", (("a", "2h"), ("b", "1h"))),
        (
            "max_over_time((a + sum by (x) (b[2h]))[1h:1m]) + c",
            (("a", "1h"), ("b", "2h"), ("c", "")),
        ),
    ],
)
def test_a_subquery_gives_its_range_to_what_is_inside(
    query: str, expected: tuple[tuple[str, str], ...]
) -> None:
    assert selectors(query) == expected


@pytest.mark.parametrize(
    "query",
    ["a)", "(a", 'a{x="b}', "a]b[", ') or label_replace(b, "x", "1", "", "")', "", "a; drop"],
)
def test_what_could_reach_out_of_a_batch_stays_alone(query: str) -> None:
    assert not is_self_contained(query)
    assert sample_time_query(query) is None


def test_brackets_inside_strings_and_comments_do_not_count() -> None:
    assert is_self_contained('a{x=")"} # :-)')


def test_a_comment_at_the_end_does_not_swallow_the_rest_of_a_batch() -> None:
    assert batch([("v0", "a # note")]).startswith('label_replace(\na # note\n, "wattshift_batch"')


def test_the_time_query_takes_the_oldest_sample_of_all_series() -> None:
    assert sample_time_query("sum(a)") == "min(timestamp(a))"
    two = sample_time_query("a + b")
    assert two is not None and two.startswith("min(label_replace(")
    assert sample_time_query("a offset 5m") is None


def test_a_range_is_searched_for_its_newest_sample() -> None:
    assert sample_time_query("rate(a[5m])") == "min(max_over_time(timestamp(a)[5m:15s]))"
    assert sample_time_query("avg_over_time(a[1d])") == "min(max_over_time(timestamp(a)[1d:360s]))"


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("1d", 86_400), ("500ms", 0), ("x", 0)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error_and_a_batch_of_it_keeps_its_brackets(text: str) -> None:
    selectors(text)
    if is_self_contained(text):
        assert is_self_contained(batch([("v0", text), ("v1", "up")]))
