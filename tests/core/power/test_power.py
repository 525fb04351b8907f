"""Watts: replicas, facilities, connections, and the meter that wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from tests.core.build import (
    hand_over,
    NOW,
    PROFILE,
    connection,
    engine,
    member,
    placement,
    quote,
    reading,
    site,
    snapshot,
    workload,
)
from wattshift.core.model import FacilityPoint, MemberPhase
from wattshift.core.power.power import commanded_replicas, estimate, facility_terms, replica_watts
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import survey

CURVE = (
    FacilityPoint(temperature_millicelsius=0, fixed_watts=100, marginal_permille=1000),
    FacilityPoint(temperature_millicelsius=20000, fixed_watts=200, marginal_permille=1200),
    FacilityPoint(temperature_millicelsius=30000, fixed_watts=300, marginal_permille=1400),
)
KEY = ("east", "feed")


@pytest.mark.parametrize(
    ("celsius", "fixed", "marginal"),
    [
        (-10, 100, 1.0),
        (0, 100, 1.0),
        (10, 150, 1.1),
        (20, 200, 1.2),
        (25, 250, 1.3),
        (30, 300, 1.4),
        (45, 300, 1.4),
        (None, 300, 1.4),
    ],
)
def test_the_facility_is_affine_clamped_and_worst_when_unknown(celsius, fixed, marginal):
    here = site("a", facility=CURVE, outdoor_temperature=reading(celsius, unit="DegreeCelsius"))
    terms = facility_terms(here, NOW)
    assert terms.fixed_watts == pytest.approx(fixed)
    assert terms.marginal == pytest.approx(marginal)
    assert terms.worst is (celsius is None)


def test_without_a_curve_the_facility_equals_it():
    terms = facility_terms(site("a"), NOW)
    assert (terms.fixed_watts, terms.marginal) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("concurrency", "watts"), [(0, 100), (0.5, 255), (1, 410), (20, 600), (200, 600), (None, 600)]
)
def test_a_replica_has_an_active_floor_and_a_slope(concurrency, watts):
    assert replica_watts(PROFILE, concurrency) == pytest.approx(watts)


def test_token_rates_are_used_where_the_profile_has_slopes():
    profile = replace(
        PROFILE, watts_per_output_token_per_second=0.5, watts_per_prompt_token_per_second=0.1
    )
    assert replica_watts(profile, 4, 100, 50) == pytest.approx(400 + 50 + 5)


def test_a_profile_without_watts_has_no_estimate():
    assert replica_watts(replace(PROFILE, busy_watts=None), 4) is None


@given(st.floats(0, 100), st.floats(0, 100))
def test_more_load_never_draws_less(a, b):
    low, high = sorted((a, b))
    assert replica_watts(PROFILE, low) <= replica_watts(PROFILE, high) + 1e-9


def world(feed, **of_placement):
    row = placement("east", **({"engine": engine(20.0, pods=4)} | of_placement))
    return snapshot((workload(placements=(row,)),), (site("east", feed=feed),))


def test_without_a_meter_the_model_counts_and_events_take_a_tenth_more():
    power = estimate(world(connection(price=quote("1")), replicas=4), NOW)[KEY]
    # 4 replicas at 5 sequences: 400 + 5/20 x 200
    assert power.model_watts == pytest.approx(4 * 450)
    assert power.committed_watts == pytest.approx(1800)
    assert power.upper_watts == pytest.approx(1980)
    assert not power.suspect


def test_a_silent_meter_means_the_upper_bound_of_the_model():
    power = estimate(world(connection(metered=reading(None)), replicas=4), NOW)[KEY]
    assert power.upper_watts == pytest.approx(4 * 600)
    assert power.suspect
    assert power.reason is Reason.POWER_UNKNOWN


def test_the_meter_wins_and_a_small_residual_is_no_suspicion():
    power = estimate(world(connection(metered=reading(1900)), replicas=4), NOW)[KEY]
    assert power.committed_watts == pytest.approx(1900)
    assert not power.suspect


def test_a_residual_above_a_tenth_is_suspect_and_events_use_the_higher_figure():
    power = estimate(world(connection(metered=reading(1500)), replicas=4), NOW)[KEY]
    assert power.suspect
    assert power.reason is Reason.POWER_MODEL_SUSPECT
    assert power.committed_watts == pytest.approx(1500)
    assert power.upper_watts == pytest.approx(1800)


def test_between_meter_polls_power_is_estimated_forward():
    feed = connection(metered=reading(1900), model_watts_at_meter=1000)
    power = estimate(world(feed, replicas=4), NOW)[KEY]
    assert power.now_watts == pytest.approx(1900 + 800)


def test_a_lowered_count_is_credited_until_it_is_due():
    lowered = {"desired_replicas": 1, "observed_replicas": 1, "ready_replicas": 4, "replicas": 4}
    del lowered["replicas"]
    early = estimate(world(connection(), last_write_time=NOW - 10, **lowered), NOW)[KEY]
    late = estimate(world(connection(), last_write_time=NOW - 300, **lowered), NOW)[KEY]
    # the one that stays takes over all 20 sequences: busy, not what each drew before
    assert early.committed_watts == pytest.approx(600)
    assert late.committed_watts == pytest.approx(1800)


def test_a_raised_count_counts_at_once():
    row = estimate(
        world(connection(), observed_replicas=6, ready_replicas=4, desired_replicas=6), NOW
    )[KEY]
    assert row.committed_watts == pytest.approx(6 * 450)
    assert row.pending_up_watts > 0


def test_the_destination_of_an_open_hand_over_is_reserved():
    move = hand_over(
        source_name="x",
        destination_name="east",
        destination_replicas=8,
        source_before=1,
        destination_before=4,
    )
    row = placement("east", 4, engine=engine(20.0, pods=4))
    here = snapshot((workload(placements=(row,), intent=move),), (site("east"),))
    assert estimate(here, NOW)[KEY].committed_watts == pytest.approx(8 * 450)


def test_a_profile_without_watts_makes_the_power_unknown_where_no_meter_tells():
    here = snapshot(
        (workload(placements=(placement("east", 3, profile_name="none"),)),), (site("east"),)
    )
    power = estimate(here, NOW)[KEY]
    assert power.committed_watts is None
    assert power.reason is Reason.POWER_UNKNOWN
    assert power.unknown_replicas == 3


def test_a_lost_member_counts_what_was_last_known():
    row = placement(
        "east", None, ready_replicas=None, in_service_replicas=None, last_written_replicas=5
    )
    here = snapshot((workload(placements=(row,)),), (site("east", phase=MemberPhase.LOST),))
    power = estimate(here, NOW)[KEY]
    assert power.upper_watts == pytest.approx(5 * 600)
    assert power.unknown_replicas == 5


def test_load_beside_ours_is_part_of_the_model_and_unknown_when_it_is():
    known = estimate(world(connection(uncontrolled=reading(700)), replicas=4), NOW)[KEY]
    unknown = estimate(world(connection(uncontrolled=reading(None)), replicas=4), NOW)[KEY]
    assert known.model_watts == pytest.approx(2500)
    assert unknown.committed_watts is None


def test_power_falls_on_the_connection_of_the_cluster():
    here = site(
        "east",
        feed=connection("a"),
        members=(member("c1", connection_name="a"), member("c2", connection_name="b")),
    )
    here = replace(here, connections=(connection("a"), connection("b")))
    row = placement("p", 2, engine=engine(2.0, pods=2), site_name="east", cluster_name="c2")
    powers = estimate(snapshot((workload(placements=(row,)),), (here,)), NOW)
    assert powers["east", "a"].model_watts == 0
    assert powers["east", "b"].model_watts > 0


def test_a_rival_s_count_is_the_commanded_one():
    row = placement("east", 7, desired_replicas=3, rival=True)
    assert commanded_replicas(row) == 7


def test_replicas_that_drain_draw_power_and_are_credited_until_they_are_due():
    drained = {"desired_replicas": 2, "draining_replicas": 2, "last_write_time": NOW - 10}
    row = estimate(world(connection(), replicas=2, **drained), NOW)[KEY]
    # 20 sequences over four that draw: 450 W each; over the two that stay 500 W each
    assert row.now_watts == pytest.approx(1800)
    assert row.committed_watts == pytest.approx(1000)
    late = estimate(
        world(connection(), replicas=2, **drained | {"last_write_time": NOW - 300}), NOW
    )[KEY]
    assert late.committed_watts == pytest.approx(1800)


def test_a_power_cap_takes_off_what_is_above_it():
    row = estimate(world(connection(), replicas=4, power_cap_permille=500), NOW)[KEY]
    # 450 W each, 300 W under the cap
    assert row.now_watts == pytest.approx(1200)
    assert row.cap_saved_watts == pytest.approx(600)
    assert row.cap_saved_committed_watts == pytest.approx(600)
    assert row.upper_watts <= 1200 * 1.1


def test_a_load_beside_ours_that_is_unknown_leaves_no_room():
    unknown = world(connection(limit=10_000, uncontrolled=reading(None)), replicas=4)
    assert survey(unknown, NOW).feeds[KEY].room_watts() == 0
    known = world(connection(limit=10_000, uncontrolled=reading(500)), replicas=4)
    assert survey(known, NOW).feeds[KEY].room_watts() > 0
    metered = connection(limit=10_000, uncontrolled=reading(None), metered=reading(1900))
    assert survey(world(metered, replicas=4), NOW).feeds[KEY].room_watts() > 0


def test_what_drains_explains_a_residual_and_is_no_doubt():
    row = {"desired_replicas": 2, "draining_replicas": 2, "last_write_time": NOW - 10}
    here = world(connection(metered=reading(1100)), replicas=2, **row)
    # the model counts 1,800 W with the two that drain; their 900 W may be gone already
    assert not estimate(here, NOW)[KEY].suspect
    still = world(connection(metered=reading(1100)), replicas=4)
    assert estimate(still, NOW)[KEY].suspect
