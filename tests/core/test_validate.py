"""Each refusal has one named cause."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import (
    NOW,
    WALL,
    MoveIntent,
    engine,
    event,
    placement,
    site,
    snapshot,
    workload,
)
from wattshift.core.decision import Action
from wattshift.core.governor.governor import govern
from wattshift.core.model import Firmness, MemberPhase, Mode, Override, OverrideMode
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.core.validate import validate

HERE = snapshot()
MOVE = plan(HERE, NOW).decisions[0]


def with_job(**more):
    return replace(HERE, workloads=(workload(**more),))


def with_east(**more):
    rows = (placement("east", **({"replicas": 6, "engine": engine()} | more)), placement("west", 0))
    return with_job(placements=rows)


def with_west(**more):
    rows = (placement("east", 6, engine=engine()), placement("west", **({"replicas": 0} | more)))
    return with_job(placements=rows)


def person(mode):
    return Override(mode=mode, until_time=NOW + 60, reason="test", requested_by="ann")


INTENT = MoveIntent(
    id="m1",
    source_name="east",
    destination_name="west",
    source_replicas=0,
    destination_replicas=2,
    started_time=NOW,
    deadline_wall_seconds=60,
    reason="CheaperPower",
    source_before=6,
    destination_before=0,
)


def test_a_decision_on_the_same_world_is_valid():
    assert MOVE.action is Action.MIGRATE
    assert validate(MOVE, HERE, NOW) is None


@pytest.mark.parametrize(
    ("fresh", "reason", "words"),
    [
        pytest.param(replace(HERE, workloads=()), Reason.STALE_PLAN, "gone", id="workload gone"),
        pytest.param(with_job(uid="other"), Reason.STALE_PLAN, "made anew", id="made anew"),
        pytest.param(
            replace(HERE, mode=Mode.OBSERVE),
            Reason.MODE_OBSERVE,
            "Observe",
            id="installation observes",
        ),
        pytest.param(with_job(mode=Mode.OBSERVE), Reason.MODE_OBSERVE, "Observe", id="observe"),
        pytest.param(
            with_job(mode=Mode.RECOMMEND), Reason.MODE_RECOMMEND, "Recommend", id="recommend"
        ),
        pytest.param(with_job(accepted=False), Reason.NOT_ACCEPTED, "accepted", id="refused"),
        pytest.param(
            with_job(originals_known=False),
            Reason.ORIGINALS_UNKNOWN,
            "doubt",
            id="originals in doubt",
        ),
        pytest.param(with_job(deleting=True), Reason.RELEASED, "deleted", id="deleting"),
        pytest.param(
            with_job(override=person(OverrideMode.HOLD)), Reason.OVERRIDE_HOLD, "ann", id="held"
        ),
        pytest.param(
            with_job(override=person(OverrideMode.PIN)), Reason.OVERRIDE_PIN, "ann", id="pinned"
        ),
        pytest.param(
            with_job(override=person(OverrideMode.RELEASE)),
            Reason.OVERRIDE_RELEASE,
            "ann",
            id="released",
        ),
        pytest.param(with_job(intent=INTENT), Reason.MOVE_IN_PROGRESS, "m1", id="move open"),
        pytest.param(
            with_job(placements=(placement("east", 6, engine=engine()),)),
            Reason.STALE_PLAN,
            "west is gone",
            id="placement gone",
        ),
        pytest.param(
            with_east(target_found=False), Reason.TARGET_NOT_FOUND, "east", id="target gone"
        ),
        pytest.param(
            with_east(target_problem="RolloutInProgress"),
            Reason.ROLLOUT_IN_PROGRESS,
            "east",
            id="rollout",
        ),
        pytest.param(with_east(rival=True), Reason.CONFLICT, "somebody else", id="rival"),
        pytest.param(
            with_east(replicas=5), Reason.STALE_PLAN, "5 replicas, decided on 6", id="count changed"
        ),
        pytest.param(
            with_east(
                engine=engine(veto_wall_time=None)
                if False
                else engine(waiting=30, first_tokens_per_second=1.0)
            ),
            Reason.QUEUE_GROWING,
            "wait",
            id="veto since",
        ),
        pytest.param(
            with_east(veto_wall_time=WALL - 1), Reason.LATENCY_GUARD, "clean", id="veto remembered"
        ),
        pytest.param(
            with_east(engine=engine(good=3)),
            Reason.OBJECTIVE_UNKNOWN,
            "do not show",
            id="in doubt since",
        ),
        pytest.param(
            with_east(engine=engine(age=99.0)), Reason.METRICS_STALE, "scraped", id="blind since"
        ),
        pytest.param(
            with_west(unschedulable=True), Reason.SITE_LIMIT, "scheduled", id="unschedulable"
        ),
        pytest.param(
            replace(HERE, sites=(HERE.sites[0], site("west", limit=700))),
            Reason.SITE_LIMIT,
            "feed",
            id="limit now",
        ),
        pytest.param(
            replace(HERE, sites=(HERE.sites[0], site("west", emergency="leak"))),
            Reason.EMERGENCY,
            "leak",
            id="emergency at the destination",
        ),
        pytest.param(
            replace(HERE, sites=(HERE.sites[0], site("west", phase=MemberPhase.LOST))),
            Reason.MEMBER_LOST,
            "lost",
            id="member lost",
        ),
        pytest.param(
            replace(HERE, sites=(HERE.sites[0],)),
            Reason.MEMBER_LOST,
            "not a member",
            id="site gone",
        ),
    ],
)
def test_a_changed_world_refuses_with_one_cause(fresh, reason, words):
    refusal = validate(MOVE, fresh, NOW)
    assert refusal is not None
    assert refusal.reason is reason
    assert words in refusal.message


def test_an_expired_decision_is_refused():
    refusal = validate(MOVE, HERE, MOVE.valid_until + 1)
    assert refusal is not None
    assert refusal.reason is Reason.STALE_PLAN
    assert "expired" in refusal.message


def test_a_hold_changes_nothing_and_is_refused_with_its_own_reason():
    held = plan(with_job(last_change_time=NOW - 1), NOW).decisions[0]
    refusal = validate(held, HERE, NOW)
    assert refusal is not None
    assert refusal.reason is Reason.WITHIN_DWELL


def shed(firmness):
    here = snapshot(
        sites=(site("east", events=(event(upper=500, firmness=firmness),)), site("west"))
    )
    return here, govern(here, None, NOW).decisions[0]


def test_a_mandatory_shed_passes_hold_veto_and_an_open_move():
    here, decision = shed(Firmness.MANDATORY)
    for more in ({"override": person(OverrideMode.HOLD)}, {"intent": INTENT}):
        assert validate(decision, replace(here, workloads=(workload(**more),)), NOW) is None
    vetoed = (placement("east", 6, engine=engine(), veto_wall_time=WALL - 1), placement("west", 0))
    assert validate(decision, replace(here, workloads=(workload(placements=vetoed),)), NOW) is None


def test_even_an_emergency_writes_nothing_in_observe():
    here, decision = shed(Firmness.MANDATORY)
    refusal = validate(decision, replace(here, mode=Mode.OBSERVE), NOW)
    assert refusal is not None
    assert refusal.reason is Reason.MODE_OBSERVE


def test_a_restore_passes_in_every_mode():
    restore = replace(MOVE, action=Action.RESTORE, reason=Reason.RELEASED)
    for mode in Mode:
        assert validate(restore, replace(HERE, mode=mode), NOW) is None
    assert validate(restore, with_job(deleting=True, accepted=False), NOW) is None


def test_what_stays_must_be_the_floor_and_carry_a_load_that_grew_since():
    lower = replace(
        MOVE,
        action=Action.SCALE_TO,
        targets=tuple(
            replace(row, replicas=2 if row.placement_name == "east" else 0) for row in MOVE.targets
        ),
    )
    assert validate(lower, HERE, NOW) is None
    floor = validate(lower, with_job(min_replicas=3), NOW)
    assert floor is not None
    assert (floor.reason, "at least 3" in floor.message) == (Reason.STALE_PLAN, True)
    grown = validate(lower, with_east(engine=engine(30.0)), NOW)
    assert grown is not None
    assert (grown.reason, "has grown" in grown.message) == (Reason.STALE_PLAN, True)
    trembled = with_east(engine=engine(24.0))
    assert validate(lower, trembled, NOW) is None


@pytest.mark.parametrize(
    ("firmness", "held", "vetoed"),
    [
        (Firmness.MANDATORY, None, None),
        (Firmness.COMMITTED, Reason.OVERRIDE_HOLD, None),
        (Firmness.VOLUNTARY, Reason.OVERRIDE_HOLD, Reason.LATENCY_GUARD),
    ],
)
def test_an_event_passes_what_it_is_harder_than(firmness, held, vetoed):
    here, decision = shed(firmness)
    hold = replace(here, workloads=(workload(override=person(OverrideMode.HOLD)),))
    refusal = validate(decision, hold, NOW)
    assert (refusal.reason if refusal else None) is held
    slow = engine(good=500, bad=500)
    rows = (placement("east", 6, engine=slow), placement("west", 0))
    refusal = validate(decision, replace(here, workloads=(workload(placements=rows),)), NOW)
    assert (refusal.reason if refusal else None) is vetoed
