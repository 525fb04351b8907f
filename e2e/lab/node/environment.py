"""Command line and variables of a container, with references resolved and mount paths replaced."""

from __future__ import annotations

import base64
import os
import re
import sys
from pathlib import Path

from e2e.lab.client import write_kubeconfig
from e2e.lab.node.api import Api, Document, Refused
from e2e.lab.node.config import ImageCommand, NodeConfig
from e2e.lab.node.fields import field_value, resource_value
from e2e.lab.node.volumes import TOKEN_DIRECTORY, Volumes
from e2e.lab.process import MARK

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class ConfigMissing(Exception):
    """A variable's ConfigMap, Secret or key is absent (kubelet: CreateContainerConfigError)."""


def expand(text: str, variables: dict[str, str]) -> str:
    """Kubernetes' `$(NAME)`; unknown names stay as they are, `$$` is a dollar sign."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def replace_paths(text: str, container: Document, volumes: Volumes) -> str:
    """Every mention of a mount path becomes the folder that stands for it."""
    mounts = sorted(
        {m["mountPath"].rstrip("/") for m in container.get("volumeMounts") or []},
        key=len,
        reverse=True,
    )
    if not mounts:
        return text
    choices = "|".join(map(re.escape, mounts))
    # A path begins where the text begins or after a separator, and ends at a path boundary.
    pattern = re.compile(rf"(?<![A-Za-z0-9_./-])({choices})(?=$|[^A-Za-z0-9_.-])")
    return pattern.sub(lambda m: str(volumes.real_path(container, m[1])), text)


async def variables_of(
    api: Api, config: NodeConfig, pod: Document, container: Document, volumes: Volumes, folder: Path
) -> dict[str, str]:
    """The container's environment. Raises ConfigMissing.

    Starts from a small clean one: nothing of the lab's own environment but PATH and its mark.
    """
    image = config.image(container["image"])
    server = config.url.removeprefix("https://").rpartition(":")
    given = {
        "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "HOSTNAME": pod["metadata"]["name"],
        "POD_IP": pod["status"]["podIP"],
        "KUBERNETES_SERVICE_HOST": server[0],
        "KUBERNETES_SERVICE_PORT": server[2],
        MARK: os.environ.get(MARK, ""),
    }
    for name in ("TZ", "XDG_CACHE_HOME", "KUBEBUILDER_ASSETS"):
        if name in os.environ:
            given[name] = os.environ[name]
    for name, value in (image.environment if image else {}).items():
        given[name] = expand(value, given)
    given["TMPDIR"] = _temporary(container, volumes, folder)
    if kubeconfig := _kubeconfig(config, pod, container, volumes, folder):
        given["KUBECONFIG"] = kubeconfig
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        kind = "configMapRef" if "configMapRef" in source else "secretRef"
        found = await _keys(api, volumes.namespace, kind, source[kind])
        given.update({prefix + key: value for key, value in found.items()})
    for entry in container.get("env") or []:
        text = await _value(api, pod, container, volumes.namespace, entry, given)
        if text is not None:
            given[entry["name"]] = replace_paths(text, container, volumes)
    return given


def command_of(
    image: ImageCommand, container: Document, volumes: Volumes, variables: dict[str, str]
) -> list[str]:
    """The local command line of a container."""

    def words(key: str) -> list[str]:
        return [
            replace_paths(expand(word, variables), container, volumes)
            for word in container.get(key) or []
        ]

    return image.command(words("command"), words("args"))


def _temporary(container: Document, volumes: Volumes, folder: Path) -> str:
    place = volumes.real_path(container, "/tmp") or folder / "tmp"
    place.mkdir(parents=True, exist_ok=True)
    return str(place)


def _kubeconfig(
    config: NodeConfig, pod: Document, container: Document, volumes: Volumes, folder: Path
) -> str | None:
    """A kubeconfig for the pod's own token: what in-cluster configuration is in a real pod."""
    token = volumes.real_path(container, f"{TOKEN_DIRECTORY}/token")
    if token is None or not token.exists():
        return None
    path = folder / f"{container['name']}.kubeconfig"
    write_kubeconfig(
        path,
        url=config.url,
        ca_file=token.with_name("ca.crt"),
        token_file=token,
        namespace=pod["metadata"]["namespace"],
    )
    return str(path)


async def _value(
    api: Api,
    pod: Document,
    container: Document,
    namespace: str,
    entry: Document,
    so_far: dict[str, str],
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value", ""), so_far)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_value(pod, source["resourceFieldRef"], container)
    kind = "configMapKeyRef" if "configMapKeyRef" in source else "secretKeyRef"
    reference = source[kind]
    found = await _keys(api, namespace, kind, reference)
    if reference["key"] in found:
        return found[reference["key"]]
    if reference.get("optional"):
        return None
    raise ConfigMissing(f"{kind} {reference['name']} has no key {reference['key']}")


async def _keys(api: Api, namespace: str, kind: str, reference: Document) -> dict[str, str]:
    plural = "configmaps" if kind.startswith("configMap") else "secrets"
    try:
        found = await api.get(f"/api/v1/namespaces/{namespace}/{plural}/{reference['name']}")
    except Refused as problem:
        if problem.code == 404 and reference.get("optional"):
            return {}
        raise ConfigMissing(f'{plural} "{reference["name"]}" not found') from problem
    values: dict[str, str] = found.get("data") or {}
    if plural == "secrets":
        return {key: base64.b64decode(text).decode() for key, text in values.items()}
    return values
