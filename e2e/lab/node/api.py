"""The process node's connection to its API server: requests, patches and a watch, asynchronous."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp

Document = dict[str, Any]
REQUEST_SECONDS = 15.0
WATCH_SECONDS = 240


class Refused(Exception):
    """The API server answered with an error; `code` is the HTTP status."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(f"{code} {text[:300]}")


# What a caller treats as 'the server is away, try again'.
Unreachable = (aiohttp.ClientError, TimeoutError, OSError)


class Api:
    """One session; every request has a time-out."""

    def __init__(self, url: str, ca_file: str, token: str) -> None:
        self._url = url
        self._context = ssl.create_default_context(cafile=ca_file)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context, limit=32),
            headers=self._headers,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> Document:
        """One request; raises Refused or one of Unreachable."""
        assert self._session is not None
        async with self._session.request(
            method,
            self._url + path,
            params=query,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise Refused(answer.status, text)
            found: Document = json.loads(text)
            return found

    async def get(self, path: str, **query: str) -> Document:
        """GET."""
        return await self.request("GET", path, **query)

    async def patch_status(self, path: str, body: Document) -> Document:
        """Strategic merge patch, as kubelet sends: lists of conditions merge by type."""
        kind = "application/strategic-merge-patch+json"
        return await self.request("PATCH", path, body, content_type=kind)

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[Document]:
        """Events until the server ends the watch; raises Refused (410: list again)."""
        assert self._session is not None
        parameters = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with self._session.get(
            self._url + path,
            params=parameters,
            timeout=aiohttp.ClientTimeout(total=WATCH_SECONDS + 20, sock_connect=REQUEST_SECONDS),
        ) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.text())
            # Objects may be longer than a reader's line limit, so lines are cut here.
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event: Document = json.loads(line)
                    if event["type"] == "ERROR":
                        raise Refused(int(event["object"].get("code") or 500), str(event["object"]))
                    yield event
