"""`python -m e2e.demo`: the whole show. Exit status 1 when a required moment was not seen.

Environment: DEMO_KEEP=1 leaves everything running after the report. The report is written into
`demo-report/` of the current folder (`--out`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from e2e.demo import scene
from e2e.demo.books import keep_books, read_snapshots
from e2e.demo.moments import TITLES, PowerOrder, find
from e2e.demo.page import page
from e2e.demo.report import build
from e2e.demo.stage import Stage
from e2e.demo.table import Screen
from e2e.demo.watch import Sample, Watcher
from e2e.demo.words import summary
from e2e.lab.client import Document
from e2e.lab.progress import clock_text, say
from e2e.lab.telemetry.clock import parse_time
from e2e.lab.traffic.companion import get_json

LOOK_SECONDS = 1.0
BURST_HOURS = 3.0
"""Grid hours that the burst waits for a moment with few replicas."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 = all moments seen, 1 = one is missing, 130 = interrupted."""
    options = _options(arguments)
    pace = scene.Pace(
        speed=options.speed,
        start_hour=options.start_hour,
        hours=options.hours,
        burst_hour=options.burst_hour,
    )
    started = time.monotonic()
    try:
        with Stage(pace) as stage:
            staged = time.monotonic()
            report = show(stage, pace, staged - started)
            out = Path(options.out)
            write(report, out)
            print("\n".join(summary(report)))
            say(f"report: {out / 'report.html'}, {out / 'report.json'}")
            if os.environ.get("DEMO_KEEP"):
                keep(stage)
    except KeyboardInterrupt:
        say("interrupted: everything was stopped")
        return 130
    say(f"all in all {clock_text(time.monotonic() - started)}")
    wanted = set(options.expect.split(",")) if options.expect else set(TITLES)
    missing = [r["name"] for r in report["moments"] if not r["seen"] and r["name"] in wanted]
    if missing or not report["books"]["doingNothingSavesZero"]:
        say(f"NOT SHOWN: {', '.join(missing) or 'books that balance'}")
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    pace = scene.Pace()
    parser.add_argument("--speed", type=float, default=pace.speed, help="grid seconds per second")
    parser.add_argument("--start-hour", type=float, default=pace.start_hour, help="of the day")
    parser.add_argument("--hours", type=float, default=pace.hours, help="how much of the day")
    parser.add_argument("--burst-hour", type=float, default=pace.burst_hour, help="burst of load")
    parser.add_argument("--expect", default="", help="moments that must be seen; default all")
    parser.add_argument("--out", default="demo-report", help="folder of the report")
    return parser.parse_args(arguments)


def show(stage: Stage, pace: scene.Pace, staged_seconds: float) -> dict[str, Any]:
    """Watch the day, then take the figures together."""
    watcher = Watcher(stage)
    screen = Screen(sys.stdout, pace)
    begin = time.monotonic()
    day_start_wall = stage.clock.wall_start_time
    end = day_start_wall + pace.wall_seconds
    first_truth: dict[str, Any] = {}
    start = parse_time(pace.start_time)
    day_end = start + pace.hours * 3600
    midnight, burst = parse_time(scene.DAY_START), False
    try:
        while time.time() < end:
            looked = time.monotonic()
            if not first_truth and time.time() >= day_start_wall:
                first_truth, start = totals(stage), stage.clock.now()
            sample = watcher.look()
            screen.show(sample, watcher.told)
            if not burst and is_burst_due(sample, midnight, pace):
                burst = True
                ready = [row[1] for row in sample.workloads[scene.CODE].replicas.values()]
                stage.start_burst(sum(ready))
            time.sleep(max(0.0, min(LOOK_SECONDS - (time.monotonic() - looked), end - time.time())))
        last_truth = totals(stage)
        watcher.look()
        batch = get_json(f"{stage.dispatcher.info['url']}/state") if stage.dispatcher else {}
        shown = time.monotonic()
        for client in stage.clients.values():
            client.join(timeout_seconds=30)
        watcher.look()
    finally:
        watcher.close()
    snapshots, _ = read_snapshots(watcher.step_files)
    books = keep_books(
        snapshots,
        watcher.tokens,
        start=start,
        end=day_end,
        speed=pace.speed,
    )
    order = power_order(stage.event)
    return build(
        pace=pace,
        day=(start, day_end),
        samples=watcher.samples,
        told=watcher.told,
        books=books,
        truth=(first_truth, last_truth),
        requests=watcher.requests,
        batch=batch,
        moments=find(watcher.samples, watcher.told, order),
        order=order,
        substituted=stage.changed,
        wall_seconds={
            "setup": round(staged_seconds, 1),
            "show": round(shown - begin, 1),
            "figures": round(time.monotonic() - shown, 1),
        },
    )


def is_burst_due(sample: Sample, midnight: float, pace: scene.Pace) -> bool:
    """From the burst's hour on, as soon as there is capacity to give; three hours later anyway."""
    late = (sample.grid - midnight) / 3600 - pace.burst_hour
    row = sample.workloads[scene.CODE]
    asked = sum(count[0] for count in row.replicas.values())
    return late >= 0 and not row.move and (asked <= scene.BURST_REPLICAS or late > BURST_HOURS)


def totals(stage: Stage) -> dict[str, Any]:
    """The plants' books by site."""
    return {site: stage.power.truth(site)["totals"] for site in scene.SITES}


def power_order(document: Document) -> PowerOrder:
    """The event that was applied."""
    event = document["spec"]["events"][0]
    return PowerOrder(
        site=document["metadata"]["name"],
        name=event["name"],
        upper_watts=float(event["upperWatts"]),
        start=datetime.fromisoformat(event["startTime"]).timestamp(),
        end=datetime.fromisoformat(event["endTime"]).timestamp(),
        ramp_seconds=float(event.get("rampSeconds", 0)),
    )


def write(report: dict[str, Any], out: Path) -> None:
    """`report.json` and `report.html`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.html").write_text(page(report))


def keep(stage: Stage) -> None:
    """Leave everything running and say where; until Ctrl-C."""
    print(yaml.safe_dump(dict(stage.addresses()), sort_keys=False))
    hub = stage.addresses()["kubeconfigs"]["shanghai"]
    print(f"look:  kubectl --kubeconfig {hub} get wattshift -A")
    print("stop:  Ctrl-C here (everything is stopped and removed)")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    sys.exit(main())
