"""Batch work outlives the engines that it runs on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.lab.telemetry.clock import GridClock
from e2e.lab.traffic.dispatcher import Dispatcher, Work
from e2e.lab.traffic.keeper import RouterKeeper, Worker
from e2e.lab.traffic.proxy import Distances
from e2e.lab.traffic.router import Router, RouterOptions

NOWHERE = Work(model="qwen", url="http://127.0.0.1:9")


def dispatcher(journal: Path | None = None, now: float = 100.0) -> Dispatcher:
    return Dispatcher(NOWHERE, GridClock(now, 1.0, 0.0, wall=lambda: 0.0), journal)


@given(st.lists(st.integers(0, 20), max_size=10))
def test_no_unit_is_lost_by_submitting(batches: list[int]) -> None:
    queue = dispatcher()
    for units in batches:
        queue.submit(units)
    assert queue.lost == 0
    assert queue.backlog == queue.tally.submitted == sum(batches)


def test_finished_units_stay_finished_over_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    first = dispatcher(journal)
    first.submit(3)
    first.submit(2)
    first._note({"completed": 2})
    first._note({"completed": 5})
    again = dispatcher(journal, now=200.0)
    assert [unit.number for unit in again.pending] == [1, 3, 4]
    assert (again.tally.submitted, again.tally.completed, again.lost) == (5, 2, 0)
    assert again.oldest_age_seconds == 100.0


def test_journal_cut_in_the_middle_of_a_line_is_read(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    dispatcher(journal).submit(2)
    with journal.open("a") as sink:
        sink.write('{"comple')
    assert dispatcher(journal).backlog == 2


def test_metrics_name_the_queue_and_the_backlog() -> None:
    queue = dispatcher()
    queue.submit(4)
    text = queue.metrics()
    assert 'batch_backlog_units{queue="batch",model="qwen"} 4\n' in text
    assert 'batch_units_lost{queue="batch",model="qwen"} 0\n' in text


def test_closed_dispatch_sends_nothing() -> None:
    queue = dispatcher()
    queue.submit(1)
    queue.workers = 3
    assert queue._may_send()
    queue.set_open(False)
    assert not queue._may_send()


@pytest.fixture
async def served(fleet, tmp_path: Path) -> AsyncIterator[tuple[Router, list[Worker]]]:
    """A router that follows a list of workers."""
    wanted: list[Worker] = []
    router = Router(RouterOptions(log=tmp_path / "router.log"))
    await router.start()
    keeper = RouterKeeper(router, lambda: wanted, distances=Distances())
    task = asyncio.create_task(keeper.run())
    yield router, wanted
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await router.stop()


def batch(router: Router, units: int) -> Dispatcher:
    work = Work(
        model="qwen", url=router.url, output_tokens=50, prompt_tokens=16, timeout_seconds=20
    )
    found = Dispatcher(work, GridClock(0.0, 1.0, 0.0))
    found.submit(units)
    return found


@pytest.mark.engine
async def test_killed_engine_costs_attempts_but_no_unit(fleet, served) -> None:
    router, wanted = served
    first, second = await fleet.start(2)
    wanted += [Worker(first, "a"), Worker(second, "a")]
    queue = batch(router, 24)
    task = asyncio.create_task(queue.run())
    async with asyncio.timeout(30):
        while len(queue.in_flight) < 8:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    os.kill(fleet.processes[0].pid, signal.SIGKILL)
    assert queue.lost == 0
    wanted.remove(Worker(first, "a"))
    await asyncio.wait_for(queue.drained.wait(), 60)
    assert queue.lost == 0
    assert queue.tally.completed == 24
    assert queue.tally.failed_attempts > 0, "the kill hit nothing: the run is void"
    task.cancel()


@pytest.mark.engine
async def test_work_waits_while_nobody_serves_and_goes_on_afterwards(fleet, served) -> None:
    router, wanted = served
    (url,) = await fleet.start(1)
    queue = batch(router, 6)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(1.5)
    assert queue.tally.completed == 0
    assert not queue.in_flight
    assert queue.backlog == 6
    wanted.append(Worker(url, "a"))
    await asyncio.wait_for(queue.drained.wait(), 60)
    assert queue.state()["completedUnits"] == 6
    assert queue.tally.failed_attempts == 0
    task.cancel()
