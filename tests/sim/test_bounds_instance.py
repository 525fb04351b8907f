"""How a scenario becomes an instance: curves, reach, limits, prices; nothing is made dearer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import yaml

from tests.core.contract.tariffs import T1, T2, T4, T12
from tests.sim.bound_cases import NOON, scenario, series, site, table, workload
from wattshift.core.contract.model import Basis
from wattshift.core.contract.parse import from_spec
from wattshift.core.model import FacilityPoint, Firmness, Settings
from wattshift.errors import NeedsHuman
from wattshift.sim.bounds import flow
from wattshift.sim.bounds.flow import MONEY, costs_of, figures
from wattshift.sim.bounds.floors import whole_replicas
from wattshift.sim.bounds.hull import hulls_of
from wattshift.sim.bounds.instance import instance_of
from wattshift.sim.bounds.rates import prices_of
from wattshift.sim.pricing import ContractBook
from wattshift.sim.scenario import Fault, FaultKind, SimEvent


def line(name, steps=4, **kwargs):
    return site(name, [0.1] * steps, [1.0] * steps, **kwargs)


def one(steps=4, **kwargs):
    return scenario(
        [line("a", steps, **kwargs)], [workload("w", ["a"], [[50.0]] * steps, [("a", 50)])]
    )


def event(**more):
    values = {
        "name": "e",
        "site_name": "a",
        "start_seconds": 3600.0,
        "duration_seconds": 7200.0,
        "notice_seconds": 0.0,
        "upper_watts": 900.0,
        "lower_watts": None,
        "reduction_share": None,
        "ramp_seconds": 0.0,
        "firmness": Firmness.MANDATORY,
    } | more
    return SimEvent(**values)


# ---- curves -----------------------------------------------------------------------------------


def test_a_line_is_its_own_upper_hull_and_the_chord_is_the_lower_one():
    hulls = hulls_of(table())
    assert hulls.lower == ((0.0, 0.0), (100.0, 1000.0))
    assert hulls.upper == hulls.running == ((0.0, 650.0), (100.0, 1000.0))
    assert hulls.tokens == 100.0


def test_hulls_end_where_the_objective_or_the_margin_does():
    bent = table(sequences=(0, 5, 10), watts=(500, 900, 1000), tokens=(0, 60, 100), objective=5)
    assert hulls_of(bent).upper == ((0.0, 500.0), (60.0, 900.0))
    assert hulls_of(bent, margin=0.5).tokens == 30.0
    assert hulls_of(bent, beyond_objective=True).tokens == 100.0


def test_a_replica_that_is_best_below_full_load_has_two_pieces():
    # 5 W per token up to half, 15 beyond
    late = table(sequences=(0, 5, 10), watts=(10, 250, 1000), tokens=(0, 50, 100))
    assert hulls_of(late).lower == ((0.0, 0.0), (50.0, 250.0), (100.0, 1000.0))


def test_caps_are_points_of_their_own_and_can_be_left_out():
    capped = table(caps=((0.5, 0.8), (1.0, 1.0)))
    assert (80.0, 500.0) in hulls_of(capped).lower
    assert hulls_of(capped, caps=False).lower == ((0.0, 0.0), (100.0, 1000.0))
    # a cap above what the load draws anyway changes nothing
    mild = table(caps=((0.99, 0.5), (1.0, 1.0)))
    assert hulls_of(mild).upper == ((0.0, 650.0), (100.0, 1000.0))


def test_hulls_hold_the_table_between_them():
    bent = table(sequences=(0, 2, 6, 10), watts=(300, 700, 800, 1000), tokens=(0, 30, 70, 100))
    hulls = hulls_of(bent)
    for x, w in hulls.points:
        low = np.interp(x, *zip(*hulls.running, strict=True))
        high = np.interp(x, *zip(*hulls.upper, strict=True))
        assert low - 1e-9 <= w <= high + 1e-9


# ---- reach and merging ------------------------------------------------------------------------


def test_origins_that_reach_the_same_sites_are_one_class():
    rows = [line("a"), line("b")]
    job = workload("w", ["a", "b"], [[1.0, 2.0, 4.0]] * 4, [("x", None), ("y", 500), ("z", 50)])
    world = scenario(
        rows, [job], origins=["x", "y", "z"], round_trips=[[10, 10], [10, 10], [10, 90]]
    )
    instance = instance_of(world)
    assert instance.demand.shape == (4, 2)
    assert sorted(instance.demand[0].tolist()) == [3.0, 4.0]


def test_workloads_with_one_table_share_a_pool_with_the_room_of_both():
    jobs = [workload(f"w{k}", ["a"], [[1.0]] * 4, [("a", None)], most=3) for k in range(2)]
    instance = instance_of(scenario([line("a")], jobs))
    assert len(instance.hulls) == 1
    assert instance.pool_replicas().tolist() == [6.0]
    few = instance_of(scenario([line("a", devices=4)], jobs))
    assert few.pool_replicas().tolist() == [4.0]


def test_without_a_split_only_sites_that_all_origins_reach_count_and_those_that_stand():
    rows = [line("a"), line("b"), line("c")]
    job = workload(
        "w", ["a", "b", "c"], [[1.0, 1.0]] * 4, [("near", 50), ("far", 50)], shifts=False
    )
    trips = [[10, 10, 90], [10, 90, 90]]
    world = scenario(rows, [job], origins=["near", "far"], round_trips=trips)
    assert instance_of(world).arc_pool.tolist() == [0]
    standing = replace(
        job,
        placements=(*job.placements[:2], replace(job.placements[2], initial_replicas=1)),
    )
    assert instance_of(replace(world, workloads=(standing,))).arc_pool.tolist() == [0, 2]


def test_a_placement_without_replicas_is_no_place():
    job = workload("w", ["a", "b"], [[1.0]] * 4, [("a", None)])
    closed = replace(job.placements[1], max_replicas=0)
    world = scenario(
        [line("a"), line("b")],
        [replace(job, placements=(job.placements[0], closed))],
        origins=["a"],
    )
    assert instance_of(world).pool_site.tolist() == [0]


# ---- limits -----------------------------------------------------------------------------------


def test_an_event_binds_the_steps_that_lie_wholly_inside_it():
    world = replace(one(), events=(event(),))
    assert instance_of(world).it_limit[:, 0].tolist() == [np.inf, 900.0, 900.0, np.inf]
    late = replace(one(), events=(event(ramp_seconds=60.0),))
    assert instance_of(late).it_limit[:, 0].tolist() == [np.inf, np.inf, 900.0, np.inf]


@pytest.mark.parametrize(
    "more",
    [
        {"firmness": Firmness.VOLUNTARY},
        {"upper_watts": None, "reduction_share": 0.3},
        {"site_name": "elsewhere"},
    ],
)
def test_events_that_need_not_bind_are_left_out(more):
    world = replace(one(), events=(event(**more),))
    assert np.isinf(instance_of(world).it_limit).all()


def test_a_lost_site_carries_nothing_while_it_is_lost():
    fault = Fault(
        kind=FaultKind.SITE_LOSS,
        site_name="a",
        quantity="",
        start_seconds=3600.0,
        duration_seconds=3600.0,
    )
    world = replace(one(), faults=(fault,))
    assert instance_of(world).open[:, 0].tolist() == [1, 0, 1, 1]
    found = flow.solve(instance_of(world), MONEY)
    assert found.unmet.tolist() == pytest.approx([0, 50, 0, 0])


def test_supply_serves_the_fixed_load_first():
    facility = (FacilityPoint(temperature_millicelsius=0, fixed_watts=300, marginal_permille=1000),)
    world = one(facility=facility, supply=[100, 300, 500, 0])
    instance = instance_of(world)
    assert instance.supply[:, 0].tolist() == [0, 0, 200, 0]
    assert instance.fixed_bought[:, 0].tolist() == [200, 0, 0, 300]
    assert instance.base_money[:, 0].tolist() == pytest.approx([0.02, 0, 0, 0.03])


def test_uncontrolled_load_takes_room_under_the_limit():
    rows = replace(line("a", import_limit=1000.0), uncontrolled=series([400.0] * 4, "Watt"))
    world = replace(one(), sites=(rows,))
    assert instance_of(world).it_limit[:, 0].tolist() == [600.0] * 4


def test_temperature_decides_the_facility_factor():
    facility = (
        FacilityPoint(temperature_millicelsius=10_000, fixed_watts=0, marginal_permille=1100),
        FacilityPoint(temperature_millicelsius=30_000, fixed_watts=200, marginal_permille=1300),
    )
    row = replace(
        line("a", facility=facility), temperature=series([0.0, 20.0, 30.0, 40.0], "DegreeCelsius")
    )
    instance = instance_of(replace(one(), sites=(row,)))
    assert instance.marginal[:, 0].tolist() == pytest.approx([1.1, 1.2, 1.3, 1.3])
    assert instance.fixed_watts[:, 0].tolist() == pytest.approx([0, 100, 200, 200])


# ---- prices -----------------------------------------------------------------------------------


def contract(text):
    return from_spec("c", yaml.safe_load(text))


def tariffed(text, price=(0.1,) * 24, currency="EUR", **more):
    row = replace(site("a", price, [1.0] * len(price)), contract=contract(text), **more)
    job = workload("w", ["a"], [[50.0]] * len(price), [("a", None)])
    world = scenario([row], [job])
    return replace(world, settings=Settings(reporting_currency=currency))


def test_an_index_contract_adds_its_components_to_the_index():
    world = tariffed(T4, price=[0.05, -0.02, 0.30] * 8)
    prices = prices_of(world, world.sites[0])
    # below 2,500 use hours a year: 0.0040 + 0.0486 + 0.0511 on the index
    assert prices.grid[:3].tolist() == pytest.approx([0.1537, 0.0837, 0.4037])


def test_bands_shape_the_price_of_the_hour():
    world = tariffed(T1, currency="CNY")
    prices = prices_of(world, world.sites[0])
    hours = [(int((NOON + 3600 * k) // 3600) + 8) % 24 for k in range(24)]
    low, high = hours.index(3), hours.index(15)
    # November: (0.42 + 0.018 + 0.10) x factor, power factor -0.75 % on all but the funds
    base, rest, funds = 0.538, 0.035, 0.0294
    factor = (prices.grid[low] - funds) / (base * 0.4 + rest)
    assert prices.grid[high] == pytest.approx((base * 1.8 + rest) * factor + funds)
    assert 0.98 < factor < 1.0


def test_direct_supply_costs_its_own_rate():
    world = tariffed(T2, currency="CNY", supply=series([1000.0] * 24, "Watt"))
    prices = prices_of(world, world.sites[0])
    assert prices.grid[0] == pytest.approx(0.31 + 0.012 + 0.02 + 0.0244)
    assert prices.own[0] == pytest.approx(0.26 + 0.0244)


def test_a_fixed_volume_is_worth_what_it_would_sell_for():
    world = tariffed(T12, price=[0.08] * 24)
    assert prices_of(world, world.sites[0]).grid[0] == pytest.approx(0.079)


def test_prices_are_in_the_reporting_currency():
    world = tariffed(T4, currency="CNY")
    with pytest.raises(NeedsHuman, match="EUR"):
        prices_of(world, world.sites[0])
    rated = replace(
        world, settings=Settings(reporting_currency="CNY", exchange_rates=(("EUR", "8"),))
    )
    assert prices_of(rated, rated.sites[0]).grid[0] == pytest.approx(8 * 0.2037)


def test_a_site_without_price_costs_nothing():
    row = replace(line("a"), price=None)
    world = replace(one(), sites=(row,))
    assert prices_of(world, row).grid.tolist() == [0.0] * 4


def test_own_supply_never_counts_dearer_than_the_grid():
    world = one(supply=[500.0] * 4, export_price=[0.3] * 4)
    instance = instance_of(world)
    costs = costs_of(instance, MONEY)
    assert (costs.own <= costs.grid).all()


def test_figures_price_a_given_schedule():
    instance = instance_of(one(supply=[400.0, 0, 0, 0], export_price=[0.02] * 4))
    money, grams = figures(instance, np.array([[1000.0], [1000.0], [0.0], [0.0]]))
    assert money.tolist() == pytest.approx([0.06, 0.1, 0, 0])
    assert grams.tolist() == pytest.approx([0.6, 1.0, 0, 0])


# ---- whole replicas ---------------------------------------------------------------------------


def earning(*steps):
    return np.array(steps, dtype=bool)


def test_whole_replicas_add_the_idle_watts_that_cannot_be_avoided():
    job = workload("w", ["a", "b"], [[100.0], [110.0], [0.0]], [("a", None)])
    found = whole_replicas(job, hulls_of(table()), earning(False, False, False))
    # full: 1000 W are 100 tokens. 110 tokens: one full, one with 10 at 685 W
    assert found[:, 0].tolist() == pytest.approx([100.0, 168.5, 0.0])


def test_least_counts_stay_on():
    job = replace(workload("w", ["a"], [[50.0], [0.0]], [("a", None)]), min_replicas=2)
    found = whole_replicas(job, hulls_of(table()), earning(False, False))
    # 825 + 650 W; with nothing asked for there is nobody to charge it to
    assert found[:, 0].tolist() == pytest.approx([147.5, 0.0])


def test_where_a_kwh_earns_or_tables_differ_demand_stays_as_it_is():
    job = workload("w", ["a"], [[10.0]], [("a", None)])
    assert whole_replicas(job, hulls_of(table()), earning(True)).tolist() == [[10.0]]
    mixed = workload("w", ["a", "b"], [[10.0]], [("a", None)], table_name=["llm", "other"])
    assert whole_replicas(mixed, hulls_of(table()), earning(False)).tolist() == [[10.0]]


def test_replicas_that_are_best_below_full_load_are_left_to_the_plain_bound():
    late = table(sequences=(0, 5, 10), watts=(10, 250, 1000), tokens=(0, 50, 100))
    job = workload("w", ["a"], [[10.0]], [("a", None)])
    assert whole_replicas(job, hulls_of(late), earning(False)).tolist() == [[10.0]]


HALF_PAST = """
role: Complete
currency: USD
timeZone: Asia/Kolkata
calendars:
- name: tou
  bands: [{name: Dear, windows: ["18:00-20:00"]}, {name: Cheap}]
