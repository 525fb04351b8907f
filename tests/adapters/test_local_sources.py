"""Sources without a network: constant, dailyCurve, schedule, file, on ordinary and on DST days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.conftest import NOON, Clocks, signal
from wattshift.adapters.base import Fetched, SignalConfig, SourceContext
from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.grid.daily_curve import repeat_daily
from wattshift.adapters.grid.file import parse_day, parse_table
from wattshift.adapters.poller import Poller
from wattshift.adapters.reasons import SourceReason
from wattshift.adapters.registry import NOT_YET, SOURCES, make_source
from wattshift.adapters.times import exists, parse_time, to_epoch
from wattshift.core.signal import OnStale, Quality, SignalKind
from wattshift.core.units import Quantity

KEY = ("PowerSite", "gansu-1", "feed")
BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def value_at(fetched: Fetched, time: float) -> float | None:
    found = None
    for step in fetched.steps:
        if step.start_time <= time:
            found = step.value
    return found


async def read(context: SourceContext, config: SignalConfig) -> Poller:
    poller = Poller(context)
    poller.configure([config])
    await poller.poll_once()
    return poller


# --- constant and the registry ---------------------------------------------------------------------


async def test_a_constant_is_measured_for_ever(context: SourceContext, clocks: Clocks) -> None:
    poller = await read(context, signal({"constant": {"value": "3.5"}}, unit="Kilowatt"))
    for later in (0.0, 86_400.0 * 400):
        reading = poller.states(clocks.grid + later)[KEY].reading
        assert reading is not None
        assert (reading.value, reading.quality) == (3500.0, Quality.MEASURED)
        assert reading.valid_until is None


@pytest.mark.parametrize("source_type", sorted(NOT_YET))
async def test_a_source_of_a_later_release_leaves_its_signal_unknown(
    source_type: str, context: SourceContext, clocks: Clocks
) -> None:
    poller = await read(context, signal({source_type: {"zone": "CN"}}))
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value is None
    assert reading.reason == SourceReason.SOURCE_NOT_AVAILABLE
    assert source_type in reading.message


def test_every_source_of_the_api_is_read_or_known_to_come_later() -> None:
    from wattshift.api.sources import Source

    members = {field.alias or name for name, field in Source.model_fields.items()}
    assert members == set(SOURCES) | NOT_YET
    assert not set(SOURCES) & NOT_YET


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ({"constant": {}}, "value"),
        ({"dailyCurve": {"stepMinutes": 60, "values": ["1"]}}, "24 are needed"),
        ({"schedule": {"entries": []}}, "empty"),
        ({"file": {"configMapRef": {"name": "a", "key": "b"}, "valueColumn": "v"}}, "timeColumn"),
        (
            {"httpJson": {"url": "http://a.example/", "itemsPath": "a", "valuePath": "b"}},
            "timePath",
        ),
        ({"prometheus": {"url": "http://a.example", "query": " "}}, "query is empty"),
    ],
)
async def test_fields_that_do_not_fit_together_are_named(
    source: dict[str, Any], part: str, context: SourceContext
) -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        make_source(signal(source), context)
    assert caught.value.reason is SourceReason.SOURCE_INVALID
    assert part in caught.value.message


# --- dailyCurve ------------------------------------------------------------------------------------


async def test_a_daily_curve_serves_now_and_the_days_ahead(
    context: SourceContext, clocks: Clocks
) -> None:
    spec = {"dailyCurve": {"stepMinutes": 360, "values": ["900", "1200", "700", "1000"]}}
    poller = await read(context, signal(spec))
    reading = poller.states(NOON)[KEY].reading
    assert reading is not None and reading.value == 700.0
    assert reading.valid_until == NOON + 6 * 3600
    poller = await read(context, signal(spec, kind=SignalKind.FORECAST))
    forecast = poller.states(NOON)[KEY].forecast
    assert forecast is not None
    assert forecast.at(NOON) == 700.0
    assert forecast.at(NOON + 6 * 3600) == 1000.0
    assert forecast.at(NOON + 12 * 3600) == 900.0
    assert forecast.end_time >= NOON + 3 * 86_400


@given(
    step=st.sampled_from([5, 15, 30, 60, 120, 360, 720, 1440]),
    zone=st.sampled_from(
        [BERLIN, "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "UTC"]
    ),
    hours=st.integers(min_value=0, max_value=24 * 365),
)
def test_a_daily_curve_always_shows_the_value_of_the_wall_clock(
    step: int, zone: str, hours: int
) -> None:
    values = tuple(float(index) for index in range(1440 // step))
    now = at("2026-01-01T00:30:00+00:00") + hours * 3600
    fetched = repeat_daily(values, step, zone, now)
    for ahead in range(0, 60 * 3600, 3300):
        local = datetime.fromtimestamp(now + ahead, ZoneInfo(zone))
        assert value_at(fetched, now + ahead) == (local.hour * 60 + local.minute) // step


# --- file ------------------------------------------------------------------------------------------


def table(rows: list[tuple[str, str]]) -> str:
    return "time,price\n" + "".join(f"{time},{value}\n" for time, value in rows)


def quarters(day: str, count: int, zone: str) -> list[tuple[str, str]]:
    """Rows of real time, written as the wall clock shows them, without a zone."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).timestamp()
    return [
        (
            datetime.fromtimestamp(start + 900 * i, ZoneInfo(zone))
            .replace(tzinfo=None)
            .isoformat(),
            str(i),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("day", "count"), [("2026-06-01", 96), ("2026-03-29", 92), ("2026-10-25", 100)]
)
def test_local_rows_of_a_day_with_92_96_or_100_quarters_are_each_a_quarter_apart(
    day: str, count: int
) -> None:
    steps, end = parse_table(table(quarters(day, count, BERLIN)), ("time", "price"), BERLIN, "f")
    assert len(steps) == count
    gaps = {b.start_time - a.start_time for a, b in zip(steps, steps[1:], strict=False)}
    assert gaps == {900.0}
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(BERLIN))
    assert steps[0].start_time == start.timestamp()
    next_day = (start.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=ZoneInfo(BERLIN))
    assert end == next_day.timestamp()


