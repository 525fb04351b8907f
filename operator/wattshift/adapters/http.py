"""Guarded HTTP for adapters: which URLs may be read, with which credential, how much, how long.

Never follows a redirect, never reads more than a limit, never sends a credential to a host that
its Secret does not allow. Neighbours: `grid/http_json.py`, `prometheus.py`, `latency/engine.py`.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, quote, quote_plus, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from wattshift.adapters.failures import Credentials, SourceNeedsHuman, SourceTransient
from wattshift.adapters.reasons import SourceReason
from wattshift.adapters.tls import TlsMaterial, ssl_context

BODY_LIMIT_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS = 5.0
RETRY_AFTER_CAP_SECONDS = 3600.0
"""A server may ask for a pause, not for being forgotten."""
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")
)
"""Where clouds serve credentials of the machine outside of link-local: AWS, Alibaba, Oracle."""
REFUSED_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


def address_refused(text: str) -> bool:
    """Whether an IP address must never be read: cloud metadata, link-local, multicast, none."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in METADATA_ADDRESSES
    )


def check_url(url: str, allowed_hosts: Callable[[str], bool] | None = None) -> SplitResult:
    """Split a URL that may be read.

    Raises:
        SourceNeedsHuman: another scheme than http(s), user data in the URL, or a host that
            must not be read.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SourceNeedsHuman(SourceReason.SOURCE_INVALID, f"url {url[:80]!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SourceNeedsHuman(
            SourceReason.SOURCE_INVALID, f"url {url[:80]!r}: use http:// or https:// and a host"
        )
    if parts.username is not None or parts.password is not None:
        raise SourceNeedsHuman(
            SourceReason.SOURCE_INVALID, "url holds user data: put the credential into a Secret"
        )
    host = parts.hostname
    legacy = host.isdigit() or host.lower().startswith("0x")
    if legacy or host.lower().rstrip(".") in REFUSED_NAMES or address_refused(host):
        raise SourceNeedsHuman(
            SourceReason.HOST_NOT_ALLOWED, f"host {host!r} must not be read as a signal"
        )
    if allowed_hosts is not None and not allowed_hosts(parts.netloc):
        raise SourceNeedsHuman(
            SourceReason.HOST_NOT_ALLOWED, f"host {parts.netloc!r} is not on the allowed list"
        )
    return parts


class GuardedResolver(AbstractResolver):
    """DNS that drops addresses which must not be read, so that a name cannot lead there."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """Resolve; OSError when nothing is left."""
        found = await self._inner.resolve(host, port, family)
        kept = [entry for entry in found if not address_refused(entry["host"])]
        if not kept:
            raise OSError(f"{host} resolves only to addresses that must not be read")
        return kept

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


def make_session(*, limit: int = 64, limit_per_host: int = 16) -> aiohttp.ClientSession:
    """The session that all adapters share; close it at the end. Call inside a running loop."""
    connector = aiohttp.TCPConnector(
        limit=limit, limit_per_host=limit_per_host, resolver=GuardedResolver(), ttl_dns_cache=60
    )
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=30, sock_connect=CONNECT_SECONDS, sock_read=10),
        headers={"User-Agent": "wattshift"},
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """What one request proves and trusts; never printed."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: TlsMaterial | None = field(default=None, repr=False)

    def redact(self, text: str) -> str:
        """A text without the secrets: servers and libraries like to repeat what they were sent."""
        for _, value in (*self.headers, *self.params):
            for secret in (value, value.rpartition(" ")[2], quote(value), quote_plus(value)):
                if len(secret) > 3:
                    text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """`{url, auth, tls, timeoutSeconds}` of the API, with the host that credentials are bound to."""

    url: str
    host: str
    auth: Mapping[str, Any] | None = field(default=None, hash=False)
    tls: Mapping[str, Any] | None = field(default=None, hash=False)
    timeout_seconds: float = 10.0

    @classmethod
    def from_spec(
        cls,
        spec: Mapping[str, Any],
        allowed_hosts: Callable[[str], bool] | None = None,
        *,
        base: bool = False,
    ) -> HttpTarget:
        """Read and check the endpoint; `base`: an address that paths are appended to.

        Raises:
            SourceNeedsHuman: a URL that must not be read, or one with a query as base.
        """
        url = str(spec["url"])
        if base and ("?" in url or "#" in url):
            raise SourceNeedsHuman(
                SourceReason.SOURCE_INVALID,
                "url is a base address: leave out '?' or '#' and what follows; a credential "
                "belongs into a Secret (auth)",
            )
        if base:
            url = url.rstrip("/")
        return cls(
            url=url,
            host=_with_port(check_url(url, allowed_hosts)),
            auth=spec.get("auth"),
            tls=spec.get("tls"),
            timeout_seconds=float(spec.get("timeoutSeconds") or 10),
        )

    @property
    def key(self) -> tuple[str, str, str, float]:
        """Equal for requests that go to one place with one credential."""
        return (
            self.url,
            json.dumps(self.auth, sort_keys=True, default=str),
            json.dumps(self.tls, sort_keys=True, default=str),
            self.timeout_seconds,
        )

    def identity(self, credentials: Credentials) -> Identity:
        """Resolve the credentials now: Secrets rotate.

        Raises:
            SourceNeedsHuman: a type that does not exist, or a Secret of the wrong shape.
            NeedsHuman: what `credentials` raises (label, key or host rule).
        """
        headers, params = resolve_auth(self.auth, self.host, credentials)
        return Identity(headers, params, resolve_tls(self.tls, self.host, credentials))


