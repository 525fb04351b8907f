"""Bills: rebates, overruns, shares, fixed charges, and what a bill says about itself."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from wattshift.core.contract.bill import LineKind, bill
from wattshift.core.contract.meter import MeterInterval, advance, opening_period
from wattshift.core.contract.model import Span
from wattshift.core.contract.power_factor import adjustment
from wattshift.core.contract.rates import cents, index_value

from tests.core.contract import tariffs
from tests.core.contract.tariffs import contract, epoch, flat_load, metered

SH, BERLIN = "Asia/Shanghai", "Europe/Berlin"
BASE = "{role: Complete, currency: EUR, timeZone: Europe/Berlin}"


def capacity(rate, per, unit="kW", **more):
    measure = {"type": "Capacity", "capacity": {"amount": 100, "unit": unit, **more}}
    return {"name": "c", "measure": measure, "rate": rate, "per": per}


def july(component, *more, **changes):
    agreement = contract(BASE, components=[component, *more], **changes)
    return bill(agreement, metered(agreement, flat_load(BERLIN, (2026, 7, 1), (2026, 7, 2), 100)))


@pytest.mark.parametrize(
    ("component", "amount"),
    [
        (capacity("3", "kW-month"), "300.00"),
        (capacity("0.5", "kW-day"), "1550.00"),
        (capacity("36.5", "kW-year"), "310.00"),
        (capacity("28", "kVA-month", unit="kVA"), "2800.00"),
        (capacity("3000", "MW-month"), "300.00"),
        (capacity("3", "kW-month", unit="MW"), "300000.00"),
        (capacity("0.06", "kWh", hoursEquivalent="730", loadFactor="0.55"), "2409.00"),
        (capacity("0.06", "kWh", hoursEquivalent="730"), "4380.00"),
    ],
)
def test_capacity_is_billed_in_full_whatever_is_used(component, amount):
    assert july(component).total == D(amount)


@pytest.mark.parametrize(
    ("unit", "rate", "amount"),
    [("Day", "1", "62.00"), ("Month", "10", "20.00"), ("Year", "365", "62.00")],
)
def test_a_standing_charge_counts_time(unit, rate, amount):
    component = {
        "name": "meter",
        "measure": {"type": "Duration", "duration": {"unit": unit, "count": 2}},
        "rate": rate,
        "per": unit,
    }
    assert july(component).total == D(amount)


def test_a_rebate_needs_its_threshold():
    agreement = contract(tariffs.T1)
    low = metered(agreement, flat_load(SH, (2026, 7, 1), (2026, 7, 17), 10000))
    high = metered(agreement, flat_load(SH, (2026, 7, 1), (2026, 7, 19), 10000))
    assert bill(agreement, low).line("maxDemand").amount == D("400000.00")
    assert bill(agreement, high).line("maxDemand").amount == D("360000.00")


@pytest.mark.parametrize(
    ("tolerance", "watts", "amount"),
    [(0, 800_000, "0"), (0, 801_000, "975.00"), (50, 840_000, "0"), (50, 841_000, "975.00")],
)
def test_an_overrun_counts_what_exceeds_the_limit_and_its_free_tolerance(tolerance, watts, amount):
    components = tariffs.spec(tariffs.T11)["components"]
    components[2]["measure"]["overrun"]["tolerancePermille"] = tolerance
    agreement = contract(tariffs.T11, components=components)
    start = epoch(SH, 2026, 7, 1)
    interval = MeterInterval(
        start_time=start, seconds=900, watt_hours={}, block_peak_watts={"ItLoad": watts}
    )
    period = advance(agreement, opening_period(agreement, start), interval, {})
    assert bill(agreement, period).line("overage").amount == D(amount)


def test_absurd_amounts_are_rounded_and_not_a_crash():
    huge = {
        "name": "c",
        "measure": {
            "type": "Capacity",
            "capacity": {
                "amount": 1_000_000_000,
                "unit": "kVA",
                "hoursEquivalent": "999999999999",
                "loadFactor": "1",
            },
        },
        "rate": "999999999999",
        "per": "kWh",
    }
    assert july(huge).total > D("1e32")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e25, -1.1e12])
def test_a_reading_that_can_be_no_price_is_an_unknown_index(value):
    assert index_value(value) is None


@pytest.mark.parametrize(
    ("unit", "above", "watts", "amount"),
    [("kW", 800, 810_000, "9750.00"), ("MW", 1, 1_010_000, "9750.00"), ("MW", 1, 1_000_000, "0")],
)
def test_the_limit_of_an_overrun_is_in_the_unit_of_its_demand(unit, above, watts, amount):
    components = tariffs.spec(tariffs.T11)["components"]
    components[1]["measure"]["demand"]["unit"] = unit
    components[2]["measure"]["overrun"]["above"] = above
    agreement = contract(tariffs.T11, components=components)
    start = epoch(SH, 2026, 7, 1)
    interval = MeterInterval(
        start_time=start, seconds=900, watt_hours={}, block_peak_watts={"ItLoad": watts}
    )
    period = advance(agreement, opening_period(agreement, start), interval, {})
    assert bill(agreement, period).line("overage").amount == D(amount)


def test_a_share_of_a_share_compounds():
    def share(name, of, factor):
        return {
            "name": name,
            "measure": {"type": "Share", "share": {"ofComponentNames": of, "factor": factor}},
        }

    result = july(
        capacity("10", "kW-month"),
        share("discount", ["c"], "-0.10"),
        share("tax", ["c", "discount"], "0.20"),
    )
    assert result.line("discount").amount == D("-100.00")
    assert result.line("tax").amount == D("180.00")
    assert result.line("tax").kind is LineKind.SHARE
    assert result.total == D("1080.00")


def test_a_share_covers_a_yearly_charge_in_the_yearly_bill():
    components = tariffs.spec(tariffs.T4)["components"]
    components.append(
        {
            "name": "tax",
            "measure": {
                "type": "Share",
                "share": {
                    "ofComponentNames": ["networkPowerLong", "concessionLeviesTax"],
                    "factor": "0.10",
                },
            },
        }
    )
    agreement = contract(tariffs.T4, components=components)
    load = flat_load(BERLIN, (2026, 1, 1), (2026, 2, 2), 1000)
    period = metered(agreement, load, {"dayAhead": D("0.08")})
    year, month = bill(agreement, period, Span.YEAR), bill(agreement, period)
    assert month.line("tax").amount == D("122.64")  # a day of levies
    levies = year.line("concessionLeviesTax").amount
    assert year.line("tax").amount == cents(levies / 10) + D("11798.00")


def test_shares_of_a_yearly_charge_compound_and_keep_to_their_regime_and_validity():
    def share(name, of, factor, **more):
        return {
            "name": name,
            "measure": {"type": "Share", "share": {"ofComponentNames": of, "factor": factor}},
            **more,
        }

    components = tariffs.spec(tariffs.T4)["components"]
    components += [
        share("discount", ["networkPowerLong"], "-0.10"),
        share("tax", ["networkPowerLong", "discount"], "0.20"),
        share("short", ["networkPowerLong"], "1", regime={"regimeName": "use", "side": "Below"}),
        share("later", ["networkPowerLong"], "1", fromTime="2027-01-01T00:00:00+01:00"),
    ]
    agreement = contract(tariffs.T4, components=components)
    start = epoch("Europe/Berlin", 2026, 1, 1)
    day = MeterInterval(start_time=start, seconds=86400, watt_hours={"Import": 24_000_000})
    period = advance(agreement, opening_period(agreement, start), day, {"dayAhead": D(0)})
    amounts = {line.name: line.amount for line in bill(agreement, period, Span.YEAR).lines}
    assert amounts["networkPowerLong"] == D("117980.00")
    assert amounts["discount"] == D("-11798.00")
    assert amounts["tax"] == D("21236.40")
    assert not {"short", "later"} & {name for name, amount in amounts.items() if amount}


def test_a_floor_is_billed_when_nobody_used_so_much():
    demand = {"unit": "kW", "averagingMinutes": 15, "period": "Month", "floor": 250}
    component = {
        "name": "d",
        "measure": {"type": "Demand", "demand": demand},
        "rate": "10",
        "per": "kW-month",
    }
    assert july(component).total == D("2500.00")


def test_demand_by_the_day_counts_the_days_of_the_month():
    demand = {"unit": "kW", "averagingMinutes": 15, "period": "Month"}
    component = {
        "name": "d",
        "measure": {"type": "Demand", "demand": demand},
        "rate": "0.5",
        "per": "kW-day",
    }
    assert july(component).total == D("1550.00")


def test_export_revenue_of_the_consumer_is_a_negative_line():
    positions = tariffs.spec(tariffs.T2)["positions"]
    positions[0]["surplus"]["owner"] = "Consumer"
    agreement = contract(tariffs.T2, positions=positions, components=[])
    start = epoch(SH, 2026, 7, 1)
    interval = MeterInterval(
        start_time=start, seconds=900, watt_hours={"SelfUse": 1_000_000, "Export": 500_000}
    )
    result = bill(agreement, advance(agreement, opening_period(agreement, start), interval, {}))
    assert {line.name: line.amount for line in result.lines} == {
        "wind": D("260.00"),
        "grid": D("0.00"),
        "wind.surplus": D("-100.00"),
    }
    assert result.line("wind.surplus").kind is LineKind.SURPLUS


def test_a_component_that_left_the_contract_keeps_its_line():
    before = contract(tariffs.T2)
    load = flat_load(SH, (2026, 7, 1), (2026, 7, 2), 1000)
    period = metered(before, load)
    components = [c for c in tariffs.spec(tariffs.T2)["components"] if c["name"] != "lineLoss"]
    after = contract(tariffs.T2, components=components)
    assert bill(after, period).total == bill(before, period).total


def test_losses_multiply_the_energy():
    component = {
        "name": "e",
        "measure": {"type": "Energy", "energy": {"basis": "Import", "lossFactor": "1.05"}},
        "rate": "0.1",
        "per": "kWh",
    }
    assert july(component).total == D("252.00")


@pytest.mark.parametrize("value", ["0.005", "-0.005", "1.015", "2.675"])
def test_lines_round_half_up_away_from_zero(value):
    amount = D(value)
    expected = abs(amount) + D("0.005")
    assert cents(amount) == (1 if amount > 0 else -1) * expected


def test_index_values_come_from_floats_without_their_noise():
    assert index_value(0.1 + 0.2) == D("0.3")
    assert index_value(-0.0125) == D("-0.0125")


@pytest.mark.parametrize(
    ("table", "power_factor", "percent"),
    [
        ("CN-standard-0.90", "0.95", "-0.75"),
        ("CN-standard-0.90", "1.00", "-0.75"),
        ("CN-standard-0.90", "0.92", "-0.30"),
        ("CN-standard-0.90", "0.90", "0"),
        ("CN-standard-0.90", "0.89", "0.5"),
        ("CN-standard-0.90", "0.70", "10"),
        ("CN-standard-0.90", "0.65", "15"),
        ("CN-standard-0.90", "0.60", "25"),
        ("CN-standard-0.85", "0.85", "0"),
        ("CN-standard-0.85", "0.90", "-0.50"),
        ("CN-standard-0.85", "0.91", "-0.65"),
        ("CN-standard-0.85", "0.97", "-1.10"),
        ("CN-standard-0.85", "0.60", "15"),
        ("CN-standard-0.80", "0.92", "-1.30"),
        ("CN-standard-0.80", "0.80", "0"),
        ("CN-standard-0.80", "0.55", "15"),
    ],
)
def test_power_factor_tables(table, power_factor, percent):
    assert adjustment(table, D(power_factor)) * 100 == D(percent)
