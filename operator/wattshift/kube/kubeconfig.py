"""Parsing kubeconfigs: hardened for Secrets that others wrote, lenient for the hub's own file.

A Secret's kubeconfig is data from outside: only fields on the lists below are accepted, so a field
that some later client honours is refused until somebody has thought about it (`kubernetes.md` 6.2).
Messages name the field and what to change; they never hold a value, nor YAML's own snippets.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import yaml

from wattshift.errors import NeedsHuman
from wattshift.kube.auth import Access, in_cluster
from wattshift.kube.hosts import host_allowed

INSECURE = "InsecureKubeConfig"
INVALID = "KubeConfigInvalid"
MAX_BYTES = 256 * 1024
_CLUSTER_FIELDS = frozenset(
    {"server", "certificate-authority-data", "tls-server-name", "disable-compression", "extensions"}
)
_USER_FIELDS = frozenset({"token", "client-certificate-data", "client-key-data", "extensions"})
_ADVICE = {
    "exec": "use a token or a client certificate; commands are never run",
    "auth-provider": "use a token or a client certificate",
    "tokenFile": "put the token itself into the Secret; files of the operator are never read",
    "client-certificate": "use client-certificate-data; files of the operator are never read",
    "client-key": "use client-key-data; files of the operator are never read",
    "certificate-authority": "use certificate-authority-data; files are never read",
    "username": "basic authentication is not supported; use a token",
    "password": "basic authentication is not supported; use a token",
    "insecure-skip-tls-verify": "give certificate-authority-data instead",
    "proxy-url": "remove it; connections go straight to the server",
    "as": "remove it; give the credential of the account itself",
}


def parse_secret_kubeconfig(data: bytes, *, allowed: tuple[str, ...]) -> Access:
    """Parse the kubeconfig of a credential Secret.

    Args:
        data: content of the Secret's key `kubeconfig`.
        allowed: hosts of the annotation `wattshift.io/allowed-hosts`.

    Raises:
        NeedsHuman: reason InsecureKubeConfig (it would do what must not be done) or KubeConfigInvalid
            (it cannot be used), with what to change and nothing of the content.
    """
    cluster, user, namespace = _entries(_load(data))
    _only("cluster", cluster, _CLUSTER_FIELDS)
    _only("user", user, _USER_FIELDS)
    url = _server(cluster)
    if url.scheme != "https":
        raise _refuse("server must be an https URL")
    if not host_allowed(url.netloc, allowed):
        raise _refuse(
            "the host of server is not in the Secret's annotation wattshift.io/allowed-hosts;"
            " add it there if that is where this credential belongs"
        )
    access = _access(cluster, user, url, namespace)
    if not access.token_text and access.cert_pem is None:
        raise _broken("user has neither token nor client-certificate-data with client-key-data")
    return access


def hub_access(env: Mapping[str, str], *, home: Path) -> Access:
    """Find the hub: $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    Raises:
        NeedsHuman: reason KubeConfigInvalid or TokenUnreadable.
    """
    if env.get("KUBECONFIG"):
        return load_hub_files([Path(p) for p in env["KUBECONFIG"].split(":") if p])
    return in_cluster(env) or load_hub_files([home / ".kube" / "config"])


def load_hub_files(
    paths: Sequence[Path],
    *,
    context: str = "",
    run_exec: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> Access:
    """Parse our own kubeconfig files, merged as kubectl does: of equal names the first wins.

    Args:
        paths: files; those that do not exist are left out.
        context: name of a context; empty = the current one.
        run_exec: turns a user's `exec` into its credential (`token`, `client-certificate-data`,
            `client-key-data`); None = such users are refused. For people's own shells only.
    """
    merged: dict[str, Any] = {"clusters": [], "users": [], "contexts": [], "current-context": ""}
    folder = None
    for path in paths:
        try:
            document = _load(path.read_bytes())
        except OSError:
            continue
        folder = folder or path.parent
        for section in ("clusters", "users", "contexts"):
            names = {e.get("name") for e in merged[section]}
            entries = document.get(section) or []
            merged[section] += [
                e for e in entries if isinstance(e, dict) and e.get("name") not in names
            ]
        merged["current-context"] = merged["current-context"] or document.get("current-context")
    merged["current-context"] = context or merged["current-context"]
    if folder is None:
        raise NeedsHuman(
            f"no kubeconfig at {', '.join(map(str, paths))}; set KUBECONFIG",
            reason=INVALID,
        )
    try:
        cluster, user, namespace = _entries(merged)
        if user.get("exec") and run_exec is not None:
            user = {**user, **run_exec(user["exec"]), "exec": None}
        if user.get("exec") or user.get("auth-provider"):
            raise _refuse(
                "exec and auth-provider credentials are not supported here yet; use a token"
            )
        if cluster.get("insecure-skip-tls-verify"):
            raise _refuse(
                "insecure-skip-tls-verify is not supported; give the certificate authority"
            )
        for target, key in (
            (cluster, "certificate-authority"),
            (user, "client-certificate"),
            (user, "client-key"),
        ):
            if target.get(key) and not target.get(f"{key}-data"):
                content = (folder / str(target[key])).read_bytes()
                target[f"{key}-data"] = base64.b64encode(content).decode()
        token_file = user.get("tokenFile")
        return _access(
            cluster,
            user,
            _server(cluster),
            namespace,
            folder / str(token_file) if token_file else None,
        )
    except OSError as error:
        raise NeedsHuman(f"kubeconfig: {error}", reason=INVALID) from error
    except NeedsHuman as error:
        raise NeedsHuman(error.message, reason=INVALID) from error


def _refuse(message: str) -> NeedsHuman:
    return NeedsHuman(f"kubeconfig: {message}", reason=INSECURE)


def _broken(message: str) -> NeedsHuman:
    return NeedsHuman(f"kubeconfig: {message}", reason=INVALID)


def _load(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise _broken(f"larger than {MAX_BYTES} bytes")
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        # NB: from None: YAML's own message quotes the text around the fault, which may be a token.
        raise _broken(f"not valid YAML{where}") from None
    if not isinstance(document, dict):
        raise _broken("not a YAML mapping")
    return document


def _entries(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return copies of the current context's cluster and user, and its namespace."""
    current = document.get("current-context")
    if not current or not isinstance(current, str):
        raise _broken("current-context is missing")
    context = _named(document, "contexts", "context", current)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    return cluster, user, str(context.get("namespace") or "default")


