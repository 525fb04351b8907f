"""What all pictures of the page share: a section, lines from arrays, round ticks, means over steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.sim.report.svg import BLUE, GREY, Line, legend
from wattshift.sim.scenario import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One heading with its pictures."""

    title: str
    words: str
    pictures: tuple[str, ...]
    legend: str = ""


def pooled(values: Array, size: int) -> Array:
    """Means over `size` steps; the last one over what is left."""
    if size <= 1 or not len(values):
        return values
    edges = np.arange(0, len(values), size)
    counts = np.diff(np.append(edges, len(values))).reshape(-1, *[1] * (values.ndim - 1))
    result: Array = np.add.reduceat(np.nan_to_num(values), edges, axis=0) / counts
    return result


def line_of(
    name: str, colour: str, x: Array, y: Array, *, dash: str = "", width: float = 1.5
) -> Line:
    """A line from arrays."""
    return Line(name=name, colour=colour, x=x.tolist(), y=y.tolist(), dash=dash, width=width)


def round_ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers inside."""
    rough = max(high - low, 1e-9) / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= rough * 0.999))
    first = np.ceil(low / step) * step
    return [round(float(v), 9) + 0.0 for v in np.arange(first, high + step * 1e-6, step)]


def name_of(policy: str) -> str:
    """What a policy is called on the page."""
    return "wattshift" if policy == "ours" else policy


def legend_of(policy: str, more: list[tuple[str, str, str]], *, baseline: bool) -> str:
    """The policy that is drawn, B0 behind it, and what else has a line."""
    rows = [(name_of(policy), BLUE, "")]
    if baseline:
        rows.append(("B0, every site for itself", GREY, ""))
    return legend([*rows, *more])
