"""Lowest and highest committed power of the last minute by connection: what ramps count from.

Kept by whoever runs the governor (`control/gather.py`, the simulator); it is handed the times. In
memory only: after a restart the ramp counts what is under way, until a minute is known again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from wattshift.core.decision import SiteOutlook
from wattshift.core.model import Snapshot
from wattshift.core.power.power import FeedKey

WINDOW_SECONDS = 60.0
"""Grid seconds: ramps are watts per minute."""


class RecentPower:
    """Committed watts of the governor's last ticks."""

    def __init__(self) -> None:
        self._rows: dict[FeedKey, deque[tuple[float, int]]] = {}

    def note(self, rows: Iterable[SiteOutlook], now: float) -> None:
        """Keep what a tick saw; power that was unknown leaves a gap."""
        seen = set()
        for row in rows:
            key = (row.site_name, row.connection_name)
            seen.add(key)
            kept = self._rows.setdefault(key, deque())
            while kept and kept[-1][0] > now:
                kept.pop()  # the clock was set back
            while kept and kept[0][0] < now - WINDOW_SECONDS:
                kept.popleft()
            if row.estimated_watts is not None:
                kept.append((now, row.estimated_watts))
        for key in self._rows.keys() - seen:
            del self._rows[key]

    def of(self, key: FeedKey, now: float) -> tuple[float, float] | None:
        """(lowest, highest) of the last minute; None = nothing was noted."""
        known = [w for time, w in self._rows.get(key, ()) if now - WINDOW_SECONDS <= time <= now]
        return (float(min(known)), float(max(known))) if known else None


def remembered(snapshot: Snapshot, recent: RecentPower) -> Snapshot:
    """The snapshot with what `recent` knows of every connection, where nobody has put it in."""
    now = snapshot.grid_time
    sites = []
    for site in snapshot.sites:
        rows = []
        for row in site.connections:
            known = recent.of((site.name, row.name), now)
            if known is not None and row.least_watts is None:
                row = replace(row, least_watts=known[0], most_watts=known[1])  # noqa: PLW2901
            rows.append(row)
        sites.append(replace(site, connections=tuple(rows)))
    return replace(snapshot, sites=tuple(sites))
