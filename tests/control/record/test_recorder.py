"""The flight recorder: the same bytes for the same world, and the same plan when replayed."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace

import pytest

from tests.core.build import NOW, Original, engine, event, placement, site, snapshot, workload
from wattshift.control.record.recorder import (
    Outcome,
    Recorder,
    Step,
    dump_snapshot,
    dump_step,
    load_snapshot,
    load_step,
    snapshot_hash,
)
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan

RICH = snapshot(
    workloads=(
        workload(
            originals=(
                Original(
                    placement_name="east",
                    cluster_uid="c",
                    target_uid="t",
                    replicas=6,
                    captured_time=NOW,
                ),
            ),
            orphans=(placement("old", None),),
        ),
        workload("mail", placements=(placement("east", 2, engine=engine(3.0)),)),
    ),
    sites=(site("east", price="0.80", events=(event(),)), site("west", price="0.30")),
)


def aged(seconds: float):
    members = tuple(replace(row, age_seconds=seconds) for row in RICH.sites[0].members)
    return replace(RICH, sites=(replace(RICH.sites[0], members=members), *RICH.sites[1:]))


@pytest.mark.parametrize("given", [snapshot(), RICH, aged(math.inf)])
def test_a_snapshot_comes_back_from_json_as_it_was(given):
    back = load_snapshot(dump_snapshot(given))
    assert back == given
    assert dump_snapshot(back) == dump_snapshot(given) and snapshot_hash(back) == snapshot_hash(
        given
    )
    json.loads(dump_snapshot(given))


def test_another_world_has_another_hash():
    assert snapshot_hash(RICH) != snapshot_hash(replace(RICH, grid_time=NOW + 1))


def test_replaying_a_recorded_step_gives_the_same_plan():
    decided = plan(RICH, RICH.grid_time)
    back = load_step(dump_step(Step(snapshot=RICH, plan=decided)))
    assert back.plan == decided
    assert plan(back.snapshot, back.snapshot.grid_time) == decided


def test_replaying_a_governor_tick_gives_the_same_decisions():
    before = plan(RICH, RICH.grid_time)
    decided = govern(RICH, before, RICH.grid_time)
    back = load_step(dump_step(Step(snapshot=RICH, governance=decided, plan_before=before)))
    assert govern(back.snapshot, back.plan_before, back.snapshot.grid_time) == decided


@pytest.mark.parametrize("text", ["[]", "{}", '{"formatVersion": 99}', '"x"'])
def test_what_is_no_recording_is_refused_in_words(text):
    with pytest.raises(ValueError, match="not a recording"):
        load_step(text)


def step(at: float, count: int = 1) -> Step:
    row = Outcome(workload_key="team/chat", action="ScaleTo", reason="R", result="Done", message="")
    return Step(snapshot=snapshot(grid_time=at), outcomes=(row,) * count)


def test_the_ring_keeps_the_newest(tmp_path):
    recorder = Recorder(capacity=3, directory=tmp_path)
    for index in range(5):
        recorder.record(step(NOW + index))
    assert [row.snapshot.grid_time for row in recorder.steps()] == [NOW + 2, NOW + 3, NOW + 4]
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert load_step(files[-1].read_bytes()).snapshot.grid_time == NOW + 4


def test_a_restart_goes_on_pruning_what_the_last_process_left(tmp_path):
    for index in range(3):
        Recorder(capacity=3, directory=tmp_path).record(step(NOW + index))
    Recorder(capacity=2, directory=tmp_path).record(step(NOW + 9))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_takes_no_more_ends_nothing(tmp_path, caplog):
    folder = tmp_path / "steps"
    recorder = Recorder(capacity=3, directory=folder)
    folder.rmdir()
    with caplog.at_level(logging.WARNING):
        recorder.record(step(NOW))
    assert recorder.steps() and "not kept on disk" in caplog.text


def test_the_same_moment_twice_is_one_file_and_is_not_pruned_early(tmp_path):
    recorder = Recorder(capacity=2, directory=tmp_path)
    recorder.record(step(NOW))
    recorder.record(step(NOW))
    recorder.record(step(NOW + 1))
    assert len(list(tmp_path.iterdir())) == 2


def test_the_last_plan_is_the_planners_and_not_a_tick_of_the_governor():
    recorder = Recorder()
    assert recorder.last_plan() is None
    decided = plan(RICH, RICH.grid_time)
    recorder.record(Step(snapshot=RICH, plan=decided))
    recorder.record(step(NOW + 1))
    assert recorder.last_plan().plan == decided
