"""The ladder: a table in the order of harm, walked no further than the bound justifies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import (
    NOW,
    PROFILE,
    Original,
    batch,
    connection,
    engine,
    event,
    placement,
    quote,
    reading,
    site,
    snapshot,
    workload,
)
from wattshift.core.decision import Alternative, Target
from wattshift.core.governor.governor import govern
from wattshift.core.governor.ladder import LADDER, Harm, Mechanism, available, spoken, steps
from wattshift.core.survey.limits import Hardness
from wattshift.core.model import Firmness, Mode, Override, OverrideMode, Tier
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.validate import validate

SMALL = replace(
    PROFILE,
    name="small",
    loaded_idle_watts=20,
    floor_watts=80,
    busy_watts=120,
    devices_per_replica=1,
)


def east(name="chat", replicas=4, concurrency=46.0, **more):
    stats = more.pop("stats", None) or engine(concurrency, pods=replicas)
    return workload(
        name, (placement("east", replicas, engine=stats, **more.pop("row", {})),), **more
    )


def capped(upper, firmness=Firmness.MANDATORY, **more):
    return site("east", events=(event(upper=upper, firmness=firmness),), **more)


def left(tick, key, here=4):
    for row in tick.decisions:
        if row.workload_key == key:
            return row.replicas_of("east")
    return here


def test_the_table_is_in_the_order_of_harm_and_says_all_of_every_step():
    assert [row.number for row in LADDER] == list(range(1, len(LADDER) + 1))
    assert [row.harm for row in LADDER] == sorted(row.harm for row in LADDER)
    for row in LADDER:
        assert 0 < row.typical_permille <= 1000
        assert row.seconds_to_effect > 0
        assert row.undo_seconds > 0
        assert (row.cap_permille < 1000) is (row.mechanism is Mechanism.POWER_CAP)


@pytest.mark.parametrize(
    ("hardness", "numbers"),
    [
        (Hardness.VOLUNTARY, (1, 2)),
        (Hardness.COMMITTED, (1, 2, 5)),
        (Hardness.MANDATORY, (1, 2, 5, 7, 8)),
        (Hardness.PHYSICAL, (1, 2, 5, 7, 8)),
    ],
)
def test_a_harder_bound_justifies_more(hardness, numbers):
    assert tuple(row.number for row in steps(Mechanism.SCALE, hardness)) == numbers


def test_no_user_loses_anything_for_a_voluntary_bound():
    assert all(row.harm <= Harm.HEAD_ROOM for row in LADDER if Hardness.VOLUNTARY <= row.softest)


def test_a_mechanism_is_there_where_an_actuator_offers_it():
    row = placement("east", 1)
    assert available(Mechanism.SCALE, row)
    assert not available(Mechanism.POWER_CAP, row)
    assert available(Mechanism.POWER_CAP, replace(row, mechanisms=("PowerCap",)))


def test_messages_say_which_step_and_over_what():
    tick = govern(snapshot((east(), batch()), (capped(4000),)), None, NOW)
    assert tick.decisions[0].message.endswith(f"({spoken(LADDER[0])})")
    assert "over event dr 4000 W" in tick.decisions[0].message


# ---- no more than is needed


def test_the_last_step_is_the_smallest_that_is_enough():
    # 6 + 6 busy batch replicas: 600 W and 120 W each; 130 W too much
    jobs = (
        batch("large", 6, last_change_time=NOW - 9999),
        batch(
            "little",
            placements=(placement("east", 6, profile_name="small", baseline_replicas=6),),
            last_change_time=NOW - 10,
        ),
    )
    feed = connection(metered=None, price=quote("0.5"))
    here = snapshot(jobs, (site("east", feed=feed, limit=None),), profiles=(PROFILE, SMALL))
    power = govern(here, None, NOW).sites[0].estimated_watts
    assert power == 6 * 600 + 6 * 120
    # the safe figure of an event is a tenth higher, but never above all busy, which it is
    tick = govern(replace(here, sites=(capped(power - 130, feed=feed),)), None, NOW)
    assert {row.workload_key for row in tick.decisions} == {"team/little"}
    assert left(tick, "team/little") == 4


def test_what_was_taken_on_the_way_and_is_not_needed_stays():
    # the flexible tier gives what it may first, the large one then makes that unnecessary
    jobs = (
        batch(
            "a-little",
            placements=(placement("east", 1, profile_name="small", baseline_replicas=1),),
        ),
        batch("b-large", 6),
    )
    here = snapshot(jobs, (site("east", limit=None),), profiles=(PROFILE, SMALL))
    tick = govern(replace(here, sites=(capped(3120),)), None, NOW)
    assert {row.workload_key for row in tick.decisions} == {"team/b-large"}
    assert left(tick, "team/b-large") == 5


def test_the_loss_is_shared_inside_a_tier():
    jobs = tuple(east(name, 8, 92.0, tier=Tier.HIGH) for name in ("a", "b"))
    # 16 replicas of 550 W; 3,000 W go
    tick = govern(snapshot(jobs, (capped(6700, Firmness.COMMITTED),)), None, NOW)
    counts = [left(tick, f"team/{name}", 8) for name in ("a", "b")]
    assert sum(counts) < 16
    assert abs(counts[0] - counts[1]) <= 1


def test_who_gave_last_gives_later():
    def given(first, second):
        jobs = (
            east("a", 6, 20.0, last_change_time=NOW - first),
            east("b", 6, 20.0, last_change_time=NOW - second),
        )
        tick = govern(snapshot(jobs, (capped(5000),)), None, NOW)
        return {row.workload_key for row in tick.decisions}

    assert given(100, 5000) == {"team/b"}
    assert given(5000, 100) == {"team/a"}


def test_the_plan_s_prices_order_equals_by_powers_of_two():
    jobs = (east("a", 6, 20.0), east("b", 6, 20.0))
    calm = snapshot(jobs, (site("east"),))
    made = plan(calm, NOW)

    def priced(costs):
        rows = []
        for row in made.decisions:
            name = row.workload_key[-1]
            fewer = tuple(
                Target(placement_name=t.placement_name, replicas=t.replicas - 1) for t in row.basis
            )
            other = Alternative(
                targets=fewer, score=costs[name], reason=Reason.PAYBACK_TOO_LONG, message=""
            )
            rows.append(replace(row, targets=row.basis, score=0.0, alternatives=(other,)))
        return replace(made, decisions=tuple(rows))

    def given(costs):
        tick = govern(snapshot(jobs, (capped(5000),)), priced(costs), NOW)
        return {row.workload_key for row in tick.decisions}

    assert given({"a": 9.0, "b": 1.0}) == {"team/b"}
    assert given({"a": 1.0, "b": 9.0}) == {"team/a"}
    # nearly equal: then by who has not given for longest, here by name
    assert given({"a": 1.05, "b": 1.0}) == {"team/a"}


def test_tiers_come_before_prices_and_time():
    jobs = (
        east("firm", 6, 20.0, tier=Tier.FIRM, last_change_time=NOW - 99_999),
        east("high", 6, 20.0, tier=Tier.HIGH, last_change_time=NOW - 1),
    )
    tick = govern(snapshot(jobs, (capped(5000),)), None, NOW)
    assert {row.workload_key for row in tick.decisions} == {"team/high"}


# ---- shortfalls and people


def test_a_shortfall_is_told_with_what_is_missing():
    tick = govern(snapshot((east(tier=Tier.FIRM),), (capped(100, Firmness.COMMITTED),)), None, NOW)
    rows = [row for row in tick.notices if row.reason is Reason.BOUND_SHORT]
    assert rows
    assert "over event dr" in rows[0].message
    assert (rows[0].site_name, rows[0].connection_name) == ("east", "feed")


def test_what_is_met_is_no_shortfall():
    tick = govern(snapshot((east(), batch()), (capped(4000),)), None, NOW)
    assert all(row.reason is not Reason.BOUND_SHORT for row in tick.notices)


HOLD = Override(mode=OverrideMode.HOLD, until_time=NOW + 9, reason="works", requested_by="ann")


def test_a_hold_of_the_site_stops_no_emergency():
    here = site("east", emergency="leak in row 3", override=HOLD)
    tick = govern(snapshot((east(), batch()), (here,)), None, NOW)
    assert left(tick, "team/chat") == 0
    for row in tick.decisions:
        assert validate(row, snapshot((east(), batch()), (here,)), NOW) is None


def test_a_hold_of_the_site_yields_to_nothing_that_is_committed_only():
    here = capped(100, Firmness.COMMITTED, override=HOLD)
    assert govern(snapshot((east(), batch()), (here,)), None, NOW).decisions == ()


def test_a_release_of_the_site_is_not_fought():
    release = replace(HOLD, mode=OverrideMode.RELEASE)
    here = site("east", emergency="leak", override=release)
    assert govern(snapshot((east(),), (here,)), None, NOW).decisions == ()


def test_in_every_mode_the_same_is_told():
    for mode in Mode:
        tick = govern(replace(snapshot((east(),), (capped(1500),)), mode=mode), None, NOW)
        assert left(tick, "team/chat") < 4


def test_a_meter_that_still_shows_what_drains_makes_nothing_go_twice():
    # 4 -> 2: two drain, the meter shows four, the model counts and credits them
    row = {
        "desired_replicas": 2,
        "observed_replicas": 2,
        "ready_replicas": 2,
        "draining_replicas": 2,
        "last_write_time": NOW - 5,
    }
    job = east(replicas=2, concurrency=20.0, row=row, max_drain_seconds=60)
    feed = connection(metered=reading(1800), model_watts_at_meter=1800, price=quote("0.5"))
    tick = govern(snapshot((job,), (capped(1100, feed=feed),)), None, NOW)
    assert tick.decisions == ()


def test_without_pods_the_estimate_that_the_meter_shows_does_the_same():
    row = {
        "desired_replicas": 2,
        "observed_replicas": 2,
        "ready_replicas": 2,
        "last_write_time": NOW - 5,
    }
    job = east(replicas=2, concurrency=20.0, row=row, max_drain_seconds=60)
    # gather found that the reading shows the model of four replicas
    feed = connection(metered=reading(1800), model_watts_at_meter=1800, price=quote("0.5"))
    tick = govern(snapshot((job,), (capped(1100, feed=feed),)), None, NOW)
    assert tick.decisions == ()


@pytest.mark.parametrize("load", [46.0, None])
def test_the_tolerated_loss_is_not_lost_again_in_every_tick(load):
    """High tier: half of 8 replicas may go, and no more however long the bound lasts."""
    originals = (
        Original(
            placement_name="east",
            cluster_uid="u",
            target_uid="t",
            replicas=8,
            captured_time=NOW - 9999,
        ),
    )
    replicas = 8
    for _ in range(4):
        stats = engine(92.0, pods=replicas) if load else None
        row = placement("east", replicas, engine=stats)
        job = workload(placements=(row,), tier=Tier.HIGH, originals=originals, objectives=())
        tick = govern(snapshot((job,), (capped(10, Firmness.COMMITTED),)), None, NOW)
        replicas = left(tick, "team/chat", replicas)
    assert replicas == 4
