"""Times `plan`, `govern` and whole ticks over a large fleet; prints one JSON document.

`python -m e2e.bench.offline WORKLOADS SITES RUNS`. A process of its own, so that its memory is what
the fleet needs. The baseline reads every placement once and takes the cheapest site, without any rule.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from e2e.bench import fleet
from e2e.bench.figures import by_name, memory_megabytes, spread
from wattshift.control.record.recorder import Recorder, Step
from wattshift.core.decision import Plan
from wattshift.core.governor.governor import govern
from wattshift.core.model import Snapshot
from wattshift.core.planner.planner import plan

PRESSED_SITES = 4
T = TypeVar("T")


class Stopwatch:
    """Wall time of runs, and the CPU time of this process in them (what a busy machine adds not)."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._cpu: list[float] = []

    def time(self, run: Callable[[], T]) -> T:
        """Run once and keep what it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        self._wall.append(time.perf_counter() - wall)
        self._cpu.append(time.process_time() - cpu)
        return result

    def report(self) -> dict[str, Any]:
        """Percentiles of wall seconds, and of CPU seconds under `cpu`."""
        cpu = spread(self._cpu)
        return spread(self._wall) | {"cpu": {"p50": cpu["p50"], "p99": cpu["p99"]}}


def timed(run: Callable[[], Any], count: int) -> dict[str, Any]:
    """Seconds of each of `count` runs after one that is not counted."""
    run()
    watch = Stopwatch()
    for _ in range(count):
        watch.time(run)
    return watch.report()


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

    gc.collect()
    before = memory_megabytes()["rss"]
    process = Process(size)
    await process.start()
    gc.collect()
    gc.freeze()  # as the operator does once all is synced
    last: Plan | None = None
    recorder = Recorder()
    planned, governed = Stopwatch(), Stopwatch()
    parts = {name: Stopwatch() for name in ("gather", "show", "compose")}
    for _ in range(runs):
        process.clock.advance(2.0)
        last = planned.time(process.plan)
        recorder.record(Step(snapshot=process.gather.snapshot(), plan=last))
        for _ in range(2):
            process.clock.advance(2.0)
            snapshot, decided = governed.time(lambda p=last: process.govern(p))  # type: ignore[misc]
        for name, run in (
            ("gather", process.gather.snapshot),
            ("show", lambda s=snapshot, d=decided: process.show.governance(s, d, ())),
            ("compose", process.compose),
        ):
            parts[name].time(run)
    kept = process.compose()  # as the book keeps what the server has acknowledged
    gc.collect()
    return {
        "statuses": len(kept),
        "planIterationSeconds": planned.report(),
        "governorTickSeconds": governed.report(),
        "partSeconds": {name: watch.report() for name, watch in parts.items()},
        "recordedSteps": len(recorder.steps()),
        "memoryMebibytes": memory_of(before),
    }


def memory_of(before: float) -> dict[str, float]:
    """What the fleet needs, beside what the operator's own imports need in a fresh process.

    The sum stands for an operator with this fleet: this process has other imports than that one.
    """
    fleet_part = memory_megabytes()["rss"] - before
    code = (
        "import wattshift.control.__main__\n"
        "from e2e.bench.figures import memory_megabytes\n"
        "print(memory_megabytes()['rss'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imports = float(done.stdout)
    return {
        "imports": imports,
        "fleet": round(fleet_part, 1),
        "sum": round(imports + fleet_part, 1),
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
