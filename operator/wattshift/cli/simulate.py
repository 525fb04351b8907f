"""`wattshift simulate SCENARIO`: policies on a scenario, beside doing nothing and the best possible.

Nothing is contacted; the planner and the governor are those of the operator. SCENARIO is a YAML file or
the name of a shipped scenario. B0 (each site autoscales for itself) and the bounds are added, so that
capture can be told; `--no-bounds` leaves them out. Neighbours: `sim/report`, `sim/load.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from wattshift.cli.connect import UsageError
from wattshift.cli.output import add_output_option, table
from wattshift.control.clock import SystemClock
from wattshift.errors import NeedsHuman

HELP = "run policies on a scenario in the simulator"
_BAR = 28
_PLAIN_EVERY_SECONDS = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a YAML file, or a shipped scenario's name"
    )
    parser.add_argument("--list", action="store_true", help="list the shipped scenarios")
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME",
        help="ours, b0 to b7, b0s, or all; repeated or with commas (default: ours)",
    )
    parser.add_argument(
        "--objective",
        action="append",
        default=[],
        choices=("declared", "money", "carbon"),
        help="what policies minimise; may be repeated (default: declared, as the scenario says)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's")
    parser.add_argument(
        "--weeks",
        default="",
        metavar="A,B",
        help="windows by name or number, or development, reported, all (default: reported)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a field of the scenario by its dotted path; variant=NAME picks a variant",
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the data that are not shipped")
    parser.add_argument("--no-bounds", action="store_true", help="without B0 and the bounds")
    parser.add_argument(
        "--frontier", action="store_true", help="run each policy at eleven weights as well (slow)"
    )
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="default: one a core")
    parser.add_argument("--report", metavar="DIR", help="write index.html and study.json there")
    add_output_option(parser, ("table", "json"))


def run(options: argparse.Namespace) -> int:
    """Run and print."""
    # numpy and the solver are loaded only for this command
    from wattshift.sim.load import DATA_VARIABLE  # noqa: PLC0415

    if options.list:
        print(_shipped(options))
        return 0
    if not options.scenario:
        raise UsageError(
            "SCENARIO is missing: a YAML file, or a name of `wattshift simulate --list`"
        )
    if options.data:
        if not Path(options.data).is_dir():
            raise UsageError(f"--data {options.data}: no such folder")
        os.environ[DATA_VARIABLE] = options.data
    if options.frontier and options.no_bounds:
        raise UsageError("--frontier is told beside the bounds: leave out --no-bounds")
    if options.processes < 0:
        raise UsageError(f"--processes {options.processes}: must not be negative")
    folder = _folder(options.report)
    study, document = _study(options)
    if folder is not None:
        from wattshift.sim.report.page import write  # noqa: PLC0415

        page = write(folder, study, document)
        sys.stderr.write(f"{page}\n")
    if options.output == "json":
        print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        from wattshift.sim.report.table import table as text  # noqa: PLC0415

        print(text(document))
    return 0


def _study(options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    from wattshift.sim.load import load  # noqa: PLC0415
    from wattshift.sim.report.document import document  # noqa: PLC0415
    from wattshift.sim.report.study import POLICIES, study  # noqa: PLC0415

    listed = [word.strip() for text in options.policy for word in text.split(",")]
    policies = [word for word in listed if word] or ["ours"]
    unknown = [name for name in policies if name not in (*POLICIES, "all")]
    if unknown:
        known = ", ".join(POLICIES)
        raise UsageError(f"--policy {unknown[0]}: no such policy; there are {known}, all")
    chosen = [word.strip() for word in options.weeks.split(",") if word.strip()]
    if options.weeks and not chosen:
        raise UsageError(f"--weeks {options.weeks!r}: names no window")
    scenario = load(
        options.scenario, overrides=tuple(options.set), seed=options.seed, weeks=tuple(chosen)
    )
    bar = Bar()
    try:
        found = study(
            scenario,
            POLICIES if "all" in policies else tuple(dict.fromkeys(policies)),
            objectives=tuple(dict.fromkeys(options.objective)) or ("declared",),
            bounds=not options.no_bounds,
            frontier=options.frontier,
            processes=options.processes,
            progress=bar.tell,
            windows=None if not chosen else tuple(row.name for row in scenario.windows),
        )
    finally:
        bar.end()
    return found, document(found)


def _folder(name: str | None) -> Path | None:
    """The report's folder, made before hours are spent on what could not be written."""
    if not name:
        return None
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.json").touch()
    except OSError as error:
        raise NeedsHuman(f"--report {name}: {error.strerror}", reason="Unwritable") from None
    return folder


def _shipped(options: argparse.Namespace) -> str:
    from wattshift.sim.report.catalogue import headings  # noqa: PLC0415

    rows = headings()
    if options.output == "json":
        return json.dumps(rows, indent=1, ensure_ascii=False)
    return table(
        ("NAME", "DATA", "TITLE"), ((row["name"], row["data"], row["title"]) for row in rows)
    )


class Bar:
    """Progress on standard error: one line that is redrawn on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._clock = SystemClock()
        self._begun = self._clock.monotonic()
        self._told = self._begun
        self._width = 0

    def tell(self, share: float, what: str) -> None:
        """Show that this share is done."""
        now = self._clock.monotonic()
        passed = now - self._begun
        left = f", {_duration(passed / share - passed)} left" if 0.02 < share < 1 else ""
        if self._terminal:
            done = round(_BAR * share)
            line = f"[{'#' * done}{'.' * (_BAR - done)}] {share:4.0%}{left}  {what}"[:99]
            sys.stderr.write(f"\r{line.ljust(self._width)}")
            sys.stderr.flush()
            self._width = len(line)
        elif now - self._told >= _PLAIN_EVERY_SECONDS:
            self._told = now
            sys.stderr.write(f"{share:.0%} after {_duration(passed)}{left}: {what}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Remove the line."""
        if self._terminal and self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            sys.stderr.flush()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
