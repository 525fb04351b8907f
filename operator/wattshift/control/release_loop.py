"""Gives every workload back as found and does nothing else: what an uninstall without a leader runs.

Nothing is planned or governed here. Neighbours: `release.py` takes the steps, `cli/release.py` starts
this with the operator's own rights when nobody renews the Lease.
"""

from __future__ import annotations

import logging

from wattshift.control.acting.release import Releaser
from wattshift.control.gather import Gatherer
from wattshift.control.record.show import Show
from wattshift.control.runtime import Runtime
from wattshift.errors import WattshiftError

log = logging.getLogger(__name__)


class ReleaseLoop:
    """One step of every release each `governor.intervalSeconds`, and at once when rung."""

    name = "release"

    def __init__(
        self, *, runtime: Runtime, gather: Gatherer, releaser: Releaser, show: Show
    ) -> None:
        self._runtime = runtime
        self._gather = gather
        self._releaser = releaser
        self._show = show

    async def run(self) -> None:
        """Release until cancelled."""
        runtime = self._runtime
        while True:
            try:
                self._show.releases(await self._releaser.advance(self._gather.snapshot()))
                self._show.workloads(self._gather.snapshot())
            except WattshiftError as error:
                log.warning("release: %s", error.message, extra={"reason": error.reason})
            except Exception:
                runtime.metrics.bugs.labels(self.name).inc()
                log.exception("release failed", extra={"reason": "Bug"})
            runtime.progress.beat(self.name)
            await runtime.governor_wake.wait(runtime.config.governor.interval_seconds)
