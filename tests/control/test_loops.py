"""The two loops: a failing part ends nothing, wakes are heard, moves start on the world as of now."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.core.build import NOW, batch, event, placement, site, snapshot, workload
from wattshift.control import fleet_loop
from wattshift.control.act import Acted
from wattshift.control.clock import ManualClock
from wattshift.control.config import Config
from wattshift.control.fleet_loop import FleetLoop
from wattshift.control.governor_loop import GovernorLoop
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.serve.health import Progress
from wattshift.control.latest import Latest
from wattshift.control.record.recorder import Recorder
from wattshift.control.record.records import WorkloadRecord
from wattshift.control.wake import Wake
from wattshift.core.decision import Action, Decision, Plan
from wattshift.core.model import MoveIntent
from wattshift.core.reasons import Reason
from wattshift.errors import NeedsHuman, Transient
from wattshift.obs.metrics import Metrics


class Parts:
    """Every collaborator; `failing` names those that raise, `calls` those that had their turn."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.world = snapshot()
        self.clock = ManualClock(utc=NOW)
        self.metrics = Metrics()
        self.planner_wake, self.governor_wake = Wake(), Wake()
        self.begun: list[object] = []
        self.records: dict[ObjectKey, WorkloadRecord] = {}
        self.book = SimpleNamespace(
            workload=lambda key: self.records.get(key, WorkloadRecord()),
            update=self.records.__setitem__,
        )
        self.progress = Progress(clock=self.clock.monotonic)
        self.runtime = SimpleNamespace(
            clock=self.clock,
            book=self.book,
            config=Config(mode="Enforce", planner={"minimumWallSeconds": 1}),
            metrics=self.metrics,
            progress=self.progress,
            planner_wake=self.planner_wake,
            governor_wake=self.governor_wake,
        )

    def turn(self, name: str, value=None):
        self.calls.append(name)
        if name in self.failing:
            raise self.failing[name]
        return value

    def part(self, *names: str, **values):
        """An object with plain methods of these names."""
        made = SimpleNamespace()
        for name in names:
            setattr(made, name, lambda *_, _n=name: self.turn(_n, values.get(_n, ())))
        return made

    def later(self, made, *names: str):
        """Make methods awaitable."""
        for name in names:
            plain = getattr(made, name)

            async def awaitable(*arguments, _plain=plain):
                return _plain(*arguments)

            setattr(made, name, awaitable)
        return made

    def governor(self) -> GovernorLoop:
        gather = self.part("persist_events", "note_violations", "note_power")
        gather = self.later(gather, "persist_events")
        gather.snapshot = lambda: self.turn("snapshot", self.world)
        actor = self.later(
            self.part("carry_out", "rewrite_originals", "catch_up"),
            "carry_out",
            "rewrite_originals",
            "catch_up",
        )
        mover, releaser = SimpleNamespace(), SimpleNamespace()

        async def move(_snapshot):
            return self.turn("move", ())

        async def release(_snapshot):
            return self.turn("release", ())

        mover.advance, releaser.advance = move, release
        return GovernorLoop(
            runtime=self.runtime,
            gather=gather,
            actor=actor,
            mover=mover,
            releaser=releaser,
            rivals=SimpleNamespace(advance=lambda _s: self.turn("rivals", ())),
            books=SimpleNamespace(advance=lambda _s: self.turn("books")),
            totals=SimpleNamespace(advance=lambda _s: self.turn("totals")),
            show=self.part("governance", "conceded", "moves", "releases"),
            recorder=Recorder(),
            latest=Latest(),
        )

    def planner(self) -> FleetLoop:
        gather = SimpleNamespace(snapshot=lambda: self.turn("snapshot", self.world))
        actor = self.later(self.part("carry_out"), "carry_out")

        async def begin(decision, fresh):
            self.begun.append(fresh)
            return Acted(
                workload_key=decision.workload_key,
                action=decision.action,
                reason=str(decision.reason),
                result="Started",
                message="",
            )

        self.latest = Latest()
        return FleetLoop(
            runtime=self.runtime,
            gather=gather,
            actor=actor,
            mover=SimpleNamespace(begin=begin),
            show=self.part("plan"),
            recorder=Recorder(),
            latest=self.latest,
        )

    def bugs(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value("wattshift_bugs_total", {"part": name})
        return found or 0.0


@pytest.fixture
def parts() -> Parts:
    return Parts()


TURNS = ["governance", "catch_up", "rivals", "release", "move", "books", "totals"]


async def test_a_tick_gives_every_part_its_turn_in_order(parts):
    await parts.governor()._iterate()
    assert [name for name in parts.calls if name in TURNS] == TURNS


@pytest.mark.parametrize("name", ["governance", "rivals", "catch_up", "release", "move", "books"])
async def test_a_part_that_fails_is_counted_and_keeps_no_other_from_its_turn(parts, name):
    parts.failing[name] = RuntimeError("bug")
    loop = parts.governor()
    await loop._iterate()
    behind = {"books": {"totals"}, "catch_up": {"rivals"}}.get(name, set())
    assert set(TURNS) - behind - set(parts.calls) == set()
    assert parts.bugs("governor") == 1


async def test_a_part_that_fails_in_every_tick_leaves_one_trace_and_ever_rarer_lines(parts, caplog):
    loop = parts.governor()
    parts.failing["rivals"] = RuntimeError("nobody thought of this")
    for _ in range(100):
        await loop._iterate()
    assert parts.bugs("governor") == 100
    assert sum(row.exc_info is not None for row in caplog.records) == 1
    assert len(caplog.records) == 7, "the first, then after 2, 4, 8 ... 64"
    parts.failing["rivals"] = RuntimeError("something else")
    await loop._iterate()
    parts.failing.clear()
    await loop._iterate()
    parts.failing["rivals"] = RuntimeError("something else")
    await loop._iterate()
    assert sum(row.exc_info is not None for row in caplog.records) == 3


@pytest.mark.parametrize("error", [Transient("later"), NeedsHuman("look")])
async def test_an_expected_failure_is_no_bug(parts, error):
    parts.failing["release"] = error
    await parts.governor()._iterate()
    assert "move" in parts.calls and parts.bugs("governor") == 0


async def test_without_an_open_hand_over_the_world_is_looked_at_once(parts):
    await parts.governor()._iterate()
    assert parts.calls.count("snapshot") == 1
    intent = MoveIntent(
        id="m",
        source_name="east",
        destination_name="west",
        source_before=6,
        destination_before=0,
        source_replicas=0,
        destination_replicas=6,
        started_time=NOW,
        deadline_wall_seconds=60.0,
        reason="CheaperPower",
    )
    parts.calls.clear()
    parts.world = snapshot(workloads=(workload(intent=intent),))
    await parts.governor()._iterate()
    assert parts.calls.count("snapshot") == 2


async def test_a_loop_goes_on_after_a_tick_that_could_not_even_look(parts):
    parts.failing["snapshot"] = RuntimeError("bug")
    task = asyncio.create_task(parts.governor().run())
    for _ in range(2):
        parts.governor_wake.ring("test")
        for _ in range(5):
            await asyncio.sleep(0)
    assert not task.done() and parts.calls.count("snapshot") >= 2
    assert parts.bugs("governor") >= 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_changed_since_the_last_plan_rings_the_planner(parts):
    loop = parts.governor()
    loop._latest.plan_snapshot = snapshot()
    parts.world = snapshot(sites=(site("east", events=(event(),)), site("west")))
    await loop._iterate()
    assert await parts.planner_wake.wait(0.0) == ("event",)


def migrate(key: str) -> Decision:
    return Decision(
        workload_key=key,
        action=Action.MIGRATE,
        targets=(),
        reason=Reason.CHEAPER_POWER,
        message="",
        source_name="east",
        destination_name="west",
    )


async def test_each_hand_over_begins_on_the_world_as_of_now(parts):
    decided = Plan(
        id="p",
        grid_time=NOW,
        valid_until=NOW + 60,
        decisions=(migrate("team/a"), migrate("team/b")),
        sites=(),
    )
    stale = parts.world
    loop = parts.planner()
    parts.world = replace(stale, grid_time=NOW + 5)
    acted = await loop._act(decided, stale)
    assert [row.result for row in acted] == ["Started", "Started"]
    assert all(fresh is not stale for fresh in parts.begun)


async def test_a_plan_is_carried_out_recorded_and_shown(parts):
    parts.world = snapshot(workloads=(workload(placements=(placement("east", 6),)),))
    loop = parts.planner()
    await loop._iterate()
    assert parts.latest.plan is not None and parts.latest.plan_snapshot is parts.world
    assert parts.calls.index("carry_out") < parts.calls.index("plan")


async def test_what_the_backlog_has_shown_is_in_the_book_and_comes_back_with_the_next_process(
    parts,
):
    work = batch(replicas=2, deadline_time=NOW + 86_400)
    parts.world = snapshot(workloads=(work,))
    await parts.planner()._iterate()
    assert parts.records[ObjectKey.workload(work.key)].work_since_time == NOW
    parts.world = replace(parts.world, grid_time=NOW + 3600)
    await parts.planner()._iterate()
    (state,) = parts.latest.plan_snapshot.workloads
    assert state.batch.work_since_time == NOW


async def test_a_plan_that_fails_is_tried_ever_later_and_its_trace_is_told_once(parts, caplog):
    loop = parts.planner()
    assert loop._pause_seconds() == 1.0
    parts.failing["snapshot"] = RuntimeError("nobody thought of this")
    pauses = []
    for _ in range(9):
        await loop._try()
        pauses.append(loop._pause_seconds())
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert pauses[-1] == 60.0
    assert sum(row.exc_info not in (None, False) for row in caplog.records) == 1
    assert "9 times in a row: RuntimeError: nobody thought of this" in caplog.text
    parts.failing.clear()
    await loop._try()
    assert loop._pause_seconds() == 1.0
    assert parts.latest.plan is not None


async def test_a_late_plan_is_said_and_the_last_one_stays_until_it_comes(
    parts, caplog, monkeypatch
):
    first = Plan(id="first", grid_time=NOW, valid_until=NOW, decisions=(), sites=())
    loop, go = parts.planner(), threading.Event()
    parts.latest.plan = first
    real = fleet_loop.plan

    def slow(*arguments):
        assert go.wait(10)
        return real(*arguments)

    monkeypatch.setattr(fleet_loop, "plan", slow)
    monkeypatch.setattr(fleet_loop, "LATE_SECONDS", 0.01)
    monkeypatch.setattr(fleet_loop, "BEAT_SECONDS", 0.01)
    parts.progress.expect("planner", stall_seconds=60)
    parts.clock.advance(61)
    task = asyncio.create_task(loop._iterate())
    while "planner" in parts.progress.stalled():
        await asyncio.sleep(0.001)
    assert parts.latest.plan is first
    assert caplog.text.count("the last one stays in force") == 1
    # one that never comes is a stall again
    parts.clock.advance(fleet_loop.ENDLESS_SECONDS)
    await asyncio.sleep(0.05)
    assert "planner" in parts.progress.stalled()
    go.set()
    await task
    assert parts.latest.plan is not first


def test_the_planner_is_due_at_its_interval_or_at_its_own_wake_time(parts):
    loop = parts.planner()
    assert loop._due_seconds() == 0.0
    made = Plan(id="p", grid_time=NOW, valid_until=NOW, decisions=(), sites=())
    parts.latest.plan = made
    assert loop._due_seconds() == parts.runtime.config.planner.interval_seconds
    parts.latest.plan = replace(made, next_wake_time=NOW + 20)
    assert loop._due_seconds() == 20.0
    parts.clock.advance(25)
    assert loop._due_seconds() <= 0.0
    parts.latest.plan = replace(made, next_wake_time=NOW - 5)
    assert loop._due_seconds() > 0.0


def test_a_grid_clock_that_was_set_back_does_not_silence_the_planner(parts):
    loop = parts.planner()
    parts.latest.plan = Plan(
        id="p", grid_time=NOW + 86_400, valid_until=NOW, decisions=(), sites=()
    )
    assert loop._due_seconds() == 0.0


async def test_a_ring_is_heard_even_by_a_loop_that_has_no_time_to_wait():
    wake = Wake()
    wake.ring("event")
    assert await wake.wait(0.0) == ("event",)
    assert await wake.wait(0.0) == ()


def test_in_a_replay_the_pause_is_in_wall_seconds(parts):
    parts.clock = parts.runtime.clock = ManualClock(utc=NOW, speed=60.0)
    loop = parts.planner()
    parts.latest.plan = Plan(
        id="p", grid_time=NOW, valid_until=NOW, decisions=(), sites=(), next_wake_time=NOW + 120
    )
    assert loop._due_seconds() == pytest.approx(2.0)
