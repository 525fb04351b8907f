"""Marginal price curves: contract, signal, own supply, look-ahead, currencies."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.build import NOW, connection, quote, reading, signal, site, supply
from wattshift.core.contract.model import Basis
from wattshift.core.contract.quote import DemandTerm
from wattshift.core.model import Settings
from wattshift.core.survey.prices import carbon_intensity, exchange, price_of
from wattshift.core.reasons import Reason
from wattshift.core.units import Quantity

CNY = Settings(reporting_currency="CNY")


def of(here, settings=CNY, **more):
    values = {"load_watts": 1000.0, "grams": None} | more
    return price_of(here, here.connections[0], settings, NOW, **values)


def feed(**more):
    return site("a", feed=connection(**more))


def test_up_and_down_differ_and_adders_are_kept_apart():
    found = of(feed(price=quote("0.50", "0.40", demand="0.10", green="0.05")))
    up, down = found.up[0].rate, found.down[0].rate
    assert (up.energy, up.demand, up.green) == pytest.approx((0.5, 0.1, 0.05))
    assert up.total == pytest.approx(0.65)
    assert down.total == pytest.approx(0.55)
    assert found.shadow == pytest.approx(0.65)


def test_carbon_is_charged_at_its_price():
    settings = Settings(reporting_currency="CNY", carbon_price_per_tonne="100")
    rate = of(feed(price=quote("0.5")), settings, grams=600.0).up[0].rate
    assert rate.carbon == pytest.approx(0.06)
    assert rate.total == pytest.approx(0.56)
    assert rate.grams == 600


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        (Settings(reporting_currency="EUR"), False),
        (Settings(reporting_currency="EUR", exchange_rates=(("CNY", "0.125"),)), True),
        (Settings(reporting_currency="EUR", exchange_rates=(("CNY", "bad"),)), False),
    ],
)
def test_other_currencies_need_a_rate(settings, known):
    found = of(feed(price=quote("0.8")), settings)
    assert found.known is known
    if known:
        assert found.shadow == pytest.approx(0.1)
    else:
        assert found.reason is Reason.CURRENCY_NOT_CONVERTIBLE
        assert found.shadow is None


def test_the_reporting_currency_needs_no_rate():
    assert exchange(CNY, "CNY") == 1.0


def test_an_unknown_quote_is_an_unknown_price():
    found = of(feed(price=quote(None)))
    assert not found.known
    assert found.reason is Reason.PRICE_UNKNOWN


def test_without_a_contract_the_signal_of_the_site_is_the_price():
    row = signal("p", Quantity.ENERGY_PRICE, 0.33, unit="CNYPerKilowattHour")
    found = of(site("a", price=None, signals=(row,)))
    assert found.shadow == pytest.approx(0.33)
    assert not of(site("a", price=None)).known


def test_a_forecast_of_the_signal_is_averaged_over_the_dwell():
    rows = (
        signal("p", Quantity.ENERGY_PRICE, 0.4, unit="CNYPerKilowattHour"),
        signal("f", Quantity.ENERGY_PRICE, ahead=((NOW, 0.4), (NOW + 1800, 0.8))),
    )
    found = of(site("a", price=None, signals=rows), horizon_seconds=3600)
    assert found.shadow == pytest.approx(0.6)


def test_the_price_ahead_is_averaged_over_the_dwell():
    row = feed(price=quote("0.40"), price_ahead=((NOW + 900, quote("0.80")),))
    assert of(row).shadow == pytest.approx(0.4)
    assert of(row, horizon_seconds=1800).shadow == pytest.approx(0.6)
    assert of(row, horizon_seconds=600).shadow == pytest.approx(0.4)


def test_an_unknown_step_ahead_counts_like_the_present():
    row = feed(price=quote("0.40"), price_ahead=((NOW + 900, quote(None)),))
    assert of(row, horizon_seconds=1800).shadow == pytest.approx(0.4)


def test_surplus_of_own_supply_comes_first_at_its_sale_price():
    here = site(
        "a",
        feed=connection(price=quote("0.60", direct="0.20", own_up=True)),
        supplies=(supply(5000),),
    )
    found = of(here, load_watts=3000.0)
    assert [(row.watts, row.rate.own_supply) for row in found.up] == [
        (2000, True),
        (float("inf"), False),
    ]
    assert found.up[0].rate.total == pytest.approx(0.2)
    assert found.up[1].rate.energy == pytest.approx(0.6)
    assert found.up[0].rate.grams == 0


def test_on_the_way_down_the_import_leaves_first():
    here = site("a", feed=connection(price=quote("0.60", direct="0.20")), supplies=(supply(2000),))
    found = of(here, load_watts=3000.0)
    assert [row.watts for row in found.down] == [1000, float("inf")]
    assert found.down[1].rate.total == pytest.approx(0.2)
    assert len(found.up) == 1


def test_unknown_supply_is_no_surplus():
    here = site("a", feed=connection(price=quote("0.60", direct="0.20")), supplies=(supply(None),))
    assert len(of(here, load_watts=100.0).up) == 1


def test_unknown_load_is_no_surplus():
    here = site("a", feed=connection(price=quote("0.60", direct="0.20")), supplies=(supply(9000),))
    assert len(of(here, load_watts=None).up) == 1


def test_surplus_without_a_contract_costs_its_export_price():
    rows = (
        signal("p", Quantity.ENERGY_PRICE, 0.5, unit="CNYPerKilowattHour"),
        signal("x", Quantity.EXPORT_PRICE, 0.15, unit="CNYPerKilowattHour"),
    )
    here = site("a", price=None, signals=rows, supplies=(supply(5000),))
    assert of(here, load_watts=1000.0).up[0].rate.total == pytest.approx(0.15)


def test_negative_prices_are_kept():
    assert of(feed(price=quote("-0.05"))).shadow == pytest.approx(-0.05)


def test_marginal_carbon_wins_over_average():
    rows = (
        signal("a", Quantity.CARBON_INTENSITY_AVERAGE, 300.0),
        signal("m", Quantity.CARBON_INTENSITY_MARGINAL, 700.0),
    )
    assert carbon_intensity(site("a", signals=rows), NOW) == 700
    assert carbon_intensity(site("a", signals=rows[:1]), NOW) == 300
    assert carbon_intensity(site("a"), NOW) is None
    assert reading(1.0).value == 1.0


def test_a_peak_is_charged_once_however_long_a_change_lasts():
    adders = {"demand_adder": Decimal(160), "demand_per_kilowatt": Decimal(40)}
    row = quote("0.50")
    row = replace(row, up=replace(row.up, **adders), down=replace(row.down, **adders))
    for ahead in ((), ((NOW + 900, quote("0.50")),)):
        here = feed(price=row, price_ahead=ahead)
        assert of(here).up[0].rate.demand == pytest.approx(160)
        rate = of(here, horizon_seconds=7200).up[0].rate
        assert rate.demand * 2 == pytest.approx(40)  # two hours of one kW
        assert of(here, horizon_seconds=7200).down[0].rate.demand * 2 == pytest.approx(40)


def test_a_peak_to_come_within_the_dwell_counts():
    adders = {"demand_adder": Decimal(160), "demand_per_kilowatt": Decimal(40)}
    later = quote("0.50")
    later = replace(later, up=replace(later.up, **adders))
    here = feed(price=quote("0.50"), price_ahead=((NOW + 900, later),))
    assert of(here, horizon_seconds=7200).up[0].rate.demand * 2 == pytest.approx(40)
    assert of(here, horizon_seconds=600).up[0].rate.demand == 0


def term(binding, level, *, rate="40", name="d", chance="1", basis=Basis.IMPORT, in_window=True):
    return DemandTerm(
        component=name,
        basis=basis,
        rate_per_kilowatt=Decimal(rate),
        binding_watts=binding,
        averaging_minutes=15,
        probability=Decimal(chance),
        probability_source="PeriodSoFar",
        in_window=in_window,
        level_watts=level,
    )


def peaked(*terms, up="0", down="0", **more):
    """A quote whose adders hold the peaks of `up` and `down` money per kW already."""
    row = quote("0.50", **more)
    row = replace(row, demand_terms=terms)
    return replace(
        row,
        up=replace(row.up, demand_adder=4 * Decimal(up), demand_per_kilowatt=Decimal(up)),
        down=replace(row.down, demand_adder=4 * Decimal(down), demand_per_kilowatt=Decimal(down)),
    )


def test_power_up_to_the_billed_peak_is_free_of_it_and_what_is_above_is_not():
    found = of(feed(price=peaked(term(3000, 900))), load_watts=1000.0, horizon_seconds=7200)
    assert [row.watts for row in found.up] == [2000, float("inf")]
    assert [row.rate.demand for row in found.up] == pytest.approx([0, 20])
    assert found.up[1].rate.total == pytest.approx(20.5)
    assert found.grid.volumetric == pytest.approx(0.5)
    assert [row.rate.demand for row in found.down] == [0]


def test_what_falls_below_the_billed_peak_saves_no_more_of_it():
    row = peaked(term(3000, 5000), up="40", down="40")
    found = of(feed(price=row), load_watts=5000.0, horizon_seconds=7200)
    assert [row.rate.demand for row in found.up] == pytest.approx([20])
    assert [row.watts for row in found.down] == [2000, float("inf")]
    assert [row.rate.demand for row in found.down] == pytest.approx([20, 0])


def test_a_new_peak_counts_by_its_chance_and_charges_add_up_in_their_order():
    terms = (term(4000, 900, chance="0.5"), term(2000, 900, name="e", rate="10"))
    found = of(feed(price=peaked(*terms)), load_watts=1000.0, horizon_seconds=3600)
    assert [row.watts for row in found.up] == [1000, 2000, float("inf")]
    assert [row.rate.demand for row in found.up] == pytest.approx([0, 10, 30])


def test_own_supply_leaves_room_below_a_billed_peak_of_import():
    row = peaked(term(3000, 0), direct="0.20", own_up=True)
    here = site("a", feed=connection(price=row), supplies=(supply(5000),))
    found = of(here, load_watts=4000.0)
    assert [(row.watts, row.rate.own_supply) for row in found.up] == [
        (1000, True),
        (3000, False),
        (float("inf"), False),
    ]
    gross = replace(row, demand_terms=(term(4500, 4000, basis=Basis.GROSS_USE),))
    assert of(feed(price=gross), load_watts=4000.0).up[0].watts == 500


def test_a_charge_whose_window_begins_within_the_dwell_has_its_peak():
    later = peaked(term(3000, 900))
    now = peaked(term(3000, 900, in_window=False))
    here = feed(price=now, price_ahead=((NOW + 900, later),))
    assert len(of(here, horizon_seconds=600).up) == 1
    assert len(of(here, horizon_seconds=7200).up) == 2


def test_a_level_that_is_not_measured_sets_no_peak():
    assert len(of(feed(price=peaked(term(3000, None)))).up) == 1


@given(
    bindings=st.lists(st.integers(0, 9000), min_size=1, max_size=4),
    level=st.integers(0, 9000),
    load=st.floats(0, 9000),
)
def test_curves_are_convex_and_their_last_block_has_no_end(bindings, level, load):
    terms = [term(watts, level, name=str(k)) for k, watts in enumerate(bindings)]
    up = 40 * sum(level >= watts for watts in bindings)
    down = 40 * sum(level > watts for watts in bindings)
    found = of(feed(price=peaked(*terms, up=str(up), down=str(down))), load_watts=load)
    for blocks, sign in ((found.up, 1), (found.down, -1)):
        demands = [sign * row.rate.demand for row in blocks]
        assert demands == sorted(demands)
        assert all(row.watts > 0 for row in blocks)
        assert blocks[-1].watts == float("inf")
    assert found.up[-1].rate.demand == pytest.approx(160 * len(bindings))
    assert found.down[-1].rate.demand == pytest.approx(0)


def test_each_signal_is_converted_from_its_own_currency():
    settings = Settings(reporting_currency="CNY", exchange_rates=(("EUR", "8"), ("USD", "7")))
    rows = (
        signal("first", Quantity.ENERGY_PRICE, 0.1, unit="EURPerKilowattHour", age=900),
        signal("second", Quantity.ENERGY_PRICE, 0.5, rank=1, unit="CNYPerKilowattHour"),
        signal("sale", Quantity.EXPORT_PRICE, 0.02, unit="USDPerKilowattHour"),
    )
    here = site("a", price=None, signals=rows, supplies=(supply(5000.0),))
    found = of(here, settings, load_watts=1000.0)
    assert [row.rate.total for row in found.up] == pytest.approx([0.14, 0.5])
