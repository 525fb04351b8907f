"""Conditions with the conventions of Kubernetes: the time of transition moves only when status flips.

Types are those of `wattshift/api/conditions.py`. Values only; `status.py` keeps the current set of each object and writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

_MAX_MESSAGE_CHARS = 1024
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years that a date can have: 1 to 9999."""
NOT_OBSERVED = "NotObserved"
"""Reason of a condition that nobody has looked at yet."""


class Truth(StrEnum):
    """Status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"

    @classmethod
    def of(cls, value: bool | None) -> Truth:
        """True, False, or Unknown for None."""
        if value is None:
            return cls.UNKNOWN
        return cls.TRUE if value else cls.FALSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition; `reason` is the constant that event, metric, log and CLI use as well."""

    type: str
    status: Truth
    reason: str
    message: str = ""
    observed_generation: int = 0
    transition_utc: float = 0.0
    """Epoch seconds of real time; filled by `merged`."""

    def document(self) -> dict[str, Any]:
        """As it is written to status."""
        return {
            "type": self.type,
            "status": self.status.value,
            "reason": self.reason,
            "message": self.message[:_MAX_MESSAGE_CHARS],
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": format_utc(self.transition_utc),
        }


def condition(
    kind: str, truth: Truth | bool | None, reason: str, message: str = "", *, generation: int = 0
) -> Condition:
    """Build a condition; `truth=None` is Unknown."""
    status = truth if isinstance(truth, Truth) else Truth.of(truth)
    return Condition(
        type=str(kind),
        status=status,
        reason=str(reason),
        message=message,
        observed_generation=generation,
    )


def merged(
    current: Mapping[str, Condition], new: Condition, *, now_utc: float
) -> tuple[Condition, bool]:
    """Put `new` in place of its namesake; returns it and whether the status flipped.

    A first sighting is no flip: nobody wants an event for each condition of a new object. Nor is the
    good news that follows on `NotObserved`, or what says nothing in words (`Progressing`, idle).
    """
    old = current.get(new.type)
    if old is None:
        return replace(new, transition_utc=now_utc), False
    if old.status is new.status:
        generation = max(old.observed_generation, new.observed_generation)
        return (
            replace(new, transition_utc=old.transition_utc, observed_generation=generation),
            False,
        )
    expected = old.reason == NOT_OBSERVED and (new.status is Truth.TRUE or not new.message)
    return replace(new, transition_utc=now_utc), not expected


def load(documents: Iterable[Mapping[str, Any]]) -> dict[str, Condition]:
    """Conditions from a status; what cannot be read is left out."""
    found: dict[str, Condition] = {}
    for document in documents:
        try:
            row = Condition(
                type=str(document["type"]),
                status=Truth(document["status"]),
                reason=str(document["reason"]),
                message=str(document.get("message", "")),
                observed_generation=int(document.get("observedGeneration", 0)),
                transition_utc=parse_utc(str(document["lastTransitionTime"])),
            )
        except (KeyError, ValueError):
            continue
        found[row.type] = row
    return found


def format_utc(epoch_seconds: float) -> str:
    """`2026-11-22T10:00:00Z`: whole seconds, as Kubernetes writes times.

    Years outside 1 to 9999, which an offset in somebody's spec can reach, become the nearest inside.
    """
    inside = min(max(epoch_seconds, _FIRST_SECOND), _LAST_SECOND)
    return datetime.fromtimestamp(inside, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse_utc(text: str) -> float:
    """Epoch seconds of an RFC 3339 time with an offset.

    Raises:
        ValueError: no time, or one without an offset.
    """
    moment = datetime.fromisoformat(text.upper())  # the schema allows `t` and `z`
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return moment.timestamp()
