"""What the power model said of late, to find the estimate that a lagging meter shows.

A meter trails the engines, and engines that drain draw power after they left the ready count. Kept by
time, not by ticks: a loop that is rung often must not forget what the meter still shows. A memory
that whoever builds snapshots keeps (`control/gather.py`, the simulator); it is handed the times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from wattshift.core.model import PlacementState, Snapshot
from wattshift.core.power.power import FeedKey, is_due

ESTIMATE_MEMORY_SECONDS = 300.0
"""Wall seconds for which estimates are kept: the longest drain that is waited for."""
ESTIMATE_SPACING_SECONDS = 0.25
"""Wall seconds between estimates that are kept apart."""
METER_LAG_SECONDS = 20.0
"""Wall seconds by which a meter and its scrape may trail the model, where nothing drains."""
CAP_EFFECT_SECONDS = 3.0
"""Wall seconds after which a device power cap is in force everywhere; sooner readings show a mixture."""


class Estimates:
    """Model watts by connection over the last minutes."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, Mapping[FeedKey, int]]] = deque()

    def note(
        self, now: float, watts: Mapping[FeedKey, int], *, spacing: float, memory: float
    ) -> None:
        """Keep the estimate of `now`; of those closer than `spacing` the later one stays."""
        rows = self._rows
        while rows and rows[-1][0] > now:
            rows.pop()  # the grid clock was set back
        if len(rows) > 1 and rows[-1][0] - rows[-2][0] < spacing:
            rows.pop()
        rows.append((now, watts))
        while rows[0][0] < now - memory:
            rows.popleft()

    def held(self, until: float) -> None:
        """What was noted last held until then: for a loop that looks only where something happens."""
        if self._rows and self._rows[-1][0] < until:
            self._rows.append((until, self._rows[-1][1]))

    def latest(self, key: FeedKey) -> int | None:
        """The last estimate of a connection; None = there is none."""
        return self._rows[-1][1].get(key) if self._rows else None

    def shown(
        self, key: FeedKey, source_time: float, since: float, metered: float | None
    ) -> int | None:
        """The estimate that a meter reading shows.

        Right after a change the estimate of the same moment is not what the meter saw: of those from
        `since` on, the present one included, the one nearest to it is. Else what was shed is shed
        again, and what was lifted is lifted twice.
        """
        if not self._rows:
            return None
        known = [row[key] for time, row in self._rows if time >= since and key in row]
        if metered is None or not known:
            # nothing to compare with: the estimate of the same moment
            at = min(self._rows, key=lambda item: abs(item[0] - source_time))
            return at[1].get(key)
        return min(reversed(known), key=lambda watts: abs(watts - metered))


def drains(snapshot: Snapshot) -> dict[str, float]:
    """By site: grid time just before the earliest write whose effect is not due yet.

    From then on the meter may still show what was there.
    """
    found: dict[str, float] = {}
    for workload in snapshot.workloads:
        for row in workload.placements:
            written = row.last_write_time
            if written is None or is_due(workload, row, snapshot.grid_time, snapshot.speed):
                continue
            before = written - snapshot.speed
            found[row.site_name] = min(found.get(row.site_name, before), before)
    return found


def capped_since(placements: Iterable[PlacementState]) -> float | None:
    """When a device power cap among them was last changed; None = never.

    Estimates from before it, or of the very tick that changed it, are of another world.
    """
    return max(
        (row.power_cap_time for row in placements if row.power_cap_time is not None), default=None
    )
