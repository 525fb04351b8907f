"""CSV files of a scenario: found, read once, checked; a column on the scenario's grid of steps.

Every fault names file, line and column. Blank cells and gaps are errors unless the scenario says how
they are filled.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from wattshift.sim.load_text import Place, ScenarioError, Text
from wattshift.sim.scenario import Array
from wattshift.sim.schema_series import CsvColumn, Missing, TimeFormat

_MAXIMUM_ROWS = 3_000_000


@dataclass(frozen=True, slots=True)
class Points:
    """A regular series: value `[i]` holds from `start + i x step` on."""

    start: float
    step: float
    values: Array


@dataclass(slots=True)
class Table:
    """A CSV file in memory, and the times of its rows once they were parsed."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    """Line of the file that each row ends on: empty lines are no rows."""
    times: dict[str, Array] = field(default_factory=dict)

    def column(self, name: str) -> int:
        """Index of a column.

        Raises:
            ScenarioError: there is none, or it is there twice.
        """
        found = [index for index, text in enumerate(self.header) if text == name]
        if not found:
            listed = ", ".join(self.header[:30]) + (" ..." if len(self.header) > 30 else "")
            hint = ""
            if len(self.header) == 1 and any(sign in listed for sign in ";\t|"):
                hint = ": columns must be separated by commas"
            raise ScenarioError(f"{self.path}:1: has no column {name!r}; it has: {listed}{hint}")
        if len(found) > 1:
            raise ScenarioError(f"{self.path}:1: has the column {name!r} {len(found)} times")
        return found[0]

    def numbers(self, name: str) -> Array:
        """A column; blank cells and `nan` are NaN."""
        index = self.column(name)
        texts = [row[index] for row in self.rows]
        values = np.empty(len(texts))
        for row, text in enumerate(texts):
            try:
                # NB: Python reads 1_000 as a thousand; nobody writes that in data
                values[row] = float(text.strip().replace("_", "?") or "nan")
            except ValueError:
                raise ScenarioError(
                    f"{self.path}:{self.lines[row]}: column {name!r}: {text!r} is no number"
                ) from None
        return values


class Files:
    """The CSV files of one scenario: beside its YAML, then in the data folder."""

    def __init__(self, text: Text, *, data_folder: Path | None, folder_hint: str) -> None:
        self._text = text
        self._folders = [text.path.parent, *([data_folder] if data_folder else [])]
        self._hint = folder_hint
        self._tables: dict[Path, Table] = {}

    def find(self, name: str, place: Place) -> Path:
        """The path of a file.

        Raises:
            ScenarioError: it is in none of the folders.
        """
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise self._text.error(place, f"{name!r} must lie below the scenario or data folder")
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        looked = " and ".join(str(folder) for folder in self._folders)
        raise self._text.error(place, f"no file {name!r} in {looked}. {self._hint}")

    def table(self, name: str, place: Place) -> Table:
        """A file, read once."""
        path = self.find(name, place)
        if path not in self._tables:
            self._tables[path] = _read(path)
        return self._tables[path]


def _read(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [text.strip() for text in next(reader, [])]
            rows: list[list[str]] = []
            lines: list[int] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ScenarioError(
                        f"{path}:{reader.line_num}: has {len(row)} cells, the first row {len(header)}"
                    )
                if len(rows) >= _MAXIMUM_ROWS:
                    raise ScenarioError(f"{path}: has more than {_MAXIMUM_ROWS} rows")
                rows.append(row)
                lines.append(reader.line_num)
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: is no UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise ScenarioError(f"{path}:{reader.line_num}: is no CSV: {error}") from None
    if len(rows) < 2:
        raise ScenarioError(f"{path}: has {len(rows)} rows below the first: two are needed")
    return Table(path, header, rows, lines)


# ---- times ------------------------------------------------------------------------------------


def times(table: Table, column: CsvColumn, start: float) -> Array:
    """Epoch seconds of every row, as written (before realignment)."""
    key = f"{column.time_format}|{column.time_column}|{column.utc_offset_hours}|{column.year_shift}"
    if column.time_format is TimeFormat.SECONDS:
        key += f"|{start}"
    if key not in table.times:
        match column.time_format:
            case TimeFormat.SECONDS:
                table.times[key] = start + _finite(table, column.time_column)
            case TimeFormat.TIMESTAMP:
                table.times[key] = _timestamps(table, column)
            case TimeFormat.YEAR_MONTH_DAY_PERIOD:
                table.times[key] = _periods(table, column)
    return table.times[key]


def _finite(table: Table, name: str) -> Array:
    values = table.numbers(name)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ScenarioError(f"{table.path}:{table.lines[bad[0]]}: column {name!r}: no time")
    return values


def _timestamps(table: Table, column: CsvColumn) -> Array:
    index = table.column(column.time_column)
    result = np.empty(len(table.rows))
    for line, row in enumerate(table.rows):
        where = f"{table.path}:{table.lines[line]}: column {column.time_column!r}: {row[index]!r}"
        try:
            moment = datetime.fromisoformat(row[index].strip())
        except ValueError:
            raise ScenarioError(f"{where} is no time such as 2023-01-01T00:00Z") from None
        if moment.tzinfo is None:
            raise ScenarioError(
                f"{where} has no offset: local times are ambiguous when clocks change, so write UTC "
                "with a Z, or an offset such as +08:00"
            )
        result[line] = _shifted(moment, column, where)
    return result


def _shifted(moment: datetime, column: CsvColumn, where: str) -> float:
    try:
        if column.year_shift:
            moment = moment.replace(year=moment.year + column.year_shift)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise ScenarioError(
            f"{where}: yearShift {column.year_shift} gives no such day: shift leap years to leap years"
        ) from None


def _periods(table: Table, column: CsvColumn) -> Array:
    parts = [_finite(table, name) for name in ("Year", "Month", "Day", "Period")]
    per_day = int(parts[3].max())
    if per_day < 1 or 86400 % per_day:
        raise ScenarioError(f"{table.path}: column 'Period': {per_day} does not divide a day")
    result = np.empty(len(table.rows))
    for line, (year, month, day, period) in enumerate(zip(*parts, strict=True)):
        where = f"{table.path}:{table.lines[line]}"
        try:
            moment = datetime(int(year), int(month), int(day), tzinfo=UTC)
        except (ValueError, OverflowError):
            raise ScenarioError(f"{where}: {year:g}-{month:g}-{day:g} is no day") from None
        offset = (period - 1) * 86400 / per_day - column.utc_offset_hours * 3600
        result[line] = _shifted(moment, column, where) + offset
    return result


# ---- a column as a regular series -------------------------------------------------------------


def regular(table: Table, column: CsvColumn, start: float) -> Points:
    """The column on its own regular grid, realigned and filled as the scenario says.

    Raises:
        ScenarioError: times fall or repeat, there is a gap, or a cell has no number.
    """
    stamps, values = times(table, column, start), table.numbers(column.column)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise ScenarioError(
            f"{table.path}:{table.lines[infinite[0]]}: column {column.column!r}: infinite values "
            "cannot be used"
        )
    steps = np.diff(stamps)
    bad = np.flatnonzero(steps <= 0)
    if len(bad):
        line = table.lines[bad[0] + 1]
        what = "repeats" if steps[bad[0]] == 0 else "is earlier than"
        raise ScenarioError(
            f"{table.path}:{line}: {when(stamps[bad[0] + 1])} {what} the row before: times must rise"
        )
    if column.mask_below is not None:
        values = np.where(values < column.mask_below, np.nan, values)
    step, last = _usual(steps), float(stamps[-1])
    if column.stamped_late_by_offset_of is not None:
        stamps, values = _realigned(stamps, values, column.stamped_late_by_offset_of, step)
    slots = np.round((stamps - stamps[0]) / step).astype(np.int64)
    off = np.flatnonzero(np.abs(stamps - stamps[0] - slots * step) > 1)
    if len(off):
        row = int(off[0])
        raise ScenarioError(
            f"{table.path}:{table.lines[row]}: {when(stamps[row])} is off the grid of {step:g} s that "
            f"most rows have, from {when(stamps[0])} on"
        )
    # Realigned data end hours early: what is missing there is filled like any other hole.
    count = round((last - stamps[0]) / step) + 1
    if count > _MAXIMUM_ROWS:
        raise ScenarioError(f"{table.path}: spans too long for steps of {step:g} s")
    full = np.full(count, np.nan)
    full[slots] = values
    return Points(float(stamps[0]), step, _filled(full, float(stamps[0]), step, table, column))


def _usual(steps: Array) -> float:
    """The step that most rows have: one row too many must not make a finer grid full of holes."""
    found, counts = np.unique(steps, return_counts=True)
    return float(found[np.argmax(counts)])


def when(stamp: float) -> str:
    """A moment as errors tell it."""
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _realigned(stamps: Array, values: Array, name: str, step: float) -> tuple[Array, Array]:
    """Earlier by the zone's offset of that time; where clocks change, an hour merges or is open."""
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScenarioError(f"stampedLateByOffsetOf: {name!r} is no IANA time zone") from None
    moved = np.empty_like(stamps)
    for index, stamp in enumerate(stamps.tolist()):
        # The stamp is late by the offset of the time that it stands for, which is earlier.
        true = stamp + offset_seconds(stamp, zone)
        moved[index] = stamp + offset_seconds(true, zone)
    keep = np.concatenate([np.diff(moved) > step / 2, [True]])
    return moved[keep], values[keep]


