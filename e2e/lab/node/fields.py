"""Values that a pod may ask for about itself: `fieldRef` and `resourceFieldRef`."""

from __future__ import annotations

import math
import re
from typing import Any

Document = dict[str, Any]
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_FACTORS = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip


def field_value(pod: Document, path: str) -> str:
    """`metadata.name`, `metadata.labels['x']`, `spec.nodeName`, `status.podIP`, ...; '' if absent."""
    if match := _SUBSCRIPT.match(path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = pod["metadata"].get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(pairs.items()))
    found: Any = pod
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def resource_value(pod: Document, reference: Document, container: Document | None = None) -> str:
    """`limits.cpu` and the like, divided by `divisor` and rounded up; '' without a limit."""
    name = reference.get("containerName")
    holder = container or next((c for c in pod["spec"]["containers"] if c["name"] == name), {})
    kind, _, resource = reference["resource"].partition(".")
    text = ((holder.get("resources") or {}).get(kind) or {}).get(resource)
    if text is None:
        return ""
    divisor = quantity(str(reference.get("divisor") or "1")) or 1.0
    return str(math.ceil(round(quantity(str(text)) / divisor, 9)))


def quantity(text: str) -> float:
    """A Kubernetes quantity: `250m` is 0.25, `2Gi` is 2147483648."""
    match = re.fullmatch(r"([0-9.]+(?:e[0-9+-]+)?)([A-Za-z]*)", text)
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"not a quantity: {text!r}")
    return float(match[1]) * _FACTORS[match[2]]
