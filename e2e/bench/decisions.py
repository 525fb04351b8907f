"""`make bench`: how good decisions are: all policies on all scenarios, one file a unit, then one for all.

A unit that has been measured on this commit is not run again, so that a stopped run goes on where it
was; the order (`decisions_items.py`) gives every target something first. Nothing is asserted here
(`gate.py` does); `docs/benchmark.md` is written by `decisions_page.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from e2e.bench import figures
from e2e.bench.decisions_items import ITEMS, Item, Unit, far_first, in_order, spread
from e2e.bench.decisions_measure import Outcome, scenario_of, work
from e2e.lab.paths import REPOSITORY
from wattshift.sim.load import DATA_VARIABLE
from wattshift.sim.report.catalogue import headings
from wattshift.sim.run import choose

FORMAT_VERSION = 2
RESULTS = REPOSITORY / "bench-results"


@dataclass(slots=True)
class Bench:
    """Measures chunks of units in several processes; what began before the deadline is finished."""

    folder: Path
    processes: int
    deadline: float | None
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, chunks: Sequence[Sequence[Unit]]) -> None:
        """Measure what has no file yet."""
        todo = [chunk for chunk in chunks if any(not u.path(self.folder).is_file() for u in chunk)]
        with ProcessPoolExecutor(self.processes) as pool:
            running = {
                pool.submit(work, list(chunk), self.folder, self.deadline): chunk for chunk in todo
            }
            for one in as_completed(running):
                self._note(running[one], one)

    def _note(self, chunk: Sequence[Unit], one: Future[list[Outcome]]) -> None:
        error = one.exception()
        if error is not None:  # its process was ended from outside
            self._fail(chunk[0], f"and what follows it: {error}")
            return
        for row in one.result():
            if row.error:
                self._fail(row.unit, row.error)
            elif row.seconds is None:
                self.left += 1

    def _fail(self, unit: Unit, words: str) -> None:
        self.failed[unit.name] = words
        figures.say(f"FAILED {unit.name}: {words}")


@cache
def windows_of(item: Item) -> tuple[str, ...]:
    """Names of the reported windows of an item."""
    scenario = scenario_of(item.scenario, item.variant, item.seeds[0])
    return tuple(row.name for row in choose(scenario, None))


def available(item: Item) -> bool:
    """Whether the scenario's data are there."""
    rows = {row["name"]: row for row in headings()}
    return rows[item.scenario]["data"] == "shipped" or bool(os.environ.get(DATA_VARIABLE))


def chosen_items(options: argparse.Namespace) -> list[Item]:
    """Items that were asked for, with the policies and seeds that were asked for."""
    rows = [row for row in ITEMS if not options.only or row.key in options.only]
    unknown = set(options.only or ()) - {row.key for row in ITEMS}
    if unknown:
        raise SystemExit(f"--only {min(unknown)}: there are {', '.join(r.key for r in ITEMS)}")
    return [
        replace(
            row,
            policies=tuple(p for p in row.policies if not options.policy or p in options.policy),
            seeds=tuple(options.seed) if options.seed else row.seeds,
            frontier=row.frontier and options.frontier,
        )
        for row in rows
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run, write the file, say where and what is missing."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", action="append", help="SCENARIO or SCENARIO:VARIANT; repeatable")
    parser.add_argument("--policy", action="append", help="only these; repeatable")
    parser.add_argument("--seed", action="append", type=int, help="instead of the item's")
    parser.add_argument("--weeks", type=int, help="only so many windows, spread over all")
    parser.add_argument("--no-frontier", dest="frontier", action="store_false")
    parser.add_argument("--minutes", type=float, help="start no unit after this time")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="of the units; default: one for this commit")
    parser.add_argument("--list", action="store_true", help="print the units in order, run nothing")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    commit = figures.commit()
    folder = options.folder or RESULTS / f"decisions-{commit['id']}"
    head = {
        "formatVersion": FORMAT_VERSION,
        "benchmark": "decisions",
        "commit": commit,
        "startedTime": _now(),
        "machine": figures.machine(),
        "versions": figures.versions(("wattshift", "numpy", "ortools")),
    }
    items = chosen_items(options)
    absent = [item.key for item in items if not available(item)]
    for key in absent:
        figures.say(f"left out: {key} needs {DATA_VARIABLE}")
    there = [item for item in items if item.key not in absent]
    names = {item.key: far_first(spread(windows_of(item), options.weeks)) for item in there}
    chunks = in_order(there, names)
    if options.list:
        print("\n".join(unit.name for chunk in chunks for unit in chunk))
        return 0
    deadline = None if options.minutes is None else begun + 60 * options.minutes
    bench = Bench(folder=folder, processes=options.processes, deadline=deadline)
    bench.run(chunks)
    result = {**head, **gathered(folder), "withoutData": absent, "failed": bench.failed}
    result["unitsLeft"] = bench.left
    result["endedTime"] = _now()
    path = RESULTS / f"decisions-{commit['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    if bench.left:
        figures.say(f"{bench.left} units are left: the same command goes on with them")
    print(path)
    return 1 if bench.failed else 0


def gathered(folder: Path) -> dict[str, Any]:
    """All units of a folder, by item, and how many windows each item has."""
    items: dict[str, Any] = {}
    for path in sorted(folder.glob("*/*.json")):
        unit = json.loads(path.read_text())
        key = Unit(
            **{name: unit.pop(name) for name in Unit.__dataclass_fields__}  # as it was written
        )
        row = items.setdefault(key.item, {"units": []})
        head = {"policy": key.policy, "objective": key.objective, "window": key.window}
        row["units"].append({**head, "seed": key.seed, **unit})
    for item in ITEMS:
        if item.key in items:
            items[item.key] |= _protocol(item)
    return {"items": items}


def _protocol(item: Item) -> Mapping[str, Any]:
    windows = list(windows_of(item)) if available(item) else None
    return {"windows": windows, "seeds": list(item.seeds)}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
