"""The report: figures side by side, none corrected by another; text and page print all of it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from e2e.demo import scene
from e2e.demo.books import DayBooks
from e2e.demo.moments import TITLES, find
from e2e.demo.page import page
from e2e.demo.report import build
from e2e.demo.words import summary
from tests.demo.scenes import MIDNIGHT, ORDER, day, empty_books, request, words
from wattshift.core.account import Books, FeedStep, Step, WorkloadShare

TRUTH = {
    "facilityWattHours": 1000.0,
    "importWattHours": 600.0,
    "greenWattHours": 400.0,
    "cost": 1.0,
    "carbonGrams": 300.0,
}


def doubled(row: dict[str, float]) -> dict[str, float]:
    return {key: 2 * value for key, value in row.items()}


def books(saved_watts: float = 1000.0) -> DayBooks:
    """One hour at gansu: 3 kW as run, more when nothing is done; 1 kW of own wind."""

    def step(watts: float, baseline: float) -> Step:
        feed = ("gansu", "feed")
        return Step(
            start_time=MIDNIGHT,
            seconds=3600.0,
            feeds=(
                FeedStep(
                    feed=feed,
                    model_watts=watts,
                    metered_watts=watts + 100,
                    own_supply_watts=1000.0,
                    price_per_kilowatt_hour=Decimal("0.5"),
                    own_price_per_kilowatt_hour=Decimal("0.25"),
                    grams_per_kilowatt_hour=Decimal(400),
                ),
            ),
            shares=(
                WorkloadShare(
                    workload_key="inference/qwen3-32b",
                    feed=feed,
                    it_watts=watts,
                    facility_watts=watts,
                    baseline_facility_watts=baseline,
                ),
            ),
            tokens=(("inference/qwen3-32b", 1_000_000),),
        )

    kept, nothing = Books(), Books()
    kept.add(step(3000.0, 3000.0 + saved_watts))
    nothing.add(step(3000.0 + saved_watts, 3000.0 + saved_watts))
    return DayBooks(books=kept, nothing=nothing, steps=1, gap_seconds=0.0)


def report(**changes):
    samples, told = changes.pop("samples", day()), changes.pop("told", words())
    pace = scene.Pace()
    values = {
        "pace": pace,
        "day": (MIDNIGHT, MIDNIGHT + 86_400),
        "samples": samples,
        "told": told,
        "books": books(),
        "truth": ({"gansu": TRUTH}, {"gansu": doubled(TRUTH)}),
        "requests": {scene.CHAT: [request(i) for i in range(100)], scene.CODE: []},
        "batch": {
            "completedUnits": 90,
            "submittedUnits": 100,
            "backlogUnits": 10,
            "lostUnits": 0,
            "failedAttempts": 1,
        },
        "moments": find(samples, told, ORDER),
        "order": ORDER,
        "substituted": ["one address <b>"],
        "wall_seconds": {"setup": 30.0},
    }
    return build(**(values | changes))


def test_the_report_is_json_and_complete():
    found = report()
    assert json.loads(json.dumps(found)) == found
    assert found["complete"]
    assert [row["name"] for row in found["moments"]] == list(TITLES)
    assert len(found["samples"]) == 144


def test_a_missing_moment_makes_it_incomplete():
    assert not report(told=[])["complete"]


def test_savings_are_the_difference_of_two_books_by_one_estimator():
    found = report()["books"]
    assert found["asRun"]["energyKilowattHours"] == 3.0
    assert found["doingNothing"]["energyKilowattHours"] == 4.0
    assert found["saved"]["energyKilowattHours"] == 1.0
    assert found["saved"]["energyShare"] == 0.25
    assert found["saved"]["cost"] == "0.5000"
    assert found["saved"]["carbonGrams"] == 400
    assert found["asRun"]["greenShare"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["asRun"]["costPerMillionTokens"] == "1.2500"
    assert found["doingNothingSavesZero"]


def test_doing_nothing_saves_nothing():
    found = report(books=books(saved_watts=0.0))["books"]
    assert found["saved"]["energyKilowattHours"] == 0
    assert found["saved"]["cost"] == "0.0000"


def test_books_that_do_not_balance_are_told_loudly():
    wrong = books()
    found = report(books=DayBooks(books=wrong.books, nothing=wrong.books, steps=1, gap_seconds=9.0))
    assert not found["books"]["doingNothingSavesZero"]
    text = "\n".join(summary(found))
    assert "NOT 0" in text
    assert "not covered by recorded steps: 9 s" in text


def test_the_plants_books_are_those_of_the_day_and_the_residual_is_printed():
    found = report()["truth"]
    assert found["sites"]["gansu"]["energyKilowattHours"] == 1.0
    assert found["sites"]["gansu"]["greenShare"] == 0.4
    assert found["residual"]["energyKilowattHours"] == -2.0
    assert found["residual"]["energyShare"] == -2.0
    assert "residual, truth less operator's books: -2.0 kWh" in "\n".join(summary(report()))


@pytest.mark.parametrize(
    ("rows", "attainment", "succeeded"),
    [
        ([request(1), request(2)], 1.0, 2),
        ([request(1), request(2, 1000.5)], 0.5, 2),
        ([request(1), request(2, None, ok=False)], 0.5, 1),  # a failure is never within
        ([request(1, 10.0, ok=False)], 0.0, 0),
        ([request(1), request(-50), request(500)], 1.0, 1),  # due outside the day
    ],
)
def test_attainment_is_the_clients_own(rows, attainment, succeeded):
    found = report(requests={scene.CHAT: rows})["clients"][scene.CHAT]
    assert found["attainment"] == attainment
    assert found["succeeded"] == succeeded


def test_without_requests_nothing_is_claimed():
    found = report()["clients"][scene.CODE]
    assert found["requests"] == 0
    assert found["attainment"] is None


def test_the_text_prints_every_part():
    text = "\n".join(summary(report()))
    for part in (
        "doing nothing",
        "saves exactly 0",
        "its latency is not measured",
        "by the plants (independent truth)",
        "at the clients (wall clock)",
        "90 of 100 units done, 10 wait, 0 lost",
        "a veto freezes the savings",
        "QueueGrowing",
    ):
        assert part in text
    assert text.count("[x]") == len(TITLES)
    assert "[ ]" in "\n".join(summary(report(told=[])))


def test_an_empty_day_still_has_a_report():
    found = report(
        samples=[],
        told=[],
        books=empty_books(),
        truth=({}, {}),
        requests={scene.CHAT: []},
        batch={},
    )
    assert "\n".join(summary(found))
    assert page(found)


class Elements(HTMLParser):
    """Counts elements; fails on markup that does not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_self_contained_and_escaped():
    text = page(report())
    parser = Elements()
    parser.feed(text)
    assert parser.open == []
    assert parser.links == []
    assert "<script" not in text
    assert "http://www" not in text
    assert parser.counts["svg"] == 3 + 2 + 3 + 1
    assert "one address &lt;b&gt;" in text
    assert "nan" not in re.sub(r"<[^>]*title>.*?</title>", "", text).lower()


def test_the_event_is_shaded_and_each_decision_marked():
    text = page(report())
    assert text.count('class="shade"') == 1
    marked = [row for row in words() if row.reason]
    assert text.count('class="mark"') == len(marked)
    assert "0.43 per kWh now" in text
