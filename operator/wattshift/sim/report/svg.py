"""Plots as SVG text: lines, heat maps and a scatter; no script, no library, nothing to load.

Colours can be told apart by people who do not see red and green alike (Okabe and Ito), and lines are
named where they end or in a legend. Units are in the titles.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8a8f98"
PURPLE, SKY = "#cc79a7", "#56b4e9"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, "#b8a000", "#444b54", "#7b5ea7")
_LETTER = 6.3
"""Width of a letter at 11 px, roughly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line; NaN breaks it."""

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    dash: str = ""
    width: float = 1.5
    dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines over one pair of axes."""

    title: str
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    """Places and words of the horizontal axis."""
    width: int = 430
    height: int = 150
    x_range: tuple[float, float] | None = None
    zero: bool = True
    """Whether the vertical axis has to reach 0."""
    x_title: str = ""
    y_title: str = ""
    shade: tuple[float, float] | None = None
    note: str = ""
    level: float | None = None
    """A horizontal line that is drawn thin: 0, or a threshold."""
    words: Sequence[tuple[float, float, str, str]] = field(default_factory=tuple)
    """(x, y, text, colour) beside points."""


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where values lie on the picture."""

    left: float
    top: float
    wide: float
    tall: float
    begin: float
    end: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return self.left + (value - self.begin) / (self.end - self.begin) * self.wide

    def y(self, value: float) -> float:
        return self.top + (self.high - value) / (self.high - self.low) * self.tall

    @property
    def right(self) -> float:
        return self.left + self.wide

    @property
    def bottom(self) -> float:
        return self.top + self.tall


def chart(row: Chart) -> str:
    """One chart with its title above."""
    values = [v for line in row.lines for v in line.y if math.isfinite(v)]
    if row.level is not None:
        values.append(row.level)
    low, high, step = scale(values, zero=row.zero)
    marks = _steps(low, high, step)
    left = 14 + _LETTER * max(len(number(mark, step)) for mark in marks)
    left += 14 if row.y_title else 0
    top, bottom = 24.0, 20.0 + (16 if row.x_title else 0)
    xs = [v for line in row.lines for v in line.x]
    begin, end = row.x_range or ((min(xs), max(xs)) if xs else (0.0, 1.0))
    axes = _Axes(
        left,
        top,
        row.width - left - 12.0,
        row.height - top - bottom,
        begin,
        end if end > begin else begin + 1.0,
        low,
        high,
    )
    parts = [
        _open(row.title, row.width, row.height),
        *_frame(row, axes, [(m, step) for m in marks]),
    ]
    parts += [_path(line, axes) for line in row.lines]
    parts += [_word(word, axes) for word in row.words]
    return "".join([*parts, "</svg>"])


def _open(title: str, width: float, height: float) -> str:
    name = html.escape(title)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{name}"><text class="t" x="2" y="13">{name}</text>'
    )


def _text(x: float, y: float, words: str, *, anchor: str = "middle", kind: str = "a") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{html.escape(words)}</text>"
    )


def _rule(kind: str, x: tuple[float, float], y: tuple[float, float]) -> str:
    return f'<line class="{kind}" x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y[0]:.1f}" y2="{y[1]:.1f}"/>'


def _frame(row: Chart, axes: _Axes, marks: Sequence[tuple[float, float]]) -> list[str]:
    """Shade, grid, ticks, titles and the level line."""
    parts = []
    if row.note:
        parts.append(_text(axes.right, 13, row.note, anchor="end", kind="n"))
    if row.shade is not None:
        x0, x1 = max(axes.left, axes.x(row.shade[0])), min(axes.right, axes.x(row.shade[1]))
        parts.append(
            f'<rect class="s" x="{x0:.1f}" y="{axes.top}" width="{max(1.0, x1 - x0):.1f}" '
            f'height="{axes.tall:.1f}"/>'
        )
    for mark, step in marks:
        y = axes.y(mark)
        parts.append(_rule("g", (axes.left, axes.right), (y, y)))
        parts.append(_text(axes.left - 5, y + 3.5, number(mark, step), anchor="end"))
    for place, words in row.ticks:
        if not axes.begin - 1e-9 <= place <= axes.end + 1e-9:
            continue
        x = axes.x(place)
        parts.append(_rule("g", (x, x), (axes.top, axes.bottom)))
        # a word that would be cut off at the edge ends there
        late = x + _LETTER * len(words) / 2 > row.width
        parts.append(
            _text(
                row.width if late else x,
                axes.bottom + 14,
                words,
                anchor="end" if late else "middle",
            )
        )
    if row.level is not None:
        y = axes.y(row.level)
        parts.append(_rule("z", (axes.left, axes.right), (y, y)))
    if row.x_title:
        parts.append(_text(axes.left + axes.wide / 2, row.height - 3, row.x_title))
    if row.y_title:
        parts.append(
            f'<text class="a" transform="translate(11 {axes.top + axes.tall / 2:.1f}) rotate(-90)" '
            f'text-anchor="middle">{html.escape(row.y_title)}</text>'
        )
    return parts


def _word(word: tuple[float, float, str, str], axes: _Axes) -> str:
    place, value, words, colour = word
    late = axes.x(place) > axes.left + 0.75 * axes.wide
    x = axes.x(place) + (-7 if late else 7)
    return (
        f'<text class="a" x="{x:.1f}" y="{axes.y(value) + 3.5:.1f}" style="fill:{colour}" '
        f'text-anchor="{"end" if late else "start"}">{html.escape(words)}</text>'
    )


def _path(line: Line, axes: _Axes) -> str:
    runs: list[list[str]] = [[]]
    dots = []
    for place, value in zip(line.x, line.y, strict=True):
        if not math.isfinite(value) or not axes.begin - 1e-9 <= place <= axes.end + 1e-9:
            runs.append([])
            continue
        held = min(max(value, axes.low), axes.high)
        runs[-1].append(f"{axes.x(place):.1f},{axes.y(held):.1f}")
        if line.dots:
            dots.append(
                f'<circle cx="{axes.x(place):.1f}" cy="{axes.y(held):.1f}" r="3.2" '
                f'fill="{line.colour}"/>'
            )
    if line.width <= 0:
        return "".join(dots)
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    paths = [
        f'<path d="M{" L".join(run)}" fill="none" stroke="{line.colour}" '
        f'stroke-width="{line.width}"{dash} stroke-linejoin="round"/>'
        for run in runs
        if len(run) > 1
    ]
    return "".join([*paths, *dots])


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Rows of values over time, one colour scale for all."""

    title: str
    rows: Sequence[str]
    values: Sequence[Sequence[float]]
    """[rows][columns]; NaN = no value."""
    ticks: Sequence[tuple[float, str]]
    """(column, words)."""
    colours: Sequence[str]
    """From low to high, light to dark."""
    low: float
    high: float
    unit: str
    width: int = 880


