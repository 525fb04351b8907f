"""Hand-over: the position from the world, the rules of loss, and make-before-break under any order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.core.build import placement
from wattshift.core.handover import HandoverView, NextStep, PodEvidence, Step, next_step
from wattshift.core.model import MemberPhase, MoveIntent
from wattshift.core.reasons import Reason

READY, LOST = MemberPhase.READY, MemberPhase.LOST


def intent(**more) -> MoveIntent:
    values = {
        "id": "m-1",
        "source_name": "east",
        "destination_name": "west",
        "source_before": 4,
        "destination_before": 0,
        "source_replicas": 0,
        "destination_replicas": 4,
        "started_time": 0.0,
        "deadline_wall_seconds": 300.0,
        "reason": "CheaperPower",
    }
    return MoveIntent(**(values | more))


def pods(count: int, *, warm: bool = True, requests: int = 5, busy: bool = False):
    return tuple(
        PodEvidence(
            pod_uid=f"p{index}", ready=True, warm=warm, requests_since_warm=requests, busy=busy
        )
        for index in range(count)
    )


def view(
    source: int | None = 4,
    destination: int | None = 4,
    *,
    source_more: dict | None = None,
    destination_more: dict | None = None,
    move: dict | None = None,
    **more,
) -> HandoverView:
    """Four replicas move from east to west; by default west is up, warm and carries traffic."""
    values = {
        "intent": intent(**(move or {})),
        "source": placement("east", source, **(source_more or {})),
        "destination": placement("west", destination, **(destination_more or {})),
        "source_member": READY,
        "destination_member": READY,
        "pods": pods(destination or 0),
        "demand": True,
        "needed_capacity": 4.0,
        "capacity_elsewhere": 0.0,
    }
    return HandoverView(**(values | more))


def step_of(found: NextStep) -> tuple[Step, str, int | None]:
    return found.step, found.placement_name, found.replicas


UNREADY = {"in_service_replicas": 2, "ready_replicas": 2}
POSITIONS = {
    "begun": (view(4, 0, pods=()), (Step.RAISE, "west", 4)),
    "raised": (view(destination_more=UNREADY, pods=pods(2)), (Step.AWAIT_READY, "", None)),
    # the cluster may still carry out an older count, and take these pods away
    "not acted on": (
        view(destination_more={"controller_lags": True}),
        (Step.AWAIT_READY, "", None),
    ),
    "ready": (view(pods=pods(4, warm=False)), (Step.WARM, "", None)),
    "half warm": (
        view(pods=(*pods(2), *pods(2, warm=False))),
        (Step.WARM, "", None),
    ),
    "pods unknown": (view(pods=()), (Step.WARM, "", None)),
    "warm": (view(pods=pods(4, requests=0)), (Step.AWAIT_TRAFFIC, "", None)),
    "traffic": (view(), (Step.LOWER, "east", 0)),
    "lowered": (view(0, source_more={"ready_replicas": 3}), (Step.VERIFY, "", None)),
    "drained": (view(0), (Step.DONE, "", None)),
    "aborting, source low": (
        view(0, move={"aborting": True}),
        (Step.GIVE_BACK_SOURCE, "east", 4),
    ),
    "aborting, source back": (
        view(4, move={"aborting": True}),
        (Step.GIVE_BACK_DESTINATION, "west", 0),
    ),
    "aborted": (view(4, 0, pods=(), move={"aborting": True}), (Step.ABORTED, "", None)),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_each_position_follows_from_the_world(name):
    given, wanted = POSITIONS[name]
    assert step_of(next_step(given)) == wanted


@pytest.mark.parametrize("name", POSITIONS)
def test_asking_twice_gives_the_same_step(name):
    given, _ = POSITIONS[name]
    assert next_step(given) == next_step(given)


@pytest.mark.parametrize("phase", [MemberPhase.LOST, MemberPhase.DEGRADED, MemberPhase.CONNECTING])
@pytest.mark.parametrize("side", ["source_member", "destination_member"])
@pytest.mark.parametrize("name", POSITIONS)
def test_nothing_is_written_while_a_member_is_not_ready(name, side, phase):
    given, _ = POSITIONS[name]
    found = next_step(replace(given, **{side: phase}))
    assert found.step is Step.WAIT and found.replicas is None
    assert found.reason is Reason.MEMBER_LOST


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("name", POSITIONS)
def test_an_unknown_count_is_not_zero(name, side):
    given, _ = POSITIONS[name]
    unknown = replace(getattr(given, side), observed_replicas=None, in_service_replicas=None)
    assert next_step(replace(given, **{side: unknown})).step is Step.WAIT


def test_a_deadline_that_passes_before_the_source_is_lowered_takes_the_destination_back():
    found = next_step(view(4, pods=pods(4, warm=False), move={"deadline_wall_seconds": -1.0}))
    assert step_of(found) == (Step.GIVE_BACK_DESTINATION, "west", 0)
    assert found.reason is Reason.DEADLINE_EXCEEDED


def test_a_deadline_that_passes_after_the_source_was_lowered_finishes_the_move():
    found = next_step(
        view(0, source_more={"ready_replicas": 2}, move={"deadline_wall_seconds": -1.0})
    )
    assert found.step is Step.DONE


def test_a_destination_that_lost_some_pods_but_still_carries_the_load_is_done_at_the_deadline():
    found = next_step(
        view(
            0,
            destination_more={"in_service_replicas": 3},
            needed_capacity=3.0,
            move={"deadline_wall_seconds": -1.0},
        )
    )
    assert found.step is Step.DONE


@pytest.mark.parametrize("serving", [0, 1])
def test_a_destination_that_died_after_the_lowering_is_never_called_done(serving):
    dead = {"in_service_replicas": serving, "ready_replicas": serving}
    waiting = next_step(view(0, destination_more=dead, pods=pods(serving)))
    assert waiting.step is Step.VERIFY
    late = next_step(
        view(0, destination_more=dead, pods=pods(serving), move={"deadline_wall_seconds": -1.0})
    )
    assert step_of(late) == (Step.GIVE_BACK_SOURCE, "east", 4)


def test_a_source_that_somebody_lowered_in_mid_move_does_not_end_it_before_the_destination_serves():
    found = next_step(view(0, destination_more=UNREADY, pods=pods(2)))
    assert found.step is Step.VERIFY


def test_a_destination_that_cannot_be_scheduled_is_given_back():
    stuck = {"unschedulable": True, "in_service_replicas": 1, "ready_replicas": 1}
    found = next_step(view(4, destination_more=stuck, pods=pods(1)))
    assert step_of(found) == (Step.GIVE_BACK_DESTINATION, "west", 0)
    assert found.reason is Reason.DESTINATION_UNSCHEDULABLE


def test_without_demand_traffic_is_not_waited_for_and_unknown_demand_counts_as_demand():
    idle = pods(4, requests=0)
    assert next_step(view(pods=idle, demand=False)).step is Step.LOWER
    assert next_step(view(pods=idle, demand=None)).step is Step.AWAIT_TRAFFIC
    assert next_step(view(pods=pods(4, requests=0, busy=True))).step is Step.LOWER


def test_every_replica_of_the_destination_must_carry_traffic():
    assert next_step(view(pods=(*pods(3), *pods(1, requests=0)))).step is Step.AWAIT_TRAFFIC


def test_lowering_waits_while_less_than_needed_would_stay():
    found = next_step(view(destination=2, move={"destination_replicas": 2}))
    assert found.step is Step.AWAIT_TRAFFIC and found.reason is Reason.CAPACITY_SHORT
    elsewhere = view(destination=2, move={"destination_replicas": 2}, capacity_elsewhere=2.0)
    assert next_step(elsewhere).step is Step.LOWER


def test_the_floor_is_what_there_was_where_the_need_is_larger_or_unknown():
    for need in (40.0, math.inf):
        assert next_step(view(needed_capacity=need)).step is Step.LOWER
        short = view(destination=3, move={"destination_replicas": 3}, needed_capacity=need)
        assert next_step(short).step is Step.AWAIT_TRAFFIC


def test_pods_that_died_at_the_source_do_not_lower_the_floor():
    """Four of six are gone: with the source's last two the destination's four are not enough."""
    found = next_step(
        view(
            6,
            source_more={"in_service_replicas": 2},
            move={"source_before": 6},
            needed_capacity=6.0,
        )
    )
    assert found.reason is Reason.CAPACITY_SHORT


def test_a_source_without_a_serving_pod_may_be_lowered_whatever_is_needed():
    found = next_step(view(6, source_more={"in_service_replicas": 0}, needed_capacity=6.0))
    assert found.step is Step.LOWER


def test_two_stronger_replicas_take_over_from_four_weaker_ones():
    strong = view(
        4,
        2,
        move={"destination_replicas": 2},
        needed_capacity=26.0,
        source_capacity=7.0,
        destination_capacity=14.0,
    )
    assert next_step(strong).step is Step.LOWER
    assert next_step(replace(strong, destination_capacity=12.0)).step is Step.AWAIT_TRAFFIC


def test_a_partial_move_lowers_the_source_to_its_target_only():
    partial = view(6, 2, move={"source_before": 6, "source_replicas": 4, "destination_replicas": 2})
    assert step_of(next_step(partial)) == (Step.LOWER, "east", 4)
    assert next_step(view(4, 2, move=vars_of(partial))).step is Step.DONE


def vars_of(given: HandoverView) -> dict:
    return {
        name: getattr(given.intent, name)
        for name in ("source_before", "source_replicas", "destination_replicas")
    }


def test_an_abort_does_not_lower_the_destination_before_the_source_serves_again():
    starting = {"in_service_replicas": 1}
    found = next_step(view(4, source_more=starting, move={"aborting": True}))
    assert found.step is Step.WAIT and found.reason is Reason.CAPACITY_SHORT


def test_an_abort_counts_what_serves_elsewhere_as_needed_too():
    """Six elsewhere do not make up for the four that moved when ten are needed."""
    found = next_step(
        view(
            4,
            source_more={"in_service_replicas": 0},
            move={"aborting": True},
            needed_capacity=10.0,
            capacity_elsewhere=6.0,
        )
    )
    assert found.step is Step.WAIT


def test_an_abort_of_a_destination_that_had_replicas_returns_to_that_count():
    found = next_step(view(4, 6, move={"aborting": True, "destination_before": 2}))
    assert step_of(found) == (Step.GIVE_BACK_DESTINATION, "west", 2)


@pytest.mark.parametrize(
    ("given", "side"),
    [
        (view(4, 2), "destination"),
        (view(), "source"),
        (view(1, move={"aborting": True}), "source"),
        (view(4, 3, move={"aborting": True}), "destination"),
    ],
)
def test_a_count_that_somebody_else_set_is_not_written_over(given, side):
    assert next_step(given).replicas is not None
    rival = replace(getattr(given, side), rival=True, target_problem=str(Reason.CONFLICT))
    found = next_step(replace(given, **{side: rival}))
    assert found.step is Step.WAIT and found.reason is Reason.CONFLICT


def test_a_target_that_got_an_autoscaler_in_mid_move_ends_it_where_it_is():
    owned = {"target_problem": str(Reason.CONFLICT)}
    assert next_step(view(source_more=owned)).step is Step.ABORTED
    assert next_step(view(4, 0, pods=(), destination_more=owned)).step is Step.ABORTED
    assert next_step(view(0, destination_more=owned)).step is Step.DONE


# ---- state machine: a small world driven by next_step ------------------------------------------


@dataclass
class Deployment:
    """Pods of one placement as a controller keeps them: unready ones go first."""

    spec: int
    ready: int
    starting: int = 0
    reachable: bool = True
    broken: bool = False
    """Nothing becomes ready here."""
    warm: int = 0
    served: int = 0

    def reconcile(self) -> None:
        surplus = self.ready + self.starting - self.spec
        if surplus > 0:
            gone = min(surplus, self.starting)
            self.starting -= gone
            self.ready -= surplus - gone
        elif surplus < 0:
            self.starting -= surplus
        self.warm, self.served = min(self.warm, self.ready), min(self.served, self.ready)


@dataclass
class Simulated:
    """Two clusters and the operator's record."""

    intent: MoveIntent
    east: Deployment
    west: Deployment
    elsewhere: int
    needed: int
    demand: bool
    finished: Step | None = None
    writes: list[tuple[str, int]] = field(default_factory=list)

    def deployment(self, name: str) -> Deployment:
        return self.east if name == "east" else self.west

    def view(self) -> HandoverView:
        evidence = tuple(
            PodEvidence(
                pod_uid=f"w{index}",
                ready=True,
                warm=index < self.west.warm,
                requests_since_warm=1 if index < self.west.served else 0,
                busy=False,
            )
            for index in range(self.west.ready)
        )
        sides = [
            placement(name, side.spec, in_service_replicas=side.ready, ready_replicas=side.ready)
            for name, side in (("east", self.east), ("west", self.west))
        ]
        return HandoverView(
            intent=self.intent,
            source=sides[0],
            destination=sides[1],
            source_member=READY if self.east.reachable else LOST,
            destination_member=READY if self.west.reachable else LOST,
            pods=evidence,
            demand=self.demand,
            needed_capacity=float(self.needed),
            capacity_elsewhere=float(self.elsewhere),
        )

    @property
    def total(self) -> int:
        return self.elsewhere + self.east.ready + self.west.ready

    @property
    def floor(self) -> int:
        before = self.elsewhere + self.intent.source_before + self.intent.destination_before
        return min(before, self.needed)

    def tick(self, fate: str) -> NextStep:
        """One tick of the operator; `fate` of its write: acknowledged, unheard (it landed), lost."""
        if self.finished is not None:
            raise AssertionError("nobody drives a finished move")
        step = next_step(self.view())
        if step.step in (Step.GIVE_BACK_SOURCE, Step.GIVE_BACK_DESTINATION, Step.ABORTED):
            self.intent = replace(self.intent, aborting=True)
        if step.step in (Step.DONE, Step.ABORTED):
            self.finished = step.step
        if step.replicas is None:
            return step
        side = self.deployment(step.placement_name)
        assert self.east.reachable and self.west.reachable, "a write while a member is away"
        assert side.spec != step.replicas, "a write that changes nothing"
        targets = {
            "east": (self.intent.source_replicas, self.intent.source_before),
            "west": (self.intent.destination_replicas, self.intent.destination_before),
        }
        assert step.replicas in targets[step.placement_name], "only toward what is on record"
        self.writes.append((step.placement_name, step.replicas))
        if fate == "lost":
            return step
        before = self.total
        side.spec = step.replicas
        side.reconcile()
        assert self.total >= min(self.floor, before), "our write took capacity that is needed"
        return step


