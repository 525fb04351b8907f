"""A study: the same document each time, the documented keys, and a page that shows what it should."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.sim.scenario_files import write as write_scenario
from wattshift.errors import NeedsHuman
from wattshift.sim.load import load
from wattshift.sim.report.document import SCHEMA, document
from wattshift.sim.report.page import page, write
from wattshift.sim.report.study import CARBON_ONLY, DECLARED, MONEY_ONLY, aimed, study
from wattshift.sim.report.table import WIDTH, table

DOCS = Path(__file__).parents[2] / "docs" / "simulator.md"
POLICIES = ("b0", "b4", "b5")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    return load(write_scenario(tmp_path_factory.mktemp("scenario")))


@pytest.fixture(scope="module")
def found(scenario):
    return study(scenario, POLICIES, objectives=(MONEY_ONLY, CARBON_ONLY), processes=1)


@pytest.fixture(scope="module")
def told(found):
    return document(found)


def without_times(value):
    """The document less what a clock measured."""
    return json.loads(
        json.dumps({**value, "runs": [{**row, "decisionTime": None} for row in value["runs"]]})
    )


def test_the_document_is_plain_json(told):
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["schema"] == SCHEMA


def test_the_same_seed_gives_the_same_document_in_one_process_and_in_two(scenario, told):
    again = study(scenario, POLICIES, objectives=(MONEY_ONLY, CARBON_ONLY), processes=2)
    assert without_times(document(again)) == without_times(told)


def test_another_seed_is_another_demand(tmp_path, told):
    path = write_scenario(
        tmp_path,
        Path(__file__)
        .with_name("scenario_files.py")
        .read_text()
        .split('GOOD = """\\\n')[1]
        .split('"""')[0]
        .replace(
            "    size: {ownPeak: {replicas: 4, headRoom: 1.5}}\n",
            "    size: {ownPeak: {replicas: 4, headRoom: 1.5}}\n"
            "    noise: {relativeStandardDeviation: 0.1, correlationSeconds: 7200}\n",
        ),
    )
    tokens = [
        document(study(load(path, seed=seed), ("b0",), processes=1))["runs"][0]["total"][
            "outputTokens"
        ]
        for seed in (1, 2)
    ]
    assert tokens[0] != tokens[1]


def test_every_run_is_there_once_and_b0_only_once(told):
    runs = [(row["policy"], row["objective"]) for row in told["runs"]]
    assert runs == [
        ("b0", "money"),
        ("b4", "money"),
        ("b4", "carbon"),
        ("b5", "money"),
        ("b5", "carbon"),
    ]


def test_capture_and_its_losses_add_up(told):
    for run in told["runs"][1:]:
        for one in run["capture"].values():
            lost = one["lost"]
            inside = sum(lost[name] for name in ("rounding", "moves", "information"))
            assert one["ratio"] + inside == pytest.approx(1.0)


def test_no_policy_is_beyond_the_bound(told):
    # B8 binds everybody; B8m only who never serves past the margin, which the entry does in need
    for run in told["runs"][1:]:
        for name, one in run["capture"].items():
            assert one["policy"] >= told["bounds"][name]["B8"] * (1 - 1e-9), (run["policy"], name)
            assert one["ratio"] <= 1.01, (run["policy"], name)


def test_the_bounds_are_below_b0_and_ordered(told):
    base = told["runs"][0]["total"]
    for name, key in (("money", "volumetricBill"), ("carbon", "carbonGrams")):
        row = told["bounds"][name]
        assert row["B8"] <= row["B8m"] <= base[key]
        assert row["B8m"] <= row["roundedPerfect"] <= row["roundedPerfectWithMoves"]


def test_the_frontier_has_eleven_points_and_its_area(told):
    frontier = told["frontier"]
    assert len(frontier["bound"]) == len(frontier["moneyShares"]) == 11
    assert 0 < frontier["boundHypervolume"] <= 1.0 + 1e-9


def test_policies_at_eleven_weights_have_an_area_too(scenario):
    wide = document(study(scenario, ("b4",), frontier=True, processes=1))
    row = wide["frontier"]["policies"]["b4"]
    assert len(row["points"]) == 11
    assert 0 <= row["hypervolumeShareOfBound"] <= 1.01


