"""Visit to an EnergyContract: in force or not, and ready.

Prices, period and pace are the loops' (`prices.py`, `books.py`); they set the other conditions.
"""

from __future__ import annotations

from wattshift.api.conditions import EnergyContractCondition as Type
from wattshift.control.clock import Clock
from wattshift.control.hub.conditions import condition, format_utc
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.store import Acceptance, Stored
from wattshift.control.record.status import StatusBook

_MAX_WAIT_SECONDS = 3600.0


class ContractReconciler:
    """Conditions that follow from spec and time alone."""

    def __init__(self, *, book: StatusBook, contracts: Contracts, clock: Clock) -> None:
        self._book = book
        self._contracts = contracts
        self._clock = clock

    def visit(self, stored: Stored, acceptance: Acceptance) -> float | None:
        """Publish Ready and InForce; returns wall seconds until the validity changes."""
        if not acceptance.accepted:
            self._book.set_conditions(
                stored.key,
                condition(Type.READY, False, "NotAccepted", acceptance.message),
                condition(Type.IN_FORCE, None, "NotAccepted", acceptance.message),
            )
            return None
        contract = self._contracts.of(stored)
        now = self._clock.grid()
        start, end = contract.valid_from, contract.valid_until
        if start is not None and now < start:
            state = (False, "NotYetInForce", f"in force from {format_utc(start)}")
        elif end is not None and now >= end:
            state = (False, "Expired", f"ended at {format_utc(end)}")
        else:
            until = "without an end" if end is None else f"until {format_utc(end)}"
            state = (True, "InForce", f"in force {until}")
        self._book.set_conditions(
            stored.key,
            condition(Type.READY, True, "Resolved", "accepted; points and signals are resolved"),
            condition(Type.IN_FORCE, *state),
        )
        ahead = [moment - now for moment in (start, end) if moment is not None and moment > now]
        if not ahead:
            return None
        return max(0.05, min(min(ahead) / self._clock.speed, _MAX_WAIT_SECONDS))
