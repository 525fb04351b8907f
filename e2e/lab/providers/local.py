"""Clusters as local processes: one control plane and one process node each. Linux, no Docker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.lab import binaries
from e2e.lab.audit import AuditLog
from e2e.lab.client import Access
from e2e.lab.control_plane import KWOK_LABEL, ControlPlane
from e2e.lab.process_node import ProcessNode
from e2e.lab.providers.base import Cluster, Provider, SiteSpec
from e2e.lab.workspace import Workspace

STARTS_AT_ONCE = 3


class LocalCluster(Cluster):
    """A control plane with its process node; `plane` and `node` for what only this one offers."""

    def __init__(self, plane: ControlPlane, spec: SiteSpec) -> None:
        self.plane = plane
        self.name = spec.name
        self.node = ProcessNode(
            plane, f"{spec.name}-node", resources=spec.accelerators, labels=spec.labels
        )

    def start(self) -> LocalCluster:
        """Start control plane and node; on failure the message has the ends of the logs."""
        try:
            self.plane.start()
            self.node.start()
        except Exception as problem:
            problem.add_note(self.plane.log_tails())
            raise
        return self

    @property
    def node_selector(self) -> dict[str, str]:
        return {KWOK_LABEL: "process"}

    @property
    def access(self) -> Access:
        return self.plane.access

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.plane.audit_log)

    def log(self, namespace: str, pod_prefix: str, container: str | None = None) -> str:
        return self.node.log((namespace, pod_prefix), container)

    def stop_api_server(self, *, kill: bool = False) -> None:
        self.plane.stop_api_server(kill=kill)

    def start_api_server(self) -> None:
        self.plane.start_api_server()

    def freeze(self) -> None:
        self.plane.freeze()

    def thaw(self) -> None:
        self.plane.thaw()


class LocalProvider(Provider):
    """The default where there is Go or a filled cache."""

    name = "local"

    def __init__(self) -> None:
        self._workspace: Workspace | None = None
        self._clusters: list[LocalCluster] = []

    def unavailable_reason(self) -> str | None:
        if sys.platform != "linux":
            return "the local lab needs Linux; use LAB=kind"
        return binaries.unavailable_reason(binaries.LAB_MODE)

    def create(self, sites: Sequence[SiteSpec]) -> list[Cluster]:
        binaries.ensure(binaries.LAB_MODE)
        self._workspace = workspace = Workspace.create()
        self._clusters = [
            LocalCluster(ControlPlane(site.name, workspace=workspace), site) for site in sites
        ]
        with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            return list(pool.map(LocalCluster.start, self._clusters))

    def destroy(self) -> None:
        for cluster in self._clusters:
            cluster.node.stop()
            cluster.plane.stop()
        self._clusters = []
        if self._workspace:
            self._workspace.close()

    @property
    def folder(self) -> Path:
        assert self._workspace is not None, "not created"
        return self._workspace.folder
