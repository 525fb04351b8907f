"""Volumes of a pod as folders: ConfigMap, Secret, projected tokens, downward API, emptyDir.

Contents are refreshed while the pod runs, files replaced by rename. Without mount namespaces a
container finds them because paths in its command and variables are replaced (`real_path`).
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from pathlib import Path
from typing import Any

from e2e.lab.node.api import Api, Document, Refused
from e2e.lab.node.fields import field_value, resource_value

TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
SUPPORTED = ("configMap", "secret", "projected", "downwardAPI", "emptyDir", "hostPath")


class VolumeMissing(Exception):
    """A volume cannot be made yet (kubelet's FailedMount); the pod waits in ContainerCreating."""


class Volumes:
    """The volumes of one pod below `folder`."""

    def __init__(self, api: Api, pod: Document, folder: Path) -> None:
        self._api = api
        self._pod = pod
        self._folder = folder
        self._renew_at: dict[Path, float] = {}
        self.namespace: str = pod["metadata"]["namespace"]

    async def materialise(self) -> None:
        """Make or refresh all volumes. Raises VolumeMissing for absent sources."""
        for volume in self._pod["spec"].get("volumes") or []:
            place = self._folder / volume["name"]
            source = next((kind for kind in SUPPORTED if kind in volume), None)
            if source is None:
                kinds = ", ".join(k for k in volume if k != "name")
                raise VolumeMissing(f"volume {volume['name']}: {kinds} not supported here")
            if source == "hostPath":
                place.unlink(missing_ok=True)
                place.symlink_to(volume["hostPath"]["path"])
                continue
            place.mkdir(parents=True, exist_ok=True)
            if source == "projected":
                for part in volume["projected"].get("sources") or []:
                    await self._fill(place, part)
            elif source != "emptyDir":
                await self._fill(place, {source: volume[source]})

    def real_path(self, container: Document, path: str) -> Path | None:
        """Where a path inside the container really lies; None outside all mounts."""
        for mount in sorted(
            container.get("volumeMounts") or [], key=lambda m: -len(m["mountPath"])
        ):
            inside = mount["mountPath"].rstrip("/")
            if path == inside or path.startswith(inside + "/"):
                base: Path = self._folder / mount["name"]
                if mount.get("subPath"):
                    base /= mount["subPath"]
                return base / path[len(inside) :].lstrip("/")
        return None

    async def _fill(self, place: Path, source: Document) -> None:
        if "serviceAccountToken" in source:
            await self._token(place, source["serviceAccountToken"])
        elif "downwardAPI" in source:
            for item in source["downwardAPI"].get("items") or []:
                text = (
                    field_value(self._pod, item["fieldRef"]["fieldPath"])
                    if "fieldRef" in item
                    else resource_value(self._pod, item["resourceFieldRef"])
                )
                _write(place / item["path"], text.encode())
        elif "configMap" in source or "secret" in source:
            kind = "configMap" if "configMap" in source else "secret"
            await self._keys(place, kind, source[kind])

    async def _keys(self, place: Path, kind: str, source: Document) -> None:
        name = source.get("name") or source.get("secretName")
        plural = {"configMap": "configmaps", "secret": "secrets"}[kind]
        path = f"/api/v1/namespaces/{self.namespace}/{plural}/{name}"
        try:
            found = await self._api.get(path)
        except Refused as problem:
            if problem.code == 404 and source.get("optional"):
                return
            raise VolumeMissing(f'{kind} "{name}" not found ({problem.code})') from problem
        contents = {key: text.encode() for key, text in (found.get("data") or {}).items()}
        if kind == "secret":
            contents = {key: base64.b64decode(text) for key, text in contents.items()}
        for key, text in (found.get("binaryData") or {}).items():
            contents[key] = base64.b64decode(text)
        wanted = {item["key"]: item["path"] for item in source.get("items") or []}
        for key in wanted:
            if key not in contents and not source.get("optional"):
                raise VolumeMissing(f'{kind} "{name}" has no key {key}')
        files = {
            wanted.get(key, key): c for key, c in contents.items() if not wanted or key in wanted
        }
        for relative, content in files.items():
            _write(place / relative, content)

    async def _token(self, place: Path, source: Document) -> None:
        """A projected token, renewed after 80 % of its life as kubelet does."""
        path = place / source["path"]
        if path.exists() and time.time() < self._renew_at.get(path, 0):
            return
        meta, account = (
            self._pod["metadata"],
            self._pod["spec"].get("serviceAccountName", "default"),
        )
        spec: dict[str, Any] = {
            "expirationSeconds": source.get("expirationSeconds", 3600),
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "uid": meta["uid"],
            },
        }
        if source.get("audience"):
            spec["audiences"] = [source["audience"]]
        answer = await self._api.request(
            "POST",
            f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        _write(path, answer["status"]["token"].encode())
        self._renew_at[path] = time.time() + 0.8 * answer["spec"]["expirationSeconds"]

    def remove(self) -> None:
        """Remove the folders (logs lie elsewhere)."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step when its content differs; readable by the owner only."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    fresh.replace(path)
