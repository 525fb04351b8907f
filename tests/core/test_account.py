"""The books: doing nothing saves exactly 0, parts sum to the whole, unknown is not zero."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st
from tests.core.build import (
    NOW,
    Original,
    connection,
    engine,
    placement,
    quote,
    reading,
    signal,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.account import Books, Line, record
from wattshift.core.units import Quantity

COAL = signal("c", Quantity.CARBON_INTENSITY_AVERAGE, 800.0)


def original(replicas, name="east"):
    return Original(
        placement_name=name, cluster_uid="u", target_uid="t", replicas=replicas, captured_time=NOW
    )


def world(replicas=6, originals=(), **more):
    here = {"price": "0.50", "signals": (COAL,)} | more
    rows = (placement("east", replicas, engine=engine(pods=replicas)),)
    return snapshot((workload(placements=rows, originals=originals),), (site("east", **here),))


def booked(here, seconds=3600.0, tokens=1_000_000):
    books = Books()
    books.add(record(here, NOW, seconds, {"team/chat": tokens}))
    return books


def test_energy_cost_and_carbon_of_an_hour():
    books = booked(world(6))
    line = books.workloads["team/chat"]
    # 6 x (400 + 20/6/20 x 200) W for an hour
    assert line.facility_joules == 2600 * 3600
    assert line.cost == Decimal("2.6") * Decimal("0.50")
    assert line.grams == Decimal("2.6") * 800
    assert line.cost_per_million_tokens() == Decimal("1.3")
    assert line.grams_per_thousand_tokens() == Decimal("2.08")


def test_doing_nothing_saves_exactly_nothing():
    saved = booked(world(6)).saved()
    assert (saved.facility_joules, saved.cost, saved.grams, saved.green_joules) == (0, 0, 0, 0)


@given(st.integers(1, 9), st.floats(0.1, 5000), st.integers(0, 9), st.floats(0, 9000))
def test_savings_of_standing_at_the_original_are_exactly_zero(replicas, seconds, tokens, wind):
    here = world(
        replicas,
        (original(replicas),),
        supplies=(supply(wind),),
        feed=connection(price=quote("0.37", direct="0.11")),
    )
    saved = booked(here, seconds, tokens).saved()
    assert (saved.facility_joules, saved.cost, saved.grams) == (0, 0, 0)


def test_fewer_replicas_than_were_found_save():
    saved = booked(world(2, (original(6),))).saved()
    assert saved.facility_joules == (2600 - 1000) * 3600
    assert saved.cost == Decimal("1.6") * Decimal("0.50")


def test_more_replicas_than_were_found_cost():
    assert booked(world(6, (original(2),))).saved().cost < 0


def test_without_tokens_the_rates_are_unknown():
    line = booked(world(6), tokens=0).workloads["team/chat"]
    assert line.cost_per_million_tokens() is None
    assert line.grams_per_thousand_tokens() is None
    assert Line().green_share() is None


def test_unknown_prices_and_carbon_are_counted_apart():
    line = booked(world(6, price=None, signals=())).workloads["team/chat"]
    assert (line.cost, line.grams) == (0, 0)
    assert line.unpriced_joules == line.uncounted_joules == line.facility_joules
    assert line.cost_per_million_tokens() is None


def test_own_supply_is_matched_step_by_step_and_is_not_free():
    here = world(6, supplies=(supply(1300.0),), feed=connection(price=quote("0.50", direct="0.20")))
    line = booked(here).workloads["team/chat"]
    assert line.green_share() == Decimal("0.5")
    assert line.cost == Decimal("1.3") * Decimal("0.50") + Decimal("1.3") * Decimal("0.20")
    assert line.grams == Decimal("1.3") * 800


def test_surplus_of_one_step_never_covers_another():
    windy = world(6, supplies=(supply(90_000.0),), feed=connection(price=quote("0.5")))
    calm = world(6, supplies=(supply(0.0),), feed=connection(price=quote("0.5")))
    books = booked(windy)
    books.add(record(calm, NOW + 3600, 3600.0, {}))
    assert books.sites["east"].green_share() == Decimal("0.5")


def test_the_residual_to_the_meter_is_printed():
    here = world(6, feed=connection(price=quote("0.5"), metered=reading(2700.0)))
    books = booked(here)
    assert books.metered_joules == 2700 * 3600
    assert books.residual_joules == 100 * 3600


def test_parts_sum_to_the_site():
    rows = tuple(
        workload(f"w{i}", (placement("east", i + 1, engine=engine(7.0 * i, pods=i + 1)),))
        for i in range(4)
    )
    here = snapshot(rows, (site("east", signals=(COAL,)),))
    books = Books()
    books.add(record(here, NOW, 60.0, {}))
    parts = sum(line.facility_joules for line in books.workloads.values())
    assert abs(parts - books.sites["east"].facility_joules) <= len(rows)
    assert sum(line.it_joules for line in books.workloads.values()) == books.sites["east"].it_joules


def test_steps_add_up():
    one, two = booked(world(6), 3600.0), Books()
    for part in range(4):
        two.add(record(world(6), NOW + 900 * part, 900.0, {"team/chat": 250_000}))
    assert one.workloads["team/chat"].facility_joules == two.workloads["team/chat"].facility_joules
    assert one.workloads["team/chat"].cost == two.workloads["team/chat"].cost
    assert two.workloads["team/chat"].tokens == 1_000_000
    assert two.seconds == one.seconds


def test_the_fixed_part_of_the_facility_is_on_the_site_only():
    here = world(6)
    from wattshift.core.model import FacilityPoint

    curve = (FacilityPoint(temperature_millicelsius=0, fixed_watts=500, marginal_permille=1100),)
    here = replace(here, sites=(replace(here.sites[0], facility=curve),))
    books = booked(here)
    assert books.sites["east"].facility_joules == round((500 + 1.1 * 2600) * 3600)
    assert books.workloads["team/chat"].facility_joules == pytest.approx(1.1 * 2600 * 3600)
    assert books.saved().facility_joules == 0
