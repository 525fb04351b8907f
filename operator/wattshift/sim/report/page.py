"""The report folder: one HTML page that needs nothing else, and the study as JSON beside it.

The page shows one policy (wattshift where it ran) against B0 and the bounds over the first window.
Neighbours: `plots.py` (what is drawn), `svg.py` (how), `table.py` (the same figures in a terminal).
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wattshift.sim.report import plots
from wattshift.sim.report.study import BASELINE, Run, Study
from wattshift.sim.report.table import (
    CENT,
    MARK,
    MARKED,
    aim,
    amount,
    change,
    counted,
    decimal,
    percent,
    points,
    ratio,
    told,
)
from wattshift.sim.result import reduced

Json = Mapping[str, Any]
_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif;color:#1c2126;
background:#fff;max-width:920px;margin:28px auto 60px;padding:0 20px}
h1{font-size:25px;line-height:1.25;margin:0 0 4px}h2{font-size:18px;margin:34px 0 6px}
p{margin:6px 0 10px}.lead{color:#4a525b}.small{color:#5b636c;font-size:13px}
table{border-collapse:collapse;font-size:13.5px;margin:10px 0;width:100%}
th{text-align:right;font-weight:600;color:#3b434b;border-bottom:1.5px solid #9aa2ab;padding:4px 7px;
vertical-align:bottom}td{text-align:right;padding:4px 7px;border-bottom:1px solid #e6e9ec;
font-variant-numeric:tabular-nums;white-space:nowrap}th:first-child,td:first-child{text-align:left}
tr.us td{background:#eaf3fa;font-weight:600}tr.bound td{color:#5b636c;font-style:italic}
.row{display:flex;flex-wrap:wrap;gap:10px 16px}svg{max-width:100%;height:auto;display:block}
svg text{font:11px system-ui,-apple-system,"Segoe UI",Arial,sans-serif;fill:#4a525b}
svg text.t{font-size:12.5px;font-weight:600;fill:#1c2126}svg text.n{fill:#5b636c}
svg .g{stroke:#e3e6e9;stroke-width:1}svg .z{stroke:#7d858e;stroke-width:1}svg .k{stroke:#9aa2ab}
svg .s{fill:#fdeed2}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:#3b434b;margin:4px 0 6px}
.legend i{display:inline-block;width:24px;margin-right:6px;vertical-align:middle}
.facts{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}
.facts div{border:1px solid #dfe3e7;border-radius:6px;padding:8px 14px;min-width:120px}
.facts b{display:block;font-size:20px}.facts span{font-size:12.5px;color:#5b636c}
ul{margin:6px 0;padding-left:20px}li{margin:2px 0}
"""


