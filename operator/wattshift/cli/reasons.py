"""`wattshift reasons [NAME]`: what each reason constant means, from the enums themselves."""

from __future__ import annotations

import argparse
import ast
import inspect
from enum import StrEnum
from itertools import pairwise

from wattshift.adapters.reasons import ProfileReason, SourceReason
from wattshift.api.reasons import REASONS
from wattshift.cli.connect import UsageError
from wattshift.cli.output import add_output_option, document, table
from wattshift.core.reasons import Reason

HELP = "print reason constants with their meaning"
ENUMS: tuple[type[StrEnum], ...] = (Reason, *REASONS, SourceReason, ProfileReason)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="one reason")
    add_output_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print all, or those of one name."""
    rows = [row for row in meanings() if not options.name or row[0] == options.name]
    if not rows:
        near = [name for name, _, _ in meanings() if options.name.lower() in name.lower()]
        hint = f"; near it: {', '.join(near[:6])}" if near else ""
        raise UsageError(f"{options.name} is no reason of wattshift{hint}")
    if options.output != "table":
        keys = ("reason", "about", "meaning")
        print(document([dict(zip(keys, row, strict=True)) for row in rows], options.output))
    elif options.name:
        for name, about, meaning in rows:
            print(f"{name} ({about})\n  {meaning}")
    else:
        print(table(("REASON", "ABOUT", "MEANING"), rows))
    return 0


def meanings() -> list[tuple[str, str, str]]:
    """(constant, what it is about, meaning) of every reason, ordered by constant."""
    found = []
    for kind in ENUMS:
        about = (inspect.getdoc(kind) or kind.__name__).splitlines()[0].rstrip(".")
        texts = _docstrings(kind)
        for member in kind:
            meaning = texts.get(member.name) or _words(member.value)
            found.append((member.value, about, meaning))
    return sorted(found)


def _docstrings(kind: type[StrEnum]) -> dict[str, str]:
    """The text under each member: Python keeps none at run time, the source does."""
    tree = ast.parse(inspect.getsource(kind))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for node, after in pairwise(body):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[node.targets[0].id] = " ".join(str(after.value.value).split())
    return found


def _words(constant: str) -> str:
    """`MovesExhausted` -> `Moves exhausted.`: a constant whose name says it all."""
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in constant).strip()
    return f"{spaced[:1].upper()}{spaced[1:]}."
