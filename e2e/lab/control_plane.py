"""One real Kubernetes control plane on loopback ports: etcd, kube-apiserver and what runs it.

`api` mode is etcd + kube-apiserver (schemas, leases, apply); `full` adds controller-manager,
scheduler and kwok. RBAC, ServiceAccount admission and the audit log are always on.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from e2e.lab import binaries
from e2e.lab import control_plane_commands as commands
from e2e.lab.client import Access, ApiError, Document, wait_for, write_kubeconfig
from e2e.lab.control_plane_files import audit_policy, component_users, kwok_stages
from e2e.lab.keys import write_signing_key
from e2e.lab.leases import PortLease
from e2e.lab.process import Process, ProcessDied
from e2e.lab.workspace import Workspace

Mode = Literal["api", "full"]
READY_SECONDS = 90.0
KWOK_LABEL = commands.KWOK_LABEL


class ControlPlane:
    """A cluster by name: `start()`, use `access`, `stop()`. Also a context manager.

    `access` is cluster-admin; `access.as_service_account(...)` gives other identities. Its folder
    has `<process>.log` of each process, `audit.log` and `admin.kubeconfig`.
    """

    def __init__(
        self,
        name: str,
        *,
        mode: Mode = "full",
        workspace: Workspace | None = None,
        audit: bool = True,
    ) -> None:
        self.name = name
        self.mode: Mode = mode
        self.audit = audit
        self._owned = workspace is None
        self._workspace = workspace or Workspace.create(name)
        self.workdir: Path = self._workspace.folder / name
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._ports: dict[str, PortLease] = {}
        self._processes: dict[str, Process] = {}
        self._tokens = {user: secrets.token_urlsafe(24) for user in component_users()}
        self._paths: dict[str, Path] = {}

    # -- what users of a cluster need -------------------------------------------------

    @property
    def lab(self) -> str:
        """Id of the lab this cluster belongs to (the mark of its processes)."""
        return self._workspace.lab

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT`; the port stays the same over restarts of the API server."""
        return f"https://127.0.0.1:{self._ports['kube-apiserver'].port}"

    @property
    def ca_file(self) -> Path:
        """The API server's own serving certificate, which is also its CA."""
        return self.workdir / commands.CA

    @property
    def audit_log(self) -> Path:
        """JSON lines, one event each; `e2e.lab.audit` reads them."""
        return self.workdir / commands.AUDIT_LOG

    @property
    def signing_key(self) -> Path:
        """Key of the service-account tokens (`keys.signed_token` makes expired ones)."""
        return self.workdir / commands.SIGNING_KEY

    @property
    def access(self) -> Access:
        """Administrator's access."""
        return self.access_as("lab-admin")

    def access_as(self, user: str) -> Access:
        """Access as one of the static users (`lab-admin`, `lab-node`, ...)."""
        label = "admin" if user == "lab-admin" else user
        return Access(
            self.url, self.ca_file, self._tokens[user], self.workdir / f"{label}.kubeconfig"
        )

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig file."""
        return self.access.kubeconfig

    def kubectl(self, *arguments: str, **options: object) -> str:
        """See Access.kubectl."""
        return self.access.kubectl(*arguments, **options)  # type: ignore[arg-type]

    def processes(self) -> dict[str, Process]:
        """The running processes by name, for faults and for measuring."""
        return dict(self._processes)

    # -- life ------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> ControlPlane:
        """Start everything and wait until it is usable. Raises ProcessDied or TimeoutError.

        A lost race for a port is tried again with others.
        """
        self._paths = binaries.ensure(
            binaries.FULL_MODE if self.mode == "full" else binaries.API_MODE
        )
        self._write_files()
        for attempt in range(5):
            try:
                self._start_store()
                self.start_api_server()
                break
            except ProcessDied as problem:
                self._stop_all()
                if "address already in use" not in str(problem) or attempt == 4:
                    raise
        if self.mode == "full":
            self._start_controllers()
        return self

    def stop(self) -> None:
        """End all processes, the API server before etcd; the folder goes with its workspace."""
        self._stop_all()
        if self._owned:
            self._workspace.close()

    # -- faults ----------------------------------------------------------------------

    def start_api_server(self) -> None:
        """Start (again), on the same port, and wait for `/readyz`."""
        ports = self._port("kube-apiserver"), self._port("etcd")
        self._write_kubeconfigs()
        program = self._paths["kube-apiserver"]
        self._spawn(
            "kube-apiserver",
            commands.api_server(program, self.workdir, *ports, audit=self.audit),
        )

        def ready() -> bool:
            for name in ("etcd", "kube-apiserver"):
                self._processes[name].require_running()
            if not self.ca_file.exists():
                return False
            return self.access.get("/readyz").get("text") == "ok"

        wait_for(f"{self.name}: API server ready", ready, timeout_seconds=READY_SECONDS)

    def stop_api_server(self, *, kill: bool = False) -> None:
        """End only the API server: gracefully (at most 5 s), or at once with `kill`."""
        if server := self._processes.pop("kube-apiserver", None):
            server.stop(grace_seconds=0 if kill else 5.0)

    def freeze(self) -> None:
        """SIGSTOP the API server: it accepts connections and never answers."""
        self._processes["kube-apiserver"].freeze()

    def thaw(self) -> None:
        """SIGCONT the API server."""
        self._processes["kube-apiserver"].thaw()

    # -- companions ------------------------------------------------------------------

    def attach(
        self, name: str, command: list[str | Path], *, python_path: Path | None = None
    ) -> Process:
        """Run one more process that lives and dies with this cluster (a process node)."""
        extra = {"PYTHONPATH": str(python_path)} if python_path else {}
        process = Process(
            name, command, workdir=self.workdir, lab=self.lab, environment={**os.environ, **extra}
        )
        self._processes[name] = process
        return process

    def detach(self, name: str, *, grace_seconds: float = 10.0) -> None:
        """End an attached process; nothing happens when there is none of that name."""
        if process := self._processes.pop(name, None):
            process.stop(grace_seconds=grace_seconds)

    def log_tails(self, lines: int = 15) -> str:
        """The end of every process's log, for failure messages."""
        return "\n".join(
            f"--- {self.name}/{process.name} ---\n{process.log_tail(lines)}"
            for process in self._processes.values()
        )

    # -- parts -----------------------------------------------------------------------

    def _write_files(self) -> None:
        if not self.signing_key.exists():
            write_signing_key(self.signing_key)
        (self.workdir / commands.AUDIT_POLICY).write_text(audit_policy())
        (self.workdir / commands.STAGES).write_text(kwok_stages())
        tokens = self.workdir / commands.TOKENS
        tokens.touch(mode=0o600)
        tokens.write_text(
            "".join(
                f'{self._tokens[user]},{user},uid-{user},"{groups}"\n'
                for user, groups in component_users().items()
            )
        )

    def _port(self, name: str) -> int:
        if name not in self._ports:
            self._ports[name] = PortLease()
        return self._ports[name].port

    def _spawn(self, name: str, command: Sequence[str | Path]) -> Process:
        process = Process(name, command, workdir=self.workdir, lab=self.lab, environment=_plain())
        self._processes[name] = process
        return process

    def _start_store(self) -> None:
        shutil.rmtree(self.workdir / "etcd", ignore_errors=True)
        ports = self._port("etcd"), self._port("etcd-peer")
        self._spawn("etcd", commands.etcd(self._paths["etcd"], self.workdir, self.name, *ports))

    def _write_kubeconfigs(self) -> None:
        for user, label in (("lab-admin", "admin"), *((u, u) for u in component_users())):
            write_kubeconfig(
                self.workdir / f"{label}.kubeconfig",
                url=self.url,
                ca_file=self.ca_file,
                token=self._tokens[user],
            )

    def _start_controllers(self) -> None:
        for name, command in (
            ("kube-controller-manager", commands.controller_manager),
            ("kube-scheduler", commands.scheduler),
            ("kwok", commands.kwok),
        ):
            self._spawn(name, command(self._paths[name], self.workdir, self._port(name)))

        def usable() -> bool:
            for process in self._processes.values():
                process.require_running()
            root = "/api/v1/namespaces/default"
            return self.access.exists(f"{root}/serviceaccounts/default") and self.access.exists(
                f"{root}/configmaps/kube-root-ca.crt"
            )

        wait_for(f"{self.name}: controllers ready", usable, timeout_seconds=READY_SECONDS)

    def add_kwok_node(self, name: str, *, resources: dict[str, str] | None = None) -> Document:
        """A pretended node (label `wattshift.io/lab-node: kwok`) with these extra resources.

        For example `{"nvidia.com/gpu": "8"}`. Returns when kwok made it Ready.
        """
        capacity = {"cpu": "64", "memory": "512Gi", "pods": "250", **(resources or {})}
        node: Document = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {KWOK_LABEL: "kwok", "kubernetes.io/hostname": name},
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
            "spec": {},
            "status": {"capacity": capacity, "allocatable": capacity},
        }
        self.access.create("/api/v1/nodes", node)
        return self.wait_node_ready(name)

    def wait_node_ready(self, name: str, *, timeout_seconds: float = 60.0) -> Document:
        """The node once it is Ready and schedulable."""

        def ready() -> Document | None:
            node = self.access.get(f"/api/v1/nodes/{name}")
            conditions = node.get("status", {}).get("conditions") or []
            up = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            return node if up and not node["spec"].get("taints") else None

        found = wait_for(f"{self.name}: node {name}", ready, timeout_seconds=timeout_seconds)
        assert found is not None
        return found

    def _stop_all(self) -> None:
        # NB: etcd last: without it kube-apiserver does not exit on SIGTERM for minutes.
        for process in reversed(list(self._processes.values())):
            process.stop(grace_seconds=0)
        self._processes.clear()
        for lease in self._ports.values():
            lease.release()
        self._ports.clear()


def new_namespace(access: Access, prefix: str = "test") -> str:
    """Create a namespace with a fresh name; isolation between tests that share a server."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    access.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def drop_namespace(access: Access, name: str) -> None:
    """Delete a namespace without waiting (in `api` mode nothing finalizes it: harmless)."""
    try:
        access.delete(f"/api/v1/namespaces/{name}")
    except (ApiError, OSError):
        return  # a stopped server took the namespace with it


def _plain() -> dict[str, str]:
    """The environment of control plane processes: nothing that could redirect them.

    Go collects garbage when the heap has grown fourfold, not twofold: a tenth less CPU of tests that
    start many servers, for 100 MB more memory of each.
    """
    keep = ("PATH", "HOME", "TMPDIR", "LANG", "TZ")
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return kept | {"GOMAXPROCS": "2", "GOGC": "300"}
