"""When a workload leaves its objective and when it is back: what people are told once a spell.

It tells nothing itself and judges nothing: the guard does. Neighbour: `show.py`.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from wattshift.control.hub.conditions import Condition, Truth
from wattshift.control.hub.keys import ObjectKey


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Words of one event."""

    reason: str
    note: str
    warning: bool


class Spells:
    """Whether people were told last that a workload is outside its objective."""

    def __init__(self) -> None:
        self._outside: dict[ObjectKey, bool] = {}

    def news(
        self,
        key: ObjectKey,
        within: bool | None,
        reason: str,
        message: str,
        seen: Condition | None,
    ) -> News | None:
        """What is to be told now; None = nothing.

        Args:
            key: of the workload.
            within: inside its objective; None = unknown, which neither begins nor ends a spell.
            reason: of the guard.
            message: of the guard.
            seen: the condition WithinObjective in status: a new leader goes on from there.
        """
        outside = self._outside.setdefault(key, seen is not None and seen.status is Truth.FALSE)
        if within is None or within is not outside:
            return None
        self._outside[key] = not within
        if within:
            words = message or "inside its objective again"
            return News(reason="WithinObjective", note=words, warning=False)
        return News(reason=reason, note=f"{message}; no saving acts until it is over", warning=True)

    def forget(self, workloads: Container[str]) -> None:
        """Drop those whose path is not among the workloads."""
        gone = [key for key in self._outside if key.path not in workloads]
        for key in gone:
            del self._outside[key]
