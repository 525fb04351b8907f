"""The decision table of bad signals: what comes in, and the documented reason that comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.adapters.conftest import NOON, Clocks, Scripted, signal
from wattshift.adapters.base import Fetched, Observation, SourceContext, Step
from wattshift.adapters.failures import SourceNeedsHuman, SourceTransient
from wattshift.adapters.poller import Poller
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import OnStale, Quality, SignalKind
from wattshift.core.units import Quantity

KEY = ("PowerSite", "gansu-1", "feed")


def seen(value: float, age: float = 0.0, **more: Any) -> Fetched:
    exact = more.pop("exact_time", True)
    return Fetched(
        observations=(Observation(value=value, source_time=NOON - age, exact_time=exact),), **more
    )


async def run(
    context: SourceContext, clocks: Clocks, answers: list[Any], **overrides: Any
) -> Poller:
    """Poll once per answer, a minute apart."""
    spec = {"answers": list(answers), "zone": overrides.pop("zone", None)}
    poller = Poller(context, sources={"scripted": Scripted})
    poller.configure([signal({"scripted": spec}, **overrides)])
    for index in range(len(answers)):
        if index:
            clocks.wall += 120
        await poller.poll_once()
    return poller


@dataclass(frozen=True)
class Row:
    what: str
    answers: list[Any]
    reason: SourceReason
    value: float | None = None
    """What the signal still reads: the last good value, or nothing."""
    overrides: dict[str, Any] = field(default_factory=dict)


GOOD = seen(5000.0, age=60)
CARBON = {"quantity": Quantity.CARBON_INTENSITY_AVERAGE, "unit": "GramPerKilowattHour"}
PRICE = {"quantity": Quantity.ENERGY_PRICE, "unit": "CNYPerMegawattHour"}
RATIO = {"quantity": Quantity.GREEN_SHARE, "unit": "Percent"}
STATE = {"quantity": Quantity.LEAK_STATE, "unit": "State"}
WARMTH = {"quantity": Quantity.OUTDOOR_TEMPERATURE, "unit": "DegreeCelsius"}
SUPPLY = {"quantity": Quantity.SUPPLY_POWER, "unit": "Watt"}

TABLE = [
    Row("NaN at first", [seen(math.nan)], SourceReason.NOT_A_NUMBER),
    Row("NaN after a good one", [GOOD, seen(math.nan)], SourceReason.NOT_A_NUMBER, 5000.0),
    Row("plus infinity", [GOOD, seen(math.inf)], SourceReason.NOT_FINITE, 5000.0),
    Row("minus infinity", [seen(-math.inf)], SourceReason.NOT_FINITE),
    Row("negative carbon", [seen(-1.0)], SourceReason.NEGATIVE, None, CARBON),
    Row("negative supply", [seen(-400.0)], SourceReason.NEGATIVE, None, SUPPLY),
    Row("negative share", [seen(-5.0)], SourceReason.NEGATIVE, None, RATIO),
    Row("share above one", [seen(130.0)], SourceReason.IMPLAUSIBLE, None, RATIO),
    Row("leak state of seven", [seen(7.0)], SourceReason.IMPLAUSIBLE, None, STATE),
    Row("melting weather", [seen(400.0)], SourceReason.IMPLAUSIBLE, None, WARMTH),
    Row(
        "above plausible",
        [GOOD, seen(9001.0)],
        SourceReason.IMPLAUSIBLE,
        5000.0,
        {"plausible_minimum": 0.0, "plausible_maximum": 9000.0},
    ),
    Row(
        "below plausible",
        [GOOD, seen(10.0)],
        SourceReason.IMPLAUSIBLE,
        5000.0,
        {"plausible_minimum": 100.0},
    ),
    Row("spike up", [GOOD, seen(60_000.0)], SourceReason.SPIKE_UNCONFIRMED, 5000.0),
    Row("spike down to zero", [GOOD, seen(0.0)], SourceReason.SPIKE_UNCONFIRMED, 5000.0),
    Row(
        "spike down with only a maximum",
        [GOOD, seen(0.0)],
        SourceReason.SPIKE_UNCONFIRMED,
        5000.0,
        {"plausible_maximum": 1e6},
    ),
    Row("older than the one held", [GOOD, seen(4800, age=90)], SourceReason.OUT_OF_ORDER, 5000.0),
    Row(
        "two values for one time",
        [GOOD, seen(4800.0, age=60)],
        SourceReason.DUPLICATE_TIME,
        5000.0,
    ),
    Row("an hour ahead", [GOOD, seen(5100.0, age=-3600)], SourceReason.FROM_THE_FUTURE, 5000.0),
    Row("unit of another quantity", [GOOD], SourceReason.WRONG_UNIT, None, {"unit": "Percent"}),
    Row("no price unit", [GOOD], SourceReason.WRONG_UNIT, None, {**PRICE, "unit": "Watt"}),
    Row(
        "the source says kW, declared is W",
        [seen(5.0, unit="kW")],
        SourceReason.WRONG_UNIT,
    ),
    Row(
        "the source says EUR, declared is CNY",
        [seen(5.0, unit="EUR/MWh")],
        SourceReason.WRONG_UNIT,
        None,
        PRICE,
    ),
    Row(
        "answer for another zone",
        [seen(500.0, zone="DE")],
        SourceReason.WRONG_ZONE,
        None,
        {**CARBON, "zone": "CN"},
    ),
    Row(
        "empty vector",
        [GOOD, SourceNeedsHuman(SourceReason.NO_DATA, "empty")],
        SourceReason.NO_DATA,
        5000.0,
    ),
    Row(
        "two series",
        [SourceNeedsHuman(SourceReason.AMBIGUOUS_RESULT, "2 series")],
        SourceReason.AMBIGUOUS_RESULT,
    ),
    Row("no steps", [Fetched()], SourceReason.NO_DATA),
    Row(
        "server down",
        [GOOD, SourceTransient(SourceReason.SOURCE_UNREACHABLE, "refused")],
        SourceReason.SOURCE_UNREACHABLE,
        5000.0,
    ),
    Row("fault of an adapter", [ZeroDivisionError("x")], SourceReason.ADAPTER_FAULT),
    Row(
        "NaN inside a forecast",
        [
            Fetched(
                steps=(Step(start_time=NOON, value=1.0), Step(start_time=NOON + 9, value=math.nan)),
                end_time=NOON + 99,
            )
        ],
        SourceReason.NOT_A_NUMBER,
        None,
        {"kind": SignalKind.FORECAST},
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=[row.what for row in TABLE])
async def test_a_bad_answer_is_refused_by_name_and_the_last_good_value_stays(
    row: Row, context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(context, clocks, row.answers, **row.overrides)
    assert poller.diagnose()[KEY].reason == row.reason
    assert poller.diagnose()[KEY].message
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None
    assert reading.value == row.value
    if row.value is None:
        assert (reading.quality, reading.reason) == (Quality.UNKNOWN, row.reason)
    else:
        assert (reading.quality, reading.reason) == (Quality.MEASURED, "")


async def test_a_negative_price_is_a_price(context: SourceContext, clocks: Clocks) -> None:
    poller = await run(context, clocks, [seen(-120.0)], **PRICE)
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == pytest.approx(-0.12)
    assert reading.unit == "CNYPerKilowattHour"


async def test_a_meter_that_exports_reads_below_zero(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(context, clocks, [seen(-4000.0)])
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == -4000.0


async def test_a_spike_that_repeats_itself_is_a_step(
    context: SourceContext, clocks: Clocks
) -> None:
    answers = [GOOD, seen(60_000.0, age=30), seen(61_000.0, age=10)]
    poller = await run(context, clocks, answers)
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == 61_000.0
    assert poller.diagnose()[KEY].reason == ""


async def test_the_same_sample_read_twice_does_not_confirm_its_own_spike(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(context, clocks, [GOOD, seen(60_000.0, 30), seen(60_000.0, 30)])
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == 5000.0
    assert poller.diagnose()[KEY].reason == SourceReason.SPIKE_UNCONFIRMED


async def test_a_spike_followed_by_the_old_level_is_forgotten(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(context, clocks, [GOOD, seen(60_000.0, 40), seen(5100.0, 20)])
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == 5100.0


async def test_bounds_on_both_sides_replace_the_spike_rule(
    context: SourceContext, clocks: Clocks
) -> None:
    bounds = {"plausible_minimum": 0.0, "plausible_maximum": 1e6}
    poller = await run(context, clocks, [GOOD, seen(60_000.0)], **bounds)
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == 60_000.0


async def test_a_revision_counts_when_it_is_read_again(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(context, clocks, [GOOD, seen(4800.0, 60), seen(4800.0, 60)])
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == 4800.0


async def test_an_unknown_signal_is_never_a_zero(context: SourceContext, clocks: Clocks) -> None:
    for row in TABLE:
        poller = await run(context, clocks, row.answers, **row.overrides)
        reading = poller.states(clocks.grid)[KEY].reading
        assert reading is not None and reading.value != 0.0


@pytest.mark.parametrize(
    ("rule", "value", "quality", "reason"),
    [
        (OnStale.HOLD, 5000.0, Quality.STALE, SourceReason.STALE_HELD),
        (OnStale.USE_FALLBACK, 7000.0, Quality.FALLBACK, SourceReason.STALE_FALLBACK),
        (OnStale.ASSUME_WORST, None, Quality.UNKNOWN, SourceReason.STALE_ASSUME_WORST),
        (OnStale.IGNORE, None, Quality.UNKNOWN, SourceReason.STALE),
    ],
)
async def test_a_stale_signal_counts_as_its_rule_says(
    rule: OnStale,
    value: float | None,
    quality: Quality,
    reason: SourceReason,
    context: SourceContext,
    clocks: Clocks,
) -> None:
    poller = await run(context, clocks, [seen(5000.0)], on_stale=rule, fallback_value=7000.0)
    fresh = poller.states(NOON + 299)[KEY].reading
    assert fresh is not None and (fresh.value, fresh.quality) == (5000.0, Quality.MEASURED)
    stale = poller.states(NOON + 300)[KEY].reading
    assert stale is not None
    assert (stale.value, stale.quality, stale.reason) == (value, quality, reason)


async def test_a_rule_that_holds_has_nothing_to_hold_at_first(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(context, clocks, [seen(math.nan)], on_stale=OnStale.HOLD)
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value is None
    assert reading.reason == SourceReason.NOT_A_NUMBER


async def test_a_fallback_in_the_declared_unit_is_converted(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = await run(
        context,
        clocks,
        [SourceNeedsHuman(SourceReason.NO_DATA, "empty")],
        on_stale=OnStale.USE_FALLBACK,
        fallback_value=3.5,
        unit="Kilowatt",
    )
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and (reading.value, reading.unit) == (3500.0, "Watt")
    assert "NoData" in reading.message


async def test_a_fallback_that_is_missing_is_named(context: SourceContext, clocks: Clocks) -> None:
    poller = await run(
        context, clocks, [seen(math.nan)], on_stale=OnStale.USE_FALLBACK, fallback_value=None
    )
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.reason == SourceReason.FALLBACK_MISSING


async def test_every_reason_of_a_signal_says_what_it_means() -> None:
    import inspect

    from wattshift.adapters import reasons

    text = inspect.getsource(reasons)
    for reason in [*reasons.SourceReason, *reasons.EngineReason, *reasons.ProfileReason]:
        after = text.split(f' = "{reason.value}"\n', 1)[1].lstrip()
        assert after.startswith('"""'), reason
