"""Marginal prices: kinks, unknowns, peaks, look-ahead, and agreement with the bill itself."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wattshift.core.contract.bill import bill
from wattshift.core.contract.demand import peak_probability, succession_probability
from wattshift.core.contract.marginal import Origin, SiteState, price_curve, quote
from wattshift.core.contract.meter import MeterInterval, advance, opening_period
from wattshift.core.contract.quote import quote_from_json

from tests.core.contract import tariffs
from tests.core.contract.tariffs import contract, epoch, flat_load, metered

SH, BERLIN, LA = "Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles"


def grid_site(watts):
    return SiteState(import_watts=watts, load_watts=watts)


def fresh(agreement, *when):
    now = epoch(agreement.time_zone, *when)
    return opening_period(agreement, now), now


@settings(max_examples=60, deadline=None)
@given(hour=st.integers(0, 23), month=st.integers(1, 12), watt_hours=st.integers(1, 10**7))
def test_the_margin_times_a_quantity_is_what_the_bill_gains(hour, month, watt_hours):
    """Energy part of the quote against the difference of two bills, shares included."""
    agreement = contract(
        tariffs.T1,
        components=[
            part
            for part in tariffs.spec(tariffs.T1)["components"]
            if part["name"] not in ("maxDemand", "powerFactor")
        ],
    )
    start = epoch(SH, 2026, month, 10, hour)
    period = opening_period(agreement, start)
    price = quote(agreement, period, start, {}, grid_site(1_000_000)).up.energy
    interval = MeterInterval(start_time=start, seconds=900, watt_hours={"Import": watt_hours})
    gained = bill(agreement, advance(agreement, period, interval, {})).total
    assert abs(gained - price * watt_hours / 1000) <= D("0.025")


@settings(max_examples=60, deadline=None)
@given(
    spot=st.decimals("-0.5", "1", places=5),
    base=st.integers(0, 6_000_000),
    extra=st.integers(1, 100_000),
)
def test_the_margin_of_fixed_volumes_is_what_the_bill_gains(spot, base, extra):
    agreement = contract(tariffs.T12)
    start = epoch("Europe/Madrid", 2026, 7, 1, 10)
    indices = {"spot": spot}
    if base < 3_000_000 < base + extra:
        extra = 3_000_000 - base
    period = opening_period(agreement, start)

    def cost(watt_hours):
        interval = MeterInterval(start_time=start, seconds=3600, watt_hours={"Import": watt_hours})
        return sum(advance(agreement, period, interval, indices).month.costs.values())

    up = quote(agreement, period, start, indices, grid_site(base)).up.energy
    down = quote(agreement, period, start, indices, grid_site(base + extra)).down.energy
    gained = (cost(base + extra) - cost(base)) / extra * 1000
    assert round(gained, 9) == round(up, 9) == round(down, 9)


def test_an_unknown_index_makes_the_price_unknown_but_not_the_rest():
    agreement = contract(tariffs.T4)
    period, now = fresh(agreement, 2026, 7, 1, 12)
    for indices in ({}, {"dayAhead": None}):
        result = quote(agreement, period, now, indices, grid_site(1_000_000))
        assert (result.known, result.reason) == (False, "PriceUnknown")
        assert "dayAhead" in result.message
        assert result.up.energy is None
        assert result.up.total is None
        assert result.demand_terms
    assert quote(agreement, period, now, {"dayAhead": D("0.08")}).known


def test_outside_its_validity_a_contract_has_no_price_and_says_when_it_begins():
    agreement = contract(tariffs.T1, validFromTime="2026-08-01T00:00:00+08:00")
    period, now = fresh(agreement, 2026, 7, 1)
    result = quote(agreement, period, now, {})
    assert (result.known, result.reason) == (False, "ContractNotInForce")
    assert result.next_change_time == epoch(SH, 2026, 8, 1)


@pytest.mark.parametrize(
    ("load", "supply", "up", "down"),
    [
        (5, 8, Origin.DIRECT_SUPPLY, Origin.DIRECT_SUPPLY),
        (8, 8, Origin.GRID, Origin.DIRECT_SUPPLY),
        (9, 8, Origin.GRID, Origin.GRID),
        (5, 0, Origin.GRID, Origin.GRID),
        (0, 0, Origin.GRID, Origin.GRID),
    ],
)
def test_direct_supply_makes_a_kink_at_its_power(load, supply, up, down):
    agreement = contract(tariffs.T2)
    period, now = fresh(agreement, 2026, 7, 1, 12)
    site = SiteState(
        import_watts=max(0, load - supply) * 1000,
        load_watts=load * 1000,
        direct_supply_watts=supply * 1000,
    )
    result = quote(agreement, period, now, {}, site)
    assert (result.up.origin, result.down.origin) == (up, down)
    prices = {Origin.GRID: D("0.3664"), Origin.DIRECT_SUPPLY: D("0.2844")}
    assert (result.up.energy, result.down.energy) == (prices[up], prices[down])
    assert (result.grid_energy, result.direct_energy) == (D("0.3664"), D("0.2844"))


def test_direct_supply_of_unknown_power_prices_the_next_watt_as_imported():
    agreement = contract(tariffs.T2)
    period, now = fresh(agreement, 2026, 7, 1, 12)
    result = quote(agreement, period, now, {}, SiteState(import_watts=0, load_watts=5))
    assert (result.up.origin, result.down.origin) == (Origin.GRID, Origin.DIRECT_SUPPLY)


@pytest.mark.parametrize(
    ("kind", "surplus", "price"),
    [
        ("PayAsConsumed", {"use": "Export", "rate": "0.2", "owner": "Generator"}, "0.2844"),
        ("PayAsConsumed", {"use": "Export", "rate": "0.2", "owner": "Consumer"}, "0.4844"),
        ("PayAsConsumed", {"use": "Curtail", "owner": "Generator"}, "0.2844"),
        # produced anyway: the forgone export price and the fees
        ("PayAsProduced", {"use": "Export", "rate": "0.2", "owner": "Consumer"}, "0.2244"),
        # curtailed otherwise: its price and the fees
        ("PayAsProduced", {"use": "Curtail", "owner": "Generator"}, "0.2844"),
        # deemed generation: only the fees while it would be curtailed
        ("PayAsAvailable", {"use": "Curtail", "owner": "Generator"}, "0.0244"),
        ("PayAsAvailable", {"use": "Export", "rate": "0.2", "owner": "Consumer"}, "0.2244"),
    ],
)
def test_direct_supply_by_what_it_is_paid_for_and_where_surplus_goes(kind, surplus, price):
    positions = tariffs.spec(tariffs.T2)["positions"]
    positions[0] = {**positions[0], "type": kind, "surplus": surplus}
    agreement = contract(tariffs.T2, positions=positions)
    period, now = fresh(agreement, 2026, 7, 1, 12)
    assert quote(agreement, period, now, {}).direct_energy == D(price)


def test_recoverable_tax_is_on_the_bill_but_in_no_decision():
    def vat(treatment):
        return [
            *tariffs.spec(tariffs.T2)["components"],
            {
                "name": "vat",
                "measure": {
                    "type": "Share",
                    "share": {"ofComponentNames": ["grid", "funds"], "factor": "0.13"},
                },
                "treatment": treatment,
            },
        ]

    plain, recoverable, cost = (
        contract(tariffs.T2),
        contract(tariffs.T2, components=vat("RecoverableVAT")),
        contract(tariffs.T2, components=vat("Cost")),
    )
    period, now = fresh(plain, 2026, 7, 1, 12)
    assert quote(recoverable, period, now, {}).grid_energy == D("0.3664")
    assert quote(cost, period, now, {}).grid_energy == D("0.3664") + D("0.13") * D("0.3344")
    load = list(flat_load(SH, (2026, 7, 1), (2026, 7, 2), 1000))
    result = bill(recoverable, metered(recoverable, load))
    assert result.line("vat").amount == D("1043.33")
    assert result.total == bill(plain, metered(plain, load)).total


def test_a_regime_prices_its_selected_side_only():
    agreement = contract(tariffs.T4)
    prices = {"dayAhead": D("0.08")}
    day = flat_load(BERLIN, (2026, 1, 1), (2026, 1, 2), 5000)
    long = metered(agreement, day, prices)
    now = epoch(BERLIN, 2026, 1, 2)
    assert quote(agreement, long, now, prices).grid_energy == D("0.084") + D("0.0094") + D("0.0511")
    spiky = flat_load(BERLIN, (2026, 1, 1), (2026, 1, 2), 1000, {(2026, 1, 1, 9, 0): 9000})
    short = metered(agreement, spiky, prices)
    assert quote(agreement, short, now, prices).grid_energy == D("0.1837")


def test_tiers_price_the_next_kilowatt_hour_by_the_tier_the_month_will_end_in():
    component = {
        "name": "e",
        "measure": {"type": "Energy", "energy": {"basis": "Import"}},
        "per": "kWh",
        "blocks": [{"upTo": 1000, "rate": "0.10"}, {"rate": "0.30"}],
    }
    agreement = contract(tariffs.T4, positions=[], regimes=[], components=[component])
    small = metered(agreement, flat_load(BERLIN, (2026, 7, 1), (2026, 7, 2), 1))
    large = metered(agreement, flat_load(BERLIN, (2026, 7, 1), (2026, 7, 2), 100))
    now = epoch(BERLIN, 2026, 7, 2)
    assert quote(agreement, small, now, {}).grid_energy == D("0.10")
    assert quote(agreement, large, now, {}).grid_energy == D("0.30")
    assert bill(agreement, large).total == D("100.00") + D("420.00")


def test_a_month_to_come_is_expected_to_end_in_the_tier_that_the_year_says():
    component = {
        "name": "e",
        "measure": {"type": "Energy", "energy": {"basis": "Import"}},
        "per": "kWh",
        "blocks": [{"upTo": 1000, "rate": "0.10"}, {"rate": "0.30"}],
    }
    agreement = contract(tariffs.T4, positions=[], regimes=[], components=[component])
    july = metered(agreement, flat_load(BERLIN, (2026, 7, 1), (2026, 8, 1), 100))
    for day in (1, 2):
        assert quote(agreement, july, epoch(BERLIN, 2026, 8, day), {}).grid_energy == D("0.30")
    assert quote(agreement, july, epoch(BERLIN, 2027, 1, 1), {}).grid_energy == D("0.10")


# ---- demand -----------------------------------------------------------------------------------


def demand_only(**changes):
    return contract(
        """
