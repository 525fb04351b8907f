"""References of a PowerSite: programs of its events, and clusters that another site has already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wattshift.api.energycontract import EnergyContract
from wattshift.api.findings import Finding, known
from wattshift.api.powersite import PowerSite
from wattshift.api.precedence import older
from wattshift.api.reasons import ReferenceReason
from wattshift.api.site_clusters import Cluster, ClusterType
from wattshift.api.site_events import ProgramRef


def _identities(site: PowerSite, cluster: Cluster) -> Iterator[str]:
    """What makes a cluster the same as another: the way to it, and kube-system's UID if known."""
    if cluster.type is ClusterType.LOCAL:
        yield "Local"
    elif cluster.kubeconfig_secret_ref is not None:
        yield f"Secret {cluster.kubeconfig_secret_ref.name}"
    elif cluster.cluster_profile_ref is not None:
        profile = cluster.cluster_profile_ref
        yield f"ClusterProfile {profile.namespace}/{profile.name}"
    for status in site.status.clusters if site.status else ():
        if status.name == cluster.name and status.uid:
            yield f"UID {status.uid}"


def _program(
    reference: ProgramRef, site: PowerSite, contracts: Mapping[str, EnergyContract], path: str
) -> Iterator[Finding]:
    contract = contracts.get(reference.contract_name)
    if contract is None:
        yield Finding(
            ReferenceReason.CONTRACT_UNKNOWN,
            f"{path}.contractName",
            f"EnergyContract {reference.contract_name} does not exist: create it or correct the "
            f"name, {known(contracts)}",
        )
        return
    programs = [program.name for program in contract.spec.programs]
    if reference.program_name not in programs:
        yield Finding(
            ReferenceReason.CONTRACT_PROGRAM_UNKNOWN,
            f"{path}.programName",
            f"EnergyContract {contract.key} has no program {reference.program_name}: "
            f"{known(programs)}",
        )
    elif all(point.site_name != site.metadata.name for point in contract.spec.points):
        yield Finding(
            ReferenceReason.CONTRACT_PROGRAM_UNKNOWN,
            f"{path}.contractName",
            f"EnergyContract {contract.key} has no point at this site: add it to spec.points, "
            "or name another contract",
        )


def check_site(
    site: PowerSite,
    *,
    sites: Mapping[str, PowerSite],
    contracts: Mapping[str, EnergyContract],
) -> list[Finding]:
    """Faults in the references of a PowerSite; `sites` and `contracts` by name."""
    found: list[Finding] = []
    for event in site.spec.events:
        if event.program is not None:
            path = f"spec.events[{event.name}].program"
            found += _program(event.program, site, contracts, path)
    for source in site.spec.event_sources:
        if source.program is not None:
            path = f"spec.eventSources[{source.name}].program"
            found += _program(source.program, site, contracts, path)
    claimed: dict[str, str] = {}
    for other in sites.values():
        if other.metadata.name != site.metadata.name and older(other, site):
            for cluster in other.spec.clusters:
                for identity in _identities(other, cluster):
                    claimed[identity] = f"PowerSite {other.key}"
    for cluster in site.spec.clusters:
        identities = list(_identities(site, cluster))
        owner = next((claimed[item] for item in identities if item in claimed), None)
        if owner is not None:
            found.append(
                Finding(
                    ReferenceReason.CLUSTER_IN_TWO_SITES,
                    f"spec.clusters[{cluster.name}]",
                    f"this is a cluster of {owner} already ({', '.join(identities)}): "
                    "remove it from one of them",
                )
            )
        claimed.update(dict.fromkeys(identities, f"this site as {cluster.name}"))
    return found
