"""`make bench`: how good decisions are: all policies on all scenarios, one file a unit, then one for all.

A unit is one policy (or the bounds), one objective, one window and one seed. A unit that has been
measured on this commit is not run again, so that a stopped run goes on where it was. Nothing is asserted
here (`gate.py` does); `docs/benchmark.md` is written by `decisions_page.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from e2e.bench import figures
from e2e.lab.paths import REPOSITORY
from wattshift.errors import WattshiftError
from wattshift.sim.bounds.frontier import SHARES, Point, carbon_price_per_tonne, points_of
from wattshift.sim.bounds.ladder import ladder
from wattshift.sim.load import DATA_VARIABLE, load
from wattshift.sim.policies.registry import make
from wattshift.sim.report.catalogue import headings
from wattshift.sim.report.study import CARBON_PRICE, OBJECTIVES, POLICIES, aimed, weights_of
from wattshift.sim.run import choose, simulate, with_seed
from wattshift.sim.scenario import Scenario

FORMAT_VERSION = 1
RESULTS = REPOSITORY / "bench-results"
BOUNDS, EDGE = "bounds", "frontier"
"""Units that are no policies: B8 and its kin, and the bound at eleven weights."""
SEEDS = (1, 2, 3)
EACH = ("money", "carbon")
FRONTIER = tuple(f"share-{share:.1f}" for share in SHARES)
"""Share of money in the objective."""
KEPT = (
    "seconds",
    "outputTokens",
    "demandTokens",
    "lostTokens",
    "volumetricBill",
    "bill",
    "carbonGrams",
    "itKilowattHours",
    "facilityKilowattHours",
    "curtailedKilowattHours",
    "greenShareHourly",
    "certificateRatio",
    "attainment",
    "movesPerWorkloadDay",
    "reversalsPerWorkloadDay",
    "replicaReversalsPerWorkloadDay",
    "pastMarginShare",
    "importLimitViolationSeconds",
    "coolingLimitViolationSeconds",
    "batchUnitsArrived",
    "batchUnitsDone",
    "batchUnitsLate",
    "events",
    "planSeconds",
    "governSeconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One scenario of the benchmark."""

    scenario: str
    variant: str = ""
    policies: tuple[str, ...] = POLICIES
    objectives: tuple[str, ...] = ("declared",)
    seeds: tuple[int, ...] = (1,)
    frontier: bool = False

    @property
    def key(self) -> str:
        """Name of the item on the page and in file names."""
        return f"{self.scenario}:{self.variant}" if self.variant else self.scenario


FEW = ("b0", "b5", "ours")
ITEMS = (
    Item(scenario="s1-global", variant="rtt-150", objectives=EACH, seeds=SEEDS, frontier=True),
    Item(scenario="s1-global", variant="rtt-150,wake-20", policies=FEW, objectives=EACH),
    Item(scenario="s1-global", policies=FEW, objectives=EACH),
    Item(scenario="s1-global", variant="three-sites", policies=FEW, objectives=("carbon",)),
    Item(scenario="s2-east-west", variant="fleet-60"),
    Item(scenario="s3-wind"),
    Item(scenario="s4-demand-response"),
    Item(scenario="s4-one-site", policies=FEW),
    Item(scenario="s5-heat"),
    Item(scenario="s6-bad-signals"),
    Item(scenario="s7-scale", policies=FEW),
    Item(scenario="s1-small", objectives=EACH, seeds=SEEDS, frontier=True),
    Item(scenario="s2-small"),
    Item(scenario="s3-small"),
    Item(scenario="s4-small"),
    Item(scenario="s5-small"),
    Item(scenario="s6-small"),
    Item(scenario="s7-small", policies=FEW),
)
"""What is measured; the variants are those of the targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest thing that is measured."""

    scenario: str
    variant: str
    seed: int
    window: str
    policy: str
    objective: str

    @property
    def item(self) -> str:
        """Key of its item."""
        return f"{self.scenario}:{self.variant}" if self.variant else self.scenario

    def path(self, folder: Path) -> Path:
        """Its file."""
        place = self.item.replace(":", "+").replace(",", "+")
        name = f"{self.policy}-{self.objective}-{self.window}-seed{self.seed}.json"
        return folder / place / name


# ---- one unit -----------------------------------------------------------------------------------

_kept: dict[tuple[str, str, int], Scenario] = {}


