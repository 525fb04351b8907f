"""The benchmark's JSON has its shape, and the page in docs/ says what the file beside it says."""

from __future__ import annotations

import json
import re

import pytest

from e2e.bench import control, fleet, offline
from e2e.bench.figures import commit, machine, versions
from e2e.bench.page import DATA, PAGE, render

HEAD = {"formatVersion", "benchmark", "commit", "startedTime", "endedTime", "machine", "versions"}
MACHINE = {"processor", "cores", "memoryGibibytes", "system", "loadAverage", "loadAverageAtEnd"}
SPREAD = {"count", "p50", "p99"}
FROZEN = {
    "seconds",
    "writes",
    "writesPerSecond",
    "writesByWhat",
    "leaseWrites",
    "accessReviews",
    "memoryMebibytes",
    "cpuShare",
    "governorTickSeconds",
    "planIterationSeconds",
    "stageSeconds",
}


@pytest.fixture(scope="module")
def published():
    return json.loads(DATA.read_text())


def test_a_result_says_where_when_and_what_was_measured(published):
    assert published.keys() >= HEAD | {"aims"}
    assert published["machine"].keys() >= MACHINE
    assert re.fullmatch(r"[0-9a-f]{12}", published["commit"]["id"])
    assert published["formatVersion"] == control.FORMAT_VERSION


def test_the_live_half_has_every_figure_and_its_baseline(published):
    live = published["live"]
    assert (live["clusters"], live["workloads"]) == (3, 50)
    assert live["frozen"].keys() >= FROZEN
    assert live["frozen"]["seconds"] >= 90
    assert live["planOften"].keys() >= FROZEN
    assert live["starts"]
    assert all({"firstPlan", "fullPlan"} <= row.keys() for row in live["starts"])
    assert live["baseline"].keys() >= {"what", "startToAllSeenSeconds", "memoryMebibytes"}


def test_the_offline_half_has_every_figure_and_its_baseline(published):
    half = published["offline"]
    assert (half["workloads"], half["sites"]) == (2000, 20)
    for scenario in ("calm", "pressed"):
        for name in ("planSeconds", "governSeconds", "baselineCheapestSiteSeconds"):
            assert half[scenario][name].keys() >= SPREAD | {"cpu"}
        assert half[scenario]["deterministic"] is True
    assert half["loops"]["memoryMebibytes"].keys() == {"imports", "fleet", "sum"}


def test_the_page_is_what_the_file_gives(published):
    assert PAGE.read_text() == render(published)


def test_one_half_alone_gives_a_page_too(published):
    for half in ("live", "offline"):
        page = render({key: row for key, row in published.items() if key != half})
        assert "## Against the aims" in page


def test_a_small_fleet_is_measured_in_the_published_shape(published):
    found = offline.decide(fleet.Size(workloads=8, sites=2), runs=2)
    assert found.keys() == published["offline"]["calm"].keys()
    assert found["planSeconds"]["count"] == 2


def test_the_file_is_named_after_the_commit_and_the_half(tmp_path):
    head = {"commit": {"id": "abc"}}
    assert control.write({**head, "offline": {}, "live": {}}, tmp_path).name == "control-abc.json"
    alone = control.write({**head, "offline": {}}, tmp_path)
    assert alone.name == "control-abc-offline.json"


def test_this_machine_can_be_described():
    assert machine().keys() | {"loadAverageAtEnd"} >= MACHINE
    assert commit()["id"]
    assert "python" in versions()
