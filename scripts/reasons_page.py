"""`docs/reference/reasons.md`: every reason constant, from the same tables as `wattshift reasons`."""

from __future__ import annotations

from itertools import groupby

from wattshift.cli.reasons import meanings

_HEAD = """\
<!-- Generated from the enums of reasons by `make generate`; do not edit. -->
# Reasons

One constant in condition, event, metric label, log line and command line: `kubectl wattshift reasons NAME`
prints the same text. What to do about the ones that need somebody: [runbooks](../runbooks.md).
"""


def page() -> str:
    """The whole page, grouped by what a reason is about."""
    rows = sorted({(about, name, text) for name, about, text in meanings()})
    lines = [_HEAD.rstrip()]
    for about, members in groupby(rows, key=lambda row: row[0]):
        lines += ["", f"## {about}", "", "| reason | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for _, name, text in members]
    return "\n".join(lines) + "\n"
