"""`wattshift replay FILE...`: the recorded snapshot through this version's core; the same plan?

Nothing is contacted. Exit status 1 when a plan differs, with the difference.
"""

from __future__ import annotations

import argparse
import difflib
import json
from pathlib import Path

from wattshift.control.record.recorder import (
    Step,
    governance_document,
    load_step,
    plan_document,
    snapshot_hash,
)
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan
from wattshift.errors import NeedsHuman

HELP = "run recorded steps again and compare the plans"
_MAX_LINES = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="step-*.json of the flight recorder, or what GET /v1/steps/NUMBER answered",
    )
    parser.add_argument("--quiet", action="store_true", help="print differences only")


def run(options: argparse.Namespace) -> int:
    """0 = every step gives the same plan, 1 = at least one differs."""
    differing = 0
    for name in options.files:
        step = _load(Path(name))
        lines = differences(step)
        what = f"plan {step.plan.id}" if step.plan is not None else "governor step"
        if not lines:
            if not options.quiet:
                digest = snapshot_hash(step.snapshot)[:12]
                print(f"same    {name}: {what} from snapshot {digest}")
            continue
        differing += 1
        print(f"DIFFERS {name}: {what}")
        print("\n".join(f"  {line}" for line in lines[:_MAX_LINES]))
        if len(lines) > _MAX_LINES:
            print(f"  ... {len(lines) - _MAX_LINES} lines more")
    if not options.quiet or differing:
        print(f"{len(options.files) - differing} of {len(options.files)} steps are the same")
    return 1 if differing else 0


def differences(step: Step) -> list[str]:
    """Unified diff from the recorded result to what the core says now; empty = the same."""
    now = step.snapshot.grid_time
    if step.plan is not None:
        recorded, found = plan_document(step.plan), plan_document(plan(step.snapshot, now))
    elif step.governance is not None:
        recorded = governance_document(step.governance)
        found = governance_document(govern(step.snapshot, step.plan_before, now))
    else:
        return ["the step has neither plan nor governor result"]
    if recorded == found:
        return []
    before, after = (json.dumps(part, indent=1, sort_keys=True) for part in (recorded, found))
    return list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), "recorded", "now", lineterm="", n=2
        )
    )


def _load(path: Path) -> Step:
    try:
        return load_step(path.read_bytes())
    except OSError as error:
        raise NeedsHuman(f"{path}: {error.strerror}", reason="Unreadable") from None
    except (ValueError, KeyError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise NeedsHuman(f"{path} is no recording: {first}", reason="NotARecording") from None
