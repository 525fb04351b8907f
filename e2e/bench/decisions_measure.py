"""Runs one unit of `decisions_items.py` and tells its figures; keeps one file a unit.

Nothing is asserted (`gate.py` does). Runs in processes of its own: everything here is plain data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from e2e.bench import figures, fleet
from e2e.bench.decisions_items import ANY, BOUNDS, EACH, EDGE, FLEET, GREEN, Unit
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan
from wattshift.sim.bounds.flow import MONEY
from wattshift.sim.bounds.frontier import SHARES, Point, carbon_price_per_tonne, points_of
from wattshift.sim.bounds.green import green_bound, greenest
from wattshift.sim.bounds.instance import instance_of
from wattshift.sim.bounds.ladder import ladder
from wattshift.sim.load import load
from wattshift.sim.policies.registry import make
from wattshift.sim.report.study import CARBON_PRICE, aimed, weights_of
from wattshift.sim.run import choose, simulate, with_seed
from wattshift.sim.scenario import Scenario

GREEN_SHARES = (0.7, 0.75, 0.8)
"""Shares at which the cost of the next point is told; the last is the target's."""
POINT = 0.01
SMALL_FLEETS, LARGE_FLEETS = 10, 2
"""Seeds of a drawn fleet."""
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
    "replicaHours",
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
_kept: dict[tuple[str, str, int], Scenario] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a unit: nothing of both where there was no time left or B0 is missing."""

    unit: Unit
    seconds: float | None = None
    error: str = ""


def scenario_of(name: str, variant: str, seed: int) -> Scenario:
    """The scenario with its seed; the last one stays in memory."""
    key = (name, variant, seed)
    if key not in _kept:
        _kept.clear()
        overrides = [f"variant={word}" for word in variant.split(",") if word]
        _kept[key] = with_seed(load(name, overrides=overrides, seed=seed))
    return _kept[key]


def work(chunk: Sequence[Unit], folder: Path, deadline: float | None) -> list[Outcome]:
    """Measure what has no file yet, one after the other; nothing begins after the deadline.

    Args:
        chunk: units of one scenario, seed and variant; B0 before what is compared with it.
        folder: of the units' files.
        deadline: of `time.monotonic`, which all processes of a machine share.
    """
    found = []
    for unit in chunk:
        if unit.path(folder).is_file():
            continue
        late = deadline is not None and time.monotonic() > deadline
        reference = _reference(unit, folder) if unit.needs_reference else None
        if late or (unit.needs_reference and reference is None):
            found.append(Outcome(unit=unit))
            continue
        found.append(_tried(unit, folder, reference))
    return found


def _tried(unit: Unit, folder: Path, reference: Point | None) -> Outcome:
    try:
        told = measure(unit, reference)
    except Exception as error:  # a run of hours ends for no single unit
        return Outcome(unit=unit, error=str(error) or type(error).__name__)
    path = unit.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(told, indent=1) + "\n")
    part.replace(path)
    figures.say(f"{unit.name}: {told['cpuSeconds']} s CPU")
    return Outcome(unit=unit, seconds=told["cpuSeconds"])


def _reference(unit: Unit, folder: Path) -> Point | None:
    """Money and grams of B0 in the same window."""
    path = replace(unit, policy="b0", objective=ANY).path(folder)
    if not path.is_file():
        return None
    row = json.loads(path.read_text())["figures"]
    return Point(money=row["volumetricBill"], grams=row["carbonGrams"])


def measure(unit: Unit, reference: Point | None) -> dict[str, Any]:
    """Run one unit; `reference` is B0's money and grams where an objective needs them."""
    if unit.policy == FLEET:
        begun = time.process_time()
        return {**asdict(unit), **_fleet(unit.window), "cpuSeconds": _since(begun)}
    scenario = scenario_of(unit.scenario, unit.variant, unit.seed)
    begun = time.process_time()
    if unit.policy == BOUNDS:
        found = _bounds(scenario, unit.window)
    elif unit.policy == GREEN:
        found = _green(scenario, unit.window)
    elif unit.policy == EDGE:
        assert reference is not None
        found = _frontier(scenario, unit.window, reference)
    else:
        found = _policy(scenario, unit, reference)
    return {**asdict(unit), **found, "cpuSeconds": _since(begun)}


