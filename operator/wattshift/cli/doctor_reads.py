"""What `wattshift doctor` reads from the hub before `doctor_checks.py` judges it."""

from __future__ import annotations

from collections.abc import Iterable

from wattshift.cli import doctor_checks as checks
from wattshift.cli.connect import Hub
from wattshift.cli.doctor_checks import Finding
from wattshift.control.hub.conditions import parse_utc
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import (
    CRDS,
    ENERGY_CONTRACTS,
    FLEXIBLE_WORKLOADS,
    LEASES,
    POWER_SITES,
    Json,
    Resource,
)

_STALE_LEASE_SECONDS = 30.0
_VERBS: tuple[tuple[Resource, tuple[str, ...], str], ...] = (
    (FLEXIBLE_WORKLOADS, ("get", "list"), "status, explain"),
    (FLEXIBLE_WORKLOADS, ("patch",), "override, release"),
    (POWER_SITES, ("list",), "status, explain"),
    (ENERGY_CONTRACTS, ("list",), "status, explain"),
)


async def crds(hub: Hub) -> Iterable[Finding]:
    """The CRDs as served, against those of this version."""
    try:
        rows = (await hub.client.list(CRDS)).items
    except ApiError as error:
        if not error.is_forbidden:
            raise
        return [Finding("warn", "CRDs", "you may not read them: not checked")]
    return checks.crds({row["metadata"]["name"]: row for row in rows})


async def rights(hub: Hub) -> list[Finding]:
    """What the caller may do, by SelfSubjectAccessReview."""
    found = []
    for resource, verbs, purpose in _VERBS:
        namespace = hub.scope if resource.namespaced else None
        for verb in verbs:
            allowed = await hub.client.can_i([verb], resource, namespace=namespace)
            what = f"right to {verb} {resource.plural}"
            where = f" in {namespace}" if namespace else ""
            words = f"given{where}" if allowed else f"missing{where}: needed by {purpose}"
            found.append(Finding("ok" if allowed else "warn", what, words))
    return found


async def leader(hub: Hub, namespace: str) -> list[Finding]:
    """Who holds the Lease, and whether he lives."""
    try:
        lease = await hub.client.get(LEASES, "wattshift", namespace=namespace)
    except ApiError as error:
        if error.is_forbidden:
            return [Finding("warn", "leader", f"you may not read leases in {namespace}")]
        if not error.is_not_found:
            raise
        advice = "no operator was ever here: install the chart, or give --operator-namespace"
        return [Finding("fail", "leader", f"no Lease in {namespace}: {advice}")]
    spec = lease.get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder:
        return [Finding("fail", "leader", "nobody leads: is the operator's Deployment scaled up?")]
    age = hub.clock.utc() - parse_utc(renewed) if renewed else _STALE_LEASE_SECONDS
    if age >= _STALE_LEASE_SECONDS:
        advice = f"look at the pods in {namespace}; workloads keep running as they are"
        return [Finding("fail", "leader", f"{holder} has not renewed for {age:.0f} s: {advice}")]
    return [Finding("ok", "leader", f"{holder}, renewed {max(0.0, age):.0f} s ago")]


async def listed(
    hub: Hub, resource: Resource, namespace: str | None, found: list[Finding]
) -> list[Json] | None:
    """Objects of a kind; None, with a warning among the findings, where they may not be read."""
    try:
        return await hub.listed(resource, namespace=namespace)
    except ApiError as error:
        if not (error.is_forbidden or error.is_not_found):
            raise
        found.append(Finding("warn", resource.plural, f"not checked: {error.reason}"))
        return None


async def gitops(hub: Hub, workloads: list[Json], sites: list[Json]) -> list[Finding]:
    """Targets in the hub itself; those of other members are behind their own credentials."""
    local = {
        (site["metadata"]["name"], row["name"])
        for site in sites
        for row in site["spec"].get("clusters") or ()
        if row.get("type") == "Local"
    }
    found = []
    for body in workloads:
        namespace = body["metadata"]["namespace"]
        for row in body["spec"].get("placements") or ():
            reference = row.get("targetRef") or body["spec"].get("targetRef")
            if (row["siteName"], row["clusterName"]) not in local or not reference:
                continue
            try:
                kind = await hub.client.discover(reference["apiVersion"], reference["kind"])
                target = await hub.client.get(kind, reference["name"], namespace=namespace)
            except ApiError:
                continue  # absent targets are said by TargetsResolved
            path = f"{namespace}/{body['metadata']['name']}"
            found.append(checks.replicas_in_git(path, target))
    return found
