"""Circuit breaker: after several failures in a row nobody is asked, then one trial at a time.

Pure apart from its own state; `now` is wall seconds. One breaker per server and identity.
"""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Where a breaker stands; also a metric label."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


class Breaker:
    """Opens after `threshold` failures in a row, for a time that doubles up to a limit."""

    def __init__(
        self,
        *,
        threshold: int = 5,
        open_seconds: float = 15.0,
        open_seconds_maximum: float = 300.0,
    ) -> None:
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._maximum = open_seconds_maximum
        self._failures = 0
        self._opened = 0
        self._retry_at = 0.0
        self._trial = False

    def state(self, now: float) -> BreakerState:
        """The state at `now`."""
        if self._failures < self._threshold:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if now >= self._retry_at else BreakerState.OPEN

    def allow(self, now: float) -> bool:
        """Whether to ask now; in the half-open state the first caller takes the only trial."""
        match self.state(now):
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                if self._trial:
                    return False
                self._trial = True
                return True

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    @property
    def retry_at(self) -> float:
        """Wall seconds of the next trial while open."""
        return self._retry_at

    def success(self) -> None:
        """An answer came, whatever it said."""
        self._failures = 0
        self._opened = 0
        self._trial = False

    def failure(self, now: float) -> None:
        """No answer."""
        self._failures += 1
        self._trial = False
        if self._failures >= self._threshold:
            wait = min(self._maximum, self._open_seconds * 2.0**self._opened)
            self._opened += 1
            self._retry_at = now + wait