def _since(begun: float) -> float:
    return round(time.process_time() - begun, 2)


def _fleet(name: str) -> dict[str, Any]:
    """CPU seconds of a plan and of a tick of the governor about drawn fleets, and the gaps to the bound.

    `gapMost` is of what is decided now; `goalGapMost` of what it leads to once budgets per site and
    hand-overs, of which the bound knows nothing, let it.
    """
    sites, workloads = map(int, name.split("x"))
    plans, ticks, gaps, goals = [], [], [], []
    for seed in range(1, (SMALL_FLEETS if workloads <= 2_000 else LARGE_FLEETS) + 1):
        here = fleet.snapshot(fleet.Size(workloads=workloads, sites=sites, seed=seed))
        begun = time.process_time()
        made = plan(here, here.grid_time)
        plans.append(time.process_time() - begun)
        begun = time.process_time()
        govern(here, made, here.grid_time)
        ticks.append(time.process_time() - begun)
        if made.bound_per_hour and made.objective_per_hour is not None:
            gaps.append(made.objective_per_hour / made.bound_per_hour - 1)
        if made.bound_per_hour and made.goal_per_hour is not None:
            goals.append(made.goal_per_hour / made.bound_per_hour - 1)
    return {
        "fleet": {
            "runs": len(plans),
            "planSecondsMost": max(plans),
            "governSecondsMost": max(ticks),
            "gapMost": max(gaps, default=None),
            "goalGapMost": max(goals, default=None),
        }
    }


def _policy(scenario: Scenario, unit: Unit, reference: Point | None) -> dict[str, Any]:
    objective = "declared" if unit.objective == ANY else unit.objective
    if objective.startswith("share-"):
        assert reference is not None
        share = float(objective.removeprefix("share-"))
        price = carbon_price_per_tonne(share, reference, highest=CARBON_PRICE)
        objective = f"{price:.6f}"
    here = aimed(scenario, objective)
    result = simulate(here, make(unit.policy, here), windows=[unit.window])
    total = result.to_json()["total"]
    return {"figures": {key: total[key] for key in KEPT if key in total}}


def _bounds(scenario: Scenario, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for objective in EACH:
        row = ladder(scenario, choose(scenario, [name]), weights_of(scenario, objective))
        found[objective] = {
            "B8": row.bound,
            "B8m": row.bound_with_margin,
            "rounded": row.rounded,
            "roundedWithMoves": row.rounded_with_moves,
            "unmetTokens": row.unmet_tokens,
        }
    return {"bounds": found}


def _green(scenario: Scenario, name: str) -> dict[str, Any]:
    """The greatest green share, and the least bill and the price of a point at some shares."""
    (window,) = choose(scenario, [name])
    instance = instance_of(
        scenario,
        margin=scenario.margin,
        caps=False,
        first_step=window.first_step,
        last_step=window.last_step,
    )
    most = greenest(instance)
    rows = []
    for wanted in dict.fromkeys((*GREEN_SHARES[:-1], min(GREEN_SHARES[-1], most - POINT))):
        if wanted <= most:
            row = green_bound(instance, MONEY, wanted)
            rows.append(
                {
                    "share": wanted,
                    "leastBill": row.objective,
                    "billPerGreenKilowattHour": row.value_per_kilowatt_hour,
                    "reached": row.reached,
                }
            )
    return {"green": {"greatestShare": most, "shares": rows}}


def _frontier(scenario: Scenario, name: str, reference: Point) -> dict[str, Any]:
    """Money and grams of the bound with margin at the eleven weights, and alone."""
    points, own = points_of(scenario, choose(scenario, [name]), reference)
    rows = {f"share-{share:.1f}": asdict(row) for share, row in zip(SHARES, points, strict=True)}
    return {"frontier": {**rows, "own": asdict(own)}}