def _named(document: Mapping[str, Any], section: str, key: str, name: object) -> dict[str, Any]:
    entries = document.get(section)
    if not isinstance(entries, list):
        raise _broken(f"{section} is not a list")
    found = [e for e in entries if isinstance(e, dict) and e.get("name") == name]
    if len(found) != 1:
        raise _broken(f"{section} must have exactly one entry that the current context names")
    value = found[0].get(key)
    if not isinstance(value, dict):
        raise _broken(f"the named entry of {section} has no mapping {key}")
    return dict(value)


def _only(what: str, fields: dict[str, Any], accepted: frozenset[str]) -> None:
    for name, value in fields.items():
        if name in accepted or value in (None, "", False):
            continue
        advice = _ADVICE.get(
            str(name), _ADVICE["as"] if str(name).startswith("as-") else "remove it"
        )
        shown = name if name in _ADVICE or str(name).startswith("as-") else "an unknown field"
        raise _refuse(f"{what} has {shown}, which is not accepted: {advice}")


def _server(cluster: Mapping[str, Any]) -> SplitResult:
    server = cluster.get("server")
    try:
        url = urlsplit(server if isinstance(server, str) else "")
        port_is_sound = url.port is None or url.port > 0
    except ValueError:
        raise _broken("server is not a valid URL") from None
    if not url.hostname or not port_is_sound or url.scheme not in ("https", "http"):
        raise _broken("server is not a valid URL")
    if url.username is not None or url.password is not None:
        raise _refuse("server has a user or password in its URL; use a token")
    if url.query or url.fragment:
        raise _broken("server has a query or fragment in its URL; remove it")
    return url


def _access(
    cluster: Mapping[str, Any],
    user: Mapping[str, Any],
    url: SplitResult,
    namespace: str,
    token_path: Path | None = None,
) -> Access:
    cert, key = _pem(user, "client-certificate-data"), _pem(user, "client-key-data")
    if (cert is None) != (key is None):
        raise _broken("client-certificate-data and client-key-data must be given together")
    token = user.get("token") or ""
    if not isinstance(token, str) or not token.isascii() or any(c.isspace() for c in token):
        raise _broken("token is not plain text without blanks")
    return Access(
        server=f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}",
        ca_pem=_pem(cluster, "certificate-authority-data"),
        cert_pem=cert,
        key_pem=key,
        token_text=token,
        token_path=token_path,
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        namespace=namespace,
    )


def _pem(fields: Mapping[str, Any], name: str) -> bytes | None:
    value = fields.get(name)
    if not value:
        return None
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise _broken(f"{name} is not valid base64") from None
