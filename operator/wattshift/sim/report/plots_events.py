"""Power events close: the true power by the second against the bounds that were asked for."""

from __future__ import annotations

import numpy as np

from wattshift.sim.report.sections import Section, legend_of, line_of, name_of, round_ticks
from wattshift.sim.report.study import Run, Study
from wattshift.sim.report.svg import BLUE, GREY, RED, Chart, Line, chart
from wattshift.sim.scenario import Array

MOST_EVENTS = 6


def events(study: Study, run: Run, baseline: Run | None) -> Section | None:
    """Some events by the second: the worst kept ones first."""
    rows = [
        (event, window.traces[event.name])
        for window in run.result.windows
        for event in window.events
        if event.name in window.traces and len(window.traces[event.name]) > 1
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: (row[0].met, row[0].samples_inside / max(1, row[0].samples)))
    bad = sum(not row[0].met for row in rows)
    first = max(MOST_EVENTS - 3, min(bad, MOST_EVENTS - 2))
    picked = rows[:first] + rows[first:][::-1][: MOST_EVENTS - first]
    starts = {event.name: event for event in study.scenario.events}
    twins = (
        {}
        if baseline is None
        else {
            name: trace
            for window in baseline.result.windows
            for name, trace in window.traces.items()
        }
    )
    pictures = []
    for event, trace in picked:
        start = starts[event.name].start_seconds
        minutes = (trace[:, 0] - start) / 60
        last = event.duration_seconds / 60
        span = (-2.0, min(last + 15.0, float(minutes[-1])))
        lines = []
        if event.name in twins:
            lines.append(_thin("B0", GREY, twins[event.name], start, span))
        lines.append(_thin(name_of(run.policy), BLUE, trace, start, span))
        edge = np.array([0.0, last])
        lines += [
            line_of("bound", RED, edge, np.full(2, value / 1000), dash="5 4")
            for value in (event.upper_watts, event.lower_watts)
            if value is not None
        ]
        ticks = [(v, f"{v:g}") for v in round_ticks(*span)]
        pictures.append(
            chart(
                Chart(
                    title=f"{event.site}, kW",
                    note=f"{event.name}: {'met' if event.met else 'NOT met'}",
                    lines=lines,
                    ticks=ticks,
                    x_range=span,
                    x_title="minutes after the start",
                    shade=(0.0, last),
                    width=285,
                    height=160,
                )
            )
        )
    return Section(
        title="Events, close",
        words=(
            f"{len(picked)} of {len(rows)} events of at most two hours; those that were kept worst "
            "come first. Shaded: the event. Axes begin at 0."
        ),
        pictures=tuple(pictures),
        legend=legend_of(
            run.policy, [("bound of the event", RED, "5 4")], baseline=baseline is not None
        ),
    )


def _thin(name: str, colour: str, trace: Array, start: float, span: tuple[float, float]) -> Line:
    """An event's power in kW: few points, but both the least and the most of each stretch."""
    x, y = (trace[:, 0] - start) / 60, trace[:, 2] / 1000
    inside = (x >= span[0]) & (x <= span[1])
    x, y = x[inside], y[inside]
    size = max(1, len(x) // 200)
    if size > 1:
        count = len(x) // size
        held_x, held_y = (
            x[: count * size].reshape(count, size),
            y[: count * size].reshape(count, size),
        )
        picks = np.sort(np.stack([held_y.argmin(axis=1), held_y.argmax(axis=1)], axis=1), axis=1)
        rows = np.arange(count)[:, None]
        x, y = held_x[rows, picks].ravel(), held_y[rows, picks].ravel()
    return line_of(name, colour, x, y, width=1.1 if colour == GREY else 1.5)
