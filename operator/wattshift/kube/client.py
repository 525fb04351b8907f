"""`ClusterClient`: the verbs we need on one API server, over aiohttp, returning dicts.

Every call has a time-out and raises only errors of `errors.py`. It decides nothing; connection
handling and retries are in `transport.py`, watches in `watch.py`, the state of a cluster in `pool.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattshift.kube.resources import Json, Resource
from wattshift.kube.scale import Scale

FIELD_MANAGER = "wattshift"


@dataclass(frozen=True, slots=True)
class ListResult:
    """All pages of a list, and the resourceVersion to watch from."""

    items: list[Json]
    resource_version: str


class ClusterClient:
    """One cluster. Create with credentials, `await close()` at the end.

    `write_guard` is called directly before each mutating request is sent (also before each retry) and
    may raise `FenceLost`; then nothing is sent.
    """

    name: str

    async def get(
        self, resource: Resource, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Json:
        """Read one object."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def apply(
        self,
        resource: Resource,
        obj: Json,
        *,
        subresource: str = "",
        force: bool = False,
        field_manager: str = FIELD_MANAGER,
    ) -> Json:
        """Server-side apply. `metadata.name` (and namespace) come from `obj`.

        Give `metadata.uid`, else an apply on a deleted object creates it.
        """
        raise NotImplementedError

    async def json_patch(
        self,
        resource: Resource,
        name: str,
        operations: Sequence[Json],
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> Json:
        """RFC 6902 patch; never retried."""
        raise NotImplementedError

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        patch: Json,
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> Json:
        """RFC 7386 patch; put `metadata.resourceVersion` or `metadata.uid` into it. Never retried."""
        raise NotImplementedError

    async def create(self, resource: Resource, obj: Json, *, namespace: str | None = None) -> Json:
        """POST. Never retried; 409 AlreadyExists is for the caller to read again."""
        raise NotImplementedError

    async def replace(self, resource: Resource, obj: Json, *, subresource: str = "") -> Json:
        """PUT with the resourceVersion in `obj` (required). Our own small objects only: Leases."""
        raise NotImplementedError

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """DELETE, with a UID precondition if given; already gone is success."""
        raise NotImplementedError

    async def get_scale(self, resource: Resource, name: str, *, namespace: str) -> Scale:
        """Read `/scale`."""
        raise NotImplementedError

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
        """Write absolute replicas if UID and the observed value still hold; 5 s time-out, no retry.

        Raises:
            ScaleConflict: somebody else changed it (or it is another object): read, re-plan.
            SpokeUnreachable: outcome unknown: read again before judging.
            FenceLost: not sent.
        """
        raise NotImplementedError

    async def discover(self, api_version: str, kind: str) -> Resource:
        """Resolve a kind to its resource, cached; `RefusedApiError.is_not_found` if not served."""
        raise NotImplementedError

    async def version(self) -> str:
        """`gitVersion` of the server."""
        raise NotImplementedError

    async def cluster_uid(self) -> str:
        """UID of kube-system: the identity of the cluster."""
        raise NotImplementedError

    async def can_i(
        self,
        verbs: Sequence[str],
        resource: Resource,
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> bool:
        """Ask by SelfSubjectAccessReview, so that probing leaves no denied line in the audit log."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        raise NotImplementedError
