"""Rules of kube-api-linter that make sense on a schema; exceptions are listed with their reason.

`lint(schema)` gives faults as `path: rule: what`; a test wants none. Neighbour: `crdgen.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_INTEGER_FORMATS = frozenset({"int32", "int64"})
_VAGUE_TIMES = re.compile(r"(?:[Tt]imestamp|Stamp)$")
_DURATION = re.compile(r"(?:[Tt]imeout|[Pp]eriod|[Dd]eadline|[Dd]elay|[Dd]uration|[Ii]nterval)$")
_UNIT_FREE = re.compile(r"(?:[Pp]ower|[Tt]emperature|[Ll]atency)$")

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("nomaps", "spec.allowedNamespaces.selector.matchLabels"): "LabelSelector of Kubernetes",
    ("nodurations", "spec.obligations[].period"): "an accounting period by name, not a length",
    ("nodurations", "spec.positions[].takeOrPay.period"): "an accounting period by name",
    ("nodurations", "spec.components[].measure.demand.period"): "an accounting period by name",
    ("nodurations", "spec.components[].measure.coincident.period"): "an accounting period by name",
    ("nodurations", "spec.openingPeriod"): "an object",
    ("nodurations", "status.period"): "the billing period to date, an object",
    ("nodurations", "spec.components[].measure.duration"): "a member of the union, an object",
    ("units", "spec.power"): "an object",
    ("units", "status.power"): "an object",
    ("units", "status.summary.power"): "a string for a printer column, with its unit",
    ("units", "status.summary.latency"): "a string for a printer column",
}
"""(rule, path) -> why it may stand."""


def _children(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], str, bool]]:
    """(path, schema, name, required) of every field below, without the array items' own level."""
    required = set(schema.get("required", ()))
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}".removeprefix("."), child, name, name in required


def _description(path: str, node: dict[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    text = node.get("description", "")
    if not re.match(rf"{re.escape(name)}\b", text):
        yield "commentstart", path, "the description must start with the JSON name"


def _maxima(path: str, node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    kind = node.get("type")
    bounded = "maxLength" in node or "enum" in node or node.get("format") == "date-time"
    if kind == "string" and not bounded:
        yield "maxlength", path, "a string needs maxLength"
    if kind == "array" and "maxItems" not in node:
        yield "maxlength", path, "a list needs maxItems"
    if kind == "integer" and not {"minimum", "maximum"} <= node.keys():
        yield "maxlength", path, "an integer needs minimum and maximum"
    if "additionalProperties" in node and "maxProperties" not in node:
        yield "maxlength", path, "a map needs maxProperties"


def _types(path: str, node: dict[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    kind = node.get("type")
    if kind == "boolean":
        yield "nobools", path, "use an enum of strings: a bool cannot grow"
    if kind == "number":
        yield "nofloats", path, "use an integer with its unit, or a decimal string"
    if kind == "integer" and node.get("format") not in _INTEGER_FORMATS:
        yield "integers", path, "use int32 or int64"
    if "nullable" in node:
        yield "nonullable", path, "leave the field out instead"
    if "additionalProperties" in node:
        yield "nomaps", path, "use a list of named objects"
    if kind is None and "x-kubernetes-int-or-string" not in node:
        yield "types", path, "every field has a type"
    if _VAGUE_TIMES.search(name):
        yield "notimestamp", path, "call it fooTime"
    if _DURATION.search(name) and kind != "array":
        yield "nodurations", path, "an integer with Seconds or Minutes in its name"
    if _UNIT_FREE.search(name) and kind != "array":
        yield "units", path, "the unit belongs in the name"
    if name == "phase":
        yield "nophase", path, "use conditions"


def _lists(path: str, node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if node.get("type") != "array":
        return
    list_type = node.get("x-kubernetes-list-type")
    items = node.get("items", {})
    if list_type not in {"atomic", "set", "map"}:
        yield "ssatags", path, "a list needs x-kubernetes-list-type"
    if list_type == "map":
        keys = node.get("x-kubernetes-list-map-keys", [])
        wanting = set(keys) - set(items.get("required", ()))
        if not keys or wanting:
            yield "ssatags", path, f"keys of a map must be required: {sorted(wanting)}"
    if list_type == "set" and items.get("type") == "object":
        yield "ssatags", path, "items of a set must be scalars"


def _rules(path: str, node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    rules = [entry["rule"] for entry in node.get("x-kubernetes-validations", ())]
    if len(rules) != len(set(rules)):
        yield "duplicatemarkers", path, "the same rule twice"
    for entry in node.get("x-kubernetes-validations", ()):
        if not entry.get("message") or "\n" in entry["message"]:
            yield "rules", path, "a rule needs a message of one line"


def _walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    yield from _rules(path, schema)
    for child_path, child, name, required in _children(schema, path):
        yield from _description(child_path, child, name)
        yield from _types(child_path, child, name)
        yield from _maxima(child_path, child)
        yield from _lists(child_path, child)
        if required and "default" in child:
            yield "optionalorrequired", child_path, "a field with a default cannot be required"
        if child_path.startswith("status") and "default" in child:
            yield "statusoptional", child_path, "status has no defaults"
        yield from _walk(child, child_path)
        items = child.get("items")
        if items:
            yield from _maxima(f"{child_path}[]", items)
            yield from _types(f"{child_path}[]", items, "")
            yield from _walk(items, f"{child_path}[]")
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        yield from _maxima(f"{path}{{}}", extra)


def lint(schema: dict[str, Any]) -> list[str]:
    """Faults of an `openAPIV3Schema`, without the listed exceptions."""
    body = {"properties": {name: schema["properties"][name] for name in ("spec", "status")}}
    faults = [fault for fault in _walk(body, "") if (fault[0], fault[1]) not in EXCEPTIONS]
    status = schema["properties"]["status"]["properties"]
    if next(iter(status)) != "conditions":
        faults.append(("conditions", "status", "conditions must come first"))
    if schema["properties"]["status"].get("required"):
        faults.append(("statusoptional", "status", "every field of status is optional"))
    return [f"{path}: {rule}: {text}" for rule, path, text in faults]
