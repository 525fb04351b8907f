"""What a scenario may ask of a cluster, wherever it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2e.lab.audit import AuditLog
from e2e.lab.client import Access


class NotOffered(RuntimeError):
    """This provider cannot do that; scenarios that need it skip with this message."""


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """What one site's cluster should have.

    `accelerators` is the extended resource of its node that runs engines: `{"nvidia.com/gpu": "8"}`.
    """

    name: str
    accelerators: dict[str, str] = field(default_factory=lambda: {"nvidia.com/gpu": "8"})
    labels: dict[str, str] = field(default_factory=dict)


class Cluster(ABC):
    """One running cluster. `access` is cluster-admin."""

    name: str

    @property
    @abstractmethod
    def node_selector(self) -> dict[str, str]:
        """Puts pods on nodes where they really run."""

    @property
    @abstractmethod
    def access(self) -> Access:
        """Administrator's access."""

    @property
    def audit(self) -> AuditLog:
        """The cluster's audit log. Raises NotOffered."""
        raise NotOffered(f"{self.name}: no audit log on this provider")

    @abstractmethod
    def log(self, namespace: str, pod_prefix: str, container: str | None = None) -> str:
        """Output of the pods whose names begin so."""

    def stop_api_server(self, *, kill: bool = False) -> None:
        """Take the API server away; workloads keep running. Raises NotOffered."""
        raise NotOffered(f"{self.name}: API server faults need the local provider")

    def start_api_server(self) -> None:
        """Bring it back on the same address. Raises NotOffered."""
        raise NotOffered(f"{self.name}: API server faults need the local provider")

    def freeze(self) -> None:
        """The API server accepts connections and answers nothing. Raises NotOffered."""
        raise NotOffered(f"{self.name}: API server faults need the local provider")

    def thaw(self) -> None:
        """End a freeze. Raises NotOffered."""
        raise NotOffered(f"{self.name}: API server faults need the local provider")


class Provider(ABC):
    """Makes and removes the clusters of one lab."""

    name: str

    @abstractmethod
    def unavailable_reason(self) -> str | None:
        """One line for the user when this machine cannot do it, else None."""

    @abstractmethod
    def create(self, sites: Sequence[SiteSpec]) -> list[Cluster]:
        """Start the clusters, in parallel where possible; all usable on return."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove everything `create` made; safe to call twice and after a failed `create`."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Files of this lab: logs, kubeconfigs."""
