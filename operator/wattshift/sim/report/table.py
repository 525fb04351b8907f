"""A study for a terminal of 100 columns: policies beside the bounds, then what needs more words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wattshift.sim.result import reduced

WIDTH = 100
NAME_WIDTH = 23
Json = Mapping[str, Any]
_ABSENT = "-"
CENT = 0.005
"""Bills that differ by less are the same."""
MARK = "*"
LEGEND = (
    (
        "energy: the bill of energy alone. Capture: what a policy saves of what perfect knowledge could "
        "(B8m); 1 = all of it."
    ),
    (
        "Moves: whole shares of a workload that changed their site. SLO: requests inside their latency "
        "objective. All figures: docs/simulator.md."
    ),
)
MARKED = "does not compare with B0, bounds and others: see the notes"


def table(document: Json) -> str:
    """Everything that a person wants first."""
    grids = (_policies, _detail, _bills, _events, _losses)
    parts = [_head(document), *(part for made in grids if (part := made(document)))]
    parts.append("\n".join(wrap(line) for line in LEGEND))
    notes = [wrap(f"note: {note}") for note in document["notes"]]
    if not all(run["comparable"] for run in document["runs"]):
        notes.insert(0, wrap(f"{MARK} {MARKED}"))
    return "\n\n".join([*parts, "\n".join(notes)] if notes else parts)


def _head(document: Json) -> str:
    scenario = document["scenario"]
    days = sum(row["days"] for row in scenario["windows"])
    windows = len(scenario["windows"])
    facts = (
        f"{days:g} {'day' if days == 1 else 'days'} in {counted(windows, 'window')}, {counted(len(scenario['sites']), 'site')}, "
        f"{counted(scenario['workloads'], 'workload')}, {counted(scenario['events'], 'event')}, "
        f"seed {document['seed']}"
    )
    return "\n".join(
        [wrap(f"{scenario['name']}: {scenario['title']}"), wrap(facts), wrap(aim(document))]
    )


def aim(document: Json) -> str:
    """What policies were told to minimise."""
    price = document["carbonPricePerTonne"]
    words = {
        "declared": f"money, with carbon at {price:g} {document['currency']} per tonne, as the "
        "scenario declares"
        if price
        else "money alone, as the scenario declares",
        "money": "money alone",
        "carbon": "carbon alone",
    }
    aims = dict.fromkeys(run["objective"] for run in document["runs"] if run["policy"] != "b0")
    chosen = [words[name] for name in aims or ("declared",)]
    return f"{'objectives' if len(chosen) > 1 else 'objective'}: {'; '.join(chosen)}"


def counted(number: int, noun: str) -> str:
    """`1 site`, `2 sites`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def told(document: Json, key: str, value: str) -> str:
    """A figure, or a dash where no run has anything of its kind: no site has a price, or carbon."""
    return value if any(run["total"][key] for run in document["runs"]) else _ABSENT


def _policies(document: Json) -> str:
    currency = document["currency"]
    several = len({row["objective"] for row in document["runs"]}) > 1
    rows = []
    for run in document["runs"]:
        total, beside = run["total"], run["againstB0"]
        base = run["policy"] == "b0"
        rows.append(
            [
                _name(run, several=several),
                told(document, "volumetricBill", amount(total["volumetricBill"])),
                _ABSENT if base or beside is None else change(beside["billReduction"]),
                told(document, "carbonGrams", amount(total["carbonGrams"] / 1000)),
                _ABSENT if base or beside is None else change(beside["carbonReduction"]),
                amount(total["itKilowattHours"]),
                decimal(total["movesPerWorkloadDay"], 1),
                _ABSENT if base or beside is None else points(beside["worstLatencyLossPoints"]),
                ratio(run, "money"),
                ratio(run, "carbon"),
            ]
        )
    rows += _bound_rows(document)
    heads = [
        ["", "energy", "vs", "carbon", "vs", "IT", "moves", "latency", "capture of", ""],
        [
            "policy",
            currency,
            "B0",
            "kg",
            "B0",
            "kWh",
            "/day",
            "loss pp",
            "money",
            "carbon",
        ],
    ]
    return grid(heads, rows)


def _bound_rows(document: Json) -> list[list[str]]:
    bounds = document["bounds"]
    base = next((row["total"] for row in document["runs"] if row["policy"] == "b0"), None)
    if not bounds or base is None:
        return []
    rows = []
    for key, words in (("B8m", "B8m: bound with margin"), ("B8", "B8: bound")):
        money = bounds.get("money", {}).get(key)
        grams = bounds.get("carbon", {}).get(key)
        rows.append(
            [
                words,
                amount(money),
                change(reduced(base["volumetricBill"], money)),
                amount(None if grams is None else grams / 1000),
                change(reduced(base["carbonGrams"], grams)),
                *[_ABSENT] * 5,
            ]
        )
    return rows


