"""`wattshift simulate` as a person meets it: what it prints, and what it says of bad input."""

from __future__ import annotations

import json
import re

import pytest

from tests.sim.scenario_files import GOOD, changed, write
from wattshift.cli.main import main
from wattshift.cli.simulate import Bar
from wattshift.sim.load import shipped


@pytest.fixture
def tiny(tmp_path):
    return str(write(tmp_path))


def run(capsys, *words):
    status = main(["simulate", "--processes", "1", *words])
    return status, *capsys.readouterr()


def test_the_shipped_scenarios_are_listed(capsys):
    status, out, _ = run(capsys, "--list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(shipped())


def test_the_list_as_json_says_what_needs_data(capsys):
    _, out, _ = run(capsys, "--list", "-o", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["s1-global"]["data"] == "WATTSHIFT_DATA"
    assert rows["s1-global"]["smallVariant"] == "s1-small"
    assert rows["s1-small"]["data"] == "shipped"


def test_the_table_has_the_policy_b0_and_both_bounds_in_100_columns(capsys, tiny):
    status, out, _ = run(capsys, tiny, "--policy", "b4", "--policy", "b7")
    assert status == 0
    for words in ("b0 local", "b4 cheapest now", "b7", "B8m: bound", "B8: bound", "capture of"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 100


def test_doing_nothing_saves_exactly_nothing(capsys, tiny):
    _, out, _ = run(capsys, tiny, "--policy", "b0", "-o", "json")
    (only,) = json.loads(out)["runs"]
    assert only["againstB0"]["billReduction"] == 0.0
    assert only["againstB0"]["carbonReduction"] == 0.0
    assert only["againstB0"]["worstLatencyLossPoints"] is None  # it has no objectives


def test_without_bounds_nothing_is_added(capsys, tiny):
    _, out, _ = run(capsys, tiny, "--policy", "b4", "--no-bounds", "-o", "json")
    found = json.loads(out)
    assert [row["policy"] for row in found["runs"]] == ["b4"]
    assert found["bounds"] == {}
    assert found["runs"][0]["capture"] == {}


def test_weeks_pick_windows_and_numbers_count_from_one(capsys, tiny):
    for word in ("one", "1", "development"):
        _, out, _ = run(capsys, tiny, "--policy", "b0", "--weeks", word, "-o", "json")
        assert [row["name"] for row in json.loads(out)["scenario"]["windows"]] == ["one"]
    _, out, _ = run(capsys, tiny, "--policy", "b0", "-o", "json")
    assert [row["name"] for row in json.loads(out)["scenario"]["windows"]] == ["two"]
    _, out, _ = run(capsys, tiny, "--policy", "b0", "--weeks", "all", "-o", "json")
    assert [row["name"] for row in json.loads(out)["scenario"]["windows"]] == ["one", "two"]


def test_a_field_is_replaced(capsys, tiny):
    _, out, _ = run(
        capsys, tiny, "--policy", "b0", "--set", "settings.carbonPricePerTonne=60", "-o", "json"
    )
    found = json.loads(out)
    assert found["carbonPricePerTonne"] == 60
    assert set(found["bounds"]) == {"declared", "money", "carbon"}


def test_the_report_folder_has_a_page_and_the_document(capsys, tiny, tmp_path):
    folder = tmp_path / "made" / "here"
    status, out, err = run(capsys, tiny, "--policy", "b4", "--report", str(folder), "-o", "json")
    assert status == 0
    assert json.loads((folder / "study.json").read_text()) == json.loads(out)
    assert "<svg" in (folder / "index.html").read_text()
    assert str(folder / "index.html") in err


BAD = {
    "no scenario": ((), 2, "SCENARIO is missing"),
    "no such scenario": (("nowhere",), 1, "no such file, and no shipped scenario"),
    "unknown policy": (("{tiny}", "--policy", "b9"), 2, "no such policy"),
    "unknown window": (("{tiny}", "--weeks", "three"), 1, "no such window"),
    "empty weeks": (("{tiny}", "--weeks", ","), 2, "names no window"),
    "negative seed": (("{tiny}", "--seed", "-1"), 1, "must not be negative"),
    "unknown field": (("{tiny}", "--set", "settings.colour=red"), 1, "no field"),
    "set without value": (("{tiny}", "--set", "days"), 1, "="),
    "set of a wrong kind": (("{tiny}", "--set", "days=soon"), 1, "days"),
    "unknown variant": (("{tiny}", "--set", "variant=large"), 1, "variant"),
    "no data folder": (("{tiny}", "--data", "{folder}/none"), 2, "no such folder"),
    "a folder as scenario": (("{folder}",), 1, "no such file"),
    "frontier without bounds": (
        ("{tiny}", "--frontier", "--no-bounds"),
        2,
        "leave out --no-bounds",
    ),
    "a name that is nearly one": (("s1-smal",), 1, "did you mean s1-small?"),
    "negative processes": (("{tiny}", "--processes", "-2"), 2, "must not be negative"),
    "report into a file": (("{tiny}", "--report", "{tiny}/x"), 1, "--report"),
}


@pytest.mark.parametrize("words, status, told", BAD.values(), ids=BAD)
def test_bad_input_is_said_in_words(capsys, tiny, tmp_path, words, status, told):
    filled = [word.format(tiny=tiny, folder=tmp_path) for word in words]
    found, out, err = run(capsys, *filled)
    assert (found, out) == (status, "")
    assert told in err
    assert "Traceback" not in err
    assert err.startswith("wattshift")


def test_data_that_are_absent_name_the_small_variant(capsys, monkeypatch):
    monkeypatch.delenv("WATTSHIFT_DATA", raising=False)
    status, _, err = run(capsys, "s1-global")
    assert status == 1
    assert "WATTSHIFT_DATA" in err
    assert "s1-small" in err


@pytest.mark.parametrize(
    "words, status",
    [(("x", "--policy"), 2), (("x", "--objective", "beauty"), 2), (("x", "--seed", "one"), 2)],
)
def test_what_the_parser_refuses(capsys, words, status):
    with pytest.raises(SystemExit) as stopped:
        run(capsys, *words)
    assert stopped.value.code == status


def test_a_file_with_a_fault_names_its_line(capsys, tmp_path):
    path = write(tmp_path, changed("currency: EUR", "curency: EUR", GOOD))
    status, _, err = run(capsys, str(path))
    assert status == 1
    assert re.search(r"line \d+", err)


class _Terminal:
    def __init__(self, *, terminal):
        self.text = ""
        self._terminal = terminal

    def isatty(self):
        return self._terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_the_bar_is_redrawn_on_a_terminal_and_gone_at_the_end(monkeypatch):
    shown = _Terminal(terminal=True)
    monkeypatch.setattr("sys.stderr", shown)
    bar = Bar()
    bar.tell(0.25, "ours, reported")
    bar.tell(0.5, "ours")
    bar.end()
    assert "\n" not in shown.text
    assert "[#######....................." in shown.text
    assert shown.text.endswith(" \r")


def test_elsewhere_a_quick_run_prints_no_progress(monkeypatch):
    shown = _Terminal(terminal=False)
    monkeypatch.setattr("sys.stderr", shown)
    bar = Bar()
    bar.tell(0.5, "ours")
    bar.end()
    assert shown.text == ""


def test_policies_may_be_listed_with_commas(capsys, tiny):
    _, out, _ = run(capsys, tiny, "--policy", "b4, b7", "--policy", "b0", "-o", "json")
    assert [row["policy"] for row in json.loads(out)["runs"]] == ["b0", "b4", "b7"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "objective: money alone, as the scenario declares"),
        (("--objective", "carbon"), "objective: carbon alone"),
        (
            ("--objective", "carbon", "--objective", "money"),
            "objectives: carbon alone; money alone",
        ),
        (
            ("--set", "settings.carbonPricePerTonne=60"),
            "objective: money, with carbon at 60 EUR per tonne, as the scenario declares",
        ),
    ],
)
def test_the_table_says_what_policies_were_told_to_minimise(capsys, tiny, words, told):
    _, out, _ = run(capsys, tiny, "--policy", "b4", "--no-bounds", *words)
    assert told in " ".join(out.split())
