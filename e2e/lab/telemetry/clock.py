"""The lab's grid clock: start + speed x wall, equal in every process that got the same numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class GridClock:
    """Grid time in epoch seconds; `speed` grid seconds pass in one wall second."""

    start_time: float
    speed: float = 1.0
    wall_start_time: float = 0.0
    wall: Callable[[], float] = field(default=time.time)

    def now(self) -> float:
        """Grid time now."""
        return self.start_time + (self.wall() - self.wall_start_time) * self.speed


def parse_time(text: str | float) -> float:
    """Epoch seconds of an RFC 3339 text with a zone, or of a number."""
    if isinstance(text, int | float):
        return float(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone")
    return moment.timestamp()


def clock_from(
    config: Mapping[str, Any] | None, wall: Callable[[], float] = time.time
) -> GridClock:
    """Clock of `{startTime, speed, wallStartTime}`; nothing given = the wall clock itself."""
    if not config:
        return GridClock(0.0, 1.0, 0.0, wall)
    wall_start = config.get("wallStartTime")
    return GridClock(
        parse_time(config["startTime"]),
        float(config.get("speed", 1)),
        wall() if wall_start is None else parse_time(wall_start),
        wall,
    )
