"""Contracts at work in the simulator: integer meters, months, quotes that are kept while they hold."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.core.contract import model as m
from wattshift.core.contract.model import Basis
from wattshift.core.contract.quote import SiteState
from wattshift.sim.pricing import ContractBook

START = 1_700_006_400.0
SITE = SiteState(import_watts=5000, load_watts=5000)


def contract(**changes) -> m.Contract:
    values = dict(
        name="supply",
        role=m.Role.COMPLETE,
        currency="USD",
        time_zone="UTC",
        interval_minutes=15,
        points=(m.Point(site_name="alpha", connection_name="grid"),),
        positions=(
            m.Position(
                name="spot",
                type=m.PositionType.RESIDUAL,
                signal_rate=m.SignalRate(
                    signal_name="dayAhead", multiplier=Decimal(1), adder=Decimal(0)
                ),
            ),
        ),
        components=(
            m.Component(
                name="peak",
                measure=m.DemandMeasure(
                    basis=Basis.IMPORT, averaging_minutes=15, period=m.Span.MONTH
                ),
                rate=Decimal(10),
                per=m.Per.KILOWATT_MONTH,
            ),
        ),
        signal_names=("dayAhead",),
    )
    return m.Contract(**{**values, **changes})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1.0, 60.0, 300.0, 900.0]), st.floats(0, 4000), st.floats(-0.1, 0.5)
        ),
        min_size=1,
        max_size=60,
    )
)
def test_integer_watt_hours_add_up_to_what_flowed(spans):
    book = ContractBook(contract(), "alpha", START)
    for seconds, watt_hours, price in spans:
        book.add(seconds, {Basis.IMPORT: watt_hours}, price)
    lines = {line.name: line for line in book.lines()}
    flowed = sum(row[1] for row in spans)

    assert abs(book.watt_hours[Basis.IMPORT] - flowed) <= 1
    assert float(lines["spot"].quantity) * 1000 == pytest.approx(book.watt_hours[Basis.IMPORT])
    cost = sum(wh / 1000 * price for _, wh, price in spans)
    # a watt-hour that rounding carries is priced in the next interval
    assert float(lines["spot"].amount) == pytest.approx(cost, abs=0.01 + 0.001 * len(spans))


def test_the_peak_is_the_highest_quarter_of_an_hour():
    book = ContractBook(contract(), "alpha", START)
    for power in (4000, 8000, 6000):
        for _ in range(3):
            book.add(300.0, {Basis.IMPORT: power * 300 / 3600}, 0.1)
    lines = {line.name: line for line in book.lines()}

    assert float(lines["peak"].quantity) == pytest.approx(8.0, abs=0.01)


def test_an_unknown_index_is_not_billed_as_nothing():
    book = ContractBook(contract(), "alpha", START)
    book.add(900.0, {Basis.IMPORT: 1000.0}, float("nan"))
    line = next(line for line in book.lines() if line.name == "spot")

    assert line.amount == 0
    assert line.unpriced_watt_hours == 1000


def test_a_month_that_ends_is_closed_and_both_are_billed():
    november_end = 1_701_388_800.0  # 2023-12-01 00:00 UTC
    book = ContractBook(contract(), "alpha", november_end - 1800)
    for _ in range(4):
        book.add(900.0, {Basis.IMPORT: 1000.0}, 0.2)
    lines = {line.name: line for line in book.lines()}

    assert lines["spot"].amount == Decimal("0.80")
    assert book.period.month.watt_hours["Import"] == 2000
    assert lines["peak"].amount == Decimal("80.00")  # 4 kW in either month


def test_a_quote_is_kept_for_a_minute_and_made_anew_when_the_index_changes():
    book = ContractBook(contract(), "alpha", START)
    first = book.quote(START, 0.1, SITE)

    assert book.quote(START + 30, 0.1, SITE) is first
    assert book.quote(START + 30, 0.2, SITE) is not first
    assert float(book.quote(START + 31, 0.2, SITE).up.energy) == pytest.approx(0.2)
    assert not book.quote(START + 32, None, SITE).known


def test_without_an_index_the_look_ahead_follows_the_bands():
    fixed = contract(
        positions=(m.Position(name="fixed", type=m.PositionType.RESIDUAL, rate=Decimal("0.12")),),
        signal_names=(),
    )
    book = ContractBook(fixed, "alpha", START)
    steps = book.ahead(START, None, None, SITE)

    assert steps
    assert all(quote.known and quote.up.energy == Decimal("0.12") for _, quote in steps)
