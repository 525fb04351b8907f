"""Giving back on a real API server: two copies, finalizers, placements that left, and rivals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.control.bench import GROUP, placements
from wattshift.actuators.base import Outcome, Result
from wattshift.control.hub.finalizer import originals_annotation
from wattshift.core.reasons import Reason
from wattshift.errors import FenceLost

pytestmark = pytest.mark.lab
OVERRIDE = {
    "mode": "Release",
    "untilTime": "2027-01-01T00:00:00Z",
    "reason": "maintenance",
    "requestedBy": "ops",
}


async def deviate(bench) -> None:
    """West serves instead of east."""
    await bench.set("west", 4)
    await bench.settled()
    await bench.set("east", 0)
    await bench.settled()


async def advance(bench, ticks: int = 1):
    released = ()
    for _ in range(ticks):
        released = await bench.releaser.advance(bench.snapshot())
        await bench.settled()
    return released


def finalizers(bench, path: str = "") -> list[str]:
    return bench.access.get(path or bench.path)["metadata"].get("finalizers") or []


async def test_deletion_raises_waits_lowers_and_then_lets_go(bench):
    await deviate(bench)
    bench.access.delete(bench.path)
    await bench.see()
    await advance(bench)
    assert (bench.replicas("east"), bench.replicas("west")) == (4, 4)
    await advance(bench)
    assert (bench.replicas("east"), bench.replicas("west")) == (4, 0)
    await advance(bench)
    assert not bench.access.exists(bench.path)
    await advance(bench)
    assert "wattshift.io/in-use" not in finalizers(bench, f"{GROUP}/powersites/east")


async def test_a_site_is_held_while_anything_there_deviates_whatever_an_older_snapshot_says(bench):
    before = bench.snapshot()
    await bench.set("east", 2)
    await bench.settled()
    await bench.releaser.advance(before)
    assert "wattshift.io/in-use" in finalizers(bench, f"{GROUP}/powersites/east")


async def test_a_release_override_restores_and_clears_both_copies(bench):
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"override": OVERRIDE}})
    await bench.see()
    await advance(bench, 3)
    assert (bench.replicas("east"), bench.replicas("west")) == (4, 0)
    body = bench.body()
    assert "finalizers" not in body["metadata"]
    assert "wattshift.io/originals" not in body["metadata"].get("annotations", {})
    assert not body["status"].get("originals")


async def test_type_orphan_leaves_the_counts_as_they_are(bench):
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"release": {"type": "Orphan"}}})
    await bench.see()
    bench.access.delete(bench.path)
    await bench.see()
    (released,) = await advance(bench)
    assert released.finished and (bench.replicas("east"), bench.replicas("west")) == (0, 4)
    assert not bench.access.exists(bench.path)


async def test_copies_that_disagree_freeze_until_a_baseline_says_what_to_restore(bench):
    await deviate(bench)
    record = bench.book.workload(bench.key)
    wrong = [replace(row, replicas=9) for row in record.originals]
    text = originals_annotation(wrong)
    bench.access.merge(bench.path, {"metadata": {"annotations": {"wattshift.io/originals": text}}})
    bench.access.merge(bench.path, {"spec": {"override": OVERRIDE}})
    await bench.see()
    assert not bench.workload().originals_known
    written = len(bench.scale.orders)
    (frozen,) = await advance(bench)
    assert frozen.step.reason is Reason.ORIGINALS_UNKNOWN and len(bench.scale.orders) == written
    rows = placements()
    rows[0]["baselineReplicas"], rows[1]["baselineReplicas"] = 5, 1
    bench.access.merge(bench.path, {"spec": {"placements": rows}})
    await bench.see()
    await advance(bench, 3)
    assert (bench.replicas("east"), bench.replicas("west")) == (5, 1)


async def test_a_placement_that_left_the_spec_is_given_back(bench):
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"placements": placements()[1:]}})
    await bench.see()
    assert [row.name for row in bench.workload().orphans] == ["east"]
    await advance(bench, 3)
    assert bench.replicas("east") == 4
    assert not bench.workload().originals


async def test_a_placement_that_points_elsewhere_gives_its_old_target_back(bench):
    await bench.set("east", 1)
    await bench.settled()
    rows = placements()
    rows[0]["targetRef"]["name"], rows[1]["targetRef"]["name"] = "chat-west", "chat-other"
    bench.access.merge(bench.path, {"spec": {"placements": rows}})
    await bench.see()
    await advance(bench, 2)
    assert bench.replicas("east") == 4 and bench.replicas("west") == 0


async def test_somebody_elses_count_stands_and_the_workload_does_not_freeze(bench):
    await bench.set("east", 2)
    await bench.settled()
    bench.set_replicas("east", 6)
    await bench.settled()
    assert bench.rivals.advance(bench.snapshot()) == ()
    (row,) = bench.rivals.advance(bench.snapshot())
    assert (row.ours, row.theirs) == (2, 6)
    await bench.actor.rewrite_originals(row.workload_key)
    await bench.settled()
    workload = bench.workload()
    assert workload.originals_known and not workload.originals
    assert "finalizers" not in bench.body()["metadata"]
    assert workload.placements[0].target_problem == str(Reason.CONFLICT)
    bench.clock.advance(3601)
    bench.rivals.advance(bench.snapshot())
    assert bench.workload().placements[0].target_problem == ""
    assert bench.replicas("east") == 6


async def test_an_annotation_that_could_not_follow_a_concession_follows_later(bench):
    await bench.set("east", 2)
    await bench.settled()
    await bench.set("west", 1)
    await bench.settled()
    bench.set_replicas("east", 6)
    await bench.settled()
    bench.rivals.advance(bench.snapshot())
    (row,) = bench.rivals.advance(bench.snapshot())
    bench.fenced = True
    await bench.actor.rewrite_originals(row.workload_key)
    assert not bench.workload().originals_known
    bench.fenced = False
    await bench.actor.catch_up()
    await bench.settled()
    assert bench.workload().originals_known
    annotated = json.loads(bench.body()["metadata"]["annotations"]["wattshift.io/originals"])
    assert [entry["placementName"] for entry in annotated] == ["west"]


async def test_a_rival_on_a_workload_in_doubt_changes_neither_copy(bench):
    await bench.set("east", 2)
    await bench.settled()
    bench.access.merge(
        bench.path, {"metadata": {"annotations": {"wattshift.io/originals": "edited by hand"}}}
    )
    bench.set_replicas("east", 6)
    await bench.settled()
    for _ in range(3):
        assert bench.rivals.advance(bench.snapshot()) == ()
    assert bench.book.workload(bench.key).originals


async def test_a_target_that_was_made_anew_is_left_to_its_maker(bench):
    await bench.set("east", 2)
    await bench.settled()
    bench.access.delete(bench.deployment("east"), propagationPolicy="Background")
    body = bench.objects.deployment(bench.namespace, "chat-east")
    path = f"/apis/apps/v1/namespaces/{bench.namespace}/deployments"
    bench.access.create(path, body)
    await bench.settled()
    assert bench.replicas("east") == 2 and bench.workload().placements[0].rival
    bench.access.delete(bench.path)
    await bench.see()
    await advance(bench)
    assert bench.replicas("east") == 2 and not bench.access.exists(bench.path)


async def test_what_is_as_found_again_is_let_go_without_being_asked(bench):
    await bench.set("east", 2)
    await bench.settled()
    await bench.set("east", 4)
    await bench.settled()
    (released,) = await advance(bench)
    assert released.finished and not released.orphaned
    assert "finalizers" not in bench.body()["metadata"]


async def test_a_deletion_that_waits_for_others_is_not_given_back_again_and_again(bench):
    bench.access.merge(bench.path, {"metadata": {"finalizers": ["example.com/other"]}})
    bench.access.delete(bench.path)
    await bench.see()
    assert await bench.releaser.advance(bench.snapshot()) == ()


async def test_a_deadline_that_passed_while_nobody_ran_still_leaves_time_for_a_try(bench):
    await deviate(bench)
    bench.access.delete(bench.path)
    await bench.see()
    bench.scale.fault = lambda _order: Outcome(result=Result.REFUSED, message="not now")
    await advance(bench)
    bench.scale.fault = None
    bench.clock.advance(7200)
    bench.restart()
    await bench.see()
    for _ in range(3):
        released = await advance(bench)
        assert not any(row.orphaned for row in released)
    assert (bench.replicas("east"), bench.replicas("west")) == (4, 0)
    assert not bench.access.exists(bench.path)


async def test_a_clock_that_is_set_ends_no_release(bench):
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"override": OVERRIDE}})
    await bench.see()
    await advance(bench)
    bench.clock.advance(200)
    bench.clock.set_by(7200)
    await advance(bench, 2)
    assert (bench.replicas("east"), bench.replicas("west")) == (4, 0)


async def test_a_release_that_was_withdrawn_leaves_the_next_one_its_whole_deadline(bench):
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"override": OVERRIDE}})
    await bench.see()
    await advance(bench)
    assert bench.book.workload(bench.key).release_started_utc is not None
    bench.access.merge(bench.path, {"spec": {"override": None}})
    await bench.see()
    assert await advance(bench) == ()
    assert bench.book.workload(bench.key).release_started_utc is None


async def test_an_original_that_an_act_needs_by_now_is_not_dropped_by_an_older_snapshot(bench):
    await bench.set("east", 2)
    await bench.settled()
    await bench.set("east", 4)
    await bench.settled()
    before = bench.snapshot()
    await bench.set("east", 1)
    await bench.releaser.advance(before)
    await bench.settled()
    (original,) = bench.workload().originals
    assert original.replicas == 4 and "wattshift.io/restore" in finalizers(bench)


async def test_a_target_that_is_gone_for_good_holds_up_no_deletion(bench):
    await bench.set("east", 2)
    await bench.settled()
    bench.access.delete(bench.deployment("east"), propagationPolicy="Background")
    bench.access.delete(bench.path)
    await bench.until(lambda: bench.counts()["east"] is None)
    await bench.see()
    (waits,) = await bench.releaser.advance(bench.snapshot())
    assert not waits.finished
    bench.clock.advance(31)
    (done,) = await bench.releaser.advance(bench.snapshot())
    assert done.finished and not done.orphaned and "gone" in done.step.message
    assert not bench.access.exists(bench.path)


async def test_a_site_that_lost_its_finalizer_is_held_again(bench):
    await bench.set("east", 2)
    await bench.settled()
    path = f"{GROUP}/powersites/east"
    bench.access.merge(path, {"metadata": {"finalizers": None}})
    await bench.see()
    await bench.releaser.advance(bench.snapshot())
    assert "wattshift.io/in-use" in finalizers(bench, path)


async def test_a_name_that_leads_to_another_cluster_owes_the_first_one_and_holds_the_rest(bench):
    """The former cluster cannot be reached: nothing is written to its namesake, and nothing is lost."""
    await deviate(bench)
    record = bench.book.workload(bench.key)
    rows = tuple(
        replace(row, cluster_uid="the-former", target_uid="t-1")
        if row.placement_name == "east"
        else row
        for row in record.originals
    )
    bench.book.update(bench.key, replace(record, originals=rows))
    await bench.actor.rewrite_originals(bench.key.path)
    await bench.see()
    assert [row.name for row in bench.workload().orphans] == ["east"]
    (waits,) = await advance(bench)
    assert not waits.finished and waits.step.writes == ()
    bench.clock.advance(1801)
    (left,) = await advance(bench)
    assert left.finished and left.orphaned
    workload = bench.workload()
    assert [row.placement_name for row in workload.originals] == ["west"]
    assert workload.originals_known and not workload.orphans
    assert (bench.replicas("east"), bench.replicas("west")) == (0, 4)


async def test_a_workload_that_fails_to_be_released_stops_no_other(bench, caplog):
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"override": OVERRIDE}})
    await bench.see()
    bench.releaser._policy = None
    assert await bench.releaser.advance(bench.snapshot()) == ()
    assert "release" in caplog.text


async def test_killed_after_any_request_everything_is_given_back_as_found(bench):
    """A deviation of two placements and its release, cut off after this and that many writes."""
    state = {"left": None}

    def guard() -> None:
        if state["left"] is None:
            return
        if state["left"] <= 0:
            raise FenceLost("killed")
        state["left"] -= 1

    bench.guard_hook = guard
    finished = False
    for after in range(1, 40, 2):  # every second one: each takes its time
        state["left"] = after
        await bench.set("west", 4)
        await bench.settled()
        await bench.set("east", 0)
        await bench.settled()
        bench.access.merge(bench.path, {"spec": {"override": OVERRIDE}})
        await bench.see()
        await advance(bench, 4)
        finished = state["left"] > 0
        state["left"] = None
        bench.restart()
        await bench.settled()
        workload = bench.workload()
        assert workload.originals_known, after
        await advance(bench, 4)
        assert (bench.replicas("east"), bench.replicas("west")) == (4, 0), after
        body = bench.body()
        assert "finalizers" not in body["metadata"], after
        assert not (body.get("status") or {}).get("originals"), after
        bench.access.merge(bench.path, {"spec": {"override": None}})
        await bench.see()
        await advance(bench)
        for name in ("east", "west"):
            path = f"{GROUP}/powersites/{name}"
            assert "wattshift.io/in-use" not in finalizers(bench, path), after
        if finished:
            break
    assert finished and after > 8


async def test_a_concession_that_was_cut_off_between_the_two_copies_is_made_again(bench):
    await bench.set("east", 2)
    await bench.settled()
    await bench.set("west", 1)
    await bench.settled()
    bench.set_replicas("east", 6)
    rows = [row for row in bench.book.workload(bench.key).originals if row.placement_name == "west"]
    text = originals_annotation(rows)
    bench.access.merge(bench.path, {"metadata": {"annotations": {"wattshift.io/originals": text}}})
    bench.restart()
    await bench.settled()
    assert bench.workload().originals_known
    bench.rivals.advance(bench.snapshot())
    (row,) = bench.rivals.advance(bench.snapshot())
    await bench.actor.rewrite_originals(row.workload_key)
    await bench.settled()
    workload = bench.workload()
    assert [item.placement_name for item in workload.originals] == ["west"]
    assert workload.originals_known and bench.replicas("east") == 6


async def test_a_target_that_left_the_spec_and_is_not_shown_is_not_called_gone(bench):
    """Its kind may not be watched any more: only the deadline ends its release."""
    await deviate(bench)
    bench.access.merge(bench.path, {"spec": {"placements": placements()[1:]}})
    bench.access.delete(bench.deployment("east"), propagationPolicy="Background")
    await bench.see()
    await bench.until(lambda: bench.workload().orphans[0].observed_replicas is None)
    for _ in range(3):
        (row,) = await bench.releaser.advance(bench.snapshot())
        assert not row.finished
        bench.clock.advance(100)
    bench.clock.advance(1801)
    (row,) = await bench.releaser.advance(bench.snapshot())
    assert row.finished and row.orphaned
    assert [item.placement_name for item in bench.book.workload(bench.key).originals] == ["west"]
