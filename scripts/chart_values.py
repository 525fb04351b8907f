"""Schema and README of the chart from its commented `values.yaml`.

The default of a key gives its type; `@schema {...}` above it adds rules, `@config PATH` takes them
from the operator's own settings, so that Helm refuses what the operator would refuse.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from wattshift.control.config import Config

NAMES = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DROPPED = ("title", "default", "description")
_TYPES: dict[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip

Schema = dict[str, Any]


@dataclass(slots=True)
class Setting:
    """One key of `values.yaml`."""

    path: tuple[str, ...]
    default: Any
    description: str
    rules: Schema
    config: str = ""
    section: str = ""
    children: list[Setting] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        """Whether its keys are ours to name."""
        return bool(self.children)

    def walk(self) -> Iterator[Setting]:
        """This one and all below."""
        yield self
        for child in self.children:
            yield from child.walk()


def settings(path: Path) -> list[Setting]:
    """Top-level settings in the file's order.

    Raises:
        ValueError: a key without a comment, or an empty map or list whose members nothing describes.
    """
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _settings(root, text.splitlines(), yaml.safe_load(text), ())


def _settings(
    node: yaml.MappingNode, lines: list[str], values: dict[str, Any], path: tuple[str, ...]
) -> list[Setting]:
    found, section = [], ""
    for key, value in node.value:
        here = (*path, key.value)
        words, rules, config = _comment(lines, key.start_mark.line)
        section = _section(lines, key.start_mark.line) or section
        default = values[key.value]
        if not words:
            raise ValueError(f"{'.'.join(here)}: no comment")
        setting = Setting(here, default, words, rules, config, section)
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        # NB: a map in block style whose members have no comments is the user's, as `resources`.
        if block and default and "additionalProperties" not in rules:
            setting.children = _settings(value, lines, default, here)
        elif isinstance(default, dict | list) and not default and not rules and not config:
            raise ValueError(f"{'.'.join(here)}: empty, and nothing says what may be in it")
        found.append(setting)
    return found


def _comment(lines: list[str], line: int) -> tuple[str, Schema, str]:
    """Description, rules and path in Config from the comment lines above a key."""
    words: list[str] = []
    rules: Schema = {}
    config = ""
    above = line - 1
    block: list[str] = []
    while above >= 0 and lines[above].lstrip().startswith("#"):
        block.insert(0, lines[above].strip().lstrip("#").strip())
        above -= 1
    for text in block:
        if text.startswith("@schema "):
            rules = yaml.safe_load(text.removeprefix("@schema "))
        elif text.startswith("@config "):
            config = text.removeprefix("@config ").strip()
        else:
            words.append(text)
    return " ".join(words), rules, config


def _section(lines: list[str], line: int) -> str:
    """The title `# ## TITLE` in the comment block above the key's own."""
    above = line - 1
    while above >= 0 and lines[above].lstrip().startswith("#"):
        above -= 1
    title = lines[above - 1].strip() if above >= 1 and not lines[above].strip() else ""
    return title.removeprefix("# ## ") if title.startswith("# ## ") else ""


# ---- schema ----------------------------------------------------------------------------------


def schema(rows: list[Setting]) -> str:
    """`values.schema.json`."""
    body: Schema = {
        "$schema": _DRAFT,
        "title": "Values of the chart wattshift",
        "type": "object",
        "additionalProperties": False,
        "properties": {row.path[-1]: _node(row) for row in rows},
        "$defs": {"name": NAMES},
    }
    body["properties"]["global"] = {
        "description": "Shared with a parent chart; nothing of it is used here.",
        "type": "object",
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _node(row: Setting) -> Schema:
    node: Schema = {"description": row.description}
    if row.closed:
        node |= {"type": "object", "additionalProperties": False}
        if row.config:
            for child in row.children:
                child.config = f"{row.config}.{child.path[-1]}"
        node["properties"] = {child.path[-1]: _node(child) for child in row.children}
    elif row.config:
        node |= config_schema(row.config)
    else:
        node["type"] = _TYPES[type(row.default)]
        node |= row.rules
    node["default"] = row.default
    return node


def config_schema(path: str) -> Schema:
    """What the operator's own settings say about one key; `a.b` descends.

    Raises:
        ValueError: the operator has no such setting.
    """
    root = Config.model_json_schema(by_alias=True)
    node: Schema = root
    for part in path.split("."):
        node = _resolved(node, root)
        if part not in node.get("properties", {}):
            raise ValueError(f"@config {path}: the operator has no such setting")
        node = node["properties"][part]
    plain = _plain(node, root)
    assert isinstance(plain, dict)
    return plain


def _resolved(node: Schema, root: Schema) -> Schema:
    if "$ref" in node:
        found: Schema = root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node


def _plain(node: Any, root: Schema) -> Any:
    if isinstance(node, list):
        return [_plain(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    node = _resolved(node, root)
    kept = {key: value for key, value in node.items() if key not in _DROPPED}
    if "properties" in kept:
        kept["properties"] = {k: _plain(v, root) for k, v in kept["properties"].items()}
    return {k: v if k == "properties" else _plain(v, root) for k, v in kept.items()}


# ---- README ----------------------------------------------------------------------------------

_HEAD = """\
<!-- Generated from values.yaml by `make generate`; do not edit. -->
# Chart `wattshift`

Installs the operator into a hub cluster, or the roles of a member into another cluster. Step by
step: [docs/install.md](../../docs/install.md). Every permission: [docs/security.md](../../docs/security.md).

    helm install wattshift charts/wattshift -n wattshift-system --create-namespace \\
      --set 'member.namespaces={serving}'

Values are checked by `values.schema.json`: an unknown key or a wrong value is refused before
anything is sent to the cluster. `ci/` has values for usual installations; each is tested.

| file | installs |
|---|---|
"""


def readme(rows: list[Setting], examples: dict[str, str]) -> str:
    """README.md; `examples` is file name -> first comment line of the files in ci/."""
    lines = [_HEAD.rstrip()]
    lines += [f"| `ci/{name}` | {text} |" for name, text in sorted(examples.items())]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}", "", "| value | default | meaning |", "|---|---|---|"]
        for setting in row.walk():
            name = ".".join(setting.path)
            shown = "" if setting.closed else f"`{json.dumps(setting.default)}`"
            lines.append(f"| `{name}` | {shown} | {_cell(setting)} |")
    return "\n".join(lines) + "\n"


def _cell(setting: Setting) -> str:
    text = setting.description.replace("|", "\\|")
    return f"*{text.rstrip('.')}*" if setting.closed else text


def first_comment(path: Path) -> str:
    """The first line of a values file, without its `#`."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def generated(chart: Path) -> dict[Path, str]:
    """Both files and their text."""
    rows = settings(chart / "values.yaml")
    examples = {path.name: first_comment(path) for path in (chart / "ci").glob("*.yaml")}
    return {
        chart / "values.schema.json": schema(rows),
        chart / "README.md": readme(rows, examples),
    }
