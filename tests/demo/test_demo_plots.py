"""Plots: lines that break where nothing is known, and end where the axis does."""

from __future__ import annotations

import re

import pytest

from e2e.demo.plots import Mark, Plot, Series, legend, nice, svg


def plot(points, **more) -> Plot:
    row = Series(name="a & b", colour="#123456", points=points, step=more.pop("step", False))
    return Plot(title="T", unit="kW", series=[row], hours=(0.0, 24.0), **more)


def paths(text: str) -> list[str]:
    return re.findall(r'<path d="M([^"]*)" fill="none"', text)


@pytest.mark.parametrize(
    ("value", "top"),
    [
        (0, 1),
        (0.03, 0.04),
        (0.9, 1),
        (1, 1),
        (1.2, 2),
        (2.3, 2.5),
        (9, 10),
        (11.2, 20),
        (4400, 5000),
    ],
)
def test_axes_end_at_round_numbers(value, top):
    assert nice(value) == pytest.approx(top)


def test_a_line_breaks_at_what_is_unknown_and_above_the_axis():
    points = [(0, 1.0), (1, 2.0), (2, None), (3, 1.0), (4, 1.5), (5, 99.0), (6, 1.0), (7, 1.0)]
    assert len(paths(svg(plot(points, top=5)))) == 3


def test_what_lies_outside_the_day_is_not_drawn():
    assert paths(svg(plot([(-2, 1.0), (-1, 1.0)]))) == []


def test_steps_hold_the_last_value():
    text = paths(svg(plot([(0, 1.0), (12, 2.0)], step=True)))[0]
    assert len(text.split(" L")) == 3


def test_marks_tell_their_reason_and_nothing_is_markup():
    text = svg(plot([(0, 1.0), (1, 1.0)], marks=[Mark(hour=3, text="<why> & how")]))
    assert "&lt;why&gt; &amp; how" in text
    assert "a &amp; b" in legend(plot([]))


def test_no_data_is_an_empty_plot():
    assert svg(plot([])).startswith("<svg")
