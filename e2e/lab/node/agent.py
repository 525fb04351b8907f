"""The node itself: its Node object and Lease, the watch of its pods, one worker per pod."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

from e2e.lab.node.api import Api, Document, Refused, Unreachable
from e2e.lab.node.config import DEFAULT_CAPACITY, NodeConfig
from e2e.lab.node.container import timestamp
from e2e.lab.node.pod import PodWorker

HEARTBEAT_SECONDS = 5.0
RETRY_SECONDS = 1.0


class Agent:
    """Runs until cancelled; the pods' processes end with it."""

    def __init__(self, api: Api, config: NodeConfig) -> None:
        self._api = api
        self._config = config
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._used: set[str] = set()
        self._addresses = self._cycle()

    @property
    def address(self) -> str:
        """The node's own address; its log server listens there."""
        return f"{self._config.prefix}.1"

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod by name (the newest one of that name)."""
        found = [w for w in self._workers.values() if (w.namespace, w.name) == (namespace, name)]
        return found[-1] if found else None

    async def run(self, log_port: int) -> None:
        """Register, then keep the Lease and follow the pods for ever."""
        await self._register(log_port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_for_ever())
            group.create_task(self._follow_for_ever())

    # -- node ------------------------------------------------------------------------

    async def _register(self, log_port: int) -> None:
        name = self._config.name
        capacity = {**DEFAULT_CAPACITY, **self._config.capacity}
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "wattshift.io/lab-node": "process",
            **self._config.labels,
        }
        node: Document = {"metadata": {"name": name, "labels": labels}, "spec": {}}
        now = timestamp()
        node["status"] = {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.address},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "process node is posting ready status",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "kubeletVersion": "wattshift-lab",
                "containerRuntimeVersion": "process://1",
                "bootID": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "",
                "osImage": "", "systemUUID": "",
            },
        }  # fmt: skip
        while True:
            try:
                with contextlib.suppress(Refused):  # there already: this agent was restarted
                    await self._api.request("POST", "/api/v1/nodes", node)
                await self._api.patch_status(
                    f"/api/v1/nodes/{name}/status", {"status": node["status"]}
                )
                return
            except (Refused, *Unreachable) as problem:
                print(f"cannot register yet: {problem}", flush=True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _renew_for_ever(self) -> None:
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        name = self._config.name
        while True:
            spec = {
                "holderIdentity": name,
                "leaseDurationSeconds": self._config.lease_seconds,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
            try:
                kind = "application/merge-patch+json"
                await self._api.request(
                    "PATCH", f"{path}/{name}", {"spec": spec}, content_type=kind
                )
            except Refused as problem:
                if problem.code == 404:
                    with contextlib.suppress(Refused, *Unreachable):
                        await self._api.request(
                            "POST", path, {"metadata": {"name": name}, "spec": spec}
                        )
            except Unreachable:
                pass  # the pods keep running; the next renewal will do
            with contextlib.suppress(Refused, *Unreachable):
                await self._stay_ready()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _stay_ready(self) -> None:
        """Say Ready again after the node controller gave the node up: an outage of the API server."""
        node = await self._api.get(f"/api/v1/nodes/{self._config.name}")
        rows = node.get("status", {}).get("conditions") or []
        if any(row["type"] == "Ready" and row["status"] == "True" for row in rows):
            return
        now = timestamp()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "process node is posting ready status",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        path = f"/api/v1/nodes/{self._config.name}/status"
        await self._api.patch_status(path, {"status": {"conditions": [ready]}})

    # -- pods ------------------------------------------------------------------------

    async def _follow_for_ever(self) -> None:
        query = {"fieldSelector": f"spec.nodeName={self._config.name}"}
        while True:
            try:
                listed = await self._api.get("/api/v1/pods", **query)
                self._reconcile(listed["items"])
                version = listed["metadata"]["resourceVersion"]
                while True:
                    async for event in self._api.watch("/api/v1/pods", version, **query):
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] == "DELETED":
                            self._gone(event["object"]["metadata"]["uid"])
                        elif event["type"] != "BOOKMARK":
                            self._seen(event["object"])
            except Refused as problem:
                if problem.code != 410:
                    print(f"watch refused: {problem}", flush=True)
            except Unreachable as problem:
                print(f"watch broken: {type(problem).__name__}: {problem}", flush=True)
            await asyncio.sleep(RETRY_SECONDS)

    def _reconcile(self, pods: list[Document]) -> None:
        for pod in pods:
            self._seen(pod)
        for uid in set(self._workers) - {pod["metadata"]["uid"] for pod in pods}:
            self._gone(uid)

    def _seen(self, pod: Document) -> None:
        uid = pod["metadata"]["uid"]
        if worker := self._workers.get(uid):
            worker.update(pod)
            return
        finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if finished and not pod["metadata"].get("deletionTimestamp"):
            return
        pod.setdefault("status", {})
        address = next(self._addresses)
        self._used.add(address)
        worker = PodWorker(
            self._api,
            self._config,
            pod,
            address=address,
            release_address=lambda: self._used.discard(address),
        )
        if pod["metadata"].get("deletionTimestamp"):
            worker.update(pod)
        self._workers[uid] = worker
        task = asyncio.create_task(self._serve(worker), name=f"pod {worker.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception as problem:  # one bad pod must not take the node with it
            print(f"pod {worker.namespace}/{worker.name}: {problem!r}", flush=True)
        finally:
            self._workers.pop(worker.uid, None)

    def _gone(self, uid: str) -> None:
        if worker := self._workers.get(uid):
            worker.vanish()

    def _cycle(self) -> Iterator[str]:
        """Addresses .2 to .254 in turn, so that a new pod rarely gets a fresh corpse's."""
        while True:
            free = False
            for last in range(2, 255):
                candidate = f"{self._config.prefix}.{last}"
                if candidate not in self._used:
                    free = True
                    yield candidate
            if not free:
                raise RuntimeError("no free pod address on this node")
