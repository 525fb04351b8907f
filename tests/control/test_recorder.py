"""The flight recorder's ring: newest kept, bounded by steps and by the size of the fleet."""

from __future__ import annotations

from dataclasses import replace

from e2e.bench import fleet
from wattshift.control import recorder
from wattshift.control.recorder import Recorder, Step, dump_step, load_step
from wattshift.core.planner import plan

SNAPSHOT = fleet.snapshot(fleet.Size(workloads=6, sites=3))
PLACEMENTS = sum(len(row.placements) for row in SNAPSHOT.workloads)


def steps(count):
    return [Step(snapshot=replace(SNAPSHOT, wall_time=float(n))) for n in range(count)]


def walls(ring):
    return [step.snapshot.wall_time for step in ring.steps()]


def test_the_oldest_steps_go_when_the_ring_is_full():
    ring = Recorder(capacity=3)
    for step in steps(5):
        ring.record(step)
    assert walls(ring) == [2, 3, 4]


def test_a_large_fleet_keeps_fewer_steps_and_always_the_newest(monkeypatch):
    monkeypatch.setattr(recorder, "MOST_PLACEMENTS", 2 * PLACEMENTS + 1)
    ring = Recorder(capacity=100)
    for step in steps(5):
        ring.record(step)
    assert walls(ring) == [3, 4]
    monkeypatch.setattr(recorder, "MOST_PLACEMENTS", 1)
    ring.record(steps(1)[0])
    assert walls(ring) == [0]


def test_a_recorded_step_replays_to_the_same_plan():
    decided = plan(SNAPSHOT, SNAPSHOT.grid_time)
    loaded = load_step(dump_step(Step(snapshot=SNAPSHOT, plan=decided)))
    assert plan(loaded.snapshot, loaded.snapshot.grid_time) == loaded.plan == decided


def test_files_on_disk_are_bounded_too(tmp_path):
    ring = Recorder(capacity=2, directory=tmp_path)
    for number, step in enumerate(steps(4)):
        ring.record(replace(step, snapshot=replace(step.snapshot, grid_time=float(number))))
    assert len(list(tmp_path.glob("step-*.json"))) == 2
