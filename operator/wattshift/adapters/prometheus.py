"""Pool of blocking Prometheus clients: bounded threads, explicit time-outs, no retry, no redirect.

`prometheus-api-client` is built on `requests`, so a call holds a thread until its socket gives up,
also when the awaiting task was cancelled. Slots are freed when the *thread* ends, each server may
hold only some of them, and one hung server cannot starve the others.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.retry import Retry

from wattshift.adapters.failures import SourceError, SourceNeedsHuman, SourceTransient
from wattshift.adapters.http import Identity, address_refused, check_status, retry_after_seconds
from wattshift.adapters.reasons import SourceReason
from wattshift.adapters.tls import TlsMaterial, ssl_context

BODY_LIMIT_BYTES = 32 * 1024 * 1024
SESSIONS_PER_THREAD = 16
URL_LIMIT_BYTES = 6000
"""The client sends queries in the URL also with POST; servers refuse long ones at 8 KiB."""

NO_RETRY = Retry(total=0, read=False, redirect=0, respect_retry_after_header=False)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class PrometheusEndpoint:
    """One server as one identity sees it."""

    url: str
    identity: Identity = field(default_factory=Identity, repr=False)
    timeout_seconds: float = 10.0

    @property
    def name(self) -> str:
        """For people."""
        return f"prometheus {self.url}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one time; the value may be NaN or infinite."""

    labels: Mapping[str, str]
    time: float
    """Evaluation time, by the server's clock."""
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One series over a range."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class GuardedSession(requests.Session):
    """`requests` with a cap on the body, a deadline for reading it, and no redirects."""

    def __init__(self, endpoint: PrometheusEndpoint, clock: Callable[[], float]) -> None:
        super().__init__()
        self._redact = endpoint.identity.redact
        self._clock = clock
        self.trust_env = False
        self._endpoint_name = endpoint.name
        self._deadline = endpoint.timeout_seconds

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send, judge the status, read the body within limits; raises our own errors."""
        kwargs.update(allow_redirects=False, stream=True)
        started = self._clock()
        response = super().request(*args, **kwargs)
        try:
            body = self._read(response, started)
        except BaseException:
            response.close()
            raise
        response._content = body  # noqa: SLF001 - the only way to hand over a read body
        response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        detail = self._redact(_error_text(response.content))
        wait = retry_after_seconds(response.headers)
        check_status(response.status_code, self._endpoint_name, detail, wait)
        if missing := _incomplete(body):
            raise SourceTransient(
                SourceReason.SOURCE_UNREACHABLE,
                f"{self._endpoint_name}: the answer is incomplete: {self._redact(missing)}",
            )
        return response

    def _read(self, response: requests.Response, started: float) -> bytes:
        body = bytearray()
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            body += chunk
            if len(body) > BODY_LIMIT_BYTES:
                raise SourceNeedsHuman(
                    SourceReason.ANSWER_TOO_LARGE,
                    f"{self._endpoint_name}: more than {BODY_LIMIT_BYTES} bytes",
                )
            if self._clock() - started > self._deadline:
                raise SourceTransient(
                    SourceReason.SOURCE_TIMED_OUT, f"{self._endpoint_name}: answer too slow"
                )
        return bytes(body)


def _cause(error: Exception) -> str:
    """What went wrong, without the URL that `requests` wraps around it."""
    wrapped = error.args[0] if error.args else None
    reason = getattr(wrapped, "reason", None)
    return type(error).__name__ if reason is None else f"{type(reason).__name__}: {reason}"


def _error_text(body: bytes) -> str:
    """The `error` of a Prometheus answer, else the start of the body."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:120].decode("utf-8", "replace")


def _incomplete(body: bytes) -> str:
    """What the server says it could not ask (remote storage, a store of Thanos); empty = complete.

    A sum over a part is no sum. Remarks of the language itself ("PromQL ...") are none.
    """
    if b'"warnings"' not in body:
        return ""
    try:
        found = json.loads(body)["warnings"]
        return next((str(w)[:160] for w in found if not str(w).startswith("PromQL ")), "")
    except (ValueError, KeyError, TypeError):
        return ""


def _refuse(connection: HTTPConnection, addresses: Iterable[str]) -> None:
    if any(address_refused(address) for address in addresses):
        raise NewConnectionError(
            connection, f"{connection.host} leads to an address that must not be read"
        )


