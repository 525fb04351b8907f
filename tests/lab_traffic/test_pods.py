"""In-service pods as an API server tells them, also while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from e2e.lab.client import Access
from e2e.lab.control_plane import ControlPlane
from e2e.lab.traffic.pods import Api, PodWatch, read_pod

FENCE = "wattshift.io/fenced"


def document(**status) -> dict:
    return {
        "metadata": {"uid": "u", "name": "p", "namespace": "n", "labels": {"app": "x"}},
        "spec": {"nodeName": "node", "containers": [{"ports": [{"containerPort": 8080}]}]},
        "status": status,
    }


def test_pod_without_status_is_neither_ready_nor_running() -> None:
    pod = read_pod(document(), 8000)
    assert (pod.ready, pod.running, pod.address, pod.terminating) == (False, False, "", False)


def test_port_is_the_containers_own_or_the_default() -> None:
    assert read_pod(document(podIP="127.1.1.1"), 8000).url == "http://127.1.1.1:8080"
    plain = document(podIP="127.1.1.1")
    plain["spec"] = {"containers": [{}]}
    assert read_pod(plain, 8000).url == "http://127.1.1.1:8000"


def test_deletion_timestamp_means_terminating() -> None:
    leaving = document(conditions=[{"type": "Ready", "status": "True"}])
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T00:00:00Z"
    pod = read_pod(leaving, 8000)
    assert pod.ready
    assert pod.terminating


class Watched:
    """A watch and the means to change what it sees."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.access, self.path = access, f"/api/v1/namespaces/{namespace}/pods"
        self.calls = 0

        def changed() -> None:
            self.calls += 1

        self.watch = PodWatch(
            Api.from_kubeconfig(access.kubeconfig),
            selector="app=engine",
            namespace=namespace,
            fence_label=FENCE,
            changed=changed,
        )

    def add(self, name: str, number: int, app: str = "engine") -> None:
        """A pod on a node, Ready at an address of its own."""
        container = {"name": "engine", "image": "x", "ports": [{"containerPort": 8000}]}
        spec = {"nodeName": "nowhere", "containers": [container]}
        spec["automountServiceAccountToken"] = False
        self.access.create(
            self.path, {"metadata": {"name": name, "labels": {"app": app}}, "spec": spec}
        )
        self.set_ready(name, True, number)

    def set_ready(self, name: str, ready: bool, number: int) -> None:
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        status = {"phase": "Running", "podIP": f"127.77.0.{number}", "conditions": [condition]}
        self.access.merge(f"{self.path}/{name}/status", {"status": status})

    async def serves(self, *names: str) -> None:
        """Wait until exactly these are in service."""
        async with asyncio.timeout(20):
            while {pod.name for pod in self.watch.in_service()} != set(names):
                await asyncio.sleep(0.05)


async def watched(access: Access, namespace: str) -> AsyncIterator[Watched]:
    access.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}}
    )
    found = Watched(access, namespace)
    task = asyncio.create_task(found.watch.run())
    await asyncio.wait_for(found.watch.synced.wait(), 20)
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def site(api_server: ControlPlane, namespace: str) -> AsyncIterator[Watched]:
    async for found in watched(api_server.access, namespace):
        yield found


@pytest.mark.lab
async def test_only_ready_pods_that_stay_and_are_not_fenced_serve(site: Watched) -> None:
    for number, name in enumerate(("a", "b", "c"), start=1):
        site.add(name, number)
    site.add("other", 9, app="database")
    await site.serves("a", "b", "c")
    site.set_ready("a", False, 1)
    await site.serves("b", "c")
    site.access.delete(f"{site.path}/b")
    await site.serves("c")
    site.access.merge(f"{site.path}/c", {"metadata": {"labels": {FENCE: "true"}}})
    await site.serves()
    site.access.merge(f"{site.path}/c", {"metadata": {"labels": {FENCE: None}}})
    site.set_ready("a", True, 1)
    await site.serves("a", "c")
    site.access.delete(f"{site.path}/b", gracePeriodSeconds="0")
    assert site.calls >= 8


@pytest.mark.lab
async def test_pods_stay_known_while_the_api_is_away_and_are_followed_afterwards(
    two_api_servers: tuple[ControlPlane, ControlPlane],
    make_namespace: Callable[[Access], str],
) -> None:
    member = two_api_servers[1]
    async for site in watched(member.access, make_namespace(member.access)):
        site.add("a", 1)
        await site.serves("a")
        await asyncio.to_thread(member.stop_api_server, kill=True)
        async with asyncio.timeout(20):
            while site.watch.connected:
                await asyncio.sleep(0.1)
        assert [pod.name for pod in site.watch.in_service()] == ["a"]
        await asyncio.to_thread(member.start_api_server)
        site.add("b", 2)
        await site.serves("a", "b")


def test_kubeconfig_gives_address_token_and_ca(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        """
current-context: it
contexts: [{name: it, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443/"}}]
users: [{name: u, user: {token: secret}}]
"""
    )
    api = Api.from_kubeconfig(path)
    assert api.server == "https://127.0.0.1:6443"
    assert api.headers == {"Authorization": "Bearer secret"}
