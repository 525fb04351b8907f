"""Metering: the same readings give the same bill however they are cut and wherever a restart falls."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wattshift.core.contract.bill import bill
from wattshift.core.contract.meter import (
    MeterInterval,
    Period,
    advance,
    advance_all,
    as_of,
    complete,
    in_zone,
    opening_period,
    with_instruments,
)
from wattshift.core.contract.model import Basis, Span

from tests.core.contract import tariffs
from tests.core.contract.tariffs import contract, epoch, flat_load, metered

SH, BERLIN, LA = "Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles"
FLAT = """
role: Complete
currency: EUR
timeZone: Europe/Berlin
components:
- {name: energy, measure: {type: Energy, energy: {basis: Import}}, rate: "0.10", per: kWh}
- {name: demand, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month}}, rate: "10", per: kW-month}
"""
INDEXED = """
role: Supply
currency: EUR
timeZone: Europe/Berlin
positions: [{name: spot, type: Residual, signalRate: {signalName: spot}}]
"""
AGREEMENTS = {name: contract(getattr(tariffs, name)) for name in ("T1", "T2", "T4", "T6", "T12")}
PRICES = {"dayAhead": D("0.08"), "spot": D("-0.013")}


def restarted(period):
    return Period.from_json(json.loads(json.dumps(period.to_json())))


def amounts(agreement, period, span=Span.MONTH):
    return {line.name: line.amount for line in bill(agreement, period, span).lines}


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(AGREEMENTS)),
    start=st.integers(0, 400),
    loads=st.lists(st.integers(0, 4000), min_size=1, max_size=40),
    cuts=st.lists(st.integers(1, 899), max_size=3, unique=True),
    restart=st.integers(0, 40),
)
def test_splitting_intervals_and_restarts_change_no_line(name, start, loads, cuts, restart):
    agreement = AGREEMENTS[name]
    # around a month's end; whole Wh per second, so that any cut has whole Wh
    first = epoch(agreement.time_zone, 2026, 10, 28) + start * 900
    whole, pieces = [], []
    for index, load in enumerate(loads):
        at = first + index * 900
        per_second = {"Import": load, "SelfUse": load // 3, "Export": 4000 - load}
        whole.append(
            MeterInterval(
                start_time=at,
                seconds=900,
                watt_hours={key: value * 900 for key, value in per_second.items()},
            )
        )
        edges = [0, *sorted(cuts), 900]
        pieces += [
            MeterInterval(
                start_time=at + a,
                seconds=b - a,
                watt_hours={key: value * (b - a) for key, value in per_second.items()},
            )
            for a, b in zip(edges, edges[1:], strict=False)
        ]
    period = opening_period(agreement, first)
    once = advance_all(agreement, period, whole, lambda _: PRICES)
    parts = period
    for index, piece in enumerate(pieces):
        parts = advance(agreement, parts, piece, PRICES)
        if index == restart:
            parts = restarted(parts)
    assert amounts(agreement, parts) == amounts(agreement, once)
    assert amounts(agreement, parts, Span.YEAR) == amounts(agreement, once, Span.YEAR)
    assert parts.to_json() == once.to_json()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=30), st.integers(0, 29))
def test_more_energy_never_makes_a_bill_with_positive_rates_smaller(loads, index):
    agreement = contract(FLAT)
    first = epoch(BERLIN, 2026, 7, 1)

    def total(values):
        intervals = [
            MeterInterval(start_time=first + i * 900, seconds=900, watt_hours={"Import": value})
            for i, value in enumerate(values)
        ]
        return bill(agreement, metered(agreement, intervals)).total

    more = list(loads)
    more[index % len(loads)] += 1_000_000
    assert total(more) > total(loads)


@given(st.integers(1, 9_999), st.integers(1, 5_000_000))
@settings(max_examples=40, deadline=None)
def test_rates_per_kilowatt_hour_and_per_megawatt_hour_bill_the_same(rate, watt_hours):
    per_kwh, per_mwh = D(rate).scaleb(-4), D(rate).scaleb(-1)
    first = epoch(BERLIN, 2026, 7, 1)
    totals = []
    for value, unit in ((per_kwh, "kWh"), (per_mwh, "MWh")):
        component = {
            "name": "e",
            "measure": {"type": "Energy", "energy": {"basis": "Import"}},
            "rate": str(value),
            "per": unit,
        }
        agreement = contract(FLAT, components=[component])
        interval = MeterInterval(start_time=first, seconds=900, watt_hours={"Import": watt_hours})
        totals.append(bill(agreement, metered(agreement, [interval])).total)
    assert totals[0] == totals[1]


@pytest.mark.parametrize(
    ("zone", "day", "after", "kilowatt_hours"),
    [
        (BERLIN, (2026, 3, 29), (2026, 3, 30), 2300),
        (BERLIN, (2026, 10, 25), (2026, 10, 26), 2500),
        (LA, (2026, 3, 8), (2026, 3, 9), 2300),
        (LA, (2026, 11, 1), (2026, 11, 2), 2500),
        (SH, (2026, 3, 29), (2026, 3, 30), 2400),
    ],
)
def test_clock_change_days_bill_the_hours_they_have(zone, day, after, kilowatt_hours):
    agreement = contract(FLAT, timeZone=zone)
    period = metered(agreement, flat_load(zone, day, after, 100))
    result = bill(agreement, period)
    assert result.line("energy").quantity == kilowatt_hours
    assert result.line("energy").amount == kilowatt_hours * D("0.10")
    assert result.line("demand").amount == D("1000.00")


def test_a_missing_meter_hour_is_counted_and_not_billed():
    agreement = contract(FLAT)
    load = list(flat_load(BERLIN, (2026, 7, 1), (2026, 7, 2), 100))
    full = metered(agreement, load)
    gap = metered(agreement, load[:40] + load[44:])
    assert gap.missing_seconds == 3600
    assert full.missing_seconds == 0
    assert bill(agreement, full).line("energy").quantity == 2400
    result = bill(agreement, gap)
    assert result.line("energy").quantity == 2300
    assert not result.complete


def test_a_gap_over_the_turn_of_the_month_counts_in_both_months():
    agreement = contract(FLAT)
    load = list(flat_load(BERLIN, (2026, 6, 30, 22), (2026, 7, 1, 2), 100))
    period = advance(agreement, metered(agreement, load[:4]), load[12], {})
    assert period.start_time == epoch(BERLIN, 2026, 7, 1)
    assert period.missing_seconds == 3600
    already = epoch(BERLIN, 2026, 6, 30, 22) - epoch(BERLIN, 2026, 1, 1)
    assert period.year.missing_seconds == already + 3600 + 3600


def test_an_interval_counted_twice_changes_nothing_and_an_overlap_is_cut():
    agreement = contract(FLAT)
    load = list(flat_load(BERLIN, (2026, 7, 1), (2026, 7, 1, 3), 100))
    period = metered(agreement, load)
    assert advance(agreement, period, load[3], {}) == period
    last = load[-1]
    longer = MeterInterval(start_time=last.start_time, seconds=1800, watt_hours={"Import": 50_000})
    assert advance(agreement, period, longer, {}).watt_hours["Import"] == 325_000


def test_a_negative_price_pays_and_an_unknown_price_is_not_guessed():
    agreement = contract(INDEXED)
    start = epoch(BERLIN, 2026, 7, 1)
    hour = MeterInterval(start_time=start, seconds=3600, watt_hours={"Import": 2_000_000})
    period = advance(agreement, opening_period(agreement, start), hour, {"spot": D("-0.05")})
    assert bill(agreement, period).total == D("-100.00")
    later = MeterInterval(start_time=start + 3600, seconds=3600, watt_hours={"Import": 1_000_000})
    result = bill(agreement, advance(agreement, period, later, {"spot": None}))
    assert result.total == D("-100.00")
    assert result.line("spot").unpriced_watt_hours == 1_000_000
    assert not result.complete


def test_a_year_stays_incomplete_after_a_month_with_unknown_prices():
    agreement = contract(INDEXED)
    start = epoch(BERLIN, 2026, 1, 1)
    hour = MeterInterval(start_time=start, seconds=3600, watt_hours={"Import": 2_000_000})
    period = advance(agreement, opening_period(agreement, start), hour, {"spot": None})
    february = MeterInterval(
        start_time=start + 3600, seconds=40 * 86400, watt_hours={"Import": 1_000_000}
    )
    period = restarted(advance(agreement, period, february, {"spot": D(1)}))
    year = bill(agreement, period, Span.YEAR)
    assert year.line("spot").unpriced_watt_hours == 2_000_000
    assert not year.complete


def test_a_price_change_in_mid_month_prices_each_side_at_its_own_rate():
    def energy(name, rate, **validity):
        return {
            "name": name,
            "measure": {"type": "Energy", "energy": {"basis": "Import"}},
            "rate": rate,
            "per": "kWh",
            **validity,
        }

    change = "2026-07-16T00:00:00+02:00"
    agreement = contract(
        FLAT,
        components=[
            energy("old", "0.10", untilTime=change),
            energy("new", "0.20", fromTime=change),
        ],
    )
    period = metered(agreement, flat_load(BERLIN, (2026, 7, 1), (2026, 8, 1), 100))
    assert amounts(agreement, period) == {"old": D("3600.00"), "new": D("7680.00")}


def test_an_hour_that_straddles_a_price_change_is_shared_by_time():
    change = "2026-07-01T00:30:00+02:00"
    agreement = contract(
        FLAT,
        components=[
            {
                "name": name,
                "measure": {"type": "Energy", "energy": {"basis": "Import"}},
                "rate": rate,
                "per": "kWh",
                side: change,
            }
            for name, rate, side in (("old", "1", "untilTime"), ("new", "2", "fromTime"))
        ],
    )
    start = epoch(BERLIN, 2026, 7, 1)
    hour = MeterInterval(start_time=start, seconds=3600, watt_hours={"Import": 10_001})
    period = advance(agreement, opening_period(agreement, start), hour, {})
    assert period.month.component_watt_hours == {"old": 5000, "new": 5001}


def test_a_contract_change_in_mid_month_bills_fixed_charges_pro_rata():
    change = "2026-07-16T00:00:00+02:00"
    old = contract(FLAT, validFromTime="2026-01-01T00:00:00+01:00", validUntilTime=change)
    new = contract(FLAT, validFromTime=change)
    load = list(flat_load(BERLIN, (2026, 7, 1), (2026, 8, 1), 100))
    first, second = metered(old, load), metered(new, load)
    assert bill(old, first).line("energy").amount == D("3600.00")
    assert bill(new, second).line("energy").amount == D("3840.00")
    assert bill(old, first).line("demand").amount == D("483.87")
    assert bill(new, second).line("demand").amount == D("516.13")


def test_editing_a_rate_never_reprices_what_was_used():
    before = contract(FLAT)
    load = list(flat_load(BERLIN, (2026, 7, 1), (2026, 7, 3), 100))
    period = metered(before, load[:96])
    component = {**tariffs.spec(FLAT)["components"][0], "rate": "0.30"}
    after = contract(FLAT, components=[component])
    period = advance_all(after, period, load[96:], lambda _: {})
    assert bill(after, period).line("energy").amount == D("240.00") + D("720.00")


def test_the_year_is_the_sum_of_its_months_as_they_were_billed():
    agreement = contract(FLAT)
    load = list(flat_load(BERLIN, (2026, 1, 1), (2026, 4, 1), 123))
    period = opening_period(agreement, load[0].start_time)
    months = []
    for month in (1, 2, 3):
        part = [
            item
            for item in load
            if epoch(BERLIN, 2026, month, 1) <= item.start_time < epoch(BERLIN, 2026, month + 1, 1)
        ]
        period = advance_all(agreement, period, part, lambda _: {})
        months.append(bill(agreement, period).total)
    assert bill(agreement, period, Span.YEAR).total == sum(months)


def test_a_new_year_starts_from_zero_and_keeps_last_years_peaks_for_the_forecast():
    agreement = contract(FLAT)
    load = flat_load(BERLIN, (2026, 12, 30), (2027, 1, 2), 100)
    period = metered(agreement, load)
    assert period.year.start_time == epoch(BERLIN, 2027, 1, 1)
    assert period.year.watt_hours["Import"] == 2_400_000
    assert period.closed == {}
    assert period.previous_sub_peaks["demand"] == (100_000, 100_000)


def test_the_leap_day_is_billed():
    agreement = contract(FLAT)
    period = metered(agreement, flat_load(BERLIN, (2028, 2, 1), (2028, 3, 1), 100))
    assert bill(agreement, period).line("energy").quantity == 29 * 2400


def test_a_peak_needs_half_a_block_of_readings():
    agreement = contract(FLAT)
    start = epoch(BERLIN, 2026, 7, 1)
    spike = MeterInterval(start_time=start, seconds=300, watt_hours={"Import": 500_000})
    later = MeterInterval(start_time=start + 900, seconds=900, watt_hours={"Import": 25_000})
    period = advance_all(agreement, opening_period(agreement, start), [spike, later], lambda _: {})
    assert period.peak_watts == {"demand": 100_000}


def test_a_block_is_averaged_over_its_parts():
    agreement = contract(FLAT)
    start = epoch(BERLIN, 2026, 7, 1)
    parts = [
        MeterInterval(start_time=start + i * 60, seconds=60, watt_hours={"Import": 1000 * i})
        for i in range(15)
    ]
    period = advance_all(agreement, opening_period(agreement, start), parts, lambda _: {})
    assert period.peak_watts == {"demand": 4 * sum(1000 * i for i in range(15))}


def test_quantities_that_no_meter_reports_are_derived():
    assert complete({"Import": 5}) == {
        "Import": 5,
        "SelfUse": 0,
        "Export": 0,
        "Curtailed": 0,
        "GrossUse": 5,
        "Available": 0,
    }
    full = complete({"GrossUse": 10, "SelfUse": 4, "Export": 1})
    assert (full["Import"], full["Available"]) == (6, 5)
    assert complete({"GrossUse": 10, "Import": 4, "Export": 1})["SelfUse"] == 6
    supply = complete({"Import": 4, "Available": 11, "Export": 2, "Curtailed": 1})
    assert (supply["SelfUse"], supply["GrossUse"]) == (8, 12)


@pytest.mark.parametrize("bad", [{"seconds": 0}, {"watt_hours": {"Import": -1}}])
def test_an_impossible_interval_is_refused(bad):
    values = {"start_time": 0, "seconds": 900, "watt_hours": {"Import": 1}, **bad}
    with pytest.raises(ValueError):
        MeterInterval(**values)


def test_an_opening_gives_the_month_its_sums_and_peaks():
    opening = {
        "startTime": "2026-07-01T00:00:00+02:00",
        "untilTime": "2026-07-11T00:00:00+02:00",
        "quantities": [{"quantity": "Import", "wattHours": 24_000_000}],
        "peaks": [{"componentName": "demand", "month": "2026-07", "watts": 150_000}],
    }
    agreement = contract(FLAT, openingPeriod=opening)
    period = opening_period(agreement, epoch(BERLIN, 2026, 7, 11, 1))
    assert amounts(agreement, period) == {"energy": D("2400.00"), "demand": D("1500.00")}
    assert period.estimated_seconds == 864_000
    assert period.missing_seconds == 3600
    priced = contract(FLAT, openingPeriod={**opening, "cost": "1999.99"})
    period = opening_period(priced, epoch(BERLIN, 2026, 7, 11))
    assert amounts(priced, period) == {"openingPeriod": D("1999.99"), "demand": D("1500.00")}
    assert period.watt_hours["Import"] == 24_000_000


def test_an_opening_that_reaches_past_now_is_not_lost():
    opening = {
        "startTime": "2026-07-01T00:00:00+02:00",
        "untilTime": "2026-07-11T00:00:00+02:00",
        "quantities": [{"quantity": "Import", "wattHours": 24_000_000}],
        "peaks": [{"componentName": "demand", "month": "2026-07", "watts": 150_000}],
    }
    agreement = contract(FLAT, openingPeriod=opening)
    now = epoch(BERLIN, 2026, 7, 10, 23)
    period = opening_period(agreement, now)
    assert amounts(agreement, period) == {"energy": D("2400.00"), "demand": D("1500.00")}
    assert period.metered_until == now
    assert period.missing_seconds == 0


def test_energy_of_an_opening_with_its_cost_still_fills_the_tiers():
    tiered = {
        "name": "energy",
        "measure": {"type": "Energy", "energy": {"basis": "Import"}},
        "blocks": [{"upTo": 10_000, "rate": "0.10"}, {"rate": "0.50"}],
        "per": "kWh",
    }
    opening = {
        "startTime": "2026-07-01T00:00:00+02:00",
        "untilTime": "2026-07-11T00:00:00+02:00",
        "quantities": [{"quantity": "Import", "wattHours": 10_000_000}],
        "cost": "1000",
    }
    agreement = contract(FLAT, components=[tiered], openingPeriod=opening)
    start = epoch(BERLIN, 2026, 7, 11)
    hour = MeterInterval(start_time=start, seconds=3600, watt_hours={"Import": 100_000})
    period = advance(agreement, opening_period(agreement, start), hour, {})
    assert amounts(agreement, period) == {"energy": D("50.00"), "openingPeriod": D("1000.00")}


def test_a_change_of_the_time_zone_keeps_the_month_and_its_peaks():
    load = flat_load(SH, (2026, 7, 1), (2026, 7, 3), 100)
    east = contract(FLAT, timeZone=SH)
    period = metered(east, load)
    west = contract(FLAT, timeZone="America/Los_Angeles")
    moved = in_zone(west, period)
    assert moved.month.start_time == epoch(LA, 2026, 7, 1)
    assert moved.year.start_time == epoch(LA, 2026, 1, 1)
    start = moved.metered_until
    hour = MeterInterval(start_time=start, seconds=3600, watt_hours={"Import": 50_000})
    after = advance(west, moved, hour, {})
    assert amounts(west, after) == {"energy": D("485.00"), "demand": D("1000.00")}
    assert in_zone(east, period) is period


def test_an_installation_without_an_opening_says_what_is_missing():
    agreement = contract(FLAT, validFromTime="2026-07-03T00:00:00+02:00")
    period = opening_period(agreement, epoch(BERLIN, 2026, 7, 5))
    assert period.missing_seconds == 2 * 86400


def test_as_of_rolls_the_month_without_judging_the_time_between():
    agreement = contract(FLAT)
    period = metered(agreement, flat_load(BERLIN, (2026, 7, 31), (2026, 8, 1), 100))
    assert as_of(agreement, period, epoch(BERLIN, 2026, 7, 31, 23)) is period
    rolled = as_of(agreement, period, epoch(BERLIN, 2026, 8, 1, 1))
    assert rolled.start_time == epoch(BERLIN, 2026, 8, 1)
    assert rolled.missing_seconds == 0
    assert rolled.watt_hours == {}


def test_documents_add_green_power_trade_to_month_and_year():
    agreement = contract(FLAT)
    period = metered(agreement, flat_load(BERLIN, (2026, 7, 1), (2026, 7, 2), 100))
    more = with_instruments(period, {Basis.GREEN_POWER_TRADE: 7})
    assert more.month.watt_hours["GreenPowerTrade"] == more.year.watt_hours["GreenPowerTrade"] == 7
    assert period.month.watt_hours.get("GreenPowerTrade") is None


@pytest.mark.parametrize("minutes", [15, 60])
def test_a_share_of_the_load_and_a_contract_for_difference_settle(minutes):
    positions = [
        {"name": "base", "type": "LoadFollowing", "share": "0.25", "rate": "0.06"},
        {"name": "rest", "type": "Residual", "signalRate": {"signalName": "spot"}},
        {
            "name": "cfd",
            "type": "ContractForDifference",
            "kilowatts": 100,
            "rate": "0.07",
            "referenceSignalName": "spot",
        },
    ]
    agreement = contract(INDEXED, positions=positions, intervalMinutes=minutes)
    start = epoch(BERLIN, 2026, 7, 1)
    parts = [
        MeterInterval(start_time=start + i * 900, seconds=900, watt_hours={"Import": 100_000})
        for i in range(4)
    ]
    period = advance_all(
        agreement, opening_period(agreement, start), parts, lambda _: {"spot": D("0.10")}
    )
    assert amounts(agreement, period) == {
        "base": D("6.00"),
        "rest": D("30.00"),
        "cfd": D("-3.00"),
    }
