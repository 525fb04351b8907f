"""Power events as a policy sees them: from their notice on, resolved by what the meter showed.

Neighbours: `sites_seen.py`, `called.py` (which are called), `events.py` (judges them by truth).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from wattshift.core.model import EventState
from wattshift.core.signal import Reading
from wattshift.sim.scenario import Scenario, SimEvent

CONNECTION = "grid"
EVENT_KEPT_SECONDS = 3600.0
"""An event that has ended is told of for this long: the way back."""


class EventsSeen:
    """Events of one site; keeps the power that was metered when each began."""

    def __init__(
        self, scenario: Scenario, site_name: str, refused: AbstractSet[str] = frozenset()
    ) -> None:
        """Events of a site but for `refused`: those that are not called, as they become known."""
        self._refused = refused
        self._start = scenario.start_time
        self._events = tuple(row for row in scenario.events if row.site_name == site_name)
        self._frozen: dict[str, int] = {}

    def states(self, meter: Reading, own_watts: float, now: float) -> tuple[EventState, ...]:
        """Events that are announced, active, or ended less than an hour ago, by name.

        `meter` reads the load, of which own supply of `own_watts` is not imported.
        """
        if not self._events:
            return ()
        found = [
            self._state(row, meter, own_watts, now)
            for row in self._events
            if row.start_seconds - row.notice_seconds
            <= now
            < row.start_seconds + row.duration_seconds + EVENT_KEPT_SECONDS
            and row.name not in self._refused
        ]
        return tuple(sorted(found, key=lambda row: row.name))

    def _state(self, event: SimEvent, meter: Reading, own_watts: float, now: float) -> EventState:
        start, end = event.start_seconds, event.start_seconds + event.duration_seconds
        active = start <= now < end
        if active and event.name not in self._frozen and meter.value is not None:
            self._frozen[event.name] = max(0, round(meter.value - own_watts))
        frozen = self._frozen.get(event.name)
        upper = None if event.upper_watts is None else round(event.upper_watts)
        lower = None if event.lower_watts is None else round(event.lower_watts)
        message = ""
        if event.reduction_share is not None or event.lower_share is not None:
            if frozen is None:
                message = "the power at the start of the event is not known"
            else:
                if event.reduction_share is not None:
                    upper = round(frozen * (1.0 - event.reduction_share))
                if event.lower_share is not None:
                    lower = round(frozen * event.lower_share)
        base = self._start
        return EventState(
            name=event.name,
            revision=0,
            connection_name=CONNECTION,
            start_time=base + start,
            end_time=base + end,
            upper_watts=upper,
            lower_watts=lower,
            ramp_seconds=round(event.ramp_seconds),
            firmness=event.firmness,
            active=active,
            notice_time=base + start - event.notice_seconds,
            frozen_reference_watts=frozen,
            unresolved_reason=message,
        )
