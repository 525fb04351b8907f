"""Parsed contracts, once per generation: from the object's spec to `core.contract.model.Contract`.

Neighbours: `resolve.py` (whether it can be parsed decides `Accepted`), `gather.py` (prices, books).
"""

from __future__ import annotations

from wattshift.control.hub.store import Stored
from wattshift.core.contract.errors import ContractError
from wattshift.core.contract.model import Contract
from wattshift.core.contract.parse import from_spec


class Contracts:
    """Cache by UID; one entry per contract."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[int, Contract | ContractError]] = {}

    def of(self, stored: Stored) -> Contract:
        """The contract of an object.

        Raises:
            ContractError: path, reason and message say what to change.
        """
        known = self._parsed.get(stored.uid)
        if known is None or known[0] != stored.generation:
            result: Contract | ContractError
            try:
                result = from_spec(stored.key.name, stored.document)
            except ContractError as error:
                result = error
            known = (stored.generation, result)
            self._parsed[stored.uid] = known
        if isinstance(known[1], ContractError):
            raise known[1]
        return known[1]

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._parsed.pop(uid, None)
