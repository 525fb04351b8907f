"""Errors of API servers, mapped to the three families of `wattshift/errors.py`.

Whoever catches a family needs nothing from here; whoever must tell a conflict from a missing object
asks the `is_...` properties. Neighbours: `transport.py` raises them, `pool.py` judges them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from wattshift.errors import Bug, NeedsHuman, Transient, WattshiftError

_MAX_MESSAGE_CHARS = 512
NO_MESSAGE = "no message"
"""An answer that is no Status: the path itself is unknown to the server."""


class ApiError(WattshiftError):
    """An answer of an API server that is not a success; always raised as one of its subclasses."""

    default_reason = "ApiError"

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message[:_MAX_MESSAGE_CHARS], reason=reason)
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}"

    @property
    def is_conflict(self) -> bool:
        """409 Conflict: another writer was faster, or owns the field under server-side apply."""
        return self.status == HTTPStatus.CONFLICT and self.reason != "AlreadyExists"

    @property
    def is_already_exists(self) -> bool:
        """409 AlreadyExists: read it again instead of creating it."""
        return self.status == HTTPStatus.CONFLICT and self.reason == "AlreadyExists"

    @property
    def is_gone(self) -> bool:
        """410: the resourceVersion or continue token has expired; list again."""
        return self.status == HTTPStatus.GONE or self.reason == "Expired"

    @property
    def is_not_found(self) -> bool:
        """404: no such object, or no such resource on this server."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_unauthorized(self) -> bool:
        """401: the credential is not accepted (expired, revoked, wrong audience)."""
        return self.status == HTTPStatus.UNAUTHORIZED

    @property
    def is_forbidden(self) -> bool:
        """403: the credential is accepted but its roles do not allow this."""
        return self.status == HTTPStatus.FORBIDDEN

    @property
    def is_invalid(self) -> bool:
        """422: refused by validation, or a `test` of a JSON patch did not hold."""
        return self.status == HTTPStatus.UNPROCESSABLE_ENTITY

    @property
    def is_throttled(self) -> bool:
        """429: the server asks for patience; the cluster is alive."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS


class TransientApiError(ApiError, Transient):
    """408, 409, 410, 429 and 5xx."""


class RefusedApiError(ApiError, NeedsHuman):
    """401, 403, 404: credentials, roles or a missing object; a person has to act."""


class RejectedApiError(ApiError, Bug):
    """400, 405, 406, 413, 415, 422 and the like: we sent something wrong."""


class ScaleConflict(TransientApiError):
    """422 on `/scale`: the UID or the replicas are no longer those observed. Read again, re-plan."""

    default_reason = "ScaleConflict"


class SpokeUnreachable(Transient):
    """No usable answer: refused, timed out, TLS failed, cut short, or not JSON.

    After a write the outcome is unknown: read before judging (`kubernetes.md` 12, rivals).
    `reason` is one of Unreachable, Timeout, TLSFailed, GarbledResponse, WatchSilent.
    """

    default_reason = "Unreachable"


class ClusterIdentityChanged(NeedsHuman):
    """The kubeconfig now leads to another cluster (kube-system's UID differs): no writes."""

    default_reason = "ClusterIdentityChanged"


_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_TRANSIENT = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.GONE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


def api_error(
    status: int, body: Any, *, where: str, retry_after_seconds: float | None = None
) -> ApiError:
    """Build the right subclass from a `metav1.Status` body, or from whatever came instead.

    Args:
        status: HTTP status, or `code` of a watch's ERROR event.
        body: decoded JSON body; anything but a mapping is ignored.
        where: `GET /api/v1/...` for the message.
        retry_after_seconds: parsed `Retry-After`, if the server sent one.
    """
    fields = body if isinstance(body, dict) else {}
    reason = str(fields.get("reason") or _phrase(status))
    message = f"{where}: {fields.get('message') or NO_MESSAGE}"
    if status in _REFUSED:
        family: type[ApiError] = RefusedApiError
    elif status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        family = TransientApiError
    else:
        family = RejectedApiError
    return family(status, reason, message, retry_after_seconds=retry_after_seconds)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.replace(" ", "").replace("-", "")
    except ValueError:
        return "Unknown"
