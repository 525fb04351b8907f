"""The design's golden tariffs through the books of a run, however its spans fall."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal as D
from itertools import cycle
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wattshift.core.contract.model import Basis
from wattshift.sim.pricing import ContractBook
from wattshift.sim.run import simulate

from tests.core.contract import tariffs
from tests.sim import small
from tests.sim.test_pricing import contract as plain

SPANS = (
    (900.0,),
    (300.0, 600.0),
    (3600.0,),
    (49.0, 1.0, 10.0, 240.0),
    (400.0, 500.0, 1800.0),
)
"""Seconds of one span after the other; each begins and ends blocks elsewhere."""


def epoch(zone, *when):
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp())


def booked(text, zone, start, end, kilowatts, spikes=None, *, spans=(900.0,), basis=Basis.IMPORT):
    """Lines of a flat load in local time with quarter hours of another power."""
    spikes = {epoch(zone, *when): value for when, value in (spikes or {}).items()}
    first, last = epoch(zone, *start), epoch(zone, *end)
    book = ContractBook(tariffs.contract(text), "site", float(first))
    now, lengths = float(first), cycle(spans)
    edges = sorted({*spikes, *(t + 900 for t in spikes), last})
    while now < last:
        power = next((v for t, v in spikes.items() if t <= now < t + 900), kilowatts)
        seconds = min(next(lengths), next(t for t in edges if t > now) - now)
        book.add(seconds, {basis: power * 1000 * seconds / 3600}, float("nan"))
        now += seconds
    return {line.name: line.amount for line in book.lines()}


@pytest.mark.parametrize("spans", SPANS[:3] + SPANS[4:])
def test_t1_a_month_of_a_two_part_tariff_to_the_cent(spans):
    load = ("Asia/Shanghai", (2026, 7, 1), (2026, 8, 1), 10000, {(2026, 7, 15, 14, 0): 12000})
    lines = booked(tariffs.T1, *load, spans=spans)

    assert lines["purchase"] + lines["lineLoss"] + lines["network"] == D("4390230.64")
    assert lines["maxDemand"] == D("432000.00")
    assert lines["powerFactor"] == D("-38119.86")
    assert sum(lines.values()) == D("5263278.98")


@pytest.mark.parametrize("spans", SPANS[:3] + SPANS[4:])
def test_t6_three_demand_charges_each_with_its_own_window(spans):
    spikes = {(2026, 7, 8, 17, 0): 5400, (2026, 7, 9, 22, 0): 5200, (2026, 7, 10, 3, 0): 5600}
    load = ("America/Los_Angeles", (2026, 7, 1), (2026, 8, 1), 5000, spikes)
    lines = booked(tariffs.T6, *load, spans=spans)

    assert lines == {
        "energy": D("519294.50"),
        "anyTime": D("168000.00"),
        "summerPeak": D("189000.00"),
        "summerPartPeak": D("41600.00"),
    }


def test_t4_a_year_with_both_changes_of_clocks_and_two_regimes():
    book = ContractBook(tariffs.contract(tariffs.T4), "site", epoch("Europe/Berlin", 2026, 1, 1))
    begin, end = epoch("Europe/Berlin", 2026, 1, 1), epoch("Europe/Berlin", 2027, 1, 1)
    spike = epoch("Europe/Berlin", 2026, 2, 10, 11)
    now = begin
    while now < end:
        seconds = 900 if spike <= now < spike + 3600 else 3600
        power = 6000 if now == spike else 5000
        book.add(float(seconds), {Basis.IMPORT: power * 1000 * seconds / 3600}, 0.08)
        now += seconds
    lines = {line.name: line.amount for line in book.lines()}

    assert lines["spot"] == D("3679221.00")
    assert lines["networkPowerLong"] + lines["networkEnergyLong"] == D("1119602.35")
    assert lines["concessionLeviesTax"] == D("2238192.78")


def test_t11_a_tenant_pays_for_it_power_beyond_what_is_committed():
    load = ("Asia/Shanghai", (2026, 7, 1), (2026, 8, 1), 700, {(2026, 7, 9, 10, 0): 840})
    lines = booked(tariffs.T11, *load, spans=(300.0, 600.0), basis=Basis.IT_LOAD)

    assert lines == {"committed": D("520000.00"), "peak": D("0.00"), "overage": D("39000.00")}


def test_t12_fixed_volumes_net_within_the_hour_even_where_power_changes_in_it():
    book = ContractBook(
        tariffs.contract(tariffs.T12), "site", float(epoch("Europe/Madrid", 2026, 7, 1, 10))
    )
    # 2.5 and 4.0 MWh in two hours, in uneven quarters
    for price, quarters in ((-0.020, (0, 1000, 1000, 500)), (0.110, (4000, 0, 0, 0))):
        for kilowatt_hours in quarters:
            book.add(900.0, {Basis.IMPORT: kilowatt_hours * 1000}, price)

    assert sum(line.amount for line in book.lines()) == D("494.50")


def test_a_tenants_overrun_follows_the_it_power_of_the_plant():
    """The meter of IT power is fed: without it an overrun would never be billed."""
    base = small.scenario(steps=24)
    tenant = tariffs.contract(tariffs.T11.replace("CNY", "USD").replace("800", "1"))
    result = simulate(small.with_site(base, 0, contract=tenant), small.Nothing())
    site = result.windows[0].sums.energy["it"][0] / 1e6  # kWh in two hours

    assert site / 2 > 1
    assert result.components()["overage"] >= 975 * (site / 2 - 1) * 0.999


# ---- edges ------------------------------------------------------------------------------------


def test_a_window_across_new_year_bills_both_years():
    start = epoch("UTC", 2023, 12, 31, 12)
    book = ContractBook(plain(), "alpha", float(start))
    for _ in range(24):
        book.add(3600.0, {Basis.IMPORT: 1000.0}, 0.10)
    lines = {line.name: line for line in book.lines()}

    assert lines["spot"].amount == D("2.40")
    assert lines["spot"].quantity == 24
    assert lines["peak"].amount == D("20.00")  # 1 kW at 10 in either month


def test_a_span_that_holds_new_year_in_its_middle_is_cut_there():
    start = epoch("Asia/Kolkata", 2023, 12, 31, 23, 30)  # a full hour of UTC is half past here
    book = ContractBook(plain(time_zone="Asia/Kolkata"), "alpha", float(start))
    for _ in range(3):
        book.add(3600.0, {Basis.IMPORT: 1000.0}, 0.10)
    lines = {line.name: line.amount for line in book.lines()}

    assert lines["spot"] == D("0.30")
    assert lines["peak"] == D("20.00")


def test_years_that_nothing_was_used_in_are_not_billed_twice():
    book = ContractBook(plain(), "alpha", float(epoch("UTC", 2023, 12, 31, 23)))
    book.add(3600.0, {Basis.IMPORT: 1000.0}, 0.10)

    first = [line.amount for line in book.lines()]
    assert [line.amount for line in book.lines()] == first
    assert first == [D("0.10"), D("10.00")]


def test_blocks_shorter_than_the_meters_interval_keep_their_peaks():
    book = ContractBook(plain(interval_minutes=60), "alpha", small.START)
    for power in (100, 200, 50, 50):
        book.add(900.0, {Basis.IMPORT: power * 250.0}, 0.1)

    assert next(row for row in book.lines() if row.name == "peak").quantity == D("200.000")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([1.0, 49.0, 240.0, 400.0, 720.0, 1800.0]), st.floats(0, 9e5)),
        min_size=8,
        max_size=60,
    )
)
def test_the_peak_is_that_of_the_quarter_hours_however_spans_fall(spans):
    """Against a second-by-second mean of every full quarter hour."""
    book = ContractBook(plain(), "alpha", small.START)
    power = np.concatenate([np.full(int(seconds), watts) for seconds, watts in spans])
    for seconds, watts in spans:
        book.add(seconds, {Basis.IMPORT: watts * seconds / 3600}, 0.1)
    blocks = [power[at : at + 900] for at in range(0, len(power), 900)]
    whole = [float(row.mean()) for row in blocks if len(row) == 900]
    found = next(row for row in book.lines() if row.name == "peak")

    # what rounding to Wh carries moves a quarter's mean by a few W
    assert float(found.quantity) * 1000 == pytest.approx(max(whole, default=0.0), abs=13.0)
