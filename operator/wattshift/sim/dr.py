"""Power events replayed at one second: the real governor against the plant, without a planner.

`python -m wattshift.sim.dr [SCENARIO] [--set KEY=VALUE] [--seed N]` prints how every event was kept. The
policy is the governor alone, because an unannounced event must be met without a plan. Neighbours:
`run.py` (the loop), `events.py` (the judge).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wattshift.core.decision import Action, Governance
from wattshift.core.governor.governor import govern
from wattshift.core.model import Original, Snapshot
from wattshift.core.power.power_memory import RecentPower, remembered
from wattshift.errors import WattshiftError
from wattshift.sim.events import EventResult
from wattshift.sim.load import load
from wattshift.sim.policies.base import Orders
from wattshift.sim.result import Result
from wattshift.sim.run import simulate
from wattshift.sim.scenario import Scenario


@dataclass(slots=True)
class Governing:
    """The governor alone, with the memory that the operator's loop keeps."""

    name: str = "governor"
    recent: RecentPower = field(default_factory=RecentPower)
    vetoes: dict[tuple[str, str], float] = field(default_factory=dict)
    originals: dict[str, tuple[Original, ...]] = field(default_factory=dict)
    decided: int = 0
    seconds: list[float] = field(default_factory=list)

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Orders of one tick; caps are absolute, so that one that is not named is lifted."""
        begun = time.process_time()
        tick = govern(self._remembered(snapshot), None, now)
        spent = time.process_time() - begun
        self.seconds.append(spent)
        self.recent.note(tick.sites, now)
        for key in tick.violations:
            self.vetoes[key] = snapshot.wall_time
        self.decided += len(tick.decisions)
        return _orders(tick, spent)

    def _remembered(self, snapshot: Snapshot) -> Snapshot:
        """With ramps, vetoes and the counts found before the first decision, as the loop keeps them."""
        snapshot = remembered(snapshot, self.recent)
        jobs = []
        for job in snapshot.workloads:
            if job.key not in self.originals:
                self.originals[job.key] = tuple(
                    Original(
                        placement_name=row.name,
                        cluster_uid="",
                        target_uid="",
                        replicas=row.desired_replicas or 0,
                        captured_time=snapshot.grid_time,
                    )
                    for row in job.placements
                )
            rows = job.placements
            if self.vetoes:
                rows = tuple(
                    replace(row, veto_wall_time=self.vetoes.get((job.key, row.name)))
                    for row in rows
                )
            jobs.append(replace(job, originals=self.originals[job.key], placements=rows))
        return replace(snapshot, workloads=tuple(jobs))


def _orders(tick: Governance, spent: float) -> Orders:
    rows = [row for row in tick.decisions if row.action is not Action.HOLD]
    return Orders(
        replicas={
            (row.workload_key, target.placement_name): target.replicas
            for row in rows
            for target in row.targets
        },
        caps={(row.workload_key, row.placement_name): row.permille / 1000 for row in tick.caps},
        reasons={row.workload_key: str(row.reason) for row in rows},
        govern_seconds=spent,
    )


def replay(scenario: Scenario) -> tuple[Result, Governing]:
    """Run all events of a scenario under the governor alone."""
    policy = Governing()
    return simulate(scenario, policy), policy


def summary(events: Sequence[EventResult]) -> dict[str, Any]:
    """The figures of benchmark.md 6 and 10 over all events; shares are of the committed watts."""
    upper = [row for row in events if row.upper_watts is not None]
    deep = [row for row in upper if row.upper_watts <= 0.7 * row.reference_watts]  # type: ignore[operator]
    samples = sum(row.samples for row in events)
    return {
        "events": len(events),
        "met": sum(row.met for row in events),
        "minutesInside": sum(row.samples_inside for row in events) / max(1, samples),
        "minutes": samples,
        "reached": sum(row.seconds_to_shed is not None for row in upper) / max(1, len(upper)),
        "secondsToShed": _spread([_shed(row) for row in upper]),
        "secondsToShed30Percent": _spread([_shed(row) for row in deep]),
        "error": _spread([row.error for row in upper]),
        "overCurtailment": _spread([row.over_curtailment for row in upper]),
        "rebound": _spread([row.rebound for row in upper]),
    }


def _shed(row: EventResult) -> float:
    """Seconds to 95 % of the reduction; an event that never got there counts with its whole length."""
    return row.duration_seconds if row.seconds_to_shed is None else row.seconds_to_shed


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    rows = sorted(values)
    return {
        "mean": round(sum(rows) / len(rows), 4),
        "p50": round(rows[len(rows) // 2], 4),
        "p99": round(rows[min(len(rows) - 1, math.ceil(0.99 * len(rows)) - 1)], 4),
        "max": round(rows[-1], 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay and print."""
    parser = argparse.ArgumentParser(prog="wattshift.sim.dr", description=__doc__)
    parser.add_argument("scenario", nargs="?", default="s4-small")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--each", action="store_true", help="one line an event")
    options = parser.parse_args(arguments)
    try:
        scenario = load(options.scenario, overrides=tuple(options.set), seed=options.seed)
    except WattshiftError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    if not scenario.events:
        sys.stderr.write(f"{options.scenario}: has no events to replay\n")
        return 2
    result, policy = replay(scenario)
    if options.each:
        for row in result.events:
            sys.stderr.write(f"{row}\n")
    ticks = sorted(policy.seconds)
    found = summary(result.events) | {
        "notCalled": result.events_not_called,
        "ticks": len(ticks),
        "decisions": policy.decided,
        "governSecondsP99": round(ticks[math.ceil(0.99 * len(ticks)) - 1], 5),
    }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
