"""Line plots over a day as SVG text: no script, no library, nothing to load."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 900, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 24
_PER_TICK_HOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: (hour, value) pairs; None breaks it."""

    name: str
    colour: str
    points: Sequence[tuple[float, float | None]]
    dash: bool = False
    area: bool = False
    step: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An event at an hour, with a text that shows when pointed at."""

    hour: float
    text: str
    colour: str = "#555"
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Series with axes, marks and a shaded window."""

    title: str
    unit: str
    series: Sequence[Series]
    hours: tuple[float, float]
    marks: Sequence[Mark] = field(default_factory=tuple)
    shade: tuple[float, float, str] | None = None
    ticks: int = 4
    top: float | None = None
    """End of the value axis; larger values are not drawn."""


def svg(plot: Plot) -> str:
    """The plot as one `<svg>` element."""
    top = nice(_largest(plot.series)) if plot.top is None else plot.top
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(plot.title)}">',
    ]
    if plot.shade is not None:
        begin, end, words = plot.shade
        x0, x1 = _x(plot, begin), _x(plot, end)
        parts.append(
            f'<rect x="{x0:.1f}" y="{TOP}" width="{max(1.0, x1 - x0):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}" class="shade"><title>{html.escape(words)}</title></rect>'
        )
    parts += _axes(plot, top)
    for line in plot.series:
        parts.append(_line(plot, line, top))
    for mark in plot.marks:
        x = _x(plot, mark.hour)
        parts.append(
            f'<g class="mark"><line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
            f'stroke="{mark.colour}"/><circle cx="{x:.1f}" cy="{TOP}" r="4" fill="{mark.colour}"/>'
            f"<title>{html.escape(mark.text)}</title>"
            + (
                f'<text x="{x + 5:.1f}" y="{TOP + 4}" fill="{mark.colour}">'
                f"{html.escape(mark.label)}</text>"
                if mark.label
                else ""
            )
            + "</g>"
        )
    parts.append("</svg>")
    return "".join(parts)


def legend(plot: Plot) -> str:
    """Names of the series with their colours."""
    rows = (
        f'<span class="key"><i style="border-top:3px {"dashed" if row.dash else "solid"} '
        f'{row.colour}"></i>{html.escape(row.name)}</span>'
        for row in plot.series
    )
    return f'<div class="legend">{"".join(rows)}</div>'


def _axes(plot: Plot, top: float) -> list[str]:
    parts = []
    for index in range(plot.ticks + 1):
        share = index / plot.ticks
        y = _y(share, 1.0)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_tick(top * share)}</text>'
        )
    begin, end = plot.hours
    hour = -(-begin // _PER_TICK_HOURS) * _PER_TICK_HOURS
    while hour <= end:
        x = _x(plot, hour)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{hour % 24:02.0f}:00</text>'
        )
        hour += _PER_TICK_HOURS
    return parts


def _line(plot: Plot, line: Series, top: float) -> str:
    runs: list[list[tuple[float, float]]] = [[]]
    for hour, value in line.points:
        if value is None or value > top or not plot.hours[0] <= hour <= plot.hours[1]:
            runs.append([])
            continue
        x, y = _x(plot, hour), _y(value, top)
        if line.step and runs[-1]:
            runs[-1].append((x, runs[-1][-1][1]))
        runs[-1].append((x, y))
    parts = []
    for run in runs:
        if len(run) < 2:
            continue
        path = " L".join(f"{x:.1f},{y:.1f}" for x, y in run)
        if line.area:
            base = _y(0.0, 1.0)
            parts.append(
                f'<path d="M{run[0][0]:.1f},{base:.1f} L{path} L{run[-1][0]:.1f},{base:.1f} Z" '
                f'fill="{line.colour}" fill-opacity="0.18" stroke="none"/>'
            )
        dash = ' stroke-dasharray="6 4"' if line.dash else ""
        parts.append(
            f'<path d="M{path}" fill="none" stroke="{line.colour}" stroke-width="1.8"{dash}/>'
        )
    return "".join(parts)


def _x(plot: Plot, hour: float) -> float:
    begin, end = plot.hours
    return LEFT + (hour - begin) / max(1e-9, end - begin) * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / max(top, 1e-9) * (HEIGHT - TOP - BOTTOM)


def _largest(series: Sequence[Series]) -> float:
    return max((v for row in series for _, v in row.points if v is not None), default=1.0)


def nice(value: float) -> float:
    """The next of 1, 2, 2.5, 4, 5, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 1.0
    while value < power:
        power /= 10
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= value - 1e-9)


def _tick(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"
