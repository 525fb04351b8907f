"""Writes due status, once a second: the slow half of the status book.

Neighbours: `status.py` decides what is due; acts do not wait for this part (`persist_now`).
"""

from __future__ import annotations

import asyncio
import logging

from wattshift.control.record.status import StatusBook
from wattshift.control.serve.health import Progress
from wattshift.errors import WattshiftError
from wattshift.obs.logs import fields
from wattshift.obs.metrics import Metrics

log = logging.getLogger(__name__)
PART = "status-writer"
_INTERVAL_SECONDS = 1.0
_STALL_SECONDS = 120.0


class StatusWriter:
    """Component that flushes the book."""

    name = PART

    def __init__(self, *, book: StatusBook, progress: Progress, metrics: Metrics) -> None:
        self._book = book
        self._progress = progress
        self._metrics = metrics

    async def run(self) -> None:
        """Flush until cancelled."""
        self._progress.expect(PART, stall_seconds=_STALL_SECONDS)
        while True:
            await self.step()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def step(self) -> None:
        """One round over all objects."""
        try:
            await self._book.flush()
        except WattshiftError as error:
            log.warning("status not written: %s", error, extra=fields(reason=error.reason))
        except Exception:
            self._metrics.bugs.labels(PART).inc()
            log.exception("status not composed", extra=fields(reason="Bug"))
        self._progress.beat(PART)
