"""`ClusterClient`: the verbs we need on one API server, over aiohttp, returning dicts.

Every call has a time-out and raises only errors of `errors.py`. It decides nothing; connection
handling and retries are in `transport.py`, watches in `watch.py`, the state of a cluster in `pool.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp

from wattshift.kube.auth import Access
from wattshift.kube.discovery import Discovery
from wattshift.kube.errors import ApiError, ScaleConflict, SpokeUnreachable
from wattshift.kube.resources import NAMESPACES, Json, Resource
from wattshift.kube.scale import Scale, scale_patch
from wattshift.kube.transport import ClientTimings, Transport

FIELD_MANAGER = "wattshift"
_SSAR = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class ListResult:
    """All pages of a list, and the resourceVersion to watch from."""

    items: list[Json]
    resource_version: str


class ClusterClient:
    """One cluster. Create with `Access`, `await close()` at the end.

    `write_guard` is called directly before each mutating request is sent (also before each retry) and
    may raise `FenceLost`; then nothing is sent.
    """

    def __init__(
        self,
        *,
        name: str,
        access: Access,
        clock: Callable[[], float],
        write_guard: Callable[[], None] | None = None,
        timings: ClientTimings | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.access = access
        self.clock = clock
        self.timings = timings or ClientTimings()
        self._transport = Transport(
            access=access,
            clock=clock,
            timings=self.timings,
            write_guard=write_guard,
            rng=rng,
            sleep=sleep,
        )
        self._discovery = Discovery(read=self.get_raw, clock=clock)

    async def get_raw(self, path: str) -> Json:
        """GET any path that answers a JSON object, with the retries of a read."""
        return await self._transport.request("GET", path)

    async def get(
        self, resource: Resource, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Json:
        """Read one object."""
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return await self._transport.request("GET", path)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        chunk_size: int = 500,
    ) -> ListResult:
        """Read all objects in chunks; an expired continue token (410) restarts the list once."""
        params = {"limit": str(chunk_size)}
        if label_selector:
            params["labelSelector"] = label_selector
        if field_selector:
            params["fieldSelector"] = field_selector
        path = resource.path(namespace=namespace)
        try:
            return await self._list_pages(path, params)
        except ApiError as error:
            if not error.is_gone:
                raise
            return await self._list_pages(path, params)

    async def _list_pages(self, path: str, params: dict[str, str]) -> ListResult:
        items: list[Json] = []
        token = ""
        while True:
            page = {**params, "continue": token} if token else params
            body = await self._transport.request("GET", path, params=page)
            metadata = body.get("metadata") or {}
            items.extend(body.get("items") or [])
            token = metadata.get("continue") or ""
            if not token:
                return ListResult(items, str(metadata.get("resourceVersion") or ""))

    def stream(
        self, path: str, params: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.StreamReader]:
        """Open a watch request; for `watch.py` only."""
        return self._transport.stream(path, params=params)

    async def apply(
        self,
        resource: Resource,
        obj: Json,
        *,
        subresource: str = "",
        force: bool = False,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Json:
        """Server-side apply. `metadata.name` (and namespace) come from `obj`; repeated if need be.

        Give `metadata.uid`, else an apply on a deleted object creates it.
        """
        metadata = obj["metadata"]
        path = resource.path(
            namespace=metadata.get("namespace"), name=metadata["name"], subresource=subresource
        )
        return await self._transport.request(
            "PATCH",
            path,
            params={
                "fieldManager": field_manager,
                "force": "true" if force else "false",
                **({"dryRun": "All"} if dry_run else {}),
            },
            body={"apiVersion": resource.api_version, "kind": resource.kind, **obj},
            content_type="application/apply-patch+yaml",
            idempotent=True,
        )

    async def json_patch(
        self,
        resource: Resource,
        name: str,
        operations: Sequence[Json],
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> Json:
        """RFC 6902 patch; never repeated."""
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return await self._patch(path, list(operations), "application/json-patch+json")

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        patch: Json,
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> Json:
        """RFC 7386 patch; put `metadata.resourceVersion` or `metadata.uid` into it. Never repeated."""
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return await self._patch(path, patch, "application/merge-patch+json")

    async def _patch(self, path: str, body: Any, content_type: str) -> Json:
        return await self._transport.request(
            "PATCH",
            path,
            params={"fieldManager": FIELD_MANAGER},
            body=body,
            content_type=content_type,
        )

    async def create(self, resource: Resource, obj: Json, *, namespace: str | None = None) -> Json:
        """POST. Never repeated; 409 AlreadyExists is for the caller to read again."""
        return await self._transport.request(
            "POST",
            resource.path(namespace=namespace),
            params={"fieldManager": FIELD_MANAGER},
            body={"apiVersion": resource.api_version, "kind": resource.kind, **obj},
        )

    async def replace(self, resource: Resource, obj: Json, *, subresource: str = "") -> Json:
        """PUT with the resourceVersion in `obj` (required). Our own small objects only: Leases."""
        metadata = obj["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError("replace needs metadata.resourceVersion")
        path = resource.path(
            namespace=metadata.get("namespace"), name=metadata["name"], subresource=subresource
        )
        return await self._transport.request(
            "PUT",
            path,
            params={"fieldManager": FIELD_MANAGER},
            body={"apiVersion": resource.api_version, "kind": resource.kind, **obj},
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """DELETE, with a UID precondition if given (then repeated if need be); gone is success."""
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        path = resource.path(namespace=namespace, name=name)
        try:
            await self._transport.request("DELETE", path, body=body, idempotent=uid is not None)
        except ApiError as error:
            if not error.is_not_found:
                raise

    async def get_scale(self, resource: Resource, name: str, *, namespace: str) -> Scale:
        """Read `/scale`."""
        return Scale.parse(await self.get(resource, name, namespace=namespace, subresource="scale"))

    async def patch_scale(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str,
        uid: str,
        observed: int,
        target: int,
    ) -> Scale:
        """Write absolute replicas if UID and the observed value still hold; 5 s time-out, no repeat.

        Raises:
            ScaleConflict: somebody else changed it (or it is another object): read, re-plan.
            SpokeUnreachable: outcome unknown: read again before judging.
            FenceLost: not sent.
        """
        operations = scale_patch(uid=uid, observed=observed, target=target)
        try:
            body = await self.json_patch(
                resource, name, operations, namespace=namespace, subresource="scale"
            )
        except ApiError as error:
            if not (error.is_invalid or error.is_conflict):
                raise
            raise ScaleConflict(
                error.status,
                "ScaleConflict",
                f"{resource.kind} {namespace}/{name} on {self.name} no longer has uid {uid}"
                f" and {observed} replicas",
            ) from error
        return Scale.parse(body)

    async def discover(self, api_version: str, kind: str) -> Resource:
        """Resolve a kind to its resource, cached; `RefusedApiError.is_not_found` if not served."""
        return await self._discovery.resource(api_version, kind)

    async def version(self) -> str:
        """`gitVersion` of the server."""
        return str((await self.get_raw("/version")).get("gitVersion") or "")

    async def cluster_uid(self, *, timeout_seconds: float | None = None) -> str:
        """UID of kube-system: the identity of the cluster."""
        path = NAMESPACES.path(name="kube-system")
        body = await self._transport.request("GET", path, timeout_seconds=timeout_seconds)
        uid = (body.get("metadata") or {}).get("uid")
        if not uid or not isinstance(uid, str):
            raise SpokeUnreachable(
                f"{self.name}: kube-system has no uid: not an API server", reason="GarbledResponse"
            )
        return uid

    async def review(self, path: str, body: Json) -> Json:
        """POST a review (nothing is stored, so the write guard is not asked); returns its status."""
        answer = await self._transport.request(
            "POST", path, body=body, idempotent=True, guarded=False
        )
        return dict(answer.get("status") or {})

    async def can_i(
        self,
        verbs: Sequence[str],
        resource: Resource,
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> bool:
        """Ask by SelfSubjectAccessReview, so that probing leaves no denied line in the audit log."""
        group = resource.api_version.rpartition("/")[0]
        for verb in verbs:
            attributes = {
                "verb": verb,
                "group": group,
                "resource": resource.plural,
                "subresource": subresource,
                "namespace": namespace or "",
            }
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            try:
                status = await self.review(_SSAR, body)
            except ApiError as error:
                if error.is_forbidden:
                    return True  # may not even ask: then only trying tells
                raise
            if not status.get("allowed"):
                return False
        return True

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._transport.close()