def _with_port(parts: SplitResult) -> str:
    """Host and port: a Secret for port 443 of a host is not for port 80, which is in clear text."""
    if parts.port is not None:
        return parts.netloc
    return f"{parts.netloc.rstrip(':')}:{443 if parts.scheme == 'https' else 80}"


Pairs = tuple[tuple[str, str], ...]


def resolve_auth(
    spec: Mapping[str, Any] | None, host: str, credentials: Credentials
) -> tuple[Pairs, Pairs]:
    """Headers and query parameters of `auth {type, secretRef {name, key}, name}` for `host`.

    Types: BearerToken, Basic (the Secret holds `user:password`), Headers and Query (`name`, else
    the key of the Secret, is the header or parameter).

    Raises:
        SourceNeedsHuman: a type that does not exist, or what `credentials` raises.
    """
    if spec is None:
        return (), ()
    kind = str(spec["type"])
    secret, key = _secret(spec["secretRef"], host, credentials)
    if any(mark in secret for mark in "\r\n\0"):
        raise SourceNeedsHuman(
            SourceReason.CREDENTIAL_MISSING, f"Secret key {key!r} holds several lines"
        )
    name = str(spec.get("name") or key)
    if kind == "BearerToken":
        return (("Authorization", f"Bearer {secret}"),), ()
    if kind == "Basic":
        if ":" not in secret:
            raise SourceNeedsHuman(
                SourceReason.CREDENTIAL_MISSING, f"Secret key {key!r} is not user:password"
            )
        token = base64.b64encode(secret.encode()).decode()
        return (("Authorization", f"Basic {token}"),), ()
    if kind == "Headers":
        return ((name, secret),), ()
    if kind == "Query":
        return (), ((name, secret),)
    raise SourceNeedsHuman(SourceReason.SOURCE_INVALID, f"auth type {kind!r} does not exist")


def resolve_tls(
    spec: Mapping[str, Any] | None, host: str, credentials: Credentials
) -> TlsMaterial | None:
    """PEM documents of `tls {...SecretRef, serverName}`; None = the system's authorities.

    Raises:
        SourceNeedsHuman: what `credentials` raises.
    """
    if not spec:
        return None

    def pem(name: str) -> str | None:
        reference = spec.get(name)
        return None if reference is None else _secret(reference, host, credentials)[0]

    return TlsMaterial(
        authority=pem("authoritySecretRef"),
        certificate=pem("clientCertificateSecretRef"),
        key=pem("clientKeySecretRef"),
        server_name=spec.get("serverName"),
    )


