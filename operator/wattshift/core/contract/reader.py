"""A JSON object being read: required and optional fields, and errors that name the path.

Exact numbers only: money and factors are decimal strings or integers, a float is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from wattshift.core.contract.errors import ContractError, ContractReason

E = TypeVar("E", bound=StrEnum)
_DECIMAL = re.compile(r"-?\d{1,12}(\.\d{1,9})?\Z", re.ASCII)


class Reader:
    """One object of the spec with its path; absent and null mean the same."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise ContractError(path, f"must be an object, not {type(value).__name__}")
        self.value: Mapping[str, Any] = value
        self.path = path

    def at(self, name: str) -> str:
        """Path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Whether a field is set."""
        return self.value.get(name) is not None

    def error(self, name: str, message: str) -> ContractError:
        """An invalid field."""
        return ContractError(self.at(name) if name else self.path, message)

    def refuse(self, name: str, message: str) -> ContractError:
        """A field whose meaning is known but cannot be billed yet."""
        path = self.at(name) if name else self.path
        return ContractError(path, message, ContractReason.NOT_IMPLEMENTED)

    def _get(self, name: str) -> Any:
        value = self.value.get(name)
        if value is None:
            raise self.error(name, "is required")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if not isinstance(value, str) or not value:
            raise self.error(name, "must be a string")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number, not negative."""
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(name, "must be a whole number, not negative")
        return value

    def optional_integer(self, name: str) -> int | None:
        """A whole number or None."""
        return self.integer(name) if self.has(name) else None

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        """An exact decimal."""
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.error(name, 'must be a decimal string such as "0.4200"')
        if isinstance(value, str) and not _DECIMAL.match(value):
            raise self.error(name, f'{value!r} is no decimal such as "0.4200"')
        return Decimal(value)

    def optional_decimal(self, name: str) -> Decimal | None:
        """An exact decimal or None."""
        return self.decimal(name) if self.has(name) else None

    def time(self, name: str) -> int:
        """RFC 3339 time as epoch seconds."""
        value = self._get(name)
        if isinstance(value, datetime):
            moment = value
        else:
            try:
                moment = datetime.fromisoformat(str(value))
            except ValueError:
                raise self.error(name, "must be a time such as 2026-01-01T00:00:00+08:00") from None
        if moment.tzinfo is None:
            raise self.error(name, "needs an offset, such as 2026-01-01T00:00:00+08:00")
        return int(moment.timestamp())

    def optional_time(self, name: str) -> int | None:
        """Epoch seconds or None."""
        return self.time(name) if self.has(name) else None

    def choice(self, name: str, kind: type[E], default: E | None = None) -> E:
        """A member of a closed list."""
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        allowed = {member.value: member for member in kind}
        if not isinstance(value, str) or value not in allowed:
            raise self.error(name, f"{value!r} is none of {', '.join(allowed)}")
        return allowed[value]

    def names(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        values = self._list(name)
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(name, "must be strings")
        return tuple(values)

    def choices(self, name: str, kind: type[E]) -> tuple[E, ...]:
        """A list of members of a closed list, empty when absent."""
        allowed = {member.value: member for member in kind}
        for value in self.names(name):
            if value not in allowed:
                raise self.error(name, f"{value!r} is none of {', '.join(allowed)}")
        return tuple(allowed[value] for value in self.names(name))

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers, empty when absent."""
        values = self._list(name)
        if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
            raise self.error(name, "must be whole numbers")
        return tuple(values)

    def child(self, name: str) -> Reader:
        """A nested object."""
        return Reader(self._get(name), self.at(name))

    def children(self, name: str) -> Iterator[Reader]:
        """Objects of a list; the path names them by `name` where they have one."""
        for index, value in enumerate(self._list(name)):
            label = value.get("name", index) if isinstance(value, Mapping) else index
            yield Reader(value, f"{self.at(name)}[{label}]")

    def _list(self, name: str) -> Sequence[Any]:
        value = self.value.get(name)
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self.error(name, "must be a list")
        return value
