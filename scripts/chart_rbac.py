"""Table of every permission of the chart, from the chart itself, for `docs/security.md`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

Document = dict[str, Any]
BEGIN, END = "<!-- begin: generated from the chart -->", "<!-- end -->"
DESCRIPTION = "kubernetes.io/description"
BASE: Document = {"member": {"namespaces": ["serving"]}}
"""A hub with its own member and one bound namespace: what an ordinary installation has."""
OPT_INS: tuple[tuple[str, Document], ...] = (
    ("api.enabled", {"api": {"enabled": True}}),
    ("member.leaderWorkerSets", {"member": {**BASE["member"], "leaderWorkerSets": True}}),
)


def roles(chart: Path, values: Document) -> dict[str, Document]:
    """`Kind/name` -> role, of a release `wattshift` in `wattshift-system`."""
    return {
        f"{row['kind']}/{row['metadata']['name']}": row
        for row in rendered(chart, values)
        if row["kind"] in ("Role", "ClusterRole")
    }


def rendered(chart: Path, values: Document) -> list[Document]:
    """All objects of the chart, hooks included, without the CRDs."""
    with Chart.load(chart) as loaded:
        files = loaded.render(values, name="wattshift", namespace="wattshift-system")
    return [
        row
        for name, text in sorted(files.items())
        if name.endswith(".yaml") and "/templates/crds/" not in name
        for row in yaml.safe_load_all(text)
        if row
    ]


def table(chart: Path) -> str:
    """One row per rule; what a switch adds is marked with it."""
    objects = rendered(chart, BASE)
    base = roles(chart, BASE)
    lines = ["| role | where | rule | when |", "|---|---|---|---|"]
    lines += _rows(base, objects, "always", known={})
    for switch, values in OPT_INS:
        merged = {**BASE, **values}
        more = rendered(chart, merged)
        lines += _rows(roles(chart, merged), more, f"`{switch}`", known=base)
    lines += ["", "| role | why |", "|---|---|"]
    every = dict(base)
    for _, values in OPT_INS:
        every |= roles(chart, {**BASE, **values})
    for row in every.values():
        why = row["metadata"].get("annotations", {}).get(DESCRIPTION, "")
        lines.append(f"| `{row['metadata']['name']}` | {why} |")
    return "\n".join(lines)


def _rows(
    found: dict[str, Document], objects: list[Document], when: str, *, known: dict[str, Document]
) -> Iterator[str]:
    for key, role in found.items():
        before = known.get(key, {}).get("rules", [])
        for rule in role["rules"]:
            if rule not in before:
                name = role["metadata"]["name"]
                yield f"| `{name}` | {_where(role, objects)} | {words(rule)} | {when} |"


def _where(role: Document, objects: list[Document]) -> str:
    """Where the role is bound."""
    name, kind = role["metadata"]["name"], role["kind"]
    places = []
    for row in objects:
        reference = row.get("roleRef", {})
        if (reference.get("kind"), reference.get("name")) == (kind, name):
            namespace = row["metadata"].get("namespace")
            places.append(f"namespace `{namespace}`" if namespace else "cluster")
    return ", ".join(sorted(set(places))) or "users, by aggregation"


def words(rule: Document) -> str:
    """A rule in one line: verbs, resources with their group, names."""
    group = rule["apiGroups"][0]
    resources = ", ".join(f"`{resource}`" for resource in rule["resources"])
    only = rule.get("resourceNames")
    limit = f" named `{'`, `'.join(only)}`" if only else ""
    return f"{', '.join(rule['verbs'])}: {resources}{f' ({group})' if group else ''}{limit}"


def page(text: str, chart: Path) -> str:
    """The page with the part between the marks renewed.

    Raises:
        ValueError: the page has no marks.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n{table(chart)}\n{END}{tail}"
