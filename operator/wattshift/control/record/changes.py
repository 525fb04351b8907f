"""How much a new status differs from the acknowledged one: what must be written now, what can wait.

Pure. A *step* (replicas, states, reasons, names, plan) goes out at once; a *drift* (telemetry that
moved more than the ratio) waits for the minute; *totals* wait for the hour; the rest is cosmetic
(small moves, strings for people) and only travels along with one of the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any


class Urgency(IntEnum):
    """Ordered: a bigger one includes the smaller."""

    NONE = 0
    COSMETIC = 1
    TOTALS = 2
    DRIFT = 3
    STEP = 4


TELEMETRY = frozenset(
    {"power", "signals", "shadowPrices", "marginalPrice", "headroom", "movedPermille"}
)
"""Parts of status that follow measurements."""
TOTALS = frozenset({"totals", "period", "cost", "pace", "learnt"})
"""Sums that grow with time, and what is computed of them."""
LEARNT = frozenset({"sequences", "unitsPerReplicaHour", "arrivalsPerHour"})
"""Inside of what is learnt: figures that decisions use. One that moved far must survive a crash within the
hour, else users wait again until it is learnt that a replica carries less."""
LEARNT_RATIO = 0.2
"""A figure that moved less is not news: one bin of concurrency (`core/load/learn.py`) is 19 %."""
PEAKS = frozenset({"peakWatts"})
"""Inside of sums, but a peak that rises is billed: it must survive a restart within the hour."""
COSMETIC = frozenset({"summary", "message", "sourceTime", "asOfTime", "observedTime"})
"""Strings for people, and times of readings: never a reason to write by themselves."""
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_FIGURES = re.compile(r"\d+(\.\d+)?")


def compare(old: Mapping[str, Any], new: Mapping[str, Any], *, ratio: float) -> Urgency:
    """Urgency of writing `new` where the server has `old`."""
    return _compare(old, new, ratio, Urgency.STEP)


def _compare(old: Any, new: Any, ratio: float, weight: Urgency) -> Urgency:
    if old == new:
        return Urgency.NONE
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = Urgency.NONE
        for name in old.keys() | new.keys():
            left, right = old.get(name), new.get(name)
            part = _weight(name, weight)
            if part is Urgency.TOTALS and name in LEARNT and _moved(left, right, LEARNT_RATIO):
                part = Urgency.DRIFT
            found = max(found, _compare(left, right, ratio, part))
        return found
    if _is_list(old) and _is_list(new) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        return max(_compare(left, right, ratio, weight) for left, right in pairs)
    if weight is Urgency.COSMETIC:
        return _text(old, new)
    if weight is Urgency.DRIFT:
        return _drift(old, new, ratio)
    return weight


def _weight(name: str, inherited: Urgency) -> Urgency:
    if name in PEAKS:
        return Urgency.DRIFT
    if name in COSMETIC:
        return min(inherited, Urgency.COSMETIC)
    if name in TELEMETRY:
        return min(inherited, Urgency.DRIFT)
    if name in TOTALS:
        return min(inherited, Urgency.TOTALS)
    return inherited


def _drift(old: Any, new: Any, ratio: float) -> Urgency:
    if _number(old) is None or _number(new) is None:
        # a reading that appears, goes, or changes its quality is a step
        return Urgency.STEP
    return Urgency.DRIFT if _moved(old, new, ratio) else Urgency.COSMETIC


def _moved(old: Any, new: Any, ratio: float) -> bool:
    before, after = _number(old), _number(new)
    if before is None or after is None:
        return False
    return abs(after - before) > ratio * max(abs(before), abs(after))


def same_words(old: str, new: str) -> bool:
    """Whether two texts for people differ in their figures at most: then neither is news."""
    return old == new or _FIGURES.sub("0", old) == _FIGURES.sub("0", new)


def _text(old: Any, new: Any) -> Urgency:
    if isinstance(old, str) and isinstance(new, str):
        return Urgency.COSMETIC if same_words(old, new) else Urgency.DRIFT
    return Urgency.DRIFT


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and _NUMBER.match(value):
        return float(value)
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
