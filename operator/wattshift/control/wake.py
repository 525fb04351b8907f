"""A bell with reasons: what rings a loop before its next tick, and why.

Rings are collected until the loop comes by; a ring is never lost and never queued twice.
"""

from __future__ import annotations

import asyncio


class Wake:
    """Rung by anybody in the event loop; waited for by one loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._reasons: dict[str, None] = {}

    def ring(self, reason: str) -> None:
        """Wake the loop; `reason` is a short bounded word for logs and metrics."""
        self._reasons[reason] = None
        self._event.set()

    async def wait(self, timeout_seconds: float) -> tuple[str, ...]:
        """Return the reasons rung since the last call, or () when the time is up."""
        if not self._event.is_set():  # a wait of no time would not see what was rung before it
            try:
                await asyncio.wait_for(self._event.wait(), max(0.0, timeout_seconds))
            except TimeoutError:
                return ()
        self._event.clear()
        reasons = tuple(self._reasons)
        self._reasons.clear()
        return reasons
