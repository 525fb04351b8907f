"""The status book: current records and conditions of every object, and their only way to status.

One composer per object builds the *whole* status from record and conditions; it is applied (server-
side, with the object's UID) only when it differs from what the server has acknowledged. A partial
apply would delete what it leaves out. `persist_now` is for what an act depends on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from wattshift.control.clock import Clock
from wattshift.control.hub.conditions import Condition, Truth, merged
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record import documents, documents_load
from wattshift.control.record.changes import Urgency, compare, same_words
from wattshift.control.record.records import ContractRecord, Record, SiteRecord, WorkloadRecord
from wattshift.errors import NeedsHuman
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import WATTSHIFT, Json

_ATTEMPTS = 3
_PAGES_AT_ONCE = 100
_WRITES_AT_ONCE = 8
RecordT = TypeVar("RecordT", WorkloadRecord, SiteRecord, ContractRecord)
Flip = Callable[[ObjectKey, Condition], None]
"""Called for each condition whose status flipped: the recorder of events listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPace:
    """How often a status may be written; wall seconds."""

    minimum_seconds: float = 60.0
    """Between writes that only carry telemetry."""
    totals_grid_seconds: float = 3600.0
    """Between writes that only carry sums; grid seconds, and never below `minimum_seconds`."""
    change_ratio: float = 0.02
    """A number that moved less than this is not news."""


