"""`wattshift doctor`: one line for each thing that must be right, with what to do where it is not."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable

from wattshift.cli import doctor_checks as checks
from wattshift.cli.connect import Hub, add_hub_options
from wattshift.cli.doctor_checks import Finding
from wattshift.cli.output import add_output_option, coloured, document
from wattshift.control.conditions import parse_utc
from wattshift.errors import WattshiftError
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

HELP = "check the installation and say what to do"
_STALE_LEASE_SECONDS = 30.0
_VERBS: tuple[tuple[Resource, tuple[str, ...], str], ...] = (
    (FLEXIBLE_WORKLOADS, ("get", "list"), "status, explain"),
    (FLEXIBLE_WORKLOADS, ("patch",), "override, release"),
    (POWER_SITES, ("list",), "status, explain"),
    (ENERGY_CONTRACTS, ("list",), "status, explain"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_hub_options(parser, all_namespaces=True)
    parser.add_argument(
        "--operator-namespace", default="wattshift-system", metavar="NAME", help="of the Lease"
    )
    add_output_option(parser)


def run(options: argparse.Namespace) -> int:
    """0 = nothing failed (warnings may be there), 1 = something failed."""
    found = asyncio.run(_run(options))
    if options.output != "table":
        rows = [{"level": f.level, "what": f.what, "message": f.message} for f in found]
        print(document(rows, options.output))
    else:
        for row in found:
            print(f"{coloured(row.level)}  {row.what}: {row.message}")
        counts = {level: sum(f.level == level for f in found) for level in ("ok", "warn", "fail")}
        print(", ".join(f"{count} {level}" for level, count in counts.items()))
    return 1 if any(row.level == "fail" for row in found) else 0


async def _run(options: argparse.Namespace) -> list[Finding]:
    async with Hub(options) as hub:
        try:
            version = await hub.client.version()
        except WattshiftError as error:
            return [Finding("fail", "hub", f"{hub.access.server}: {error.message}")]
        found = [Finding("ok", "hub", f"{hub.access.server}, Kubernetes {version}")]
        found += await _crds(hub)
        found += await _rights(hub)
        found += await _leader(hub, options.operator_namespace)
        sites = await _listed(hub, POWER_SITES, None, found)
        contracts = await _listed(hub, ENERGY_CONTRACTS, None, found)
        workloads = await _listed(hub, FLEXIBLE_WORKLOADS, hub.scope, found)
        found += checks.sites(sites) if sites is not None else ()
        found += checks.contracts(contracts or [])
        found += checks.workloads(workloads or [])
        found += await _gitops(hub, workloads or [], sites or [])
    return found


async def _crds(hub: Hub) -> Iterable[Finding]:
    try:
        rows = (await hub.client.list(CRDS)).items
    except ApiError as error:
        if not error.is_forbidden:
            raise
        return [Finding("warn", "CRDs", "you may not read them: not checked")]
    return checks.crds({row["metadata"]["name"]: row for row in rows})


async def _rights(hub: Hub) -> list[Finding]:
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


async def _leader(hub: Hub, namespace: str) -> list[Finding]:
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


async def _listed(
    hub: Hub, resource: Resource, namespace: str | None, found: list[Finding]
) -> list[Json] | None:
    try:
        return await hub.listed(resource, namespace=namespace)
    except ApiError as error:
        if not (error.is_forbidden or error.is_not_found):
            raise
        found.append(Finding("warn", resource.plural, f"not checked: {error.reason}"))
        return None


async def _gitops(hub: Hub, workloads: list[Json], sites: list[Json]) -> list[Finding]:
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
