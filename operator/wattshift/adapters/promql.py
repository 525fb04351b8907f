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
STEPS_PER_RANGE = 240
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_UNITS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
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


def selectors(query: str) -> tuple[tuple[str, str], ...]:
    """(selector, range) of a query, without repeats; those moved in time are left out.

    `sum(rate(a{x="1"}[5m])) / b + c offset 1d` gives `a{x="1"}` with `5m`, and `b` with no range;
    a subquery `(...)[1h:5m]` gives its range to what is inside.
    """
    found: list[tuple[str, str]] = []
    items = tokens(query)
    index = 0
    opened_at: list[int] = []
    group: int | None = None
    """How many selectors were found before the bracket that has just closed."""
    while index < len(items):
        kind, text = items[index]
        inside, group = group, None
        if kind == "mark" and text == "(":
            opened_at.append(len(found))
        elif kind == "mark" and text == ")" and opened_at:
            group = opened_at.pop()
        elif kind == "mark" and text == "[":
            window, index = _window(items, index)
            moved = _is_moved(items, index)
            for at in range(len(found) if inside is None else inside, len(found)):
                found[at] = (
                    ("", "")
                    if moved
                    else (found[at][0], max(found[at][1], window, key=duration_seconds))
                )
            continue
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
            window = ""
            if index < len(items) and items[index][1] == "[":
                window, index = _window(items, index)
            if _is_moved(items, index):
                index += 2
                continue
            found.append((selector, window))
            continue
        index += 1
    return tuple(one for one in dict.fromkeys(found) if one[0])


def _window(items: list[tuple[str, str]], index: int) -> tuple[str, int]:
    """The range in the bracket at `index`, without the step of a subquery; and what follows."""
    end = _skip(items, index)
    return "".join(part for _, part in items[index + 1 : end - 1]).partition(":")[0], end


def _is_moved(items: list[tuple[str, str]], index: int) -> bool:
    return index < len(items) and items[index][1].lower() in {"offset", "@"}


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
    parts = [_time_part(selector, window) for selector, window in selectors(query)]
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return f"min({batch(enumerate(parts))})"


def _time_part(selector: str, window: str) -> str:
    """Time of the oldest of the newest samples of a selector.

    A function over a range still answers when the series has ended, so its time is looked for in
    that range too.
    """
    if not window:
        return f"min(timestamp({selector}))"
    step = max(15, duration_seconds(window) // STEPS_PER_RANGE)
    return f"min(max_over_time(timestamp({selector})[{window}:{step}s]))"


def duration_seconds(text: str) -> int:
    """Seconds of a PromQL duration such as `1h30m`; 0 for what is none."""
    return int(sum(float(n) * _UNITS[u] for n, u in _DURATION.findall(text)))


def batch(queries: Iterable[tuple[int | str, str]]) -> str:
    """One query whose result carries `wattshift_batch` = the key of the part it came from."""
    return " or ".join(
        f'label_replace(\n{query}\n, "{BATCH_LABEL}", "{key}", "", "")' for key, query in queries
    )
