"""What commands print: tables of kubectl's look, JSON, YAML, names; colour on a terminal only."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from wattshift.cli.connect import object_path
from wattshift.kube.resources import Json

FORMATS = ("table", "wide", "json", "yaml", "name")
_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


def add_output_option(
    parser: argparse.ArgumentParser, formats: Sequence[str] = ("table", "json", "yaml")
) -> None:
    """`-o`, as kubectl has it."""
    parser.add_argument(
        "-o", "--output", choices=formats, default="table", help="format of what is printed"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Columns three blanks apart; absent values are `-`."""
    cells = [list(headers)] + [
        ["-" if value in (None, "") else str(value) for value in row] for row in rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = []
    for row in cells:
        padded = [value.ljust(width) for value, width in zip(row, widths, strict=True)]
        lines.append(indent + "   ".join(padded).rstrip())
    return "\n".join(lines)


def document(value: Any, form: str) -> str:
    """JSON or YAML of a JSON-ready value."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()


def object_list(items: Sequence[Json]) -> Json:
    """`kind: List`, as kubectl prints several objects; managed fields are left out."""
    shown = []
    for item in items:
        metadata = {k: v for k, v in item["metadata"].items() if k != "managedFields"}
        shown.append({**item, "metadata": metadata})
    return {"apiVersion": "v1", "kind": "List", "items": shown}


def names(items: Iterable[Json]) -> str:
    """`kind.group/name` lines."""
    lines = []
    for item in items:
        group = item["apiVersion"].partition("/")[0]
        name = object_path(item).rpartition("/")[2]
        lines.append(f"{item['kind'].lower()}.{group}/{name}")
    return "\n".join(lines)


def coloured(word: str) -> str:
    """`ok`, `warn`, `fail` padded, in colour where standard output is a terminal."""
    text = f"{word:<4}"
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{_COLOURS[word]}m{text}\033[0m"


def conditions(body: Json) -> dict[str, Json]:
    """Conditions of an object by type."""
    return {row["type"]: row for row in (body.get("status") or {}).get("conditions") or ()}


def summary(body: Json) -> dict[str, str]:
    """Strings for people that the operator keeps in status."""
    found: dict[str, str] = (body.get("status") or {}).get("summary") or {}
    return found


def trouble(body: Json) -> str:
    """Reasons of the conditions that say something is wrong; empty = none."""
    rows = conditions(body)
    bad = [
        f"{kind}={row['reason']}"
        for kind, row in sorted(rows.items())
        if (row["status"] == "False" and kind not in _NOT_TROUBLE)
        or (row["status"] == "True" and kind == "Conflict")
    ]
    return ", ".join(bad)


_NOT_TROUBLE = frozenset({"AtBaseline", "Progressing", "Conflict"})
