"""`file {configMapRef {name, key}, timeColumn | stepMinutes, valueColumn, timeZone}`: a CSV.

Serves the row of now as observation and the later rows as forecast. Times are ISO 8601 with a
zone; without one the declared `timeZone` (else the owner's) counts, and the hour that autumn
repeats is told apart by the order of the rows. With `stepMinutes` the rows are the steps of every
local day, and a day of 92 or 100 quarters needs no other table. A missing row is a gap, never a zero.
"""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

from wattshift.adapters.base import (
    Fetched,
    SignalConfig,
    SingleSource,
    SourceContext,
    Step,
    decimal_number,
)
from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.grid.daily_curve import check_day, repeat_daily
from wattshift.adapters.reasons import SourceReason
from wattshift.adapters.times import parse_iso, to_epoch

ROW_LIMIT = 200_000
EMPTY = frozenset({"", "-", "n/a", "na", "null", "none"})
LAST_STEP_SECONDS = 3600.0
"""Length of the step of a table with one row."""


Table = tuple[tuple[Step, ...], float]
"""Steps and the end of the last one."""


class FileSource(SingleSource):
    """One column of one CSV."""

    type_name: ClassVar[str] = "file"
    always_valid: ClassVar[bool] = False

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        spec = config.source_spec
        reference = spec["configMapRef"]
        self._name = str(reference["name"])
        self._key = str(reference["key"])
        self._step_minutes: int | None = spec.get("stepMinutes")
        self._time_column: str | None = spec.get("timeColumn")
        self._value_column = str(spec["valueColumn"])
        self._zone: str | None = spec.get("timeZone") or config.time_zone
        self._context = context
        self._table: tuple[str, Table] | None = None
        if (self._time_column is None) == (self._step_minutes is None):
            raise ValueError("set exactly one of timeColumn, stepMinutes")
        if self._step_minutes is not None and not self._zone:
            raise ValueError("stepMinutes needs a timeZone, here or at the owner")

    @property
    def endpoint(self) -> str:
        """For people."""
        return f"file {self._name}/{self._key}"

    @property
    def fetch_key(self) -> Hashable:
        """By ConfigMap, key, columns, zone."""
        return (
            "file",
            self._name,
            self._key,
            self._time_column,
            self._step_minutes,
            self._value_column,
            self._zone,
        )

    async def fetch(self, now: float) -> Fetched:
        """Read the ConfigMap; parse it when its text changed."""
        found = self._context.config_map(self._name)
        data: Mapping[str, str] | None = await found if inspect.isawaitable(found) else found
        if data is None:
            raise SourceNeedsHuman(
                SourceReason.SOURCE_NOT_FOUND,
                f"ConfigMap {self._name!r} does not exist in the operator's namespace",
            )
        text = data.get(self._key)
        if text is None:
            raise SourceNeedsHuman(
                SourceReason.SOURCE_NOT_FOUND,
                f"ConfigMap {self._name!r} has no key {self._key!r}; it has {sorted(data)}",
            )
        if self._step_minutes is not None:
            values = parse_day(text, self._value_column, self._step_minutes, self.endpoint)
            return repeat_daily(values, self._step_minutes, str(self._zone), now)
        if self._table is None or self._table[0] != text:
            assert self._time_column is not None
            columns = (self._time_column, self._value_column)
            self._table = (text, parse_table(text, columns, self._zone, self.endpoint))
        steps, end = self._table[1]
        return Fetched(steps=steps, end_time=end, issued_time=now)


def read_rows(
    text: str, columns: Sequence[str], where: str
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(place for people, cells) of every row that is neither empty nor a comment.

    Raises:
        SourceNeedsHuman: a column is missing or there twice, a row has more cells than the header
            (an unquoted decimal comma would shift the value), no CSV, or too many rows.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), skipinitialspace=True)
    try:
        yield from _rows(reader, columns, where)
    except csv.Error as error:
        raise SourceNeedsHuman(
            SourceReason.ANSWER_NOT_READABLE, f"{where} line {reader.line_num}: no CSV: {error}"
        ) from error


