"""List types of Kubernetes for list fields: maximum length, uniqueness, who merges what.

Neighbour: `base.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

from wattshift.api.rules import camel


@dataclass(frozen=True)
class _List:
    """Metadata of a list field: maximum length and the Kubernetes list type."""

    max_items: int
    min_items: int = 0
    list_type: Literal["atomic", "set", "map"] = "atomic"
    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        json_schema = handler(schema)
        json_schema["maxItems"] = self.max_items
        if self.min_items:
            json_schema["minItems"] = self.min_items
        json_schema["x-kubernetes-list-type"] = self.list_type
        if self.keys:
            json_schema["x-kubernetes-list-map-keys"] = [camel(key) for key in self.keys]
        return json_schema

    def _check(self, value: list[Any]) -> list[Any]:
        if len(value) > self.max_items:
            raise ValueError(f"must have at most {self.max_items} items")
        if len(value) < self.min_items:
            raise ValueError(f"must have at least {self.min_items} items")
        if self.list_type == "atomic":
            return value
        seen: set[Any] = set()
        for item in value:
            key = tuple(getattr(item, name) for name in self.keys) if self.keys else item
            if key in seen:
                raise ValueError(f"Duplicate value: {key}")
            seen.add(key)
        return value


def list_map(*keys: str, max_items: int, min_items: int = 0) -> _List:
    """List of objects that are unique by `keys` (attribute names): merged by key on apply."""
    return _List(max_items=max_items, min_items=min_items, list_type="map", keys=keys)


def list_set(max_items: int, min_items: int = 0) -> _List:
    """List of unique scalars."""
    return _List(max_items=max_items, min_items=min_items, list_type="set")


def list_atomic(max_items: int, min_items: int = 0) -> _List:
    """List that is replaced as a whole."""
    return _List(max_items=max_items, min_items=min_items)
