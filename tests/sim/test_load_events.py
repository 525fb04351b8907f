"""Drawn events and faults: inside the scenario, apart from each other, as deep as asked."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import scenario_files as files
from wattshift.sim.load import ScenarioError, load, parse
from wattshift.sim.load_events import events, faults
from wattshift.sim.load_grid import Grid
from wattshift.sim.load_text import Text
from wattshift.sim.scenario import FaultKind
from wattshift.sim.schema import EventsSpec, FaultSpec

GRID = Grid(1_711_756_800, 300.0, 288 * 4)
RANDOM = {
    "count": 30,
    "durationSeconds": {"from": 10, "to": 3600, "logarithmic": True},
    "reductionShare": {"from": 0.1, "to": 0.4},
    "gapSeconds": 600,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Text:
    return Text(files.write(tmp_path_factory.mktemp("events")))


def drawn(text: Text, of_scenario: int = 1, **more):
    file = parse(text).model_copy(
        update={"events": EventsSpec.model_validate({"random": {**RANDOM, **more}})}
    )
    return events(file, text, GRID, of_scenario)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    gap=st.floats(0, 1800),
    first=st.floats(0, 20000),
    band=st.floats(0, 0.5),
    hold=st.floats(0, 0.5),
)
def test_drawn_events_keep_every_word_of_the_file(text, seed, count, gap, first, band, hold):
    found = drawn(
        text, seed, count=count, gapSeconds=gap, firstSeconds=first, bandShare=band, holdShare=hold
    )
    assert len(found) == count
    assert len({event.name for event in found}) == count
    for site in ("berlin", "oslo"):
        mine = [event for event in found if event.site_name == site]
        assert abs(len(mine) - count / 2) <= 0.5
        end = first - gap
        for event in mine:
            assert event.start_seconds >= end + gap - 1
            end = event.start_seconds + event.duration_seconds
        assert end <= GRID.steps * GRID.step
    for event in found:
        assert 10 <= event.duration_seconds <= 3600
        assert event.reduction_share is not None or event.lower_share is not None
        if event.reduction_share is not None:
            assert 0.1 <= event.reduction_share <= 0.4
            if event.lower_share is not None:
                assert event.lower_share <= 1 - event.reduction_share
        assert event.notice_seconds == 0


def test_the_seed_of_the_file_wins_over_the_scenarios(text):
    assert drawn(text, 1, seed=5) == drawn(text, 2, seed=5)
    assert drawn(text, 1) != drawn(text, 2)


def test_logarithmic_lengths_have_their_median_at_the_geometric_mean(text):
    found = drawn(text, count=150, gapSeconds=0)
    lengths = [event.duration_seconds for event in found]
    assert np.median(lengths) == pytest.approx(np.sqrt(10 * 3600), rel=0.4)


def test_events_only_at_named_sites_and_with_notice(text):
    found = drawn(text, siteNames=["oslo"], noticeSeconds=600)
    assert {event.site_name for event in found} == {"oslo"}
    assert {event.notice_seconds for event in found} == {600}
    with pytest.raises(ScenarioError, match=r"siteNames\[0\].*no site 'rome'"):
        drawn(text, siteNames=["rome"])


def test_listed_events_come_in_order_with_the_drawn_ones(tmp_path):
    text = files.GOOD + (
        "events:\n  listed:\n"
        "  - {name: late, siteName: oslo, startSeconds: 90000, durationSeconds: 600, upperWatts: 9}\n"
        "  - {name: early, siteName: oslo, startSeconds: 60, durationSeconds: 600, lowerShare: 0.9}\n"
    )
    found = load(files.write(tmp_path, text)).events
    assert [event.name for event in found] == ["early", "late"]
    assert found[0].lower_share == 0.9
    assert found[1].upper_watts == 9


def faulty(text: Text, *rows: dict, seed: int = 1):
    made = [FaultSpec.model_validate(row) for row in rows]
    return faults(parse(text).model_copy(update={"faults": made}), text, GRID, seed)


def test_a_star_hits_every_site(text):
    found = faulty(text, {"kind": "NaN", "siteName": "*", "quantity": "Price", "startSeconds": 0,
                          "durationSeconds": 60})  # fmt: skip
    assert Counter(item.site_name for item in found) == {"berlin": 1, "oslo": 1}
    assert {item.kind for item in found} == {FaultKind.NAN}
    assert {item.factor for item in found} == {1.0}


def test_a_spread_gives_every_site_its_own_bias(text):
    row = {"kind": "Bias", "siteName": "*", "quantity": "Carbon", "startSeconds": 0,
           "durationSeconds": 60, "perSiteSpread": 0.3}  # fmt: skip
    one, two = faulty(text, row), faulty(text, row, seed=2)
    factors = [item.factor for item in one]
    assert len(set(factors)) == 2
    assert all(0.7 <= factor <= 1.3 for factor in factors)
    assert factors != [item.factor for item in two]
    assert one == faulty(text, row)
