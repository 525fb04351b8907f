"""Acceptance of an object: its own findings, and references resolved among all that is known.

The expensive part (comparing every workload with every other) is an index of claimed targets, kept
per store revision. Neighbours: `api/references.py` judges, the reconcilers publish the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wattshift.api.energycontract import EnergyContract
from wattshift.api.findings import Finding
from wattshift.api.flexibleworkload import FlexibleWorkload, FlexibleWorkloadSpec
from wattshift.api.powersite import PowerSite
from wattshift.api.reasons import SpecReason
from wattshift.api.references import Others, check_references
from wattshift.api.site_status import PowerSiteStatus
from wattshift.control.config import Config
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.store import Acceptance, Store, Stored
from wattshift.control.inputs.gather_workload import target_key
from wattshift.control.record.status import StatusBook
from wattshift.core.contract.errors import ContractError

_MAX_FINDINGS = 3
NamespaceLabels = Callable[[str], Mapping[str, str] | None]
_Claim = tuple[str, str, str, str, str]
"""namespace, site, cluster, kind, name."""


class Resolver:
    """Judges objects against everything in the store."""

    def __init__(
        self,
        *,
        store: Store,
        book: StatusBook,
        contracts: Contracts,
        config: Config,
        namespace_labels: NamespaceLabels,
    ) -> None:
        self._store = store
        self._book = book
        self._contracts = contracts
        self._labels = namespace_labels
        self._currency = config.reporting_currency
        self._convertible = frozenset(row.currency for row in config.exchange_rates)
        self._revision = -1
        self._contracts_by_name: dict[str, EnergyContract] = {}
        self._claims: dict[_Claim, list[ObjectKey]] = {}

    def judge(self, stored: Stored) -> Acceptance:
        """Whether this object may be acted on, and what to change if not."""
        findings = list(stored.findings)
        if stored.resource is not None and not findings:
            findings = self._references(stored)
        if not findings and isinstance(stored.resource, EnergyContract):
            findings = self._contract(stored)
        if findings:
            return Acceptance(
                accepted=False,
                reason=str(findings[0].reason),
                message=_words(findings),
                generation=stored.generation,
            )
        return Acceptance(
            accepted=True,
            reason=SpecReason.VALID.value,
            message="spec and references are valid",
            generation=stored.generation,
        )

    def workloads_at(self, site_name: str) -> tuple[ObjectKey, ...]:
        """Workloads with a placement at a site."""
        self._refresh()
        found = {
            key: None
            for claim, keys in self._claims.items()
            if claim[1] == site_name
            for key in keys
        }
        return tuple(found)

    def rivals_of(self, stored: Stored) -> tuple[ObjectKey, ...]:
        """Other workloads that name one of its targets."""
        self._refresh()
        found = {
            key: None
            for claim in _claims(stored)
            for key in self._claims.get(claim, ())
            if key != stored.key
        }
        return tuple(found)

    def _references(self, stored: Stored) -> list[Finding]:
        self._refresh()
        workloads: dict[str, FlexibleWorkload] = {}
        labels: dict[str, Mapping[str, str]] = {}
        resource: Any = stored.resource
        if isinstance(resource, FlexibleWorkload):
            for key in self.rivals_of(stored):
                other = self._store.get(key)
                if other is not None and isinstance(other.resource, FlexibleWorkload):
                    workloads[key.path] = other.resource
            known = self._labels(stored.key.namespace)
            if known is not None:
                labels[stored.key.namespace] = known
        sites = self._sites()
        if isinstance(resource, PowerSite):
            resource = sites[stored.key.name]
        others = Others(
            sites=sites,
            contracts=self._contracts_by_name,
            workloads=workloads,
            namespace_labels=labels,
            reporting_currency=self._currency,
            convertible=self._convertible,
        )
        return check_references(resource, others)

    def _contract(self, stored: Stored) -> list[Finding]:
        try:
            self._contracts.of(stored)
        except ContractError as error:
            return [Finding(error.reason, f"spec.{error.path}", error.message)]
        return []

    def _sites(self) -> dict[str, PowerSite]:
        """Sites by name, with the cluster identities that were recorded."""
        sites = {}
        for stored in self._store.sites():
            if isinstance(stored.resource, PowerSite):
                clusters = list(self._book.site(stored.key).clusters)
                status = PowerSiteStatus(clusters=clusters) if clusters else None
                sites[stored.key.name] = stored.resource.model_copy(update={"status": status})
        return sites

    def _refresh(self) -> None:
        if self._revision == self._store.revision:
            return
        self._revision = self._store.revision
        self._contracts_by_name = {
            stored.key.name: stored.resource
            for stored in self._store.contracts()
            if isinstance(stored.resource, EnergyContract)
        }
        self._claims = {}
        for stored in self._store.workloads():
            for claim in _claims(stored):
                self._claims.setdefault(claim, []).append(stored.key)


def _claims(stored: Stored) -> list[_Claim]:
    spec = stored.spec
    if not isinstance(spec, FlexibleWorkloadSpec):
        return []
    claims = []
    for row in spec.placements:
        target = target_key(stored.key.namespace, spec, row)
        kind, name = (target.kind, target.name) if target is not None else ("", "")
        claims.append((stored.key.namespace, row.site_name, row.cluster_name, kind, name))
    return claims


def _words(findings: list[Finding]) -> str:
    words = "; ".join(str(finding) for finding in findings[:_MAX_FINDINGS])
    more = len(findings) - _MAX_FINDINGS
    return f"{words}; and {more} more" if more > 0 else words