def test_ninety_six_rows_on_the_day_that_skips_an_hour_name_the_row_that_does_not_exist() -> None:
    naive = [(f"2026-03-29T{h:02d}:{m:02d}", "1") for h in range(24) for m in (0, 15, 30, 45)]
    with pytest.raises(SourceNeedsHuman) as caught:
        parse_table(table(naive), ("time", "price"), BERLIN, "f")
    assert caught.value.reason is SourceReason.LOCAL_TIME_INVALID
    assert "2026-03-29T02:00:00 does not exist" in caught.value.message


def test_ninety_six_rows_on_the_day_that_repeats_an_hour_leave_a_gap_of_that_hour() -> None:
    naive = [(f"2026-10-25T{h:02d}:{m:02d}", "1") for h in range(24) for m in (0, 15, 30, 45)]
    steps, _ = parse_table(table(naive), ("time", "price"), BERLIN, "f")
    gaps = [step for step in steps if step.value is None]
    assert [gap.start_time for gap in gaps] == [at("2026-10-25T02:00:00+01:00")]


@pytest.mark.parametrize(
    ("text", "reason", "part"),
    [
        ("when,price\n2026-01-01T00:00Z,1\n", SourceReason.SOURCE_NOT_FOUND, "no column 'time'"),
        ("time,price\n", SourceReason.NO_DATA, "no row"),
        ("time,price\n2026-01-01T00:00:00Z,cheap\n", SourceReason.NOT_A_NUMBER, "line 2"),
        ("time,price\nyesterday,1\n", SourceReason.ANSWER_NOT_READABLE, "ISO 8601"),
        ("time,price\n2026-01-01T00:00:00,1\n", SourceReason.LOCAL_TIME_INVALID, "no zone"),
        (
            "time,price\n2026-01-01T01:00:00Z,1\n2026-01-01T00:00:00Z,1\n",
            SourceReason.OUT_OF_ORDER,
            "line 3",
        ),
        (
            "time,price\n2026-01-01T01:00:00Z,1\n2026-01-01T09:00:00+08:00,1\n",
            SourceReason.DUPLICATE_TIME,
            "occurs twice",
        ),
    ],
)
def test_a_bad_table_is_refused_with_its_line(text: str, reason: SourceReason, part: str) -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        parse_table(text, ("time", "price"), None, "file a/b")
    assert caught.value.reason is reason
    assert part in caught.value.message


