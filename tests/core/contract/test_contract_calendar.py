"""Local time: bands partition every day of every zone, clock changes and special days included."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wattshift.core.contract.calendar import (
    band_at,
    block_start,
    day_segments,
    days_between,
    local,
    months_apart,
    next_band,
    span_bounds,
    start_of_day,
)
from wattshift.core.contract.model import Band, Calendar, Span, Window

from tests.core.contract.tariffs import epoch

ZONES = sorted(
    zone
    for zone in available_timezones()
    if "/" in zone and not zone.startswith(("Etc/", "right/", "posix/", "SystemV/"))
)


def calendar(*bands, zone="Asia/Shanghai", special=()):
    return Calendar("tou", zone, bands, tuple(sorted(special)))


def hours(start, end):
    return Window(start * 60, end * 60)


windows = st.tuples(st.integers(0, 95), st.integers(1, 96)).filter(lambda w: w[0] != w[1])
bands = st.builds(
    lambda name, months, types, spans: Band(
        name, tuple(months), tuple(types), tuple(Window(a * 15, b * 15) for a, b in spans)
    ),
    st.sampled_from(["A", "B", "C"]),
    st.lists(st.integers(1, 12), max_size=3, unique=True),
    st.lists(st.sampled_from(["Workday", "Weekend", "Holiday", "Monday"]), max_size=2, unique=True),
    st.lists(windows, max_size=3),
)


def first_match(bands_, moment, types):
    minute = moment.hour * 60 + moment.minute
    for band in bands_:
        if band.months and moment.month not in band.months:
            continue
        if band.day_types and not types & set(band.day_types):
            continue
        if band.windows and not any(
            (w.start_minute <= minute < w.end_minute)
            if w.start_minute < w.end_minute
            else (minute >= w.start_minute or minute < w.end_minute)
            for w in band.windows
        ):
            continue
        return band.name
    raise AssertionError


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    listed=st.lists(bands, max_size=4),
)
def test_bands_partition_every_day_of_every_zone_and_the_first_match_wins(zone, day, listed):
    cal = calendar(*listed, Band("Rest"), zone=zone)
    start, end = start_of_day(zone, day), start_of_day(zone, day + timedelta(days=1))
    segments = day_segments(cal, day)
    if start == end:  # a zone that jumped over a whole day
        assert segments == ()
        return
    assert segments[0][0] == start
    assert segments[-1][1] == end
    assert all(a[1] == b[0] for a, b in zip(segments, segments[1:], strict=False))
    weekday = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    types = {weekday[day.weekday()], "Weekend" if day.weekday() >= 5 else "Workday"}
    for time in range(start, end, 900):
        moment = datetime.fromtimestamp(time, ZoneInfo(zone))
        assert moment.date() == day
        assert band_at(cal, time)[0] == first_match(cal.bands, moment, types)


@pytest.mark.parametrize(
    ("zone", "day", "quarters"),
    [
        ("Europe/Berlin", (2026, 3, 29), 92),
        ("Europe/Berlin", (2026, 10, 25), 100),
        ("America/Los_Angeles", (2026, 3, 8), 92),
        ("America/Los_Angeles", (2026, 11, 1), 100),
        ("Asia/Shanghai", (2026, 3, 29), 96),
        ("Australia/Lord_Howe", (2026, 4, 5), 98),
    ],
)
def test_days_have_as_many_quarter_hours_as_the_clock_says(zone, day, quarters):
    cal = calendar(Band("Night", windows=(hours(0, 6),)), Band("Day"), zone=zone)
    segments = day_segments(cal, date(*day))
    assert (segments[-1][1] - segments[0][0]) // 900 == quarters
    night = sum(end - start for start, end, name in segments if name == "Night")
    assert night // 900 == 24 + quarters - 96


def test_a_window_that_the_clock_skips_does_not_exist_and_a_repeated_one_counts_twice():
    cal = calendar(Band("Two", windows=(hours(2, 3),)), Band("Rest"), zone="Europe/Berlin")
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    assert [name for _, _, name in day_segments(cal, spring)] == ["Rest"]
    assert sum(e - s for s, e, name in day_segments(cal, autumn) if name == "Two") == 7200


def test_a_window_ends_at_midnight_and_may_wrap_it():
    cal = calendar(Band("Late", windows=(hours(23, 24),)), Band("Rest"))
    zone = "Asia/Shanghai"
    assert band_at(cal, epoch(zone, 2026, 5, 1, 23, 59))[0] == "Late"
    assert band_at(cal, epoch(zone, 2026, 5, 2, 0, 0))[0] == "Rest"
    wrapped = calendar(Band("Night", windows=(hours(22, 6),)), Band("Day"))
    names = [band_at(wrapped, epoch(zone, 2026, 5, 1, hour))[0] for hour in (21, 22, 0, 5, 6)]
    assert names == ["Day", "Night", "Night", "Night", "Day"]


def test_holidays_and_adjusted_working_days_beat_the_weekday():
    zone = "Asia/Shanghai"
    special = [("2026-10-01", "Holiday"), ("2026-10-10", "Workday")]  # a Thursday, a Saturday
    cal = calendar(
        Band("Holiday", day_types=("Holiday",)),
        Band("Work", day_types=("Workday",)),
        Band("Weekend"),
        special=special,
    )
    bands_of = {day: band_at(cal, epoch(zone, 2026, 10, day, 12))[0] for day in (1, 2, 3, 10)}
    assert bands_of == {1: "Holiday", 2: "Work", 3: "Weekend", 10: "Work"}


def test_order_decides_between_bands_that_overlap():
    sharp = Band("Sharp", months=(7,), windows=(hours(14, 15),))
    peak = Band("Peak", windows=(hours(14, 22),))
    now = epoch("Asia/Shanghai", 2026, 7, 1, 14, 30)
    assert band_at(calendar(sharp, peak, Band("Flat")), now)[0] == "Sharp"
    assert band_at(calendar(peak, sharp, Band("Flat")), now)[0] == "Peak"


def test_the_leap_day_belongs_to_february():
    cal = calendar(Band("Feb", months=(2,)), Band("Rest"))
    assert band_at(cal, epoch("Asia/Shanghai", 2028, 2, 29, 12))[0] == "Feb"
    start, end = span_bounds("Asia/Shanghai", Span.MONTH, epoch("Asia/Shanghai", 2028, 2, 29))
    assert (end - start) // 86400 == 29


def test_next_band_skips_days_and_seasons_and_is_none_for_one_band():
    zone = "Asia/Shanghai"
    cal = calendar(Band("Summer", months=(6, 7, 8)), Band("Rest"))
    change = next_band(cal, epoch(zone, 2026, 1, 15))
    assert change == (epoch(zone, 2026, 6, 1), "Summer")
    assert next_band(calendar(Band("Only")), epoch(zone, 2026, 1, 1)) is None


@given(
    zone=st.sampled_from(ZONES),
    time=st.integers(1_577_836_800, 1_893_456_000),
    minutes=st.sampled_from([5, 15, 30, 60]),
)
@settings(max_examples=200, deadline=None)
def test_blocks_align_to_the_local_hour_and_hold_their_moment(zone, time, minutes):
    start = block_start(zone, time, minutes)
    assert start <= time < start + minutes * 60
    assert local(zone, start).minute % minutes == 0 or local(zone, start).utcoffset().seconds % 60


@given(zone=st.sampled_from(ZONES), time=st.integers(1_577_836_800, 1_893_456_000))
@settings(max_examples=200, deadline=None)
def test_months_tile_the_year(zone, time):
    start, end = span_bounds(zone, Span.YEAR, time)
    month = start
    count = 0
    while month < end:
        month = span_bounds(zone, Span.MONTH, month)[1]
        count += 1
    assert (month, count) == (end, 12)


def test_days_between_counts_local_days():
    zone = "Europe/Berlin"
    start, end = span_bounds(zone, Span.MONTH, epoch(zone, 2026, 10, 10))
    assert days_between(zone, start, end) == 31
    assert days_between(zone, start, start) == 0


def test_months_apart_crosses_years():
    assert months_apart("2025-12", "2026-10") == 10
