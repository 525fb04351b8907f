"""What a backlog has shown survives a restart by the status book."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import NOW, batch, reading, snapshot, workload
from tests.control.inputs.value_book import Book
from wattshift.api.workload_status import Learnt, LearntGrowth
from wattshift.control.clock import ManualClock
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.inputs.inflow_book import InflowBook
from wattshift.control.record.changes import Urgency, compare
from wattshift.control.record.documents import compose
from wattshift.control.record.documents_load import load
from wattshift.control.record.records import WorkloadRecord
from wattshift.core.load.inflow import Inflow

HOUR, STEP = 3600.0, 300.0
KEY = ObjectKey.workload("team/nightly")


class Process:
    """The memory of one process, over one book."""

    def __init__(self, book: Book) -> None:
        self.book, self.memory, self.clock = book, Inflow(), ManualClock(utc=NOW)
        self.carrier = InflowBook(book=book, memory=self.memory, clock=self.clock)

    def see(self, units, now, replicas=0, **more):
        work = batch(replicas=replicas, **more)
        state = replace(work.batch, backlog_units=reading(units, unit="Count", age=NOW - now))
        self.clock.advance(max(0.0, now - self.clock.grid()))
        here = snapshot((replace(work, batch=state), workload("chat")))
        here = replace(here, grid_time=now)
        self.carrier.restore(here)
        here = self.memory.remembered(here)
        self.carrier.note(here)
        return here.workloads[0].batch


def test_since_when_there_is_work_is_the_same_after_a_restart():
    first = Process(Book())
    first.see(500.0, NOW, deadline_time=NOW + 24 * HOUR)
    second = Process(first.book.through_status())
    found = second.see(500.0, NOW + 6 * HOUR, deadline_time=NOW + 24 * HOUR)
    assert found.work_since_time == NOW


def test_it_goes_into_status_at_once():
    bare, begun = Book(), Process(Book())
    begun.see(500.0, NOW, deadline_time=NOW + 24 * HOUR)
    bare.update(KEY, replace(begun.book.workload(KEY), work_since_time=None))
    old = compose(Kind.FLEXIBLE_WORKLOAD, bare.workload(KEY), (), generation=1)
    new = compose(Kind.FLEXIBLE_WORKLOAD, begun.book.workload(KEY), (), generation=1)
    assert compare(old, new, ratio=0.02) is Urgency.STEP


def test_an_empty_queue_takes_it_away_and_nothing_is_written_without_news():
    process = Process(Book())
    for tick in range(6):
        process.see(500.0, NOW + STEP / 10 * tick, deadline_time=NOW + 24 * HOUR)
    writes = process.book.writes
    process.see(0.0, NOW + 6 * STEP, deadline_time=NOW + 24 * HOUR)
    assert writes == 1
    assert process.book.workload(KEY).work_since_time is None


def test_others_are_left_alone():
    process = Process(Book())
    process.see(500.0, NOW, deadline_time=NOW + 24 * HOUR)
    assert set(process.book.records) == {KEY}


def test_work_that_is_no_batch_any_more_has_no_such_time():
    process = Process(Book())
    process.see(500.0, NOW, deadline_time=NOW + 24 * HOUR)
    here = snapshot((workload("nightly"),))
    process.carrier.restore(here)
    process.carrier.note(process.memory.remembered(here))
    assert process.book.workload(KEY).work_since_time is None


# ---- arrivals and speed


def taught(process, *, arrivals=36.0, rate=24.0, start=NOW, units=400.0):
    """Two hours of looks: none runs, two run; what it is at the end."""
    for tick in range(25):
        replicas = 0 if tick < 12 else 2
        found = process.see(units, start + STEP * tick, replicas)
        units += (arrivals - rate * replicas) * STEP / HOUR
    return found


def test_arrivals_and_speed_are_known_after_a_restart_as_before():
    first = Process(Book())
    before = taught(first)
    assert before.units_per_replica_hour == pytest.approx(24.0)
    second = Process(first.book.through_status())
    found = second.see(300.0, NOW + 3 * HOUR, 2)
    assert found.units_per_replica_hour == pytest.approx(24.0, rel=0.01)
    assert found.arrivals_per_hour == pytest.approx(36.0, rel=0.01)


def test_what_happened_between_two_processes_is_no_look():
    first = Process(Book())
    taught(first)
    second = Process(first.book.through_status())
    found = second.see(90_000.0, NOW + 3 * HOUR, 2)
    assert found.arrivals_per_hour == pytest.approx(36.0, rel=0.01)


def test_what_is_older_than_a_day_is_not_believed():
    first = Process(Book())
    taught(first)
    late = Process(first.book.through_status())
    assert late.see(300.0, NOW + 24.5 * HOUR, 2).units_per_replica_hour is not None
    later = Process(first.book.through_status())
    assert later.see(300.0, NOW + 27 * HOUR, 2).units_per_replica_hour is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{", "Expecting"),
        ('{"v":2,"t":0,"l":[]}', "not of this version"),
        ('{"v":1,"t":0}', "KeyError"),
        ('{"v":1,"t":0,"l":[[0,1]]}', "not enough values"),
        ('{"v":1,"t":0,"l":[[-5,1,1]]}', "out of bounds"),
        ('{"v":1,"t":0,"l":[[0,NaN,1]]}', "out of bounds"),
        ('{"v":1,"t":0,"l":[[0,1,1.5]]}', "no count of replicas"),
        ('{"v":1,"t":0,"l":[[0,1,"two"]]}', "TypeError"),
        ('{"v":1,"t":9e12,"l":[[0,1,1]]}', "has not come"),
        ('{"v":1,"t":Infinity,"l":[]}', "has not come"),
    ],
)
def test_what_cannot_be_read_is_told_and_learning_begins_anew(text, why, caplog):
    first = Process(Book())
    taught(first)
    record = first.book.workload(KEY)
    broken = record.learnt.batch.model_copy(update={"looks": text})
    learnt = record.learnt.model_copy(update={"batch": broken})
    first.book.update(KEY, replace(record, learnt=learnt))
    second = Process(first.book)
    assert second.see(300.0, NOW + 3 * HOUR, 2).units_per_replica_hour is None
    (row,) = caplog.records
    assert "begin anew" in row.getMessage()
    assert why in row.getMessage()
    assert row.reason == "BinsUnreadable"
    again = taught(second, start=NOW + 4 * HOUR)
    assert again.units_per_replica_hour == pytest.approx(24.0)


def test_looks_are_noted_every_ten_minutes_and_wait_for_the_hour():
    process = Process(Book())
    taught(process)
    noted = process.book.writes
    assert 10 <= noted <= 13
    old = compose(Kind.FLEXIBLE_WORKLOAD, process.book.workload(KEY), (), generation=1)
    taught(process, start=NOW + 3 * HOUR)
    new = compose(Kind.FLEXIBLE_WORKLOAD, process.book.workload(KEY), (), generation=1)
    assert compare(old, new, ratio=0.02) is Urgency.TOTALS


def test_capacity_and_growth_beside_it_stay():
    book = Book()
    growth = LearntGrowth(permille=40, samples=300, horizon_seconds=120, bins="{}")
    book.update(KEY, replace(book.workload(KEY), learnt=Learnt(growth=growth)))
    taught(Process(book))
    assert book.workload(KEY).learnt.growth == growth
    assert book.workload(KEY).learnt.batch is not None
