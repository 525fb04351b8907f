"""Which resource a kind is on one server, from its discovery documents; cached.

Absence is remembered for a minute only: a CRD may be installed while we run. Neighbour: `client.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wattshift.kube.errors import ApiError, api_error
from wattshift.kube.resources import WELL_KNOWN, Json, Resource

PRESENT_SECONDS = 600.0
ABSENT_SECONDS = 60.0


class Discovery:
    """Cache of `APIResourceList`s of one server."""

    def __init__(
        self, *, read: Callable[[str], Awaitable[Json]], clock: Callable[[], float]
    ) -> None:
        self._read = read
        self._clock = clock
        self._versions: dict[str, tuple[float, dict[str, Resource]]] = {}

    async def resource(self, api_version: str, kind: str) -> Resource:
        """Resolve a kind.

        Raises:
            RefusedApiError: status 404, when the server does not serve it.
        """
        known = WELL_KNOWN.get((api_version, kind))
        if known is not None:
            return known
        now = self._clock()
        expires, kinds = self._versions.get(api_version, (now, {}))
        if expires <= now:
            kinds = await self._load(api_version)
            lifetime = PRESENT_SECONDS if kind in kinds else ABSENT_SECONDS
            self._versions[api_version] = (now + lifetime, kinds)
        elif kind not in kinds and expires > now + ABSENT_SECONDS:
            self._versions[api_version] = (now + ABSENT_SECONDS, kinds)
        found = kinds.get(kind)
        if found is None:
            raise api_error(404, {"message": "kind is not served"}, where=f"{api_version} {kind}")
        return found

    async def _load(self, api_version: str) -> dict[str, Resource]:
        root = "/apis/" if "/" in api_version else "/api/"
        try:
            body = await self._read(root + api_version)
        except ApiError as error:
            if error.is_not_found:
                return {}
            raise
        entries = [e for e in body.get("resources") or [] if isinstance(e, dict)]
        scaled = {e["name"].removesuffix("/scale") for e in entries if e["name"].endswith("/scale")}
        return {
            e["kind"]: Resource(
                api_version, e["kind"], e["name"], bool(e.get("namespaced")), e["name"] in scaled
            )
            for e in entries
            if "/" not in e["name"]
        }
