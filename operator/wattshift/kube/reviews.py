"""Who a caller is and what he may do, asked of the hub: for the operator's own HTTP interface.

Needs the role that may create tokenreviews and subjectaccessreviews. Nothing is stored by asking.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.kube.client import ClusterClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated user."""

    name: str
    uid: str
    groups: tuple[str, ...]


async def authenticate(
    client: ClusterClient, token: str, *, audiences: tuple[str, ...] = ()
) -> Caller | None:
    """Resolve a bearer token by TokenReview; None if the hub does not know it.

    With `audiences`, a token made for none of them is refused: the hub must name one of ours back.

    Raises:
        ApiError, SpokeUnreachable: the hub could not be asked; refuse the caller.
    """
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, **({"audiences": list(audiences)} if audiences else {})},
    }
    status = await client.review("/apis/authentication.k8s.io/v1/tokenreviews", body)
    if not status.get("authenticated"):
        return None
    if audiences and not set(audiences) & set(status.get("audiences") or ()):
        return None
    user = status.get("user") or {}
    name = str(user.get("username") or "")
    if not name:
        return None
    return Caller(
        name=name, uid=str(user.get("uid") or ""), groups=tuple(map(str, user.get("groups") or ()))
    )


async def may(
    client: ClusterClient,
    caller: Caller,
    verb: str,
    *,
    group: str = "",
    resource: str = "",
    namespace: str = "",
    name: str = "",
    path: str = "",
) -> bool:
    """Ask by SubjectAccessReview whether the caller may do it, on a resource or on a URL path.

    Raises:
        ApiError, SpokeUnreachable: the hub could not be asked; refuse the caller.
    """
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "namespace": namespace,
        "name": name,
    }
    what = (
        {"nonResourceAttributes": {"verb": verb, "path": path}}
        if path
        else {"resourceAttributes": attributes}
    )
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": caller.name, "uid": caller.uid, "groups": list(caller.groups), **what},
    }
    status = await client.review("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(status.get("allowed")) and not status.get("denied")
