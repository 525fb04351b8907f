"""A status book without a server: what is put in is what is there."""

from __future__ import annotations

from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.record.documents import compose
from wattshift.control.record.documents_load import load
from wattshift.control.record.records import WorkloadRecord


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
