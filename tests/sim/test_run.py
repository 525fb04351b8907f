"""The loop as a whole: books, determinism, doing nothing."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import small
from wattshift.core.model import Firmness
from wattshift.sim.policies.base import Orders
from wattshift.sim.result import compare
from wattshift.sim.run import _Clock, _joined, simulate
from wattshift.sim.scenario import Fault, FaultKind, Signal, SimEvent, Storage


def test_a_day_runs_with_books_that_balance_at_every_span():
    result = simulate(small.scenario(), small.Local, checked=True)

    total = result.to_json()["total"]
    assert total["seconds"] == 86400
    assert total["outputTokens"] > 0
    assert total["replicaStarts"] > 0


def test_doing_nothing_saves_exactly_nothing():
    base = small.scenario(96)

    first = simulate(base, small.Nothing)
    second = simulate(base, small.Nothing)

    figures = compare(second, first)
    assert figures["carbonReduction"] == 0
    assert figures["billReduction"] == 0
    assert figures["facilityEnergyReduction"] == 0
    assert figures["worstLatencyLossPoints"] == 0


def test_same_seed_same_result():
    base = small.scenario(96)
    texts = [json.dumps(simulate(base, small.Local).to_json(), sort_keys=True) for _ in range(2)]

    assert texts[0] == texts[1]


def spans(scenario, steps, due=lambda: None):
    clock = _Clock(scenario)
    return [row for step in steps for row in clock.spans(step, due)]


def event(start: float, seconds: float) -> SimEvent:
    return SimEvent(
        name="e",
        site_name="alpha",
        start_seconds=start,
        duration_seconds=seconds,
        notice_seconds=0.0,
        upper_watts=1000.0,
        lower_watts=None,
        reduction_share=None,
        ramp_seconds=0.0,
        firmness=Firmness.COMMITTED,
    )


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=8),
    st.lists(st.integers(0, 100), max_size=20),
)
def test_joined_spans_hold_the_same_times(rows, times):
    some = [(float(first), float(first + length)) for first, length in rows]
    joined = _joined(some)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    for now in times:
        assert any(a <= now < b for a, b in joined) == any(a <= now < b for a, b in some)


def test_spans_cover_every_step_once():
    base = replace(
        small.scenario(40), step_seconds=60.0, govern_every_seconds=1.0, events=(event(601.5, 90),)
    )
    rows = spans(base, range(40))

    for (start, seconds), (following, _) in itertools.pairwise(rows):
        assert start + seconds == pytest.approx(following)
    assert rows[0][0] == 0
    assert sum(rows[-1]) == 40 * 60
    assert all(seconds >= 1 - 1e-9 for _, seconds in rows[:-1])


def test_a_transition_ends_a_span_near_an_event():
    base = replace(
        small.scenario(40), step_seconds=60.0, govern_every_seconds=1.0, events=(event(600, 600),)
    )
    starts = [start for start, _ in spans(base, [12], lambda: 750.0)]

    assert 750.0 in starts
    assert starts[:5] == [720, 721, 722, 723, 724]


def test_without_fine_decisions_a_span_is_a_step():
    assert spans(small.scenario(3), range(3)) == [(0.0, 300.0), (300.0, 300.0), (600.0, 300.0)]


class Erratic(small.Nothing):
    """Orders anything at all."""

    def __init__(self, draws: list[int]) -> None:
        super().__init__()
        self._draws = itertools.cycle(draws)

    def decide(self, snapshot, now):
        orders = Orders()
        for place in ("alpha", "beta", "gamma"):
            draw = next(self._draws)
            orders.replicas["llm/chat", place] = draw % 19
            if draw % 5 == 0:
                orders.split["llm/chat", "west"] = {place: 1.0}
            if draw % 7 == 0:
                orders.caps["llm/chat", place] = 0.5 + draw % 50 / 100
        return orders


@settings(max_examples=15, deadline=None)
@given(
    draws=st.lists(st.integers(0, 1000), min_size=5, max_size=20),
    kind=st.sampled_from(list(FaultKind)),
    quantity=st.sampled_from(["Price", "Carbon", "Power", "Demand", "Supply", "Temperature"]),
    begin=st.floats(0, 3000),
)
def test_whatever_is_ordered_and_whatever_fails_the_books_balance(draws, kind, quantity, begin):
    steps = 12
    supply = Signal(values=np.linspace(0, 60_000, steps), unit="Watt")
    store = Storage(
        energy_watt_hours=500.0,
        power_watts=4000.0,
        charge_efficiency=0.9,
        discharge_efficiency=0.95,
        reserve_share=0.2,
    )
    base = small.with_site(
        small.scenario(steps), 0, supply=supply, supply_capacity_watts=60_000.0, storage=store
    )
    fault = Fault(
        kind=kind,
        site_name="alpha",
        quantity=quantity,
        start_seconds=begin,
        duration_seconds=900.0,
        factor=3.0,
    )
    result = simulate(replace(base, faults=(fault,)), Erratic(draws), windows=["all"], checked=True)
    figures = result.to_json()["total"]

    whole = figures["outputTokens"] + figures["lostTokens"] + figures["queuedTokens"]
    assert whole == pytest.approx(figures["demandTokens"])
    assert figures["movesPerWorkloadDay"] >= 0
    for shares in figures["attainment"].values():
        assert all(0 <= share <= 1 + 1e-12 for share in shares.values())