def offset_seconds(stamp: float, zone: ZoneInfo) -> float:
    """Offset from UTC at a moment. NB: `zone.utcoffset(utc_time)` would read it as local time."""
    return (datetime.fromtimestamp(stamp, zone).utcoffset() or timedelta()).total_seconds()


def _filled(values: Array, start: float, step: float, table: Table, column: CsvColumn) -> Array:
    holes = np.isnan(values)
    if not holes.any():
        return values
    where = f"{table.path}: column {column.column!r}"
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holes, [False]])))
    runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    first = when(start + runs[0][0] * step)
    if column.missing is Missing.ERROR:
        count = int(holes.sum())
        some = "1 step has" if count == 1 else f"{count} steps have"
        raise ScenarioError(
            f"{where}: {some} no value, the first at {first}: fill the file, or "
            "set `missing: Hold` or `Interpolate` beside the column"
        )
    if holes.all():
        raise ScenarioError(f"{where}: has no value at all")
    for begin, end in runs:
        if (end - begin) * step > column.max_gap_seconds:
            raise ScenarioError(
                f"{where}: no value for {(end - begin) * step / 3600:g} h from "
                f"{when(start + begin * step)} on: more than maxGapSeconds allows"
            )
    good = np.flatnonzero(~holes)
    index = np.arange(len(values))
    if column.missing is Missing.INTERPOLATE:
        return np.interp(index, good, values[good])
    before = np.maximum.accumulate(np.where(holes, -1, index))
    return values[np.where(before < 0, good[0], before)]
