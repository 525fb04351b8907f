"""The design's golden tariffs, to the cent."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from wattshift.core.contract.bill import bill
from wattshift.core.contract.demand import ratchet_multiplier
from wattshift.core.contract.marginal import SiteState, quote
from wattshift.core.contract.meter import MeterInterval, advance, advance_all, opening_period
from wattshift.core.contract.model import Span
from wattshift.core.contract.obligation import states

from tests.core.contract import tariffs
from tests.core.contract.tariffs import contract, epoch, flat_load, metered

SH = "Asia/Shanghai"


def four(value):
    return value.quantize(D("0.0001"))


def grid_site(watts):
    return SiteState(import_watts=watts, load_watts=watts)


@pytest.fixture(scope="module")
def t1():
    agreement = contract(tariffs.T1)
    load = flat_load(SH, (2026, 7, 1), (2026, 8, 1), 10000, {(2026, 7, 15, 14, 0): 12000})
    return agreement, metered(agreement, load)


def test_t1_month_of_a_two_part_tariff_to_the_cent(t1):
    agreement, period = t1
    result = bill(agreement, period)
    assert period.watt_hours["Import"] == 7_440_500_000
    assert {line.name: line.amount for line in result.lines} == {
        "purchase": D("3427317.60"),
        "lineLoss": D("146885.04"),
        "network": D("816028.00"),
        "systemOperation": D("260417.50"),
        "funds": D("218750.70"),
        "maxDemand": D("432000.00"),
        "powerFactor": D("-38119.86"),
    }
    three = sum(result.line(name).amount for name in ("purchase", "lineLoss", "network"))
    assert three == D("4390230.64")
    assert result.total == D("5263278.98")
    assert result.complete


@pytest.mark.parametrize(
    ("hour", "band", "price"),
    [(14, "Sharp", "1.2175"), (9, "Flat", "0.5981"), (3, "Valley", "0.2777")],
)
def test_t1_marginal_energy_price_by_band(t1, hour, band, price):
    agreement, period = t1
    now = epoch(SH, 2026, 7, 20, hour, 30)
    result = quote(agreement, period, now, {}, grid_site(9_000_000))
    assert result.known
    assert result.band == band
    assert four(result.up.energy) == four(result.down.energy) == D(price)
    assert result.up.demand_adder == 0


def test_t2_month_with_direct_wind_to_the_cent_and_slack_and_certificates():
    agreement = contract(tariffs.T2)
    start, end = epoch(SH, 2026, 7, 1), epoch(SH, 2026, 8, 1)
    kilowatt_hours = {
        "Available": 11_000_000,
        "SelfUse": 8_000_000,
        "Export": 1_500_000,
        "Curtailed": 1_500_000,
        "GrossUse": 14_400_000,
        "Import": 6_400_000,
    }
    period = advance(
        agreement,
        opening_period(agreement, start),
        MeterInterval(
            start_time=start,
            seconds=end - start,
            watt_hours={name: value * 1000 for name, value in kilowatt_hours.items()},
        ),
        {},
    )
    result = bill(agreement, period)
    assert {line.name: line.amount for line in result.lines} == {
        "wind": D("2080000.00"),
        "grid": D("1984000.00"),
        "lineLoss": D("76800.00"),
        "systemOperation": D("128000.00"),
        "funds": D("351360.00"),
        "capacity": D("700000.00"),
        "networkFixed": D("602250.00"),
    }
    assert result.total == D("5922410.00")
    by_name = {state.name: state for state in states(agreement, period, end)}
    assert {name: state.slack_watt_hours // 1000 for name, state in by_name.items()} == {
        "selfUseOfAvailable": 1_400_000,
        "selfUseOfLoad": 3_680_000,
        "exportOfAvailable": 700_000,
        "hub80": -3_520_000,
    }
    assert by_name["hub80"].shortfall_cost == D("21120.00")
    assert by_name["selfUseOfLoad"].shortfall_cost == 0

    midday = epoch(SH, 2026, 7, 20, 12)
    windy = SiteState(import_watts=0, load_watts=10_000_000, direct_supply_watts=12_000_000)
    calm = SiteState(import_watts=8_000_000, load_watts=10_000_000, direct_supply_watts=2_000_000)
    assert quote(agreement, period, midday, {}, windy).up.energy == D("0.2844")
    assert quote(agreement, period, midday, {}, calm).up.energy == D("0.3664")
    assert quote(agreement, period, midday, {}, calm).down.energy == D("0.3664")
    # behind on hub80: grid energy needs 0.8 certificates a kWh, own wind earns 0.2
    assert quote(agreement, period, midday, {}, calm).up.obligation_adder == D("0.0048")
    assert quote(agreement, period, midday, {}, windy).up.obligation_adder == D("-0.0012")


def test_t4_year_of_a_german_industrial_customer_with_two_regimes():
    agreement = contract(tariffs.T4)
    zone = "Europe/Berlin"
    load = flat_load(zone, (2026, 1, 1), (2027, 1, 1), 5000, {(2026, 2, 10, 11, 0): 6000})
    period = metered(agreement, load, {"dayAhead": D("0.0800")})
    result = bill(agreement, period, Span.YEAR)
    assert result.line("spot").amount == D("3679221.00")
    long = result.line("networkPowerLong").amount + result.line("networkEnergyLong").amount
    assert long == D("1119602.35")
    assert result.line("concessionLeviesTax").amount == D("2238192.78")
    assert result.total == D("7037016.13")
    assert {line.name for line in result.lines}.isdisjoint(
        {"networkPowerShort", "networkEnergyShort"}
    )


def test_t6_three_demand_charges_each_with_its_own_window():
    agreement = contract(tariffs.T6)
    spikes = {
        (2026, 7, 8, 17, 0): 5400,
        (2026, 7, 9, 22, 0): 5200,
        (2026, 7, 10, 3, 0): 5600,
    }
    load = flat_load("America/Los_Angeles", (2026, 7, 1), (2026, 8, 1), 5000, spikes)
    result = bill(agreement, metered(agreement, load))
    assert {line.name: line.amount for line in result.lines} == {
        "energy": D("519294.50"),
        "anyTime": D("168000.00"),
        "summerPeak": D("189000.00"),
        "summerPartPeak": D("41600.00"),
    }
    assert result.total == D("917894.50")


def test_t9_ratchet_of_july_sets_the_october_bill_and_prices_a_july_kilowatt():
    zone = "America/Denver"
    agreement = contract(tariffs.T9)
    months = []
    for month, watts in ((7, 10_000_000), (8, 6_000_000), (9, 6_000_000), (10, 6_000_000)):
        start, end = epoch(zone, 2026, month, 1), epoch(zone, 2026, month + 1, 1)
        months.append(
            MeterInterval(
                start_time=start,
                seconds=end - start,
                watt_hours={"Import": 0},
                block_peak_watts={"Import": watts},
            )
        )
    period = advance_all(
        agreement, opening_period(agreement, months[0].start_time), months, lambda _: {}
    )
    assert bill(agreement, period).total == D("120000.00")
    measure = agreement.components[0].measure
    assert 15 * ratchet_multiplier(measure.ratchet, [D(1)] * 11) == D("147.00")
    july = quote(
        agreement,
        opening_period(agreement, epoch(zone, 2026, 7, 1)),
        epoch(zone, 2026, 7, 10, 12),
        {},
        grid_site(10_000_000),
    )
    assert july.demand_terms[0].rate_per_kilowatt == D("147.00")


def test_t9_history_may_come_from_the_opening_period():
    zone = "America/Denver"
    opening = {
        "startTime": "2026-10-01T00:00:00-06:00",
        "untilTime": "2026-10-20T00:00:00-06:00",
        "peaks": [
            {"componentName": "demand", "month": "2026-07", "watts": 10_000_000},
            {"componentName": "demand", "month": "2026-10", "watts": 6_000_000},
        ],
    }
    agreement = contract(tariffs.T9, openingPeriod=opening)
    period = opening_period(agreement, epoch(zone, 2026, 10, 20))
    assert bill(agreement, period).total == D("120000.00")


def test_t11_tenant_pays_for_committed_power_and_energy_has_no_margin():
    agreement = contract(tariffs.T11)
    load = flat_load(SH, (2026, 7, 1), (2026, 8, 1), 700, {(2026, 7, 9, 10, 0): 840}, "ItLoad")
    period = metered(agreement, load)
    result = bill(agreement, period)
    assert {line.name: line.amount for line in result.lines} == {
        "committed": D("520000.00"),
        "peak": D("0.00"),
        "overage": D("39000.00"),
    }
    assert result.total == D("559000.00")
    site = SiteState(import_watts=900_000, load_watts=900_000, it_watts=700_000)
    price = quote(agreement, period, epoch(SH, 2026, 7, 20, 12), {}, site)
    assert price.known
    assert price.up.total == price.down.total == 0


def test_t12_baseload_ppa_nets_hour_by_hour_and_negative_prices_count():
    agreement = contract(tariffs.T12)
    start = epoch("Europe/Madrid", 2026, 7, 1, 10)
    period = opening_period(agreement, start)
    quotes = []
    for hour, (watt_hours, price) in enumerate(((2_500_000, "-0.020"), (4_000_000, "0.110"))):
        indices = {"spot": D(price)}
        at = start + hour * 3600
        site = grid_site(watt_hours)
        quotes.append(quote(agreement, period, at, indices, site).up.energy)
        interval = MeterInterval(start_time=at, seconds=3600, watt_hours={"Import": watt_hours})
        period = advance(agreement, period, interval, indices)
    assert bill(agreement, period).total == D("494.50")
    assert quotes == [D("-0.021"), D("0.112")]
