"""One HTTP session to one API server: time-outs, retries, errors of our families, the write guard.

Never follows a redirect, never reads proxy variables, never logs a header. Retries: reads on 429, 5xx
and broken connections; writes only when idempotent; 401 once with a fresh token. Time-outs are not
retried here: the state machine of `pool.py` owns patience. Neighbours: `client.py` (verbs), `watch.py`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from wattshift import __version__
from wattshift.errors import FenceLost
from wattshift.kube.auth import Access
from wattshift.kube.errors import ApiError, SpokeUnreachable, api_error
from wattshift.kube.tls import client_context

USER_AGENT = f"wattshift/{__version__}"
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_RETRIED = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimings:
    """Time-outs and retries of one client, in seconds."""

    connect: float = 5.0
    read: float = 15.0
    write: float = 5.0
    """At most the margin of the lease fence: a write that left the fence must land inside it."""
    watch_establish: float = 30.0
    watch_inactivity: float = 70.0
    """A server sends a bookmark about every 60 s even when nothing happens."""
    watch_server: int = 300
    attempts: int = 3
    retry_base: float = 0.2
    retry_after_limit: float = 10.0
    """A longer Retry-After is handed to the caller instead of waited for."""
    body_limit_bytes: int = 64 * 1024 * 1024


class Transport:
    """HTTP to one API server. Close it; it opens lazily inside the running loop."""

    def __init__(
        self,
        *,
        access: Access,
        clock: Callable[[], float],
        timings: ClientTimings,
        write_guard: Callable[[], None] | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.timings = timings
        self.clock = clock
        self._access = access
        self._token = access.token(clock)
        self._write_guard = write_guard
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._sleep = sleep
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        idempotent: bool | None = None,
        guarded: bool | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Send one request and return its JSON object.

        Args:
            method: HTTP method.
            path: path from `Resource.path`.
            params: query.
            body: JSON body.
            content_type: of the body.
            idempotent: whether it may be sent again; default: only reads.
            guarded: whether `write_guard` is asked; default: all but reads. Only reviews say False.
            timeout_seconds: for one attempt; default by method.

        Raises:
            ApiError: any answer that is not a success.
            SpokeUnreachable: no usable answer.
            FenceLost: the guard refused; nothing was sent.
        """
        mutating = method in _MUTATING
        retryable = not mutating if idempotent is None else idempotent
        timeout = timeout_seconds or (self.timings.write if mutating else self.timings.read)
        payload = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        asked_for_token = False
        for attempt in range(1, self.timings.attempts + 2):
            if self._write_guard and (mutating if guarded is None else guarded):
                self._write_guard()
            try:
                async with asyncio.timeout(timeout):
                    return await self._once(method, path, params, payload, content_type)
            except TimeoutError:
                raise SpokeUnreachable(
                    f"{method} {path}: no answer within {timeout:g} s", reason="Timeout"
                ) from None
            except ApiError as error:
                if error.is_unauthorized and not asked_for_token:
                    asked_for_token = True
                    self._token.refresh()
                    continue
                wait = self._wait_before_retry(error, attempt) if retryable else None
                if wait is None or attempt >= self.timings.attempts:
                    raise
            except SpokeUnreachable as error:
                if not retryable or attempt >= self.timings.attempts or error.reason == "TLSFailed":
                    raise
                wait = self._jittered(attempt)
            await self._sleep(wait)
        raise AssertionError("unreachable: the last attempt raises")

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a watch; yields the body once headers came. Own connections, no limit.

        Raises:
            ApiError, SpokeUnreachable: as for `request`; reason Timeout after `watch_establish`.
        """
        async with _translated(f"WATCH {path}"):
            try:
                async with asyncio.timeout(self.timings.watch_establish):
                    response = await self._send("watch", "GET", path, params, None, "")
            except TimeoutError:
                raise SpokeUnreachable(
                    f"WATCH {path}: not established within {self.timings.watch_establish:g} s",
                    reason="Timeout",
                ) from None
            try:
                if response.status != HTTPStatus.OK:
                    if response.status == HTTPStatus.UNAUTHORIZED:
                        self._token.refresh()
                    async with asyncio.timeout(self.timings.connect):
                        await self._decode(response, f"WATCH {path}")
                yield response.content
            finally:
                response.close()

    async def close(self) -> None:
        """Close all connections. Idempotent; later requests fail."""
        self._closed = True
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        payload: bytes | None,
        content_type: str,
    ) -> dict[str, Any]:
        where = f"{method} {path}"
        async with _translated(where):
            response = await self._send("requests", method, path, params, payload, content_type)
            try:
                return await self._decode(response, where)
            finally:
                response.release()

    async def _send(  # noqa: PLR0917 - one caller a purpose, both below and above
        self,
        purpose: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        payload: bytes | None,
        content_type: str,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json"}
        if payload is not None:
            headers["Content-Type"] = content_type
        token = self._token.get()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self._session(purpose).request(
            method,
            self._access.server + path,
            params=params,
            data=payload,
            headers=headers,
            allow_redirects=False,  # a redirect would carry the credential elsewhere
            server_hostname=self._access.tls_server_name or None,
        )

    def _session(self, purpose: str) -> aiohttp.ClientSession:
        if self._closed:
            raise SpokeUnreachable("the client is closed", reason="Closed")
        session = self._sessions.get(purpose)
        if session is None:
            # A watch holds its connection for minutes: it must never starve the requests.
            context = (
                client_context(
                    ca_pem=self._access.ca_pem,
                    cert_pem=self._access.cert_pem,
                    key_pem=self._access.key_pem,
                )
                if self._access.server.startswith("https:")
                else True
            )
            connector = aiohttp.TCPConnector(limit=16 if purpose == "requests" else 0, ssl=context)
            session = aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                headers={"User-Agent": USER_AGENT},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timings.connect),
                read_bufsize=256 * 1024,
            )
            self._sessions[purpose] = session
        return session

    async def _decode(self, response: aiohttp.ClientResponse, where: str) -> dict[str, Any]:
        raw = bytearray()
        async for chunk in response.content.iter_any():
            raw += chunk
            if len(raw) > self.timings.body_limit_bytes:
                response.close()
                raise _garbled(where, f"body larger than {self.timings.body_limit_bytes} bytes")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        status = response.status
        if status >= HTTPStatus.BAD_REQUEST:
            raise api_error(
                status, body, where=where, retry_after_seconds=_retry_after(response.headers)
            )
        if status >= HTTPStatus.MULTIPLE_CHOICES or not isinstance(body, dict):
            shown = response.headers.get("Content-Type", "no content type")[:80]
            raise _garbled(where, f"status {status} with {shown}, not a JSON object")
        return body

    def _wait_before_retry(self, error: ApiError, attempt: int) -> float | None:
        if error.status not in _RETRIED:
            return None
        asked = error.retry_after_seconds
        if asked is None:
            return self._jittered(attempt)
        if asked > self.timings.retry_after_limit:
            return None
        return asked + self._rng.uniform(0, self.timings.retry_base)

    def _jittered(self, attempt: int) -> float:
        return float(self.timings.retry_base * 2 ** (attempt - 1) * self._rng.uniform(0.5, 1.5))


def _garbled(where: str, what: str) -> SpokeUnreachable:
    return SpokeUnreachable(f"{where}: {what}", reason="GarbledResponse")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After`; API servers send whole seconds, dates are ignored."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


@asynccontextmanager
async def _translated(where: str) -> AsyncIterator[None]:
    """Turn aiohttp's and the socket's errors into `SpokeUnreachable`, without URLs or headers."""
    try:
        yield
    except FenceLost:
        raise
    except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
        raise SpokeUnreachable(f"{where}: {_cause(error)}", reason="TLSFailed") from error
    except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, ValueError) as error:
        raise _garbled(where, f"{type(error).__name__}: cut short or not HTTP") from error
    except aiohttp.ConnectionTimeoutError as error:
        raise SpokeUnreachable(f"{where}: connecting timed out", reason="Timeout") from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise SpokeUnreachable(f"{where}: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
