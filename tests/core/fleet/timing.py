"""Prints what the optimiser takes and how near its plan is to the bound: `python -m tests.core.fleet.timing`.

Usage: `timing [SITES] [WORKLOADS]`, 50 and 2000 by default. CPU seconds of this machine; no test.
"""

from __future__ import annotations

import random
import sys
import time

from tests.core.build import NOW, connection, engine, placement, quote, site, snapshot, workload
from wattshift.core.fleet.goal import goals
from wattshift.core.fleet.roll import rolled
from wattshift.core.model import AcceleratorState, Settings
from wattshift.core.planner.planner import plan
from wattshift.core.survey.survey import survey

FEASIBLE = 8
"""Placements of a workload."""


def fleet(sites, workloads, seed=1):
    """Sites with a price for each hour of the day ahead; workloads that stand at one of their sites."""
    rng = random.Random(seed)
    rows = []
    for i in range(sites):
        base = rng.uniform(0.2, 0.8)
        ahead = tuple(
            (NOW + 3600 * k, quote(f"{max(0.01, base * rng.uniform(0.5, 1.5)):.3f}"))
            for k in range(1, 24)
        )
        devices = AcceleratorState(
            resource_name="nvidia.com/gpu",
            profile_name="h100",
            count=int(5 * workloads / sites),
        )
        feed = connection(limit=10_000_000, price=quote(f"{base:.3f}"), price_ahead=ahead)
        rows.append(site(f"s{i:03d}", feed=feed, accelerators=(devices,)))
    jobs = []
    for w in range(workloads):
        places, count = rng.sample(range(sites), min(FEASIBLE, sites)), rng.randint(1, 5)
        load = engine(count * 11.0, pods=count)
        jobs.append(
            workload(
                f"w{w:05d}",
                tuple(
                    placement(
                        f"s{p:03d}",
                        count if k == 0 else 0,
                        engine=load if k == 0 else None,
                        max_replicas=8,
                    )
                    for k, p in enumerate(places)
                ),
            )
        )
    settings = Settings(reporting_currency="CNY", max_actions_per_site=50)
    return snapshot(tuple(jobs), tuple(rows), settings=settings)


def main(arguments):
    """Build, solve, plan, and print."""
    sites, workloads = (int(row) for row in (arguments + ["50", "2000"][len(arguments) :])[:2])
    here = fleet(sites, workloads)
    world = survey(here, NOW)
    begun = time.process_time()
    found = goals(world, world.jobs)
    spent = time.process_time() - begun
    case = found.fleet.problem
    whole = rolled(case, found.dual)
    gap = whole.money / case.hours.sum() / found.bound_per_hour - 1
    begun = time.process_time()
    plan(here, NOW)
    print(  # noqa: T201 - a script
        f"{sites} sites, {workloads} workloads, {case.places} places, {len(case.hours)} steps: "
        f"optimiser {spent:.2f} s, whole plan {time.process_time() - begun:.2f} s CPU, "
        f"bound {found.bound_per_hour:.2f} CNY/h, gap {gap:.2%}, unserved {whole.unserved:.3f}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
