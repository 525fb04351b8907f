"""`wattshift explain fw/NAME`: the last decision, its reason, its inputs, what was rejected and why.

From status alone; with `--server` also scores and parts from the operator's memory.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from wattshift.cli.connect import Hub, ObjectName, UsageError, add_hub_options
from wattshift.cli.output import add_output_option, conditions, document, table
from wattshift.cli.server import add_server_options, read_view
from wattshift.cli.why import what_would_change
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import (
    ENERGY_CONTRACTS,
    FLEXIBLE_WORKLOADS,
    POWER_SITES,
    Json,
    Resource,
)

HELP = "say why a workload stands as it does"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("object", type=ObjectName.parse, metavar="fw/NAME")
    add_hub_options(parser)
    add_server_options(parser)
    add_output_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    if options.object.resource is not FLEXIBLE_WORKLOADS:
        raise UsageError("explain knows fw/NAME; for sites and contracts: wattshift status -o wide")
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    async with Hub(options) as hub:
        workload = await hub.read(options.object)
        places = {row["siteName"] for row in workload["spec"]["placements"]}
        sites = [
            row for row in await _readable(hub, POWER_SITES) if row["metadata"]["name"] in places
        ]
        contracts = [
            row
            for row in await _readable(hub, ENERGY_CONTRACTS)
            if any(point["siteName"] in places for point in row["spec"].get("points") or ())
        ]
        path = f"explain/{hub.namespace}/{options.object.name}"
    live = await read_view(options, path) if options.server else None
    if options.output != "table":
        status = workload.get("status") or {}
        value: dict[str, Any] = {
            "object": f"{workload['metadata']['namespace']}/{workload['metadata']['name']}",
            "lastDecision": status.get("lastDecision"),
            "placements": status.get("placements") or [],
            "conditions": status.get("conditions") or [],
            "learnt": status.get("learnt"),
            "wouldChange": list(what_would_change(workload, sites, contracts)),
            "live": live,
        }
        print(document(value, options.output))
        return 0
    print(render(workload, sites, contracts, live))
    return 0


async def _readable(hub: Hub, resource: Resource) -> list[Json]:
    """Objects of a cluster-scoped kind; none where the caller may not list them."""
    try:
        return await hub.listed(resource)
    except ApiError as error:
        if not error.is_forbidden:
            raise
        return []


def render(
    workload: Json, sites: list[Json], contracts: list[Json], live: dict[str, Any] | None
) -> str:
    """The whole explanation as text."""
    metadata, status = workload["metadata"], workload.get("status") or {}
    mode = (status.get("effective") or {}).get("mode", "unknown")
    lines = [f"FlexibleWorkload {metadata['namespace']}/{metadata['name']}, mode {mode}"]
    speed = status.get("gridClockSpeed")
    if speed:
        lines.append(f"replay: times are of a grid clock that runs {speed} x")
    lines += _decision(status.get("lastDecision"))
    lines += ["", _placements(status.get("placements") or [])]
    lines += ["", *_learnt(workload)]
    if live is not None:
        lines += ["", f"Live (plan {live['planID'] or 'none'}, grid time {live['gridTime']}):"]
        lines += [f"  {line}" for line in live["text"] or ["nothing is decided yet"]]
        lines += [f"  outcome: {r['result']}: {r['message']}" for r in live["outcomes"]]
    lines += ["", *_inputs(sites, contracts)]
    lines += ["", "Conditions:"]
    lines += [
        f"  {row['type']}={row['status']} {row['reason']}: {row['message']}".rstrip(": ")
        for row in conditions(workload).values()
    ] or ["  none yet: the operator has not seen it"]
    changes = what_would_change(workload, sites, contracts)
    lines += ["", "What would change it:"]
    lines += [f"  - {line}" for line in changes] or ["  - nothing is known"]
    return "\n".join(lines)


def _decision(row: Json | None) -> list[str]:
    if row is None:
        return ["No decision yet: the operator has not planned since it saw this workload."]
    plan = f", plan {row['planID']}" if row.get("planID") else ""
    lines = [f"Last decision: {row['action']} because {row['reason']}, {row['time']}{plan}"]
    lines += [f"  {line.strip()}" for line in row["message"].splitlines()]
    wanted = ", ".join(f"{p['name']} {p['replicas']}" for p in row.get("placements") or ())
    if wanted:
        lines.append(f"  wanted: {wanted}")
    lines += [
        f"  rejected: {alt['action']} because {alt['reason']}: {alt['summary']}"
        for alt in row.get("alternatives") or ()
        if alt["summary"] not in row["message"]
    ]
    return lines


def _placements(rows: list[Json]) -> str:
    keys = ("name", "observed", "ready", "inService", "desiredReplicas", "lastWrittenReplicas")
    heads = ("PLACEMENT", "OBSERVED", "READY", "IN SERVICE", "DESIRED", "LAST WRITTEN", "PROBLEM")
    return table(heads, [[*(row.get(key) for key in keys), row.get("message")] for row in rows])


def _learnt(workload: Json) -> list[str]:
    """Capacity of each placement, prior or learnt and from how many samples; growth of the load."""
    learnt = (workload.get("status") or {}).get("learnt") or {}
    lines = ["Capacity of one replica (in status hourly):"]
    for place in workload["spec"]["placements"]:
        name = place["name"]
        row = next(
            (
                row
                for row in learnt.get("capacities") or ()
                if name in (row.get("placementNames") or ())
            ),
            None,
        )
        if row is None:
            lines.append(f"  {name}: prior (0.7 x power profile), no sample of latency yet")
            continue
        source = "learnt" if row["source"] == "Learnt" else "prior (0.7 x power profile)"
        lines.append(
            f"  {name}: {row['sequences']} sequences, {source}, {row['samples']} samples: "
            f"{row.get('message', '')}".rstrip(": ")
        )
    growth = learnt.get("growth")
    if growth and growth["permille"]:
        lines.append(
            f"  load grows by up to {growth['permille'] / 10:g} % in {growth['horizonSeconds']} s "
            f"(95th percentile of {growth['samples']} samples): kept free beside the head room"
        )
    else:
        samples = (growth or {}).get("samples", 0)
        lines.append(f"  growth of load over a cold start: none learnt yet ({samples} samples)")
    batch = learnt.get("batch")
    if batch is not None:
        arrivals, speed = (
            batch.get(key, "an unknown number of")
            for key in ("arrivalsPerHour", "unitsPerReplicaHour")
        )
        lines.append(
            f"  backlog: {arrivals} units come in an hour, one replica completes {speed} units"
        )
    return lines


def _inputs(sites: list[Json], contracts: list[Json]) -> list[str]:
    lines = ["Inputs:"]
    for contract in contracts:
        words = (contract.get("status") or {}).get("summary") or {}
        told = ", ".join(f"{key} {value}" for key, value in words.items())
        lines.append(f"  contract {contract['metadata']['name']}: {told or 'not known yet'}")
    for site in sites:
        name, status = site["metadata"]["name"], site.get("status") or {}
        told = ", ".join(f"{key} {value}" for key, value in (status.get("summary") or {}).items())
        lines.append(f"  site {name}: {told or 'not known yet'}")
        for row in status.get("signals") or ():
            value = f"{row['value']} {row.get('unit', '')}".strip() if "value" in row else "unknown"
            why = f" ({row['reason']})" if row.get("reason") else ""
            lines.append(f"    signal {row['name']}: {value}, {row['quality']}{why}")
    return lines if len(lines) > 1 else ["Inputs: none that you may read"]