def test_an_objective_is_a_carbon_price(scenario):
    assert aimed(scenario, DECLARED) is scenario
    assert float(aimed(scenario, MONEY_ONLY).settings.carbon_price_per_tonne) == 0
    assert float(aimed(scenario, CARBON_ONLY).settings.carbon_price_per_tonne) >= 1e6
    assert float(aimed(scenario, "75.5").settings.carbon_price_per_tonne) == 75.5


@pytest.mark.parametrize(
    "policies, objectives, told", [(("b9",), ("money",), "b9"), (("b0",), ("beauty",), "beauty")]
)
def test_what_does_not_exist_is_refused(scenario, policies, objectives, told):
    with pytest.raises(NeedsHuman, match=told):
        study(scenario, policies, objectives=objectives)


def test_an_error_in_a_process_comes_out(scenario):
    with pytest.raises(ValueError, match="no window"):
        study(scenario, ("b0",), windows=("never",))


def keys_of(value, found):
    """Keys with a fixed meaning: not names of sites, windows, objectives or components."""
    named = {"windows", "billComponents", "attainment", "latencyLossPoints", "capture", "bounds"}
    if isinstance(value, dict):
        for key, inner in value.items():
            found.add(key)
            if key in named and isinstance(inner, dict):
                for below in inner.values():
                    keys_of(below, found)
            elif key == "policies":
                keys_of(list(inner.values()), found)
            else:
                keys_of(inner, found)
    elif isinstance(value, list):
        for inner in value:
            keys_of(inner, found)
    return found


def test_every_key_is_documented(told):
    documented = set(re.findall(r"`(\w+)`", DOCS.read_text()))
    plain = copy.deepcopy(told)
    for run in plain["runs"]:
        for figures in (run["total"], *run["windows"].values()):
            figures["attainment"] = {}
            if figures.get("againstB0"):
                figures["againstB0"]["latencyLossPoints"] = {}
        run["againstB0"]["latencyLossPoints"] = {}
        for figures in (run["total"], *run["windows"].values()):
            figures["billComponents"] = {}
    assert keys_of(plain, set()) - documented == set()


# ---- what people read ---------------------------------------------------------------------------


def test_the_table_fits_100_columns_and_names_all(told):
    text = table(told)
    assert max(map(len, text.splitlines())) <= WIDTH
    for words in ("b0 local, autoscaled", "b5 for carbon", "B8m: bound"):
        assert words in text


def test_columns_stand_under_their_heads(told):
    lines = table(told).splitlines()
    head = next(line for line in lines if line.startswith("policy"))
    row = next(line for line in lines if line.startswith("B8m: bound"))
    assert row.index("%") == head.index("B0") + 1


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.headings, self.links, self.pictures, self.text = [], [], [], 0, []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "rect", "line", "path", "circle"):
            self.open.append(tag)
        self.pictures += tag == "svg"
        self.links += [v for k, v in attrs if k in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def read(found, told):
    parser = _Page()
    parser.feed(page(found, told))
    assert parser.open == []
    return parser


def test_the_page_has_all_sections(read):
    assert read.headings[:5] == [
        "Policies against the bounds",
        "Carbon and money at once",
        "Power by site",
        "Replicas, price and carbon",
        "Where capture is lost",
    ]
    assert read.headings[-1] == "What this is"


def test_the_page_needs_nothing_from_anywhere(found, told, read):
    text = page(found, told)
    assert read.links == []
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_the_page_says_sources_and_that_it_is_simulated(read):
    text = " ".join(read.text)
    assert "made up (none needed)" in text
    assert "A simulation." in text
    assert "berlin" in text
    assert "oslo" in text


def test_no_coordinate_is_not_a_number(found, told):
    text = page(found, told)
    assert not re.search(r'="[^"]*(nan|inf)[^"]*"', text)


def test_names_are_escaped(found, told):
    nasty = copy.deepcopy(told)
    nasty["scenario"]["title"] = "<b>bold & more</b>"
    nasty["notes"] = ["<script>"]
    text = page(found, nasty)
    assert "&lt;b&gt;bold &amp; more" in text
    assert "<script>" not in text


def test_the_folder_gets_page_and_document(found, told, tmp_path):
    path = write(tmp_path / "report", found, told)
    assert path.name == "index.html"
    assert json.loads((path.parent / "study.json").read_text()) == told