def write(folder: Path, study: Study, document: Json) -> Path:
    """Write `index.html` and `study.json`; the page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(
        json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    path = folder / "index.html"
    path.write_text(page(study, document), encoding="utf-8")
    return path


def page(study: Study, document: Json) -> str:
    """The whole page."""
    scenario, run = document["scenario"], shown_run(study)
    baseline = next((row for row in study.runs if row.policy == BASELINE), None)
    if baseline is run:
        baseline = None
    body = [
        f"<h1>{html.escape(scenario['title'] or scenario['name'])}</h1>",
        f'<p class="lead">{html.escape(_facts(document))}</p>',
        f"<p>{html.escape(scenario['description'])}</p>" if scenario["description"] else "",
        _highlights(document, run),
        "<h2>Policies against the bounds</h2>",
        _policies(document, run),
        _marked(document),
        f'<p class="small">{html.escape(_explained(document))}</p>',
    ]
    for found in plots.sections(study, run, baseline):
        body += [f"<h2>{html.escape(found.title)}</h2>", f"<p>{html.escape(found.words)}</p>"]
        body += [found.legend, f'<div class="row">{"".join(found.pictures)}</div>']
    body += [_losses(document), _simulated(document)]
    title = html.escape(f"{scenario['name']}: wattshift simulation")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def shown_run(study: Study) -> Run:
    """What is drawn: wattshift, else the last policy."""
    ours = [row for row in study.runs if row.policy == "ours"]
    return (ours or list(study.runs))[0 if ours else -1]


def _facts(document: Json) -> str:
    scenario = document["scenario"]
    days = sum(row["days"] for row in scenario["windows"])
    return (
        f"Scenario {scenario['name']}, seed {document['seed']}: {days:g} {'day' if days == 1 else 'days'} in "
        f"{counted(len(scenario['windows']), 'window')} from {scenario['windows'][0]['start'][:10]} on, "
        f"{counted(len(scenario['sites']), 'site')}, {counted(scenario['workloads'], 'workload')}, "
        f"{counted(scenario['origins'], 'group')} of users, {counted(scenario['events'], 'power event')}; "
        f"{aim(document)}. wattshift {document['version']}."
    )


def _highlights(document: Json, run: Run) -> str:
    row = _row(document, run)
    beside, total = row["againstB0"], row["total"]
    facts: list[tuple[str, str]] = []
    if beside is not None and run.policy != BASELINE:
        mark = "" if row["comparable"] else f" {MARK}"
        facts += [
            (change(beside["billReduction"]) + mark, "energy bill against B0"),
            (change(beside["carbonReduction"]) + mark, "carbon against B0"),
        ]
        facts += _whole_bill(document, total, mark)
        facts += [
            (f"{found['ratio']:.3f}", f"capture of the {name} bound")
            for name, found in row["capture"].items()
            if found["ratio"] is not None
            and row["comparable"]
            and (run.objective == name or (run.objective, name != "declared") == ("declared", True))
        ]
        loss = beside["worstLatencyLossPoints"]
        if loss is not None:
            facts.append((f"{points(loss)} pp", "latency loss, worst class"))
    facts.append((decimal(total["movesPerWorkloadDay"], 1), "moves per workload and day"))
    if total["events"]["count"]:
        facts.append(
            (f"{total['events']['met']} of {total['events']['count']}", "power events met")
        )
    cells = "".join(
        f"<div><b>{html.escape(value)}</b><span>{html.escape(words)}</span></div>"
        for value, words in facts
    )
    return f'<div class="facts">{cells}</div>'


def _whole_bill(document: Json, total: Json, mark: str) -> list[tuple[str, str]]:
    """Against B0, where there is more to pay than energy."""
    base = next((row["total"] for row in document["runs"] if row["policy"] == BASELINE), None)
    if base is None or abs(total["bill"] - total["volumetricBill"]) < CENT:
        return []
    less = change(reduced(base["bill"], total["bill"]))
    return [(less + mark, "whole bill, peaks and fixed charges included")]


def _row(document: Json, run: Run) -> Json:
    found: Json = next(
        row
        for row in document["runs"]
        if row["policy"] == run.policy and row["objective"] == run.objective
    )
    return found


def _policies(document: Json, run: Run) -> str:
    currency = document["currency"]
    several = len({row["objective"] for row in document["runs"]}) > 1
    heads = [
        "policy",
        f"energy bill {currency}",
        "vs B0",
        "carbon kg",
        "vs B0",
        "IT kWh",
        "green share",
        "moves /day",
        "latency loss pp",
        "capture money",
        "capture carbon",
    ]
    lines = []
    for row in document["runs"]:
        total, beside = row["total"], row["againstB0"]
        base = row["policy"] == BASELINE or beside is None
        label = row["title"] if row["policy"] == "ours" else f"{row['policy']} {row['title']}"
        if several and row["policy"] != BASELINE:
            label += f" for {row['objective']}"
        cells = [
            label if row["comparable"] else f"{label} {MARK}",
            told(document, "volumetricBill", amount(total["volumetricBill"])),
            "-" if base else change(beside["billReduction"]),
            told(document, "carbonGrams", amount(total["carbonGrams"] / 1000)),
            "-" if base else change(beside["carbonReduction"]),
            amount(total["itKilowattHours"]),
            percent(total["greenShareHourly"]),
            decimal(total["movesPerWorkloadDay"], 1),
            "-" if base else points(beside["worstLatencyLossPoints"]),
            ratio(row, "money"),
            ratio(row, "carbon"),
        ]
        lines.append((cells, "us" if row["policy"] == run.policy == "ours" else ""))
    lines += [(cells, "bound") for cells in _bounds(document, len(heads))]
    return _table(heads, lines)


def _bounds(document: Json, width: int) -> list[list[str]]:
    base = next((row["total"] for row in document["runs"] if row["policy"] == BASELINE), None)
    if base is None or not document["bounds"]:
        return []
    rows = []
    for key, words in (("B8m", "bound with margin (B8m)"), ("B8", "bound (B8)")):
        money = document["bounds"].get("money", {}).get(key)
        grams = document["bounds"].get("carbon", {}).get(key)
        row = [
            words,
            amount(money),
            change(reduced(base["volumetricBill"], money)),
            amount(None if grams is None else grams / 1000),
            change(reduced(base["carbonGrams"], grams)),
        ]
        rows.append(row + [""] * (width - len(row)))
    return rows


def _marked(document: Json) -> str:
    """Why rows carry a mark; the notes stand where the mark is read."""
    if all(row["comparable"] for row in document["runs"]):
        return ""
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in document["notes"])
    return f"<p>{MARK} {html.escape(MARKED.partition(':')[0])}:</p><ul>{notes}</ul>"


def _explained(document: Json) -> str:
    margin = document["scenario"]["margin"]
    return (
        "B0: every site serves its nearest users and autoscales for itself. The bounds know everything "
        "in advance and pay for no start and no move; each is for its objective alone. B8m keeps "
        f"{margin:.0%} of each site's capacity free, as plans must. Capture = (B0 - policy) / "
        "(B0 - B8m). Latency loss: points of requests outside their objective more than under B0, in "
        "the worst class of users. A move is one whole share of a workload that changes its site."
    )


def _losses(document: Json) -> str:
    lines = []
    for row in document["runs"]:
        for objective, found in row["capture"].items():
            if found["ratio"] is None or row["objective"] not in (objective, "declared"):
                continue
            if not row["comparable"]:
                continue
            label = row["title"] if row["policy"] == "ours" else f"{row['policy']} {row['title']}"
            lost = found["lost"]
            cells = [
                f"{label}, {objective}",
                decimal(found["ratio"], 3),
                *(
                    decimal(lost.get(name), 3)
                    for name in ("rounding", "moves", "information", "margin")
                ),
            ]
            lines.append((cells, "us" if row["policy"] == "ours" else ""))
    if not lines:
        return ""
    heads = [
        "policy, objective",
        "capture",
        "rounding",
        "moves",
        "information",
        "margin (beyond B8m)",
    ]
    return (
        "<h2>Where capture is lost</h2><p>As shares of B0 less B8m: whole replicas; starting them and "
        "moving load; not knowing the future, and all else (negative: better than that schedule). The margin lies beyond B8m.</p>"
        + _table(heads, lines)
    )


def _simulated(document: Json) -> str:
    scenario = document["scenario"]
    sources = "".join(f"<li>{html.escape(text)}</li>" for text in scenario["sources"])
    shown = [] if _marked(document) else document["notes"]
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in shown)
    return (
        "<h2>What this is</h2><p>A simulation. Replicas, queues, power, token latency, starting and "
        "draining follow tables and formulas, not machines; decisions are those of the real planner and "
        "governor where the policy is wattshift. Policies see delayed telemetry and forecasts that had "
        "been issued, never the future.</p>"
        + (f"<p>Data of the scenario:</p><ul>{sources}</ul>" if sources else "")
        + (f"<p>Not told here:</p><ul>{notes}</ul>" if notes else "")
    )


def _table(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]) -> str:
    head = "".join(f"<th>{html.escape(word)}</th>" for word in heads)
    lines = []
    for cells, kind in rows:
        mark = f' class="{kind}"' if kind else ""
        lines.append(
            f"<tr{mark}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
