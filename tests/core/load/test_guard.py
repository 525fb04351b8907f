"""The latency guard: veto, removal, and the many kinds of not knowing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from tests.core.build import TTFT, WALL, engine, idle_engine, placement
from wattshift.core.engine import Metric
from wattshift.core.load.guard import GuardState, judge, merge, thresholds_milliseconds
from wattshift.core.model import Objective
from wattshift.core.reasons import Reason

ITL = Objective(
    metric=Metric.INTER_TOKEN_LATENCY,
    threshold_milliseconds=50,
    attainment_permille=950,
    window_seconds=300,
)


def verdict(stats, objectives=(TTFT,), **more):
    round_trip = more.pop("round_trip", 0)
    return judge(
        placement("east", 6, engine=stats, **more),
        objectives,
        wall_time=WALL,
        round_trip_milliseconds=round_trip,
    )


@pytest.mark.parametrize(
    ("stats", "state", "removal", "reason"),
    [
        pytest.param(engine(good=1000), "Within", True, None, id="all good"),
        pytest.param(engine(good=44), "Unknown", False, Reason.OBJECTIVE_UNKNOWN, id="too few"),
        pytest.param(engine(good=45), "Within", True, None, id="just enough"),
        pytest.param(engine(good=195, bad=5), "Within", True, None, id="five of two hundred"),
        pytest.param(
            engine(good=190, bad=10),
            "Unknown",
            False,
            Reason.OBJECTIVE_UNKNOWN,
            id="at the allowed share",
        ),
        pytest.param(
            engine(good=700, bad=300, fast_bad=40),
            "Violated",
            False,
            Reason.LATENCY_GUARD,
            id="both windows bad",
        ),
        pytest.param(
            engine(good=700, bad=300, fast_bad=0),
            "Unknown",
            False,
            Reason.OBJECTIVE_UNKNOWN,
            id="only the slow window bad",
        ),
        pytest.param(
            engine(good=1000, fast_bad=50), "Within", True, None, id="only the fast window bad"
        ),
        pytest.param(
            engine(good=500, ambiguous=500),
            "Unknown",
            False,
            Reason.OBJECTIVE_NOT_OBSERVABLE,
            id="the cut bucket decides",
        ),
        pytest.param(
            engine(good=1000, age=16),
            "Blind",
            False,
            Reason.METRICS_STALE,
            id="three scrapes missed",
        ),
        pytest.param(
            engine(good=1000, pods=5, pods_expected=6),
            "Unknown",
            False,
            Reason.METRICS_STALE,
            id="one engine not scraped",
        ),
        pytest.param(None, "Blind", False, Reason.METRICS_STALE, id="no metrics"),
        pytest.param(idle_engine(6), "Idle", True, None, id="an hour without requests"),
        pytest.param(
            replace(idle_engine(6), idle_seconds=599.0),
            "Unknown",
            False,
            Reason.OBJECTIVE_UNKNOWN,
            id="not idle for long enough",
        ),
        pytest.param(engine(good=0), "Unknown", False, Reason.OBJECTIVE_UNKNOWN, id="no samples"),
    ],
)
def test_what_is_seen_becomes_a_state(stats, state, removal, reason):
    found = verdict(stats)
    assert (found.state, found.removal_allowed, found.reason) == (state, removal, reason)
    assert found.veto is (state == "Violated")
    assert found.message


def test_waiting_beyond_the_objective_vetoes_although_all_samples_are_good():
    found = verdict(engine(good=5000, waiting=30, first_tokens_per_second=10.0))
    assert found.veto
    assert found.reason is Reason.QUEUE_GROWING
    assert "3.0 s" in found.message


def test_no_first_token_for_longer_than_the_objective_vetoes_at_once():
    found = verdict(engine(good=0, waiting=1, waited=1.5, first_tokens_per_second=0.0))
    assert found.reason is Reason.QUEUE_GROWING


def test_requests_in_the_act_of_admission_are_no_queue():
    assert not verdict(engine(waiting=6, first_tokens_per_second=1.0)).veto


def test_a_short_queue_at_a_high_rate_is_no_veto():
    assert not verdict(engine(waiting=30, first_tokens_per_second=100.0)).veto


def test_preemptions_with_a_full_cache_veto():
    assert verdict(engine(preemptions=1, kv_cache_usage=0.95)).veto
    assert not verdict(engine(preemptions=1, kv_cache_usage=0.5)).veto
    assert not verdict(engine(preemptions=0, kv_cache_usage=0.95)).veto
    assert not verdict(engine(preemptions=3, kv_cache_usage=None)).veto


def test_the_veto_says_how_many_replicas_the_queue_needs():
    found = verdict(engine(20.0, waiting=20, first_tokens_per_second=1.0))
    assert found.needed_replicas == 12
    one = verdict(engine(100.0, waiting=7, first_tokens_per_second=1.0))
    assert one.needed_replicas == 7


def test_a_veto_is_remembered_until_three_slow_windows_are_clean():
    kept = verdict(engine(), veto_wall_time=WALL - 1799)
    gone = verdict(engine(), veto_wall_time=WALL - 1800)
    assert kept.veto
    assert not kept.violated_now
    assert not kept.removal_allowed
    assert kept.state is GuardState.WITHIN
    assert gone.removal_allowed


def test_a_clock_that_started_anew_forgets_the_veto():
    assert not verdict(engine(), veto_wall_time=WALL + 999).veto


def test_tokens_of_one_request_correlate_and_count_ten_at_most():
    stats = engine(good=9500, bad=0, metric=Metric.INTER_TOKEN_LATENCY, threshold=50)
    few = replace(stats, windows=(replace(stats.windows[0], requests_slow=4),))
    enough = replace(stats, windows=(replace(stats.windows[0], requests_slow=5),))
    assert verdict(few, (ITL,)).state is GuardState.UNKNOWN
    assert verdict(enough, (ITL,)).state is GuardState.WITHIN


def test_every_objective_must_hold():
    both = engine(good=1000)
    itl = engine(good=500, bad=500, fast_bad=50, metric=Metric.INTER_TOKEN_LATENCY, threshold=50)
    mixed = replace(both, windows=(both.windows[0], itl.windows[0]))
    assert verdict(mixed, (TTFT, ITL)).veto
    assert verdict(both, (TTFT, ITL)).state is GuardState.UNKNOWN


@pytest.mark.parametrize(
    ("round_trip", "threshold", "removal"),
    [(0, 1000, True), (80, 1000, True), (300, 1000, False), (300, 700, True), (300, 650, True)],
)
def test_the_round_trip_is_taken_off_the_threshold_for_removals(round_trip, threshold, removal):
    found = verdict(engine(good=1000, threshold=threshold), round_trip=round_trip)
    assert found.removal_allowed is removal
    if not removal:
        assert found.reason is Reason.OBJECTIVE_NOT_OBSERVABLE


def test_thresholds_to_count_are_the_objective_and_what_the_round_trip_leaves():
    assert thresholds_milliseconds(TTFT, 38) == (1000, 962)
    assert thresholds_milliseconds(TTFT, 0) == (1000,)
    assert thresholds_milliseconds(ITL, 38) == (50,)


def test_without_an_objective_nothing_is_violated():
    assert verdict(engine(good=0), ()).removal_allowed
    assert verdict(None, ()).removal_allowed


def test_no_replica_is_idle_not_blind():
    found = judge(placement("west", 0), (TTFT,), wall_time=WALL)
    assert found.state is GuardState.IDLE


def test_an_unknown_count_without_metrics_is_blind():
    row = placement("west", None, ready_replicas=None, in_service_replicas=None)
    assert judge(row, (TTFT,), wall_time=WALL).state is GuardState.BLIND


def test_the_worst_placement_decides_for_the_workload():
    good, bad, blind = (
        verdict(engine()),
        verdict(engine(good=1, bad=500, fast_bad=50)),
        verdict(None),
    )
    assert merge((good, bad, blind)).state is GuardState.VIOLATED
    assert merge((good, blind)).state is GuardState.BLIND
    assert not merge((good, blind)).removal_allowed
    assert merge((good,)).removal_allowed
    assert merge(()).state is GuardState.IDLE


def test_a_remembered_veto_shows_through_the_merge():
    held = verdict(engine(), veto_wall_time=WALL - 5)
    assert merge((verdict(engine()), held)).veto


@given(
    good=st.integers(0, 3000),
    bad=st.integers(0, 3000),
    ambiguous=st.integers(0, 3000),
    waiting=st.integers(0, 50),
    waited=st.floats(0, 5),
)
def test_a_veto_and_a_removal_never_go_together(good, bad, ambiguous, waiting, waited):
    found = verdict(
        engine(
            good=good,
            bad=bad,
            ambiguous=ambiguous,
            waiting=waiting,
            waited=waited if waiting else 0.0,
        )
    )
    assert not (found.veto and found.removal_allowed)
    assert found.removal_allowed == (found.state is GuardState.WITHIN)


@given(good=st.integers(50, 3000), bad=st.integers(0, 300))
def test_more_bad_samples_never_allow_what_fewer_did_not(good, bad):
    fewer = verdict(engine(good=good, bad=bad, fast_bad=0))
    more = verdict(engine(good=good, bad=bad + 20, fast_bad=0))
    assert fewer.removal_allowed or not more.removal_allowed
