"""The three families of errors; every other exception of ours derives from exactly one of them.

`Transient`: retry with backoff. `NeedsHuman`: set a condition, retry slowly or on change. `Bug`: end
this iteration, count it, go on. Adapters and clients translate at their edge; nothing above the edge
looks at a library's own exceptions.
"""

from __future__ import annotations


class WattshiftError(Exception):
    """Base of the families: a message for people and a reason constant for conditions and metrics."""

    default_reason = "Error"

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason


class Transient(WattshiftError):
    """It may work when tried again; the caller backs off."""

    default_reason = "Transient"


class NeedsHuman(WattshiftError):
    """Somebody has to change something; the message says what, and never holds a secret."""

    default_reason = "NeedsHuman"


class Bug(WattshiftError):
    """Our own fault: end the iteration, count it, continue with the rest."""

    default_reason = "Bug"


class FenceLost(Transient):
    """The lease may no longer be ours when the write lands, so the write was not sent."""

    default_reason = "FenceLost"
