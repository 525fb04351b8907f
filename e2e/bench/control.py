"""`make bench-control`: what the control plane costs, live and offline; one JSON file as result.

Live: three API servers, 50 workloads, frozen signals. Offline: 2,000 workloads over 20 sites. A
baseline runs beside each. Nothing is asserted; `docs/benchmark-control.md` is written from the file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.bench import figures
from e2e.bench.live import VALUES, Live
from e2e.lab.paths import REPOSITORY

FORMAT_VERSION = 1
RESULTS = REPOSITORY / "bench-results"
AIMS = {
    "frozenWritesPerSecond": 0,
    "startToFullPlanSeconds": 15,
    "planSeconds2000x20": 1,
    "memoryMebibytes": 200,
}
"""Of the issue; a figure beside its aim, never an assertion."""


def offline(options: argparse.Namespace) -> dict[str, Any]:
    """Plan and tick over a large fleet, in a process of its own."""
    figures.say(f"offline: {options.fleet} workloads over {options.sites} sites ...")
    command = [sys.executable, "-m", "e2e.bench.offline"]
    command += [str(options.fleet), str(options.sites), str(options.runs)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"offline benchmark failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def live(options: argparse.Namespace) -> dict[str, Any]:
    """The installed chart on three API servers."""
    with Live(options.workloads) as bench:
        figures.say("settling ...")
        settled = bench.settle(20, 240)
        starts = []
        for number in range(options.starts):
            starts.append(bench.restart())
            figures.say(f"start {number + 1}: {starts[-1]}")
        figures.say(f"frozen signals for {options.seconds} s ...")
        after_start = bench.settle(20, 180)
        window = bench.window(options.seconds)
        figures.say(f"writes: {window['writesByWhat'] or 'none'}")
        figures.say("many plans ...")
        often = bench.plan_often(5, options.seconds)
        written = bench.first_writes()
        figures.say("baseline: an operator that only watches ...")
        noop = bench.noop(30)
    full = [row["fullPlan"] for row in starts]
    return {
        "clusters": 3,
        "workloads": options.workloads,
        "values": VALUES,
        "settledAfterSeconds": round(settled, 1),
        "settledAfterRestartSeconds": round(after_start, 1),
        "starts": starts,
        "startToFullPlanSeconds": {
            "median": statistics.median(full),
            "max": max(full),
        },
        "frozen": window,
        "planOften": often,
        "writesSinceInstallation": written,
        "baseline": {"what": "kopf, on.event only, same objects", **noop},
    }


def main(arguments: list[str] | None = None) -> int:
    """Run, write the file, say where."""
    parser = argparse.ArgumentParser(prog="bench-control", description=__doc__)
    parser.add_argument("--workloads", type=int, default=50, help="FlexibleWorkloads, live")
    parser.add_argument("--seconds", type=float, default=150, help="length of the frozen window")
    parser.add_argument("--starts", type=int, default=3, help="restarts that are timed")
    parser.add_argument("--fleet", type=int, default=2000, help="workloads, offline")
    parser.add_argument("--sites", type=int, default=20, help="sites, offline")
    parser.add_argument("--runs", type=int, default=30, help="offline runs")
    parser.add_argument("--only", choices=("live", "offline"), help="one half only")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {
        "formatVersion": FORMAT_VERSION,
        "benchmark": "control",
        "commit": figures.commit(),
        "startedTime": _now(),
        "machine": figures.machine(),
        "versions": figures.versions(),
        "aims": AIMS,
    }
    if options.only != "live":
        result["offline"] = offline(options)
    if options.only != "offline":
        result["live"] = live(options)
    result["endedTime"] = _now()
    result["machine"]["loadAverageAtEnd"] = figures.machine()["loadAverage"]
    path = write(result, RESULTS)
    print(path)
    return 0


def write(result: dict[str, Any], folder: Path) -> Path:
    """Write the file `control-<commit>.json`; one half alone is named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = [name for name in ("offline", "live") if name in result]
    half = f"-{halves[0]}" if len(halves) == 1 else ""
    path = folder / f"control-{result['commit']['id']}{half}.json"
    path.write_text(json.dumps(result, indent=1, sort_keys=False) + "\n")
    return path


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