def scenario_of(name: str, variant: str, seed: int) -> Scenario:
    """The scenario with its seed; the last one stays in memory."""
    key = (name, variant, seed)
    if key not in _kept:
        _kept.clear()
        overrides = [f"variant={word}" for word in variant.split(",") if word]
        _kept[key] = with_seed(load(name, overrides=overrides, seed=seed))
    return _kept[key]


def measure(unit: Unit, reference: dict[str, float] | None) -> dict[str, Any]:
    """Run one unit; `reference` is B0's money and grams where an objective needs them."""
    scenario = scenario_of(unit.scenario, unit.variant, unit.seed)
    begun = time.process_time()
    if unit.policy == BOUNDS:
        found = _bounds(scenario, unit.window)
    elif unit.policy == EDGE:
        assert reference is not None
        found = _frontier(scenario, unit.window, reference)
    else:
        found = _policy(scenario, unit, reference)
    return {**asdict(unit), **found, "cpuSeconds": round(time.process_time() - begun, 2)}


def _policy(scenario: Scenario, unit: Unit, reference: dict[str, float] | None) -> dict[str, Any]:
    objective = "declared" if unit.objective == "any" else unit.objective
    if objective.startswith("share-"):
        assert reference is not None
        share = float(objective.removeprefix("share-"))
        price = carbon_price_per_tonne(share, Point(**reference), highest=CARBON_PRICE)
        objective = f"{price:.6f}"
    here = aimed(scenario, objective)
    result = simulate(here, make(unit.policy, here), windows=[unit.window])
    total = result.to_json()["total"]
    return {"figures": {key: total[key] for key in KEPT if key in total}}


