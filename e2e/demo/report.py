"""The final report as one JSON-ready document, from samples, recorded steps and clients; pure.

Figures of the operator's estimator, of the plants and of the clients stand beside each other; none is
corrected by another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from e2e.demo import scene
from e2e.demo.books import DayBooks, is_zero, kilowatt_hours, total
from e2e.demo.moments import Moment, PowerOrder
from e2e.demo.watch import Sample, Told
from e2e.lab.traffic.attainment import percentile
from wattshift.core.account import Line

FORMAT_VERSION = 1
OBJECTIVE_MILLISECONDS = 1000
"""Time to first token of both interactive examples."""
WINDOW_SECONDS = 5


def build(
    *,
    pace: scene.Pace,
    day: tuple[float, float],
    samples: Sequence[Sample],
    told: Sequence[Told],
    books: DayBooks,
    truth: tuple[Mapping[str, Any], Mapping[str, Any]],
    requests: Mapping[str, Sequence[Mapping[str, Any]]],
    batch: Mapping[str, Any],
    moments: Sequence[Moment],
    order: PowerOrder,
    substituted: Sequence[str],
    wall_seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Everything that the terminal, the page and tests print.

    Args:
        pace: how fast the day ran.
        day: first and last grid second.
        samples: one a second.
        told: what the operator said.
        books: by the product's estimator.
        truth: the plants' totals by site at the start and at the end of the day.
        requests: records of the clients by model.
        batch: the dispatcher's last state.
        moments: the check list.
        order: the power event.
        substituted: what differs from the example files.
        wall_seconds: durations of the demo's parts.
    """
    inside = [row for row in samples if day[0] <= row.grid <= day[1]]
    actual, nothing = total(books.books.sites), total(books.books.baseline_sites)
    actual.tokens = sum(line.tokens for line in books.books.workloads.values())
    nothing.tokens = actual.tokens
    plants = _plants(*truth)
    return {
        "formatVersion": FORMAT_VERSION,
        "day": {
            "start": datetime.fromtimestamp(day[0], UTC).isoformat(),
            "end": datetime.fromtimestamp(day[1], UTC).isoformat(),
            "speed": pace.speed,
            "wallSeconds": pace.wall_seconds,
        },
        "wallSeconds": dict(wall_seconds),
        "substituted": list(substituted),
        "books": {
            "steps": books.steps,
            "gapSeconds": round(books.gap_seconds),
            "asRun": _line(actual),
            "doingNothing": _line(nothing),
            "saved": _saved(actual, nothing),
            "doingNothingSavesZero": is_zero(books.nothing.saved()),
            "sites": {
                name: {
                    "asRun": _line(line),
                    "doingNothing": _line(books.books.baseline_sites.get(name, Line())),
                }
                for name, line in sorted(books.books.sites.items())
            },
            "workloads": {
                name: {
                    "asRun": _line(line),
                    "doingNothing": _line(books.books.baseline_workloads.get(name, Line())),
                }
                for name, line in sorted(books.books.workloads.items())
            },
        },
        "truth": {
            "sites": plants,
            "total": _sum_plants(plants),
            "residual": _residual(actual, _sum_plants(plants)),
        },
        "clients": {model: _clients(rows, inside) for model, rows in requests.items()},
        "batch": dict(batch),
        "moments": [asdict(row) for row in moments],
        "complete": all(row.seen for row in moments),
        "event": asdict(order),
        "decisions": [
            asdict(row)
            for row in told
            if row.subject.startswith("FlexibleWorkload/") and row.action in _ACTIONS
        ],
        "samples": [_thin(row) for row in inside],
    }


_ACTIONS = ("ScaleTo", "Pause", "Resume", "Migrate", "Hold", "Restore", "Guard")


def _line(line: Line) -> dict[str, Any]:
    share = line.green_share()
    per_million = line.cost_per_million_tokens()
    per_thousand = line.grams_per_thousand_tokens()
    return {
        "energyKilowattHours": round(kilowatt_hours(line.facility_joules), 3),
        "greenKilowattHours": round(kilowatt_hours(line.green_joules), 3),
        "cost": _text(line.cost, 4),
        "carbonGrams": round(float(line.grams)),
        "greenShare": None if share is None else round(float(share), 4),
        "tokens": line.tokens,
        "costPerMillionTokens": None if per_million is None else _text(per_million, 4),
        "gramsPerThousandTokens": None if per_thousand is None else round(float(per_thousand), 3),
        "unpricedKilowattHours": round(kilowatt_hours(line.unpriced_joules), 3),
    }


