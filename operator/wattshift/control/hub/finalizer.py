"""Finalizers of ours, written together with what they protect, in one request.

`wattshift.io/restore` and the originals annotation on a FlexibleWorkload exist only while a target
deviates from what was found; `wattshift.io/in-use` on a PowerSite only while a placement there does.
Merge patches that carry UID and resourceVersion: another object or another version is refused (409).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from wattshift.control.hub.conditions import format_utc, parse_utc
from wattshift.control.hub.keys import ObjectKey
from wattshift.core.model import Original
from wattshift.errors import NeedsHuman, Transient
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import Json

RESTORE = "wattshift.io/restore"
IN_USE = "wattshift.io/in-use"
ORIGINALS = "wattshift.io/originals"
_ATTEMPTS = 3


def originals_annotation(originals: Iterable[Original]) -> str:
    """Compact JSON, ordered by placement, so that equal originals give equal text."""
    rows = [
        {
            "placementName": row.placement_name,
            "clusterUID": row.cluster_uid,
            "targetUID": row.target_uid,
            "replicas": row.replicas,
            "capturedTime": format_utc(row.captured_time),
        }
        for row in sorted(originals, key=lambda row: row.placement_name)
    ]
    return json.dumps(rows, separators=(",", ":"))


def parse_originals(text: str) -> tuple[Original, ...]:
    """Originals from the annotation.

    Raises:
        NeedsHuman: reason OriginalsUnknown: somebody edited the text.
    """
    try:
        rows = [_original(row) for row in json.loads(text)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NeedsHuman(
            f"annotation {ORIGINALS} is unreadable: {error}", reason="OriginalsUnknown"
        ) from error
    return tuple(sorted(rows, key=lambda row: row.placement_name))


def _original(row: Json) -> Original:
    replicas = row["replicas"]
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        raise ValueError("replicas must be a count")
    return Original(
        placement_name=str(row["placementName"]),
        cluster_uid=str(row["clusterUID"]),
        target_uid=str(row["targetUID"]),
        replicas=replicas,
        captured_time=parse_utc(row["capturedTime"]),
    )


async def protect_workload(
    client: ClusterClient, key: ObjectKey, *, uid: str, originals: Iterable[Original]
) -> Json:
    """Add the restore finalizer and the originals annotation in one request; idempotent.

    Raises:
        NeedsHuman: reason ObjectReplaced (another UID) or Deleting (it may not be protected now).
        Transient: three versions in a row were outrun, or the hub does not answer.
    """
    text = originals_annotation(originals)

    def change(body: Json) -> Json | None:
        metadata = body["metadata"]
        finalizers = list(metadata.get("finalizers") or [])
        present = RESTORE in finalizers
        if present and (metadata.get("annotations") or {}).get(ORIGINALS) == text:
            return None
        if not present:
            if metadata.get("deletionTimestamp"):
                raise NeedsHuman(f"{key} is being deleted", reason="Deleting")
            finalizers.append(RESTORE)
        return {"finalizers": finalizers, "annotations": {ORIGINALS: text}}

    return await _patch(client, key, uid, change)


async def unprotect_workload(client: ClusterClient, key: ObjectKey, *, uid: str) -> Json | None:
    """Remove the restore finalizer and the annotation in one request; None if it is gone."""

    def change(body: Json) -> Json | None:
        metadata = body["metadata"]
        finalizers = list(metadata.get("finalizers") or [])
        annotated = ORIGINALS in (metadata.get("annotations") or {})
        if RESTORE not in finalizers and not annotated:
            return None
        return {
            "finalizers": [name for name in finalizers if name != RESTORE],
            "annotations": {ORIGINALS: None},
        }

    return await _patch_if_there(client, key, uid, change)


async def hold_site(client: ClusterClient, key: ObjectKey, *, uid: str) -> Json:
    """Add the in-use finalizer to a PowerSite; idempotent. Errors as `protect_workload`."""

    def change(body: Json) -> Json | None:
        metadata = body["metadata"]
        finalizers = list(metadata.get("finalizers") or [])
        if IN_USE in finalizers:
            return None
        if metadata.get("deletionTimestamp"):
            raise NeedsHuman(f"{key} is being deleted", reason="Deleting")
        return {"finalizers": [*finalizers, IN_USE]}

    return await _patch(client, key, uid, change)


async def let_go_of_site(client: ClusterClient, key: ObjectKey, *, uid: str) -> Json | None:
    """Remove the in-use finalizer; None if the site is gone."""

    def change(body: Json) -> Json | None:
        finalizers = list(body["metadata"].get("finalizers") or [])
        if IN_USE not in finalizers:
            return None
        return {"finalizers": [name for name in finalizers if name != IN_USE]}

    return await _patch_if_there(client, key, uid, change)


async def _patch(
    client: ClusterClient, key: ObjectKey, uid: str, change: Callable[[Json], Json | None]
) -> Json:
    namespace = key.namespace or None
    for _ in range(_ATTEMPTS):
        body = await client.get(key.resource, key.name, namespace=namespace)
        metadata: dict[str, Any] = body["metadata"]
        if metadata["uid"] != uid:
            raise NeedsHuman(f"{key} is another object by now", reason="ObjectReplaced")
        wanted = change(body)
        if wanted is None:
            return body
        tested = {"uid": uid, "resourceVersion": metadata["resourceVersion"], **wanted}
        try:
            return await client.merge_patch(
                key.resource, key.name, {"metadata": tested}, namespace=namespace
            )
        except ApiError as error:
            if not error.is_conflict:
                raise
    raise Transient(f"{key} changes too fast for its finalizer", reason="Conflict")


async def _patch_if_there(
    client: ClusterClient, key: ObjectKey, uid: str, change: Callable[[Json], Json | None]
) -> Json | None:
    try:
        return await _patch(client, key, uid, change)
    except ApiError as error:
        if error.is_not_found:
            return None
        raise
    except NeedsHuman as error:
        if error.reason == "ObjectReplaced":
            return None
        raise
