"""What was learnt as short texts, and back: the bounded form that survives a restart.

Pure. Counts are rounded; the lightest bins go until the text fits. A text of another version, or one
that somebody has edited, is refused: then learning begins from the prior.
"""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from typing import Any

from wattshift.core.load.growth import EDGES_PERMILLE, Growth
from wattshift.core.load.learn import MOST_CELLS, Cell, Learnt
from wattshift.core.load.slowing import Slowing

VERSION = 1
MOST_CHARACTERS = 4096
"""Of the bins of one capacity, as the status' schema has it."""
LEAST_SEQUENCES = 0.01
"""What a bin that carried next to nothing is written as: zero would be no bin."""
MOST_COUNT = 1e9
"""Beyond it a count was never counted."""
ROWS, COLUMNS = (-16, 160), (0, 64)
"""Bins there can be: from a sixteenth to a trillion of sequences per replica, and of prompt tokens."""


def capacity_text(state: Learnt, most: int = MOST_CHARACTERS) -> str:
    """The bins of a capacity in at most `most` characters."""
    cells = sorted(state.cells, key=lambda cell: cell.windows, reverse=True)
    while True:
        rows = [
            [
                cell.row,
                cell.column,
                round(cell.windows, 1),
                max(LEAST_SEQUENCES, round(cell.sequences, 2)),
                *(part for row in cell.samples for part in _whole(*row)),
            ]
            for cell in sorted(cells, key=lambda cell: (cell.row, cell.column))
        ]
        body = {"v": VERSION, "t": round(state.time), "m": round(state.mix, 3), "c": rows}
        if state.slowing.windows > 0:
            body["s"] = [float(f"{part:.6g}") for part in astuple(state.slowing)]
        text = json.dumps(body, separators=(",", ":"))
        if len(text) <= most or not cells:
            return text
        cells.pop()


def _whole(bad: float, total: float) -> tuple[int, int]:
    """Whole counts; what rounds up never passes the samples that it is part of."""
    most = math.ceil(bad)
    return most, max(most, round(total))


def capacity_from(text: str, key: str) -> Learnt:
    """The state of a text.

    Raises:
        ValueError: not what `capacity_text` writes.
    """
    body = read_body(text, VERSION)
    try:
        cells = tuple(_cell(row) for row in body["c"])
        state = Learnt(
            key=key,
            time=float(body["t"]),
            mix=float(body["m"]),
            cells=cells,
            slowing=_slowing(body.get("s")),
        )
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"bins: {error!r}") from error
    if len(cells) > MOST_CELLS or not math.isfinite(state.time):
        raise ValueError("bins: out of bounds")
    if not 0 <= state.mix <= MOST_COUNT:
        raise ValueError("bins: out of bounds")
    return state


def _cell(row: list[Any]) -> Cell:
    numbers = [float(part) for part in row]
    if len(numbers) < 6 or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        raise ValueError("bins: a row is no bin")
    samples = tuple(zip(numbers[4::2], numbers[5::2], strict=True))
    if min(numbers[2:4]) <= 0 or any(bad < 0 or total < 0 for bad, total in samples):
        raise ValueError("bins: negative counts")
    # one more bad sample than samples is how earlier versions rounded
    if max(numbers[2:]) > MOST_COUNT or any(bad > total + 1 for bad, total in samples):
        raise ValueError("bins: impossible counts")
    if not ROWS[0] <= numbers[0] <= ROWS[1] or not COLUMNS[0] <= numbers[1] <= COLUMNS[1]:
        raise ValueError("bins: no such bin")
    samples = tuple((bad, max(bad, total)) for bad, total in samples)
    return Cell(
        row=int(numbers[0]),
        column=int(numbers[1]),
        windows=numbers[2],
        sequences=numbers[3],
        samples=samples,
    )


def _slowing(row: list[Any] | None) -> Slowing:
    """The line of the token rate; a text of before it was kept has none."""
    if row is None:
        return Slowing()
    numbers = [float(part) for part in row]
    if len(numbers) != 5 or not all(abs(part) <= MOST_COUNT for part in numbers):
        raise ValueError("slowing: out of bounds")
    windows, sequences, seconds, spread, joint = numbers
    if min(windows, sequences, seconds, spread) < 0:
        raise ValueError("slowing: negative counts")
    return Slowing(
        windows=windows, sequences=sequences, seconds=seconds, spread=spread, joint=joint
    )


def growth_text(state: Growth) -> str:
    """The bins of a growth; the last loads are not kept."""
    body = {
        "v": VERSION,
        "t": round(state.time),
        "h": round(state.horizon_seconds, 1),
        "w": [round(weight, 1) for weight in state.weights],
    }
    return json.dumps(body, separators=(",", ":"))


def growth_from(text: str) -> Growth:
    """The state of a text.

    Raises:
        ValueError: not what `growth_text` writes.
    """
    body = read_body(text, VERSION)
    try:
        weights = tuple(float(weight) for weight in body["w"])
        state = Growth(horizon_seconds=float(body["h"]), time=float(body["t"]), weights=weights)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"growth: {error!r}") from error
    numbers = (*weights, state.horizon_seconds)
    if len(weights) != len(EDGES_PERMILLE) or not all(0 <= part <= MOST_COUNT for part in numbers):
        raise ValueError("growth: out of bounds")
    if not math.isfinite(state.time):
        raise ValueError("growth: out of bounds")
    return state


def read_body(text: str, version: int) -> dict[str, Any]:
    """The object that a text holds.

    Raises:
        ValueError: none, or not of this version.
    """
    try:
        body = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(body, dict) or body.get("v") != version:
        raise ValueError("not of this version")
    return body
