"""What a backlog has shown survives a restart by the status book."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import NOW, batch, reading, snapshot, workload
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.inputs.inflow_book import InflowBook
from wattshift.control.record.changes import Urgency, compare
from wattshift.control.record.documents import compose
from wattshift.control.record.documents_load import load
from wattshift.control.record.records import WorkloadRecord
from wattshift.core.load.inflow import Inflow

HOUR, STEP = 3600.0, 300.0
KEY = ObjectKey.workload("team/nightly")


class Book:
    """A status book of values."""

    def __init__(self) -> None:
        self.records: dict[ObjectKey, WorkloadRecord] = {}
        self.writes = 0

    def workload(self, key: ObjectKey) -> WorkloadRecord:
        return self.records.get(key, WorkloadRecord())

    def update(self, key: ObjectKey, record: WorkloadRecord) -> None:
        self.records[key] = record
        self.writes += 1

    def through_status(self) -> Book:
        """As the next process reads it."""
        found = Book()
        for key, record in self.records.items():
            status = compose(Kind.FLEXIBLE_WORKLOAD, record, (), generation=1)
            loaded, _ = load(Kind.FLEXIBLE_WORKLOAD, status)
            assert isinstance(loaded, WorkloadRecord)
            found.records[key] = loaded
        return found


class Process:
    """The memory of one process, over one book."""

    def __init__(self, book: Book) -> None:
        self.book, self.memory = book, Inflow()
        self.carrier = InflowBook(book=book, memory=self.memory)

    def see(self, units, now, replicas=0, **more):
        work = batch(replicas=replicas, **more)
        state = replace(work.batch, backlog_units=reading(units, unit="Count", age=NOW - now))
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
    old = compose(Kind.FLEXIBLE_WORKLOAD, bare.workload(KEY), (), generation=1)
    new = compose(Kind.FLEXIBLE_WORKLOAD, begun.book.workload(KEY), (), generation=1)
    assert compare(old, new, ratio=0.02) is Urgency.STEP


def test_an_empty_queue_takes_it_away_and_nothing_is_written_without_news():
    process = Process(Book())
    for tick in range(6):
        process.see(500.0, NOW + STEP * tick, deadline_time=NOW + 24 * HOUR)
    writes = process.book.writes
    process.see(0.0, NOW + 6 * STEP, deadline_time=NOW + 24 * HOUR)
    assert writes == 1
    assert process.book.workload(KEY).work_since_time is None


def test_others_are_left_alone():
    process = Process(Book())
    process.see(500.0, NOW, deadline_time=NOW + 24 * HOUR)
    assert set(process.book.records) == {KEY}