def test_a_table_may_have_a_byte_order_mark_comments_blanks_and_other_columns() -> None:
    text = (
        "\ufefftime, volume, price\n"
        "# day ahead\n"
        "2026-11-22T00:00:00+08:00, 5, 100\n"
        "\n"
        "2026-11-22T01:00:00+08:00, 5, n/a\n"
        "2026-11-22T02:00:00+08:00, 5, -3.5\n"
    )
    steps, end = parse_table(text, ("time", "price"), None, "f")
    assert [step.value for step in steps] == [100.0, None, -3.5]
    assert end - steps[0].start_time == 3 * 3600


PRICES = {"configMapRef": {"name": "spot", "key": "day.csv"}, "timeColumn": "time"}
PRICE = {"quantity": Quantity.ENERGY_PRICE, "unit": "CNYPerMegawattHour"}


async def test_a_file_serves_the_row_of_now_and_the_rows_ahead(
    context: SourceContext, config_maps: dict[str, dict[str, str]]
) -> None:
    rows = [
        (f"2026-11-22T{h:02d}:{m:02d}:00", str(h * 10 + m / 100))
        for h in range(24)
        for m in (0, 15, 30, 45)
    ]
    config_maps["spot"] = {"day.csv": table(rows)}
    spec = {"file": {**PRICES, "valueColumn": "price"}}
    poller = await read(context, signal(spec, **PRICE, stale_after_seconds=3600))
    reading = poller.states(NOON + 16 * 60)[KEY].reading
    assert reading is not None
    assert reading.value == pytest.approx(0.12015)
    assert (reading.source_time, reading.quality) == (NOON + 900, Quality.MEASURED)
    poller = await read(context, signal(spec, **PRICE, kind=SignalKind.FORECAST))
    forecast = poller.states(NOON)[KEY].forecast
    assert forecast is not None
    assert len(forecast.points) == 48
    assert forecast.at(NOON + 3600) == pytest.approx(0.130)
    assert forecast.at(NOON + 12 * 3600) is None


async def test_after_its_last_row_a_file_holds_until_it_is_stale_and_says_so(
    context: SourceContext, config_maps: dict[str, dict[str, str]]
) -> None:
    config_maps["spot"] = {
        "day.csv": table([("2026-11-22T11:00:00+08:00", "1"), ("2026-11-22T12:00:00+08:00", "2")])
    }
    spec = {"file": {**PRICES, "valueColumn": "price"}}
    poller = await read(
        context, signal(spec, **PRICE, stale_after_seconds=7200, on_stale=OnStale.ASSUME_WORST)
    )
    inside = poller.states(NOON + 3599)[KEY].reading
    beyond = poller.states(NOON + 3600)[KEY].reading
    stale = poller.states(NOON + 7200)[KEY].reading
    assert inside is not None and beyond is not None and stale is not None
    assert (inside.quality, inside.reason) == (Quality.MEASURED, "")
    assert (beyond.value, beyond.quality) == (pytest.approx(0.002), Quality.ESTIMATED)
    assert beyond.reason == SourceReason.GAP_FILLED
    assert (stale.value, stale.reason) == (None, SourceReason.STALE_ASSUME_WORST)


async def test_a_file_before_its_first_row_is_unknown(
    context: SourceContext, config_maps: dict[str, dict[str, str]]
) -> None:
    config_maps["spot"] = {"day.csv": table([("2026-11-23T00:00:00+08:00", "1")])}
    poller = await read(context, signal({"file": {**PRICES, "valueColumn": "price"}}, **PRICE))
    reading = poller.states(NOON)[KEY].reading
    assert reading is not None and reading.value is None
    assert reading.reason == SourceReason.NO_DATA


async def test_a_missing_config_map_is_read_soon_after_it_appears(
    context: SourceContext, clocks: Clocks, config_maps: dict[str, dict[str, str]]
) -> None:
    poller = await read(context, signal({"file": {**PRICES, "valueColumn": "price"}}, **PRICE))
    assert poller.diagnose()[KEY].reason == SourceReason.SOURCE_NOT_FOUND
    config_maps["spot"] = {"day.csv": table([("2026-11-22T12:00:00+08:00", "500")])}
    clocks.advance(3)
    await poller.poll_once()
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None and reading.value == pytest.approx(0.5)


