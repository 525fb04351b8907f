"""docs/reference/api.md from the models: fields, limits, defaults, rules, conditions, reasons.

`python -m wattshift.api.refgen --output docs/reference/api.md`; `--check` shows drift and exits 1.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from wattshift.api import API_VERSION
from wattshift.api.availability import EVENT_SOURCES, SOURCES, TRAFFIC
from wattshift.api.base import Resource
from wattshift.api.conditions import CONDITIONS
from wattshift.api.crdgen import KINDS, structural_schema, write_or_check
from wattshift.api.reasons import REASONS

_INTRODUCTION = f"""\
<!-- Generated from operator/wattshift/api by `make generate`; do not edit. -->
# API reference: `{API_VERSION}`

Watts, seconds and counts are integers with the unit in the name; prices, rates and factors are
decimal strings. Times are RFC 3339 with an offset. A field without *required* may be left out; what
that means is said with the field, and the values that then hold are in `status`. `[]` marks a list:
*by name* means that items are unique by these fields and merged by them on apply, others are replaced
as a whole.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _type(node: dict[str, Any]) -> str:
    kind = str(node.get("type", "any"))
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("format") == "date-time":
        return "time"
    if kind == "integer":
        return f"{node.get('format', kind)}, {node.get('minimum')} to {node.get('maximum')}"
    if kind == "string":
        return f"string, at most {node.get('maxLength')}"
    if kind == "array":
        keys = node.get("x-kubernetes-list-map-keys")
        unique = f", by {', '.join(keys)}" if keys else ""
        item = node["items"]
        inner = "" if item.get("type") == "object" else f" of {_type(item)}"
        least = f"{node['minItems']} to " if "minItems" in node else "at most "
        return f"list{inner}, {least}{node['maxItems']}{unique}"
    if "additionalProperties" in node:
        return f"map, at most {node.get('maxProperties')}"
    return kind


def _rows(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = set(schema.get("required", ()))
    for name, node in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        yield here, node, name in required
        if node.get("type") == "array":
            yield from _rows(node["items"], f"{here}[]")
        else:
            yield from _rows(node, here)


def _rules(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for entry in schema.get("x-kubernetes-validations", ()):
        yield path, entry["message"]
    for name, node in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        yield from _rules(node, here)
        if node.get("type") == "array":
            yield from _rules(node["items"], f"{here}[]")


def _table(schema: dict[str, Any], path: str) -> Iterator[str]:
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for here, node, required in _rows(schema, path):
        kind = _type(node)
        if required:
            kind += ", *required*"
        if "default" in node:
            kind += f", default `{node['default']}`"
        if node.get("maxProperties") == node.get("minProperties") == 1:
            kind += ", exactly one member"
        yield f"| `{here}` | {kind} | {_cell(node.get('description', ''))} |"
    yield ""


def _members(reasons: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Value and docstring of each member of an enum."""
    tree = ast.parse(inspect.getsource(reasons))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = " ".join(str(after.value.value).split())
            yield str(node.value.value), text


def _kind(kind: type[Resource]) -> Iterator[str]:
    schema = structural_schema(kind)
    name = kind.__name__
    yield f"## {name}"
    yield ""
    yield f"{schema['description']} {kind.scope}; short name `{kind.short_name}`, category `wattshift`."
    yield ""
    yield f"### {name} spec"
    yield ""
    yield from _table(schema["properties"]["spec"], "spec")
    yield f"### {name} rules"
    yield ""
    for path, message in _rules(schema["properties"]["spec"], "spec"):
        yield f"- `{path}`: {message}."
    yield ""
    yield f"### {name} conditions"
    yield ""
    yield "| condition | true when |"
    yield "|---|---|"
    for value, text in _members(CONDITIONS[name]):
        yield f"| `{value}` | {_cell(text)} |"
    yield ""
    yield f"### {name} status"
    yield ""
    yield from _table(schema["properties"]["status"], "status")


def reference() -> str:
    """The whole page."""
    lines = [_INTRODUCTION]
    for kind in KINDS:
        lines += _kind(kind)
    lines += ["## What this version can do", ""]
    events = ", ".join(sorted(EVENT_SOURCES)) or "none yet: write `spec.events`"
    lines += [
        (
            f"- Sources with an adapter: {', '.join(sorted(SOURCES))}. Others leave their signal Unknown, "
            "reason `SourceNotAvailable`."
        ),
        f"- Event sources with an adapter: {events}.",
        f"- Traffic backends: {', '.join(sorted(TRAFFIC))}. Others give `Accepted=False`.",
        "",
        "## Reasons",
        "",
        "The same constants appear in conditions, events, metrics, logs and the CLI.",
        "",
    ]
    for reasons in REASONS:
        lines += [f"### {reasons.__name__}", "", " ".join((reasons.__doc__ or "").split()), ""]
        lines += ["| reason | meaning |", "|---|---|"]
        lines += [f"| `{value}` | {_cell(text)} |" for value, text in _members(reasons)]
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wattshift.api.refgen", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--check", action="store_true", help="show drift and exit 1 if there is any"
    )
    options = parser.parse_args(arguments)
    return write_or_check({options.output: reference()}, check=options.check)


if __name__ == "__main__":
    sys.exit(main())