def heat(row: Heat) -> str:
    """A heat map with its key at the right of the title."""
    size = 17 if len(row.rows) <= 24 else 11
    left = 12 + _LETTER * max((len(name) for name in row.rows), default=4)
    top = 30.0
    columns = max((len(line) for line in row.values), default=1)
    wide = row.width - left - 8.0
    bottom = top + size * len(row.rows)
    parts = [_open(row.title, row.width, bottom + 20), _key(row)]
    for index, (label, line) in enumerate(zip(row.rows, row.values, strict=True)):
        y = top + index * size
        parts.append(_text(left - 6, y + size * 0.72, label, anchor="end"))
        parts += _cells(row, line, (left, y), (wide / columns, size))
    for column, words in row.ticks:
        x = left + column / columns * wide
        if x + _LETTER * len(words) <= row.width:
            parts.append(_rule("k", (x, x), (bottom, bottom + 4)))
            parts.append(_text(x + 3, bottom + 14, words, anchor="start"))
    return "".join([*parts, "</svg>"])


def _cells(
    row: Heat, line: Sequence[float], place: tuple[float, float], cell: tuple[float, float]
) -> list[str]:
    """Equal neighbours are one rectangle."""
    parts, start = [], 0
    shades = [colour_at(value, row.low, row.high, row.colours) for value in line]
    for index in range(1, len(shades) + 1):
        if index < len(shades) and shades[index] == shades[start]:
            continue
        parts.append(
            f'<rect x="{place[0] + start * cell[0]:.2f}" y="{place[1]:.1f}" '
            f'width="{(index - start) * cell[0] + 0.3:.2f}" height="{cell[1] - 1.5}" '
            f'fill="{shades[start]}"/>'
        )
        start = index
    return parts


def _key(row: Heat) -> str:
    most = f"{row.high:,g} {row.unit}".rstrip()
    wide, steps = 120.0, 24
    x = row.width - 8.0 - wide - 5.0 - _LETTER * len(most)
    parts = [
        f'<rect x="{x + index * wide / steps:.1f}" y="5" width="{wide / steps + 0.4:.1f}" height="9" '
        f'fill="{colour_at(index / (steps - 1), 0.0, 1.0, row.colours)}"/>'
        for index in range(steps)
    ]
    parts.append(_text(x - 5, 13, f"{row.low:,g}", anchor="end"))
    parts.append(_text(x + wide + 5, 13, most, anchor="start"))
    return "".join(parts)


def colour_at(value: float, low: float, high: float, colours: Sequence[str]) -> str:
    """Linear between the colours; 24 shades, so that neighbours can be joined."""
    if not math.isfinite(value):
        return "#eceef1"
    share = 0.0 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))
    place = round(share * 24) / 24 * (len(colours) - 1)
    index = min(int(place), len(colours) - 2)
    rest = place - index
    first, second = (_rgb(colours[index]), _rgb(colours[index + 1]))
    mixed = [round(a + (b - a) * rest) for a, b in zip(first, second, strict=True)]
    return f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def scale(values: Sequence[float], *, zero: bool = True) -> tuple[float, float, float]:
    """(low, high, step) of an axis that holds all values with three to five round steps."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if high - low < 1e-12:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= rough * 0.999)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _steps(low: float, high: float, step: float) -> list[float]:
    return [low + index * step for index in range(round((high - low) / step) + 1)]


def number(value: float, step: float) -> str:
    """With as many digits as steps need."""
    if abs(value) < step * 1e-6:
        value = 0.0
    digits = max(0, math.ceil(-math.log10(step) - 1e-9)) if step > 0 else 0
    if digits < 3 and step > 0 and abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1
    return f"{value:,.{digits}f}"


def legend(rows: Sequence[tuple[str, str, str]]) -> str:
    """(name, colour, dash) as HTML."""
    return (
        '<div class="legend">'
        + "".join(
            f'<span><i style="border-top:3px {"dashed" if dash else "solid"} {colour}"></i>'
            f"{html.escape(name)}</span>"
            for name, colour, dash in rows
        )
        + "</div>"
    )
