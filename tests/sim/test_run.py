"""The loop as a whole: books, determinism, doing nothing."""

from __future__ import annotations

import json

from tests.sim import small

from wattshift.sim.result import compare
from wattshift.sim.run import simulate


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
