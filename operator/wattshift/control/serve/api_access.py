"""Who may read `/v1`: TokenReview says who calls, SubjectAccessReview what he may read.

Answers are kept for ten seconds, so that a caller in a loop does not load the hub; tokens are kept
as hashes only. Whatever cannot be asked is refused. Neighbour: `api_server.py`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from wattshift.api import GROUP
from wattshift.kube.client import ClusterClient
from wattshift.kube.reviews import Caller, authenticate, may

AUDIENCE = "wattshift"
"""Audience of tokens made for `/v1` alone: `kubectl create token NAME --audience wattshift`."""
KEEP_SECONDS = 10.0
MAX_KEPT = 512
_T = TypeVar("_T")


class Gate:
    """Authentication and authorisation of callers."""

    def __init__(self, *, client: ClusterClient, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._callers: _Kept[Caller | None] = _Kept(monotonic)
        self._answers: _Kept[bool] = _Kept(monotonic)

    async def caller(self, token: str) -> Caller | None:
        """The user of a token: one of the hub's own, or one made for our audience; None = nobody.

        Raises:
            WattshiftError: the hub could not be asked.
        """
        key = hashlib.sha256(token.encode()).hexdigest()
        known, value = self._callers.get(key)
        if not known:
            value = await authenticate(self._client, token)
            if value is None:
                value = await authenticate(self._client, token, audiences=(AUDIENCE,))
            self._callers.put(key, value)
        return value

    async def may_read(
        self, caller: Caller, plural: str, *, namespace: str = "", name: str = ""
    ) -> bool:
        """Whether the caller may `get` these objects of ours; no namespace = everywhere.

        Raises:
            WattshiftError: the hub could not be asked.
        """
        key = "\0".join((caller.name, caller.uid, *caller.groups, plural, namespace, name))
        known, value = self._answers.get(key)
        if known and value is not None:
            return value
        allowed = await may(
            self._client,
            caller,
            "get",
            group=GROUP,
            resource=plural,
            namespace=namespace,
            name=name,
        )
        self._answers.put(key, allowed)
        return allowed


class _Kept(Generic[_T]):
    """A bounded cache whose entries die by age."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._rows: OrderedDict[str, tuple[float, _T]] = OrderedDict()

    def get(self, key: str) -> tuple[bool, _T | None]:
        row = self._rows.get(key)
        if row is None or self._monotonic() - row[0] > KEEP_SECONDS:
            return False, None
        return True, row[1]

    def put(self, key: str, value: _T) -> None:
        self._rows[key] = (self._monotonic(), value)
        self._rows.move_to_end(key)
        while len(self._rows) > MAX_KEPT:
            self._rows.popitem(last=False)
