"""The report as one self-contained HTML page: figures, check list, plots of the day."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from e2e.demo import scene
from e2e.demo.moments import hour_text
from e2e.demo.plots import Mark, Plot, Series, legend, nice, svg

COLOURS = {"shanghai": "#c2410c", "gansu": "#0f766e", "inner-mongolia": "#4338ca"}
ACTION_COLOURS = {
    "ScaleTo": "#475569",
    "Migrate": "#7c3aed",
    "Pause": "#b91c1c",
    "Resume": "#15803d",
    "Guard": "#d97706",
}
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0;background:#f6f7f9;color:#1c2430}
main{max-width:1000px;margin:0 auto;padding:24px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}p{margin:4px 0}
.note{color:#5b6675;font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:16px 0}
.card,.box{background:#fff;border:1px solid #e3e7ed;border-radius:8px;padding:12px 14px}
.card b{display:block;font-size:22px}.card span{color:#5b6675;font-size:13px}
.box{margin:10px 0;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid #edf0f4}
th:first-child,td:first-child{text-align:left}
td.text{text-align:left;color:#3b4656}
.yes{color:#15803d}.no{color:#b91c1c}
svg{width:100%;height:auto;display:block}
svg text{font-size:11px;fill:#5b6675}svg .grid{stroke:#e8ebf0}svg .unit{font-weight:600}
svg .shade{fill:#fca5a5;fill-opacity:.35}svg .mark line{stroke-width:1;stroke-dasharray:2 3}
.legend{font-size:13px;color:#3b4656}.key{margin-right:16px;white-space:nowrap}
.key i{display:inline-block;width:22px;margin-right:6px;vertical-align:middle}
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole document."""
    body = [
        "<h1>wattshift: a day of power over three sites</h1>",
        f'<p class="note">{_subtitle(report)}</p>',
        _cards(report),
        "<h2>What this day had to show</h2>",
        _moments(report["moments"]),
        "<h2>Power at each site against its limit</h2>",
        *(_site_plot(report, site) for site in scene.SITES),
        "<h2>Price and carbon</h2>",
        _signals_plot(report, "price", "CNY/kWh", "Marginal price of one more kWh"),
        _signals_plot(report, "carbon", "g/kWh", "Carbon intensity of the grid"),
        "<h2>Replicas in service, and why they changed</h2>",
        *(_workload_plot(report, name) for name in scene.WORKLOADS),
        "<h2>Latency at the clients</h2>",
        _latency_plot(report),
        _clients_table(report),
        "<h2>Books</h2>",
        _books_table(report),
        _truth_table(report),
        "<h2>Decisions</h2>",
        _decisions(report["decisions"]),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>wattshift demo report</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _subtitle(report: Mapping[str, Any]) -> str:
    day = report["day"]
    text = (
        f"Replayed at {day['speed']:g} times real time in {day['wallSeconds']:.0f} s: energy, prices "
        "and events on the grid clock, latency on the wall clock. Signals are synthetic (examples/"
        "east-west/data/SOURCE.md); API servers, engines, router, clients and meters are real processes."
    )
    if report["substituted"]:
        text += " Changed in the example objects: " + "; ".join(report["substituted"]) + "."
    return html.escape(text)


def _cards(report: Mapping[str, Any]) -> str:
    saved, run = report["books"]["saved"], report["books"]["asRun"]
    nothing = report["books"]["doingNothing"]
    attained = [row["attainment"] for row in report["clients"].values() if row["requests"]]
    rows = [
        (_percent(saved["costShare"]), f"cost saved ({float(saved['cost']):.1f} CNY)"),
        (_percent(saved["carbonShare"]), f"carbon saved ({saved['carbonGrams'] / 1000:.0f} kg)"),
        (
            _percent(saved["energyShare"]),
            f"energy saved ({saved['energyKilowattHours']:.0f} kWh)",
        ),
        (
            _percent(run["greenShare"]),
            f"green share (doing nothing {_percent(nothing['greenShare'])})",
        ),
        (
            _percent(min(attained, default=None)),
            "requests within the objective, worst model, burst included",
        ),
    ]
    cards = (
        f'<div class="card"><b>{html.escape(value)}</b><span>{html.escape(words)}</span></div>'
        for value, words in rows
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _moments(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        mark = '<b class="yes">seen</b>' if row["seen"] else '<b class="no">not seen</b>'
        when = hour_text(row["time"])[3:] if row["time"] is not None else ""
        words = "<br>".join(html.escape(row[key]) for key in ("words", "evidence") if row[key])
        lines.append(
            f"<tr><td>{html.escape(row['name'])}</td><td>{mark}</td><td>{when}</td>"
            f'<td class="text"><b>{html.escape(row["reason"])}</b> {words}</td></tr>'
        )
    return f'<div class="box"><table>{"".join(lines)}</table></div>'


def _hours(report: Mapping[str, Any]) -> tuple[float, float]:
    grids = [row["grid"] for row in report["samples"]]
    return (_hour(report, grids[0]), _hour(report, grids[-1])) if grids else (0.0, 24.0)


def _hour(report: Mapping[str, Any], grid: float) -> float:
    """Hours since the local midnight at which the day of the event began."""
    event = report["event"]
    midnight = event["start"] - (event["start"] + scene.ZONE_HOURS * 3600) % scene.DAY_SECONDS
    return float(grid - midnight) / 3600


def _points(
    report: Mapping[str, Any], path: Sequence[str], scale: float = 1.0
) -> list[tuple[float, float | None]]:
    found = []
    for row in report["samples"]:
        value: Any = row
        for key in path:
            value = None if value is None else value.get(key)
        found.append((_hour(report, row["grid"]), None if value is None else value * scale))
    return found


def _boxed(plot: Plot, note: str = "") -> str:
    words = f'<p class="note">{html.escape(note)}</p>' if note else ""
    return f'<div class="box"><b>{html.escape(plot.title)}, {html.escape(plot.unit)}</b>{legend(plot)}{svg(plot)}{words}</div>'


def _site_plot(report: Mapping[str, Any], site: str) -> str:
    event = report["event"]
    shade = None
    if event["site"] == site:
        shade = (
            _hour(report, event["start"]),
            _hour(report, event["end"]),
            f"{event['name']}: import at most {event['upper_watts'] / 1000:.1f} kW",
        )
    series = [
        Series(
            name="power by the plant's meter",
            colour=COLOURS[site],
            points=_points(report, ("sites", site, "watts"), 0.001),
            area=True,
        ),
        Series(
            name="limit by the operator, where it is on the scale",
            colour="#dc2626",
            points=_points(report, ("sites", site, "limit"), 0.001),
            dash=True,
            step=True,
        ),
    ]
    if any(row["sites"][site]["supply"] for row in report["samples"]):
        series.append(
            Series(
                name="own wind",
                colour="#16a34a",
                points=_points(report, ("sites", site, "supply"), 0.001),
            )
        )
    loads = [value for _, value in series[0].points if value is not None]
    plot = Plot(
        title=site,
        unit="kW",
        series=series,
        hours=_hours(report),
        shade=shade,
        top=nice(1.05 * max([*loads, 1.0])),
    )
    return _boxed(plot, "Shaded: the grid's order." if shade else "")


def _signals_plot(report: Mapping[str, Any], key: str, unit: str, title: str) -> str:
    series = [
        Series(
            name=site,
            colour=COLOURS[site],
            points=_points(report, ("sites", site, key)),
            step=True,
        )
        for site in scene.SITES
    ]
    return _boxed(Plot(title=title, unit=unit, series=series, hours=_hours(report)))


def _workload_plot(report: Mapping[str, Any], name: str) -> str:
    places = sorted(
        {place for row in report["samples"] for place in row["workloads"][name]["ready"]}
    )
    counts = [
        count for row in report["samples"] for count in row["workloads"][name]["ready"].values()
    ]
    most = max([*counts, 1])
    marks = [
        Mark(
            hour=_hour(report, row["grid"]),
            text=f"{hour_text(row['grid'])[3:]} {row['action']} {row['reason']}: {row['note']}",
            colour=ACTION_COLOURS[row["action"]],
        )
        for row in report["decisions"]
        if row["subject"].endswith(f"/{name}") and row["action"] in ACTION_COLOURS
    ]
    plot = Plot(
        title=name,
        unit="replicas",
        series=[
            Series(
                name=place,
                colour=COLOURS[place],
                points=_points(report, ("workloads", name, "ready", place)),
                step=True,
                area=True,
            )
            for place in places
        ],
        hours=_hours(report),
        marks=marks,
        ticks=most,
        top=most,
    )
    return _boxed(
        plot,
        "Marks: decisions (grey scale, violet hand-over, red pause, green resume); point at one to read its reason.",
    )


def _latency_plot(report: Mapping[str, Any]) -> str:
    series = [
        Series(name=model, colour=colour, points=_points(report, ("workloads", model, "p95")))
        for model, colour in ((scene.CHAT, "#0f766e"), (scene.CODE, "#c2410c"))
    ]
    objective = [(hour, 1000.0) for hour in _hours(report)]
    series.append(Series(name="objective", colour="#dc2626", points=objective, dash=True))
    plot = Plot(
        title="Time to first token, p95 of the last 5 s",
        unit="ms",
        series=series,
        hours=_hours(report),
    )
    return _boxed(plot)


def _clients_table(report: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("model", "requests", "failed", "within 1000 ms", "p50", "p95", "p99")
    ]
    for model, row in report["clients"].items():
        ttft = row.get("ttftMilliseconds") or {}
        rows.append(
            (
                model,
                str(row["requests"]),
                str(row["requests"] - row.get("succeeded", 0)),
                _percent(row.get("attainment")),
                *(_ms(ttft.get(key)) for key in ("p50", "p95", "p99")),
            )
        )
    return _table(rows)


def _books_table(report: Mapping[str, Any]) -> str:
    books = report["books"]
    rows: list[tuple[str, ...]] = [
        ("operator's estimator", "kWh", "cost, CNY", "kgCO2e", "green", "CNY per 1M tokens")
    ]
    for name, line in (("as run", books["asRun"]), ("doing nothing", books["doingNothing"])):
        rows.append(_books_row(name, line))
    for key, line in books["workloads"].items():
        rows.append(_books_row(f"{key}, as run", line["asRun"]))
        rows.append(_books_row(f"{key}, doing nothing", line["doingNothing"]))
    zero = "exactly 0" if books["doingNothingSavesZero"] else "NOT 0"
    return _table(rows) + (
        f'<p class="note">Self-check: doing nothing, booked by the same rules, saves {zero}. '
        "Its latency is not measured.</p>"
    )


def _books_row(name: str, line: Mapping[str, Any]) -> tuple[str, ...]:
    per_million = line["costPerMillionTokens"]
    return (
        name,
        f"{line['energyKilowattHours']:.1f}",
        f"{float(line['cost']):.2f}",
        f"{line['carbonGrams'] / 1000:.1f}",
        _percent(line["greenShare"]),
        "-" if per_million is None else f"{float(per_million):.2f}",
    )


def _truth_table(report: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("the plants' truth", "kWh", "of it wind", "green", "bill, CNY", "kgCO2e")
    ]
    sites = {**report["truth"]["sites"], "together": report["truth"]["total"]}
    for name, row in sites.items():
        rows.append(
            (
                name,
                f"{row['energyKilowattHours']:.1f}",
                f"{row['greenKilowattHours']:.1f}",
                _percent(row["greenShare"]),
                f"{row['bill']:.2f}",
                f"{row['carbonGrams'] / 1000:.1f}",
            )
        )
    residual = report["truth"]["residual"]
    return _table(rows) + (
        f'<p class="note">Residual, truth less the operator\'s books: '
        f"{residual['energyKilowattHours']:+.1f} kWh ({_percent(residual['energyShare'])}). "
        "Printed, never spread.</p>"
    )


def _decisions(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(
        f"<tr><td>{hour_text(row['grid'])}</td><td class=text>{html.escape(row['subject'][17:])}</td>"
        f'<td class="text">{row["action"]}</td><td class="text">{html.escape(row["reason"])}</td>'
        f'<td class="text">{html.escape(row["note"])}</td></tr>'
        for row in rows
        if row["action"] != "Hold"
    )
    return f'<div class="box"><table>{lines}</table></div>'


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows[1:]
    )
    return f'<div class="box"><table><tr>{head}</tr>{body}</table></div>'


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
