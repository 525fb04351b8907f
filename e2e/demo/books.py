"""Energy, money and carbon of the shown day by the product's one estimator, from recorded steps.

Both sides (as run, doing nothing) come from the same snapshots through `wattshift.core.account`. The
plants' books are kept apart: they say how far that estimate is from the truth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from wattshift.control.record.recorder import load_step
from wattshift.core.account import JOULES_PER_KILOWATT_HOUR, Books, Line, Step, record
from wattshift.core.model import Snapshot

LONGEST_WALL_GAP_SECONDS = 15.0
"""A longer pause between two recorded snapshots is told of, not filled in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBooks:
    """Books of the day, and how well they cover it."""

    books: Books
    nothing: Books
    """The same steps, as if nothing had been done: must save exactly 0."""
    steps: int
    gap_seconds: float
    """Grid seconds without a snapshot."""


def read_snapshots(files: Sequence[Path]) -> tuple[list[Snapshot], int]:
    """Snapshots of recorded steps in the order of grid time, and the files that are not whole."""
    found, broken = [], 0
    for path in files:
        try:
            found.append(load_step(path.read_bytes()).snapshot)
        except (ValueError, ValidationError, KeyError):
            broken += 1  # copied while it was being written
    found.sort(key=lambda row: row.grid_time)
    return found, broken


def keep_books(
    snapshots: Sequence[Snapshot],
    tokens: Sequence[tuple[float, dict[str, float]]],
    *,
    start: float,
    end: float,
    speed: float,
) -> DayBooks:
    """Book every interval between two snapshots inside [start, end], valued at the first of them.

    Args:
        snapshots: in the order of grid time.
        tokens: (grid time, output tokens so far by workload key), counted by the plants.
        start: first grid second of the day.
        end: last grid second of the day.
        speed: grid seconds in a wall second.
    """
    books, nothing = Books(), Books()
    steps, gap = 0, 0.0
    times = [*(row.grid_time for row in snapshots), end]
    for snapshot, (begin, until) in zip(snapshots, pairwise(times), strict=True):
        begin, until = max(begin, start), min(until, end)
        if until <= begin:
            continue
        longest = LONGEST_WALL_GAP_SECONDS * speed
        if until - begin > longest:
            gap += until - begin - longest
            until = begin + longest
        counted = _tokens_between(tokens, begin, until)
        step = record(snapshot, snapshot.grid_time, until - begin, counted)
        books.add(step)
        nothing.add(as_if_nothing(step))
        steps += 1
    if snapshots and snapshots[0].grid_time > start:
        gap += min(snapshots[0].grid_time, end) - start
    return DayBooks(books=books, nothing=nothing, steps=steps, gap_seconds=gap)


def as_if_nothing(step: Step) -> Step:
    """The step with every workload at what was found: both sides of its books are then equal."""
    change: dict[tuple[str, str], float] = {}
    for share in step.shares:
        more = share.baseline_facility_watts - share.facility_watts
        change[share.feed] = change.get(share.feed, 0.0) + more
    return replace(
        step,
        shares=tuple(
            replace(share, facility_watts=share.baseline_facility_watts) for share in step.shares
        ),
        feeds=tuple(
            replace(row, model_watts=row.model_watts + change.get(row.feed, 0.0))
            for row in step.feeds
        ),
    )


def _tokens_between(
    tokens: Sequence[tuple[float, dict[str, float]]], begin: float, until: float
) -> dict[str, int]:
    first, last = _tokens_at(tokens, begin), _tokens_at(tokens, until)
    return {key: max(0, round(value - first.get(key, 0.0))) for key, value in last.items()}


def _tokens_at(tokens: Sequence[tuple[float, dict[str, float]]], grid: float) -> dict[str, float]:
    index = bisect_right([row[0] for row in tokens], grid) - 1
    return tokens[index][1] if index >= 0 else {}


def total(lines: dict[str, Line]) -> Line:
    """Sum over sites or workloads."""
    found = Line()
    for line in lines.values():
        found.it_joules += line.it_joules
        found.facility_joules += line.facility_joules
        found.green_joules += line.green_joules
        found.cost += line.cost
        found.grams += line.grams
        found.unpriced_joules += line.unpriced_joules
        found.uncounted_joules += line.uncounted_joules
        found.tokens += line.tokens
    return found


def is_zero(line: Line) -> bool:
    """Whether a saving is exactly nothing: no joule, no money, no gram."""
    return (line.facility_joules, line.green_joules, line.cost, line.grams) == (
        0,
        0,
        Decimal(0),
        Decimal(0),
    )


def kilowatt_hours(joules: int) -> float:
    """Joules as kWh."""
    return joules / JOULES_PER_KILOWATT_HOUR
