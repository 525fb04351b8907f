"""Bounds: which binds, how hard it is, and what contradictions come to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from tests.core.build import NOW, connection, event, reading, signal, site, supply
from wattshift.core.survey.limits import COOLING_RESERVE, Hardness, limits_of
from wattshift.core.model import Firmness
from wattshift.core.reasons import Reason
from wattshift.core.units import Quantity
from wattshift.core.power.watts import FacilityTerms

FLAT = FacilityTerms(fixed_watts=0.0, marginal=1.0)


def of(here, *, terms=FLAT, **more):
    return limits_of(here, here.connections[0], terms, NOW, **more)


def test_without_any_bound_power_is_free():
    limits = of(site("a", limit=None))
    assert limits.upper is None
    assert limits.binding == ""


@pytest.mark.parametrize(
    ("more", "binding", "watts"),
    [
        ({}, "feed", 50_000),
        ({"it_capacity_watts": 30_000}, "it", 30_000),
        ({"cooling_limit": reading(20_000)}, "cooling", 20_000),
        ({"events": (event(upper=10_000),)}, "event dr", 10_000),
        ({"emergency": "leak"}, "emergency", 0),
        ({"emergency": "ups", "emergency_watts": 900}, "emergency", 900),
    ],
)
def test_the_tightest_bound_binds(more, binding, watts):
    limits = of(site("a", limit=50_000, **more))
    assert (limits.binding, limits.upper_watts) == (binding, watts)


def test_the_contract_maximum_is_a_bound_and_contracted_watts_are_not():
    here = site("a", feed=connection(limit=50_000, contract_maximum_watts=40_000))
    assert of(here).binding == "contract"


def test_it_capacity_is_turned_into_facility_watts():
    here = site("a", limit=None, it_capacity_watts=1000)
    limits = of(here, terms=FacilityTerms(fixed_watts=50, marginal=1.2))
    assert limits.upper_watts == pytest.approx(1250)


def test_bounds_of_the_site_are_shared_by_its_connections():
    limits = of(site("a", limit=None, cooling_limit=reading(1000)), other_watts=400)
    assert limits.upper_watts == pytest.approx(600)


def test_an_unknown_cooling_limit_stops_growth_and_sheds_nothing():
    limits = of(site("a", cooling_limit=reading(None)))
    assert limits.frozen
    assert limits.binding == "feed"


def test_an_event_of_another_connection_does_not_bind():
    limits = of(site("a", events=(replace(event(), connection_name="other"),)))
    assert limits.binding == "feed"


@pytest.mark.parametrize(
    ("row", "frozen"),
    [
        (event(upper=None, unresolved_reason="no baseline"), True),
        (event(upper=None, frozen_reference_watts=7000), False),
    ],
)
def test_an_unresolved_event_never_fails_open(row, frozen):
    limits = of(site("a", events=(row,)))
    assert bool(limits.frozen) is frozen
    if not frozen:
        assert limits.upper_watts == 7000


def test_an_event_to_come_counts_within_the_lead_only():
    here = site("a", events=(event(start=NOW + 200, end=NOW + 900),))
    assert of(here).binding == "feed"
    assert of(here, lead_seconds=300).binding == "event dr"


def test_after_an_event_power_returns_along_the_ramp():
    done = event(upper=6000, start=NOW - 3600, end=NOW - 60, frozen_reference_watts=20_000)
    here = site("a", events=(done,), ramp_up_watts_per_minute=1000)
    assert of(here).upper_watts == pytest.approx(7000)
    slow = site("a", events=(replace(done, ramp_seconds=120),))
    assert of(slow).upper_watts == pytest.approx(13_000)
    assert of(site("a", events=(done,))).binding == "feed"


@pytest.mark.parametrize(
    ("firmness", "hardness"),
    [(Firmness.MANDATORY, 1), (Firmness.COMMITTED, 2), (Firmness.VOLUNTARY, 3)],
)
def test_firmness_becomes_hardness(firmness, hardness):
    limits = of(site("a", events=(event(upper=5, firmness=firmness),)))
    assert limits.upper is not None
    assert limits.upper.hardness == hardness
    harder = limits.upper_at(Hardness(hardness - 1))
    assert harder is not None
    assert harder.name == "feed"


def test_a_harder_lower_bound_overrules_a_softer_upper_bound():
    rows = (
        event("fill", upper=None, lower=8000, firmness=Firmness.MANDATORY),
        event("save", upper=5000, firmness=Firmness.VOLUNTARY),
    )
    limits = of(site("a", events=rows))
    assert limits.upper_watts == limits.lower_watts == 8000
    assert limits.notes


def test_at_equal_hardness_the_upper_bound_wins():
    rows = (event("a-fill", upper=None, lower=8000), event("b-limit", upper=5000))
    limits = of(site("a", events=rows))
    assert limits.upper_watts == 5000
    assert limits.lower_watts == 5000


def test_a_lower_bound_never_exceeds_the_feed():
    limits = of(site("a", limit=4000, events=(event(upper=None, lower=8000),)))
    assert limits.lower_watts == 4000


@given(
    st.lists(
        st.tuples(st.integers(0, 90_000), st.integers(0, 90_000), st.sampled_from(list(Firmness))),
        max_size=6,
    )
)
def test_bounds_are_never_contradictory_and_never_above_the_feed(rows):
    events = tuple(
        event(f"e{i}", upper=upper, lower=lower, firmness=firmness)
        for i, (upper, lower, firmness) in enumerate(rows)
    )
    limits = of(site("a", limit=50_000, events=events))
    assert limits.upper_watts is not None
    assert limits.upper_watts <= 50_000
    if limits.lower_watts is not None:
        assert limits.lower_watts <= limits.upper_watts


def test_reasons_follow_the_kind_of_bound():
    assert of(site("a", emergency="leak")).upper.reason is Reason.EMERGENCY
    assert of(site("a", cooling_limit=reading(5))).upper.reason is Reason.COOLING_LIMIT
    assert of(site("a", events=(event(upper=5),))).upper.reason is Reason.EVENT_LIMIT


def test_an_event_without_a_connection_binds_the_sum_over_the_site():
    here = site("a", limit=None, events=(event(upper=1000, lower=700, connection_name=""),))
    limits = of(here, other_watts=400)
    assert (limits.upper_watts, limits.lower_watts) == (600, 300)
    assert limits.upper is not None
    assert limits.upper.whole_site
    named = of(site("a", limit=None, events=(event(upper=1000),)), other_watts=400)
    assert named.upper_watts == 1000


def test_what_an_emergency_leaves_is_for_the_whole_site():
    here = site("a", limit=None, emergency="leak", emergency_watts=1000)
    assert of(here, other_watts=400).upper_watts == 600


@pytest.mark.parametrize(
    ("rows", "watts"),
    [
        ((), 5000),
        ((supply(3000.0),), 8000),
        ((supply(3000.0), supply(500.0)), 8500),
        ((supply(None),), 5000),
        ((supply(-50.0),), 5000),
    ],
)
def test_own_supply_is_drawn_before_anything_is_imported(rows, watts):
    assert of(site("a", limit=5000, supplies=rows)).upper_watts == watts
    feed = connection(limit=None, contract_maximum_watts=5000)
    assert of(site("a", feed=feed, supplies=rows)).upper_watts == watts


@pytest.mark.parametrize(
    ("rows", "own"), [((), 0), ((supply(3000.0),), 3000), ((supply(None),), 0)]
)
def test_what_own_supply_gives_comes_on_top_of_what_an_event_lets_in(rows, own):
    running = event(upper=2000, lower=1000)
    found = of(site("a", limit=None, supplies=rows, events=(running,)))
    assert (found.upper_watts, found.lower_watts) == (2000 + own, 1000 + own)
    unresolved = event(upper=None, frozen_reference_watts=4000, unresolved_reason="no data")
    assert of(site("a", limit=None, supplies=rows, events=(unresolved,))).upper_watts == 4000 + own


def test_own_supply_counts_at_its_connection_and_for_events_of_the_whole_site():
    rows = (connection("one", limit=None), connection("two", limit=None))
    here = site("a", connections=rows, supplies=(supply(3000.0),))

    def uppers(name):
        at = replace(here, events=(event(upper=5000, connection_name=name),))
        found = [limits_of(at, row, FLAT, NOW, other_watts=1000) for row in rows]
        return [row.upper_watts for row in found]

    assert uppers("one") == [8000, None]
    assert uppers("two") == [None, 5000]
    assert uppers("") == [7000, 7000]


def test_a_supply_counts_behind_the_connection_that_it_names():
    rows = (connection("one", limit=10_000), connection("two", limit=100_000))
    here = site("a", connections=rows, supplies=(replace(supply(50_000.0), connection_name="two"),))
    assert [limits_of(here, row, FLAT, NOW).upper_watts for row in rows] == [10_000, 150_000]
    at = replace(here, events=(event(upper=5000, connection_name="two"),))
    assert limits_of(at, rows[1], FLAT, NOW).upper_watts == 55_000
    both = replace(here, supplies=(*here.supplies, supply(1000.0)))
    assert [limits_of(both, row, FLAT, NOW).upper_watts for row in rows] == [11_000, 150_000]


def test_on_the_way_back_from_an_event_own_supply_comes_on_top_as_well():
    over = event(upper=2000, frozen_reference_watts=4000, start=NOW - 900, end=NOW - 60)
    for rows, own in (((), 0), ((supply(3000.0),), 3000)):
        slow = site("a", limit=None, supplies=rows, events=(over,), ramp_up_watts_per_minute=1000)
        found = of(slow)
        assert found.upper_watts == 3000 + own
        assert [row.upper_watts for row in found.recovery] == [4080 + own]


def test_what_is_cooled_lit_or_left_in_an_emergency_is_load_and_no_import():
    here = site(
        "a",
        limit=None,
        supplies=(supply(3000.0),),
        cooling_limit=reading(9000),
        it_capacity_watts=8000,
        emergency="ups",
        emergency_watts=900,
    )
    found = {row.name: row.upper_watts for row in of(here).bounds}
    assert found == {"cooling": 9000, "it": 8000, "emergency": 900}


def test_own_supply_is_at_the_first_connection_and_the_least_over_a_lead():
    rows = (connection("one", limit=5000), connection("two", limit=5000))
    here = site("a", connections=rows, supplies=(supply(3000.0),))
    assert limits_of(here, rows[1], FLAT, NOW).upper_watts == 5000
    ahead = signal("ahead", Quantity.SUPPLY_POWER, ahead=((NOW, 3000.0), (NOW + 300, 1000.0)))
    falling = replace(here, supplies=(replace(supply(3000.0), forecast=ahead),))
    assert limits_of(falling, rows[0], FLAT, NOW).upper_watts == 8000
    assert limits_of(falling, rows[0], FLAT, NOW, lead_seconds=400).upper_watts == 6000


def test_a_cooling_limit_is_it_power_and_fans_come_on_top():
    here = site("a", limit=None, cooling_limit=reading(27_500))
    terms = FacilityTerms(fixed_watts=1500, marginal=1.14)
    assert of(here, terms=terms).upper_watts == pytest.approx(32_850)


def test_plans_leave_a_part_of_a_cooling_limit_free_and_nothing_is_shed_for_that_part():
    here = site("a", limit=None, cooling_limit=reading(10_000))
    assert of(here).upper_watts == 10_000
    assert of(here, lead_seconds=300).upper_watts == pytest.approx(10_000 * (1 - COOLING_RESERVE))


def test_growth_is_told_the_reserve_that_plans_have_in_their_limit():
    here = site("a", limit=None, cooling_limit=reading(10_000))
    terms = FacilityTerms(fixed_watts=1500, marginal=1.14)
    reserve = of(here, terms=terms, other_watts=400).reserve
    assert reserve is not None
    assert (
        reserve.upper_watts == of(here, terms=terms, other_watts=400, lead_seconds=300).upper_watts
    )
    assert of(here, lead_seconds=300).reserve is None
    assert of(site("a", limit=None)).reserve is None