def _detail(document: Json) -> str:
    currency = document["currency"]
    several = len({row["objective"] for row in document["runs"]}) > 1
    rows = []
    for run in document["runs"]:
        total = run["total"]
        worst = min(
            (v for groups in total["attainment"].values() for v in groups.values()), default=None
        )
        plan = run["decisionTime"]["planSeconds"]
        rows.append(
            [
                _name(run, several=several),
                told(document, "carbonGrams", decimal(total["carbonGramsPerMillionTokens"], 1)),
                told(document, "volumetricBill", decimal(total["energyCostPerMillionTokens"], 4)),
                decimal(total["itJoulesPerToken"], 3),
                percent(total["greenShareHourly"]),
                percent(total["ownSupplyUsedShare"]),
                percent(worst, digits=2),
                decimal(total["reversalsPerWorkloadDay"], 2),
                decimal(
                    total["importLimitViolationSeconds"] + total["coolingLimitViolationSeconds"], 0
                ),
                _milliseconds(plan["p50"]),
                _milliseconds(plan["p99"]),
            ]
        )
    heads = [
        [
            "per 1M output tokens",
            "g",
            currency,
            "IT J",
            "green",
            "supply",
            "worst",
            "rever-",
            "over",
            "plan ms",
            "",
        ],
        [
            "policy",
            "CO2e",
            "",
            "/token",
            "share",
            "used",
            "in SLO",
            "sals/d",
            "limit s",
            "p50",
            "p99",
        ],
    ]
    return grid(heads, rows)


def _bills(document: Json) -> str:
    """The whole bill, where it is more than energy: peaks and fixed charges."""
    runs = document["runs"]
    if all(abs(run["total"]["bill"] - run["total"]["volumetricBill"]) < CENT for run in runs):
        return ""
    several = len({row["objective"] for row in runs}) > 1
    base = next((run["total"]["bill"] for run in runs if run["policy"] == "b0"), None)
    rows = []
    for run in runs:
        total = run["total"]
        saved = None if base is None or run["policy"] == "b0" else reduced(base, total["bill"])
        rows.append(
            [
                _name(run, several=several),
                amount(total["volumetricBill"]),
                amount(total["bill"] - total["volumetricBill"]),
                amount(total["bill"]),
                change(saved),
            ]
        )
    heads = [
        ["whole bill", "energy", "peaks and", "in all", "vs"],
        ["policy", document["currency"], "fixed", "", "B0"],
    ]
    return grid(heads, rows)


def _events(document: Json) -> str:
    if not any(run["total"]["events"]["count"] for run in document["runs"]):
        return ""
    several = len({row["objective"] for row in document["runs"]}) > 1
    rows = []
    for run in document["runs"]:
        found = run["total"]["events"]
        rows.append(
            [
                _name(run, several=several),
                f"{found['met']} of {found['count']}",
                percent(found["samplesInsideShare"], digits=2),
                decimal(found["secondsToShed"]["p50"], 0),
                decimal(found["secondsToShed"]["p99"], 0),
                percent(found["meanError"], digits=2),
                percent(found["meanOverCurtailment"], digits=2),
                percent(found["highestRebound"]),
            ]
        )
    heads = [
        ["events", "", "minutes", "seconds", "to shed", "mean", "over-", "highest"],
        ["policy", "met", "inside", "p50", "p99", "error", "curtailed", "rebound"],
    ]
    return grid(heads, rows)


def _losses(document: Json) -> str:
    """Where capture went, for runs that compare."""
    rows = []
    for run in document["runs"]:
        for objective, found in run["capture"].items():
            if run["objective"] not in (objective, "declared") or found["ratio"] is None:
                continue
            if not run["comparable"]:
                continue
            lost = found["lost"]
            rows.append(
                [
                    f"{'wattshift' if run['policy'] == 'ours' else run['policy']}, {objective}",
                    decimal(found["ratio"], 3),
                    *(decimal(lost.get(name), 3) for name in ("rounding", "moves", "information")),
                    decimal(lost.get("margin"), 3),
                ]
            )
    if not rows:
        return ""
    heads = [
        ["capture on [B0, B8m]", "", "lost to", "lost to", "lost to", "margin,"],
        ["", "ratio", "rounding", "moves", "information", "beyond B8m"],
    ]
    return grid(heads, rows)


# ---- words --------------------------------------------------------------------------------------


def _name(run: Json, *, several: bool) -> str:
    if several and run["policy"] != "b0":
        name = "wattshift" if run["policy"] == "ours" else run["policy"]
        return f"{name} for {run['objective']}{'' if run['comparable'] else f' {MARK}'}"
    words = str(run["title"])
    name = words if run["policy"] == "ours" else f"{run['policy']} {words}"
    mark = "" if run["comparable"] else f" {MARK}"
    most = NAME_WIDTH - len(mark)
    return (name if len(name) <= most else f"{name[: most - 1]}.") + mark


def ratio(run: Json, objective: str) -> str:
    """Capture of a run; in brackets where it does not compare."""
    found = run["capture"].get(objective)
    if not found or found["ratio"] is None:
        return _ABSENT
    return f"{found['ratio']:.3f}" if run["comparable"] else f"({found['ratio']:.3f})"


def amount(value: float | None) -> str:
    """Four to five figures."""
    if value is None:
        return _ABSENT
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def decimal(value: float | None, digits: int) -> str:
    """Fixed digits."""
    return _ABSENT if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, *, digits: int = 1) -> str:
    """A share as percent."""
    return _ABSENT if value is None else f"{100 * value + 0.0:.{digits}f}%"


def change(reduction: float | None) -> str:
    """A reduction told as the change that it is: less is negative, more has its plus."""
    return _ABSENT if reduction is None else f"{round(-100 * reduction, 1) + 0.0:+.1f}%"


def points(value: float | None) -> str:
    """Percentage points; a gain is negative."""
    return _ABSENT if value is None else f"{round(value, 2) + 0.0:+.2f}"


def _milliseconds(value: float | None) -> str:
    return _ABSENT if value is None else f"{1000 * value:.1f}"


def grid(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> str:
    """Names left, figures right; two blanks between."""
    cells = [*heads, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads[0]))]
    lines = []
    for row in cells:
        padded = [row[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def wrap(text: str) -> str:
    """At 100 columns, on blanks."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])
