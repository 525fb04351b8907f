"""Starts the process node of a cluster and finds its pods' folders and logs.

The node itself is the package `e2e.lab.node`, in a process of its own with its own credentials.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.lab import binaries
from e2e.lab.client import Document
from e2e.lab.control_plane import ControlPlane
from e2e.lab.leases import AddressBlock
from e2e.lab.node.config import ImageCommand, NodeConfig, standard_images
from e2e.lab.paths import REPOSITORY


class ProcessNode:
    """One node of `plane` whose pods are real processes on addresses 127.a.b.2-254.

    `images` come before the standard ones (product, engine, python, busybox).
    """

    def __init__(
        self,
        plane: ControlPlane,
        name: str = "process-node",
        *,
        resources: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        images: Sequence[ImageCommand] = (),
    ) -> None:
        self.plane = plane
        self.name = name
        self._resources = dict(resources or {})
        self._labels = dict(labels or {})
        self._images = (*images, *standard_images(REPOSITORY, binaries.find(binaries.ENGINE)))
        self._block: AddressBlock | None = None
        self.folder: Path = plane.workdir / f"{name}-pods"

    def start(self) -> ProcessNode:
        """Start it and wait until the node is Ready."""
        self._block = AddressBlock()
        access = self.plane.access_as("lab-node")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = NodeConfig(
            name=self.name,
            url=access.url,
            ca_file=str(access.ca_file),
            token=access.token,
            folder=str(self.folder),
            prefix=self._block.prefix,
            certificate=str(access.ca_file),
            certificate_key=str(access.ca_file.with_suffix(".key")),
            images=self._images,
            capacity=self._resources,
            labels=self._labels,
        )
        path = self.plane.workdir / f"{self.name}.json"
        config.write(path)
        command: list[str | Path] = [sys.executable, "-m", "e2e.lab.node", path]
        self.plane.attach(self.name, command, python_path=REPOSITORY)
        self.plane.wait_node_ready(self.name)
        return self

    def stop(self) -> None:
        """End it with all its containers; the Node object stays (and becomes NotReady)."""
        self.plane.detach(self.name)
        if self._block:
            self._block.release()
            self._block = None

    @property
    def prefix(self) -> str:
        """First three parts of its pods' addresses."""
        assert self._block is not None, "not started"
        return self._block.prefix

    def log(self, pod: Document | tuple[str, str], container: str | None = None) -> str:
        """All output of a pod's container (all runs in order; default: all containers).

        Works also after the pod is gone. Give the pod, or (namespace, name prefix).
        """
        if isinstance(pod, tuple):
            pattern = f"{pod[0]}_{pod[1]}*"
        else:
            meta = pod["metadata"]
            pattern = f"{meta['namespace']}_{meta['name']}_{meta['uid'][:8]}"
        files = sorted(self.folder.glob(f"{pattern}/logs/{container or '*'}/*.log"))
        return "".join(f.read_text(errors="replace") for f in files)