class HandoverMachine(RuleBasedStateMachine):
    """Random orders of loss, crash, death and lateness; calm at the end."""

    sim: Simulated

    @initialize(
        source=st.integers(1, 5),
        keep=st.integers(0, 2),
        already=st.integers(0, 2),
        raised=st.integers(0, 5),
        elsewhere=st.integers(0, 3),
        needed=st.integers(0, 12),
        demand=st.booleans(),
    )
    def begin(self, source, keep, already, raised, elsewhere, needed, demand):
        self.sim = Simulated(
            intent=intent(
                source_before=source,
                source_replicas=min(keep, source - 1),
                destination_before=already,
                destination_replicas=already + max(1, raised),
            ),
            east=Deployment(spec=source, ready=source),
            west=Deployment(spec=already, ready=already),
            elsewhere=elsewhere,
            needed=needed,
            demand=demand,
        )

    def open(self) -> bool:
        return self.sim.finished is None

    @precondition(open)
    @rule(fate=st.sampled_from(["ok", "ok", "unheard", "lost"]))
    def operator_ticks(self, fate):
        self.sim.tick(fate)

    @rule()
    def operator_restarts(self):
        self.sim.west.warm = self.sim.west.served = 0

    @rule(side=st.sampled_from(["east", "west"]))
    def a_pod_becomes_ready(self, side):
        row = self.sim.deployment(side)
        if row.starting and not row.broken:
            row.starting, row.ready = row.starting - 1, row.ready + 1

    @rule(side=st.sampled_from(["east", "west"]))
    def a_pod_dies(self, side):
        row = self.sim.deployment(side)
        if row.ready:
            row.ready, row.starting = row.ready - 1, row.starting + 1
            row.warm, row.served = min(row.warm, row.ready), min(row.served, row.ready)

    @rule()
    def probes_pass(self):
        self.sim.west.warm = self.sim.west.ready

    @rule()
    def requests_arrive(self):
        self.sim.west.served = self.sim.west.warm

    @rule(side=st.sampled_from(["east", "west"]))
    def a_member_is_lost_or_back(self, side):
        row = self.sim.deployment(side)
        row.reachable = not row.reachable

    @rule()
    def the_deadline_passes(self):
        self.sim.intent = replace(self.sim.intent, deadline_wall_seconds=-1.0)

    @rule(side=st.sampled_from(["west"]))
    def nothing_starts_there_any_more(self, side):
        self.sim.deployment(side).broken = True

    @invariant()
    def only_recorded_targets_are_written(self):
        if hasattr(self, "sim"):
            known = self.sim.intent
            for name, replicas in self.sim.writes:
                wanted = (
                    {known.source_before, known.source_replicas}
                    if name == "east"
                    else {known.destination_before, known.destination_replicas}
                )
                assert replicas in wanted

    def teardown(self):
        """The world calms down: the move ends, and what it asked for stands."""
        if not hasattr(self, "sim"):
            return
        sim = self.sim
        for row in (sim.east, sim.west):
            row.reachable = True
        for index in range(60):
            if sim.finished is not None:
                break
            if index == 30:
                sim.intent = replace(sim.intent, deadline_wall_seconds=-1.0)
            sim.tick("ok")
            for row in (sim.east, sim.west):
                if not row.broken:
                    row.ready, row.starting = row.ready + row.starting, 0
            sim.west.warm = sim.west.ready
            sim.west.served = sim.west.ready
        known = sim.intent
        assert sim.finished in (Step.DONE, Step.ABORTED), sim
        if sim.finished is Step.ABORTED:
            assert sim.east.spec >= known.source_before
            assert sim.west.spec <= known.destination_before
        else:
            assert sim.east.spec <= known.source_replicas
            assert sim.west.spec >= known.destination_replicas


