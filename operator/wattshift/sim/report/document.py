"""A study as one JSON document; every key is explained in docs/simulator.md and stays.

The same scenario, seed and code give the same document, times aside: those are under `decisionTime`.
Neighbours: `study.py`, `table.py` and `page.py` (which read nothing but this and the series).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from wattshift import __version__
from wattshift.sim.bounds.frontier import (
    SHARES,
    Point,
    hypervolume,
    reductions,
    share_of_bound,
)
from wattshift.sim.bounds.ladder import Ladder
from wattshift.sim.policies.registry import TITLES
from wattshift.sim.report.compared import compares
from wattshift.sim.report.study import (
    BASELINE,
    CARBON_ONLY,
    DECLARED,
    MONEY_ONLY,
    Frontier,
    Run,
    Study,
    declared_weights,
)
from wattshift.sim.result import Capture, Result, capture, compare
from wattshift.sim.scenario import Scenario

SCHEMA = "wattshift-study/1"
_TIMES = ("planSeconds", "governSeconds")
_GRAMS = 1e6


def document(study: Study) -> dict[str, Any]:
    """The whole study."""
    scenario, baseline = study.scenario, study.baseline()
    return {
        "schema": SCHEMA,
        "version": __version__,
        "scenario": _scenario(study),
        "seed": scenario.seed,
        "currency": scenario.settings.reporting_currency,
        "carbonPricePerTonne": float(scenario.settings.carbon_price_per_tonne or 0),
        "runs": [_run(study, row, baseline) for row in study.runs],
        "bounds": {name: _bound(row) for name, row in study.bounds.items()},
        "frontier": None if study.frontier is None else _frontier(study.frontier),
        "notes": list(study.notes),
    }


def _scenario(study: Study) -> dict[str, Any]:
    scenario = study.scenario
    return {
        "name": scenario.name,
        "title": scenario.title,
        "description": scenario.extra.get("description", ""),
        "start": datetime.fromtimestamp(scenario.start_time, UTC).isoformat(),
        "stepSeconds": scenario.step_seconds,
        "sites": [site.name for site in scenario.sites],
        "workloads": len(scenario.workloads),
        "origins": len(scenario.origins),
        "events": len(scenario.events),
        "faults": len(scenario.faults),
        "margin": scenario.margin,
        "windows": [
            {
                "name": row.name,
                "start": datetime.fromtimestamp(scenario.time(row.first_step), UTC).isoformat(),
                "days": (row.last_step - row.first_step) * scenario.step_seconds / 86400,
                "development": row.development,
            }
            for row in study.windows
        ],
        "sources": list(scenario.sources),
    }


def _run(study: Study, run: Run, baseline: Result | None) -> dict[str, Any]:
    plain = run.result.to_json()
    total = plain["total"]
    found: dict[str, Any] = {
        "policy": run.policy,
        "title": TITLES.get(run.policy, run.policy),
        "objective": run.objective,
        "total": _without_times(total),
        "againstB0": None if baseline is None else compare(run.result, baseline),
        "capture": captures(study, run.result, baseline),
        "comparable": compares(study.incomparable, run.policy, run.objective),
        "incomparable": list(study.incomparable.get((run.policy, run.objective), ())),
        "windows": {},
        "events": plain["events"],
        "decisionTime": {name: total[name] for name in _TIMES},
    }
    for name, figures in plain["windows"].items():
        row = _without_times(figures)
        if baseline is not None:
            row["againstB0"] = compare(run.result.of(name), baseline.of(name))
        found["windows"][name] = row
    return found


def _without_times(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key not in _TIMES}


# ---- capture ------------------------------------------------------------------------------------


def value_of(scenario: Scenario, objective: str, result: Result) -> float:
    """J of a run: what the objective adds up to, as the bound counts it."""
    if objective == MONEY_ONLY:
        return result.energy_cost
    if objective == CARBON_ONLY:
        return result.carbon_grams
    weights = declared_weights(scenario)
    return weights.money * result.energy_cost + weights.carbon * result.carbon_grams


def captures(study: Study, result: Result, baseline: Result | None) -> dict[str, Any]:
    """Capture by objective; none for B0, without B0, or where a bound is missing."""
    if baseline is None or result.policy == BASELINE:
        return {}
    found = {}
    for objective, row in study.bounds.items():
        one = capture(
            value_of(study.scenario, objective, baseline),
            value_of(study.scenario, objective, result),
            row.bound_with_margin,
            objective=objective,
            bound_without_margin=row.bound,
            rounded_bound=row.rounded,
            rounded_bound_with_moves=row.rounded_with_moves,
        )
        found[objective] = _capture(one)
    return found


def _capture(one: Capture) -> dict[str, Any]:
    return {
        "ratio": one.ratio,
        "baseline": one.baseline,
        "policy": one.policy,
        "bound": one.bound,
        "lost": dict(one.lost),
    }


def _bound(row: Ladder) -> dict[str, Any]:
    return {
        "B8": row.bound,
        "B8m": row.bound_with_margin,
        "roundedPerfect": row.rounded,
        "roundedPerfectWithMoves": row.rounded_with_moves,
        "B8mWithoutIdleGain": row.without_idle_gain,
    }


def _frontier(row: Frontier) -> dict[str, Any]:
    bound = reductions(row.bound, row.reference, row.own)
    return {
        "moneyShares": list(SHARES),
        "reference": _point(row.reference),
        "ownBounds": _point(row.own),
        "bound": [_point(point) for point in row.bound],
        "boundHypervolume": hypervolume(bound),
        "policies": {
            name: {
                "points": [_point(point) for point in points],
                "hypervolumeShareOfBound": share_of_bound(
                    points, row.bound, row.reference, row.own
                ),
            }
            for name, points in row.policies.items()
        },
    }


def _point(point: Point) -> dict[str, float]:
    return {"money": point.money, "carbonGrams": point.grams}


__all__ = ["DECLARED", "SCHEMA", "captures", "document", "value_of"]
