"""The live view: a table that is redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest

from e2e.demo import scene
from e2e.demo.table import PLAIN_EVERY, Screen, bar, frame, news_line, plain_line, watts, wrapped
from tests.demo.scenes import day, say, words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.0, "0.0 kW"), (12_345.0, "12.3 kW")])
def test_watts(value, text):
    assert watts(value) == text


@pytest.mark.parametrize(("share", "full"), [(None, 0), (0.0, 0), (0.5, 6), (1.0, 12), (7.0, 12)])
def test_a_bar_never_leaves_its_place(share, full):
    assert len(bar(share)) == 12
    assert bar(share).count("#") == full


def test_the_table_shows_sites_workloads_and_reasons():
    lines = frame(day()[75], words(), scene.Pace(), 200)
    text = "\n".join(lines)
    for part in ("grid time 15 12:30", "x432", "gansu", "Event", "0.2500", "80%", "40 left"):
        assert part in text
    assert "SupplySurplus" in text
    assert "ExpensivePower" in text


def test_the_table_fits_any_width():
    for width in (20, 80, 132):
        assert all(len(line) <= width for line in frame(day()[0], words(), scene.Pace(), width))


def test_an_open_move_is_shown_instead_of_the_decision():
    sample = day()[0]
    sample.workloads[scene.CHAT].move = "shanghai -> gansu Warm"
    assert "moving shanghai -> gansu Warm" in "\n".join(frame(sample, [], scene.Pace()))


def test_on_a_terminal_the_table_is_redrawn_in_place(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    screen = Screen(out, scene.Pace())
    for sample in day()[:3]:
        screen.show(sample, words())
    assert out.getvalue().count("\x1b[2K") > 0
    assert out.getvalue().count("A\x1b[2K") == 2  # up and over, but the first


def test_elsewhere_news_come_once_and_power_now_and_then(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    screen = Screen(out, scene.Pace())
    told = words()[:2]
    for sample in day()[: 2 * PLAIN_EVERY]:
        screen.show(sample, told)
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert len([line for line in lines if "Migrate" in line]) == 2
    assert len([line for line in lines if "replicas:" in line]) == 2


def test_plain_lines_say_what_is_not_known_yet():
    assert "inner-mongolia - at -" in plain_line(day()[0])


def test_news_have_time_name_action_reason_and_words():
    line = news_line(say(7.75, scene.CODE, "ScaleTo", "DemandGrowth", "3.0 concurrent requests"))
    assert line.split()[:5] == ["15", "07:45", "code-assistant", "ScaleTo", "DemandGrowth"]
    assert line.endswith("3.0 concurrent requests")


def test_long_words_are_wrapped():
    lines = wrapped("word " * 60, "  ", 80)
    assert len(lines) > 3
    assert all(len(line) <= 80 for line in lines)
    assert wrapped("", "  ") == [""]
