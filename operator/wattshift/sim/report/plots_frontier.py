"""The frontier: what policies reached in carbon and money, and the edge of what is possible."""

from __future__ import annotations

from wattshift.sim.bounds.frontier import Point
from wattshift.sim.report.compared import compares
from wattshift.sim.report.sections import Section, name_of, round_ticks
from wattshift.sim.report.study import BASELINE, Study
from wattshift.sim.report.svg import BLUE, GREEN, ORANGE, PALETTE, Chart, Line, chart


def frontier(study: Study) -> Section | None:
    """Carbon against money: what was reached, and the edge of what is possible."""
    found = study.frontier
    if found is None:
        return None
    lines = [_scatter("bound", GREEN, found.bound, found.reference, width=1.5)]
    words: list[tuple[float, float, str, str]] = [(0.0, 0.0, "B0", "#4a525b")]
    lines.append(Line(name="B0", colour="#4a525b", x=[0.0], y=[0.0], width=0, dots=True))
    colours = [c for c in PALETTE if c not in (BLUE, GREEN)]
    several = len({row.objective for row in study.runs}) > 1
    for index, run in enumerate(row for row in study.runs if row.policy != BASELINE):
        colour = BLUE if run.policy == "ours" else colours[index % len(colours)]
        point = Point(money=run.result.energy_cost, grams=run.result.carbon_grams)
        lines.append(_scatter(run.policy, colour, (point,), found.reference, width=0))
        name = name_of(run.policy)
        aim = f" for {run.objective}" if several else ""
        mark = "" if compares(study.incomparable, run.policy, run.objective) else " *"
        words.append((lines[-1].x[0], lines[-1].y[0], f"{name}{aim}{mark}", colour))
    for name, points in found.policies.items():
        colour = BLUE if name == "ours" else ORANGE
        lines.append(_scatter(name, colour, points, found.reference, width=1.2))
    ends = [v for line in lines for v in line.x]
    low, high = min(0.0, *ends), max(ends)
    span = max(high - low, 1e-9)
    ticks = [(v, f"{v:g}") for v in round_ticks(low - 0.02 * span, high + 0.02 * span)]
    picture = chart(
        Chart(
            title="Less carbon and less money than B0, %",
            lines=lines,
            ticks=ticks,
            width=640,
            height=360,
            x_range=(low - 0.04 * span, high + 0.08 * span),
            x_title="energy bill, % less than B0",
            y_title="carbon, % less than B0",
            words=_apart(words, 640, 360, lines),
        )
    )
    told = (
        "Up and to the right is better. Green: the bound B8m at eleven fixed weights between carbon "
        "and money; nobody who does the whole work and keeps limits and margin can be beyond it."
    )
    if found.policies:
        told += " Lines of policies: the same eleven weights."
    return Section(title="Carbon and money at once", words=told, pictures=(picture,))


def _scatter(
    name: str, colour: str, points: tuple[Point, ...], reference: Point, *, width: float
) -> Line:
    rows = sorted(
        (
            100 * (1 - row.money / reference.money),
            100 * (1 - row.grams / reference.grams),
        )
        for row in points
    )
    return Line(
        name=name,
        colour=colour,
        x=[row[0] for row in rows],
        y=[row[1] for row in rows],
        width=width,
        dots=True,
    )


def _apart(
    words: list[tuple[float, float, str, str]], width: int, height: int, lines: list[Line]
) -> list[tuple[float, float, str, str]]:
    """Labels that would lie on one another are pushed down, a line's height at a time."""
    xs = [v for line in lines for v in line.x]
    ys = [v for line in lines for v in line.y]
    wide, tall = max(max(xs) - min(xs), 1e-9), max(max(ys) - min(ys), 1e-9)
    near_x, near_y = wide * 95 / width, tall * 14 / height
    placed: list[tuple[float, float, str, str]] = []
    for x, value, text, colour in sorted(words, key=lambda row: -row[1]):
        y = value
        while any(abs(x - row[0]) < near_x and abs(y - row[1]) < near_y for row in placed):
            y -= near_y / 2
        placed.append((x, y, text, colour))
    return placed
