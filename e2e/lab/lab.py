"""A whole lab: several sites, the first of which is the hub; members connected as users would.

`Lab` starts the clusters; `install_hub` and `install_member` put the chart on them with exactly the
permissions that its values give.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from e2e.lab import install
from e2e.lab.client import Access, ApiError, Document, kubeconfig_text, wait_for
from e2e.lab.install import Installed
from e2e.lab.providers.base import Cluster, Provider, SiteSpec
from e2e.lab.providers.choose import choose_provider

SYSTEM_NAMESPACE = "wattshift-system"
MEMBER_ACCOUNT = "wattshift-hub"
DEFAULT_SITES = (
    SiteSpec("hub", {"nvidia.com/gpu": "16"}),
    SiteSpec("west", {"huawei.com/Ascend910": "16"}),
    SiteSpec("north", {"nvidia.com/gpu": "16"}),
)


class Lab:
    """N clusters, hub first; a context manager.

    with Lab() as lab:
        lab.install_hub(namespaces=["serving"])
        lab.install_member("west", namespaces=["serving"])
    """

    def __init__(
        self, sites: int | Sequence[SiteSpec] = 3, *, provider: Provider | None = None
    ) -> None:
        self._specs = _numbered(sites) if isinstance(sites, int) else list(sites)
        self._provider = provider or choose_provider()
        self.clusters: dict[str, Cluster] = {}
        self.releases: dict[str, Installed] = {}

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start all clusters and wait until they are usable."""
        self.clusters = {c.name: c for c in self._provider.create(self._specs)}
        return self

    def stop(self) -> None:
        """Remove everything."""
        self._provider.destroy()
        self.clusters = {}

    @property
    def hub(self) -> Cluster:
        """The first site."""
        return self.clusters[self._specs[0].name]

    @property
    def members(self) -> list[Cluster]:
        """The other sites."""
        return [self.clusters[s.name] for s in self._specs[1:]]

    @property
    def folder(self) -> Path:
        """Files of this lab."""
        return self._provider.folder

    def __getitem__(self, name: str) -> Cluster:
        return self.clusters[name]

    # -- the product -------------------------------------------------------------------

    def install_hub(
        self,
        *,
        namespaces: Sequence[str] = (),
        values: Document | None = None,
        wait: bool = True,
        timeout_seconds: int = 180,
    ) -> Installed:
        """The operator on the hub; `namespaces` (made if absent) are where it may scale there."""
        for namespace in namespaces:
            ensure_namespace(self.hub.access, namespace)
        chosen: Document = {
            "nodeSelector": self.hub.node_selector,
            "member": {"namespaces": list(namespaces)},
        }
        release = install.install(
            self.hub.access,
            namespace=SYSTEM_NAMESPACE,
            values=merged(chosen, values or {}),
            wait=wait,
            timeout_seconds=timeout_seconds,
        )
        self.releases[self.hub.name] = release
        return release

    def install_member(
        self,
        name: str,
        *,
        namespaces: Sequence[str] = (),
        values: Document | None = None,
        secret_name: str | None = None,
        revocable: bool = False,
    ) -> Access:
        """Open the member to the hub: account, the chart's member roles, a Secret on the hub.

        The Secret is named like the site unless told otherwise; with `revocable` its token dies
        when the Secret `wattshift-hub-token` on the member is deleted. Returns the account's access.
        """
        member = self.clusters[name]
        for namespace in (SYSTEM_NAMESPACE, *namespaces):
            ensure_namespace(member.access, namespace)
        accounts = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts"
        if not member.access.exists(f"{accounts}/{MEMBER_ACCOUNT}"):
            member.access.create(accounts, {"metadata": {"name": MEMBER_ACCOUNT}})
        subject = {"kind": "ServiceAccount", "name": MEMBER_ACCOUNT, "namespace": SYSTEM_NAMESPACE}
        chosen: Document = {
            "hub": {"enabled": False},
            "crds": {"enabled": False},
            "serviceAccount": {"create": False, "name": MEMBER_ACCOUNT},
            "member": {"namespaces": list(namespaces), "subjects": [subject]},
        }
        self.releases[name] = install.install(
            member.access, namespace=SYSTEM_NAMESPACE, values=merged(chosen, values or {})
        )
        access = self._member_access(member, revocable=revocable)
        self.write_member_secret(secret_name or name, access)
        return access

    def _member_access(self, member: Cluster, *, revocable: bool) -> Access:
        bound: Document | None = None
        if revocable:
            secrets = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets"
            member.access.delete(f"{secrets}/{MEMBER_ACCOUNT}-token")
            bound = member.access.create(secrets, {"metadata": {"name": f"{MEMBER_ACCOUNT}-token"}})
        token = member.access.service_account_token(
            SYSTEM_NAMESPACE, MEMBER_ACCOUNT, seconds=86_400, bound_secret=bound
        )
        path = self.folder / f"{member.name}.{MEMBER_ACCOUNT}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(
            kubeconfig_text(url=member.access.url, ca_file=member.access.ca_file, token=token)
        )
        return Access(member.access.url, member.access.ca_file, token, path)

    def write_member_secret(self, name: str, access: Access, *, url: str | None = None) -> None:
        """(Re)write the hub's kubeconfig Secret; `url` may lead through a proxy that adds delay."""
        address = url or access.url
        ensure_namespace(self.hub.access, SYSTEM_NAMESPACE)
        self.hub.access.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": SYSTEM_NAMESPACE,
                    "labels": {"wattshift.io/credential": "true"},
                    "annotations": {"wattshift.io/allowed-hosts": urlsplit(address).netloc},
                },
                "stringData": {
                    "kubeconfig": kubeconfig_text(
                        url=address, ca_file=access.ca_file, token=access.token
                    )
                },
            }
        )

    def operator_log(self) -> str:
        """Everything the operator's pods on the hub have said."""
        return self.hub.log(SYSTEM_NAMESPACE, "wattshift")


def ensure_namespace(access: Access, name: str, labels: dict[str, str] | None = None) -> None:
    """Create the namespace if absent and wait until pods may be made in it."""
    try:
        access.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
    except ApiError as problem:
        if problem.code != 409:
            raise
    root = f"/api/v1/namespaces/{name}"
    wait_for(
        f"namespace {name} usable",
        lambda: (
            access.exists(f"{root}/serviceaccounts/default")
            and access.exists(f"{root}/configmaps/kube-root-ca.crt")
        ),
    )


def merged(base: Document, over: Document) -> Document:
    """Deep merge of Helm values; `over` wins."""
    result: dict[str, Any] = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        result[key] = merged(inner, value) if both else value  # type: ignore[arg-type]
    return result


def _numbered(count: int) -> list[SiteSpec]:
    more = [SiteSpec(f"site-{number}") for number in range(len(DEFAULT_SITES) + 1, count + 1)]
    return [*DEFAULT_SITES[:count], *more]
