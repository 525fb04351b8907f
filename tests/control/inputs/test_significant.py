"""What wakes the planner before its interval ends, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.build import (
    connection,
    event,
    member,
    quote,
    signal,
    site,
    snapshot,
    workload,
)
from wattshift.control.inputs.significant import significant_change
from wattshift.core.model import MemberPhase, Mode
from wattshift.core.units import Quantity


def world(price: str | None = "0.50", carbon: float | None = 500.0, **more):
    feed = connection(price=None if price is None else quote(price))
    rows = (signal("grid", Quantity.CARBON_INTENSITY_AVERAGE, carbon, unit="g/kWh"),)
    return snapshot(sites=(site("east", feed=feed, signals=rows, **more),))


def test_nothing_before_the_first_plan():
    assert significant_change(None, world()) == ""


def test_the_same_world_and_small_moves_wake_nobody():
    assert significant_change(world(), world()) == ""
    assert significant_change(world(), world(carbon=509.0)) == ""
    assert significant_change(world("0"), world("0")) == ""


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        (world("0.60"), "signal"),
        (world("-0.50"), "signal"),
        (world(None), "signal"),
        (world(carbon=None), "signal"),
        (world(carbon=520.0), "signal"),
        (world(events=(event(),)), "event"),
        (world(members=(member("east", MemberPhase.LOST),)), "member"),
        (replace(world(), workloads=()), "workload"),
        (replace(world(), workloads=(workload(mode=Mode.OBSERVE),)), "workload"),
    ],
)
def test_a_step_wakes_the_planner_with_its_cause(now, cause):
    assert significant_change(world(), now) == cause
    assert significant_change(now, world()) == cause


def test_a_signal_that_is_gone_is_news():
    gone = replace(world(), sites=(replace(world().sites[0], signals=()),))
    assert significant_change(world(), gone) == "signal"


def test_load_and_supply_wait_for_the_tick():
    def loaded(watts: float):
        rows = (signal("meter", Quantity.SITE_POWER, watts),)
        return snapshot(sites=(site("east", signals=rows),))

    assert significant_change(loaded(1000.0), loaded(9000.0)) == ""


def test_an_event_that_begins_is_news_and_one_that_goes_on_is_not():
    assert significant_change(world(events=(event(active=False),)), world(events=(event(),)))
    assert significant_change(world(events=(event(),)), world(events=(event(),))) == ""
