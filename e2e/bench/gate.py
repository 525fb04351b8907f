"""`make bench-quick`: fails when decisions on the small scenarios are worse than `gate.yaml` allows.

Quality only: nothing here looks at time. Small scenarios use shipped data and fixed seeds, so that the
figures are the same on every machine. Part of `make test`. Neighbours: `decisions.py` (the whole
benchmark).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from e2e.bench import figures
from wattshift.errors import WattshiftError
from wattshift.sim.load import load
from wattshift.sim.report.document import document
from wattshift.sim.report.study import study

GATE = Path(__file__).with_name("gate.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure and what it may be."""

    figure: str
    least: float | None = None
    most: float | None = None

    def broken(self, value: float | None) -> str:
        """What is wrong with a value; empty = nothing."""
        if value is None:
            return f"{self.figure} has no value"
        if self.least is not None and value < self.least:
            return f"{self.figure} fell to {value:.4g}: at least {self.least:g} is asked for"
        if self.most is not None and value > self.most:
            return f"{self.figure} rose to {value:.4g}: at most {self.most:g} is allowed"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scenario, one objective, its checks."""

    scenario: str
    objective: str
    overrides: tuple[str, ...]
    weeks: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.scenario} ({self.objective})"


def read(path: Path = GATE) -> list[Case]:
    """The cases of the file.

    Raises:
        ValueError: a field is unknown or a check says nothing.
    """
    made = []
    for row in yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]:
        unknown = row.keys() - {"scenario", "objective", "set", "weeks", "checks"}
        if unknown:
            raise ValueError(f"{path.name}: unknown field {min(unknown)}")
        checks = tuple(Check(figure=name, **limits) for name, limits in row["checks"].items())
        if not checks or any(c.least is None and c.most is None for c in checks):
            raise ValueError(f"{path.name}: {row['scenario']} checks nothing")
        made.append(
            Case(
                scenario=row["scenario"],
                objective=row.get("objective", "declared"),
                overrides=tuple(row.get("set", ())),
                weeks=tuple(row.get("weeks", ())),
                checks=checks,
            )
        )
    return made


def together(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases of the same scenario: B0 and the bounds are then found once."""
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.scenario, case.overrides, case.weeks), []).append(case)
    return list(groups.values())


def measured(group: Sequence[Case], seed: int | None = None) -> list[dict[str, float | None]]:
    """Every figure that a check of a case may name; captures only where one asks for them."""
    first = group[0]
    scenario = load(first.scenario, overrides=first.overrides, weeks=first.weeks, seed=seed)
    asked = {check.figure for case in group for check in case.checks}
    found = study(
        scenario,
        ("b0", "ours"),
        objectives=tuple(case.objective for case in group),
        bounds=any(name.startswith("captureOf") for name in asked),
        processes=1,
    )
    told = document(found)
    return [figures_of(told, case.objective) for case in group]


def tried(group: Sequence[Case], seed: int | None = None) -> list[dict[str, float | None]] | str:
    """The figures, or why there are none."""
    try:
        return measured(group, seed)
    except WattshiftError as error:
        return error.message


def figures_of(told: Mapping[str, Any], objective: str = "declared") -> dict[str, float | None]:
    """Flat figures of wattshift in a study."""
    row = next(
        run for run in told["runs"] if (run["policy"], run["objective"]) == ("ours", objective)
    )
    total, events = row["total"], row["total"]["events"]
    flat: dict[str, float | None] = {
        key: value for key, value in total.items() if isinstance(value, int | float)
    }
    flat |= {f"captureOf{name.capitalize()}": one["ratio"] for name, one in row["capture"].items()}
    flat |= {
        key: value for key, value in row["againstB0"].items() if isinstance(value, int | float)
    }
    arrived = total["batchUnitsArrived"]
    flat["batchDoneShare"] = total["batchUnitsDone"] / arrived if arrived else None
    flat["lostShare"] = total["lostTokens"] / max(1.0, total["demandTokens"])
    flat["eventsMetShare"] = events["met"] / events["count"] if events["count"] else None
    flat["eventMinutesInside"] = events["samplesInsideShare"]
    flat["eventOverCurtailment"] = events["meanOverCurtailment"]
    flat["eventRebound"] = events["highestRebound"]
    flat["eventSecondsToShedP99"] = events["secondsToShed"]["p99"]
    flat["worstAttainment"] = min(
        (value for groups in total["attainment"].values() for value in groups.values()),
        default=None,
    )
    return flat


def judge(case: Case, found: Mapping[str, float | None]) -> list[str]:
    """What fell, in words."""
    return [words for check in case.checks if (words := check.broken(found.get(check.figure)))]


def reported(case: Case, found: Mapping[str, float | None] | str, *, all_figures: bool) -> int:
    """Print what a case came to; how much of it fell."""
    if isinstance(found, str):
        figures.say(f"FAILED {case.name}: {found}")
        return 1
    broken = judge(case, found)
    shown = found if all_figures else {c.figure: found.get(c.figure) for c in case.checks}
    words = ", ".join(f"{k} {'-' if v is None else f'{v:.4g}'}" for k, v in shown.items())
    print(f"{'FELL' if broken else 'ok':<4} {case.name}: {words}", flush=True)
    for line in broken:
        print(f"     {case.name}: {line}", flush=True)
    return len(broken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases; 1 where something fell."""
    parser = argparse.ArgumentParser(prog="bench-quick", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="scenario; repeatable")
    parser.add_argument("--seed", type=int, help="instead of each scenario's: how much is noise?")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--all", action="store_true", help="print every figure")
    options = parser.parse_args(arguments)
    groups = together(
        [case for case in read() if not options.only or case.scenario in options.only]
    )
    fell = 0
    for group, found in zip(groups, _each(groups, options), strict=True):
        for place, case in enumerate(group):
            one = found if isinstance(found, str) else found[place]
            fell += reported(case, one, all_figures=options.all)
    if fell:
        print(f"{fell} figures fell: decisions are worse than e2e/bench/gate.yaml allows")
    return 1 if fell else 0


def _each(
    groups: Sequence[Sequence[Case]], options: argparse.Namespace
) -> Iterator[list[dict[str, float | None]] | str]:
    """What `tried` says of each group, in their order."""
    one = partial(tried, seed=options.seed)
    if options.processes <= 1:
        yield from map(one, groups)
        return
    with ProcessPoolExecutor(options.processes) as pool:
        yield from pool.map(one, groups)


if __name__ == "__main__":
    sys.exit(main())
