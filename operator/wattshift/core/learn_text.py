"""What was learnt as short texts, and back: the bounded form that survives a restart.

Pure. Counts are rounded; the lightest bins go until the text fits. A text of another version, or one
that somebody has edited, is refused: then learning begins from the prior.
"""

from __future__ import annotations

import json
import math
from typing import Any

from wattshift.core.growth import EDGES_PERMILLE, Growth
from wattshift.core.learn import MOST_CELLS, Cell, Learnt

VERSION = 1
MOST_CHARACTERS = 4096
"""Of the bins of one capacity, as the status' schema has it."""


def capacity_text(state: Learnt, most: int = MOST_CHARACTERS) -> str:
    """The bins of a capacity in at most `most` characters."""
    cells = sorted(state.cells, key=lambda cell: cell.windows, reverse=True)
    while True:
        rows = [
            [
                cell.row,
                cell.column,
                round(cell.windows, 1),
                round(cell.sequences, 2),
                *(part for bad, total in cell.samples for part in (math.ceil(bad), round(total))),
            ]
            for cell in sorted(cells, key=lambda cell: (cell.row, cell.column))
        ]
        body = {"v": VERSION, "t": round(state.time), "m": round(state.mix, 3), "c": rows}
        text = json.dumps(body, separators=(",", ":"))
        if len(text) <= most or not cells:
            return text
        cells.pop()


def capacity_from(text: str, key: str) -> Learnt:
    """The state of a text.

    Raises:
        ValueError: not what `capacity_text` writes.
    """
    body = _body(text)
    try:
        cells = tuple(_cell(row) for row in body["c"])
        state = Learnt(key=key, time=float(body["t"]), mix=float(body["m"]), cells=cells)
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"bins: {error!r}") from error
    if len(cells) > MOST_CELLS or not math.isfinite(state.time + state.mix) or state.mix < 0:
        raise ValueError("bins: out of bounds")
    return state


def _cell(row: list[Any]) -> Cell:
    numbers = [float(part) for part in row]
    if len(numbers) < 6 or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        raise ValueError("bins: a row is no bin")
    samples = tuple(zip(numbers[4::2], numbers[5::2], strict=True))
    if min(numbers[2:4]) <= 0 or any(bad < 0 or total < 0 for bad, total in samples):
        raise ValueError("bins: negative counts")
    return Cell(
        row=int(numbers[0]),
        column=int(numbers[1]),
        windows=numbers[2],
        sequences=numbers[3],
        samples=samples,
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
    body = _body(text)
    try:
        weights = tuple(float(weight) for weight in body["w"])
        state = Growth(horizon_seconds=float(body["h"]), time=float(body["t"]), weights=weights)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"growth: {error!r}") from error
    numbers = (*weights, state.time, state.horizon_seconds)
    if len(weights) != len(EDGES_PERMILLE) or not all(
        math.isfinite(part) and part >= 0 for part in numbers
    ):
        raise ValueError("growth: out of bounds")
    return state


def _body(text: str) -> dict[str, Any]:
    body = json.loads(text)
    if not isinstance(body, dict) or body.get("v") != VERSION:
        raise ValueError("not of this version")
    return body
