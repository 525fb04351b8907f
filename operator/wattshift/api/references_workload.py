"""References of a FlexibleWorkload: sites, namespaces, origins, data boundary, who has a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wattshift.api.endpoints import LabelSelector, SignalRef
from wattshift.api.findings import Finding, known
from wattshift.api.flexibleworkload import FlexibleWorkload
from wattshift.api.powersite import PowerSite
from wattshift.api.precedence import no_site, older
from wattshift.api.reasons import ReferenceReason
from wattshift.api.signals import Quantity
from wattshift.api.site_clusters import NamespacesFrom
from wattshift.api.validate_workload import target_of


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil a selector, as Kubernetes judges it."""
    if any(labels.get(name) != value for name, value in selector.match_labels.items()):
        return False
    for requirement in selector.match_expressions:
        value = labels.get(requirement.key)
        held = {
            "In": value in requirement.values,
            "NotIn": value not in requirement.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[requirement.operator]
        if not held:
            return False
    return True


def _allowed(site: PowerSite, labels: Mapping[str, str] | None) -> bool:
    allowed = site.spec.allowed_namespaces
    if allowed.from_ is NamespacesFrom.ALL:
        return True
    return labels is not None and allowed.selector is not None and matches(allowed.selector, labels)


def _targets(workload: FlexibleWorkload) -> dict[tuple[str, ...], str]:
    """Identity of each target -> placement. Versions of an API group name the same object."""
    return {
        (
            placement.site_name,
            placement.cluster_name,
            target.api_version.rpartition("/")[0],
            target.kind,
            target.name,
        ): placement.name
        for placement in workload.spec.placements
        if (target := target_of(workload.spec, placement)) is not None
    }


def _backlog(
    reference: SignalRef | None, path: str, sites: Mapping[str, PowerSite]
) -> Iterator[Finding]:
    if reference is None:
        return
    site = sites.get(reference.site_name)
    if site is None:
        yield no_site(reference.site_name, f"{path}.siteName", sites)
        return
    fitting = [
        signal.name for signal in site.spec.signals if signal.quantity is Quantity.BACKLOG_UNITS
    ]
    if reference.signal_name not in fitting:
        yield Finding(
            ReferenceReason.SITE_SIGNAL_UNKNOWN,
            f"{path}.signalName",
            f"PowerSite {site.key} has no BacklogUnits signal {reference.signal_name}: "
            f"{known(fitting)}",
        )


def _placements(
    workload: FlexibleWorkload,
    sites: Mapping[str, PowerSite],
    labels: Mapping[str, str] | None,
) -> Iterator[Finding]:
    spec = workload.spec
    boundary = spec.data_boundary.allowed_region_names if spec.data_boundary else None
    for placement in spec.placements:
        path = f"spec.placements[{placement.name}]"
        site = sites.get(placement.site_name)
        if site is None:
            yield no_site(placement.site_name, f"{path}.siteName", sites)
            continue
        clusters = [cluster.name for cluster in site.spec.clusters]
        if placement.cluster_name not in clusters:
            yield Finding(
                ReferenceReason.CLUSTER_UNKNOWN,
                f"{path}.clusterName",
                f"PowerSite {site.key} has no cluster {placement.cluster_name}: {known(clusters)}",
            )
        if not _allowed(site, labels):
            yield Finding(
                ReferenceReason.NAMESPACE_NOT_ALLOWED,
                f"{path}.siteName",
                f"PowerSite {site.key} does not allow namespace "
                f"{workload.metadata.namespace}: label the namespace as "
                "spec.allowedNamespaces of the site says, or use another site",
            )
        origins = {latency.origin_name for latency in site.spec.origin_latencies}
        for origin in spec.origins:
            if origin.name not in origins:
                yield Finding(
                    ReferenceReason.ORIGIN_UNKNOWN,
                    f"spec.origins[{origin.name}]",
                    f"PowerSite {site.key} has no latency for origin {origin.name}: add it to "
                    "spec.originLatencies of the site",
                )
        region = site.spec.location.region_name
        if boundary is not None and region not in boundary:
            yield Finding(
                ReferenceReason.REGION_NOT_ALLOWED,
                f"{path}.siteName",
                f"the data boundary refuses region {region}: remove the placement, "
                "or allow the region",
            )


def check_workload(
    workload: FlexibleWorkload,
    *,
    sites: Mapping[str, PowerSite],
    workloads: Mapping[str, FlexibleWorkload],
    namespace_labels: Mapping[str, str] | None,
) -> list[Finding]:
    """Faults in the references of a FlexibleWorkload.

    `workloads` by key; `namespace_labels` are those of its namespace, None = not known yet (a site
    with a selector then does not allow it).
    """
    found = list(_placements(workload, sites, namespace_labels))
    if workload.spec.demand is not None:
        found += _backlog(workload.spec.demand.site_signal, "spec.demand.siteSignal", sites)
        found += _backlog(workload.spec.demand.queue_signal, "spec.demand.queueSignal", sites)
    if workload.spec.batch is not None:
        found += _backlog(workload.spec.batch.backlog, "spec.batch.backlog", sites)
    mine = _targets(workload)
    for other in workloads.values():
        same_namespace = other.metadata.namespace == workload.metadata.namespace
        if other.key == workload.key or not same_namespace or not older(other, workload):
            continue
        for target in sorted(set(mine) & set(_targets(other))):
            found.append(
                Finding(
                    ReferenceReason.TARGET_CLAIMED_BY_OTHER,
                    f"spec.placements[{mine[target]}]",
                    f"FlexibleWorkload {other.key} is older and has the target "
                    f"{target[3]} {target[4]} in cluster {target[1]}: remove it from one of them",
                )
            )
    return found