async def test_rows_that_are_the_steps_of_every_day_follow_the_wall_clock(
    context: SourceContext, config_maps: dict[str, dict[str, str]]
) -> None:
    text = "price\n" + "".join(f"{hour}\n" for hour in range(24))
    config_maps["spot"] = {"day.csv": text}
    spec = {
        "file": {
            "configMapRef": {"name": "spot", "key": "day.csv"},
            "stepMinutes": 60,
            "valueColumn": "price",
        }
    }
    poller = await read(context, signal(spec))
    reading = poller.states(NOON)[KEY].reading
    assert reading is not None and reading.value == 12.0


def test_a_day_of_too_few_rows_says_how_many_are_needed() -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        parse_day("price\n1\n2\n", "price", 15, "file a/b")
    assert "96 are needed" in caught.value.message


# --- schedule --------------------------------------------------------------------------------------

ENTRIES = [
    {"fromTime": "2026-11-22T10:00:00+08:00", "value": "1"},
    {"fromTime": "2026-11-22T14:00:00+08:00", "value": "2"},
]


async def test_a_schedule_holds_each_value_until_the_next(context: SourceContext) -> None:
    spec = {"schedule": {"entries": ENTRIES, "untilTime": "2026-11-22T18:00:00+08:00"}}
    poller = await read(context, signal(spec))
    values = [
        (reading.value, reading.reason)
        for hours in (-3, -2, 1.99, 2, 5.99, 6)
        if (reading := poller.states(NOON + hours * 3600)[KEY].reading) is not None
    ]
    unknown = (None, SourceReason.NO_DATA)
    assert values == [unknown, (1.0, ""), (1.0, ""), (2.0, ""), (2.0, ""), unknown]


async def test_an_open_schedule_holds_on(context: SourceContext) -> None:
    poller = await read(context, signal({"schedule": {"entries": ENTRIES}}))
    reading = poller.states(NOON + 5 * 86_400)[KEY].reading
    assert reading is not None and reading.value == 2.0


@pytest.mark.parametrize("order", [[1, 0], [0, 0]])
async def test_entries_out_of_order_are_refused(order: list[int], context: SourceContext) -> None:
    spec = {"schedule": {"entries": [ENTRIES[i] for i in order]}}
    with pytest.raises(SourceNeedsHuman, match="ordered"):
        make_source(signal(spec), context)


# --- times -----------------------------------------------------------------------------------------


def test_a_repeated_hour_is_told_apart_by_the_row_before_it() -> None:
    first = to_epoch(datetime(2026, 10, 25, 2, 30), BERLIN)
    second = to_epoch(datetime(2026, 10, 25, 2, 30), BERLIN, after=first)
    assert second - first == 3600


@given(st.integers(min_value=0, max_value=366 * 86_400))
def test_a_local_time_that_was_read_off_a_clock_exists(seconds: int) -> None:
    local = datetime.fromtimestamp(at("2026-01-01T00:00:00+01:00") + seconds, ZoneInfo(BERLIN))
    assert exists(local)


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("RFC3339", "2026-11-22T12:00:00+08:00", NOON),
        ("RFC3339", "2026-11-22T04:00:00Z", NOON),
        ("EpochSeconds", NOON, NOON),
        ("EpochSeconds", str(int(NOON)), NOON),
        ("EpochMilliseconds", NOON * 1000, NOON),
    ],
)
def test_times_are_read_in_the_declared_format(form: str, value: Any, expected: float) -> None:
    assert parse_time(value, None, form, "x") == expected


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("EpochSeconds", NOON * 1000),
        ("EpochSeconds", 10**400),
        ("EpochSeconds", "noon"),
        ("RFC3339", NOON),
    ],
)
def test_a_time_in_another_format_is_refused(form: str, value: Any) -> None:
    with pytest.raises(SourceNeedsHuman):
        parse_time(value, None, form, "x")


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(SourceNeedsHuman, match="Mars/Olympus"):
        to_epoch(datetime(2026, 1, 1), "Mars/Olympus")