def _secret(reference: Mapping[str, Any], host: str, credentials: Credentials) -> tuple[str, str]:
    key = str(reference["key"])
    return credentials(str(reference["name"]), key, host).strip(), key


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """What `Retry-After` asks for, in real seconds: a number, or a time against the server's own.

    0 where it says nothing, or nothing readable.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), RETRY_AFTER_CAP_SECONDS)
    try:
        until = parsedate_to_datetime(text)
        wait = (until - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(0.0, wait), RETRY_AFTER_CAP_SECONDS)


def check_status(
    status: int, endpoint: str, detail: str = "", retry_after_seconds: float = 0.0
) -> None:
    """Turn a status other than 2xx into one of our errors.

    Raises:
        SourceTransient: 408, 425, 429 and 5xx.
        SourceNeedsHuman: 3xx, 401, 403, 404 and other 4xx.
    """
    if 200 <= status < 300:
        return
    text = f"{endpoint} answered {status}" + (f": {detail[:200]}" if detail else "")
    if status in RETRYABLE or status >= 500:
        raise SourceTransient(
            SourceReason.SOURCE_UNREACHABLE, text, retry_after_seconds=retry_after_seconds
        )
    if 300 <= status < 400:
        raise SourceNeedsHuman(SourceReason.REDIRECT_REFUSED, f"{text}; redirects are not followed")
    if status in {401, 403}:
        raise SourceNeedsHuman(SourceReason.CREDENTIAL_REFUSED, text)
    if status in {404, 410}:
        raise SourceNeedsHuman(SourceReason.SOURCE_NOT_FOUND, text)
    raise SourceNeedsHuman(SourceReason.QUERY_REFUSED, text)


async def get_bytes(
    session: aiohttp.ClientSession,
    url: str,
    *,
    endpoint: str,
    identity: Identity = Identity(),
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 10.0,
    limit_bytes: int = BODY_LIMIT_BYTES,
) -> bytes:
    """GET a small body, time-out over everything, no redirect.

    Raises:
        SourceTransient: no connection, time-out, 5xx.
        SourceNeedsHuman: 3xx, 4xx, or a body over the limit.
    """
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.get(
                url,
                headers={**(headers or {}), **dict(identity.headers)},
                params=dict(identity.params) or None,
                allow_redirects=False,
                # the session's own are for those who set none: a server may think for a minute
                timeout=aiohttp.ClientTimeout(
                    total=timeout_seconds, sock_connect=min(CONNECT_SECONDS, timeout_seconds)
                ),
                ssl=True if identity.tls is None else ssl_context(identity.tls),
                server_hostname=identity.tls.server_name if identity.tls else None,
            ) as response,
        ):
            detail = ""
            if response.status >= 400:
                body_start = (await response.content.read(200)).decode("utf-8", "replace")
                detail = identity.redact(body_start)
            check_status(response.status, endpoint, detail, retry_after_seconds(response.headers))
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > limit_bytes:
                    raise SourceNeedsHuman(
                        SourceReason.ANSWER_TOO_LARGE,
                        f"{endpoint}: more than {limit_bytes} bytes",
                    )
            return bytes(body)
    except TimeoutError as error:
        raise SourceTransient(
            SourceReason.SOURCE_TIMED_OUT, f"{endpoint}: no full answer in {timeout_seconds:g} s"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        text = identity.redact(f"{endpoint}: {type(error).__name__}: {error}")
        raise SourceTransient(SourceReason.SOURCE_UNREACHABLE, text[:300]) from None


def parse_json(body: bytes, endpoint: str) -> Any:
    """JSON of a body.

    Raises:
        SourceNeedsHuman: `AnswerNotReadable`, for instance HTML of a login page.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        start = body[:40].decode("utf-8", "replace")
        raise SourceNeedsHuman(
            SourceReason.ANSWER_NOT_READABLE, f"{endpoint}: no JSON, starts with {start!r}"
        ) from error
