"""Plain words with units, short enough for a status message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import NOW, event, site, snapshot, workload
from wattshift.core.explain import (
    decision_lines,
    governance_lines,
    headline,
    plan_lines,
    status_message,
    watts,
)
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan

MADE = plan(snapshot(), NOW)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "unknown W"),
        (840, "840 W"),
        (9_999, "9999 W"),
        (12_500, "12.5 kW"),
        (3_200_000, "3.20 MW"),
        (-20_000, "-20.0 kW"),
    ],
)
def test_watts_are_read_easily(value, words):
    assert watts(value) == words


def test_a_decision_explains_itself():
    text = "\n".join(decision_lines(MADE.decisions[0], "CNY"))
    for words in (
        "team/chat",
        "Migrate east -> west",
        "east 6 -> 0",
        "west 0 -> 2",
        "CheaperPower",
        "-1600 W",
        "CNY/h",
        "energy",
        "move",
        "rejected",
        "latency",
    ):
        assert words in text


def test_a_status_message_stays_within_its_limit_and_keeps_whole_lines():
    assert len(status_message(MADE.decisions[0], "CNY").encode()) <= 1024
    long = replace(MADE.decisions[0], message="ü" * 3000)
    text = status_message(long, "CNY")
    assert text == headline(long)
    wide = replace(long, workload_key="k" * 5000)
    assert len(status_message(wide, "CNY").encode()) <= 1024


def test_a_plan_tells_sites_notes_and_decisions():
    text = "\n".join(plan_lines(replace(MADE, notes=("be careful",)), "CNY"))
    assert MADE.id in text
    assert "east/feed: metered unknown W, model 2600 W, at most 1.00 MW (feed)" in text
    assert "0.8000 CNY/kWh" in text
    assert "note: be careful" in text


def test_holds_may_be_left_out():
    made = plan(snapshot((workload(accepted=False),)), NOW)
    assert any("NotAccepted" in row for row in plan_lines(made, "CNY"))
    assert not any("NotAccepted" in row for row in plan_lines(made, "CNY", holds=False))


def test_a_governor_tick_tells_what_must_change():
    here = snapshot(sites=(site("east", events=(event(upper=500),)), site("west", price=None)))
    text = "\n".join(governance_lines(govern(here, None, NOW), "CNY"))
    assert "EventLimit" in text
    assert "(urgent)" in text
    assert "price unknown" in text


def test_the_bound_and_what_a_full_site_is_worth_are_told():
    text = "\n".join(plan_lines(MADE, "CNY"))
    assert "bound: no placement costs less than" in text
    assert "CNY/h over 0.2 h" in text
    sites = (site("east", price="0.80"), site("west", price="0.30", limit=700))
    full = plan(snapshot(sites=sites), NOW)
    assert any("one more kWh under its limit is worth" in row for row in plan_lines(full, "CNY"))


def test_a_plan_without_a_choice_tells_no_bound():
    lone = plan(snapshot((), ()), NOW)
    assert not any(row.startswith("bound") for row in plan_lines(lone, "CNY"))


def test_the_split_by_origin_is_told():
    from tests.core.fleet.routed_world import decided, sites, world

    found, _ = decided(world(places=sites(("0.30", "0.80", "0.30"))))
    text = "\n".join(decision_lines(found, "CNY"))
    assert "from north: a 100%" in text
    assert "from south: c 100%" in text
