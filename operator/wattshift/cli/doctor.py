"""`wattshift doctor`: one line for each thing that must be right, with what to do where it is not."""

from __future__ import annotations

import argparse
import asyncio

from wattshift.cli import doctor_checks as checks
from wattshift.cli import doctor_reads as reads
from wattshift.cli.connect import Hub, add_hub_options
from wattshift.cli.doctor_checks import Finding
from wattshift.cli.output import add_output_option, coloured, document
from wattshift.errors import WattshiftError
from wattshift.kube.resources import ENERGY_CONTRACTS, FLEXIBLE_WORKLOADS, POWER_SITES

HELP = "check the installation and say what to do"


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
        found += await reads.crds(hub)
        found += await reads.rights(hub)
        found += await reads.leader(hub, options.operator_namespace)
        sites = await reads.listed(hub, POWER_SITES, None, found)
        contracts = await reads.listed(hub, ENERGY_CONTRACTS, None, found)
        workloads = await reads.listed(hub, FLEXIBLE_WORKLOADS, hub.scope, found)
        found += checks.sites(sites) if sites is not None else ()
        found += checks.contracts(contracts or [])
        found += checks.workloads(workloads or [])
        found += await reads.gitops(hub, workloads or [], sites or [])
    return found
