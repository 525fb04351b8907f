"""False vetoes and missed violations of the latency guard, on streams whose truth is known.

`python -m wattshift.sim.guard_trial [--seeds N] [-o table|json]`. The real windows count the scrapes of a
seeded stream, the real guard judges them every minute; only requests are invented. Neighbours:
`guard_stream.py` (requests), `docs/guard.md` (the table).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from wattshift.adapters.latency.stats import engine_stats
from wattshift.adapters.latency.window import PlacementWindow
from wattshift.core.engine import Metric
from wattshift.core.load.guard import GuardState, GuardVerdict, judge
from wattshift.core.model import Objective, PlacementState
from wattshift.sim.guard_stream import Stream, scrapes

RATIOS = (0.8, 0.95, 1.05, 1.5)
RATES = (6.0, 60.0, 600.0)
WARM_SECONDS = 3600.0
"""Served at 0.6 x the objective before a stream is judged."""
TICK_SECONDS = 60.0
"""Between two judgements: the fast window, so that each sees samples that no other has seen."""
WINDOW_SECONDS = 600
ATTAINMENT_PERMILLE = 950
BEFORE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One stream, judged."""

    ticks: int
    vetoes: int
    """Ticks at which a violation was seen."""
    hours_vetoed: int
    hours: int
    removals: int
    """Ticks at which a removal was allowed."""
    detected_after: float
    """Seconds from the change to the first veto; infinite = never."""
    states: tuple[str, ...] = ()
    """Every state and reason that was met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All seeds of one case."""

    name: str
    objective: str
    per_minute: float
    ratio: float
    true_bad_percent: float
    allowed_percent: float
    hours: int
    false_veto_hours_percent: float | None
    """Of judged hours with a veto, where the objective holds; None where it does not."""
    false_veto_ticks_percent: float | None
    missed_percent: float | None
    """Of streams that were never vetoed within two hours, where the objective is missed."""
    windows_to_veto_median: float | None
    windows_to_veto_worst: float | None
    """In slow windows of ten minutes."""
    removal_percent: float
    """Of ticks at which a removal was allowed: right where the objective holds, wrong where not."""


def objective_of(stream: Stream) -> Objective:
    """The objective that a stream is judged by: 95 % within ten minutes."""
    return Objective(
        metric=stream.metric,
        threshold_milliseconds=stream.threshold_milliseconds,
        attainment_permille=ATTAINMENT_PERMILLE,
        window_seconds=WINDOW_SECONDS,
    )


def run(stream: Stream, *, from_seconds: float = WARM_SECONDS) -> Outcome:
    """Feed a stream through the windows and judge it every minute from `from_seconds` on."""
    window, objective = PlacementWindow(), objective_of(stream)
    verdicts: list[tuple[float, GuardVerdict]] = []
    due = from_seconds + TICK_SECONDS
    for scrape in scrapes(stream):
        window.add(scrape)
        if scrape.wall_time >= due:
            due += TICK_SECONDS
            verdict = verdict_of(window, objective, scrape.wall_time, stream.scrape_seconds)
            verdicts.append((scrape.wall_time - from_seconds, verdict))
    return _outcome(verdicts)


def verdict_of(
    window: PlacementWindow, objective: Objective, now: float, scrape_seconds: float
) -> GuardVerdict:
    """What the guard says of one placement with these windows."""
    replicas = max(1, len(window.pods))
    stats = engine_stats(
        window,
        (objective,),
        now=now,
        pods_expected=replicas,
        scrape_interval_seconds=scrape_seconds,
    )
    placement = PlacementState(
        name="trial",
        site_name="trial",
        cluster_name="trial",
        profile_name="",
        min_replicas=0,
        max_replicas=replicas,
        baseline_replicas=None,
        target_found=True,
        target_problem="",
        observed_replicas=replicas,
        ready_replicas=replicas,
        in_service_replicas=replicas,
        desired_replicas=None,
        last_written_replicas=None,
        last_write_time=None,
        rival=False,
        engine=stats,
    )
    return judge(placement, (objective,), wall_time=now)


def _outcome(verdicts: Sequence[tuple[float, GuardVerdict]]) -> Outcome:
    vetoed = [time for time, row in verdicts if row.state is GuardState.VIOLATED]
    hours = {math.floor((time - 1e-9) / 3600) for time, _ in verdicts}
    return Outcome(
        ticks=len(verdicts),
        vetoes=len(vetoed),
        hours_vetoed=len({math.floor((time - 1e-9) / 3600) for time in vetoed}),
        hours=len(hours),
        removals=sum(row.removal_allowed for _, row in verdicts),
        detected_after=vetoed[0] if vetoed else math.inf,
        states=tuple(sorted({f"{row.state}/{row.reason or '-'}" for _, row in verdicts})),
    )


