"""Command lines of the control plane's processes; pure functions of folder and ports.

Everything listens on 127.0.0.1. File names below are relative to the cluster's folder.
"""

from __future__ import annotations

from pathlib import Path

CA = "certificates/apiserver.crt"
SIGNING_KEY = "service-account.key"
TOKENS = "tokens.csv"
AUDIT_POLICY = "audit-policy.yaml"
AUDIT_LOG = "audit.log"
STAGES = "stages.yaml"
ISSUER = "https://lab.wattshift.io"
KWOK_LABEL = "wattshift.io/lab-node"
_AUDIT_MEGABYTES = 4096  # never rotated: readers want one file

Command = list[str | Path]


def etcd(program: Path, folder: Path, name: str, client_port: int, peer_port: int) -> Command:
    """A store without durability: a lab's data dies with it."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        program,
        f"--name={name}",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={name}={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(program: Path, folder: Path, port: int, etcd_port: int, *, audit: bool) -> Command:
    """RBAC and ServiceAccount admission as in a real cluster; it makes its own certificate."""
    command: Command = [
        program,
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # EndpointSlices refuse loopback addresses
        f"--cert-dir={(folder / CA).parent}",
        f"--token-auth-file={folder / TOKENS}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={folder / SIGNING_KEY}",
        f"--service-account-signing-key-file={folder / SIGNING_KEY}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    if audit:
        command += [
            f"--audit-policy-file={folder / AUDIT_POLICY}",
            f"--audit-log-path={folder / AUDIT_LOG}",
            f"--audit-log-maxsize={_AUDIT_MEGABYTES}",
            "--audit-log-mode=blocking",
        ]
    return command


def controller_manager(program: Path, folder: Path, port: int) -> Command:
    """Each controller acts under its own account, so the audit log tells them apart."""
    return [
        program,
        f"--kubeconfig={folder / 'system:kube-controller-manager.kubeconfig'}",
        f"--root-ca-file={folder / CA}",
        f"--service-account-private-key-file={folder / SIGNING_KEY}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'controller-certificates'}",
        "--node-monitor-grace-period=50s",
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--profiling=false",
    ]


def scheduler(program: Path, folder: Path, port: int) -> Command:
    """The default scheduler."""
    return [
        program,
        f"--kubeconfig={folder / 'system:kube-scheduler.kubeconfig'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'scheduler-certificates'}",
        "--profiling=false",
    ]


def kwok(program: Path, folder: Path, port: int) -> Command:
    """Manages only nodes that ask for it; leases keep them Ready."""
    return [
        program,
        f"--kubeconfig={folder / 'lab-kwok.kubeconfig'}",
        f"--manage-nodes-with-label-selector={KWOK_LABEL}=kwok",
        "--node-lease-duration-seconds=40",
        "--node-ip=10.99.0.1",
        f"--server-address=127.0.0.1:{port}",
        f"--config={folder / STAGES}",
    ]