def _rows(
    reader: csv.DictReader[str], columns: Sequence[str], where: str
) -> Iterator[tuple[str, Mapping[str, str]]]:
    fields = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = fields
    for column in columns:
        if column not in fields:
            hint = "" if len(fields) != 1 or ";" not in fields[0] else ": separate them by commas"
            raise SourceNeedsHuman(
                SourceReason.SOURCE_NOT_FOUND,
                f"{where}: no column {column!r}; the header has {fields}{hint}",
            )
        if fields.count(column) > 1:
            raise SourceNeedsHuman(
                SourceReason.ANSWER_NOT_READABLE, f"{where}: column {column!r} is there twice"
            )
    count = 0
    for row in reader:
        if (row.get(fields[0]) or "").startswith("#"):
            continue
        if any(cell.strip() for cell in row.get(None, ())):
            raise SourceNeedsHuman(
                SourceReason.ANSWER_NOT_READABLE,
                f"{where} line {reader.line_num}: more cells than the header has columns "
                "(decimals are written with a point, text with a comma is quoted)",
            )
        cells = {column: (row.get(column) or "").strip() for column in columns}
        if not any(cells.values()):
            continue
        count += 1
        if count > ROW_LIMIT:
            raise SourceNeedsHuman(
                SourceReason.ANSWER_TOO_LARGE, f"{where}: more than {ROW_LIMIT} rows"
            )
        yield f"{where} line {reader.line_num}", cells
    if not count:
        raise SourceNeedsHuman(SourceReason.NO_DATA, f"{where}: a header and no row")


def parse_day(
    text: str, value_column: str, step_minutes: int, where: str
) -> tuple[float | None, ...]:
    """Values of one day.

    Raises:
        SourceNeedsHuman: not as many rows as the day has steps, or a cell that is no number.
    """
    values = tuple(
        _number(cells[value_column], place)
        for place, cells in read_rows(text, (value_column,), where)
    )
    try:
        check_day(step_minutes, len(values))
    except ValueError as error:
        raise SourceNeedsHuman(SourceReason.ANSWER_NOT_READABLE, f"{where}: {error}") from error
    return values


def parse_table(text: str, columns: tuple[str, str], zone: str | None, where: str) -> Table:
    """Steps of a CSV with a time column, gaps marked, and the end of the last step.

    The usual distance between rows is their median; a row that comes later than one and a half of
    it leaves a gap.

    Raises:
        SourceNeedsHuman: missing column, unreadable row, times out of order, or no row.
    """
    rows: list[Step] = []
    for place, cells in read_rows(text, columns, where):
        last = rows[-1].start_time if rows else None
        start = _start(cells[columns[0]], zone, last, place)
        rows.append(Step(start_time=start, value=_number(cells[columns[1]], place)))
    return _with_gaps(rows)


def _start(cell: str, zone: str | None, last: float | None, place: str) -> float:
    try:
        start = to_epoch(parse_iso(cell), zone, after=last)
    except SourceNeedsHuman as error:
        raise SourceNeedsHuman(error.reason, f"{place}: {error.message}") from error
    if last is not None and start == last:
        raise SourceNeedsHuman(SourceReason.DUPLICATE_TIME, f"{place}: {cell} occurs twice")
    if last is not None and start < last:
        raise SourceNeedsHuman(SourceReason.OUT_OF_ORDER, f"{place}: {cell} is out of order")
    return start


def _number(text: str, place: str) -> float | None:
    """A cell; None where it is empty. NaN and infinities pass: the poller names them."""
    if text.lower() in EMPTY:
        return None
    try:
        return decimal_number(text)
    except ValueError:
        raise SourceNeedsHuman(
            SourceReason.NOT_A_NUMBER, f"{place}: {text[:40]!r} is no number"
        ) from None


def _with_gaps(rows: list[Step]) -> Table:
    distances = sorted(after.start_time - before.start_time for before, after in pairwise(rows))
    usual = distances[(len(distances) - 1) // 2] if distances else LAST_STEP_SECONDS
    steps: list[Step] = []
    for index, step in enumerate(rows):
        steps.append(step)
        following = rows[index + 1].start_time if index + 1 < len(rows) else step.start_time
        if following - step.start_time > 1.5 * usual:
            steps.append(Step(start_time=step.start_time + usual, value=None))
    return tuple(steps), rows[-1].start_time + usual
