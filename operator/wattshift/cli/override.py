"""`wattshift override`: hold, pin or release a workload for a time, with a reason and a name on it."""

from __future__ import annotations

import argparse
import asyncio

from wattshift.cli.connect import Hub, ObjectName, UsageError, add_hub_options
from wattshift.cli.output import add_output_option, document, names
from wattshift.cli.override_apply import (
    apply_override,
    grid_now,
    override_document,
    parse_duration,
)
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import FLEXIBLE_WORKLOADS, POWER_SITES, Json

HELP = "hold, pin or release for a time (fw/NAME), or hold a site (psite/NAME)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("object", type=ObjectName.parse, metavar="fw/NAME|psite/NAME")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--hold", action="store_true", help="write nothing: it stays as it is")
    what.add_argument("--pin", metavar="N[@PLACEMENT]", default="", help="keep N replicas there")
    what.add_argument("--release", action="store_true", help="give it back as it was found")
    what.add_argument("--clear", action="store_true", help="end the override now")
    parser.add_argument("--for", dest="duration", metavar="TIME", default="", help="2h, 30m, 1d")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; people will read it")
    parser.add_argument("--force", action="store_true", help="take the field from its other owner")
    parser.add_argument(
        "--dry-run", choices=("none", "server"), default="none", help="server: check it only"
    )
    add_hub_options(parser)
    add_output_option(parser, ("table", "json", "yaml", "name"))


def run(options: argparse.Namespace) -> int:
    """Check what is asked for, then apply it."""
    if options.object.resource not in (FLEXIBLE_WORKLOADS, POWER_SITES):
        raise UsageError("only fw/NAME and psite/NAME can be overridden")
    if options.object.resource is POWER_SITES and not (options.hold or options.clear):
        raise UsageError("a site can be held (--hold) or let go (--clear)")
    if options.clear:
        if options.duration:
            raise UsageError("--clear takes no --for")
    elif not options.duration or not options.reason.strip():
        raise UsageError("an override needs --for TIME and --reason TEXT")
    replicas, placement = _pin(options.pin)
    seconds = parse_duration(options.duration) if options.duration else 0
    return asyncio.run(_run(options, seconds, replicas, placement))


def _pin(text: str) -> tuple[int | None, str]:
    if not text:
        return None, ""
    count, at, placement = text.partition("@")
    if not count.isdecimal() or int(count) > 10_000 or (at and not placement):
        raise UsageError(f"--pin {text!r} is not N or N@PLACEMENT")
    return int(count), placement


async def _run(
    options: argparse.Namespace, seconds: int, replicas: int | None, placement: str
) -> int:
    name: ObjectName = options.object
    async with Hub(options) as hub:
        body = await hub.read(name)
        wanted = None
        if not options.clear:
            if replicas is not None:
                placement = _placement(body, placement)
            mode = "Pin" if replicas is not None else "Hold" if options.hold else "Release"
            now = grid_now(await _clocks(hub, body), hub.clock.utc())
            wanted = override_document(
                mode,
                now + seconds,
                options.reason.strip(),
                await hub.user_name(),
                replicas,
                placement,
            )
        after = await apply_override(
            hub.client,
            name.resource,
            body,
            wanted,
            force=options.force,
            dry_run=options.dry_run == "server",
        )
    after = {"apiVersion": name.resource.api_version, "kind": name.resource.kind, **after}
    tail = " (server dry run)" if options.dry_run == "server" else ""
    if options.output in ("json", "yaml"):
        after["metadata"].pop("managedFields", None)
        print(document(after, options.output))
    elif options.output == "name":
        print(names([after]))
    elif wanted is None:
        print(f"{name}: no override{tail}")
    else:
        count = f" {replicas}{f' at {placement}' if placement else ''}" if mode == "Pin" else ""
        print(f"{name}: {mode}{count} until {wanted['untilTime']} by {wanted['requestedBy']}{tail}")
    return 0


async def _clocks(hub: Hub, body: Json) -> list[Json]:
    """Objects that may tell the grid time: in a replay the sites' signals are the newest."""
    if not (body.get("status") or {}).get("gridClockSpeed"):
        return [body]
    try:
        return [body, *await hub.listed(POWER_SITES)]
    except ApiError:
        return [body]


def _placement(body: Json, placement: str) -> str:
    """The placement that a Pin is about: with one placement there is nothing to say."""
    names_ = [str(row["name"]) for row in body["spec"].get("placements") or ()]
    if not placement and len(names_) == 1:
        return names_[0]
    if placement not in names_:
        raise UsageError(f"say where: --pin N@PLACEMENT, one of {', '.join(names_)}")
    return placement
