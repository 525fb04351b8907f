"""What a plan says about giving replicas up, read for the governor's order among equals."""

from __future__ import annotations

import pytest
from tests.core.build import NOW, engine, placement, site, snapshot, workload

from wattshift.core.decision import Action, Alternative, Decision, Plan, Target
from wattshift.core.planner.planner import plan
from wattshift.core.governor.preference import preference
from wattshift.core.reasons import Reason


def targets(**counts):
    return tuple(Target(placement_name=name, replicas=count) for name, count in counts.items())


def decided(*alternatives, key="team/chat", basis=None, wanted=None, score=None):
    basis = targets(east=6, west=5) if basis is None else basis
    return Decision(
        workload_key=key,
        action=Action.HOLD,
        targets=basis if wanted is None else wanted,
        basis=basis,
        reason=Reason.NOTHING_TO_GAIN,
        message="",
        score=score,
        alternatives=tuple(
            Alternative(targets=changed, score=cost, reason=Reason.NOTHING_TO_GAIN, message="")
            for changed, cost in alternatives
        ),
    )


def read(*decisions):
    return preference(Plan(id="p", grid_time=NOW, valid_until=NOW, decisions=decisions, sites=()))


def test_the_cost_of_lowering_is_per_replica_that_goes_wherever_others_stand():
    assert read(decided((targets(east=4), 0.6))).costs == {"team/chat": pytest.approx(0.3)}


def test_what_moves_or_grows_costs_nothing_of_giving_up():
    assert read(decided((targets(east=3, west=8), 0.6), (targets(west=7), 0.2))).costs == {}


def test_the_cheapest_lowering_counts_and_never_below_nothing():
    found = read(decided((targets(east=5), 0.4), (targets(west=3), 0.2), (targets(east=0), -9.0)))
    assert found.costs == {"team/chat": 0.0}


def test_costs_are_against_what_was_chosen():
    row = decided((targets(east=4), 0.5), wanted=targets(east=5, west=5), score=0.2)
    assert read(row).costs == {"team/chat": pytest.approx(0.3)}
    assert read(row).lowering == {"team/chat"}


def test_a_workload_without_a_cost_counts_like_the_usual_one():
    rows = [decided((targets(east=5), cost), key=f"team/{cost}") for cost in (0.1, 0.3, 0.9)]
    assert read(*rows, decided(key="team/none")).usual == pytest.approx(0.3)
    assert preference(None).usual == 0.0


def test_costs_of_a_real_plan_are_those_of_its_scores():
    rows = (placement("east", 3, engine=engine(36.0, pods=3)), placement("west", 2))
    made = plan(snapshot((workload(placements=rows),), (site("east"), site("west"))), NOW)
    for decision in made.decisions:
        for row in decision.alternatives:
            assert {t.placement_name for t in row.targets} <= {"east", "west"}
    assert all(cost >= 0 for cost in preference(made).costs.values())
