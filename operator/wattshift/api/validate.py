"""Semantic validation of one object beyond schema and CEL; pure, no other objects, no clock.

`read` takes a document as the API server holds it; `validate` a parsed object. References between
objects are in `references.py`.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from wattshift.api.base import Resource
from wattshift.api.energycontract import EnergyContract
from wattshift.api.findings import Finding
from wattshift.api.flexibleworkload import FlexibleWorkload
from wattshift.api.powersite import PowerSite
from wattshift.api.reasons import SpecReason
from wattshift.api.validate_contract import validate_contract
from wattshift.api.validate_site import validate_site
from wattshift.api.validate_workload import validate_workload

KINDS: dict[str, type[Resource]] = {
    "PowerSite": PowerSite,
    "EnergyContract": EnergyContract,
    "FlexibleWorkload": FlexibleWorkload,
}


def validate(resource: Resource) -> list[Finding]:
    """Faults of a parsed object; empty = none."""
    match resource:
        case PowerSite():
            return list(validate_site(resource))
        case EnergyContract():
            return list(validate_contract(resource))
        case FlexibleWorkload():
            return list(validate_workload(resource))
    raise TypeError(f"{type(resource).__name__} is not one of our kinds")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def read(document: dict[str, Any]) -> tuple[Resource | None, list[Finding]]:
    """Parse and validate a document of one of our kinds.

    Returns:
        The object, or None where it does not fit the schema; and its faults.

    Raises:
        ValueError: the document is of another kind.
    """
    model = KINDS.get(document.get("kind", ""))
    if model is None:
        raise ValueError(f"kind {document.get('kind')!r} is none of {', '.join(KINDS)}")
    try:
        resource = model.parse(document)
    except ValidationError as problem:
        return None, [
            Finding(
                SpecReason.SCHEMA_INVALID,
                _path(error["loc"]),
                error["msg"].removeprefix("Value error, "),
            )
            for error in problem.errors(include_url=False, include_input=False)
        ]
    return resource, validate(resource)
