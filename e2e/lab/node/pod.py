"""One pod on the process node, from bound to gone: volumes, init containers, containers, status."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import shutil
from collections.abc import Callable
from pathlib import Path

from e2e.lab.node.api import Api, Document, Refused, Unreachable
from e2e.lab.node.config import NodeConfig
from e2e.lab.node.container import ConfigurationError, Container, Prepared, timestamp
from e2e.lab.node.environment import ConfigMissing, command_of, variables_of
from e2e.lab.node.status import compose
from e2e.lab.node.volumes import VolumeMissing, Volumes

REFRESH_SECONDS = 5.0
RETRY_SECONDS = 1.0
GONE_GRACE_SECONDS = 2.0


class PodWorker:
    """Runs one pod; `update` feeds it the watched object, `run` ends when the pod is gone."""

    def __init__(
        self,
        api: Api,
        config: NodeConfig,
        pod: Document,
        *,
        address: str,
        release_address: Callable[[], None],
    ) -> None:
        self._api = api
        self._config = config
        self._pod = copy.deepcopy(pod)
        self._pod["status"]["podIP"] = address
        meta, spec = pod["metadata"], pod["spec"]
        self.namespace: str = meta["namespace"]
        self.name: str = meta["name"]
        self.uid: str = meta["uid"]
        self.address = address
        self._release_address = release_address
        self.folder = Path(config.folder) / f"{self.namespace}_{self.name}_{self.uid[:8]}"
        self._volumes = Volumes(api, self._pod, self.folder / "volumes")
        self._policy: str = spec.get("restartPolicy", "Always")
        self._grace = float(spec.get("terminationGracePeriodSeconds", 30))
        self._inits = [self._container(c) for c in spec.get("initContainers") or []]
        self._containers = [self._container(c) for c in spec["containers"]]
        self._started = pod["status"].get("startTime") or timestamp()
        self._initialized = not self._inits
        self._over = False
        self._waiting = ""
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._published: Document = {}
        self._doomed = asyncio.Event()
        self._vanished = False
        self._delete_grace = self._grace

    def _container(self, spec: Document) -> Container:
        old = self._pod["status"].get("containerStatuses") or []
        before: Document = next((c for c in old if c["name"] == spec["name"]), {})
        again = int("running" in (before.get("state") or {}))
        return Container(
            spec,
            address=self.address,
            folder=self.folder,
            prepare=self._prepare,
            changed=lambda: self._dirty.set(),
            grace_seconds=self._grace,
            backoff=(
                self._config.backoff_first,
                self._config.backoff_most,
                self._config.backoff_reset,
            ),
            restart_count=int(before.get("restartCount") or 0) + again,
        )

    # -- input -----------------------------------------------------------------------

    def update(self, pod: Document) -> None:
        """A newer version of the object: conditions of others count, deletion starts the end."""
        self._pod["status"]["conditions"] = pod["status"].get("conditions") or []
        self._pod["metadata"] = pod["metadata"]
        self._dirty.set()
        if pod["metadata"].get("deletionTimestamp"):
            seconds = pod["metadata"].get("deletionGracePeriodSeconds")
            self._delete_grace = self._grace if seconds is None else float(seconds)
            self._doomed.set()

    def vanish(self) -> None:
        """The object is gone from the API (forced deletion): end the processes, write nothing."""
        self._vanished = True
        self._delete_grace = min(self._delete_grace, GONE_GRACE_SECONDS)
        self._doomed.set()

    # -- life ------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the pod object is gone and no process of it is left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        publishing = asyncio.create_task(self._publish_for_ever())
        refreshing = asyncio.create_task(self._refresh_for_ever())
        life = asyncio.create_task(self._live())
        try:
            await self._doomed.wait()
            await self._end(life)
        finally:
            for task in (life, publishing, refreshing):
                task.cancel()
            await asyncio.gather(life, publishing, refreshing, return_exceptions=True)
            for container in (*self._inits, *self._containers):
                await container.terminate(0)
            self._release_address()
        if not self._vanished:
            await self._remove_object()
        self._volumes.remove()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)

    async def _live(self) -> None:
        await self._make_volumes()
        sidecars: list[asyncio.Task[int]] = []
        try:
            for container in self._inits:
                if container.spec.get("restartPolicy") == "Always":
                    sidecars.append(asyncio.create_task(container.supervise("Always")))
                    continue
                code = await container.supervise(
                    "Never" if self._policy == "Never" else "OnFailure"
                )
                if code:
                    return
            self._initialized = True
            self._dirty.set()
            async with asyncio.TaskGroup() as group:
                for container in self._containers:
                    group.create_task(container.supervise(self._policy))
        finally:
            for container in self._inits:
                await container.terminate(self._grace)
            await asyncio.gather(*sidecars, return_exceptions=True)
            self._over = True
            self._dirty.set()

    async def _end(self, life: asyncio.Task[None]) -> None:
        async with asyncio.TaskGroup() as group:
            for container in (*self._containers, *self._inits):
                group.create_task(container.terminate(self._delete_grace))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(life, 10)

    async def _make_volumes(self) -> None:
        while True:
            try:
                await self._volumes.materialise()
                self._waiting = ""
                return
            except (VolumeMissing, Refused, *Unreachable) as problem:
                self._waiting = f"FailedMount: {problem}"[:300]
                self._dirty.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _refresh_for_ever(self) -> None:
        """Changed ConfigMaps and Secrets arrive in the folders, tokens are renewed."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            with contextlib.suppress(VolumeMissing, Refused, *Unreachable):
                await self._volumes.materialise()

    async def _prepare(self, container: Document) -> Prepared:
        image = self._config.image(container["image"])
        if image is None:
            message = f'image "{container["image"]}" maps to no local command'
            raise ConfigurationError("ErrImagePull", message)
        if image.pull_seconds:
            await asyncio.sleep(image.pull_seconds)
        try:
            variables = await variables_of(
                self._api, self._config, self._pod, container, self._volumes, self.folder
            )
        except (ConfigMissing, Refused, *Unreachable) as problem:
            raise ConfigurationError("CreateContainerConfigError", str(problem)) from problem
        command = command_of(image, container, self._volumes, variables)
        if not command:
            raise ConfigurationError("RunContainerError", "no command given")
        return Prepared(command, variables)

    # -- output ----------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    async def _publish_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._publish():
                self._dirty.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _publish(self) -> bool:
        """Write the status if it changed; False when it must be tried again."""
        status = compose(
            self._pod,
            self._containers,
            self._inits,
            address=self.address,
            host=f"{self._config.prefix}.1",
            started=self._started,
            initialized=self._initialized,
            over=self._over,
            waiting=self._waiting,
        )
        if status == self._published or self._vanished:
            return True
        body = {"metadata": {"uid": self.uid}, "status": status}
        try:
            answer = await self._api.patch_status(f"{self._path}/status", body)
        except Refused as problem:
            if problem.code != 404:  # else gone; 409: another pod of the same name
                print(f"status of {self.namespace}/{self.name} refused: {problem}", flush=True)
            return problem.code in (404, 409, 422)
        except Unreachable:
            return False
        self._published = status
        self._pod["status"]["conditions"] = answer["status"].get("conditions") or []
        return True

    async def _remove_object(self) -> None:
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while not self._vanished:
            published = await self._publish()
            try:
                if published:
                    await self._api.request("DELETE", self._path, body)
                    return
            except Refused as problem:
                if problem.code in (404, 409):
                    return
            except Unreachable:
                pass
            await asyncio.sleep(RETRY_SECONDS)

    def log_file(self, container: str, *, previous: bool = False) -> Path | None:
        """The log of the container's current (or previous) run."""
        for found in (*self._containers, *self._inits):
            if found.name == container or not container:
                path = found.log_path(max(found.restart_count - int(previous), 0))
                return path if path.exists() else None
        return None
