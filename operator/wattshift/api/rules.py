"""CEL rules with Python twins: the API server runs the CEL, pydantic the twin, a table test both.

A rule is declared once, beside its model. NB: rules on long lists are costly (`count_of`); every
status write runs them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BaseModel,
)

_ACRONYMS = {"uid": "UID", "id": "ID", "url": "URL", "adr3": "ADR3", "adr2b": "ADR2b"}


def camel(name: str) -> str:
    """JSON name of a Python attribute: `target_uid` -> `targetUID`, `from_` -> `from`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


@dataclass(frozen=True)
class Rule:
    """One CEL rule and its Python twin; `check=None` marks a transition rule (`oldSelf`)."""

    cel: str
    message: str
    check: Callable[[Any], bool] | None = None
    field_path: str = ""
    schema_only: bool = False
    """The schema says it without CEL (`max_properties`): only the Python twin runs."""

    def as_schema(self) -> dict[str, Any]:
        """The entry of `x-kubernetes-validations`."""
        entry: dict[str, Any] = {"rule": self.cel, "message": self.message}
        if self.field_path:
            entry["fieldPath"] = self.field_path
        return entry


def present(model: BaseModel, name: str) -> bool:
    """Twin of CEL `has()`: the field was given and is not null."""
    return name in model.model_fields_set and getattr(model, name) is not None


def count_of(*names: str) -> str:
    """CEL of how many of these fields are set.

    Additions, because CEL's list functions cost ten times as much, and every field access builds
    the list of all properties of its object: rules on long lists name few fields.
    """
    return " + ".join(f"(has(self.{camel(name)}) ? 1 : 0)" for name in names)


def exactly_one(*names: str) -> Rule:
    """Rule: exactly one of these fields is set."""
    return Rule(
        cel=f"{count_of(*names)} == 1",
        message="set exactly one of " + ", ".join(camel(name) for name in names),
        check=lambda model: sum(present(model, name) for name in names) == 1,
    )


def at_most_one(*names: str) -> Rule:
    """Rule: at most one of these fields is set."""
    return Rule(
        cel=f"{count_of(*names)} <= 1",
        message="set at most one of " + ", ".join(camel(name) for name in names),
        check=lambda model: sum(present(model, name) for name in names) <= 1,
    )


def union(**members: str) -> Rule:
    """Rule of a discriminated union: the member that `type` names is set, and no other.

    Keywords are values of `type`, arguments the field each needs. A value of `type` that is not
    listed takes no member.
    """
    parts = [
        f"has(self.{camel(name)}) == (self.type == '{kind}')" for kind, name in members.items()
    ]
    return Rule(
        cel=" && ".join(parts),
        message=_union_message(members),
        check=lambda model: _union_holds(model, members),
    )


def only_union(**members: str) -> Rule:
    """Like `union`, for a model that has no other fields and `max_properties = 2`: cheaper."""
    *others, last = members.items()
    parts = [f"self.type == '{kind}' ? has(self.{camel(name)}) : " for kind, name in others]
    return Rule(
        cel="".join(parts) + f"has(self.{camel(last[1])})",
        message=_union_message(members),
        check=lambda model: _union_holds(model, members),
    )


def _union_message(members: dict[str, str]) -> str:
    pairs = ", ".join(f"{kind} needs {camel(name)}" for kind, name in members.items())
    return f"set the member that type names and no other: {pairs}"


def _union_holds(model: Any, members: dict[str, str]) -> bool:
    return all(present(model, name) == (model.type == kind) for kind, name in members.items())


def ordered(low: str, high: str) -> Rule:
    """Rule: where both are set, `low` <= `high`."""
    return Rule(
        cel=f"!has(self.{camel(low)}) || !has(self.{camel(high)}) "
        f"|| self.{camel(low)} <= self.{camel(high)}",
        message=f"{camel(low)} must not be greater than {camel(high)}",
        check=lambda model: (
            not present(model, low)
            or not present(model, high)
            or getattr(model, low) <= getattr(model, high)
        ),
    )


def before(start: str, end: str) -> Rule:
    """Rule: where both times are set, `start` lies before `end`."""
    return Rule(
        cel=f"!has(self.{camel(start)}) || !has(self.{camel(end)}) "
        f"|| self.{camel(start)} < self.{camel(end)}",
        message=f"{camel(end)} must lie after {camel(start)}",
        check=lambda model: (
            not present(model, start)
            or not present(model, end)
            or getattr(model, start) < getattr(model, end)
        ),
    )


def budget(items: str, path: str, limit: int, what: str) -> Rule:
    """Rule: the lists at `path` (below each of `items`) have at most `limit` entries together.

    Keeps objects small: every status write decodes and validates the whole object.
    """
    parts = path.split(".")
    tests = " && ".join(
        f"has(x.{'.'.join(camel(part) for part in parts[: end + 1])})" for end in range(len(parts))
    )
    field, listed = camel(items), ".".join(camel(part) for part in parts)

    def check(model: BaseModel) -> bool:
        total = 0
        for item in getattr(model, items):
            value = item
            for part in parts:
                value = getattr(value, part) if value is not None else None
            total += len(value or ())
        return total <= limit

    return Rule(
        cel=f"!has(self.{field}) || self.{field}.map(x, {tests} ? size(x.{listed}) : 0).sum() "
        f"<= {limit}",
        message=f"{what} must have at most {limit} entries together",
        check=check,
    )


def immutable(message: str) -> Rule:
    """Rule of a field or object that keeps its value."""
    return Rule(cel="self == oldSelf", message=message)