class GuardedConnection(HTTPConnection):
    """Never sends to an address that must not be read, whatever the name resolves to."""

    def _new_conn(self) -> socket.socket:
        try:
            rows = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        _refuse(self, (str(row[4][0]) for row in rows))
        connected = super()._new_conn()
        try:
            # the name may have been asked twice and answered differently
            _refuse(self, (str(connected.getpeername()[0]),))
        except BaseException:
            connected.close()
            raise
        return connected


class GuardedTlsConnection(GuardedConnection, HTTPSConnection):
    """The same over TLS."""


class GuardedPool(HTTPConnectionPool):
    """Connections of one server."""

    ConnectionCls = GuardedConnection


class GuardedTlsPool(HTTPSConnectionPool):
    """Connections of one server, over TLS."""

    ConnectionCls = GuardedTlsConnection


class TlsAdapter(HTTPAdapter):
    """Transport without retries, with the trust and identity of one endpoint."""

    def __init__(self, tls: TlsMaterial | None) -> None:
        self._tls = tls
        super().__init__(max_retries=NO_RETRY, pool_maxsize=2)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Hand the TLS context to urllib3."""
        if self._tls is not None:
            kwargs["ssl_context"] = ssl_context(self._tls)
            if self._tls.server_name:
                kwargs["server_hostname"] = self._tls.server_name
                kwargs["assert_hostname"] = self._tls.server_name
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": GuardedPool, "https": GuardedTlsPool}


class PrometheusPool:
    """Clients of all Prometheus servers; one per process, closed at the end."""

    def __init__(
        self,
        *,
        wall_clock: Callable[[], float],
        threads: int = 8,
        threads_per_server: int = 3,
        connect_seconds: float = 3.0,
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="prometheus")
        self._slots = asyncio.Semaphore(threads)
        self._per_server = threads_per_server
        self._server_slots: dict[str, asyncio.Semaphore] = {}
        self._local = threading.local()
        self._connect_seconds = connect_seconds
        self._wall_clock = wall_clock
        self._sessions: list[GuardedSession] = []
        self._lock = threading.Lock()

    async def query(self, endpoint: PrometheusEndpoint, promql: str) -> list[Sample]:
        """Instant query; an empty list is an answer without data, never a zero.

        Raises:
            SourceTransient: no answer, time-out, 5xx.
            SourceNeedsHuman: a refused query or credential, an answer that cannot be read.
        """

        def call(client: PrometheusConnect) -> list[Sample]:
            return parse_samples(
                client.custom_query(promql, timeout=self._timeout(endpoint)), endpoint.name
            )

        return await self._run(endpoint, call)

    async def query_range(
        self,
        endpoint: PrometheusEndpoint,
        promql: str,
        *,
        start: float,
        end: float,
        step_seconds: int,
    ) -> list[Series]:
        """Range query between two epoch times of the server's clock; raises as `query`."""

        def call(client: PrometheusConnect) -> list[Series]:
            raw = client.custom_query_range(
                promql,
                start_time=datetime.fromtimestamp(start, UTC),
                end_time=datetime.fromtimestamp(end, UTC),
                step=f"{step_seconds}s",
                timeout=self._timeout(endpoint),
            )
            return parse_series(raw, endpoint.name)

        return await self._run(endpoint, call)

    async def _run(
        self, endpoint: PrometheusEndpoint, call: Callable[[PrometheusConnect], ResultT]
    ) -> ResultT:
        server = self._server_slots.setdefault(endpoint.url, asyncio.Semaphore(self._per_server))
        # longer than what the thread allows itself, so that it normally says why it failed
        total = self._connect_seconds + 1.5 * endpoint.timeout_seconds
        try:
            async with asyncio.timeout(total):
                return await self._in_thread(server, endpoint, call)
        except TimeoutError as error:
            raise SourceTransient(
                SourceReason.SOURCE_TIMED_OUT, f"{endpoint.name}: no answer in {total:g} s"
            ) from error

    def _timeout(self, endpoint: PrometheusEndpoint) -> tuple[float, float]:
        """Seconds to connect, and between two reads."""
        return (min(self._connect_seconds, endpoint.timeout_seconds), endpoint.timeout_seconds)

    async def _in_thread(
        self,
        server: asyncio.Semaphore,
        endpoint: PrometheusEndpoint,
        call: Callable[[PrometheusConnect], ResultT],
    ) -> ResultT:
        await server.acquire()
        try:
            await self._slots.acquire()
        except BaseException:
            server.release()
            raise
        loop = asyncio.get_running_loop()

        def release() -> None:
            self._slots.release()
            server.release()

        def on_thread_end(_: Future[ResultT]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(release)

        try:
            future = self._executor.submit(self._call, endpoint, call)
        except BaseException:
            release()
            raise
        # NB: released by the thread, not by this task: a cancelled await leaves the thread busy
        future.add_done_callback(on_thread_end)
        return await asyncio.wrap_future(future)

    def _call(
        self, endpoint: PrometheusEndpoint, call: Callable[[PrometheusConnect], ResultT]
    ) -> ResultT:
        try:
            return call(self._client(endpoint))
        except SourceError:
            raise
        except requests.Timeout as error:
            raise SourceTransient(
                SourceReason.SOURCE_TIMED_OUT, f"{endpoint.name}: {type(error).__name__}"
            ) from error
        except (requests.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceNeedsHuman(
                SourceReason.ANSWER_NOT_READABLE, f"{endpoint.name}: no Prometheus answer"
            ) from error
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            PrometheusApiClientException,
            OSError,
        ) as error:
            # NB: the text of `requests` holds the URL, and with it a credential of type Query
            text = endpoint.identity.redact(f"{endpoint.name}: {_cause(error)}")
            raise SourceTransient(SourceReason.SOURCE_UNREACHABLE, text[:300]) from None
        except (ValueError, AttributeError) as error:
            # NB: last, because some errors of `requests` are ValueErrors, too
            raise SourceNeedsHuman(
                SourceReason.ANSWER_NOT_READABLE, f"{endpoint.name}: no Prometheus answer"
            ) from error

    def _client(self, endpoint: PrometheusEndpoint) -> PrometheusConnect:
        """The client of this thread for this endpoint; sessions are not shared by threads."""
        clients: OrderedDict[PrometheusEndpoint, PrometheusConnect] | None
        clients = getattr(self._local, "clients", None)
        if clients is None:
            clients = self._local.clients = OrderedDict()
        client = clients.get(endpoint)
        if client is None:
            session = GuardedSession(endpoint, self._wall_clock)
            session.params = dict(endpoint.identity.params)
            client = PrometheusConnect(
                url=endpoint.url,
                headers=dict(endpoint.identity.headers),
                retry=NO_RETRY,
                session=session,
                timeout=self._timeout(endpoint),
            )
            # after the client, which mounts an adapter of its own under the same prefix
            session.mount(endpoint.url, TlsAdapter(endpoint.identity.tls))
            clients[endpoint] = client
            with self._lock:
                self._sessions.append(session)
            while len(clients) > SESSIONS_PER_THREAD:
                _, old = clients.popitem(last=False)
                old.close()
        clients.move_to_end(endpoint)
        return client

    def close(self) -> None:
        """Stop taking work and close every session; threads end with their sockets."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()


def parse_samples(result: Any, where: str) -> list[Sample]:
    """Samples of `data.result`: a vector, or a scalar as one sample without labels.

    Raises:
        SourceNeedsHuman: a matrix or a string, or not the format of Prometheus.
    """
    if isinstance(result, list) and len(result) == 2 and not isinstance(result[0], Mapping):
        result = [{"metric": {}, "value": result}]
    if not isinstance(result, list):
        raise SourceNeedsHuman(SourceReason.ANSWER_NOT_READABLE, f"{where}: no result list")
    samples: list[Sample] = []
    for entry in result:
        if not isinstance(entry, Mapping) or "value" not in entry:
            raise SourceNeedsHuman(
                SourceReason.QUERY_REFUSED,
                f"{where}: the query gives a range, not a value: wrap it (rate, avg_over_time)",
            )
        stamp, text = entry["value"]
        samples.append(Sample(dict(entry.get("metric") or {}), float(stamp), _number(text, where)))
    return samples


def parse_series(result: Any, where: str) -> list[Series]:
    """Series of a range query.

    Raises:
        SourceNeedsHuman: not the format of Prometheus.
    """
    if not isinstance(result, Sequence) or isinstance(result, str):
        raise SourceNeedsHuman(SourceReason.ANSWER_NOT_READABLE, f"{where}: no result list")
    return [
        Series(
            dict(entry.get("metric") or {}),
            tuple((float(stamp), _number(text, where)) for stamp, text in entry["values"]),
        )
        for entry in result
    ]


def _number(text: Any, where: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise SourceNeedsHuman(
            SourceReason.NOT_A_NUMBER, f"{where}: {str(text)[:40]!r} is no number"
        ) from None


def oldest(samples: Sequence[Sample]) -> float | None:
    """The smallest finite value of samples that are time stamps."""
    return min((s.value for s in samples if math.isfinite(s.value)), default=None)
