"""How a fetch fails, and how a credential is asked for: what transports and sources share.

Below `base.py`, so that transports need nothing of the sources that use them.
"""

from __future__ import annotations

from collections.abc import Callable

from wattshift.adapters.reasons import SourceReason
from wattshift.errors import NeedsHuman, Transient, WattshiftError

Credentials = Callable[[str, str, str], str]
"""(secret name, key, host) -> value; raises `SourceNeedsHuman` where label or host rule forbids."""


class SourceError(WattshiftError):
    """A fetch that gave nothing: `reason` for machines, the message for people."""

    reason: SourceReason

    def __init__(self, reason: SourceReason, message: str) -> None:
        super().__init__(message, reason=reason)


class SourceTransient(SourceError, Transient):
    """Worth retrying as it is: time-out, connection, 5xx, 429. Counts for the circuit breaker."""

    def __init__(
        self, reason: SourceReason, message: str, *, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(reason, message)
        self.retry_after_seconds = retry_after_seconds
        """Real seconds for which the server asks not to be asked again; 0 = it did not say."""


class SourceNeedsHuman(SourceError, NeedsHuman):
    """Will not heal by itself: bad credential, query, path or host. Retried slowly."""
