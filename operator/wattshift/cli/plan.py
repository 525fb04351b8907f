"""`wattshift plan`: the operator's last plan (--server), or one made here from files; nothing acts."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from wattshift.cli import offline
from wattshift.cli.connect import UsageError, add_hub_options
from wattshift.cli.output import add_output_option, document, table
from wattshift.cli.server import add_server_options, read_view
from wattshift.control.record.recorder import load_snapshot, load_step, plan_document
from wattshift.core.decision import Action, Plan
from wattshift.core.explain import plan_lines
from wattshift.core.model import Snapshot
from wattshift.core.planner.planner import plan
from wattshift.errors import NeedsHuman

HELP = "show the last plan of the operator, or plan offline from manifests and a snapshot"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="FILE|DIR",
        help="manifests to put in place of what the snapshot holds; repeat it",
    )
    parser.add_argument(
        "--snapshot",
        default="",
        metavar="FILE",
        help="GET /v1/snapshot, or a step of the flight recorder: plan offline",
    )
    parser.add_argument(
        "--at", default="", metavar="TIME", help="RFC 3339; default: the snapshot's"
    )
    parser.add_argument("--holds", action="store_true", help="also explain what stays as it is")
    add_hub_options(parser, namespace=False)
    add_server_options(parser)
    add_output_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the plan."""
    if not options.snapshot:
        if options.filename or options.at:
            raise UsageError("-f and --at need --snapshot FILE")
        if not options.server:
            raise UsageError("give --server URL (the last plan) or --snapshot FILE (offline)")
        return _live(options)
    snapshot = load_any_snapshot(Path(options.snapshot))
    world = offline.build(snapshot, offline.load_manifests(options.filename), _time(options.at))
    decided = plan(world.snapshot, world.snapshot.grid_time)
    if options.output != "table":
        value = {"plan": plan_document(decided), "notes": world.notes}
        print(document(json.loads(json.dumps(value)), options.output))
        return 0
    print(render(decided, world.snapshot, holds=options.holds))
    for note in world.notes:
        print(f"note: {note}")
    return 0


def _live(options: argparse.Namespace) -> int:
    view = asyncio.run(read_view(options, "plan"))
    if options.output != "table":
        print(document(view, options.output))
        return 0
    print("\n".join(view["text"]))
    print(f"snapshot {view['snapshotHash'][:12]}")
    rows = [[r["workload_key"], r["action"], r["result"], r["message"]] for r in view["outcomes"]]
    if rows:
        print(f"\n{table(('WORKLOAD', 'ACTION', 'RESULT', 'MESSAGE'), rows)}")
    return 0


def render(decided: Plan, snapshot: Snapshot, *, holds: bool) -> str:
    """Words, then a diff of replicas, then what it is expected to save."""
    currency = snapshot.settings.reporting_currency
    lines = [*plan_lines(decided, currency, holds=holds), ""]
    rows = []
    for decision in decided.decisions:
        before = {row.placement_name: row.replicas for row in decision.basis}
        for target in decision.targets:
            was = before.get(target.placement_name)
            if was != target.replicas:
                sign = "+" if was is None or target.replicas > was else "-"
                change = f"{'?' if was is None else was} -> {target.replicas}"
                rows.append((sign, decision.workload_key, target.placement_name, change))
    if rows:
        lines.append(table(("", "WORKLOAD", "PLACEMENT", "REPLICAS"), rows))
    else:
        lines.append("no replicas would change")
    acting = [row.effect for row in decided.decisions if row.action is not Action.HOLD]
    money = [effect.money_per_hour for effect in acting]
    if acting:
        known = sum(value for value in money if value is not None)
        grams = sum(effect.grams_per_hour or 0.0 for effect in acting)
        watts = sum(effect.facility_watts or 0 for effect in acting)
        blank = " (some unknown)" if None in money else ""
        lines.append(
            f"expected saving: {-known:.4f} {currency}/h{blank}, {-grams:.0f} gCO2e/h, {-watts} W"
        )
    return "\n".join(lines)


def load_any_snapshot(path: Path) -> Snapshot:
    """From a snapshot, what `GET /v1/snapshot` answered, or a recorded step.

    Raises:
        NeedsHuman: the file is none of them.
    """
    try:
        raw: Any = json.loads(path.read_bytes())
        if isinstance(raw, dict) and "formatVersion" in raw:
            return load_step(path.read_bytes()).snapshot
        if isinstance(raw, dict) and "snapshot" in raw:
            raw = raw["snapshot"]
        return load_snapshot(json.dumps(raw))
    except OSError as error:
        raise NeedsHuman(f"{path}: {error.strerror}", reason="Unreadable") from None
    except (ValueError, KeyError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise NeedsHuman(f"{path} is not a snapshot: {first}", reason="NotASnapshot") from None


def _time(text: str) -> float | None:
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text!r} is not a time such as 2026-11-22T18:00:00+08:00") from None
    if value.tzinfo is None:
        raise UsageError("--at needs an offset, such as +08:00 or Z")
    return value.timestamp()
