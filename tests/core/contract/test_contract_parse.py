"""Parsing a spec: every fault has its path, its reason and says what to change."""

from __future__ import annotations

import copy
from decimal import Decimal as D

import pytest
from wattshift.core.contract.errors import ContractError, ContractReason
from wattshift.core.contract.model import Role, Window
from wattshift.core.contract.parse import from_spec

from tests.core.contract import tariffs

INVALID, LATER = ContractReason.INVALID, ContractReason.NOT_IMPLEMENTED


def changed(text, path, value):
    """The spec with the field at `a.0.b` set, or removed when the value is None."""
    spec = copy.deepcopy(tariffs.spec(text))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = spec
    for part in parents:
        target = target[part]
    if value is None:
        del target[last]
    elif isinstance(last, int) and last == len(target):
        target.append(value)
    else:
        target[last] = value
    return spec


def demand(**values):
    return {
        "name": "x",
        "measure": {
            "type": "Demand",
            "demand": {"unit": "kW", "averagingMinutes": 15, "period": "Month", **values},
        },
        "rate": "1",
        "per": "kW-month",
    }


def share(of, **values):
    return {
        "name": "x",
        "measure": {"type": "Share", "share": {"ofComponentNames": of, **values}},
    }


BAD = [
    (tariffs.T1, "role", "Owner", "role", INVALID),
    (tariffs.T1, "role", None, "role", INVALID),
    (tariffs.T1, "timeZone", "Mars/Olympus", "timeZone", INVALID),
    (tariffs.T1, "intervalMinutes", 7, "intervalMinutes", INVALID),
    (tariffs.T1, "validFromTime", "2026-01-01", "validFromTime", INVALID),
    (tariffs.T1, "validFromTime", "soon", "validFromTime", INVALID),
    (tariffs.T1, "settlement", {"type": "TwoSettlement"}, "settlement.type", LATER),
    (tariffs.T1, "calendars.0.bands.3.windows", ["00:00-01:00"], "calendars[tou].bands", INVALID),
    (
        tariffs.T1,
        "calendars.0.bands.1.windows",
        ["7-9"],
        "calendars[tou].bands[Peak].windows",
        INVALID,
    ),
    (
        tariffs.T1,
        "calendars.0.bands.1.windows",
        ["07:00-07:00"],
        "calendars[tou].bands[Peak].windows",
        INVALID,
    ),
    (
        tariffs.T1,
        "calendars.0.bands.1.windows",
        ["07:00-24:30"],
        "calendars[tou].bands[Peak].windows",
        INVALID,
    ),
    (tariffs.T1, "calendars.0.bands.0.months", [13], "calendars[tou].bands[Sharp].months", INVALID),
    (
        tariffs.T1,
        "calendars.0.bands.0.dayTypes",
        ["Payday"],
        "calendars[tou].bands[Sharp].dayTypes",
        INVALID,
    ),
    (
        tariffs.T1,
        "calendars.0.bands.0.signal",
        {"signalName": "t"},
        "calendars[tou].bands[Sharp].signal",
        LATER,
    ),
    (
        tariffs.T1,
        "calendars.0.holidayDates",
        ["2026-02-30"],
        "calendars[tou].holidayDates",
        INVALID,
    ),
    (tariffs.T1, "components.0.rate", 0.42, "components[purchase].rate", INVALID),
    (tariffs.T1, "components.0.rate", "cheap", "components[purchase].rate", INVALID),
    (tariffs.T1, "components.0.rate", "NaN", "components[purchase].rate", INVALID),
    (tariffs.T1, "components.0.rate", None, "components[purchase]", INVALID),
    (tariffs.T1, "components.0.per", "kW-month", "components[purchase].measure.energy", INVALID),
    (tariffs.T1, "components.0.per", "kvarh", "components[purchase].per", LATER),
    (tariffs.T1, "components.0.priceList", {"x": 1}, "components[purchase].priceList", LATER),
    (tariffs.T1, "components.0.name", "funds", "components", INVALID),
    (tariffs.T1, "components.0.name", "a|b", "components", INVALID),
    (
        tariffs.T1,
        "components.0.measure.type",
        "Reactive",
        "components[purchase].measure.type",
        LATER,
    ),
    (
        tariffs.T1,
        "components.0.measure.type",
        "Coincident",
        "components[purchase].measure.type",
        LATER,
    ),
    (
        tariffs.T1,
        "components.0.measure.type",
        "SmallestOf",
        "components[purchase].measure.type",
        LATER,
    ),
    (
        tariffs.T1,
        "components.0.measure.type",
        "Magic",
        "components[purchase].measure.type",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.0.measure.energy.basis",
        "Green",
        "components[purchase].measure.energy.basis",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.0.regime",
        {"regimeName": "no", "side": "Below"},
        "components[purchase].regime",
        INVALID,
    ),
    (tariffs.T1, "components.7", demand(unit="kVA"), "components[x].measure.demand.unit", LATER),
    (
        tariffs.T1,
        "components.7",
        demand(window="Sliding"),
        "components[x].measure.demand.window",
        LATER,
    ),
    (
        tariffs.T1,
        "components.7",
        demand(period="Quarter"),
        "components[x].measure.demand.period",
        LATER,
    ),
    (
        tariffs.T1,
        "components.7",
        demand(averagingMinutes=7),
        "components[x].measure.demand.averagingMinutes",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        demand(averagingMinutes=300),
        "components[x].measure.demand.averagingMinutes",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        demand(bandNames=["Peak"]),
        "components[x].measure.demand.calendarName",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        demand(calendarName="no", bandNames=["Peak"]),
        "components[x].calendarName",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        demand(calendarName="tou", bandNames=["No"]),
        "components[x]",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        share(["nothing"], factor="0.1"),
        "components[x].measure.share.ofComponentNames",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        share(["x"], factor="0.1"),
        "components[x].measure.share.ofComponentNames",
        INVALID,
    ),
    (tariffs.T1, "components.7", share(["funds"]), "components[x].measure.share", INVALID),
    (
        tariffs.T1,
        "components.7",
        share(["funds"], table="CN", powerFactor="1"),
        "components[x].measure.share.table",
        INVALID,
    ),
    (
        tariffs.T1,
        "components.7",
        share(["funds"], table="CN-standard-0.90", powerFactor="1.2"),
        "components[x].measure.share.powerFactor",
        INVALID,
    ),
    (tariffs.T1, "shapes.0.calendarName", "no", "shapes[0].calendarName", INVALID),
    (tariffs.T1, "shapes.0.ofComponentNames", ["maxDemand"], "shapes[0].ofComponentNames", INVALID),
    (tariffs.T1, "shapes.0.factors.0.bandName", "No", "shapes[0]", INVALID),
    (tariffs.T6, "components.0.bandRates.4", None, "components[energy].bandRates", INVALID),
    (tariffs.T6, "components.0.calendarName", None, "components[energy].calendarName", INVALID),
    (tariffs.T2, "positions.0.supplyName", None, "positions[wind].supplyName", INVALID),
    (tariffs.T2, "positions.0.surplus.use", "Store", "positions[wind].surplus.use", LATER),
    (tariffs.T2, "positions.0.takeOrPay", {"period": "Year"}, "positions[wind].takeOrPay", LATER),
    (tariffs.T2, "positions.1.share", "0.5", "positions[grid].share", LATER),
    (tariffs.T2, "positions.1.type", "FixedVolume", "positions[grid].kilowatts", INVALID),
    (
        tariffs.T2,
        "positions.2",
        {"name": "s", "type": "PayAsProduced", "supplyName": "s", "rate": "1"},
        "positions",
        LATER,
    ),
    (
        tariffs.T2,
        "obligations.0.period",
        "Quarter",
        "obligations[selfUseOfAvailable].period",
        LATER,
    ),
    (tariffs.T2, "obligations.3.eligible", None, "obligations[hub80].eligible", INVALID),
    (tariffs.T2, "obligations.3.eligible", ["Offset"], "obligations[hub80].eligible", INVALID),
    (
        tariffs.T9,
        "openingPeriod",
        {"startTime": "2026-07-02T00:00:00Z", "untilTime": "2026-07-01T00:00:00Z"},
        "openingPeriod.untilTime",
        INVALID,
    ),
    (
        tariffs.T9,
        "openingPeriod",
        {"startTime": "2020-07-02T00:00:00Z", "untilTime": "2026-07-01T00:00:00Z"},
        "openingPeriod.startTime",
        INVALID,
    ),
    (
        tariffs.T9,
        "openingPeriod",
        {
            "startTime": "2026-07-01T00:00:00Z",
            "untilTime": "2026-07-02T00:00:00Z",
            "peaks": [{"componentName": "demand", "month": "July", "watts": 1}],
        },
        "openingPeriod.peaks[0].month",
        INVALID,
    ),
    (
        tariffs.T9,
        "openingPeriod",
        {
            "startTime": "2026-07-01T00:00:00Z",
            "untilTime": "2026-07-02T00:00:00Z",
            "peaks": [{"componentName": "no", "month": "2026-07", "watts": 1}],
        },
        "openingPeriod.peaks",
        INVALID,
    ),
    (
        tariffs.T9,
        "openingPeriod",
        {
            "startTime": "2026-07-01T00:00:00Z",
            "untilTime": "2026-07-02T00:00:00Z",
            "quantities": [{"quantity": "Green", "wattHours": 1}],
        },
        "openingPeriod.quantities[0].quantity",
        LATER,
    ),
    (
        tariffs.T9,
        "components.0.measure.demand.ratchet.months",
        37,
        "components[demand].measure.demand.ratchet.months",
        INVALID,
    ),
    (
        tariffs.T9,
        "components.0.measure.demand.ratchet.factor",
        "1.5",
        "components[demand].measure.demand.ratchet.factor",
        INVALID,
    ),
    (
        tariffs.T9,
        "components.0.measure.demand.ratchet.fromMonths",
        [0],
        "components[demand].measure.demand.ratchet.fromMonths",
        INVALID,
    ),
    (tariffs.T4, "signals", [], "signals", INVALID),
    (
        tariffs.T4,
        "positions.0.signalRate",
        {"signalName": "dayAhead", "cap": "0.1", "floor": "0.2"},
        "positions[spot].signalRate.floor",
        INVALID,
    ),
    (tariffs.T4, "positions.0.rate", "1", "positions[spot]", INVALID),
    (
        tariffs.T4,
        "components.1.regime.side",
        "Above",
        "components[networkEnergyShort].regime.side",
        INVALID,
    ),
    (
        tariffs.T11,
        "components.2.measure.overrun.ofComponentName",
        "committed",
        "components[overage].measure.overrun.ofComponentName",
        INVALID,
    ),
    (
        tariffs.T11,
        "components.2.measure.overrun.chargedFor",
        "DaysExceeded",
        "components[overage].measure.overrun.chargedFor",
        LATER,
    ),
]


