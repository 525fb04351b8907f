"""Installs and uninstalls a chart through the real Helm (its Go SDK), hooks included.

Used for `charts/wattshift` on a cluster with a process node: the product then runs there with the
chart's own ServiceAccount and nothing more. Knows nothing of the product's values.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from helm_python import Chart, Config, HelmNotFoundError
from helm_python import lint as helm_lint

from e2e.lab.client import Access, Document
from e2e.lab.paths import REPOSITORY

CHART = REPOSITORY / "charts/wattshift"
WARNING = 2
"""Helm's severities: 1 info, 2 warning, 3 error."""
SCHEMA_VERSION = "1.36"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML has it: CRDs are long."""


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


def lint(chart: Path = CHART, values: Document | None = None) -> list[str]:
    """Complaints: Helm's lint (warnings too), and the rendering against the API schemas."""
    report = helm_lint(chart, values)
    found = [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] >= WARNING]
    with Chart.load(chart) as loaded:
        rendered = loaded.render(values, name="wattshift", namespace="wattshift-system")
    for path, text in rendered.items():
        if path.endswith((".yaml", ".yml")):
            for document in yaml.load_all(text, Loader=_LOADER):
                found += _schema_complaints(path, document or {})
    return found


def _schema_complaints(path: str, document: Document) -> list[str]:
    if "kind" not in document:
        return []
    try:
        kubernetes_validate.validate(document, SCHEMA_VERSION, strict=True)
    except kubernetes_validate.ValidationError as problem:
        return [f"{path}: {document['kind']}: {problem.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return []  # other people's kinds, as ServiceMonitor
    return []


def main(arguments: list[str]) -> int:
    """`python -m e2e.lab.install lint [CHART]`."""
    if arguments[:1] != ["lint"] or len(arguments) > 2:
        print(main.__doc__, file=sys.stderr)
        return 2
    chart = Path(arguments[1]) if arguments[1:] else CHART
    complaints = lint(chart)
    print("\n".join(complaints) or f"{chart}: no complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
