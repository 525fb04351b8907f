"""Label selectors: parse what objects hold, match pods here, and cover many with few watches. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_VALUES = 100
"""Values in one `in (...)`, so that the URL of a watch stays below 8 KiB."""

_TERM = re.compile(
    r"\s*(?:(?P<key>[^\s!=,()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\)"
    r"|(?P<equal_key>[^\s!=,()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s,()]*)"
    r"|(?P<absent>!)?\s*(?P<bare>[^\s!=,()]+))\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One term; all terms of a selector must hold."""

    key: str
    operator: str
    """In, NotIn, Exists or DoesNotExist."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet the term; NotIn holds for an absent key, as in Kubernetes."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        return (value is not None) == (self.operator == "Exists")

    def __str__(self) -> str:
        if self.operator == "In" and len(self.values) == 1:
            return f"{self.key}={self.values[0]}"
        if self.operator in ("In", "NotIn"):
            return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"
        return self.key if self.operator == "Exists" else f"!{self.key}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements, sorted. Without any it selects *nothing* here: an unknown is not 'all'."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is selected."""
        return bool(self) and all(r.matches(labels) for r in self.requirements)


def parse(value: object) -> Selector:
    """Parse a `LabelSelector`, a plain label map, or the string form; unknown shapes select nothing.

    Raises:
        ValueError: a string that is no selector, or an operator that Kubernetes does not know.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if not isinstance(value, dict):
        return Selector()
    if "matchLabels" in value or "matchExpressions" in value:
        pairs = value.get("matchLabels") or {}
        expressions = value.get("matchExpressions") or []
    else:
        pairs, expressions = value, []
    found = [Requirement(str(k), "In", (str(v),)) for k, v in pairs.items()]
    found += [_expression(e) for e in expressions]
    return Selector(tuple(sorted(found)))


def covering(selectors: Iterable[Selector]) -> list[str]:
    """Few selector strings that together select at least what the given ones select.

    If all equal-terms share a key, one watch `key in (...)` covers them (match again locally);
    else each distinct selector gets its own watch. Sorted, so that equal inputs give equal watches.
    """
    distinct = sorted({s for s in selectors if s}, key=str)
    if not distinct:
        return []
    common: dict[str, set[str]] | None = None
    for selector in distinct:
        terms = {r.key: set(r.values) for r in selector.requirements if r.operator == "In"}
        if common is None:
            common = terms
        else:
            common = {k: v | terms[k] for k, v in common.items() if k in terms}
    if not common or len(distinct) == 1:
        return [str(s) for s in distinct]
    # The key that tells most apart selects the fewest bystanders.
    key = max(sorted(common), key=lambda k: len(common[k]))
    return [str(Requirement(key, "In", chunk)) for chunk in _chunks(sorted(common[key]))]


def _chunks(values: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(values[i : i + MAX_VALUES]) for i in range(0, len(values), MAX_VALUES)]


def _expression(entry: Mapping[str, Any]) -> Requirement:
    operator = str(entry["operator"])
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        raise ValueError(f"unknown selector operator {operator[:40]}")
    return Requirement(
        str(entry["key"]), operator, tuple(sorted(map(str, entry.get("values") or ())))
    )


def _parse_text(text: str) -> Selector:
    found: list[Requirement] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise ValueError("not a label selector")
        position = match.end()
        if match["set"]:
            values = tuple(sorted(v.strip() for v in match["values"].split(",")))
            found.append(
                Requirement(match["key"], "In" if match["set"] == "in" else "NotIn", values)
            )
        elif match["operator"]:
            operator = "NotIn" if match["operator"] == "!=" else "In"
            found.append(Requirement(match["equal_key"], operator, (match["value"],)))
        else:
            operator = "DoesNotExist" if match["absent"] else "Exists"
            found.append(Requirement(match["bare"], operator))
    return Selector(tuple(sorted(found)))
