"""Obligations and green shares: slack, pace, what the rest of the period needs."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattshift.core.contract.green import (
    carbon_free_score,
    green_power_trade,
    hourly_matched_share,
    policy_ratio,
)
from wattshift.core.contract.meter import (
    MeterInterval,
    advance,
    opening_period,
    with_instruments,
)
from wattshift.core.contract.model import Basis
from wattshift.core.contract.obligation import required_share, states

from tests.core.contract import tariffs
from tests.core.contract.tariffs import contract, epoch

SH = "Asia/Shanghai"
NEW_YEAR = epoch(SH, 2026, 1, 1)


def half_year(agreement, **kilowatt_hours):
    """Quantities metered evenly from January 1st to the middle of the year (182.5 days)."""
    interval = MeterInterval(
        start_time=NEW_YEAR,
        seconds=182 * 86400 + 43200,
        watt_hours={name: value * 1000 for name, value in kilowatt_hours.items()},
    )
    return advance(agreement, opening_period(agreement, NEW_YEAR), interval, {})


def state(agreement, period, name, **more):
    now = period.metered_until
    return next(s for s in states(agreement, period, now, **more) if s.name == name)


def test_the_rest_must_make_up_for_the_first_half():
    agreement = contract(tariffs.T2)
    period = half_year(agreement, SelfUse=7_000_000, Import=3_000_000)
    result = state(agreement, period, "hub80")
    assert result.share == D("0.7")
    assert result.target == D("0.8")
    assert result.required_share == D("0.9")
    assert not result.on_track
    assert result.slack_watt_hours == -1_000_000_000


def test_a_forecast_says_whether_the_needed_share_is_within_reach():
    agreement = contract(tariffs.T2)
    period = half_year(agreement, SelfUse=7_000_000, Import=3_000_000)
    assert state(agreement, period, "hub80", reachable_share={"hub80": D("0.91")}).on_track
    assert not state(agreement, period, "hub80", reachable_share={"hub80": D("0.89")}).on_track
    more = state(agreement, period, "hub80", base_remaining_watt_hours={"hub80": 30_000_000_000})
    assert more.required_share == (D("0.8") * 40 - 7) / 30


def test_an_upper_bound_says_how_much_the_rest_may_export():
    agreement = contract(tariffs.T2)
    period = half_year(
        agreement, SelfUse=7_000_000, Export=1_000_000, Curtailed=2_000_000, Import=0
    )
    result = state(agreement, period, "exportOfAvailable")
    assert (result.upper, result.target, result.share) == (True, D("0.20"), D("0.1"))
    assert result.required_share == D("0.3")
    assert result.on_track


def test_instruments_of_documents_count_only_where_they_are_eligible():
    obligations = tariffs.spec(tariffs.T2)["obligations"]
    obligations.append({**obligations[3], "name": "own", "eligible": ["DirectSelfUse"]})
    agreement = contract(tariffs.T2, obligations=obligations)
    period = half_year(agreement, SelfUse=7_000_000, Import=3_000_000)
    period = with_instruments(
        period,
        {Basis.GREEN_POWER_TRADE: 800_000_000, Basis.CANCELLED_CERTIFICATE: 200_000_000},
    )
    assert state(agreement, period, "hub80").share == D("0.8")
    assert state(agreement, period, "hub80").on_track
    assert state(agreement, period, "own").share == D("0.7")


def test_before_the_first_reading_no_share_is_known_and_nothing_is_behind():
    agreement = contract(tariffs.T2)
    result = state(agreement, opening_period(agreement, NEW_YEAR), "hub80")
    assert (result.share, result.required_share, result.on_track) == (None, None, True)


@given(
    target=st.decimals("0.1", "0.9", places=2),
    part=st.integers(0, 1000),
    base=st.integers(1, 1000),
    rest=st.integers(1, 1000),
)
def test_the_required_share_of_the_rest_hits_the_target_exactly(target, part, base, rest):
    needed = required_share(target, D(part), D(base), D(rest))
    assert round((part + needed * rest) / (base + rest), 9) == round(target, 9)


def test_the_policy_ratio_counts_own_use_trade_and_certificates_up_to_one():
    values = {
        "direct_generation_wh": 90,
        "export_wh": 20,
        "storage_loss_wh": 10,
        "trade_wh": [5, 5],
        "cancelled_certificate_wh": 10,
        "use_wh": 100,
    }
    assert policy_ratio(**values) == D("0.8")
    assert policy_ratio(**{**values, "cancelled_certificate_wh": 500}) == 1
    assert policy_ratio(**{**values, "use_wh": 0}) is None
    assert policy_ratio(**{**values, "export_wh": 500}) == D("0.2")


def test_green_power_trade_counts_at_most_contract_generation_and_use():
    assert green_power_trade(5, 7, 9) == 5
    assert green_power_trade(8, 7, 9) == 7
    assert green_power_trade(8, 9, 3) == 3


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=24),
        min_size=1,
    )
)
def test_the_matched_share_is_never_above_the_yearly_one_and_surplus_never_travels(sites):
    share = hourly_matched_share(sites)
    load = sum(hour[0] for hours in sites.values() for hour in hours)
    supply = sum(hour[1] for hours in sites.values() for hour in hours)
    if load == 0:
        assert share is None
        return
    assert 0 <= share <= min(D(1), D(supply) / load)


def test_surplus_of_one_site_does_not_cover_the_deficit_of_another():
    assert hourly_matched_share({"a": [(10, 30)], "b": [(10, 0)]}) == D("0.5")


@pytest.mark.parametrize(("share", "score"), [("0", "0.6"), ("0.5", "0.8"), ("1", "1")])
def test_the_carbon_free_score_adds_the_grids_share_on_the_rest(share, score):
    assert carbon_free_score([(10, 6, D(share))]) == D(score)
    assert carbon_free_score([(0, 5, D(share))]) is None
