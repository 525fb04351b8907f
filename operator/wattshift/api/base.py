"""Base of all API models: camelCase names, rules in the schema, kinds with metadata.

Neighbours: `rules.py` (CEL and twins), `lists.py` (list types), `common.py` (scalar types).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema

from wattshift.api.rules import Rule, camel, immutable


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
