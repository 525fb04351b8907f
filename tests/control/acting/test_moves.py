"""Hand-overs on a real API server: intent first, steps that resume, deadlines, loss, other writers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.control.bench import PROFILE, placements
from tests.core.build import engine
from wattshift.actuators.warm import WarmBook
from wattshift.adapters.latency.probe import ProbeOutcome, ProbeResult
from wattshift.control.config import Config
from wattshift.control.acting.moves import EXTRA_DEADLINE_SECONDS, Mover
from wattshift.core.decision import Action
from wattshift.core.handover import Step
from wattshift.core.model import MemberPhase
from wattshift.core.survey.need import needed
from wattshift.core.reasons import Reason

pytestmark = pytest.mark.lab


def idle_engine(pods: int):
    return engine(0.0, good=0, pods=pods, requests_per_second=0.0, idle_seconds=3600.0, running=0)


async def good(_view) -> ProbeResult:
    return ProbeResult(outcome=ProbeOutcome.OK, first_token_milliseconds=50.0)


def mover(bench) -> Mover:
    return Mover(
        actor=bench.actor,
        book=bench.book,
        warm=WarmBook(probe=good, monotonic=bench.clock.monotonic),
        locate=bench.gather.locate,
        need=needed,
        clock=bench.clock,
    )


def decision(bench):
    made = bench.decision(Action.MIGRATE, east=0, west=4)
    return replace(made, source_name="east", destination_name="west")


async def begin(bench, moves: Mover):
    return await moves.begin(decision(bench), bench.snapshot())


async def tick(bench, moves: Mover):
    """One tick, with all that follows from it."""
    moved = await moves.advance(bench.snapshot())
    for _ in range(30):
        await asyncio.sleep(0)
    await bench.settled()
    return moved[0] if moved else None


async def test_a_whole_hand_over_without_demand(bench):
    bench.engines = {"east": idle_engine(4), "west": idle_engine(4)}
    moves = mover(bench)
    acted = await begin(bench, moves)
    assert acted.result == "Started" and bench.replicas("west") == 0
    move = bench.status()["move"]
    assert (move["sourcePlacement"], move["destinationPlacement"]) == ("east", "west")
    seen = []
    for _ in range(8):
        row = await tick(bench, moves)
        if row is None:
            break
        seen.append((row.step.step, bench.replicas("east"), bench.replicas("west")))
    assert (Step.RAISE, 4, 4) in seen and (Step.LOWER, 0, 4) in seen
    assert seen[-1] == (Step.DONE, 0, 4)
    assert all(east + west >= 4 for _, east, west in seen)
    assert "move" not in bench.status()
    assert bench.book.workload(bench.key).moves_today == 1


async def test_a_restart_in_the_middle_resumes_from_status(bench):
    bench.engines = {"east": idle_engine(4), "west": idle_engine(4)}
    moves = mover(bench)
    await begin(bench, moves)
    assert (await tick(bench, moves)).step.step is Step.RAISE
    bench.restart()
    await bench.see()
    moves = mover(bench)
    assert (await tick(bench, moves)).step.step is Step.WARM
    assert (await tick(bench, moves)).step.step is Step.LOWER
    assert bench.replicas("east") == 0


async def test_with_requests_about_the_source_waits_for_the_destination_to_carry_some(bench):
    bench.engines = {"east": engine(8.0, pods=4), "west": idle_engine(4)}
    moves = mover(bench)
    await begin(bench, moves)
    await tick(bench, moves)
    await tick(bench, moves)
    for _ in range(3):
        assert (await tick(bench, moves)).step.step is Step.AWAIT_TRAFFIC
    assert bench.replicas("east") == 4


@pytest.mark.parametrize("east", [None, idle_engine(2), replace(idle_engine(4), age_seconds=900.0)])
async def test_a_source_that_cannot_be_read_counts_as_demand(bench, east):
    """An idle destination says nothing about what the source still serves."""
    bench.engines = {"west": idle_engine(4)} | ({} if east is None else {"east": east})
    if east is not None and east.pods_scraped == 2:
        bench.engines["east"] = replace(east, pods_expected=4)
    moves = mover(bench)
    await begin(bench, moves)
    for _ in range(4):
        row = await tick(bench, moves)
    assert row.step.step is Step.AWAIT_TRAFFIC and bench.replicas("east") == 4


async def test_an_intent_that_cannot_be_recorded_is_not_begun(bench):
    moves, made, fresh = mover(bench), decision(bench), bench.snapshot()
    bench.fenced = True
    acted = await moves.begin(made, fresh)
    assert acted.result == "Refused" and bench.book.workload(bench.key).move is None
    assert bench.book.workload(bench.key).moves_today == 0


async def test_one_hand_over_at_a_time_whatever_an_older_snapshot_says(bench):
    moves, made, fresh = mover(bench), decision(bench), bench.snapshot()
    assert (await moves.begin(made, fresh)).result == "Started"
    again = await moves.begin(made, fresh)
    assert (again.result, again.reason) == ("Refused", str(Reason.MOVE_IN_PROGRESS))
    async with bench.actor.lock(bench.key.path):
        assert await moves.advance(bench.snapshot()) == ()


async def test_only_enforce_begins_and_only_enforce_goes_on(bench):
    moves, made = mover(bench), decision(bench)
    await begin(bench, moves)
    bench.config = Config(mode="Recommend", namespace=bench.namespace)
    bench.restart()
    await bench.see()
    moves = mover(bench)
    assert (await moves.begin(made, bench.snapshot())).result == "NotActed"
    assert await moves.advance(bench.snapshot()) == () and bench.replicas("west") == 0


async def test_a_deadline_that_passed_while_nobody_ran_is_given_whole_once(bench):
    moves = mover(bench)
    await begin(bench, moves)
    patience = bench.book.workload(bench.key).move.deadline_utc - bench.clock.utc()
    assert patience > EXTRA_DEADLINE_SECONDS
    bench.clock.advance(patience + 60)
    bench.restart()
    await bench.see()
    moves = mover(bench)
    assert await moves.advance(bench.snapshot()) == ()
    move = bench.book.workload(bench.key).move
    assert move.restarted and move.deadline_utc - bench.clock.utc() == pytest.approx(patience)
    bench.clock.advance(patience + 60)
    row = await tick(bench, moves)
    assert row.step.step is Step.ABORTED and bench.book.workload(bench.key).move is None


async def test_a_deadline_that_passes_while_we_run_takes_the_destination_back(bench):
    moves = mover(bench)
    await begin(bench, moves)
    await tick(bench, moves)
    bench.clock.advance(100_000)
    row = await tick(bench, moves)
    assert row.step.step is Step.GIVE_BACK_DESTINATION and bench.replicas("west") == 0
    assert (await tick(bench, moves)).result == "Aborted"
    assert bench.replicas("east") == 4


async def test_an_abort_is_on_record_before_its_first_write(bench):
    moves = mover(bench)
    await begin(bench, moves)
    await tick(bench, moves)
    bench.clock.advance(100_000)
    seen = {}
    bench.scale.before = lambda _order: seen.update(bench.status()["move"])
    await tick(bench, moves)
    assert seen["step"] == "Abort"


async def test_a_lost_member_stops_the_move_and_one_failing_workload_stops_no_other(bench):
    moves = mover(bench)
    await begin(bench, moves)
    snapshot = bench.snapshot()
    lost = tuple(
        replace(row, members=tuple(replace(m, phase=MemberPhase.LOST) for m in row.members))
        for row in snapshot.sites
    )
    (row,) = await moves.advance(replace(snapshot, sites=lost))
    assert row.step.step is Step.WAIT and bench.replicas("west") == 0
    bench.clock.advance(100_000)
    bench.fenced = True
    assert await moves.advance(bench.snapshot()) == () or bench.replicas("east") == 4


async def test_somebody_who_lowers_the_destination_is_left_alone(bench):
    moves = mover(bench)
    await begin(bench, moves)
    await tick(bench, moves)
    bench.set_replicas("west", 1)
    await bench.settled()
    row = await tick(bench, moves)
    assert row.step.step is Step.WAIT and row.step.reason is Reason.CONFLICT
    assert bench.replicas("west") == 1
    bench.rivals.advance(bench.snapshot())
    bench.rivals.advance(bench.snapshot())
    assert bench.book.workload(bench.key).move is None
    assert (bench.replicas("east"), bench.replicas("west")) == (4, 1)


async def test_a_placement_that_leaves_the_spec_ends_the_move(bench):
    moves = mover(bench)
    await begin(bench, moves)
    rows = bench.body()["spec"]["placements"]
    bench.access.merge(bench.path, {"spec": {"placements": rows[:1]}})
    await bench.see()
    assert await moves.advance(bench.snapshot()) == ()
    assert bench.book.workload(bench.key).move is None


async def test_the_days_moves_are_forgotten_with_the_day(bench):
    moves = mover(bench)
    await begin(bench, moves)
    assert bench.workload().moves_today == 1
    bench.clock.advance(86_400)
    assert bench.workload().moves_today == 0


async def test_a_destination_is_warmed_by_its_profile_that_is_known(bench):
    assert bench.workload().placements[1].profile_name == PROFILE


async def test_a_clock_that_is_set_neither_ends_nor_extends_a_hand_over(bench):
    moves = mover(bench)
    await begin(bench, moves)
    left = bench.workload().intent.deadline_wall_seconds
    for seconds in (100_000, -300_000):
        bench.clock.set_by(seconds)
        assert bench.workload().intent.deadline_wall_seconds == left
    row = await tick(bench, moves)
    assert row.step.step is Step.RAISE and bench.replicas("west") == 4


async def test_a_hand_over_that_fails_in_an_unknown_way_is_told(bench, caplog):
    moves = mover(bench)
    await begin(bench, moves)
    moves._need = None
    assert await moves.advance(bench.snapshot()) == ()
    assert "hand-over" in caplog.text


async def test_a_side_that_points_to_another_target_by_now_ends_the_move(bench):
    moves = mover(bench)
    await begin(bench, moves)
    await tick(bench, moves)
    path = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments"
    bench.access.create(path, bench.objects.deployment(bench.namespace, "chat-other"))
    rows = placements()
    rows[0]["targetRef"]["name"] = "chat-other"
    bench.access.merge(bench.path, {"spec": {"placements": rows}})
    await bench.see()
    await bench.until(lambda: bench.counts()["east"] == 2)
    written = len(bench.scale.orders)
    await moves.advance(bench.snapshot())
    assert bench.book.workload(bench.key).move is None
    assert len(bench.scale.orders) == written and bench.replicas("east") == 4
