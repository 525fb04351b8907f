"""Looks of a backlog as a short text, and back: the bounded form that survives a restart.

Pure. The oldest looks go until the text fits. A text of another version, or one that somebody has
edited, is refused: then learning begins anew. Neighbours: `core/load/inflow.py`, `core/load/learn_text.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from wattshift.core.load.inflow import KEPT_SECONDS, Look
from wattshift.core.load.learn_text import MOST_COUNT, read_body

VERSION = 1
MOST_CHARACTERS = 8192
"""As the status' schema has it: a day of looks, 300 s apart, takes about five thousand."""


def looks_text(looks: Sequence[Look], most: int = MOST_CHARACTERS) -> str:
    """The looks, oldest first, in at most `most` characters.

    A row has the seconds since the row before, units, replicas, and a 1 where the look stands apart.
    """
    kept = list(looks)
    while True:
        start = round(kept[0].time) if kept else 0
        times = [round(row.time) for row in kept]
        rows = [
            [time - before, _short(row.units), row.replicas, *([1] if row.apart else [])]
            for row, time, before in zip(kept, times, [start, *times], strict=False)
        ]
        text = json.dumps({"v": VERSION, "t": start, "l": rows}, separators=(",", ":"))
        if len(text) <= most or not kept:
            return text
        del kept[: max(1, len(kept) * (len(text) - most) // len(text))]


def _short(units: float) -> float | int:
    """Nine figures are more than a day of looks needs."""
    value = float(f"{units:.9g}")
    return int(value) if value == int(value) and abs(value) < MOST_COUNT else value


def looks_from(text: str, now: float) -> tuple[Look, ...]:
    """The looks of a text that are not older than a day.

    Raises:
        ValueError: not what `looks_text` writes, or from a time that has not come (grid seconds).
    """
    body = read_body(text, VERSION)
    found: list[Look] = []
    try:
        time = float(body["t"])
        for step, units, replicas, *apart in body["l"]:
            time += float(step)
            number = float(units)
            if not (0 <= float(step) <= MOST_COUNT and abs(number) <= MOST_COUNT):
                raise ValueError("looks: out of bounds")
            if not 0 <= replicas <= MOST_COUNT or replicas != int(replicas):
                raise ValueError("looks: no count of replicas")
            found.append(Look(time=time, units=number, replicas=int(replicas), apart=apart == [1]))
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"looks: {error!r}") from error
    if not math.isfinite(time) or (found and time > now):
        raise ValueError("looks: from a time that has not come")
    return tuple(row for row in found if row.time >= now - KEPT_SECONDS)
