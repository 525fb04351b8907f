"""Labelled Secrets of the credentials namespace, followed by an own watch, never printed.

A value leaves only for a host that the Secret's own annotation allows (`hosts.py`). Neighbours:
`sources.py` reads kubeconfigs here, the adapters read their keys through `get`.
"""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wattshift.errors import NeedsHuman, Transient
from wattshift.kube.cache import Informer, Key
from wattshift.kube.client import ClusterClient
from wattshift.kube.hosts import (
    ALLOWED_HOSTS_ANNOTATION,
    CREDENTIAL_LABEL,
    allowed_hosts,
    has_credential_label,
    host_allowed,
)
from wattshift.kube.resources import SECRETS, Json

OnSecret = Callable[[str], None]
"""Called with the name of a Secret that came, changed or went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRecord:
    """One labelled Secret. Its content is never part of a repr."""

    name: str
    resource_version: str
    allowed: tuple[str, ...]
    content: Mapping[str, bytes] = field(repr=False)


def project_secret(obj: Json) -> SecretRecord | None:
    """Project a Secret; None without the credential label. Undecodable keys are left out."""
    metadata = obj["metadata"]
    if not has_credential_label(metadata):
        return None
    content: dict[str, bytes] = {}
    for key, value in (obj.get("data") or {}).items():
        try:
            content[str(key)] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError):
            continue
    return SecretRecord(
        name=metadata["name"],
        resource_version=str(metadata.get("resourceVersion") or ""),
        allowed=allowed_hosts(metadata),
        content=content,
    )


class CredentialStore:
    """Labelled Secrets of one namespace. Run `run` as a task; read at any time."""

    def __init__(
        self, *, client: ClusterClient, namespace: str, rng: random.Random | None = None
    ) -> None:
        self.namespace = namespace
        self._listeners: list[OnSecret] = []
        self._informer: Informer[SecretRecord] = Informer(
            client=client,
            resource=SECRETS,
            project=project_secret,
            namespace=namespace,
            label_selector=CREDENTIAL_LABEL,
            on_change=self._changed,
            rng=rng,
        )
        self.synced = self._informer.synced
        """Set once the first list is complete."""

    def __repr__(self) -> str:
        return f"CredentialStore({self.namespace})"

    async def run(self) -> None:
        """Follow the Secrets until cancelled."""
        await self._informer.run()

    @property
    def failure(self) -> Exception | None:
        """Why the Secrets cannot be followed now, if so."""
        return self._informer.failure

    def subscribe(self, listener: OnSecret) -> Callable[[], None]:
        """Call `listener(name)` on every change; returns the unsubscriber."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def secret(self, name: str) -> SecretRecord:
        """Return one labelled Secret.

        Raises:
            Transient: reason SecretsNotSynced, before the first list.
            NeedsHuman: reason SecretNotFound.
        """
        found = self._informer.get(name, self.namespace)
        if found is not None:
            return found
        if not self.synced.is_set():
            raise Transient("the credential Secrets are not read yet", reason="SecretsNotSynced")
        raise NeedsHuman(
            f"no Secret {name} with the label {CREDENTIAL_LABEL} in namespace {self.namespace}",
            reason="SecretNotFound",
        )

    def get(self, name: str, key: str, host: str) -> str:
        """Return the value of one key for requests to `host` (`name` or `name:port`).

        Surrounding white space is removed: files made by editors end with a newline.

        Raises:
            Transient: reason SecretsNotSynced, before the first list.
            NeedsHuman: reason SecretNotFound, HostNotAllowed, SecretKeyMissing or SecretNotText.
        """
        record = self.secret(name)
        if not host_allowed(host, record.allowed):
            raise NeedsHuman(
                f"Secret {name} is not for host {host}: add it to its annotation"
                f" {ALLOWED_HOSTS_ANNOTATION} if it may be sent there",
                reason="HostNotAllowed",
            )
        if key not in record.content:
            raise NeedsHuman(f"Secret {name} has no key {key}", reason="SecretKeyMissing")
        try:
            return record.content[key].decode("utf-8").strip()
        except UnicodeDecodeError:
            raise NeedsHuman(
                f"key {key} of Secret {name} is not text", reason="SecretNotText"
            ) from None

    def _changed(self, key: Key, _old: SecretRecord | None, _new: SecretRecord | None) -> None:
        for listener in tuple(self._listeners):
            listener(key[1])
