"""Plots: round axes, values where they belong, nothing beyond the edge."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.sim.report.plots_frontier import _apart
from wattshift.sim.report.sections import pooled, round_ticks
from wattshift.sim.report.table import change
from wattshift.sim.report.svg import Chart, Heat, Line, chart, colour_at, heat, number, scale

finite = st.floats(-1e9, 1e9).filter(lambda v: v == 0 or abs(v) > 1e-6)


@given(st.lists(finite, min_size=1, max_size=8), st.booleans())
def test_an_axis_holds_all_values_in_few_steps(values, zero):
    low, high, step = scale(values, zero=zero)
    slack = 1e-6 * step
    assert low - slack <= min(values)
    assert max(values) <= high + slack
    assert 1 <= (high - low) / step <= 7
    if zero:
        assert low <= 0 <= high


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_inside_and_not_many(low, span):
    ticks = round_ticks(low, low + span)
    assert len(ticks) <= 8
    assert all(low - 1e-6 * span <= v <= low + span * 1.000001 for v in ticks)


@pytest.mark.parametrize(
    "value, step, text",
    [(1500.0, 500.0, "1,500"), (0.25, 0.25, "0.25"), (-0.0, 1.0, "0"), (2.5, 2.5, "2.5")],
)
def test_numbers_have_the_digits_that_steps_need(value, step, text):
    assert number(value, step) == text


def points_of(text, colour):
    found = re.search(rf'<path d="M([^"]+)" fill="none" stroke="{colour}"', text)
    return [tuple(map(float, pair.split(","))) for pair in found[1].split(" L")]


def test_a_line_goes_where_its_values_are():
    text = chart(
        Chart(
            title="a, kW",
            lines=[Line(name="l", colour="#123456", x=[0, 1, 2], y=[0, 10, 5])],
            ticks=[(0, "start"), (2, "end")],
        )
    )
    (x0, y0), (x1, y1), (x2, y2) = points_of(text, "#123456")
    assert x0 < x1 < x2
    assert y1 < y2 < y0
    assert x2 <= 430
    ElementTree.fromstring(text)


def test_a_gap_breaks_the_line():
    text = chart(
        Chart(
            title="gap",
            lines=[Line(name="l", colour="#123456", x=[0, 1, 2, 3, 4], y=[1, 2, math.nan, 3, 4])],
            ticks=[],
        )
    )
    assert text.count('stroke="#123456"') == 2


@pytest.mark.parametrize("rows", [[], [Line(name="l", colour="#123456", x=[], y=[])]])
def test_nothing_to_draw_is_an_empty_frame(rows):
    ElementTree.fromstring(chart(Chart(title="none", lines=rows, ticks=[])))


def test_the_last_tick_stays_on_the_picture():
    text = chart(
        Chart(
            title="t",
            lines=[Line(name="l", colour="#123456", x=[0, 1], y=[0, 1])],
            ticks=[(1, "17 Mar")],
        )
    )
    assert re.search(r'x="430.0" y="\d+.\d" text-anchor="end">17 Mar', text)


def test_equal_neighbours_of_a_heat_map_are_one_rectangle():
    row = Heat(
        title="h",
        rows=["a"],
        values=[[1, 1, 1, 2, 2, math.nan]],
        ticks=[(0, "x")],
        colours=("#ffffff", "#000000"),
        low=1,
        high=2,
        unit="%",
    )
    text = heat(row)
    ElementTree.fromstring(text)
    assert text.count("<rect") == 24 + 3
    assert "#eceef1" in text


def test_colours_go_from_low_to_high_and_stop_there():
    ends = ("#ffffff", "#808080", "#000000")
    assert colour_at(0, 0, 1, ends) == colour_at(-5, 0, 1, ends) == "#ffffff"
    assert colour_at(1, 0, 1, ends) == colour_at(9, 0, 1, ends) == "#000000"
    assert colour_at(0.5, 0, 1, ends) == "#808080"
    assert colour_at(3, 1, 1, ends) == "#ffffff"


def test_means_keep_the_sum_where_steps_divide():
    values = np.arange(12.0).reshape(6, 2)
    assert pooled(values, 2).tolist() == [[1, 2], [5, 6], [9, 10]]
    assert pooled(values, 4).tolist() == [[3, 4], [9, 10]]
    assert pooled(values, 1) is values


def test_labels_on_one_another_are_pushed_apart():
    line = Line(name="l", colour="#000000", x=[0, 100], y=[0, 100])
    placed = _apart([(50, 50, "a", ""), (50, 50.5, "b", ""), (90, 50, "c", "")], 640, 360, [line])
    heights = {text: y for _, y, text, _ in placed}
    assert heights["b"] - heights["a"] >= 100 * 14 / 360 * 0.99
    assert heights["c"] == 50


def test_the_key_of_a_heat_map_has_its_highest_value_beside_it_on_the_same_line():
    drawn = heat(
        Heat(
            title="Price",
            rows=["a"],
            values=[[1.0, 2.0]],
            ticks=[],
            colours=("#ffffff", "#000000"),
            low=0.0,
            high=12345.0,
            unit="USD",
        )
    )
    highest = re.search(
        r'<text class="a" x="([\d.]+)" y="13.0" text-anchor="start">12,345 USD<', drawn
    )
    bars = [float(x) for x in re.findall(r'<rect x="([\d.]+)" y="5"', drawn)]
    assert highest and max(bars) < float(highest[1]) < 880


def test_a_change_tells_its_direction():
    assert change(0.216) == "-21.6%"
    assert change(-0.216) == "+21.6%"
    assert change(0.0) == change(-0.0) == change(1e-6) == "+0.0%"
    assert change(None) == "-"
