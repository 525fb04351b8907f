"""Where the credentials of member clusters come from: the hub itself, or a labelled Secret.

Resolving is immediate and has no side effect; whoever holds the result keeps the last good one
(`member.py`), because a restore must work after the Secret was deleted. ClusterProfile comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from wattshift.errors import NeedsHuman
from wattshift.kube.auth import Access
from wattshift.kube.kubeconfig import INSECURE, parse_secret_kubeconfig
from wattshift.kube.secrets import CredentialStore

KUBECONFIG_KEY = "kubeconfig"


class SourceType(StrEnum):
    """`spec.clusters[].type` of a PowerSite."""

    LOCAL = "Local"
    KUBECONFIG_SECRET = "KubeconfigSecret"  # noqa: S105 - a type, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSource:
    """How to reach one member cluster, as PowerSites say it."""

    type: SourceType
    secret_name: str = ""
    expected_uid: str = ""
    """kube-system UID recorded in the PowerSite's status; empty if never recorded."""
    extra_kinds: tuple[tuple[str, str], ...] = ()
    """(apiVersion, kind) of targets beyond Deployment, StatefulSet and LeaderWorkerSet."""
    namespaces: tuple[str, ...] = ()
    """Where targets are looked for; empty: everywhere, by the label."""

    def same_connection(self, other: MemberSource) -> bool:
        """Whether the connection can stay when this becomes `other`."""
        return (self.type, self.secret_name, self.extra_kinds, self.namespaces) == (
            other.type,
            other.secret_name,
            other.extra_kinds,
            other.namespaces,
        )


class Sources:
    """Resolves a `MemberSource` to an `Access`."""

    def __init__(self, *, hub: Access, credentials: CredentialStore | None) -> None:
        """`credentials=None`: an installation that has only the hub itself."""
        self._hub = hub
        self._credentials = credentials

    def resolve(self, source: MemberSource) -> Access:
        """Return address and credential.

        Raises:
            Transient: reason SecretsNotSynced.
            NeedsHuman: reason SecretNotFound, SecretKeyMissing, InsecureKubeConfig or KubeConfigInvalid; the message
                says what to change and holds nothing of the Secret.
        """
        if source.type is SourceType.LOCAL:
            return self._hub
        if self._credentials is None:
            raise NeedsHuman(
                "this installation reads no credential Secrets", reason="SecretNotFound"
            )
        record = self._credentials.secret(source.secret_name)
        data = record.content.get(KUBECONFIG_KEY)
        if data is None:
            raise NeedsHuman(
                f"Secret {source.secret_name} has no key {KUBECONFIG_KEY}",
                reason="SecretKeyMissing",
            )
        try:
            return parse_secret_kubeconfig(data, allowed=record.allowed)
        except NeedsHuman as error:
            raise NeedsHuman(
                f"Secret {source.secret_name}: {error.message}", reason=INSECURE
            ) from None

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener(secret_name)` when a Secret changes; returns the unsubscriber."""
        if self._credentials is None:
            return lambda: None
        return self._credentials.subscribe(listener)
