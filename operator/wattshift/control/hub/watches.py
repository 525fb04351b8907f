"""Own watches of the hub beside kopf's: namespaces, ConfigMaps of the operator, and our own Lease.

kopf watches our three kinds only: under a namespaced Role it would loop on 403 for these. The Lease
is the canary: its renewals must come back through a watch, else `/livez` fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wattshift.control.serve.health import Progress
from wattshift.kube.cache import Informer, Key
from wattshift.kube.client import ClusterClient
from wattshift.kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, Json

CANARY = "watch-canary"
CANARY_STALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ConfigMapView:
    """What is kept of a ConfigMap."""

    labels: Mapping[str, str]
    content: Mapping[str, str]


def _labels(obj: Json) -> dict[str, str]:
    return dict(obj["metadata"].get("labels") or {})


class NamespaceLabels:
    """Labels of all namespaces, for `allowedNamespaces`."""

    name = "namespaces"

    def __init__(self, *, client: ClusterClient, on_change: Callable[[str], None]) -> None:
        self._informer: Informer[dict[str, str]] = Informer(
            client=client,
            resource=NAMESPACES,
            project=_labels,
            on_change=lambda key, _old, _new: on_change(key[1]),
        )

    @property
    def synced(self) -> bool:
        """Whether the first list is complete."""
        return self._informer.synced.is_set()

    async def wait_synced(self) -> None:
        """Return once the first list is complete."""
        await self._informer.synced.wait()

    def get(self, namespace: str) -> Mapping[str, str] | None:
        """Labels of a namespace; None = unknown (not synced, or no such namespace)."""
        return self._informer.get(namespace)

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._informer.run()


class OwnConfigMaps:
    """ConfigMaps of the operator's namespace: curves of `file` signals, power profiles."""

    name = "config-maps"

    def __init__(
        self, *, client: ClusterClient, namespace: str, on_change: Callable[[str], None]
    ) -> None:
        self._namespace = namespace
        self._informer: Informer[ConfigMapView] = Informer(
            client=client,
            resource=CONFIG_MAPS,
            namespace=namespace,
            project=lambda obj: ConfigMapView(_labels(obj), dict(obj.get("data") or {})),
            on_change=lambda key, _old, _new: on_change(key[1]),
        )

    @property
    def synced(self) -> bool:
        """Whether the first list is complete."""
        return self._informer.synced.is_set()

    def content(self, name: str) -> Mapping[str, str] | None:
        """`data` of a ConfigMap; None if there is none."""
        found = self._informer.get(name, self._namespace)
        return None if found is None else found.content

    def labelled(self, label: str) -> dict[str, Mapping[str, str]]:
        """`data` by name of the ConfigMaps that carry `label`."""
        return {
            key[1]: view.content
            for key, view in sorted(self._informer.objects.items())
            if label in view.labels
        }

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._informer.run()


class LeaseCanary:
    """Sees the renewals of our own Lease, written by the elector, through a watch."""

    name = CANARY

    def __init__(
        self,
        *,
        client: ClusterClient,
        namespace: str,
        lease_name: str,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._last = clock()
        self._informer: Informer[str] = Informer(
            client=client,
            resource=LEASES,
            namespace=namespace,
            field_selector=f"metadata.name={lease_name}",
            project=lambda obj: str(obj["metadata"]["resourceVersion"]),
            on_change=self._changed,
        )

    def age(self) -> float:
        """Seconds since a renewal was seen."""
        return self._clock() - self._last

    async def run(self) -> None:
        """Follow until cancelled."""
        self._progress.expect(CANARY, stall_seconds=CANARY_STALL_SECONDS)
        await self._informer.run()

    def _changed(self, _key: Key, _old: str | None, new: str | None) -> None:
        if new is not None:
            self._last = self._clock()
            self._progress.beat(CANARY)
