"""The final report as text for the terminal; figures come from `report.build` only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from e2e.demo.moments import VETO, hour_text
from e2e.demo.table import wrapped

_WIDE = 112


def summary(report: Mapping[str, Any]) -> list[str]:
    """All lines."""
    return [
        "",
        "=" * _WIDE,
        "REPORT of the replayed day",
        "=" * _WIDE,
        *_money(report["books"]),
        "",
        *_truth(report),
        "",
        *_latency(report),
        "",
        *_moments(report),
        "",
    ]


def _money(books: Mapping[str, Any]) -> list[str]:
    run, nothing, saved = books["asRun"], books["doingNothing"], books["saved"]

    def row(name: str, first: str, second: str, third: str) -> str:
        return f"{name:<34} {first:>14} {second:>14} {third:>22}"

    lines = [
        row("by the operator's estimator", "as run", "doing nothing", "saved"),
        row(
            "energy at the facility, kWh",
            f"{run['energyKilowattHours']:.1f}",
            f"{nothing['energyKilowattHours']:.1f}",
            f"{saved['energyKilowattHours']:.1f} ({_share(saved['energyShare'])})",
        ),
        row(
            "cost, CNY (all-in margin)",
            f"{float(run['cost']):.2f}",
            f"{float(nothing['cost']):.2f}",
            f"{float(saved['cost']):.2f} ({_share(saved['costShare'])})",
        ),
        row(
            "carbon, kgCO2e",
            f"{run['carbonGrams'] / 1000:.1f}",
            f"{nothing['carbonGrams'] / 1000:.1f}",
            f"{saved['carbonGrams'] / 1000:.1f} ({_share(saved['carbonShare'])})",
        ),
        row(
            "green share, matched as it ran",
            _share(run["greenShare"]),
            _share(nothing["greenShare"]),
            "",
        ),
        row(
            "CNY per 1M output tokens",
            _number(run["costPerMillionTokens"]),
            _number(nothing["costPerMillionTokens"]),
            "",
        ),
        row(
            "gCO2e per 1k output tokens",
            _number(run["gramsPerThousandTokens"]),
            _number(nothing["gramsPerThousandTokens"]),
            "",
        ),
    ]
    zero = "exactly 0" if books["doingNothingSavesZero"] else "NOT 0: the books are wrong"
    lines.append(
        f"self-check: doing nothing, booked by the same rules over the same {books['steps']} steps, "
        f"saves {zero}"
    )
    if books["gapSeconds"]:
        lines.append(f"not covered by recorded steps: {books['gapSeconds']} s of grid time")
    lines.append(
        "doing nothing = every model at the counts found, at the same load; its latency is not measured"
    )
    return lines


def _truth(report: Mapping[str, Any]) -> list[str]:
    truth, residual = report["truth"]["total"], report["truth"]["residual"]
    lines = [
        (
            f"{'by the plants (independent truth)':<34} {'kWh':>9} {'of it wind':>11} {'green':>7} "
            f"{'bill, CNY':>10} {'kgCO2e':>8}"
        )
    ]
    for site, row in report["truth"]["sites"].items():
        lines.append(_plant_line(site, row))
    lines.append(_plant_line("together", truth))
    lines.append(
        f"residual, truth less operator's books: {residual['energyKilowattHours']:+.1f} kWh "
        f"({_share(residual['energyShare'], signed=True)} of the energy, "
        f"{_share(residual['carbonShare'], signed=True)} of the carbon); printed, never spread"
    )
    lines.append(
        "the operator's cost also prices carbon and the green obligation; the plants' bill is money paid"
    )
    return lines


def _plant_line(name: str, row: Mapping[str, Any]) -> str:
    return (
        f"{name:<34} {row['energyKilowattHours']:>9.1f} {row['greenKilowattHours']:>11.1f} "
        f"{_share(row['greenShare']):>7} {row['bill']:>10.2f} {row['carbonGrams'] / 1000:>8.1f}"
    )


def _latency(report: Mapping[str, Any]) -> list[str]:
    lines = [
        (
            f"{'at the clients (wall clock)':<22} {'requests':>8} {'failed':>7} {'within':>8} {'p50':>7} "
            f"{'p95':>7} {'p99':>7}   objective: first token in 1000 ms"
        )
    ]
    for model, row in report["clients"].items():
        if not row["requests"]:
            lines.append(f"{model:<22} {0:>8}")
            continue
        ttft = row["ttftMilliseconds"]
        lines.append(
            f"{model:<22} {row['requests']:>8} {row['requests'] - row['succeeded']:>7} "
            f"{_share(row['attainment']):>8} {_ms(ttft['p50']):>7} {_ms(ttft['p95']):>7} "
            f"{_ms(ttft['p99']):>7}   {row['windowsBelowObjective']} of {row['windows']} windows of 5 s below 95 %"
        )
        if row["burst"]["requests"]:
            lines.append(
                f"    of these in the burst: {row['burst']['requests']} requests, "
                f"{_share(row['burst']['attainment'])} within"
            )
        lines += [f"    {count} x {error}" for error, count in row["errors"].items()]
    if any(row["seen"] and row["name"] == VETO for row in report["moments"]):
        lines.append(
            "a veto freezes the savings of its model for three clean windows of its objective, on the wall "
            "clock: long on the plots"
        )
    batch = report["batch"]
    if batch:
        lines.append(
            f"batch: {batch['completedUnits']} of {batch['submittedUnits']} units done, "
            f"{batch['backlogUnits']} wait, {batch['lostUnits']} lost, "
            f"{batch['failedAttempts']} attempts sent again"
        )
    return lines


def _moments(report: Mapping[str, Any]) -> list[str]:
    lines = ["what this day had to show"]
    for row in report["moments"]:
        mark = "[x]" if row["seen"] else "[ ]"
        when = hour_text(row["time"]) if row["time"] is not None else "not seen"
        lines.append(f"{mark} {row['name']:<36} {when:<9} {row['reason']}")
        for key, name in (("words", "said"), ("evidence", "seen")):
            if row[key]:
                lines += [f"      {line}" for line in wrapped(f"{name}: {row[key]}", "      ", 100)]
    return lines


def _share(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.1%}" if signed else f"{value:.1%}"


def _number(value: Any) -> str:
    return "-" if value is None else f"{float(value):.2f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
