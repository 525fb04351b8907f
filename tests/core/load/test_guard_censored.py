"""The guard where histograms do not tell: queues, gateways, vanished replicas, round trips, freezes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.build import (
    NOW,
    TTFT,
    WALL,
    engine,
    idle_engine,
    placement,
    reading,
    site,
    snapshot,
    workload,
)

from wattshift.core.load.demand import (
    cache_capacity,
    gateway_shares,
    load_of,
    reach,
)
from wattshift.core.engine import Counts
from wattshift.core.governor.governor import govern
from wattshift.core.load.guard import GuardState, freeze, judge
from wattshift.core.model import Origin
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import survey


def verdict(stats, **more):
    trip = {
        key: more.pop(key)
        for key in ("round_trip_milliseconds", "least_round_trip_milliseconds", "gateway_waiting")
        if key in more
    }
    return judge(placement("east", 6, engine=stats, **more), (TTFT,), wall_time=WALL, **trip)


def vanished(stats, missing):
    row = replace(stats.windows[0], incomplete=True, missing=missing)
    return replace(stats, windows=(row,))


# --- vanished replicas -----------------------------------------------------------------------------


def test_a_vanished_pod_of_which_nobody_knows_more_leaves_no_proof_for_a_removal():
    found = verdict(vanished(engine(good=100_000), None))
    assert (found.state, found.removal_allowed) == (GuardState.UNKNOWN, False)
    assert found.reason is Reason.METRICS_STALE
    assert "vanished" in found.message


@pytest.mark.parametrize(("missing", "removal"), [(1, True), (5, True), (6, False), (60, False)])
def test_requests_that_a_vanished_pod_took_with_it_count_as_bad_for_a_removal(missing, removal):
    found = verdict(vanished(engine(good=200 - missing), missing))
    assert found.removal_allowed is removal


@given(st.one_of(st.none(), st.integers(1, 10_000)), st.integers(0, 3000))
def test_what_a_vanished_pod_took_with_it_never_vetoes(missing, good):
    assert not verdict(vanished(engine(good=good), missing)).veto


def test_a_violation_is_still_seen_when_a_pod_vanished():
    assert verdict(vanished(engine(good=100, bad=400, fast_bad=40), None)).veto


# --- queues ----------------------------------------------------------------------------------------


def test_what_waits_too_long_counts_as_bad_for_a_removal_before_it_vetoes():
    few = engine(good=100, waiting=4, first_tokens_per_second=1.0)
    found = verdict(few)
    assert not found.veto, "one for each engine may be in the act of admission"
    assert not found.removal_allowed
    assert verdict(engine(good=100, waiting=4, first_tokens_per_second=10.0)).removal_allowed


def test_the_queue_at_the_gateway_is_part_of_the_wait():
    stats = engine(good=5000, waiting=8, first_tokens_per_second=10.0)
    assert not verdict(stats).veto
    found = verdict(stats, gateway_waiting=8.0)
    assert found.reason is Reason.QUEUE_GROWING
    assert "8 at the gateway" in found.message
    assert found.needed_replicas == 11, "6 x (20 + 16) / 20"


def test_engines_without_a_request_are_not_idle_while_the_gateway_holds_some():
    assert verdict(idle_engine(6)).state is GuardState.IDLE
    assert verdict(idle_engine(6), gateway_waiting=3.0).state is GuardState.UNKNOWN


def test_requests_at_the_gateway_are_load_and_go_where_first_tokens_come_from():
    fast = engine(good=1000, first_tokens_per_second=9.0)
    slow = engine(4.0, pods=2, first_tokens_per_second=3.0)
    job = workload(
        placements=(placement("east", 6, engine=fast), placement("west", 2, engine=slow)),
        queued=reading(12.0, unit="Count"),
    )
    assert gateway_shares(job, NOW) == pytest.approx((9.0, 3.0))
    rows = tuple(judge(row, (TTFT,), wall_time=WALL) for row in job.placements)
    load = load_of(job, rows, NOW)
    assert (load.concurrency, load.waiting) == (pytest.approx(36.0), 12)
    silent = replace(job, queued=reading(None, unit="Count"))
    assert gateway_shares(silent, NOW) == (0.0, 0.0)
    assert load_of(silent, rows, NOW).waiting == 0


def test_a_gateway_queue_before_any_first_token_goes_by_replicas():
    job = workload(
        placements=(placement("east", 3), placement("west", 1)), queued=reading(8.0, unit="Count")
    )
    assert gateway_shares(job, NOW) == (6.0, 2.0)


# --- round trips -----------------------------------------------------------------------------------


def test_the_way_of_every_user_is_added_to_the_veto_and_to_the_wait():
    stats = engine(good=100, bad=400, fast_bad=40, threshold=700)
    far = verdict(stats, round_trip_milliseconds=300, least_round_trip_milliseconds=300)
    assert far.veto, "700 ms at the engine and 300 ms to it are the second that is allowed"
    mixed = verdict(stats, round_trip_milliseconds=300, least_round_trip_milliseconds=0)
    assert not mixed.veto, "users next door are served in time: no violation of all"
    assert not mixed.removal_allowed
    queue = engine(waiting=8, first_tokens_per_second=10.0)
    assert not verdict(queue).veto
    assert verdict(queue, round_trip_milliseconds=300).veto


def test_a_stricter_window_never_vetoes_a_looser_objective():
    strict = engine(good=0, bad=500, fast_bad=50, threshold=500)
    found = verdict(strict)
    assert not found.veto
    assert not found.removal_allowed


def test_the_shortest_way_is_that_of_origins_that_are_served_here():
    known = {"near": 10, "far": 90}

    def rows(*names, limit=100):
        return tuple(
            Origin(name=name, share_permille=500, max_round_trip_milliseconds=limit)
            for name in names
        )

    def least(origins):
        return reach("a", known, origins, by_origin=False).least

    assert least(rows("near", "far")) == 10
    assert least(rows("far")) == 90
    assert least(rows("far", "unknown")) == 0
    assert least(()) == 0


# --- what is kept of a violation -------------------------------------------------------------------


def world(**more):
    rows = (
        placement("east", 6, engine=engine(), veto_wall_time=more.pop("vetoed", None)),
        placement("west", 4, engine=engine(pods=4)),
    )
    return snapshot((workload(placements=rows, **more),))


def test_a_violation_freezes_savings_at_every_placement_for_the_dwell_time():
    (job,) = survey(world(vetoed=WALL - 2000, min_dwell_seconds=3600), NOW).jobs
    assert not job.verdict.veto, "three slow windows were clean"
    assert [spot.verdict.removal_allowed for spot in job.spots] == [False, False]
    assert job.verdict.reason is Reason.LATENCY_GUARD
    (free,) = survey(world(vetoed=WALL - 3601, min_dwell_seconds=3600), NOW).jobs
    assert [spot.verdict.removal_allowed for spot in free.spots] == [True, True]


def test_in_a_replay_the_dwell_time_passes_as_fast_as_its_clock():
    state = replace(world(vetoed=WALL - 1900, min_dwell_seconds=36_000), speed=60.0)
    (job,) = survey(state, NOW).jobs
    assert job.verdict.removal_allowed


def test_a_freeze_takes_nothing_but_the_removal():
    before = verdict(engine())
    after = freeze(before, seconds_since=5.0, dwell_seconds=10.0)
    assert (after.state, after.veto, after.removal_allowed) == (before.state, False, False)
    assert freeze(before, seconds_since=10.0, dwell_seconds=10.0) is before
    assert freeze(before, seconds_since=-1.0, dwell_seconds=10.0) is before


def test_a_veto_gives_capacity_back_in_the_tick_that_sees_it():
    stats = engine(60.0, good=500, bad=500, fast_bad=60, waiting=30, first_tokens_per_second=2.0)
    state = snapshot(
        (workload(placements=(placement("east", 6, engine=stats), placement("west", 0))),)
    )
    found = govern(state, None, NOW)
    (decision,) = found.decisions
    assert sum(row.replicas for row in decision.targets) >= 9, "6 x (60 + 30) / 60"
    assert decision.urgent
    assert found.violations == (("team/chat", "east"),)


# --- the cache -------------------------------------------------------------------------------------


def test_survivors_keep_their_cache_below_eight_tenths():
    stats = engine(60.0, kv_cache_usage=0.6, waiting=0)
    here = placement("east", 6, engine=stats)
    assert cache_capacity(here, 0) == pytest.approx(10 * 0.8 / 0.6)
    assert cache_capacity(here, 200) == pytest.approx(16.0)
    (job,) = survey(snapshot((workload(placements=(here, placement("west", 0))),)), NOW).jobs
    assert job.spots[0].capacity == pytest.approx(14.0), "the prior is tighter"
    full = placement("east", 6, engine=replace(stats, kv_cache_usage=0.79))
    (tight,) = survey(snapshot((workload(placements=(full, placement("west", 0))),)), NOW).jobs
    assert tight.spots[0].capacity == pytest.approx(10 * 0.8 * 1.2 / 0.79)
    assert tight.need is not None
    assert tight.need > 5 * tight.spots[0].capacity, "not one of the six may go"


@pytest.mark.parametrize("usage", [None, 0.0, 0.29])
def test_an_empty_cache_says_nothing_about_capacity(usage):
    assert cache_capacity(placement("east", 6, engine=engine(kv_cache_usage=usage)), 200) == float(
        "inf"
    )


def test_the_cut_bucket_is_good_for_a_veto_and_bad_for_a_removal():
    base = engine(good=400)
    window = replace(
        base.windows[0],
        slow=Counts(good=400, ambiguous=200),
        fast=Counts(good=40, ambiguous=20),
    )
    found = verdict(replace(base, windows=(window,)))
    assert (found.veto, found.removal_allowed) == (False, False)
    assert found.reason is Reason.OBJECTIVE_NOT_OBSERVABLE