def _saved(actual: Line, nothing: Line) -> dict[str, Any]:
    joules = nothing.facility_joules - actual.facility_joules
    cost, grams = nothing.cost - actual.cost, nothing.grams - actual.grams
    return {
        "energyKilowattHours": round(kilowatt_hours(joules), 3),
        "energyShare": _ratio(joules, nothing.facility_joules),
        "cost": _text(cost, 4),
        "costShare": _ratio(float(cost), float(nothing.cost)),
        "carbonGrams": round(float(grams)),
        "carbonShare": _ratio(float(grams), float(nothing.grams)),
    }


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _text(value: Decimal, digits: int) -> str:
    return f"{value:.{digits}f}"


_TOTALS = {
    "energyKilowattHours": "facilityWattHours",
    "importKilowattHours": "importWattHours",
    "greenKilowattHours": "greenWattHours",
}


def _plants(start: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the plants booked in the day: their totals at its end less those at its start."""
    found: dict[str, dict[str, Any]] = {}
    for site, after in end.items():
        before = start.get(site) or {}
        row: dict[str, Any] = {
            ours: round((after[theirs] - before.get(theirs, 0.0)) / 1000, 3)
            for ours, theirs in _TOTALS.items()
        }
        row["bill"] = round(after["cost"] - before.get("cost", 0.0), 4)
        row["carbonGrams"] = round(after["carbonGrams"] - before.get("carbonGrams", 0.0))
        row["greenShare"] = _ratio(row["greenKilowattHours"], row["energyKilowattHours"])
        found[site] = row
    return found


def _sum_plants(plants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    keys = (*_TOTALS, "bill", "carbonGrams")
    found: dict[str, Any] = {
        key: round(sum(row[key] for row in plants.values()), 4) for key in keys
    }
    found["greenShare"] = _ratio(found["greenKilowattHours"], found["energyKilowattHours"])
    return found


def _residual(actual: Line, truth: Mapping[str, Any]) -> dict[str, Any]:
    """The plants' energy less the operator's books, kWh and as a share of the truth."""
    difference = truth["energyKilowattHours"] - kilowatt_hours(actual.facility_joules)
    return {
        "energyKilowattHours": round(difference, 3),
        "energyShare": _ratio(difference, truth["energyKilowattHours"]),
        "carbonShare": _ratio(truth["carbonGrams"] - float(actual.grams), truth["carbonGrams"]),
    }


def _clients(rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> dict[str, Any]:
    """Latency and success of a model's requests that were due inside the day."""
    if not samples:
        return {"requests": 0}
    first, last = samples[0].wall, samples[-1].wall
    own = [row for row in rows if first <= row["scheduled_time"] <= last]
    good = [row for row in own if _good(row)]
    ttft = [row["ttft_ms"] for row in own if row["ttft_ms"] is not None]
    windows: dict[int, list[Mapping[str, Any]]] = {}
    for row in own:
        windows.setdefault(int((row["scheduled_time"] - first) // WINDOW_SECONDS), []).append(row)
    return {
        "requests": len(own),
        "succeeded": sum(bool(row["ok"]) for row in own),
        "errors": dict(Counter(str(row.get("error"))[:80] for row in own if not row["ok"])),
        "withinObjective": len(good),
        "attainment": _ratio(len(good), len(own)),
        "burst": _burst(own),
        "objectiveMilliseconds": OBJECTIVE_MILLISECONDS,
        "ttftMilliseconds": {
            "p50": percentile(ttft, 0.5),
            "p95": percentile(ttft, 0.95),
            "p99": percentile(ttft, 0.99),
        },
        "windowsBelowObjective": sum(
            sum(_good(row) for row in group) < 0.95 * len(group) for group in windows.values()
        ),
        "windows": len(windows),
    }


def _burst(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The crowd's share of a model's requests."""
    own = [row for row in rows if row.get("client") == "burst"]
    good = sum(_good(row) for row in own)
    return {"requests": len(own), "withinObjective": good, "attainment": _ratio(good, len(own))}


def _good(row: Mapping[str, Any]) -> bool:
    return bool(row["ok"]) and (row["ttft_ms"] or 0.0) <= OBJECTIVE_MILLISECONDS


def _thin(sample: Sample) -> dict[str, Any]:
    """A sample without the words, for plots."""
    return {
        "grid": round(sample.grid),
        "sites": {
            name: {
                "watts": _rounded(row.meter_watts),
                "import": _rounded(row.import_watts),
                "supply": _rounded(row.supply_watts),
                "limit": row.limit_watts,
                "binding": row.binding,
                "price": row.price,
                "carbon": row.carbon,
                "green": None if row.green_share is None else round(row.green_share, 3),
            }
            for name, row in sample.sites.items()
        },
        "workloads": {
            name: {
                "ready": {place: count[1] for place, count in row.replicas.items()},
                "spec": {place: count[0] for place, count in row.replicas.items()},
                "p95": _rounded(row.ttft_p95_ms),
                "backlog": row.backlog,
            }
            for name, row in sample.workloads.items()
        },
    }


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
