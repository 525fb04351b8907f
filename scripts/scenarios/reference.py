"""`docs/reference/scenario.md` from the models, and the table of shipped scenarios in the guide.

Field texts are the attribute docstrings; units are in the names.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from pathlib import Path
from typing import Any

import yaml
from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from scripts.scenarios.round_trips import SCENARIOS
from wattshift.sim.schema import ScenarioFile
from wattshift.sim.schema_base import FileModel

BEGIN, END = "<!-- begin: shipped scenarios -->", "<!-- end: shipped scenarios -->"
_HEAD = """\
<!-- Generated from operator/wattshift/sim/schema*.py by `make generate`; do not edit. -->
# Reference: a scenario file

Keys of a scenario file, object by object, beginning with the file itself; the guide is
[scenarios](../scenarios.md). A field without *required* may be left out. Numbers may be whole or decimal;
units are in the names. Times are ISO 8601 with an offset, in quotes.
"""


def _models(model: type[FileModel], seen: dict[str, type[FileModel]]) -> dict[str, type[FileModel]]:
    """The model and all below it, in the order in which a reader meets them."""
    if model.__name__ not in seen:
        seen[model.__name__] = model
        for field in model.model_fields.values():
            for inner in _inside(field.annotation):
                _models(inner, seen)
    return seen


def _inside(kind: Any) -> list[type[FileModel]]:
    if isinstance(kind, type) and issubclass(kind, FileModel):
        return [kind]
    return [model for part in typing.get_args(kind) for model in _inside(part)]


def _kind(kind: Any) -> str:
    """Words for a type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _kind(parts[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if origin is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is list:
        return f"list of {_kind(parts[0])}"
    if origin is dict:
        return f"map to {_kind(parts[1])}"
    if origin is tuple:
        return "[" + ", ".join(_kind(part) for part in parts) + "]"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{_title(kind)}](#{_title(kind).lower()})"
    names = {
        str: "text",
        float: "number",
        int: "whole number",
        bool: "true or false",
        Any: "object",
    }
    return names.get(kind, "time" if "datetime" in str(kind).lower() else str(kind))


def _limits(field: FieldInfo) -> str:
    words = []
    for item in field.metadata:
        match item:
            case Gt(gt=low):
                words.append(f"above {_number(low)}")
            case Ge(ge=low):
                words.append(f"from {_number(low)}")
            case Lt(lt=high):
                words.append(f"below {_number(high)}")
            case Le(le=high) if float(str(high)) < 1e9:
                words.append(f"to {_number(high)}")
            case Len(min_length=low, max_length=high) if low == high:
                words.append(f"{low} items")
            case MinLen(min_length=low) if low:
                words.append(f"at least {low}")
            case MaxLen(max_length=high):
                words.append(f"at most {high}")
    return f" ({', '.join(words)})" if words else ""


def _number(value: Any) -> str:
    return f"{value:,.0f}" if float(value) >= 1000 else f"{value:g}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ", *required*"
    value = field.default
    if isinstance(value, enum.Enum):
        return f", default `{value.value}`"
    if value is PydanticUndefined or value is None or value == "" or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f", default `{str(value).lower()}`"
    return f", default `{value:g}`" if isinstance(value, float) else f", default `{value}`"


def _title(model: type[BaseModel]) -> str:
    """`CsvColumn` -> `CsvColumn`; names of specs lose their suffix."""
    return model.__name__.removesuffix("Spec")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def reference() -> str:
    """The whole page."""
    lines = [_HEAD]
    for model in _models(ScenarioFile, {}).values():
        lines += [f"## {_title(model)}", "", _cell(model.__doc__ or ""), ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for field in model.model_fields.values():
            kind = f"{_kind(field.annotation)}{_limits(field)}{_default(field)}"
            lines.append(f"| `{field.alias}` | {kind} | {_cell(field.description or '')} |")
        lines.append("")
    return "\n".join(lines)


def _count(items: list[dict[str, Any]]) -> str:
    return f"{sum(item.get('repeat', {}).get('count', 1) for item in items):,}"


def shipped_table() -> str:
    """One row a shipped scenario."""
    rows = [
        "| scenario | what | sites / workloads | days, step | needs data |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(SCENARIOS.glob("s*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        step = document.get("stepSeconds", 300)
        rows.append(
            f"| `{document['name']}` | {document['title']} | "
            f"{_count(document['sites'])} / {_count(document['workloads'])} | "
            f"{document['days']:g}, {step} s | {'yes' if 'data' in document else 'no'} |"
        )
    return "\n".join(rows)


def guide(text: str) -> str:
    """The guide with its table renewed.

    Raises:
        ValueError: the page has no marks.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n{shipped_table()}\n{END}{tail}"


def minimal(text: str) -> str:
    """The first YAML block of the guide: the scenario in ten lines."""
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    if found is None:
        raise ValueError("the guide has no YAML block")
    return found.group(1)


def generated(docs: Path) -> dict[Path, str]:
    """Both pages by path."""
    page = docs / "scenarios.md"
    return {
        docs / "reference" / "scenario.md": reference(),
        page: guide(page.read_text(encoding="utf-8")),
    }
