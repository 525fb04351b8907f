"""Replica states: what takes how long, and what is taken back first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import small
from wattshift.sim.layout import layout_of
from wattshift.sim.replicas import DRAINING, STARTING, WAKING, Fleet

PARKING = replace(small.LLAMA, parked_watts=120.0)


def fleet(table=small.LLAMA) -> Fleet:
    return Fleet(layout_of(small.scenario(4, tables=(table,))))


def test_a_start_serves_after_its_start_time_and_counts_by_parts_of_a_span():
    row = fleet()
    row.order(0, 6, 0.0, 30.0)

    early = row.advance(0.0, 200.0)
    late = row.advance(200.0, 200.0)

    assert early.serving[0] == 4
    assert early.starting[0] == 2
    assert late.starting[0] == pytest.approx(1.0)
    assert late.serving[0] == pytest.approx(5.0)
    assert row.serving[0] == 6
    assert row.starts == 2


def test_a_lowered_replica_drains_and_is_gone():
    row = fleet()
    row.order(0, 1, 0.0, 60.0)

    first = row.advance(0.0, 120.0)
    second = row.advance(120.0, 120.0)

    assert first.serving[0] == 1
    assert first.draining[0] == pytest.approx(3 * 0.5)
    assert second.draining[0] == 0
    assert second.parked[0] == 0


def test_a_parked_replica_wakes_faster_than_it_starts():
    row = fleet(PARKING)
    row.order(0, 1, 0.0, 10.0)
    row.advance(0.0, 60.0)
    assert row.parked[0] == 3

    row.order(0, 3, 60.0, 10.0)
    assert row.pending(WAKING)[0] == 2
    row.advance(60.0, 20.0)

    assert row.serving[0] == 3
    assert row.parked[0] == 1
    assert (row.wakes, row.starts) == (2, 0)


def test_raising_takes_back_what_drains_at_once():
    row = fleet()
    row.order(0, 1, 0.0, 60.0)
    row.advance(0.0, 10.0)
    row.order(0, 4, 10.0, 60.0)

    assert row.serving[0] == 4
    assert row.pending(DRAINING)[0] == 0
    assert row.starts == 0


def test_lowering_cancels_what_starts_before_it_drains_anything():
    row = fleet()
    row.order(0, 8, 0.0, 60.0)
    row.order(0, 3, 10.0, 60.0)

    assert row.pending(STARTING)[0] == 0
    assert row.pending(DRAINING)[0] == 1
    assert row.serving[0] == 3


def test_no_more_replicas_than_devices():
    base = small.with_site(small.scenario(4), 0, devices=(("nvidia.com/gpu", 24),))
    row = Fleet(layout_of(base))

    have = row.order(0, 16, 0.0, 0.0)

    assert have == 6
    assert row.refused == 10
    assert row.target[0] == 6


def test_parked_replicas_of_others_make_room():
    names = ("alpha", "beta", "gamma")
    other = small.chat(4, names, name="other")
    base = small.scenario(4, workloads=(small.chat(4, names), other), tables=(PARKING,))
    base = small.with_site(base, 0, devices=(("nvidia.com/gpu", 32),))
    row = Fleet(layout_of(base))
    row.order(0, 1, 0.0, 0.0)
    row.advance(0.0, 60.0)
    assert row.parked[0] == 3

    assert row.order(3, 7, 60.0, 0.0) == 7
    assert row.parked[0] == 0


def test_a_lost_site_starts_again_what_had_been_ordered():
    row = fleet()
    row.lose(np.asarray([0]))
    assert row.serving[0] == 0
    row.restart(np.asarray([0]), 100.0)

    assert row.pending(STARTING)[0] == 4
    row.advance(100.0, 300.0)
    assert row.serving[0] == 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(-3, 30), st.floats(1, 400)),
        max_size=12,
    ),
    st.booleans(),
)
def test_counts_are_never_negative_and_settle_at_the_order(orders, parks):
    row = fleet(PARKING if parks else small.LLAMA)
    now = 0.0
    for place, wanted, seconds in orders:
        row.order(place, wanted, now, 45.0)
        mean = row.advance(now, seconds)
        now += seconds
        for values in (mean.serving, mean.starting, mean.draining, mean.parked, row.serving):
            assert np.all(values >= -1e-9)
        busy = row.serving + row.pending(STARTING, WAKING, DRAINING) + row.parked
        assert np.all(busy * 4 <= 64)
    row.advance(now, 1000.0)
    assert np.array_equal(row.serving, row.target)
