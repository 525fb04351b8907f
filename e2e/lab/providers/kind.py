"""Clusters by `kind` in Docker: for people and public CI that have it. No faults, no audit log.

Needs `kind`, `docker` and kubectl; the product's image is loaded with `load_image`.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from e2e.lab.client import Access, write_kubeconfig
from e2e.lab.progress import ticking
from e2e.lab.providers.base import Cluster, Provider, SiteSpec

ADMIN = "wattshift-lab-admin"
TOKEN_LIFE = "24h"


class KindCluster(Cluster):
    """One kind cluster, reached with a token of a cluster-admin ServiceAccount."""

    def __init__(self, name: str, kind_name: str, folder: Path) -> None:
        self.name = name
        self.kind_name = kind_name
        self._folder = folder
        self._access: Access | None = None

    @property
    def node_selector(self) -> dict[str, str]:
        return {}

    @property
    def access(self) -> Access:
        assert self._access is not None, "not started"
        return self._access

    def start(self) -> None:
        """`kind create cluster`, then an administrator's token. Raises CalledProcessError."""
        own = self._folder / f"{self.name}.kind.kubeconfig"
        _run(
            "kind",
            "create",
            "cluster",
            "--name",
            self.kind_name,
            f"--kubeconfig={own}",
            "--wait=180s",
        )
        cluster = yaml.safe_load(own.read_text())["clusters"][0]["cluster"]
        ca_file = self._folder / f"{self.name}.ca.crt"
        ca_file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        first = Access(cluster["server"], ca_file, "", own)
        first.kubectl("create", "serviceaccount", ADMIN, "-n", "kube-system")
        first.kubectl(
            "create", "clusterrolebinding", ADMIN,
            "--clusterrole=cluster-admin", f"--serviceaccount=kube-system:{ADMIN}",
        )  # fmt: skip
        token = first.kubectl(
            "create", "token", ADMIN, "-n", "kube-system", f"--duration={TOKEN_LIFE}"
        ).strip()
        path = self._folder / f"{self.name}.kubeconfig"
        write_kubeconfig(path, url=cluster["server"], ca_file=ca_file, token=token, embed=True)
        self._access = Access(cluster["server"], ca_file, token, path)

    def log(self, namespace: str, pod_prefix: str, container: str | None = None) -> str:
        listed = self.access.kubectl("get", "pods", "-n", namespace, "-o", "name").split()
        which = ["-c", container] if container else ["--all-containers"]
        return "".join(
            self.access.kubectl("logs", pod, "-n", namespace, *which, check=False)
            for pod in listed
            if pod.removeprefix("pod/").startswith(pod_prefix)
        )

    def load_image(self, image: str) -> None:
        """Put a local Docker image onto the nodes."""
        _run("kind", "load", "docker-image", image, "--name", self.kind_name)


class KindProvider(Provider):
    """One kind cluster per site, made one after the other (they are heavy)."""

    name = "kind"

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._clusters: list[KindCluster] = []
        self._prefix = f"wattshift-{secrets.token_hex(3)}"

    def unavailable_reason(self) -> str | None:
        missing = [tool for tool in ("kind", "docker") if shutil.which(tool) is None]
        if missing:
            return f"{' and '.join(missing)} not found"
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False)
        return None if answer.returncode == 0 else "Docker does not answer"

    def create(self, sites: Sequence[SiteSpec]) -> list[Cluster]:
        self._folder = Path(tempfile.mkdtemp(prefix="wattshift-kind-"))
        for site in sites:
            cluster = KindCluster(site.name, f"{self._prefix}-{site.name}", self._folder)
            self._clusters.append(cluster)
            with ticking(f"kind cluster {cluster.kind_name}"):
                cluster.start()
        return list(self._clusters)

    def destroy(self) -> None:
        for cluster in self._clusters:
            subprocess.run(
                ["kind", "delete", "cluster", "--name", cluster.kind_name],
                capture_output=True,
                timeout=180,
                check=False,
            )
        self._clusters = []
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "not created"
        return self._folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