role: Network
currency: USD
timeZone: America/Los_Angeles
components: [{name: d, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month}}, rate: "30", per: kW-month}]
""",
        **changes,
    )


POINT = [{"siteName": "a", "connectionName": "f", "contractedWatts": 800_000}]


def test_without_history_a_new_peak_costs_nothing_below_the_contracted_power():
    agreement = demand_only(points=POINT)
    period, now = fresh(agreement, 2026, 7, 1)
    below = quote(agreement, period, now, {}, grid_site(500_000))
    assert below.up.demand_adder == 0
    assert below.demand_terms[0].probability_source == "ContractedWatts"
    above = quote(agreement, period, now, {}, grid_site(800_000))
    assert above.up.demand_adder == 120  # 30 a kW, and one kWh more is 4 kW of this block


def test_without_history_and_contracted_power_the_adder_is_zero_and_says_so():
    agreement = demand_only()
    period, now = fresh(agreement, 2026, 7, 1)
    result = quote(agreement, period, now, {}, grid_site(500_000))
    assert result.up.demand_adder == 0
    assert result.demand_terms[0].probability_source == "NoPeakHistory"


def test_without_an_earlier_month_a_peak_is_priced_by_the_part_of_the_month_that_was_seen():
    agreement = demand_only()
    for days, points in ((10, None), (10, POINT), (20, None)):
        agreement = demand_only() if points is None else demand_only(points=points)
        period = metered(agreement, flat_load(LA, (2026, 7, 1), (2026, 7, 1 + days), 600))
        now = epoch(LA, 2026, 7, 1 + days)
        at, below = (quote(agreement, period, now, {}, grid_site(w)) for w in (600_000, 599_000))
        assert at.demand_terms[0].probability_source == "PeriodSoFar"
        assert at.demand_terms[0].probability == D(days) / 31
        assert at.up.demand_per_kilowatt == 30 * D(days) / 31
        # below K a block costs nothing, and the term says what the kW above K will cost
        assert below.up.demand_adder == 0
        assert below.demand_terms[0].probability == D(days) / 31
        assert below.demand_terms[0].level_watts == 599_000


def test_a_contract_that_ends_within_the_month_leaves_less_time_for_a_higher_peak():
    agreement = demand_only()
    period = metered(agreement, flat_load(LA, (2026, 7, 1), (2026, 7, 11), 600))
    now = epoch(LA, 2026, 7, 11)
    ends = demand_only(validUntilTime="2026-07-21T07:00:00Z")
    assert quote(ends, period, now, {}, grid_site(600_000)).up.demand_per_kilowatt == 15


def test_days_without_a_reading_are_no_days_with_a_low_peak():
    agreement = demand_only()
    june = flat_load(LA, (2026, 6, 26), (2026, 7, 1), 500)
    now = epoch(LA, 2026, 7, 1)
    period = metered(agreement, june)
    assert period.month.sub_peaks["d"].count(-1) == 25
    term = quote(agreement, period, now, {}, grid_site(400_000)).demand_terms[0]
    assert (term.probability, term.probability_source) == (0, "PreviousPeriod")


@given(seen=st.floats(0, 1e7), left=st.floats(0, 1e7), more=st.floats(0, 1e6))
def test_the_chance_by_the_part_that_was_seen_is_a_probability_and_grows_with_it(seen, left, more):
    value = succession_probability(seen, left)
    assert 0 <= value <= 1
    assert value <= succession_probability(seen + more, left)
    assert value >= succession_probability(seen, left + more)


def test_a_change_that_lasts_sets_the_peak_once_and_not_in_every_block():
    agreement = demand_only(points=POINT)
    period, now = fresh(agreement, 2026, 7, 1)
    up = quote(agreement, period, now, {}, grid_site(800_000)).up
    assert up.demand_per_kilowatt == 30
    assert up.demand_over(0) == up.demand_over(900) == up.demand_adder == 120
    assert up.demand_over(6 * 3600) == 5  # 30 a kW over 6 kWh


def test_last_months_daily_peaks_say_how_likely_a_later_peak_is():
    agreement = demand_only()
    spikes = {(2026, 6, 10, 12, 0): 900}
    june = flat_load(LA, (2026, 6, 1), (2026, 7, 1), 500, spikes)
    period = metered(agreement, june)
    first = epoch(LA, 2026, 7, 1)
    low = quote(agreement, period, first, {}, grid_site(500_000)).demand_terms[0]
    assert low.probability_source == "PreviousPeriod"
    assert low.probability == (D(29) / 30) ** 31
    last = epoch(LA, 2026, 7, 31, 12)
    assert quote(agreement, period, last, {}, grid_site(500_000)).demand_terms[0].probability == (
        D(29) / 30
    )
    high = quote(agreement, period, first, {}, grid_site(900_000))
    assert high.demand_terms[0].probability == 1
    assert high.up.demand_adder == 120


def test_power_below_the_peak_so_far_is_free_and_the_kink_is_at_the_peak():
    agreement = demand_only(points=POINT)
    period = metered(agreement, flat_load(LA, (2026, 7, 1), (2026, 7, 2), 1000))
    now = epoch(LA, 2026, 7, 2)
    below, at, above = (
        quote(agreement, period, now, {}, grid_site(watts))
        for watts in (999_000, 1_000_000, 1_001_000)
    )
    assert (below.up.demand_adder, below.down.demand_adder) == (0, 0)
    assert (at.up.demand_adder, at.down.demand_adder) == (120, 0)
    assert (above.up.demand_adder, above.down.demand_adder) == (120, 120)


def test_inside_a_block_the_allowed_power_uses_up_what_the_peak_leaves():
    agreement = demand_only(points=POINT)
    start = epoch(LA, 2026, 7, 2)
    period = metered(agreement, flat_load(LA, (2026, 7, 1), (2026, 7, 2), 1000))
    minutes = MeterInterval(start_time=start, seconds=600, watt_hours={"Import": 100_000})
    period = advance(agreement, period, minutes, {})
    term = quote(agreement, period, start + 600, {}, grid_site(1_000_000)).demand_terms[0]
    # K x T = 250 kWh, 100 used in 10 minutes: 150 kWh in the last 5 minutes
    assert term.block_allowed_watts == 1_800_000
    level = quote(agreement, period, start + 600, {}, grid_site(1_700_000))
    assert level.up.demand_adder == 0
    assert quote(agreement, period, start + 600, {}, grid_site(1_800_000)).up.demand_adder == 120


def test_a_demand_window_costs_nothing_outside_of_it():
    agreement = contract(tariffs.T6, points=POINT)
    period, _ = fresh(agreement, 2026, 7, 8)
    noon = quote(agreement, period, epoch(LA, 2026, 7, 8, 12), {}, grid_site(900_000))
    peak = quote(agreement, period, epoch(LA, 2026, 7, 8, 17), {}, grid_site(900_000))
    assert noon.up.demand_adder == 4 * 30
    assert peak.up.demand_adder == 4 * (30 + 35)
    assert [term.in_window for term in noon.demand_terms] == [True, False, False]


def test_own_supply_adds_nothing_to_a_demand_charge_on_import():
    components = [
        *tariffs.spec(tariffs.T2)["components"],
        demand_only_component := {
            "name": "d",
            "measure": {
                "type": "Demand",
                "demand": {"unit": "kW", "averagingMinutes": 15, "period": "Month"},
            },
            "rate": "30",
            "per": "kW-month",
        },
    ]
    assert demand_only_component["name"] == "d"
    agreement = contract(
        tariffs.T2, components=components, points=[{**POINT[0], "contractedWatts": 0}]
    )
    period, now = fresh(agreement, 2026, 7, 1, 12)
    site = SiteState(import_watts=0, load_watts=5_000, direct_supply_watts=9_000)
    assert quote(agreement, period, now, {}, site).up.demand_adder == 0


def test_an_overrun_is_part_of_the_price_of_the_peak():
    agreement = contract(tariffs.T11)
    period, now = fresh(agreement, 2026, 7, 1, 12)

    def adder(it_watts):
        site = SiteState(import_watts=1_000_000, load_watts=1_000_000, it_watts=it_watts)
        return quote(agreement, period, now, {}, site).up.demand_adder

    assert adder(799_000) == 0
    assert adder(800_000) == 4 * 975
    site = SiteState(import_watts=1_000_000, load_watts=1_000_000)
    assert quote(agreement, period, now, {}, site).up.demand_adder == 0


def test_an_overrun_that_is_not_in_force_prices_nothing():
    components = tariffs.spec(tariffs.T11)["components"]
    components[2]["fromTime"] = "2026-08-01T00:00:00+08:00"
    agreement = contract(tariffs.T11, components=components)
    period, now = fresh(agreement, 2026, 7, 1, 12)
    site = SiteState(import_watts=1_000_000, load_watts=1_000_000, it_watts=900_000)
    assert quote(agreement, period, now, {}, site).up.demand_adder == 0


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=31),
    st.integers(0, 1000),
    st.integers(1, 31),
)
def test_the_chance_of_no_later_peak_is_a_probability_and_grows_with_the_level(
    peaks, level, remaining
):
    value = peak_probability(peaks, level, remaining)
    assert 0 <= value <= 1
    assert value <= peak_probability(peaks, level + 1, remaining)
    assert value >= peak_probability(peaks, level, remaining + 1)
    assert peak_probability(peaks, max(peaks), remaining) == 1


# ---- look-ahead -------------------------------------------------------------------------------


def test_the_next_change_says_when_and_to_what():
    agreement = contract(tariffs.T1)
    period, now = fresh(agreement, 2026, 7, 20, 9, 30)
    result = quote(agreement, period, now, {})
    assert result.next_change_time == epoch(SH, 2026, 7, 20, 11)
    assert result.next_band == "Valley"
    assert round(result.next_grid_energy, 4) == D("0.2777")
    assert result.valid_until == result.next_change_time


def test_a_price_that_begins_later_is_a_change():
    components = tariffs.spec(tariffs.T2)["components"]
    components[2] = {**components[2], "untilTime": "2026-07-02T03:00:00+08:00"}
    agreement = contract(tariffs.T2, components=components)
    period, now = fresh(agreement, 2026, 7, 1)
    result = quote(agreement, period, now, {})
    assert result.next_change_time == epoch(SH, 2026, 7, 2, 3)
    assert result.next_grid_energy == D("0.3420")


@pytest.mark.parametrize("end", ["2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_validity_that_ends_in_another_age_is_no_change_to_plan_for(end):
    components = tariffs.spec(tariffs.T2)["components"]
    components[0]["untilTime"] = end
    agreement = contract(tariffs.T2, components=components, validUntilTime=end)
    period, now = fresh(agreement, 2026, 7, 20, 9)
    assert quote(agreement, period, now, {}).next_change_time is None


def test_the_curve_has_a_step_at_every_change_of_band():
    agreement = contract(tariffs.T1)
    period, now = fresh(agreement, 2026, 7, 20)
    curve = price_curve(agreement, period, now, 86400, {})
    steps = [((time - now) / 3600, step.band) for time, step in curve]
    assert steps == [
        (0, "Valley"),
        (6, "Flat"),
        (11, "Valley"),
        (13, "Flat"),
        (14, "Sharp"),
        (15, "Peak"),
        (20, "Sharp"),
        (21, "Peak"),
        (22, "Flat"),
    ]
    assert all(step.known for _, step in curve)


def test_the_curve_follows_an_index_and_is_unknown_beyond_its_forecast():
    agreement = contract(tariffs.T4)
    period, now = fresh(agreement, 2026, 7, 1)
    forecast = [(now, D("0.05")), (now + 3600, D("-0.01")), (now + 7200, None)]
    curve = price_curve(agreement, period, now, 4 * 3600, {"dayAhead": forecast})
    assert [(time - now, step.known) for time, step in curve] == [
        (0, True),
        (3600, True),
        (7200, False),
    ]
    fees = D("0.0040") + D("0.0486") + D("0.0511")
    assert [step.grid_energy for _, step in curve] == [D("0.05") + fees, D("-0.01") + fees, None]


@pytest.mark.parametrize("name", ["T1", "T2", "T4", "T6", "T11", "T12"])
def test_a_quote_survives_json(name):
    agreement = contract(getattr(tariffs, name))
    period, now = fresh(agreement, 2026, 7, 1, 12)
    site = SiteState(
        import_watts=5_000_000, load_watts=6_000_000, direct_supply_watts=1_000_000, it_watts=1
    )
    result = quote(agreement, period, now, {"spot": D("0.1")}, site)
    assert quote_from_json(json.loads(json.dumps(result.to_json()))) == result


def test_hard_obligations_use_the_planners_dual_and_certificates_cap_the_price():
    obligations = tariffs.spec(tariffs.T2)["obligations"]
    obligations[3] = {**obligations[3], "enforcement": "Hard"}
    hard = contract(tariffs.T2, obligations=obligations)
    period, now = fresh(hard, 2026, 7, 1, 12)
    priced = contract(tariffs.T2)
    certain = {"probability_short": {"hub80": D(1)}}
    assert quote(hard, period, now, {}, **certain).grid_obligation == 0
    assert quote(hard, period, now, {}, duals={"hub80": D("0.1")}).grid_obligation == D("0.08")
    assert quote(priced, period, now, {}, **certain).grid_obligation == D("0.0048")
    half = {"probability_short": {"hub80": D("0.5")}}
    assert quote(priced, period, now, {}, **half).grid_obligation == D("0.0024")
    cheap = {**certain, "instrument_prices": {"hub80": D("0.001")}}
    assert quote(priced, period, now, {}, **cheap).grid_obligation == D("0.0008")
    assert quote(priced, period, now, {}, **certain).direct_obligation == D("-0.0012")
