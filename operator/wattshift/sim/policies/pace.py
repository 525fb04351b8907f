"""When a baseline decides: once per plan interval, however often it is asked."""

from __future__ import annotations

from wattshift.core.model import Snapshot


class Pace:
    """Remembers the last decision's time."""

    def __init__(self) -> None:
        self._next: float | None = None

    def due(self, snapshot: Snapshot, now: float) -> bool:
        """Whether to decide now; then the next time is an interval later."""
        if self._next is not None and now < self._next - 1e-6:
            return False
        self._next = now + snapshot.settings.plan_interval_seconds
        return True
