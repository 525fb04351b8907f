"""Writes `spec.override` under the field manager `wattshift-cli`, so that Git's next apply keeps it.

Server-side apply of that one field; nothing else of the object is ever touched. Neighbours:
`override.py` and `release.py` (commands), `api/common.Override` (meaning).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from wattshift.cli.connect import UsageError
from wattshift.control.hub.conditions import format_utc, parse_utc
from wattshift.errors import NeedsHuman
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import Json, Resource

MANAGER = "wattshift-cli"
MAX_SECONDS = 30 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"^(?:\d+[dhms])+$")


def parse_duration(text: str) -> int:
    """Seconds of `2h`, `1h30m`, `90s`, `1d`.

    Raises:
        UsageError: it is none, zero, or longer than 30 days.
    """
    if not _DURATION.match(text):
        raise UsageError(f"{text!r} is not a duration such as 2h, 1h30m or 90s")
    seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([dhms])", text))
    if not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"{text!r} must be longer than nothing and at most 30d")
    return seconds


def grid_now(objects: Iterable[Json], utc: float) -> float:
    """Grid time by what statuses say: real time, except in a replay.

    In a replay the newest grid time in any status, and what has passed since that status was
    written, is a lower bound; between two writes of status it may be early, never late.
    """
    best: float | None = None
    for body in objects:
        status = body.get("status") or {}
        speed = status.get("gridClockSpeed")
        if not speed:
            continue
        times = [(status.get("lastDecision") or {}).get("time"), status.get("lastChangeTime")]
        times += [row.get("sourceTime") for row in status.get("signals") or ()]
        times += [row.get("lastWriteTime") for row in status.get("placements") or ()]
        times.append((status.get("period") or {}).get("untilTime"))
        known = [parse_utc(text) for text in times if text]
        if known:
            found = max(known) + speed * max(0.0, utc - _status_written(body, utc))
            best = found if best is None else max(best, found)
    return utc if best is None else best


def grid_speed(objects: Iterable[Json]) -> float:
    """Grid seconds per second; 1 outside of a replay."""
    return max([1, *((body.get("status") or {}).get("gridClockSpeed") or 1 for body in objects)])


def _status_written(body: Json, otherwise: float) -> float:
    rows = body["metadata"].get("managedFields") or ()
    times = [row["time"] for row in rows if row.get("subresource") == "status" and "time" in row]
    return max((parse_utc(text) for text in times), default=otherwise)


def override_document(  # noqa: PLR0917 - one value each
    mode: str,
    until: float,
    reason: str,
    requested_by: str,
    replicas: int | None = None,
    placement: str = "",
) -> Json:
    """The field as the API has it; `until` is grid time in epoch seconds."""
    document: Json = {
        "mode": mode,
        "untilTime": format_utc(until),
        "reason": reason[:256],
        "requestedBy": requested_by[:128],
    }
    if replicas is not None:
        document["replicas"] = replicas
    if placement:
        document["placementName"] = placement
    return document


async def apply_override(  # noqa: PLR0917 - the switches of one request
    client: ClusterClient,
    resource: Resource,
    body: Json,
    override: Json | None,
    force: bool = False,
    dry_run: bool = False,
) -> Json:
    """Apply the override, or none; returns the object afterwards.

    Raises:
        NeedsHuman: reason OverrideOwnedByOther: another manager owns the field (`force` takes it).
        ApiError: the API server refuses it, or the object is gone.
    """
    metadata = {key: body["metadata"][key] for key in ("name", "uid")}
    if resource.namespaced:
        metadata["namespace"] = body["metadata"]["namespace"]
    wanted: Json = {"metadata": metadata}
    if override is not None:
        wanted["spec"] = {"override": override}
    try:
        answer = await client.apply(
            resource, wanted, force=force, field_manager=MANAGER, dry_run=dry_run
        )
    except ApiError as error:
        if not error.is_conflict or "conflict" not in error.message.lower():
            raise
        raise NeedsHuman(
            f"another manager owns spec.override ({error.message}); --force takes it over",
            reason="OverrideOwnedByOther",
        ) from error
    left = (answer.get("spec") or {}).get("override")
    if override is None and left:
        raise NeedsHuman(
            f"the override {left['mode']} of {left['requestedBy']} was not written by this command:"
            " remove it where it comes from (Git?)",
            reason="OverrideOwnedByOther",
        )
    return answer
