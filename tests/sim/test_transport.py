"""One transport problem: exact, bulk, and honest where there is no room."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.sim.transport import Network, ship


def network(reach, blocks=None):
    """`reach` lists the pools of each class; `blocks` the pool of each block."""
    arcs = [(c, p) for c, pools in enumerate(reach) for p in pools]
    pools = 1 + max((p for _, p in arcs), default=0)
    return Network(
        classes=len(reach),
        pools=pools,
        arc_class=np.array([row[0] for row in arcs], dtype=np.int64),
        arc_pool=np.array([row[1] for row in arcs], dtype=np.int64),
        block_pool=np.array(range(pools) if blocks is None else blocks, dtype=np.int64),
    )


def solve(reach, demand, capacity, cost, blocks=None, arc_cost=None):
    return ship(
        network(reach, blocks),
        np.array(demand, dtype=float),
        np.array(capacity, dtype=float),
        np.array(cost, dtype=float),
        None if arc_cost is None else np.array(arc_cost, dtype=float),
    )


def test_the_cheapest_pool_is_filled_first():
    done = solve([[0, 1]], [10], [4, 20], [1, 3])
    assert done.arcs.tolist() == pytest.approx([4, 6])
    assert done.unmet.tolist() == [0]


def test_the_class_with_the_dearer_alternative_gets_the_cheap_pool():
    done = solve([[0, 2], [1, 2]], [5, 5], [9, 9, 5], [2, 7, 1])
    assert done.arcs.tolist() == pytest.approx([5, 0, 0, 5])


def test_what_has_no_room_is_unmet_and_nothing_else_is():
    done = solve([[0], [1]], [10, 3], [4, 9], [1, 1])
    assert done.unmet.tolist() == pytest.approx([6, 0])
    assert done.blocks.tolist() == pytest.approx([4, 3])


def test_everything_that_can_be_served_is_served_however_dear():
    done = solve([[0, 1], [1]], [5, 5], [5, 5], [-1e6, 1e6])
    assert done.unmet.tolist() == pytest.approx([0, 0])


def test_demand_goes_where_it_earns():
    done = solve([[0, 1]], [10], [4, 20], [1, -3])
    assert done.arcs.tolist() == pytest.approx([0, 10])


def test_blocks_of_a_pool_fill_by_cost_in_any_order():
    done = solve([[0]], [5], [3, 3], [9, 1], blocks=[0, 0])
    assert done.blocks.tolist() == pytest.approx([2, 3])


def test_an_arc_may_cost_too():
    done = solve([[0, 1]], [10], [20, 20], [1, 1], arc_cost=[0.5, 0])
    assert done.arcs.tolist() == pytest.approx([0, 10])


def test_no_demand_ships_nothing():
    done = solve([[0, 1]], [0], [4, 20], [1, 3])
    assert done.blocks.tolist() == [0, 0]


def test_infinite_room_is_enough_for_all():
    done = solve([[0]], [10], [np.inf], [1])
    assert done.blocks.tolist() == pytest.approx([10])


def test_pools_without_room_are_left_out():
    done = solve([[0, 1]], [10], [0, 20], [1, 3])
    assert done.arcs.tolist() == pytest.approx([0, 10])


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e6, 1e12])
def test_units_do_not_matter(scale):
    done = solve([[0, 2], [1, 2]], [5 * scale, 5 * scale], np.array([9, 9, 5]) * scale, [2, 7, 1])
    assert (done.arcs / scale).tolist() == pytest.approx([5, 0, 0, 5], abs=1e-6)
    done = solve([[0, 1]], [10], [4, 20], np.array([1, 3]) * scale)
    assert done.arcs.tolist() == pytest.approx([4, 6])


def best_by_trying(reach, demand, capacity, cost):
    """Whole units, every assignment."""
    units = [c for c, amount in enumerate(demand) for _ in range(amount)]
    best = None
    for choice in product(*(reach[c] for c in units)):
        used = np.bincount(choice, minlength=len(capacity)) if choice else np.zeros(len(capacity))
        if (used <= capacity).all():
            total = float((used * cost).sum())
            best = total if best is None else min(best, total)
    return best


@settings(max_examples=60, deadline=None)
@given(
    demand=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    capacity=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    cost=st.lists(st.integers(-5, 9), min_size=3, max_size=3),
    reach=st.lists(
        st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True), min_size=3, max_size=3
    ),
)
def test_no_assignment_costs_less(demand, capacity, cost, reach):
    reach = reach[: len(demand)]
    blocks = [0, 1, 2]
    best = best_by_trying(reach, demand, np.array(capacity), np.array(cost))
    arcs = [(c, p) for c, pools in enumerate(reach) for p in pools]
    done = ship(
        Network(
            classes=len(demand),
            pools=3,
            arc_class=np.array([row[0] for row in arcs], dtype=np.int64),
            arc_pool=np.array([row[1] for row in arcs], dtype=np.int64),
            block_pool=np.array(blocks, dtype=np.int64),
        ),
        np.array(demand, dtype=float),
        np.array(capacity, dtype=float),
        np.array(cost, dtype=float),
    )
    served = sum(demand) - done.unmet.sum()
    assert done.arcs.sum() == pytest.approx(served, abs=1e-6)
    assert done.blocks.sum() == pytest.approx(served, abs=1e-6)
    assert (done.blocks <= np.array(capacity) + 1e-6).all()
    if best is None:
        assert done.unmet.sum() > 0
    else:
        assert done.unmet.sum() == pytest.approx(0, abs=1e-6)
        assert float((done.blocks * cost).sum()) == pytest.approx(best, abs=1e-4)
