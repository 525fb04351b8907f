"""Installs and uninstalls a chart through the real Helm (its Go SDK), hooks included.

Used for `charts/wattshift` on a cluster with a process node: the product then runs there with the
chart's own ServiceAccount and nothing more. Knows nothing of the product's values.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helm_python import Config, HelmNotFoundError

from e2e.lab.client import Access, Document
from e2e.lab.paths import REPOSITORY

CHART = REPOSITORY / "charts/wattshift"


@dataclass(frozen=True, slots=True)
class Installed:
    """One release on one cluster."""

    access: Access
    name: str
    namespace: str
    manifest: str

    def uninstall(self, *, timeout_seconds: int = 180) -> float:
        """`helm uninstall --wait`, pre- and post-delete hooks included; the seconds it took.

        Raises helm_python.HelmReleaseError when a hook fails or the time is over.
        """
        started = time.monotonic()
        with Config(kubeconfig_path=self.access.kubeconfig, namespace=self.namespace) as helm:
            helm.uninstall(self.name, timeout=timeout_seconds, wait="legacy")
        return time.monotonic() - started

    def upgrade(self, chart: Path, values: Document, *, timeout_seconds: int = 180) -> None:
        """`helm upgrade --wait` to a chart with values."""
        with Config(kubeconfig_path=self.access.kubeconfig, namespace=self.namespace) as helm:
            helm.upgrade(
                chart,
                self.name,
                values,
                namespace=self.namespace,
                timeout=timeout_seconds,
                wait="legacy",
            )

    def status(self) -> Document:
        """Helm's own summary of the release."""
        with Config(kubeconfig_path=self.access.kubeconfig, namespace=self.namespace) as helm:
            found: Document = helm.status(self.name)
        return found


def install(
    access: Access,
    *,
    chart: Path = CHART,
    name: str = "wattshift",
    namespace: str = "wattshift-system",
    values: dict[str, Any] | None = None,
    wait: bool = True,
    timeout_seconds: int = 180,
) -> Installed:
    """`helm upgrade --install --create-namespace --wait`.

    Raises helm_python.HelmError with Helm's message.
    """
    options: dict[str, Any] = {
        "namespace": namespace,
        "timeout": timeout_seconds,
        "wait": "legacy" if wait else "hookOnly",
    }
    with Config(kubeconfig_path=access.kubeconfig, namespace=namespace) as helm:
        try:
            helm.status(name)
        except HelmNotFoundError:
            release = helm.install(chart, name, values or {}, create_namespace=True, **options)
        else:
            release = helm.upgrade(chart, name, values or {}, **options)
    return Installed(access, name, namespace, str(release.get("manifest", "")))


@contextmanager
def installed(access: Access, **options: Any) -> Iterator[Installed]:
    """Install for the length of a block; uninstalls also when the block fails."""
    release = install(access, **options)
    try:
        yield release
    finally:
        release.uninstall()