@pytest.mark.parametrize(
    ("text", "path", "value", "where", "reason"), BAD, ids=[f"{row[1]}={row[2]}" for row in BAD]
)
def test_a_bad_spec_is_refused_at_its_path_with_its_reason(text, path, value, where, reason):
    with pytest.raises(ContractError) as caught:
        from_spec("bad", changed(text, path, value))
    assert caught.value.path == where
    assert caught.value.reason is reason
    assert len(caught.value.message) > 10


def test_calendars_without_band_rates_need_no_rates():
    spec = changed(tariffs.T6, "components.0.bandRates", None)
    spec["components"][0]["rate"] = "0.1"
    assert from_spec("t", spec).components[0].rate == D("0.1")


def test_signals_that_prices_need_are_listed():
    assert from_spec("t", tariffs.spec(tariffs.T12)).signal_names == ("spot",)
    assert from_spec("t", tariffs.spec(tariffs.T1)).signal_names == ()


def test_the_example_of_the_api_parses():
    spec = {
        **tariffs.spec(tariffs.T2),
        "validFromTime": "2026-01-01T00:00:00+08:00",
        "validUntilTime": "2027-01-01T00:00:00+08:00",
        "points": [
            {
                "siteName": "gansu-1",
                "connectionName": "feed-a",
                "contractedWatts": 5_000_000,
                "maximumWatts": 5_500_000,
            }
        ],
        "signals": [{"name": "spot"}],
        "calendars": [
            {
                "name": "tou",
                "holidayDates": ["2026-10-01"],
                "bands": [
                    {"name": "Valley", "windows": ["00:00-08:00", "23:00-24:00"]},
                    {"name": "Flat"},
                ],
            }
        ],
        "carbon": {"method": "LocationBased", "ratePerTonne": "95"},
        "programs": [
            {
                "name": "gs-peak",
                "product": "LoadDecrease",
                "noticeSeconds": 1800,
                "committedWatts": 800_000,
                "baselineMethod": "HighXofY",
                "energyRate": "4",
            }
        ],
    }
    agreement = from_spec("gansu-2026", spec)
    assert agreement.role is Role.COMPLETE
    assert (agreement.contracted_watts, agreement.maximum_watts) == (5_000_000, 5_500_000)
    assert agreement.calendars[0].bands[0].windows[1] == Window(1380, 1440)
    assert agreement.calendars[0].special_days == (("2026-10-01", "Holiday"),)
    assert agreement.carbon.rate_per_tonne == D("95")
    assert agreement.programs[0].committed_watts == 800_000
    assert agreement.in_force(agreement.valid_from)
    assert not agreement.in_force(agreement.valid_until)
