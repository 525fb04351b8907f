"""Small reading of PromQL: which series a query selects, and several queries in one request.

Knows enough to find vector selectors (for the time of the samples behind a result) and to refuse
what cannot be put into a batch; it never rewrites the meaning of a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BATCH_LABEL = "wattshift_batch"

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<number>\d[\w.]*)
      | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<space>\s+)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_LABEL_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "atan2", "inf", "nan", "offset", "start", "end"})
_AGGREGATIONS = frozenset(
    (
        "sum",
        "min",
        "max",
        "avg",
        "group",
        "stddev",
        "stdvar",
        "count",
        "count_values",
        "bottomk",
        "topk",
        "quantile",
    )
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def tokens(query: str) -> list[tuple[str, str]]:
    """(kind, text) without spaces and comments; a quote that never ends becomes a mark."""
    return [
        (match.lastgroup or "mark", match.group())
        for match in _TOKEN.finditer(query)
        if match.lastgroup not in {"space", "comment"}
    ]


def is_self_contained(query: str) -> bool:
    """Whether brackets and quotes are balanced, so that a query cannot reach out of a batch."""
    stack: list[str] = []
    found = tokens(query)
    for kind, text in found:
        if kind != "mark":
            continue
        if text in "\"'`;":
            return False
        if text in "([{":
            stack.append(text)
        elif text in _PAIRS and (not stack or stack.pop() != _PAIRS[text]):
            return False
    return bool(found) and not stack


def selectors(query: str) -> tuple[str, ...]:
    """The instant selectors of a query, without repeats; those moved in time are left out.

    `sum(rate(a{x="1"}[5m])) / b offset 1d` gives `a{x="1"}` only.
    """
    found: dict[str, None] = {}
    items = tokens(query)
    index = 0
    while index < len(items):
        kind, text = items[index]
        following = items[index + 1][1] if index + 1 < len(items) else ""
        if kind == "name" and text.lower() in _LABEL_LISTS and following == "(":
            index = _skip(items, index + 1)
            continue
        if kind == "name" and (
            following == "(" or text.lower() in _WORDS or text.lower() in _AGGREGATIONS
        ):
            index += 1
            continue
        if kind == "name" or text == "{":
            start = index
            if kind == "name":
                index += 1
            if index < len(items) and items[index][1] == "{":
                index = _skip(items, index)
            selector = "".join(part for _, part in items[start:index])
            if index < len(items) and items[index][1] == "[":
                index = _skip(items, index)
            if index < len(items) and items[index][1].lower() in {"offset", "@"}:
                index += 2
                continue
            found[selector] = None
            continue
        index += 1
    return tuple(found)


def _skip(items: list[tuple[str, str]], index: int) -> int:
    """Index after the bracket that closes the one at `index`."""
    depth = 0
    while index < len(items):
        text = items[index][1] if items[index][0] == "mark" else ""
        depth += (text in "([{") - (text in ")]}") if text else 0
        index += 1
        if depth <= 0:
            break
    return index


def sample_time_query(query: str) -> str | None:
    """A query for the oldest sample behind an instant query; None where it cannot be told.

    An instant query is stamped with the time of its evaluation, and a series that stopped is
    served for five more minutes: only `timestamp()` of its selectors shows that.
    """
    if not is_self_contained(query):
        return None
    found = selectors(query)
    if not found:
        return None
    parts = [f"min(timestamp({selector}))" for selector in found]
    if len(parts) == 1:
        return parts[0]
    return f"min({batch(enumerate(parts))})"


def batch(queries: Iterable[tuple[int | str, str]]) -> str:
    """One query whose result carries `wattshift_batch` = the key of the part it came from."""
    return " or ".join(
        f'label_replace(\n{query}\n, "{BATCH_LABEL}", "{key}", "", "")' for key, query in queries
    )
