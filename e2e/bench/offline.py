"""Times `plan`, `govern` and whole ticks over a large fleet; prints one JSON document.

`python -m e2e.bench.offline WORKLOADS SITES RUNS`. A process of its own, so that its memory is what
the fleet needs. The baseline reads every placement once and takes the cheapest site, without any rule.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from e2e.bench import fleet
from e2e.bench.figures import by_name, memory_megabytes, spread
from wattshift.control.recorder import Recorder, Step
from wattshift.core.decision import Plan
from wattshift.core.governor import govern
from wattshift.core.model import Snapshot
from wattshift.core.planner import plan

PRESSED_SITES = 4


def timed(run: Callable[[], Any], count: int) -> dict[str, Any]:
    """Seconds of each of `count` runs after one that is not counted."""
    run()
    took = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return spread(took)


def decide(size: fleet.Size, runs: int) -> dict[str, Any]:
    """The two pure functions on one snapshot."""
    snapshot = fleet.snapshot(size)
    decided = plan(snapshot, snapshot.grid_time)
    governed = govern(snapshot, decided, snapshot.grid_time)
    return {
        "pressedSites": size.pressed_sites,
        "planSeconds": timed(lambda: plan(snapshot, snapshot.grid_time), runs),
        "governSeconds": timed(lambda: govern(snapshot, decided, snapshot.grid_time), runs),
        "baselineCheapestSiteSeconds": timed(lambda: cheapest(snapshot), runs),
        "planned": by_name(str(row.action) for row in decided.decisions),
        "governed": by_name(str(row.action) for row in governed.decisions),
        "deterministic": plan(snapshot, snapshot.grid_time) == decided,
    }


def cheapest(snapshot: Snapshot) -> dict[str, str]:
    """Baseline: every workload to the site with the lowest price now, no rule looked at."""
    prices: dict[str, float] = {}
    for site in snapshot.sites:
        quote = site.connections[0].price
        prices[site.name] = float(quote.up.total or 0) if quote is not None else 0.0
    return {
        workload.key: min(workload.placements, key=lambda row: prices[row.site_name]).name
        for workload in snapshot.workloads
    }


async def ticks(size: fleet.Size, runs: int) -> dict[str, Any]:
    """Whole iterations of both loops in process, and what the process then weighs."""
    # NB: here and not above, so that the pure part's memory is its own.
    from e2e.bench.inprocess import Process  # noqa: PLC0415

    process = Process(size)
    await process.start()
    last: Plan | None = None
    recorder = Recorder()
    planned, governed = [], []
    parts: dict[str, list[float]] = {"gather": [], "show": [], "compose": []}
    for _ in range(runs):
        process.clock.advance(2.0)
        began = time.perf_counter()
        last = process.plan()
        planned.append(time.perf_counter() - began)
        recorder.record(Step(snapshot=process.gather.snapshot(), plan=last))
        for _ in range(2):
            process.clock.advance(2.0)
            began = time.perf_counter()
            snapshot, decided = process.govern(last)
            governed.append(time.perf_counter() - began)
        for name, run in (
            ("gather", process.gather.snapshot),
            ("show", lambda s=snapshot, d=decided: process.show.governance(s, d, ())),
            ("compose", process.compose),
        ):
            began = time.perf_counter()
            run()
            parts[name].append(time.perf_counter() - began)
    gc.collect()
    return {
        "planIterationSeconds": spread(planned),
        "governorTickSeconds": spread(governed),
        "partSeconds": {name: spread(values) for name, values in parts.items()},
        "recordedSteps": len(recorder.steps()),
        "memoryMebibytes": memory_megabytes(),
    }


def main(arguments: list[str]) -> int:
    """Measure and print."""
    workloads, sites, runs = map(int, arguments)
    result: dict[str, Any] = {"workloads": workloads, "sites": sites, "runs": runs, "seed": 1}
    result["importMemoryMebibytes"] = memory_megabytes()["rss"]
    for name, pressed in (("calm", 0), ("pressed", min(PRESSED_SITES, sites))):
        size = fleet.Size(workloads=workloads, sites=sites, pressed_sites=pressed)
        result[name] = decide(size, runs)
    gc.collect()
    result["memoryMebibytes"] = memory_megabytes()
    result["loops"] = asyncio.run(ticks(fleet.Size(workloads=workloads, sites=sites), runs))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