@dataclass(slots=True)
class _Page:
    """All the book knows of one object."""

    uid: str
    generation: int
    record: Record
    conditions: dict[str, Condition] = field(default_factory=dict)
    acknowledged: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    """resourceVersion last seen or written."""
    written_wall: float = float("-inf")
    totals_grid: float = float("-inf")
    dirty: bool = True
    """Something was put into the book since the last composition that found nothing due."""
    damaged: bool = False
    """Somebody changed our status: apply it again."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class StatusBook:
    """Records and conditions by object. Event loop's thread only."""

    def __init__(
        self,
        *,
        client: ClusterClient,
        clock: Clock,
        pace: StatusPace | None = None,
        on_flip: Flip | None = None,
        on_write: Callable[[ObjectKey, bool], None] | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._pace = pace or StatusPace()
        self._on_flip = on_flip
        self._on_write = on_write
        self._pages: dict[ObjectKey, _Page] = {}

    # ---- reading and changing --------------------------------------------------------------

    def workload(self, key: ObjectKey) -> WorkloadRecord:
        """Current record of a FlexibleWorkload; empty if the object is unknown."""
        return self._record(key, WorkloadRecord)

    def site(self, key: ObjectKey) -> SiteRecord:
        """Current record of a PowerSite."""
        return self._record(key, SiteRecord)

    def contract(self, key: ObjectKey) -> ContractRecord:
        """Current record of an EnergyContract."""
        return self._record(key, ContractRecord)

    def update(self, key: ObjectKey, record: Record) -> None:
        """Put a record in place; `flush` writes it when it is due.

        Unknown objects are ignored: they were deleted meanwhile.
        """
        page = self._pages.get(key)
        if page is None:
            return
        kept = replace(record, uid=page.uid)
        page.dirty = page.dirty or kept != page.record
        page.record = kept

    def set_conditions(self, key: ObjectKey, *conditions: Condition) -> None:
        """Put conditions in place, keeping the transition time where the status is the same."""
        page = self._pages.get(key)
        if page is None:
            return
        for new in conditions:
            stamped = replace(new, observed_generation=new.observed_generation or page.generation)
            kept, flipped = merged(page.conditions, stamped, now_utc=self._clock.utc())
            page.dirty = page.dirty or _is_news(page.conditions.get(new.type), kept)
            page.conditions[new.type] = kept
            if flipped and self._on_flip is not None:
                self._on_flip(key, kept)

    def settle_conditions(self, key: ObjectKey, *conditions: Condition) -> None:
        """As `set_conditions`, but what is True for this generation is not taken back.

        For the first moments of a process, in which nothing has answered yet.
        """
        page = self._pages.get(key)
        if page is None:
            return
        for new in conditions:
            old = page.conditions.get(new.type)
            kept = (
                old is not None
                and old.status is Truth.TRUE
                and new.status is not Truth.TRUE
                and old.observed_generation == page.generation
            )
            if not kept:
                self.set_conditions(key, new)

    def clear_condition(self, key: ObjectKey, condition_type: str) -> None:
        """Take a condition away that exists only while true (`Conflict`)."""
        page = self._pages.get(key)
        if page is not None and page.conditions.pop(condition_type, None) is not None:
            page.dirty = True

    def condition(self, key: ObjectKey, condition_type: str) -> Condition | None:
        """One condition as it stands."""
        page = self._pages.get(key)
        return page.conditions.get(condition_type) if page is not None else None

    def all_conditions(self) -> Iterator[tuple[ObjectKey, Condition]]:
        """Every condition of every object."""
        for key, page in self._pages.items():
            for row in page.conditions.values():
                yield key, row

    # ---- the watch's side ------------------------------------------------------------------

    def observe(
        self, key: ObjectKey, *, uid: str, generation: int, version: str, status: Json
    ) -> None:
        """Take what the watch shows: load at first sight, notice damage later."""
        page = self._pages.get(key)
        if page is None or page.uid != uid:
            record, conditions = documents_load.load(key.kind, status)
            self._pages[key] = _Page(
                uid=uid,
                generation=generation,
                record=replace(record, uid=uid),
                conditions=conditions,
                acknowledged=status,
                version=version,
                # Sums of before are at most an hour old: the next hour begins now.
                totals_grid=self._clock.grid() if status else float("-inf"),
            )
            return
        if generation > page.generation:
            page.generation, page.dirty = generation, True
        if page.lock.locked() or not _later(version, page):
            return
        page.version = version
        if page.acknowledged and not documents.contains(status, page.acknowledged):
            page.damaged = True

    def forget(self, key: ObjectKey, *, uid: str = "") -> None:
        """The object is gone."""
        page = self._pages.get(key)
        if page is not None and uid in ("", page.uid):
            del self._pages[key]

    # ---- writing ---------------------------------------------------------------------------

    async def persist_now(self, key: ObjectKey) -> None:
        """Write what is in the book and wait until the server has it; no write if it has.

        Everything that is composed later is included in it; calls for one object queue up.

        Raises:
            NeedsHuman: reason ObjectGone: the object is deleted or replaced. Do not act.
            Transient: not written, or unknown whether it was (time-out, fence). Do not act.
        """
        await self._write(key, at_least=Urgency.COSMETIC)

    async def flush(self) -> int:
        """Write every object whose status is due; returns how many were written.

        One failing object does not keep the others from being written; the first error is raised
        at the end.
        """
        written = 0
        first: Exception | None = None
        for number, key in enumerate(tuple(self._pages)):
            if number % _PAGES_AT_ONCE == 0:
                await asyncio.sleep(0)  # a large book takes a while: others go on in between
            try:
                written += await self._write(key, at_least=None)
            except Exception as error:  # noqa: BLE001 - told at the end
                if getattr(error, "reason", "") != "ObjectGone":
                    first = first or error
        if first is not None:
            raise first
        return written

    async def flush_sums(self) -> None:
        """At the end of a process: also write sums and telemetry that would have waited.

        Many at once, for the time is short; what fails is at most an hour of sums.
        """
        keys = iter(tuple(self._pages))

        async def some() -> None:
            for key in keys:
                page = self._pages.get(key)
                if page is not None and page.dirty:
                    with contextlib.suppress(Exception):
                        await self._write(key, at_least=Urgency.TOTALS)

        await asyncio.gather(*(some() for _ in range(_WRITES_AT_ONCE)))

    async def flush_one(self, key: ObjectKey) -> bool:
        """Write one object's status if it is due."""
        return await self._write(key, at_least=None)

    async def _write(self, key: ObjectKey, *, at_least: Urgency | None) -> bool:
        page = self._pages.get(key)
        if page is None:
            raise NeedsHuman(f"{key} is gone", reason="ObjectGone")
        if at_least is None and not (page.dirty or page.damaged):
            return False
        async with page.lock:
            status = documents.compose(
                key.kind,
                page.record,
                tuple(page.conditions.values()),
                generation=page.generation,
                speed=self._clock.speed,
            )
            urgency = compare(page.acknowledged, status, ratio=self._pace.change_ratio)
            if page.damaged:
                urgency = max(urgency, Urgency.DRIFT)
            if not self._due(page, urgency, at_least):
                page.dirty = urgency > Urgency.COSMETIC
                return False
            page.dirty = False
            try:
                answer = await self._apply(key, page, status)
            except BaseException:
                page.dirty = True
                raise
            page.acknowledged = status
            page.version = str(answer["metadata"].get("resourceVersion", ""))
            page.damaged = False
            page.written_wall = self._clock.monotonic()
            page.totals_grid = self._clock.grid()
            return True

    def _due(self, page: _Page, urgency: Urgency, at_least: Urgency | None) -> bool:
        if at_least is not None:
            return urgency >= at_least
        quiet = self._clock.monotonic() - page.written_wall
        if urgency is Urgency.STEP:
            return True
        if urgency is Urgency.DRIFT:
            return quiet >= self._pace.minimum_seconds
        if urgency is Urgency.TOTALS:
            since = self._clock.grid() - page.totals_grid
            return quiet >= self._pace.minimum_seconds and since >= self._pace.totals_grid_seconds
        return False

    async def _apply(self, key: ObjectKey, page: _Page, status: Mapping[str, Any]) -> Json:
        """Apply under the version last seen; after a conflict look who is there, and try again.

        The UID alone does not protect: the server ignores it on the status subresource, and a
        namesake that was created meanwhile would inherit the state of the object before it.
        """
        for attempt in range(_ATTEMPTS):
            try:
                answer = await self._client.apply(
                    key.resource, self._body(key, page, status), subresource="status", force=True
                )
            except ApiError as error:
                self._count(key, written=False)
                if error.is_not_found or (
                    error.is_conflict and not await self._still_there(key, page)
                ):
                    self.forget(key, uid=page.uid)
                    raise NeedsHuman(f"{key} is gone: {error}", reason="ObjectGone") from error
                if not error.is_conflict or attempt == _ATTEMPTS - 1:
                    raise
            except Exception:
                self._count(key, written=False)
                raise
            else:
                self._count(key, written=True)
                return answer
        raise AssertionError("unreachable")

    def _body(self, key: ObjectKey, page: _Page, status: Mapping[str, Any]) -> Json:
        metadata: Json = {"name": key.name, "uid": page.uid}
        if page.version:
            metadata["resourceVersion"] = page.version
        if key.namespace:
            metadata["namespace"] = key.namespace
        return {
            "apiVersion": WATTSHIFT,
            "kind": key.kind.value,
            "metadata": metadata,
            "status": dict(status),
        }

    async def _still_there(self, key: ObjectKey, page: _Page) -> bool:
        """Whether the name still belongs to our object; takes its present version."""
        try:
            body = await self._client.get(key.resource, key.name, namespace=key.namespace or None)
        except ApiError as error:
            if error.is_not_found:
                return False
            raise
        metadata = body["metadata"]
        page.version = str(metadata["resourceVersion"])
        return bool(metadata["uid"] == page.uid)

    def _count(self, key: ObjectKey, *, written: bool) -> None:
        if self._on_write is not None:
            self._on_write(key, written)

    def _record(self, key: ObjectKey, kind: type[RecordT]) -> RecordT:
        page = self._pages.get(key)
        if page is None:
            return kind()
        if not isinstance(page.record, kind):
            raise TypeError(f"{key} has no {kind.__name__}")
        return page.record


def _is_news(old: Condition | None, new: Condition) -> bool:
    """Whether a status has to be composed for it; seconds that count up in a message are none."""
    if old is None or not same_words(old.message, new.message):
        return True
    return replace(old, message="") != replace(new, message="")


def _later(version: str, page: _Page) -> bool:
    known = page.version
    if version.isdecimal() and known.isdecimal():
        return int(version) > int(known)
    return version != known
