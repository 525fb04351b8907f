"""`wattshift status`: sites, contracts and workloads as the operator last wrote them."""

from __future__ import annotations

import argparse
import asyncio

from wattshift.cli.connect import Hub, add_hub_options
from wattshift.cli.output import (
    FORMATS,
    add_output_option,
    conditions,
    document,
    names,
    object_list,
    summary,
    table,
    trouble,
)
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import (
    ENERGY_CONTRACTS,
    FLEXIBLE_WORKLOADS,
    POWER_SITES,
    Json,
    Resource,
)

HELP = "show sites, contracts and workloads at a glance"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_hub_options(parser, all_namespaces=True)
    add_output_option(parser, FORMATS)


def run(options: argparse.Namespace) -> int:
    """Print three tables; 0 even where something is not ready."""
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    notes: list[str] = []
    async with Hub(options) as hub:

        async def rows(resource: Resource, namespace: str | None = None) -> list[Json]:
            try:
                return await hub.listed(resource, namespace=namespace)
            except ApiError as error:
                if not error.is_forbidden:
                    raise
                notes.append(f"{resource.plural}: you may not list them")
                return []

        workloads = await rows(FLEXIBLE_WORKLOADS, hub.scope)
        sites = await rows(POWER_SITES)
        contracts = await rows(ENERGY_CONTRACTS)
        scope = hub.scope
    everything = [*sites, *contracts, *workloads]
    if options.output in ("json", "yaml"):
        print(document(object_list(everything), options.output))
        return 0
    if options.output == "name":
        print(names(everything))
        return 0
    print(render(sites, contracts, workloads, scope=scope, wide=options.output == "wide"))
    for note in notes:
        print(f"note: {note}")
    return 0


def render(
    sites: list[Json],
    contracts: list[Json],
    workloads: list[Json],
    *,
    scope: str | None,
    wide: bool,
) -> str:
    """The three tables; `scope` is the namespace that was listed, None = all."""
    where = "all namespaces" if scope is None else f"namespace {scope}"
    parts = [
        _table(
            "SITE",
            ("POWER", "LIMIT", "GREEN", "PRICE", "CARBON", "EVENTS", "CLUSTERS"),
            sites,
            "no PowerSite",
            wide,
        ),
        _table(
            "CONTRACT",
            ("BAND", "PRICE", "NEXT", "COST", "PEAK", "GREEN"),
            contracts,
            "no EnergyContract",
            wide,
        ),
        _table(
            "WORKLOAD",
            ("REPLICAS", "MODE", "DECISION", "POWER", "MOVE", "LATENCY"),
            workloads,
            f"no FlexibleWorkload in {where}",
            wide,
            namespaced=scope is None,
        ),
    ]
    speeds = {(row.get("status") or {}).get("gridClockSpeed") for row in [*sites, *workloads]}
    parts += [f"replay: the grid clock runs {speed} x" for speed in speeds if speed is not None]
    return "\n\n".join(parts)


def _table(
    title: str,
    columns: tuple[str, ...],
    items: list[Json],
    nothing: str,
    wide: bool,
    *,
    namespaced: bool = False,
) -> str:
    if not items:
        return nothing
    headers = [*(["NAMESPACE"] if namespaced else []), title, *columns, "READY"]
    rows = []
    for item in items:
        words = summary(item)
        ready = conditions(item).get("Ready", {})
        state = ready.get("status", "Unknown")
        row = [item["metadata"]["name"], *(words.get(name.lower()) for name in columns)]
        row.append(state if state == "True" else f"{state} {ready.get('reason', 'NotSeenYet')}")
        if namespaced:
            row.insert(0, item["metadata"]["namespace"])
        if wide:
            row.append(trouble(item))
        rows.append(row)
    return table([*headers, *(["TROUBLE"] if wide else [])], rows)