def cases() -> Iterable[tuple[str, Stream]]:
    """Every case of the table, without its seed."""
    first, token = Metric.TIME_TO_FIRST_TOKEN, Metric.INTER_TOKEN_LATENCY
    kinds = (
        ("first token, on an edge", first, 500, RATES),
        ("first token, between edges", first, 600, RATES),
        ("between tokens, on an edge", token, 50, RATES[:2]),
        ("between tokens, between edges", token, 30, RATES[:2]),
    )
    for name, metric, threshold, rates in kinds:
        for per_minute in rates:
            for ratio in RATIOS:
                yield name, _stream(metric, threshold, per_minute, ratio)
    for per_minute in RATES:
        base = _stream(first, 500, per_minute, 0.8)
        yield "restarts every 10 min", replace(base, restart_every_seconds=590.0)


def _stream(metric: Metric, threshold: int, per_minute: float, ratio: float) -> Stream:
    return Stream(
        metric=metric,
        threshold_milliseconds=threshold,
        per_minute=per_minute,
        ratios=((0.0, BEFORE), (WARM_SECONDS, ratio)),
    )


def row_of(name: str, stream: Stream, seeds: Iterable[int]) -> Row:
    """One case over all seeds."""
    found = [run(replace(stream, seed=seed)) for seed in seeds]
    ratio = stream.ratios[-1][1]
    holds = ratio < 1
    ticks, hours = sum(row.ticks for row in found), sum(row.hours for row in found)
    times = sorted(row.detected_after / WINDOW_SECONDS for row in found)
    return Row(
        name=name,
        objective=f"{stream.metric.value} {stream.threshold_milliseconds} ms",
        per_minute=stream.per_minute,
        ratio=ratio,
        true_bad_percent=round(100 * stream.bad_share(ratio), 2),
        allowed_percent=round(100 - ATTAINMENT_PERMILLE / 10, 2),
        hours=hours,
        false_veto_hours_percent=_percent(sum(row.hours_vetoed for row in found), hours)
        if holds
        else None,
        false_veto_ticks_percent=_percent(sum(row.vetoes for row in found), ticks)
        if holds
        else None,
        missed_percent=None
        if holds
        else _percent(sum(math.isinf(time) for time in times), len(times)),
        windows_to_veto_median=None if holds else _finite(times[len(times) // 2]),
        windows_to_veto_worst=None if holds else _finite(times[-1]),
        removal_percent=_percent(sum(row.removals for row in found), ticks),
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / max(1, whole), 2)


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def stalled(per_minute: float, seed: int, scrape_seconds: float = 2.0) -> float:
    """Seconds from an engine's stall to the veto: nothing gets a first token, so no sample tells."""
    at = 900.0
    stream = Stream(
        per_minute=per_minute,
        ratios=((0.0, BEFORE),),
        seconds=at + 900.0,
        scrape_seconds=scrape_seconds,
        stalls_at=at,
        seed=seed,
    )
    window, objective = PlacementWindow(), objective_of(stream)
    for scrape in scrapes(stream):
        window.add(scrape)
        if scrape.wall_time > at:
            verdict = verdict_of(window, objective, scrape.wall_time, scrape_seconds)
            if verdict.state is GuardState.VIOLATED:
                return scrape.wall_time - at
    return math.inf


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    heads = (
        "case",
        "requests/min",
        "true p95 / objective",
        "truly bad",
        "hours with a false veto",
        "minutes with one",
        "missed",
        "windows to veto, median / worst",
        "removal allowed",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        worst = "-"
        if row.windows_to_veto_median is not None:
            end = "never" if row.windows_to_veto_worst is None else f"{row.windows_to_veto_worst:g}"
            worst = f"{row.windows_to_veto_median:g} / {end}"
        elif row.missed_percent is not None:
            worst = "never"
        lines.append(
            f"| {row.name} | {row.per_minute:g} | {row.ratio:g} | {row.true_bad_percent:g} % "
            f"| {_told(row.false_veto_hours_percent)} | {_told(row.false_veto_ticks_percent)} "
            f"| {_told(row.missed_percent)} | {worst} | {row.removal_percent:g} % |"
        )
    return "\n".join(lines)


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:g} %"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="wattshift.sim.guard_trial", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args(arguments)
    seeds = range(1, options.seeds + 1)
    rows = []
    for name, stream in cases():
        rows.append(row_of(name, stream, seeds))
    stalls = {
        f"{per_minute:g}/min": max(stalled(per_minute, seed) for seed in seeds)
        for per_minute in RATES
    }
    if options.output == "json":
        found: dict[str, Any] = {"rows": [asdict(row) for row in rows], "stallSeconds": stalls}
        text = json.dumps(found, indent=1)
    else:
        lines = [
            f"engine stalls at {name}: veto after {seconds:.0f} s at the latest"
            for name, seconds in stalls.items()
        ]
        text = "\n".join([table(rows), "", *lines])
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