components:
- {name: energy, measure: {type: Energy, energy: {basis: Import}}, calendarName: tou, bandRates: [{bandName: Dear, rate: "0.30"}, {bandName: Cheap, rate: "0.10"}], per: kWh}
- {name: more, measure: {type: Energy, energy: {basis: Import}}, rate: "0.05", per: kWh, fromTime: "2024-06-01T20:30:00+05:30"}
"""


def half_past():
    world = one(steps=8)
    contract = from_spec("half-past", yaml.safe_load(HALF_PAST))
    noon = datetime(2024, 6, 1, 12, tzinfo=UTC).timestamp()  # 17:30 there
    rows = (replace(world.sites[0], contract=contract),)
    return replace(world, sites=rows, start_time=noon, step_seconds=3600.0)


def test_a_band_that_begins_in_a_step_prices_its_part_of_it():
    """In a zone off by half an hour every band does, where steps are hours of UTC."""
    world = half_past()
    grid = prices_of(world, world.sites[0]).grid

    assert grid.tolist() == pytest.approx([0.2, 0.3, 0.2, 0.15, 0.15, 0.15, 0.15, 0.15])


def test_the_bound_prices_such_steps_like_the_books():
    world = half_past()
    book = ContractBook(world.sites[0].contract, "a", world.start_time)
    for watt_hours in (1000.0, 7000.0, 3000.0, 500.0, 0.0, 1.0, 2500.0, 4000.0):
        book.add(3600.0, {Basis.IMPORT: watt_hours}, float("nan"))
    loads = np.array([1.0, 7.0, 3.0, 0.5, 0.0, 0.001, 2.5, 4.0])
    billed = float(sum(row.amount for row in book.lines()))

    assert float((prices_of(world, world.sites[0]).grid * loads).sum()) == pytest.approx(
        billed, abs=0.01
    )