def _bounds(scenario: Scenario, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for objective in OBJECTIVES:
        row = ladder(scenario, choose(scenario, [name]), weights_of(scenario, objective))
        found[objective] = {
            "B8": row.bound,
            "B8m": row.bound_with_margin,
            "rounded": row.rounded,
            "roundedWithMoves": row.rounded_with_moves,
            "unmetTokens": row.unmet_tokens,
        }
    return {"bounds": found}


def _frontier(scenario: Scenario, name: str, reference: dict[str, float]) -> dict[str, Any]:
    """Money and grams of the bound with margin at the eleven weights, and alone."""
    points, own = points_of(scenario, choose(scenario, [name]), Point(**reference))
    rows = {f"share-{share:.1f}": asdict(row) for share, row in zip(SHARES, points, strict=True)}
    return {"frontier": {**rows, "own": asdict(own)}}


# ---- all units ----------------------------------------------------------------------------------


def units_of(item: Item, windows: Sequence[str], *, seeds: Sequence[int]) -> list[Unit]:
    """Units in the order that makes a stopped run most useful: window by window, ours first."""

    def unit(seed: int, window: str, policy: str, objective: str = "any") -> Unit:
        return Unit(
            scenario=item.scenario,
            variant=item.variant,
            seed=seed,
            window=window,
            policy=policy,
            objective=objective,
        )

    order = ("ours", "b5", "b3", "b4")
    policies = sorted(
        (name for name in item.policies if name != "b0"),
        key=lambda name: (order.index(name) if name in order else len(order), name),
    )
    found: list[Unit] = []
    for seed in seeds:
        for window in windows:
            found += [unit(seed, window, "b0"), unit(seed, window, BOUNDS)]
            found += [unit(seed, window, p, o) for p in policies for o in item.objectives]
    if item.frontier:
        for window in windows:
            found.append(unit(seeds[0], window, EDGE))
            found += [unit(seeds[0], window, "ours", row) for row in FRONTIER]
    return found


def needs_reference(unit: Unit) -> bool:
    """Whether B0 of the same window has to be known first."""
    return unit.policy == EDGE or unit.objective.startswith("share-")


@dataclass(slots=True)
class Bench:
    """Measures units in several processes, keeps each in a file, and stops at a time if asked."""

    folder: Path
    processes: int
    deadline: float | None
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, units: Sequence[Unit]) -> None:
        """Measure what has no file yet; what depends on B0 comes second."""
        with ProcessPoolExecutor(self.processes) as pool:
            for phase in (False, True):
                rows = [u for u in units if needs_reference(u) is phase]
                self._phase(pool, [u for u in rows if not u.path(self.folder).is_file()])

    def _phase(self, pool: ProcessPoolExecutor, units: list[Unit]) -> None:
        waiting: dict[Future[dict[str, Any]], Unit] = {}
        todo = list(reversed(units))
        while todo or waiting:
            while todo and len(waiting) < self.processes:
                unit = todo.pop()
                if self.deadline is not None and time.monotonic() > self.deadline:
                    self.left += 1 + len(todo)
                    todo = []
                    break
                reference = self._reference(unit) if needs_reference(unit) else None
                if needs_reference(unit) and reference is None:
                    self.left += 1
                    continue
                waiting[pool.submit(measure, unit, reference)] = unit
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for one in finished:
                self._keep(waiting.pop(one), one)

    def _keep(self, unit: Unit, one: Future[dict[str, Any]]) -> None:
        name = f"{unit.item} {unit.window} seed {unit.seed} {unit.policy} {unit.objective}"
        error = one.exception()
        if isinstance(error, (WattshiftError, ValueError, AssertionError)):
            self.failed[name] = str(error)
            figures.say(f"FAILED {name}: {error}")
            return
        found = one.result()
        path = unit.path(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(path)
        figures.say(f"{name}: {found['cpuSeconds']} s CPU")

    def _reference(self, unit: Unit) -> dict[str, float] | None:
        path = replace(unit, policy="b0", objective="any").path(self.folder)
        if not path.is_file():
            return None
        row = json.loads(path.read_text())["figures"]
        return {"money": row["volumetricBill"], "grams": row["carbonGrams"]}


def windows_of(item: Item) -> list[str]:
    """Names of the reported windows of an item."""
    scenario = scenario_of(item.scenario, item.variant, 1)
    return [row.name for row in choose(scenario, None)]


def chosen_items(options: argparse.Namespace) -> list[Item]:
    """Items that were asked for, with the policies and seeds that were asked for."""
    rows = [row for row in ITEMS if not options.only or row.key in options.only]
    unknown = set(options.only or ()) - {row.key for row in ITEMS}
    if unknown:
        raise SystemExit(f"--only {min(unknown)}: there are {', '.join(r.key for r in ITEMS)}")
    made = []
    for row in rows:
        policies = tuple(p for p in row.policies if not options.policy or p in options.policy)
        seeds = tuple(options.seed) if options.seed else row.seeds
        made.append(
            replace(row, policies=policies, seeds=seeds, frontier=row.frontier and options.frontier)
        )
    return made


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
    options = parser.parse_args(arguments)
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
    deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    bench = Bench(folder=folder, processes=options.processes, deadline=deadline)
    absent = []
    for item in chosen_items(options):
        if not available(item):
            absent.append(item.key)
            figures.say(f"left out: {item.key} needs {DATA_VARIABLE}")
            continue
        names = far_first(spread(windows_of(item), options.weeks))
        bench.run(units_of(item, names, seeds=item.seeds))
    result = {**head, **gathered(folder), "withoutData": absent, "failed": bench.failed}
    result["unitsLeft"] = bench.left
    result["endedTime"] = _now()
    path = RESULTS / f"decisions-{commit['id']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)
    return 1 if bench.failed else 0


def available(item: Item) -> bool:
    """Whether the scenario's data are there."""
    rows = {row["name"]: row for row in headings()}
    return rows[item.scenario]["data"] == "shipped" or bool(os.environ.get(DATA_VARIABLE))


def spread(names: Sequence[str], count: int | None) -> list[str]:
    """At most `count` of the names, evenly over all."""
    if count is None or count >= len(names):
        return list(names)
    places = [round(index * (len(names) - 1) / max(1, count - 1)) for index in range(count)]
    return [names[place] for place in sorted(set(places))]


def far_first(names: Sequence[str]) -> list[str]:
    """Both ends, then the middle of each gap: a run that stops has windows from everywhere."""
    if len(names) <= 2:
        return list(names)
    taken = [0, len(names) - 1]
    while len(taken) < len(names):
        rows = sorted(taken)
        gaps = [(b - a, -a, (a + b) // 2) for a, b in pairwise(rows) if b - a > 1]
        taken.append(max(gaps)[2])
    return [names[place] for place in taken]


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
            items[item.key] |= {
                "windows": windows_of(item) if available(item) else None,
                "seeds": list(item.seeds),
            }
    return {"items": items}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
