"""What is wrong with a contract, where, and what to change; turned into `Accepted=False` by control."""

from __future__ import annotations

from enum import StrEnum


class ContractReason(StrEnum):
    """Why a contract is not accepted; the words appear in conditions."""

    INVALID = "ContractInvalid"
    """A value is malformed or a name does not resolve."""
    NOT_IMPLEMENTED = "ContractPartNotImplemented"
    """A part of the vocabulary that this version cannot bill; it is refused, never guessed."""


class ContractError(ValueError):
    """A contract that cannot be billed: `path` in the spec, and a message that says what to change."""

    def __init__(
        self, path: str, message: str, reason: ContractReason = ContractReason.INVALID
    ) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.reason = reason
