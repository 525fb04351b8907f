"""Base of all API models: camelCase names, CEL rules with Python twins, list types of Kubernetes.

A rule is declared once, beside its model: the API server runs the CEL, pydantic runs the twin, and
a table test runs both on the same objects. Neighbours: `common.py` (types), `crdgen.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

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


class ApiModel(BaseModel):
    """Base of every object in spec and status; a subclass lists its `rules`."""

    model_config = ConfigDict(
        alias_generator=camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    atomic: ClassVar[bool] = False
    """Written as a whole: one owner, and one entry in managedFields instead of one a field."""
    min_properties: ClassVar[int] = 0
    max_properties: ClassVar[int] = 0
    """Limits on the number of fields that are set, where that replaces a costly rule; 0 = none."""
    immutable_fields: ClassVar[dict[str, str]] = {}
    """Attribute -> message; the field gets a transition rule in the CRD."""

    @model_validator(mode="after")
    def _run_rules(self) -> Self:
        for rule in self.rules:
            if rule.check is not None and not rule.check(self):
                raise ValueError(rule.message)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the CEL rules to the schema."""
        json_schema = handler.resolve_ref_schema(handler(schema))
        if cls.max_properties:
            json_schema["maxProperties"] = cls.max_properties
        if cls.min_properties:
            json_schema["minProperties"] = cls.min_properties
        if cls.atomic:
            json_schema["x-kubernetes-map-type"] = "atomic"
        if entries := [rule.as_schema() for rule in cls.rules if not rule.schema_only]:
            json_schema["x-kubernetes-validations"] = entries
        for name, message in cls.immutable_fields.items():
            field = json_schema["properties"][camel(name)]
            field["x-kubernetes-validations"] = [immutable(message).as_schema()]
        return json_schema


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


@dataclass(frozen=True)
class Column:
    """One printer column of a CRD."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


class ObjectMeta(BaseModel):
    """The part of Kubernetes metadata that wattshift reads; everything else is ignored."""

    model_config = ConfigDict(alias_generator=camel, validate_by_name=True, frozen=True)

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None


class Resource(ApiModel):
    """Base of a kind; subclasses add `spec` and `status` and fill the class variables."""

    plural: ClassVar[str]
    short_name: ClassVar[str]
    scope: ClassVar[Literal["Cluster", "Namespaced"]]
    columns: ClassVar[tuple[Column, ...]]

    api_version: Literal["wattshift.io/v1alpha1"]
    """apiVersion is the group and version of this object."""
    kind: str
    """kind is the kind of this object."""
    metadata: ObjectMeta
    """metadata is the standard metadata of Kubernetes."""

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Validate a document as the API server holds it: JSON names only.

        Raises:
            pydantic.ValidationError: the document does not fit the schema or breaks a rule.
        """
        return cls.model_validate(document, by_alias=True, by_name=False)

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` of a cluster-scoped object."""
        if self.metadata.namespace:
            return f"{self.metadata.namespace}/{self.metadata.name}"
        return self.metadata.name
