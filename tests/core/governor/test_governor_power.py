"""Adversarial power: meters that lie, lag, stick or are silent; bounds that contradict or pile up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import (
    NOW,
    MoveIntent,
    batch,
    connection,
    engine,
    event,
    member,
    placement,
    quote,
    reading,
    site,
    snapshot,
    workload,
)
from wattshift.core.governor.governor import govern
from wattshift.core.model import Firmness, Mode, Override, OverrideMode, Tier
from wattshift.core.reasons import Reason
from wattshift.core.signal import Quality


def east(name="chat", replicas=6, concurrency=20.0, **more):
    stats = more.pop("stats", None) or engine(concurrency, pods=replicas)
    return workload(
        name, (placement("east", replicas, engine=stats, **more.pop("row", {})),), **more
    )


def metered(value, upper=None, *, model=None, firmness=Firmness.MANDATORY, **more):
    feed = connection(
        metered=value, model_watts_at_meter=model, price=quote("0.5"), limit=more.pop("limit", None)
    )
    events = more.pop("events", ())
    if upper is not None:
        events = (event(upper=upper, firmness=firmness),)
    return site("east", feed=feed, events=events, **more)


def count(tick, key="team/chat", here=6):
    for row in tick.decisions:
        if row.workload_key == key:
            return row.replicas_of("east")
    return here


def reasons(tick):
    return {row.reason for row in tick.notices}


# six replicas with 20 sequences: 2,600 W by the model


@pytest.mark.parametrize("shown", [1000, 2000, 3300, 6000])
def test_a_meter_that_lies_by_more_than_a_tenth_is_told_and_the_higher_figure_counts(shown):
    tick = govern(snapshot((east(),), (metered(reading(shown), 2500),)), None, NOW)
    assert Reason.POWER_MODEL_SUSPECT in reasons(tick)
    # never less is shed than the model alone asks for
    assert count(tick) <= 5


@pytest.mark.parametrize("shown", [2400, 2600, 2800])
def test_a_meter_within_a_tenth_is_believed(shown):
    tick = govern(snapshot((east(),), (metered(reading(shown), 2700),)), None, NOW)
    assert Reason.POWER_MODEL_SUSPECT not in reasons(tick)
    assert (count(tick) < 6) is (shown > 2700)


def test_a_silent_meter_means_that_every_replica_is_busy():
    tick = govern(snapshot((east(),), (metered(reading(None), 3000),)), None, NOW)
    assert Reason.POWER_UNKNOWN in reasons(tick)
    assert count(tick) * 600 <= 3000


def test_a_reading_that_has_expired_is_silence():
    old = reading(500.0, age=900.0, life=60.0)
    tick = govern(snapshot((east(),), (metered(old, 3000),)), None, NOW)
    assert count(tick) * 600 <= 3000


def test_no_number_is_silence():
    bad = replace(reading(100.0), value=float("nan"), quality=Quality.UNKNOWN)
    tick = govern(snapshot((east(),), (metered(bad, 3000),)), None, NOW)
    assert count(tick) * 600 <= 3000


def test_unknown_load_beside_ours_is_unknown_power():
    feed = connection(uncontrolled=reading(None), price=quote("0.5"), limit=None)
    here = site("east", feed=feed, events=(event(upper=3000),))
    tick = govern(snapshot((east(),), (here,)), None, NOW)
    assert count(tick) * 600 <= 3000
    assert Reason.POWER_UNKNOWN in reasons(tick)


def test_without_a_bound_a_doubt_is_nobody_s_business():
    assert govern(snapshot((east(),), (metered(reading(None)),)), None, NOW).notices == ()


def test_a_meter_that_is_stuck_high_sheds_no_more_before_the_drain_is_due():
    # it showed 5,000 W before four of ten went, and shows it still
    row = {
        "desired_replicas": 6,
        "observed_replicas": 6,
        "ready_replicas": 6,
        "draining_replicas": 4,
    }

    def tick(ago):
        job = east(
            replicas=6,
            concurrency=60.0,
            row=row | {"last_write_time": NOW - ago},
            max_drain_seconds=60,
            tier=Tier.HIGH,
        )
        here = metered(reading(5000), 3600, model=5000, firmness=Firmness.COMMITTED)
        return govern(snapshot((job,), (here,)), None, NOW)

    assert count(tick(5)) == 6
    assert count(tick(119)) == 6
    assert count(tick(121)) < 6


def test_the_feed_believes_its_meter_because_the_breaker_does():
    tick = govern(snapshot((east(),), (metered(reading(2000), limit=2200),)), None, NOW)
    assert count(tick) == 6


def test_a_lost_member_is_counted_and_another_gives_instead():
    rows = (
        workload("gone", (placement("east", 4, cluster_name="away", engine=engine(20.0, pods=4)),)),
        east(replicas=6),
    )
    members = (member("east"), replace(member("away"), phase=member("x").phase.LOST))
    here = site("east", members=members, events=(event(upper=3000),))
    tick = govern(snapshot(rows, (here,)), None, NOW)
    assert {row.workload_key for row in tick.decisions} == {"team/chat"}


# ---- contradictions


@pytest.mark.parametrize(
    ("upper", "lower", "sheds"),
    [
        (Firmness.MANDATORY, Firmness.VOLUNTARY, True),
        (Firmness.COMMITTED, Firmness.COMMITTED, True),
        (Firmness.VOLUNTARY, Firmness.MANDATORY, False),
    ],
)
def test_the_harder_of_two_that_contradict_holds_and_it_is_told(upper, lower, sheds):
    rows = (
        event("cap", upper=1500, firmness=upper),
        event("fill", upper=None, lower=2600, firmness=lower),
    )
    here = site("east", limit=None, events=rows)
    tick = govern(snapshot((east(),), (here,)), None, NOW)
    assert Reason.BOUNDS_CONTRADICT in reasons(tick)
    assert (count(tick) < 6) is sheds


def test_an_event_that_contradicts_itself_keeps_its_upper_bound():
    row = event(upper=1500, lower=2600)
    tick = govern(snapshot((east(),), (site("east", limit=None, events=(row,)),)), None, NOW)
    assert count(tick) < 6
    assert Reason.BOUNDS_CONTRADICT in reasons(tick)


def test_a_band_narrower_than_a_replica_ends_at_its_upper_side():
    row = event(upper=2500, lower=2450)
    feed = connection(metered=reading(2600), model_watts_at_meter=2600, limit=None)
    here = site("east", feed=feed, events=(row,))
    tick = govern(snapshot((east(),), (here,)), None, NOW)
    assert count(tick) == 5


# ---- many events


def test_of_many_events_the_tightest_of_each_side_holds():
    rows = tuple(event(f"e{n}", upper=5000 - 100 * n) for n in range(30))
    tick = govern(snapshot((east(), batch()), (site("east", events=rows),)), None, NOW)
    assert tick.sites[0].binding == "event e29"
    assert tick.sites[0].upper_watts == 2100


def test_more_events_than_capacity_empty_what_may_go_and_say_so():
    rows = tuple(event(f"e{n}", upper=10, firmness=Firmness.COMMITTED) for n in range(9))
    jobs = (east(tier=Tier.FIRM), batch())
    tick = govern(snapshot(jobs, (site("east", events=rows),)), None, NOW)
    assert count(tick, "team/nightly", 4) == 0
    assert count(tick) == 2  # 20 sequences with head room: firm work loses nothing
    assert Reason.BOUND_SHORT in reasons(tick)


def test_an_event_that_begins_while_another_is_left_takes_over():
    rows = (
        event(
            "first",
            upper=1000,
            start=NOW - 3600,
            end=NOW - 60,
            ramp_seconds=600,
            frozen_reference_watts=2600,
        ),
        event("second", upper=1800),
    )
    tick = govern(
        snapshot((east(replicas=3, concurrency=20.0),), (site("east", events=rows),)), None, NOW
    )
    assert all(row.replicas_of("east") <= 3 for row in tick.decisions)


# ---- events while something else goes on


MOVE = MoveIntent(
    id="m",
    source_name="east",
    destination_name="west",
    source_replicas=0,
    destination_replicas=6,
    started_time=NOW - 10,
    deadline_wall_seconds=60,
    reason="CheaperPower",
    source_before=6,
    destination_before=0,
)


def moving(**more):
    rows = (placement("east", 6, engine=engine(20.0)), placement("west", 0))
    return workload("chat", rows, intent=MOVE, **more)


@pytest.mark.parametrize(
    ("firmness", "touched"), [(Firmness.COMMITTED, False), (Firmness.MANDATORY, True)]
)
def test_a_hand_over_is_cut_for_what_is_mandatory_and_after_all_others(firmness, touched):
    tick = govern(
        snapshot((moving(),), (metered(None, 900, firmness=firmness), site("west"))), None, NOW
    )
    assert bool(tick.decisions) is touched
    beside = govern(
        snapshot((moving(), east("other")), (metered(None, 4500), site("west"))), None, NOW
    )
    assert {row.workload_key for row in beside.decisions} == {"team/other"}


def test_the_destination_of_a_hand_over_counts_before_it_is_raised():
    here = snapshot((moving(),), (site("east"), metered_west()))
    tick = govern(here, None, NOW)
    west = next(row for row in tick.sites if row.site_name == "west")
    assert west.estimated_watts == 6 * 600  # busy: nobody knows yet what they will carry


def metered_west():
    return site("west", limit=10_000)


# ---- emergencies


HOLD = Override(mode=OverrideMode.HOLD, until_time=NOW + 9, reason="demo", requested_by="ann")


@pytest.mark.parametrize(
    "more",
    [
        {"last_change_time": NOW - 1},
        {"override": HOLD},
        {"moves_today": 99},
        {"tier": Tier.FIRM, "priority": 1000},
        {"min_replicas": 6},
        {"actions": ()},
    ],
)
@pytest.mark.parametrize("words", ["leak in row 3", "supply lost", "ups on battery"])
def test_an_emergency_passes_every_timer_ramp_floor_and_hold(more, words):
    here = site("east", emergency=words, ramp_down_watts_per_minute=1, override=HOLD)
    tick = govern(snapshot((east(**more), batch()), (here,)), None, NOW)
    assert count(tick) == 0
    assert count(tick, "team/nightly", 4) == 0
    assert {row.reason for row in tick.decisions} == {Reason.EMERGENCY}


def test_an_emergency_with_something_left_leaves_the_firmest():
    here = site("east", emergency="supply lost", emergency_watts=1200)
    jobs = (
        east("firm", 2, 20.0, tier=Tier.FIRM),
        east("high", 4, 40.0, tier=Tier.HIGH),
        batch(),
    )
    tick = govern(snapshot(jobs, (here,)), None, NOW)
    assert count(tick, "team/firm", 2) == 2
    assert count(tick, "team/high", 4) == 0
    assert count(tick, "team/nightly", 4) == 0


def test_nothing_is_raised_where_an_emergency_is():
    stats = engine(20.0, pods=2, waiting=20, first_tokens_per_second=1.0)
    here = site("east", emergency="ups on battery", emergency_watts=100_000)
    tick = govern(snapshot((east(replicas=2, stats=stats),), (here,)), None, NOW)
    assert tick.decisions == ()


def test_what_only_watches_is_told_and_not_counted_on():
    jobs = (east("a", mode=Mode.RECOMMEND), east("b"))
    tick = govern(snapshot(jobs, (site("east", emergency="leak"),)), None, NOW)
    assert {row.workload_key for row in tick.decisions} == {"team/a", "team/b"}
