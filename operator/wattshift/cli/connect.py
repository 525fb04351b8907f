"""Where a command finds the hub: kubectl's flags, the kubeconfig, and one client per command.

Neighbours: `kube/kubeconfig.py` (parsing), `exec_credential.py` (credential commands).
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from wattshift.cli.exec_credential import run_exec
from wattshift.control.clock import SystemClock
from wattshift.control.config import DEFAULT_PATH
from wattshift.errors import NeedsHuman, WattshiftError
from wattshift.kube.auth import Access, in_cluster
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import NO_MESSAGE, ApiError
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.resources import (
    ENERGY_CONTRACTS,
    FLEXIBLE_WORKLOADS,
    POWER_SITES,
    Json,
    Resource,
)

_SELF_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_NAMES = {
    "fw": FLEXIBLE_WORKLOADS,
    "flexibleworkload": FLEXIBLE_WORKLOADS,
    "flexibleworkloads": FLEXIBLE_WORKLOADS,
    "psite": POWER_SITES,
    "powersite": POWER_SITES,
    "powersites": POWER_SITES,
    "econtract": ENERGY_CONTRACTS,
    "energycontract": ENERGY_CONTRACTS,
    "energycontracts": ENERGY_CONTRACTS,
}


class UsageError(NeedsHuman):
    """The command was asked wrongly; exit status 2."""

    default_reason = "Usage"


@dataclass(frozen=True, slots=True)
class ObjectName:
    """`fw/NAME` as people write it."""

    resource: Resource
    name: str

    @classmethod
    def parse(cls, text: str) -> ObjectName:
        """From `fw/NAME`, `psite/NAME`, `flexibleworkloads.wattshift.io/NAME`; for argparse."""
        kind, slash, name = text.partition("/")
        resource = _NAMES.get(kind.removesuffix(".wattshift.io").lower())
        if not slash or not name or resource is None:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not fw/NAME, psite/NAME or econtract/NAME"
            )
        return cls(resource, name)

    def __str__(self) -> str:
        return f"{self.resource.plural}.wattshift.io/{self.name}"


def add_hub_options(
    parser: argparse.ArgumentParser, *, namespace: bool = True, all_namespaces: bool = False
) -> None:
    """Kubectl's flags."""
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="kubeconfig of the hub")
    parser.add_argument("--context", default="", metavar="NAME", help="context of the kubeconfig")
    if namespace:
        parser.add_argument(
            "-n", "--namespace", default="", metavar="NAME", help="default: that of the context"
        )
    if all_namespaces:
        parser.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces")


def hub_access(options: argparse.Namespace) -> Access:
    """Access by the flags, $KUBECONFIG, the pod's service account, or ~/.kube/config.

    Raises:
        NeedsHuman: nothing usable was found.
    """
    paths = _paths(options)
    if not paths:
        access = in_cluster(os.environ)
        if access is not None and not options.context:
            return access
        paths = [Path.home() / ".kube" / "config"]
    return load_hub_files(paths, context=options.context, run_exec=run_exec)


def _paths(options: argparse.Namespace) -> list[Path]:
    given = options.kubeconfig or os.environ.get("KUBECONFIG", "")
    if options.kubeconfig:
        return [Path(given)]
    return [Path(part) for part in given.split(os.pathsep) if part]


@dataclass
class Hub:
    """One command's connection; use as `async with Hub(options) as hub`."""

    options: argparse.Namespace
    clock: SystemClock = field(default_factory=SystemClock)

    async def __aenter__(self) -> Self:
        self.access = hub_access(self.options)
        self.client = ClusterClient(name="hub", access=self.access, clock=self.clock.monotonic)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.close()

    @property
    def namespace(self) -> str:
        """The namespace that is asked for, else that of the context."""
        return getattr(self.options, "namespace", "") or self.access.namespace

    @property
    def scope(self) -> str | None:
        """The namespace to list; None = all."""
        return None if getattr(self.options, "all_namespaces", False) else self.namespace

    async def listed(self, resource: Resource, *, namespace: str | None = None) -> list[Json]:
        """All objects of a kind, complete with apiVersion and kind, ordered by name."""
        rows = (await self.client.list(resource, namespace=namespace)).items
        whole = [{"apiVersion": resource.api_version, "kind": resource.kind, **row} for row in rows]
        return sorted(whole, key=object_path)

    async def read(self, name: ObjectName) -> Json:
        """One object by its name."""
        return await self.client.get(
            name.resource,
            name.name,
            namespace=self.namespace if name.resource.namespaced else None,
        )

    async def user_name(self) -> str:
        """Who we are for the API server; the kubeconfig's own word where it may not be asked."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            status = await self.client.review(_SELF_REVIEW, body)
        except WattshiftError:
            status = {}
        found = str((status.get("userInfo") or {}).get("username") or "")
        return (found or self._context_user() or "unknown")[:128]

    def _context_user(self) -> str:
        for path in _paths(self.options) or [Path.home() / ".kube" / "config"]:
            try:
                document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
                wanted = self.options.context or document.get("current-context")
                rows = [row for row in document.get("contexts") or () if row["name"] == wanted]
                if rows:
                    return str(rows[0]["context"].get("user") or "")
            except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
                continue
        return ""


def hint(error: WattshiftError) -> str:
    """What to do about an error whose own words do not say it; empty = they do."""
    if isinstance(error, ApiError) and error.is_not_found and error.message.endswith(NO_MESSAGE):
        return (
            " (this cluster does not serve wattshift's kinds: is it the hub? Install the chart, or"
            " `wattshift crds | kubectl apply --server-side -f -`)"
        )
    return ""


def object_path(body: Json) -> str:
    """`namespace/name`, or `name`."""
    metadata = body["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def config_path(given: str) -> str:
    """The operator's settings file, if this process has one; else empty."""
    chosen = given or os.environ.get("WATTSHIFT_CONFIG", "")
    if chosen:
        return chosen
    return DEFAULT_PATH if Path(DEFAULT_PATH).is_file() else ""
