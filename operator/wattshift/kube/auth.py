"""What is needed to talk to one API server: address, trust, credential. Nothing is ever printed.

`kubernetes.aio.config` is not used: it writes keys to temporary files, honours
insecure-skip-tls-verify, and swallows credential errors into anonymous calls (ADR 0020).
Neighbours: `kubeconfig.py` builds `Access` from bytes and files, `transport.py` uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wattshift.errors import NeedsHuman

TOKEN_REREAD_SECONDS = 60.0
SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Token:
    """A bearer token that may change: a fixed text, or a file that is read again each minute."""

    __slots__ = ("_clock", "_path", "_read_at", "_value")

    def __init__(
        self, *, value: str = "", path: Path | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._value = value
        self._path = path
        self._clock = clock
        self._read_at: float | None = None

    def __repr__(self) -> str:
        return "Token(<redacted>)"

    def get(self) -> str:
        """Return the current token; empty if there is none.

        Raises:
            NeedsHuman: reason TokenUnreadable, when the file cannot be read and none was read before.
        """
        if self._path is not None:
            now = self._clock() if self._clock else 0.0
            if self._read_at is None or now - self._read_at >= TOKEN_REREAD_SECONDS:
                self._read(now)
        return self._value

    def refresh(self) -> None:
        """Forget the cached value of a file: the server said 401."""
        self._read_at = None

    def _read(self, now: float) -> None:
        assert self._path is not None
        try:
            # NB: a projected token is a few hundred bytes on a tmpfs; a thread would cost more.
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            if self._value:
                return  # kubelet swaps the link; the old token is good for a while
            raise NeedsHuman(
                f"cannot read the token file {self._path}: {type(error).__name__}",
                reason="TokenUnreadable",
            ) from error
        if text:
            self._value = text
            self._read_at = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Address, trust and credential of one API server. Equality means: no need to reconnect."""

    server: str
    """Scheme, host and port, without a final slash."""
    ca_pem: bytes | None = field(default=None, repr=False)
    cert_pem: bytes | None = field(default=None, repr=False)
    key_pem: bytes | None = field(default=None, repr=False)
    token_text: str = field(default="", repr=False)
    token_path: Path | None = None
    tls_server_name: str = ""
    namespace: str = "default"
    """Namespace of the context, or of the pod's service account."""

    def token(self, clock: Callable[[], float]) -> Token:
        """Start a token holder; `clock` is monotonic seconds."""
        return Token(value=self.token_text, path=self.token_path, clock=clock)


def in_cluster(env: Mapping[str, str], *, folder: Path = SERVICE_ACCOUNT_FOLDER) -> Access | None:
    """Access by the pod's own service account; None outside a cluster.

    Raises:
        NeedsHuman: reason TokenUnreadable, when the mount is incomplete.
    """
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    try:
        ca_pem = (folder / "ca.crt").read_bytes()
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NeedsHuman(
            f"the service account mount {folder} is incomplete: {type(error).__name__};"
            " set automountServiceAccountToken or KUBECONFIG",
            reason="TokenUnreadable",
        ) from error
    return Access(
        server=f"https://{'[' + host + ']' if ':' in host else host}:{port}",
        ca_pem=ca_pem,
        token_path=folder / "token",
        namespace=namespace or "default",
    )
