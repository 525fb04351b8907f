"""One leader by a Lease, and the fence in front of every write.

Interface: `Elector(client=..., namespace=..., name="wattshift", identity=..., clock=monotonic,
timings=LeaseTimings(), on_lost=..., rng=...)`; `await run()` as a task before kopf starts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """Seconds; lease > renew deadline > 1.2 x retry, as in client-go."""

    lease: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    fence_margin: float = 5.0


class Elector:
    """Candidate for, or holder of, one Lease."""

    async def run(self) -> None:
        """Acquire, then renew until cancelled or lost; on loss calls `on_lost` and returns."""
        raise NotImplementedError

    async def wait_acquired(self) -> None:
        """Return once this process leads."""
        raise NotImplementedError

    async def release(self) -> None:
        """On SIGTERM, after the last write: empty holder, duration 1 s. Then `fence` refuses."""
        raise NotImplementedError

    @property
    def is_leader(self) -> bool:
        """Whether the lease is held and not expired by our own clock."""
        raise NotImplementedError

    @property
    def holder(self) -> str:
        """Last observed holder identity; empty if none."""
        raise NotImplementedError

    def fence(self) -> None:
        """Raise `FenceLost` unless the lease outlives now + fence_margin (the write time-out)."""
        raise NotImplementedError

    def healthy(self) -> bool:
        """Standby readiness: the Lease was read or renewed within one lease duration."""
        raise NotImplementedError