def test_make_before_break_holds_in_any_order_of_losses_crashes_and_deaths():
    run_state_machine_as_test(
        HandoverMachine,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


GONE = {"target_found": False, "in_service_replicas": None, "ready_replicas": None}
LATE = {"deadline_wall_seconds": -1.0}


def test_a_deleted_target_is_waited_for_until_the_deadline_only():
    early = view(4, None, destination_more=GONE, pods=())
    assert next_step(early).step is Step.WAIT
    late = next_step(view(4, None, destination_more=GONE, pods=(), move=LATE))
    assert (late.step, late.reason) == (Step.ABORTED, Reason.TARGET_NOT_FOUND)
    assert "west" in late.message
    lowered = view(0, None, destination_more=GONE, pods=(), move=LATE)
    assert step_of(next_step(lowered)) == (Step.GIVE_BACK_SOURCE, "east", 4)
    away = view(0, None, destination_more=GONE, pods=(), move=LATE, source_member=LOST)
    assert next_step(away).step is Step.WAIT


def test_a_deleted_source_leaves_the_destination_as_it_is():
    late = next_step(view(None, 4, source_more=GONE, move=LATE))
    assert (late.step, late.replicas) == (Step.ABORTED, None)
    both = view(None, None, source_more=GONE, destination_more=GONE, pods=(), move=LATE)
    assert next_step(both).step is Step.ABORTED


def test_a_lost_member_is_no_deleted_target():
    away = view(4, None, destination_more=GONE, pods=(), move=LATE, destination_member=LOST)
    assert next_step(away).step is Step.WAIT
