"""While nothing changes, nothing is written: records and conditions of real loops, no server."""

from __future__ import annotations

import pytest

from e2e.bench import fleet
from e2e.bench.inprocess import Process
from wattshift.control.record.changes import Urgency, compare

SIZE = fleet.Size(workloads=30, sites=4)
RATIO = 0.02


@pytest.fixture
async def process():
    found = Process(SIZE)
    await found.start()
    last = found.plan()
    found.clock.advance(2)
    found.govern(last)
    return found


def urgencies(before, after):
    return {key: compare(before[key], after[key], ratio=RATIO) for key in before}


async def test_two_ticks_over_an_unchanged_world_compose_statuses_that_need_no_write(process):
    before = process.compose()
    last = None
    for _ in range(5):
        process.clock.advance(2)
        process.govern(last)
    assert set(urgencies(before, process.compose()).values()) <= {Urgency.NONE, Urgency.COSMETIC}


async def test_a_second_plan_over_an_unchanged_world_is_no_news(process):
    before = process.compose()
    process.clock.advance(2)
    process.plan()
    assert set(urgencies(before, process.compose()).values()) <= {Urgency.NONE, Urgency.COSMETIC}


async def test_minutes_of_frozen_signals_move_totals_only(process):
    before = process.compose()
    last = process.plan()
    for _ in range(40):
        process.clock.advance(15)
        process.govern(last)
    worst = max(urgencies(before, process.compose()).values())
    assert worst <= Urgency.TOTALS


async def test_ticks_tell_nobody_anything_while_nothing_changes(process):
    events = process.runtime.events._pending
    while not events.empty():
        events.get_nowait()
    for _ in range(3):
        process.clock.advance(2)
        process.govern(process.plan())
    assert events.empty()


async def test_every_object_has_a_status_with_conditions(process):
    statuses = process.compose()
    assert len(statuses) == SIZE.workloads + 2 * SIZE.sites
    assert all(status["conditions"] for status in statuses.values())


async def test_a_workload_that_loses_a_replica_is_written_at_once(process):
    before = process.compose()
    name, view = next(iter(process.pool.rows.items()))
    key, pods = next((key, pods) for key, pods in view.pods.items() if pods)
    process.pool.rows[name] = type(view)(
        **{field: getattr(view, field) for field in view.__slots__}
        | {"pods": {**view.pods, key: pods[1:]}}
    )
    process.clock.advance(2)
    process.govern(None)
    found = urgencies(before, process.compose())
    changed = [key.name for key, urgency in found.items() if urgency is Urgency.STEP]
    assert changed == [key.name]
