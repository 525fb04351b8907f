"""What people are told: an event once, no status churn in a still world, short words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from tests.core.build import NOW, Original, placement, snapshot, workload
from wattshift.control.act import ALREADY_SO, Acted
from wattshift.control.clock import ManualClock
from wattshift.control.hub.conditions import Truth, condition
from wattshift.control.record.documents import compose
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.acting.moves import Moved
from wattshift.control.acting.release import Released
from wattshift.control.acting.rivals import COOL_OFF_SECONDS, Conceded, Rivals
from wattshift.control.record.show import Show
from wattshift.control.record.status import StatusBook
from wattshift.core.decision import Action, Decision, Governance, Plan, Target
from wattshift.core.handover import NextStep, Step
from wattshift.core.reasons import Reason
from wattshift.core.restore import RestoreStep
from wattshift.obs.metrics import Metrics

KEY = ObjectKey.workload("team/chat")


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(utc=NOW)
        self.book = StatusBook(client=None, clock=self.clock)
        self.book.observe(KEY, uid="uid-chat", generation=1, version="1", status={})
        self.told: list[tuple[str, str, str, bool]] = []
        runtime = SimpleNamespace(
            book=self.book,
            clock=self.clock,
            metrics=Metrics(),
            store=SimpleNamespace(get=lambda key: SimpleNamespace(uid="uid-chat")),
            events=SimpleNamespace(emit=self.emit),
            poller=SimpleNamespace(states=lambda _now: {}),
            settling=lambda: False,
        )
        self.show = Show(
            runtime=runtime,
            gather=SimpleNamespace(flows=dict),
            prices=SimpleNamespace(in_force=lambda _now: ()),
        )

    def emit(self, key, uid, *, reason, action, note, warning=False, related=None) -> None:
        self.told.append((reason, action, note, warning))

    def plan(
        self,
        decision: Decision,
        result: str | None = "Done",
        message: str = "",
        *,
        refusal: Reason | None = None,
    ) -> None:
        acted = ()
        if result is not None:
            acted = (
                Acted(
                    workload_key=KEY.path,
                    action=decision.action,
                    reason=str(refusal or decision.reason),
                    result=result,
                    message=message,
                ),
            )
        made = Plan(id="p", grid_time=NOW, valid_until=NOW, decisions=(decision,), sites=())
        self.show.plan(snapshot(), made, acted)

    def composed(self) -> dict:
        rows = tuple(row for key, row in self.book.all_conditions() if key == KEY)
        return dict(compose(KEY.kind, self.book.workload(KEY), rows, generation=1, speed=1.0))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def scale(replicas: int = 3, reason: Reason = Reason.CHEAPER_POWER, **more) -> Decision:
    return Decision(
        workload_key=KEY.path,
        action=more.pop("action", Action.SCALE_TO),
        targets=(Target(placement_name="east", replicas=replicas),),
        reason=reason,
        message=more.pop("message", "because"),
        **more,
    )


def test_an_act_is_told_once_however_often_it_is_decided(scene):
    scene.plan(scale())
    for _ in range(3):
        scene.plan(scale(), message=ALREADY_SO)
    assert [row[:2] for row in scene.told] == [("CheaperPower", "ScaleTo")]
    scene.plan(scale(2))
    assert len(scene.told) == 2


def test_an_act_that_was_refused_at_first_is_told_when_it_is_done(scene):
    scene.plan(scale(), "Refused", "another act is open")
    assert scene.told == []
    scene.plan(scale())
    assert len(scene.told) == 1


@pytest.mark.parametrize("reason", [Reason.STALE_PLAN, Reason.MOVE_IN_PROGRESS])
def test_what_was_refused_for_a_moment_is_not_told_with_its_counts(scene, reason):
    """The load grew between plan and act: the next plan moves two, and that alone is told."""
    scene.plan(scale(4, message="move to 4"))
    scene.plan(scale(1, message="move to 1"), "Refused", "the load has grown", refusal=reason)
    assert scene.composed()["lastDecision"]["message"] == "move to 4"
    scene.plan(scale(2, message="move to 2"))
    assert scene.composed()["lastDecision"]["message"] == "move to 2"
    assert len(scene.told) == 2


def test_a_refusal_that_lasts_is_told_as_one_and_not_as_an_act(scene):
    scene.plan(scale(4))
    scene.plan(scale(1), "Refused", "somebody else writes", refusal=Reason.CONFLICT)
    last = scene.composed()["lastDecision"]
    assert (last["action"], last["reason"]) == ("Hold", Reason.CONFLICT)
    assert last["message"] == "ScaleTo refused: somebody else writes"


def test_the_same_failure_is_told_once_and_its_end_as_well(scene):
    for _ in range(3):
        scene.plan(scale(), "Failed", "the server refused")
    assert [row[3] for row in scene.told] == [True]
    scene.plan(scale())
    assert [row[3] for row in scene.told] == [True, False]


def test_an_idle_hold_says_nothing(scene):
    scene.plan(scale(action=Action.HOLD, reason=Reason.NOTHING_TO_GAIN), None)
    assert scene.told == []


def test_a_failure_is_a_warning_with_its_own_words(scene):
    scene.plan(scale(), "Failed", "the server refused")
    assert scene.told == [("CheaperPower", "ScaleTo", "the server refused", True)]


def test_a_still_world_changes_no_status(scene):
    world = snapshot()
    quiet = Governance(grid_time=NOW, decisions=(), sites=())
    scene.show.governance(world, quiet, ())
    first = scene.composed()
    for _ in range(5):
        scene.clock.advance(5)
        later = replace(world, grid_time=world.grid_time + 5, wall_time=world.wall_time + 5)
        scene.show.governance(later, quiet, ())
    assert scene.composed() == first


def guarded(scene, truth: str, message: str = "", reason: Reason | None = None) -> None:
    rows = ((KEY.path, truth, reason, message),)
    scene.show.governance(
        snapshot((workload("chat", (placement("east"),)),)),
        Governance(grid_time=NOW, decisions=(), sites=(), within_objective=rows),
        (),
    )


def test_a_violation_is_told_when_it_begins_and_when_it_is_over(scene):
    guarded(scene, "True")
    for waiting in range(7, 10):
        guarded(scene, "False", f"{waiting} requests wait", Reason.QUEUE_GROWING)
    guarded(scene, "Unknown", "no engine was scraped", Reason.METRICS_STALE)
    guarded(scene, "False", "still", Reason.LATENCY_GUARD)
    for _ in range(3):
        guarded(scene, "True", "0 bad of 90, allowed 1.0%")
    assert scene.told == [
        ("QueueGrowing", "Guard", "7 requests wait; no saving acts until it is over", True),
        ("WithinObjective", "Guard", "0 bad of 90, allowed 1.0%", False),
    ]


def test_a_new_leader_tells_no_violation_that_the_status_says_already(scene):
    scene.book.set_conditions(
        KEY, condition("WithinObjective", False, Reason.QUEUE_GROWING, "7 requests wait")
    )
    guarded(scene, "False", "8 requests wait", Reason.QUEUE_GROWING)
    assert scene.told == []
    guarded(scene, "True")
    assert [row[:2] for row in scene.told] == [("WithinObjective", "Guard")]


def test_words_in_status_are_short(scene):
    scene.plan(scale(message="x" * 5_000))
    assert len(scene.composed()["lastDecision"]["message"]) <= 1_024


def test_counts_are_shown_and_unknown_ones_as_such(scene):
    rows = (placement("east", 6), placement("west", None))
    scene.show.workloads(snapshot(workloads=(workload(placements=rows),)))
    assert scene.book.workload(KEY).summary.replicas == "east 6/6, west ?/?"


@pytest.mark.parametrize(
    ("more", "truth", "reason"),
    [
        ({}, Truth.TRUE, "AsFound"),
        ({"originals_known": False}, Truth.UNKNOWN, "OriginalsUnknown"),
        (
            {
                "originals": (
                    Original(
                        placement_name="east",
                        cluster_uid="c",
                        target_uid="t",
                        replicas=9,
                        captured_time=NOW,
                    ),
                )
            },
            Truth.FALSE,
            "Deviates",
        ),
    ],
)
def test_at_baseline_says_whether_counts_are_as_found(scene, more, truth, reason):
    scene.show.workloads(snapshot(workloads=(workload(**more),)))
    found = scene.book.condition(KEY, "AtBaseline")
    assert (found.status, found.reason) == (truth, reason)


def test_a_concession_is_told_and_its_condition_ends_with_the_cool_off(scene):
    scene.show.conceded((Conceded(workload_key=KEY.path, placement_name="east", ours=3, theirs=6),))
    assert scene.told[0][0] == "ReleasedToOwner" and scene.told[0][3]
    assert scene.book.condition(KEY, "Conflict").status is Truth.TRUE
    still = (placement("east", 6, target_problem=str(Reason.CONFLICT)),)
    scene.show.workloads(snapshot(workloads=(workload(placements=still),)))
    assert scene.book.condition(KEY, "Conflict") is not None
    scene.show.workloads(snapshot())
    assert scene.book.condition(KEY, "Conflict") is None


def moved(step: Step, result: str) -> Moved:
    made = NextStep(step=step, reason=Reason.MOVE_IN_PROGRESS, message="m")
    return Moved(workload_key=KEY.path, step=made, result=result, message="m")


def test_steps_of_a_move_are_told_and_waiting_is_not(scene):
    scene.show.moves((moved(Step.WARM, "Waiting"),))
    assert scene.told == []
    for result, warning in (("Done", False), ("Finished", False), ("Aborted", True)):
        scene.show.moves((moved(Step.LOWER, result),))
        assert scene.told[-1][3] is warning


def test_a_workload_let_go_unrestored_is_a_warning(scene):
    step = RestoreStep(writes=(), done=True, reason=Reason.RESTORE_TIMED_OUT, message="late")
    row = Released(workload_key=KEY.path, step=step, finished=True, orphaned=True)
    scene.show.releases((replace(row, finished=False), row))
    assert [(told[0], told[3]) for told in scene.told] == [("RestoreTimedOut", True)]


# ---- rivals: the same book, no server ----------------------------------------------------------


def rival_world(at: float = NOW, **more):
    rows = (placement("east", 6, rival=True, last_written_replicas=3), placement("west", 0))
    return snapshot(workloads=(workload(placements=rows, **more),), grid_time=at)


def test_a_rival_is_believed_when_seen_twice_in_a_row(scene):
    rivals = Rivals(book=scene.book)
    assert rivals.advance(rival_world()) == ()
    assert rivals.advance(snapshot()) == ()
    assert rivals.advance(rival_world()) == ()
    (row,) = rivals.advance(rival_world())
    assert (row.ours, row.theirs) == (3, 6)


def test_a_cool_off_lasts_an_hour_of_grid_time(scene):
    rivals = Rivals(book=scene.book)
    rivals.advance(rival_world())
    rivals.advance(rival_world())
    assert rivals.cooling_off(KEY.path, "east") and not rivals.cooling_off(KEY.path, "west")
    rivals.advance(snapshot(grid_time=NOW + COOL_OFF_SECONDS - 1))
    assert rivals.cooling_off(KEY.path, "east")
    rivals.advance(snapshot(grid_time=NOW + COOL_OFF_SECONDS))
    assert not rivals.cooling_off(KEY.path, "east")


@pytest.mark.parametrize("more", [{"deleting": True}, {"originals_known": False}])
def test_a_workload_that_is_given_back_or_in_doubt_concedes_nothing(scene, more):
    rivals = Rivals(book=scene.book)
    for _ in range(3):
        assert rivals.advance(rival_world(**more)) == ()


def test_a_site_that_cannot_be_shown_is_told_once_and_keeps_no_other_from_being_shown(
    monkeypatch, caplog
):
    scene = Scene()
    shown = []

    def fail_for_east(_snapshot, site, _own, *, prices):
        if site.name == "east":
            raise ValueError("cannot be shown")
        shown.append(site.name)

    monkeypatch.setattr(scene.show, "_site", fail_for_east)
    rows = tuple(SimpleNamespace(site_name=name) for name in ("east", "west"))
    where = SimpleNamespace(sites=(SimpleNamespace(name="east"), SimpleNamespace(name="west")))
    scene.show._runtime.store = SimpleNamespace(
        get=lambda key: SimpleNamespace(uid="u", generation=1)
    )
    for _ in range(3):
        scene.show._sites(where, rows, prices=False)
    assert shown == ["west"] * 3 and caplog.text.count("not shown") == 1


def test_figures_of_a_site_that_is_gone_and_of_a_limit_that_binds_no_more_are_gone_too():
    scene = Scene()
    metrics = scene.show._runtime.metrics
    metrics.site_limit.labels("gone", "Event").set(1)
    metrics.site_power.labels("gone", "Facility").set(1)
    scene.show._sites(snapshot(), (), prices=False)
    text = generate_latest(metrics.registry).decode()
    assert 'site="gone"' not in text
