"""`wattshift release`: gives workloads back as found, and can wait until it is so.

The chart's uninstall hook runs it with the operator's own service account and settings; then it also
works while no operator runs. Neighbour: `giving_back.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from wattshift.cli.connect import Hub, ObjectName, UsageError, add_hub_options, config_path
from wattshift.cli.release_run import Release
from wattshift.control import config as configuration
from wattshift.kube.resources import FLEXIBLE_WORKLOADS
from wattshift.obs import logs

HELP = "give workloads back as they were found (what an uninstall does)"
MAX_DEADLINE_SECONDS = 86_400


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("object", nargs="?", type=ObjectName.parse, metavar="fw/NAME")
    parser.add_argument("--all", action="store_true", help="every workload of the installation")
    parser.add_argument("--wait", action="store_true", help="until all stand as found")
    parser.add_argument(
        "--deadline",
        type=int,
        default=600,
        metavar="SECONDS",
        help="of --wait; with --all the finalizers are taken away then, with a Warning",
    )
    parser.add_argument("--reason", default="release", metavar="TEXT", help="people will read it")
    parser.add_argument(
        "--operator-namespace", default="", metavar="NAME", help="where the Lease is"
    )
    parser.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="the operator's settings: with them, and its rights, this works while no operator"
        " runs; default: $WATTSHIFT_CONFIG, /etc/wattshift/config.yaml",
    )
    add_hub_options(parser)


def run(options: argparse.Namespace) -> int:
    """0 = asked for (with --wait: given back, or let go at the deadline), 1 = not in time."""
    if bool(options.object) == options.all:
        raise UsageError("name one fw/NAME, or give --all")
    if options.object and options.object.resource is not FLEXIBLE_WORKLOADS:
        raise UsageError("only fw/NAME can be released")
    if not 1 <= options.deadline <= MAX_DEADLINE_SECONDS:
        raise UsageError(f"--deadline must be 1 to {MAX_DEADLINE_SECONDS} seconds")
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    path = config_path(options.config)
    config = configuration.load(path) if path else None
    if config is not None:
        logs.configure(level=config.log.level, form=config.log.format)
        options.kubeconfig = options.kubeconfig or config.hub.kubeconfig
        options.operator_namespace = options.operator_namespace or config.own_namespace
    async with Hub(options) as hub:
        release = Release(
            hub=hub,
            config=config,
            only=options.object,
            reason=options.reason,
            deadline_seconds=options.deadline,
            operator_namespace=options.operator_namespace or "wattshift-system",
            tell=_tell,
        )
        await release.ask()
        return await release.wait() if options.wait else 0


def _tell(line: str) -> None:
    """One line of progress, at once: a hook's log is read while it runs."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
