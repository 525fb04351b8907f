"""After an event: power comes back to what it was, and not beyond, until the recovery time is over.

What was put off (queues, held work, restarts) would else return at once and set a new peak. Pure.
Neighbours: `core/survey/limits.py` (the bound), `core/survey/room.py` (who may return), `core/governor/governor.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from wattshift.core.model import EventState

RECOVERY_SECONDS = 1800.0
"""Grid seconds after the end, and after its ramp, for which power stays at what it was: two metering
blocks of a quarter of an hour."""
TOLERANCE = 0.04
"""Share of the reduction by which a return may exceed the power before: half a replica, and noise."""


def recovery_watts(
    event: EventState, events: Iterable[EventState], now: float, *, ramp_seconds: float = 0.0
) -> float | None:
    """Facility watts that the way back from an event leaves at `now`; None = it leaves all.

    The power before the event: of a chain of events that followed closely, the power before the
    first, since the later ones were measured on the way. Unknown power before = no bound.
    """
    end = event.end_time + max(ramp_seconds, float(event.ramp_seconds))
    if event.active or event.upper_watts is None or event.frozen_reference_watts is None:
        return None
    if not event.end_time <= now < end + RECOVERY_SECONDS:
        return None
    before = _before(event, tuple(events))
    reduction = max(0.0, before - event.upper_watts)
    return max(before + TOLERANCE * reduction, float(event.upper_watts))


def _before(event: EventState, events: tuple[EventState, ...]) -> float:
    """Highest power before an event of the chain that this one belongs to."""
    highest = float(event.frozen_reference_watts or 0)
    start, left = event.start_time, [row for row in events if row is not event]
    while True:
        linked = [
            row
            for row in left
            if row.frozen_reference_watts is not None
            and row.upper_watts is not None
            and row.connection_name in ("", event.connection_name)
            and row.start_time <= start < row.end_time + RECOVERY_SECONDS
        ]
        if not linked:
            return highest
        left = [row for row in left if row not in linked]
        highest = max(highest, *(float(row.frozen_reference_watts or 0) for row in linked))
        start = min(row.start_time for row in linked)
