"""Each fault of S6 small on its own: limits hold, latency holds against B0, and the decision is the
documented one (docs/faults.md). One run a policy over all of them; each fault is a window of its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wattshift.core.model import Snapshot
from wattshift.sim.load import load
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.registry import make
from wattshift.sim.result import compare
from wattshift.sim.run import simulate
from wattshift.sim.scenario import FaultKind, Scenario, Window

LOSS_POINTS = 0.5
"""Of latency attainment against B0, that a fault may cost."""
TABLE = Path(__file__).parents[2] / "docs" / "faults.md"


class Watched:
    """A policy, with what it saw and ordered."""

    def __init__(self, inner) -> None:
        self.inner, self.name = inner, inner.name
        self.rows: list[tuple[Snapshot, Orders]] = []

    def decide(self, snapshot, now):
        orders = self.inner.decide(snapshot, now)
        self.rows.append((snapshot, orders))
        return orders


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """S6 small with one window a fault."""
    base = load("s6-small")
    rows = {}
    for fault in base.faults:
        first = round(fault.start_seconds / base.step_seconds)
        last = round((fault.start_seconds + fault.duration_seconds) / base.step_seconds)
        rows[first] = Window(name=f"{first}", first_step=first, last_step=last)
    return replace(base, windows=tuple(rows[key] for key in sorted(rows)))


@pytest.fixture(scope="module")
def runs(scenario):
    """(ours watched, its result, B0's result)."""
    ours = Watched(make("ours"))
    return ours, simulate(scenario, ours), simulate(scenario, make("b0"))


def test_every_fault_of_the_scenario_is_in_the_table_of_decisions(scenario):
    words = TABLE.read_text(encoding="utf-8")
    for kind, quantity in {(row.kind, row.quantity) for row in scenario.faults}:
        assert f"| {kind.value} | {quantity or '-'} |" in words


def test_no_fault_costs_latency_against_b0(scenario, runs):
    _, ours, b0 = runs
    for window in scenario.windows:
        found = compare(ours.of(window.name), b0.of(window.name))
        assert found["worstLatencyLossPoints"] <= LOSS_POINTS, window.name


def test_no_fault_breaks_a_limit(runs):
    _, ours, _ = runs
    assert ours.to_json()["total"]["importLimitViolationSeconds"] == 0
    assert ours.to_json()["total"]["coolingLimitViolationSeconds"] == 0


def during(runs, scenario, *kinds, quantity=None):
    """What was seen and ordered while such a fault was in force."""
    found = []
    for snapshot, orders in runs[0].rows:
        now = snapshot.grid_time - scenario.start_time
        for fault in scenario.faults:
            inside = fault.start_seconds <= now < fault.start_seconds + fault.duration_seconds
            if inside and fault.kind in kinds and quantity in (None, fault.quantity):
                found.append((snapshot, orders, fault))
    assert found
    return found


def test_nothing_is_ordered_of_a_cluster_that_cannot_be_reached(runs, scenario):
    rows = during(runs, scenario, FaultKind.MEMBER_DOWN)
    # what was begun before it was known to be lost is not counted
    for _, orders, fault in rows[1:]:
        assert all(place != fault.site_name for _, place in orders.replicas)


def test_no_value_that_is_not_a_number_reaches_a_decision(runs, scenario):
    for snapshot, _, _ in during(runs, scenario, FaultKind.NAN, quantity="Price"):
        for site in snapshot.sites:
            for row in site.signals:
                if row.reading is not None and row.reading.value is not None:
                    assert row.reading.value == row.reading.value


def test_a_bias_costs_no_more_moves_than_a_day_has(runs, scenario):
    _, ours, _ = runs
    for fault in scenario.faults:
        if fault.kind is FaultKind.BIAS and fault.quantity in ("Price", "Carbon"):
            name = f"{round(fault.start_seconds / scenario.step_seconds)}"
            moved = ours.of(name).to_json()["total"]["movesPerWorkloadDay"]
            assert moved <= 4 * 12  # two hours; four moves are the day's whole budget
