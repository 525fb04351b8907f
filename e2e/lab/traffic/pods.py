"""In-service engine pods of a site, watched through its Kubernetes API.

In service = Ready, an address, not terminating, not fenced. Independent of the product: plain HTTP
with the kubeconfig given. Keeps the last list while the API is away (engines serve on).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

WATCH_SECONDS = 240
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pod:
    """What traffic and plant need to know of one pod."""

    uid: str
    name: str
    namespace: str
    address: str
    port: int
    labels: Mapping[str, str] = field(hash=False)
    node: str
    running: bool
    ready: bool
    terminating: bool

    @property
    def url(self) -> str:
        """Base URL of its engine."""
        return f"http://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Api:
    """Address and credentials of one API server."""

    server: str
    headers: Mapping[str, str]
    ssl: ssl.SSLContext

    @classmethod
    def from_kubeconfig(cls, path: Path | str) -> Api:
        """Read the current context; token, tokenFile or client certificate files/data."""
        document = yaml.safe_load(Path(path).read_text())
        named = {
            kind: {item["name"]: item[kind] for item in document[f"{kind}s"]}
            for kind in ("cluster", "user", "context")
        }
        context = named["context"][document["current-context"]]
        cluster, user = named["cluster"][context["cluster"]], named["user"][context["user"]]
        tls = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=_decoded(cluster.get("certificate-authority-data")),
        )
        if "client-certificate" in user:
            tls.load_cert_chain(user["client-certificate"], user["client-key"])
        token = user.get("token") or (
            Path(user["tokenFile"]).read_text().strip() if "tokenFile" in user else ""
        )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return cls(cluster["server"].rstrip("/"), headers, tls)


def _decoded(data: str | None) -> str | None:
    return base64.b64decode(data).decode() if data else None


def read_pod(document: Mapping[str, Any], port: int) -> Pod:
    """Pod of an API document; `port` where its containers name none."""
    status, metadata = document.get("status", {}), document["metadata"]
    ports = [
        item["containerPort"]
        for container in document.get("spec", {}).get("containers", [])
        for item in container.get("ports", [])
    ]
    ended = status.get("phase") in {"Failed", "Succeeded"}
    conditions = {item["type"]: item["status"] for item in status.get("conditions", [])}
    return Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        address="" if ended else status.get("podIP", ""),
        port=ports[0] if ports else port,
        labels=metadata.get("labels", {}),
        node=document.get("spec", {}).get("nodeName", ""),
        running=status.get("phase") == "Running",
        ready=conditions.get("Ready") == "True",
        terminating="deletionTimestamp" in metadata,
    )


class PodWatch:
    """Pods by label at one API server, kept current by a watch; `changed` is called at each event."""

    def __init__(
        self,
        api: Api,
        *,
        selector: str,
        namespace: str = "",
        port: int = 8000,
        fence_label: str = "",
        changed: Callable[[], None] | None = None,
    ) -> None:
        self.pods: dict[str, Pod] = {}
        self.synced = asyncio.Event()
        """The first list has come."""
        self.connected = False
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        self._selector = selector
        self._port = port
        self._fence_label = fence_label
        self._changed = changed or (lambda: None)

    def in_service(self) -> list[Pod]:
        """Pods that may get requests now."""
        return [
            pod
            for pod in self.pods.values()
            if pod.ready
            and pod.address
            and not pod.terminating
            and not (self._fence_label and self._fence_label in pod.labels)
        ]

    async def run(self) -> None:
        """List and watch for ever; a lost API server keeps the last pods and is tried again."""
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=WATCH_SECONDS + 30)
        async with aiohttp.ClientSession(
            trust_env=False, timeout=timeout, read_bufsize=1 << 20
        ) as session:
            while True:
                with contextlib.suppress(
                    aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError
                ):
                    version = await self._list(session)
                    await self._watch(session, version)
                self.connected = False
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, session: aiohttp.ClientSession) -> str:
        async with session.get(
            self._api.server + self._path,
            params={"labelSelector": self._selector},
            headers=self._api.headers,
            ssl=self._api.ssl,
            timeout=aiohttp.ClientTimeout(total=10),
        ) as reply:
            reply.raise_for_status()
            document = await reply.json()
        pods = (read_pod(item, self._port) for item in document.get("items") or [])
        self.pods = {pod.uid: pod for pod in pods}
        self.connected = True
        self.synced.set()
        self._changed()
        return str(document["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, version: str) -> None:
        while True:
            async with session.get(
                self._api.server + self._path,
                params={
                    "labelSelector": self._selector,
                    "watch": "1",
                    "resourceVersion": version,
                    "allowWatchBookmarks": "true",
                    "timeoutSeconds": str(WATCH_SECONDS),
                },
                headers=self._api.headers,
                ssl=self._api.ssl,
            ) as reply:
                reply.raise_for_status()
                async for line in reply.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._apply(event)

    def _apply(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "BOOKMARK":
            return
        pod = read_pod(event["object"], self._port)
        if event["type"] == "DELETED":
            self.pods.pop(pod.uid, None)
        else:
            self.pods[pod.uid] = pod
        self._changed()
