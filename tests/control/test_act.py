"""Acting against a real API server: the intent before the write, one capture, nobody fought."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.control.bench import GROUP, placements
from wattshift.actuators.base import Outcome, Result
from wattshift.control.inputs.world import LATE_SECONDS
from wattshift.control.config import Config
from wattshift.core.power.watts import commanded_replicas
from wattshift.core.decision import Action
from wattshift.core.reasons import Reason
from wattshift.errors import Transient

pytestmark = pytest.mark.lab


async def test_before_the_write_finalizer_annotation_site_and_status_are_on_the_server(bench):
    seen = {}

    def before(_order) -> None:
        body = bench.body()
        seen["finalizers"] = body["metadata"]["finalizers"]
        seen["originals"] = json.loads(body["metadata"]["annotations"]["wattshift.io/originals"])
        seen["desired"] = bench.placement_status("east")["desiredReplicas"]
        seen["status"] = body["status"]["originals"]
        seen["site"] = bench.access.get(f"{GROUP}/powersites/east")["metadata"]["finalizers"]
        seen["replicas"] = bench.replicas("east")

    bench.scale.before = before
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.DONE and bench.replicas("east") == 2
    assert seen["finalizers"] == ["wattshift.io/restore"]
    assert seen["originals"][0]["replicas"] == 4 and seen["status"][0]["replicas"] == 4
    assert seen["desired"] == 2 and seen["replicas"] == 4
    assert "wattshift.io/in-use" in seen["site"]


async def test_after_the_write_status_says_what_was_acknowledged(bench):
    await bench.set("east", 2)
    row = bench.placement_status("east")
    assert (row["desiredReplicas"], row["lastWrittenReplicas"]) == (2, 2)
    assert row["lastWriteTime"]


async def test_what_cannot_be_recorded_is_not_written(bench):
    bench.fenced = True
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.REFUSED and not bench.scale.orders
    assert bench.replicas("east") == 4
    bench.fenced = False
    record = bench.book.workload(bench.key)
    assert record.placement("east").desired_replicas is None
    assert "finalizers" not in bench.body()["metadata"]


async def test_a_fence_lost_between_record_and_write_changes_nothing_and_wants_nothing(bench):
    def lose(_order) -> None:
        bench.fenced = True

    bench.scale.before = lose
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.REFUSED and bench.replicas("east") == 4
    assert bench.book.workload(bench.key).placement("east").desired_replicas is None


async def test_a_count_that_moved_since_it_was_seen_is_a_conflict_and_stands(bench):
    bench.scale.before = lambda _order: bench.set_replicas("east", 5)
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.CONFLICT and bench.replicas("east") == 5


async def test_a_count_that_moved_since_the_decision_is_not_written_over(bench):
    workload = bench.workload()
    bench.set_replicas("east", 7)
    await bench.settled()
    outcome = await bench.actor.set_replicas(workload, workload.placements[0], 2)
    assert outcome.result is Result.CONFLICT and not bench.scale.orders
    assert bench.replicas("east") == 7


async def test_an_unknown_outcome_keeps_the_wanted_count_on_record_and_is_no_rival(bench):
    bench.scale.lose_answer = True
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.UNKNOWN and bench.replicas("east") == 2
    await bench.settled()
    bench.restart()
    await bench.see()
    east = bench.workload().placements[0]
    assert (east.observed_replicas, east.desired_replicas, east.rival) == (2, 2, False)


async def test_a_write_that_never_landed_is_no_longer_counted_on_and_can_be_made_again(bench):
    bench.scale.fault = lambda _order: Outcome(result=Result.UNKNOWN, message="no answer")
    await bench.set("east", 2)
    await bench.settled()
    east = bench.workload().placements[0]
    assert (east.observed_replicas, commanded_replicas(east)) == (4, 2), "it may still land"
    bench.clock.advance(LATE_SECONDS + 1)
    await bench.see()
    east = bench.workload().placements[0]
    assert (commanded_replicas(east), east.wish_lapsed, east.rival) == (4, True, False)
    bench.scale.fault = None
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.DONE and bench.replicas("east") == 2


async def test_a_wish_of_a_process_that_was_killed_before_its_write_is_not_taken_for_done(bench):
    bench.scale.fault = lambda _order: Outcome(result=Result.UNKNOWN, message="killed")
    await bench.set("east", 2)
    await bench.settled()
    bench.restart()
    await bench.see()
    east = bench.workload().placements[0]
    assert (commanded_replicas(east), east.wish_lapsed, east.rival) == (4, True, False)


async def test_somebody_who_writes_after_an_unknown_first_write_is_seen(bench):
    bench.scale.fault = lambda _order: Outcome(result=Result.UNKNOWN, message="no answer")
    await bench.set("east", 2)
    bench.set_replicas("east", 6)
    await bench.settled()
    assert bench.workload().placements[0].rival


async def test_the_original_is_captured_once_and_never_again(bench):
    await bench.set("east", 2)
    await bench.settled()
    await bench.set("east", 1)
    await bench.settled()
    await bench.set("west", 3)
    counts = {row.placement_name: row.replicas for row in bench.book.workload(bench.key).originals}
    assert counts == {"east": 4, "west": 0}
    annotated = json.loads(bench.body()["metadata"]["annotations"]["wattshift.io/originals"])
    assert {row["placementName"]: row["replicas"] for row in annotated} == counts


async def test_what_only_the_annotation_still_knows_is_not_recaptured(bench):
    """A backup tool dropped the status; a baseline says what to restore."""
    await bench.set("east", 2)
    await bench.settled()
    rows = [dict(row) for row in bench.body()["spec"]["placements"]]
    rows[0]["baselineReplicas"] = 4
    bench.access.merge(bench.path, {"spec": {"placements": rows}})
    bench.access.merge(f"{bench.path}/status", {"status": None})
    bench.restart()
    await bench.see()
    assert bench.workload().originals_known
    await bench.set("east", 1)
    captured = bench.book.workload(bench.key).originals
    assert [(row.placement_name, row.replicas) for row in captured] == [("east", 4)]


async def test_a_wiped_annotation_and_finalizer_are_back_before_the_next_write(bench):
    await bench.set("east", 2)
    await bench.set("east", 4)
    await bench.settled()
    bench.access.merge(
        bench.path,
        {"metadata": {"finalizers": None, "annotations": {"wattshift.io/originals": None}}},
    )
    await bench.settled()
    assert bench.workload().originals_known
    seen = {}
    bench.scale.before = lambda _order: seen.update(bench.body()["metadata"])
    await bench.set("east", 3)
    assert seen["finalizers"] == ["wattshift.io/restore"]
    assert json.loads(seen["annotations"]["wattshift.io/originals"])[0]["replicas"] == 4


async def test_the_store_knows_the_protection_before_the_watch_does(bench):
    await bench.set("east", 2)
    stored = bench.store.get(bench.key)
    assert "wattshift.io/restore" in stored.finalizers
    assert "wattshift.io/originals" in stored.annotations
    assert bench.workload().originals_known


async def test_a_workload_that_is_being_deleted_gets_no_first_deviation(bench):
    bench.access.merge(bench.path, {"metadata": {"finalizers": ["example.com/other"]}})
    bench.access.delete(bench.path)
    await bench.see()
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.REFUSED and bench.replicas("east") == 4
    bench.access.merge(bench.path, {"metadata": {"finalizers": None}})


async def test_a_site_that_is_being_deleted_gets_no_first_deviation(bench):
    path = f"{GROUP}/powersites/east"
    bench.access.merge(path, {"metadata": {"finalizers": ["example.com/other"]}})
    bench.access.delete(path)
    await bench.see()
    outcome = await bench.set("east", 2)
    assert outcome.result is Result.REFUSED and bench.replicas("east") == 4
    bench.access.merge(path, {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("mode", "reason"), [("Observe", Reason.MODE_OBSERVE), ("Recommend", Reason.MODE_RECOMMEND)]
)
async def test_no_mode_but_enforce_writes(bench, mode, reason):
    decision = bench.decision(east=2)
    bench.config = Config(mode=mode, namespace=bench.namespace)
    bench.restart()
    await bench.see()
    (acted,) = await bench.actor.carry_out([decision], bench.snapshot())
    assert (acted.result, acted.reason) == ("NotActed", str(reason))
    assert bench.replicas("east") == 4 and "finalizers" not in bench.body()["metadata"]


async def test_a_decision_raises_and_leaves_the_lowering_to_the_next_plan(bench):
    calm = replace(bench.decision(east=1, west=3), urgent=False)
    (acted,) = await bench.actor.carry_out([calm], bench.snapshot())
    assert acted.result == "Done", acted
    assert (bench.replicas("west"), bench.replicas("east")) == (3, 4)


async def test_what_is_urgent_lowers_at_once_whether_the_raise_elsewhere_succeeds_or_not(
    bench, monkeypatch
):
    write = bench.actor.set_replicas

    async def refuses(workload, placement, replicas):
        if placement.name == "west":
            return Outcome(result=Result.REFUSED, message="admission webhook denied")
        return await write(workload, placement, replicas)

    monkeypatch.setattr(bench.actor, "set_replicas", refuses)
    urgent = bench.decision(east=1, west=3)
    for decision, east in ((replace(urgent, urgent=False), 4), (urgent, 1)):
        (acted,) = await bench.actor.carry_out([decision], bench.snapshot())
        assert (acted.result, acted.message) == ("Failed", "admission webhook denied")
        assert bench.replicas("east") == east


async def test_one_act_at_a_time_per_workload(bench):
    decision, fresh = bench.decision(east=2), bench.snapshot()
    async with bench.actor.lock(bench.key.path):
        (acted,) = await bench.actor.carry_out([decision], fresh)
    assert acted.result == "Refused" and acted.reason == str(Reason.MOVE_IN_PROGRESS)
    assert bench.replicas("east") == 4
    first, second = await asyncio.gather(
        bench.actor.carry_out([decision], fresh), bench.actor.carry_out([decision], fresh)
    )
    assert sorted([first[0].result, second[0].result]) == ["Done", "Refused"]
    assert len(bench.scale.orders) == 1


async def test_holds_are_not_acted_and_a_workload_that_is_gone_refuses(bench):
    decision, fresh = bench.decision(east=2), bench.snapshot()
    hold = replace(decision, action=Action.HOLD)
    assert await bench.actor.carry_out([hold], fresh) == ()
    gone = replace(decision, workload_key="nowhere/none")
    (acted,) = await bench.actor.carry_out([gone], fresh)
    assert acted.result == "Refused" and acted.reason == str(Reason.STALE_PLAN)


async def test_a_pause_is_noted_and_ends_with_the_next_raise(bench):
    (paused,) = await bench.actor.carry_out(
        [bench.decision(Action.PAUSE, east=0)], bench.snapshot()
    )
    assert paused.result == "Done", paused
    assert bench.book.workload(bench.key).paused_since_time == bench.clock.grid()
    await bench.settled()
    (raised,) = await bench.actor.carry_out([bench.decision(east=1)], bench.snapshot())
    assert raised.result == "Done", raised
    assert bench.book.workload(bench.key).paused_since_time is None


async def test_two_writes_in_a_row_are_not_undone_by_a_watch_that_lags(bench):
    """The world as of now is what was acknowledged, whatever the watch still shows."""
    await bench.set("east", 3)
    await bench.set("east", 2)
    assert bench.workload().placements[0].observed_replicas == 2
    assert not bench.workload().placements[0].rival
    await bench.settled()
    assert bench.workload().placements[0].observed_replicas == 2


async def test_an_act_that_is_cut_off_between_the_two_copies_leaves_no_doubt(bench):
    """Killed after the annotation and before status: nothing was written to the target."""
    await bench.set("west", 4)
    await bench.settled()

    async def killed(_key) -> None:
        raise Transient("killed")

    bench.book.persist_now = killed
    assert (await bench.set("east", 0)).result is Result.REFUSED
    bench.restart()
    await bench.settled()
    workload = bench.workload()
    assert workload.originals_known
    assert [(row.placement_name, row.replicas) for row in workload.originals] == [
        ("east", 4),
        ("west", 0),
    ]
    assert (await bench.set("east", 0)).result is Result.DONE
    assert {row["placementName"]: row["replicas"] for row in bench.status()["originals"]} == {
        "east": 4,
        "west": 0,
    }


async def test_a_row_that_one_copy_lacks_is_doubt_while_its_target_is_off_that_count(bench):
    await bench.set("west", 4)
    await bench.settled()
    await bench.set("east", 1)
    await bench.settled()
    rows = [row for row in bench.status()["originals"] if row["placementName"] == "west"]
    bench.access.merge(f"{bench.path}/status", {"status": {"originals": rows}})
    bench.restart()
    await bench.settled()
    assert not bench.workload().originals_known


async def test_another_target_under_a_name_is_not_written_while_the_former_one_is_owed(bench):
    await bench.set("east", 1)
    await bench.settled()
    rows = placements()
    rows[0]["targetRef"]["name"] = "chat-west"
    bench.access.merge(bench.path, {"spec": {"placements": rows[:1]}})
    await bench.see()
    outcome = await bench.set("east", 3)
    assert outcome.result is Result.REFUSED and "former target" in outcome.message
    assert (bench.replicas("east"), bench.replicas("west")) == (1, 0)


async def test_a_target_that_another_object_holds_is_not_captured_again(bench):
    await bench.set("east", 1)
    await bench.settled()
    other = bench.objects.workload(bench.namespace, "older", "east", placements=placements()[:1])
    bench.access.create(f"{GROUP}/namespaces/{bench.namespace}/flexibleworkloads", other)
    await bench.see()
    workload = next(row for row in bench.snapshot().workloads if row.name == "older")
    outcome = await bench.actor.set_replicas(workload, workload.placements[0], 0)
    assert outcome.result is Result.REFUSED and "held by" in outcome.message
    assert bench.replicas("east") == 1


async def test_a_decision_that_fails_in_an_unknown_way_stops_no_other(bench, monkeypatch):
    good, bad = bench.decision(west=1), replace(bench.decision(east=2), workload_key="team/other")
    whole = bench.actor._one

    async def fail(decision, fresh):
        if decision is bad:
            raise KeyError("oops")
        return await whole(decision, fresh)

    monkeypatch.setattr(bench.actor, "_one", fail)
    rows = await bench.actor.carry_out((bad, good), bench.snapshot())
    assert [row.result for row in rows] == ["Failed", "Done"] and bench.replicas("west") == 1
