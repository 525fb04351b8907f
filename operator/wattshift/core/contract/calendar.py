"""Local time of a contract: bands of a moment, the next boundary, months, years and blocks.

Windows are local wall-clock time, so a day has 92, 96 or 100 quarter hours; an hour that a clock
change repeats is in its band twice, one that it skips does not exist. Pure; zones come from zoneinfo.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from wattshift.core.contract.model import Band, Calendar, Span

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WORKDAY, WEEKEND, HOLIDAY = "Workday", "Weekend", "Holiday"
DAY_TYPES = (*DAY_NAMES, WORKDAY, WEEKEND, HOLIDAY)
SEARCH_DAYS = 366


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name; raises `ZoneInfoNotFoundError` for an unknown one."""
    return ZoneInfo(name)


def offset_seconds(time_zone: str, epoch: float) -> int:
    """Seconds that local time is ahead of UTC at a moment."""
    offset = datetime.fromtimestamp(epoch, zone(time_zone)).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def local(time_zone: str, epoch: float) -> datetime:
    """Local time of a moment."""
    return datetime.fromtimestamp(epoch, zone(time_zone))


def start_of_day(time_zone: str, day: date) -> int:
    """First moment of a local date, also where a clock change skips midnight."""
    naive = datetime.combine(day, time(), zone(time_zone))
    epoch = int(naive.timestamp())
    # Midnight may not exist (some zones change at 00:00): then the day begins at the transition.
    while local(time_zone, epoch).date() < day:
        epoch += 900
    return epoch


@lru_cache(maxsize=8192)
def span_bounds(time_zone: str, span: Span, epoch: int) -> tuple[int, int]:
    """`[start, end)` of the local month or year that holds a moment."""
    day = local(time_zone, epoch).date()
    if span is Span.YEAR:
        first, after = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    return start_of_day(time_zone, first), start_of_day(time_zone, after)


def days_between(time_zone: str, start: int, end: int) -> int:
    """Local days that `[start, end)` begins or lies in."""
    if end <= start:
        return 0
    return (local(time_zone, end - 1).date() - local(time_zone, start).date()).days + 1


def block_start(time_zone: str, epoch: int, minutes: int) -> int:
    """Start of the metering block that holds a moment; blocks align to the local hour."""
    length = minutes * 60
    offset = offset_seconds(time_zone, epoch)
    return (epoch + offset) // length * length - offset


def day_types(calendar: Calendar, day: date) -> frozenset[str]:
    """Day types of a local date: weekday and Workday or Weekend, or only what a special day says."""
    weekday = day.weekday()
    special = dict(calendar.special_days).get(day.isoformat())
    kind = special or (WEEKEND if weekday >= 5 else WORKDAY)
    # A holiday is no Monday for a tariff that lists weekdays, an adjusted working day no Sunday.
    return frozenset({kind}) if special else frozenset({kind, DAY_NAMES[weekday]})


def _matches(band: Band, day: date, types: frozenset[str], minute: int) -> bool:
    if band.months and day.month not in band.months:
        return False
    if band.day_types and types.isdisjoint(band.day_types):
        return False
    return not band.windows or any(window.covers(minute) for window in band.windows)


@lru_cache(maxsize=4096)
def day_segments(calendar: Calendar, day: date) -> tuple[tuple[int, int, str], ...]:
    """`(start, end, band)` that partition one local date, in order, neighbours merged."""
    tz = zone(calendar.time_zone)
    start = start_of_day(calendar.time_zone, day)
    end = start_of_day(calendar.time_zone, day + timedelta(days=1))
    minutes = {
        minute
        for band in calendar.bands
        for window in band.windows
        for minute in (window.start_minute, window.end_minute)
    }
    cuts = {start, end}
    for minute in minutes:
        naive = datetime.combine(day, time(), tz) + timedelta(minutes=minute)
        cuts |= {int(naive.replace(fold=fold).timestamp()) for fold in (0, 1)}
    transition = _transition(calendar.time_zone, start, end)
    if transition is not None:
        cuts.add(transition)
    ordered = sorted(cut for cut in cuts if start <= cut <= end)
    types = day_types(calendar, day)
    segments: list[tuple[int, int, str]] = []
    for left, right in pairwise(ordered):
        moment = local(calendar.time_zone, left)
        minute = moment.hour * 60 + moment.minute
        name = next(band.name for band in calendar.bands if _matches(band, day, types, minute))
        if segments and segments[-1][2] == name:
            segments[-1] = (segments[-1][0], right, name)
        else:
            segments.append((left, right, name))
    return tuple(segments)


def _transition(time_zone: str, start: int, end: int) -> int | None:
    """The moment inside `(start, end)` at which the offset changes; at most one a day."""
    first = offset_seconds(time_zone, start)
    if offset_seconds(time_zone, end - 1) == first:
        return None
    low, high = start, end - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset_seconds(time_zone, middle) == first else (low, middle)
    return high


def band_at(calendar: Calendar, epoch: float) -> tuple[str, int]:
    """Band of a moment, and the end of its segment (at the latest the end of the local day)."""
    moment = int(epoch // 1)
    day = local(calendar.time_zone, moment).date()
    for start, end, name in day_segments(calendar, day):
        if start <= moment < end:
            return name, end
    raise AssertionError(f"day {day} of calendar {calendar.name} has a gap")  # pragma: no cover


def next_band(calendar: Calendar, epoch: float) -> tuple[int, str] | None:
    """When the band changes next and to what; None when it does not within a year."""
    name, end = band_at(calendar, epoch)
    limit = epoch + SEARCH_DAYS * 86400
    while end < limit:
        following, after = band_at(calendar, end)
        if following != name:
            return end, following
        end = after
    return None


def month_key(time_zone: str, epoch: float) -> str:
    """`2026-07` of a moment."""
    return local(time_zone, epoch).strftime("%Y-%m")


def months_apart(earlier: str, later: str) -> int:
    """Months from `2026-07` to a later `2026-10` (3)."""
    first_year, first_month = (int(part) for part in earlier.split("-"))
    last_year, last_month = (int(part) for part in later.split("-"))
    return (last_year - first_year) * 12 + last_month - first_month


def iso(epoch: float) -> str:
    """RFC 3339 in UTC, for messages."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
