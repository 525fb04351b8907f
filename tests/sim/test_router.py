"""Routing at the entry: reach, margin, loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import small
from wattshift.core.model import Allowed
from wattshift.sim.layout import layout_of
from wattshift.sim.router import Router

NAMES = ("alpha", "beta", "gamma")
LAYOUT = layout_of(small.scenario(4))
EAST, WEST = 0, 1
ALPHA, BETA, GAMMA = 0, 1, 2


def route(router: Router, demand, planned, full=None, most=None):
    planned = np.asarray(planned, dtype=float)
    full = planned if full is None else np.asarray(full, dtype=float)
    most = full if most is None else np.asarray(most, dtype=float)
    return router.route(np.asarray(demand, dtype=float), planned, full, most)


def by_pair(routed) -> dict[tuple[int, int], float]:
    arcs = LAYOUT.arcs
    rows = zip(arcs.load, arcs.placement, routed.flow, strict=True)
    return {(int(a), int(p)): float(f) for a, p, f in rows if f > 1e-9}


def test_without_a_split_the_nearest_serves():
    routed = route(Router(LAYOUT), [10, 20], [100, 100, 100])

    assert by_pair(routed) == {(EAST, ALPHA): 10, (WEST, GAMMA): 20}


def test_a_full_site_passes_on_to_the_next_nearest():
    routed = route(Router(LAYOUT), [10, 20], [4, 100, 15])

    assert by_pair(routed) == {
        (EAST, ALPHA): 4,
        (EAST, BETA): 6,
        (WEST, GAMMA): 15,
        (WEST, BETA): 5,
    }
    assert routed.past_margin == 0


def test_the_split_of_the_plan_is_followed():
    router = Router(LAYOUT)
    router.set_split(WEST, {ALPHA: 0.25, BETA: 0.75})
    routed = route(router, [0, 20], [100, 100, 100])

    assert by_pair(routed) == {(WEST, ALPHA): 5, (WEST, BETA): 15}


def test_nobody_is_served_beyond_the_reach_that_they_accept():
    router = Router(LAYOUT)
    assert not router.set_split(EAST, {GAMMA: 1.0})  # 200 ms, east accepts 150
    routed = route(router, [10, 0], [0, 0, 100])

    assert by_pair(routed) == {}
    assert routed.lost[EAST] == 10


def test_a_site_is_loaded_past_its_margin_only_when_nobody_else_has_planned_room():
    router = Router(LAYOUT)
    spare = route(router, [10, 0], [5, 90, 0], [10, 100, 0])
    none = route(router, [10, 0], [5, 3, 0], [10, 4, 0])

    assert by_pair(spare) == {(EAST, ALPHA): 5, (EAST, BETA): 5}
    assert spare.past_margin == 0
    assert none.past_margin == pytest.approx(2)
    assert none.lost.sum() == 0
    assert by_pair(none)[EAST, ALPHA] == pytest.approx(7)


def test_what_nobody_can_carry_waits_at_the_nearest_that_serves():
    routed = route(Router(LAYOUT), [30, 0], [0, 5, 0], [0, 6, 0], [0, 8, 0])

    assert by_pair(routed) == {(EAST, BETA): 30}
    assert routed.lost.sum() == 0


def test_without_shift_traffic_requests_spread_by_capacity():
    workload = small.chat(4, NAMES, actions=(Allowed.SCALE,))
    layout = layout_of(small.scenario(4, workloads=(workload,)))
    routed = Router(layout).route(
        np.asarray([12.0, 0.0]), *(np.asarray([10.0, 0.0, 30.0]) for _ in range(3))
    )

    assert np.allclose(routed.offered, [3, 0, 9])


capacity = st.lists(st.floats(0, 50), min_size=3, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    demand=st.lists(st.floats(0, 60), min_size=2, max_size=2),
    planned=capacity,
    extra=capacity,
    queue=capacity,
    split=st.dictionaries(st.integers(0, 2), st.floats(0, 1), max_size=3),
)
def test_demand_is_conserved_and_capacity_kept(demand, planned, extra, queue, split):
    router = Router(LAYOUT)
    router.set_split(EAST, split)
    planned = np.asarray(planned)
    full = planned + np.asarray(extra)
    most = full + np.asarray(queue)
    routed = route(router, demand, planned, full, most)
    arcs = LAYOUT.arcs
    served = np.bincount(arcs.load, routed.flow, 2)

    assert np.all(routed.flow >= 0)
    assert np.allclose(served + routed.lost, demand)
    assert np.all(routed.flow[~arcs.reachable] == 0)
    assert np.all(routed.offered[most <= 0] <= 1e-6)
    if routed.past_margin == 0 and routed.lost.sum() == 0:
        assert np.all(routed.offered <= planned + 1e-6)


def test_what_is_spread_past_the_margin_is_counted_too():
    """Without a split nobody keeps the margin: what they save by it must be told."""
    base = small.scenario(4)
    spread = small.chat(4, NAMES, actions=(Allowed.SCALE,))
    layout = layout_of(replace(base, workloads=(spread,)))
    planned, full = np.array([90.0, 0.0, 0.0]), np.array([100.0, 0.0, 0.0])
    router = Router(layout)

    inside = router.route(np.array([40.0, 50.0]), planned, full, 1.2 * full)
    past = router.route(np.array([40.0, 56.0]), planned, full, 1.2 * full)
    queued = router.route(np.array([40.0, 90.0]), planned, full, 1.2 * full)

    assert inside.past_margin == 0
    assert past.past_margin == pytest.approx(6.0)
    assert queued.past_margin == pytest.approx(30.0)  # what waits is not served
