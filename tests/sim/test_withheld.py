"""What events withhold at a site: replicas until they are given back, and power above caps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim import small
from wattshift.core.reasons import Reason
from wattshift.sim.layout import layout_of
from wattshift.sim.plant import Plant
from wattshift.sim.policies.base import Orders
from wattshift.sim.withheld import Withheld

CHAT = "llm/chat"
PLANT = Plant(layout_of(small.scenario(steps=12)))
RECORD = replace(PLANT.advance(0, 0.0, 300.0), capped=np.ones(3))
BUSY = 2002.0
"""Of a replica at its objective."""


def ordered(held: Withheld, before: list[int], after: list[int], reason: str, bound=(0,)) -> float:
    """Orders to three sites; watts that are withheld at the first then."""
    orders = Orders(reasons={CHAT: reason})
    held.ordered(orders, np.asarray(before), np.asarray(after), set(bound))
    return float(held.watts(RECORD, np.asarray([1.1, 1.0, 1.0]))[0])


def test_replicas_that_an_event_took_are_owed_until_they_are_raised():
    held = Withheld(PLANT.layout)
    assert ordered(held, [4, 4, 4], [2, 4, 4], Reason.EVENT_LIMIT) == pytest.approx(2 * 1.1 * BUSY)
    assert ordered(held, [2, 4, 4], [3, 4, 4], "DemandGrowth") == pytest.approx(1.1 * BUSY)
    assert ordered(held, [3, 4, 4], [6, 4, 4], "DemandGrowth") == 0


def test_a_placement_that_others_lower_further_is_not_wanted_any_more():
    held = Withheld(PLANT.layout)
    ordered(held, [4, 4, 4], [2, 4, 4], Reason.EVENT_LIMIT)
    assert ordered(held, [2, 4, 4], [1, 4, 4], "Consolidation") == 0


@pytest.mark.parametrize(("reason", "bound"), [("Consolidation", (0,)), ("EventLimit", (1,))])
def test_only_events_of_the_site_itself_withhold(reason, bound):
    assert ordered(Withheld(PLANT.layout), [4, 4, 4], [2, 4, 4], reason, bound) == 0


def test_what_was_owed_ends_with_the_event():
    held = Withheld(PLANT.layout)
    ordered(held, [4, 4, 4], [2, 4, 4], Reason.EVENT_LIMIT)
    assert ordered(held, [2, 4, 4], [2, 4, 4], "", bound=()) == 0
    assert ordered(held, [2, 4, 4], [2, 4, 4], "") == 0


def test_caps_withhold_only_where_devices_draw_up_to_them():
    held = Withheld(PLANT.layout)
    capped = replace(RECORD, capped=np.asarray([0.5, 0.5, 1.0]))
    idle = replace(capped, power_factor=np.asarray([0.5 * BUSY, 800.0, BUSY]))
    assert held.watts(idle, np.ones(3)) == pytest.approx([4 * 0.5 * BUSY, 0, 0])
