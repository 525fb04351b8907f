"""Bills against a naive oracle: one loop per quarter hour, fractions, its own idea of local time."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wattshift.core.contract.bill import bill
from wattshift.core.contract.meter import MeterInterval, advance_all, opening_period
from wattshift.core.contract.parse import from_spec

from tests.core.contract.tariffs import epoch

ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Chatham"]
FACTORS = {"High": "1.75", "Low": "0.35", "Rest": "1"}


def spec(zone, rate, demand, share, high, low):
    return {
        "role": "Complete",
        "currency": "EUR",
        "timeZone": zone,
        "calendars": [
            {
                "name": "tou",
                "bands": [
                    {"name": "High", "dayTypes": ["Workday"], "windows": [high]},
                    {"name": "Low", "windows": [low]},
                    {"name": "Rest"},
                ],
            }
        ],
        "components": [
            {
                "name": "energy",
                "measure": {"type": "Energy", "energy": {"basis": "Import"}},
                "rate": rate,
                "per": "kWh",
            },
            {
                "name": "peak",
                "measure": {
                    "type": "Demand",
                    "demand": {
                        "unit": "kW",
                        "averagingMinutes": 15,
                        "period": "Month",
                        "calendarName": "tou",
                        "bandNames": ["High"],
                    },
                },
                "rate": demand,
                "per": "kW-month",
            },
            {
                "name": "tax",
                "measure": {
                    "type": "Share",
                    "share": {"ofComponentNames": ["energy", "peak"], "factor": share},
                },
            },
        ],
        "shapes": [
            {
                "calendarName": "tou",
                "ofComponentNames": ["energy"],
                "factors": [{"bandName": name, "factor": value} for name, value in FACTORS.items()],
            }
        ],
    }


def oracle(zone, values, first, rate, demand, share, high, low):
    """Amount by line, as fractions, each rounded half away from zero to a cent."""

    def inside(window, minute):
        start, end = (int(t[:2]) * 60 + int(t[3:]) for t in window.split("-"))
        return start <= minute < end

    month = None
    cost, top = defaultdict(Fraction), defaultdict(int)
    for index, watt_hours in enumerate(values):
        moment = datetime.fromtimestamp(first + index * 900, ZoneInfo(zone))
        month = (moment.year, moment.month)
        minute = moment.hour * 60 + moment.minute
        if moment.weekday() < 5 and inside(high, minute):
            band = "High"
        else:
            band = "Low" if inside(low, minute) else "Rest"
        cost[month] += Fraction(watt_hours, 1000) * Fraction(rate) * Fraction(FACTORS[band])
        if band == "High":
            top[month] = max(top[month], watt_hours * 4)

    def cent(value):
        whole = int(abs(value) * 100 + Fraction(1, 2))
        return Fraction(whole if value >= 0 else -whole, 100)

    energy, peak = cent(cost[month]), cent(Fraction(top[month], 1000) * Fraction(demand))
    return {"energy": energy, "peak": peak, "tax": cent((energy + peak) * Fraction(share))}


hour = st.integers(0, 23)
window = st.tuples(hour, st.integers(1, 24)).filter(lambda pair: pair[0] < pair[1])
window = window.map(lambda pair: f"{pair[0]:02}:00-{pair[1]:02}:00")
rates = st.decimals("-2", "2", places=4).map(str)


@settings(max_examples=80, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(
        [(2026, 3, 7), (2026, 3, 28), (2026, 10, 24), (2026, 10, 31), (2028, 2, 28)]
    ),
    values=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=300),
    rate=rates,
    demand=st.decimals("0", "90", places=2).map(str),
    share=st.decimals("-0.2", "0.2", places=4).map(str),
    high=window,
    low=window,
)
def test_the_bill_is_what_a_loop_over_quarter_hours_says(
    zone, day, values, rate, demand, share, high, low
):
    agreement = from_spec("x", spec(zone, rate, demand, share, high, low))
    first = epoch(zone, *day)
    intervals = [
        MeterInterval(start_time=first + i * 900, seconds=900, watt_hours={"Import": value})
        for i, value in enumerate(values)
    ]
    period = advance_all(agreement, opening_period(agreement, first), intervals, lambda _: {})
    lines = {line.name: Fraction(line.amount) for line in bill(agreement, period).lines}
    assert lines == oracle(zone, values, first, rate, demand, share, high, low)


@pytest.mark.parametrize("zone", ZONES)
def test_the_oracle_and_the_meter_agree_on_a_whole_month_with_a_clock_change(zone):
    first = epoch(zone, 2026, 10, 1)
    count = (epoch(zone, 2026, 11, 1) - first) // 900
    values = [(i * 7919) % 900_000 for i in range(count)]
    args = ("0.1234", "33.10", "-0.0075", "08:00-20:00", "00:00-06:00")
    agreement = from_spec("x", spec(zone, *args))
    intervals = [
        MeterInterval(start_time=first + i * 900, seconds=900, watt_hours={"Import": value})
        for i, value in enumerate(values)
    ]
    period = advance_all(agreement, opening_period(agreement, first), intervals, lambda _: {})
    lines = {line.name: Fraction(line.amount) for line in bill(agreement, period).lines}
    assert lines == oracle(zone, values, first, *args)
