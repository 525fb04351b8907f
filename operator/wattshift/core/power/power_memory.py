"""The last minute by connection: what ramps count from, and what has yet to be made up under a bound.

Kept by whoever runs the governor (`control/gather.py`, the simulator); it is handed the times. In
memory only: after a restart the ramp counts what is under way, until a minute is known again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from wattshift.core.decision import SiteOutlook
from wattshift.core.model import Snapshot
from wattshift.core.power.power import FeedKey

WINDOW_SECONDS = 60.0
"""Grid seconds: ramps are watts per minute."""
LASTING_SECONDS = 10.0
"""Grid seconds after which more power is no burst: prompts that moved are computed again within these."""


class Recent(NamedTuple):
    """What is remembered of a connection."""

    least_watts: float
    most_watts: float
    """Committed power of the last minute."""
    over_watt_seconds: float
    """Metered above the upper bound within the last minute, and not made up since."""
    lasting_watts: float | None
    """Lowest committed power without device caps of the last `LASTING_SECONDS`: a burst is not in it."""


@dataclass(slots=True)
class _Over:
    bound: int
    last: float
    """Last tick, and the last one above the bound."""
    above: float
    reached: bool = False
    watt_seconds: float = 0.0


class RecentPower:
    """Committed and metered watts of the governor's last ticks."""

    def __init__(self) -> None:
        self._rows: dict[FeedKey, deque[tuple[float, int, int | None]]] = {}
        self._over: dict[FeedKey, _Over] = {}

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
                kept.append((now, row.estimated_watts, row.uncapped_watts))
            self._weigh(key, row, now)
        for key in self._rows.keys() - seen:
            del self._rows[key]
            self._over.pop(key, None)

    def _weigh(self, key: FeedKey, row: SiteOutlook, now: float) -> None:
        """Add what was above the bound since the last tick, or take off what was below it."""
        if row.measured_watts is None or row.upper_watts is None:
            self._over.pop(key, None)
            return
        watts = row.measured_watts - row.upper_watts
        kept = self._over.get(key)
        if kept is None or kept.bound != row.upper_watts or now < kept.last:
            kept = self._over[key] = _Over(bound=row.upper_watts, last=now, above=now)
        # the way down to a new bound is its ramp: nothing is made up for that
        kept.reached = kept.reached or watts <= 0
        kept.above = now if watts > 0 else kept.above
        since, kept.last = now - kept.last, now
        total = kept.watt_seconds + watts * min(since, WINDOW_SECONDS)
        recent = kept.reached and now - kept.above < WINDOW_SECONDS
        kept.watt_seconds = max(0.0, total) if recent else 0.0

    def of(self, key: FeedKey, now: float) -> Recent | None:
        """The last minute; None = nothing was noted."""
        rows = [row for row in self._rows.get(key, ()) if now - WINDOW_SECONDS <= row[0] <= now]
        if not rows:
            return None
        known = [watts for _, watts, _ in rows]
        over = self._over[key].watt_seconds if key in self._over else 0.0
        # what was noted last held until the next: of those in the stretch, and at its begin
        begin = max((time for time, _, _ in rows if time <= now - LASTING_SECONDS), default=now)
        late = [w for time, _, w in rows if time >= begin and w is not None]
        lasting = float(min(late)) if late else None
        return Recent(float(min(known)), float(max(known)), over, lasting)


def remembered(snapshot: Snapshot, recent: RecentPower) -> Snapshot:
    """The snapshot with what `recent` knows of every connection, where nobody has put it in."""
    now = snapshot.grid_time
    sites = []
    for site in snapshot.sites:
        rows = []
        for row in site.connections:
            known = recent.of((site.name, row.name), now)
            if known is not None and row.least_watts is None:
                row = replace(row, **known._asdict())  # noqa: PLW2901
            rows.append(row)
        sites.append(replace(site, connections=tuple(rows)))
    return replace(snapshot, sites=tuple(sites))
