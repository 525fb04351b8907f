"""The last look before an act: one named cause per refusal, judged on a fresher snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.decision import Decision
from wattshift.core.model import Snapshot
from wattshift.core.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a decision may not be carried out any more."""

    reason: Reason
    message: str


def validate(decision: Decision, fresh: Snapshot, now: float) -> Refusal | None:
    """None when `decision` may be carried out on the world of `fresh`."""
    if decision.valid_until < now:
        return Refusal(reason=Reason.STALE_PLAN, message="the decision has expired")
    return None
