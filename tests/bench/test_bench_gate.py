"""The gate on decision quality: its file, and what it says when something fell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from e2e.bench import gate
from e2e.bench.gate import Case, Check, judge, read
from wattshift.errors import NeedsHuman
from wattshift.sim.load import load, shipped
from wattshift.sim.report.document import document
from wattshift.sim.report.study import study

CASE = Case(
    scenario="s1-small",
    objective="money",
    overrides=(),
    weeks=(),
    checks=(
        Check(figure="captureOfMoney", least=0.9),
        Check(figure="movesPerWorkloadDay", most=4.0),
    ),
)


def test_a_figure_that_fell_is_named_with_its_limit():
    told = judge(CASE, {"captureOfMoney": 0.8512, "movesPerWorkloadDay": 4.0})
    assert told == ["captureOfMoney fell to 0.8512: at least 0.9 is asked for"]
    told = judge(CASE, {"captureOfMoney": 0.9, "movesPerWorkloadDay": 9.0})
    assert told == ["movesPerWorkloadDay rose to 9: at most 4 is allowed"]


def test_a_figure_without_a_value_is_no_success():
    told = judge(CASE, {"captureOfMoney": None})
    assert told == ["captureOfMoney has no value", "movesPerWorkloadDay has no value"]


def test_the_file_checks_shipped_scenarios_on_capture_moves_violations_and_latency():
    cases = read()
    assert {case.scenario for case in cases} <= set(shipped())
    figures = {check.figure for case in cases for check in case.checks}
    assert figures >= {
        "captureOfMoney",
        "captureOfCarbon",
        "movesPerWorkloadDay",
        "worstLatencyLossPoints",
        "importLimitViolationSeconds",
        "coolingLimitViolationSeconds",
        "eventsMetShare",
        "batchDoneShare",
        "lostShare",
    }


@pytest.mark.parametrize(
    "text, told",
    [
        ("cases: [{scenario: a, colour: red, checks: {x: {most: 1}}}]", "colour"),
        ("cases: [{scenario: a, checks: {}}]", "checks nothing"),
        ("cases: [{scenario: a, checks: {x: {}}}]", "checks nothing"),
    ],
)
def test_a_file_that_checks_nothing_is_refused(tmp_path, text, told):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        read(path)


def test_every_figure_that_the_file_names_exists():
    scenario = load("s4-small", overrides=["days=0.1", "events.random.count=1"])
    told = document(study(scenario, ("b0", "b7"), processes=1))
    told["runs"][1]["policy"] = "ours"
    names = set(gate.figures_of(told)) | {"captureOfMoney", "captureOfCarbon"}
    assert {check.figure for case in read() for check in case.checks} <= names


def test_the_exit_status_says_whether_something_fell(monkeypatch, capsys):
    monkeypatch.setattr(gate, "read", lambda: [CASE])
    good = {"captureOfMoney": 0.95, "movesPerWorkloadDay": 1.0}
    monkeypatch.setattr(gate, "measured", lambda group, seed: [good])
    assert gate.main(["--processes", "1"]) == 0
    assert capsys.readouterr().out.startswith("ok   s1-small (money)")
    monkeypatch.setattr(gate, "measured", lambda group, seed: [{**good, "captureOfMoney": 0.5}])
    assert gate.main(["--processes", "1"]) == 1
    told = capsys.readouterr().out
    assert "FELL s1-small (money)" in told
    assert "captureOfMoney fell to 0.5" in told


def test_a_scenario_that_cannot_be_run_fails_the_gate_and_the_others_go_on(monkeypatch, capsys):
    def broken(group, seed):
        if group[0].scenario == "s1-small":
            raise NeedsHuman("no such window", reason="UnknownWindow")
        return [{"captureOfMoney": 0.95, "movesPerWorkloadDay": 1.0}]

    monkeypatch.setattr(gate, "read", lambda: [CASE, replace(CASE, scenario="s2-small")])
    monkeypatch.setattr(gate, "measured", broken)
    assert gate.main(["--processes", "1"]) == 1
    captured = capsys.readouterr()
    assert "ok   s2-small (money)" in captured.out
    assert "no such window" in captured.out + captured.err


def test_objectives_of_one_scenario_share_b0_and_the_bounds():
    carbon = replace(CASE, objective="carbon")
    other = replace(CASE, overrides=("days=3",))
    assert gate.together([CASE, other, carbon]) == [[CASE, carbon], [other]]


def test_bounds_are_found_only_where_a_capture_is_asked_for(monkeypatch):
    seen = []

    def looked(scenario, policies, **options):
        seen.append((policies, options["objectives"], options["bounds"]))
        raise NeedsHuman("enough", reason="Enough")

    monkeypatch.setattr(gate, "study", looked)
    bare = replace(CASE, scenario="s4-small", checks=(Check(figure="lostShare", most=0.1),))
    assert gate.tried([CASE]) == gate.tried([bare]) == "enough"
    assert [row[2] for row in seen] == [True, False]
    assert all("b0" in row[0] for row in seen)


def test_batch_work_that_is_left_falls():
    case = next(case for case in read() if case.scenario == "s4-small")
    check = next(check for check in case.checks if check.figure == "batchDoneShare")

    assert f"at least {check.least:g}" in check.broken(0.33)
    assert not check.broken(0.91)
