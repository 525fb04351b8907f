"""Times of sources to epoch seconds: ISO 8601 with a zone, or local times of a declared zone.

A time without a zone is never taken for UTC or for the zone of this machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.reasons import SourceReason

EPOCH_LIMIT_SECONDS = 4_102_444_800
"""The year 2100: more than this is milliseconds taken for seconds."""


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        SourceNeedsHuman: no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise SourceNeedsHuman(
            SourceReason.LOCAL_TIME_INVALID, f"unknown time zone {name!r}: use an IANA name"
        ) from error


def exists(local: datetime) -> bool:
    """Whether an aware local time occurs on the clock (False in the hour that spring skips)."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(fold=0) == local.replace(fold=0)


def is_ambiguous(local: datetime) -> bool:
    """Whether an aware local time occurs twice (the hour that autumn repeats)."""
    return exists(local) and local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def parse_iso(text: str) -> datetime:
    """ISO 8601 to a datetime, aware or naive.

    Raises:
        SourceNeedsHuman: no ISO 8601 time.
    """
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise SourceNeedsHuman(
            SourceReason.ANSWER_NOT_READABLE,
            f"{text.strip()[:40]!r} is no ISO 8601 time (2026-11-22T18:00:00+08:00)",
        ) from None


def to_epoch(moment: datetime, zone_name: str | None, *, after: float | None = None) -> float:
    """Epoch seconds of a time; `after` is the row before, to tell a repeated hour apart.

    Raises:
        SourceNeedsHuman: `LocalTimeInvalid` without a zone, or for an hour that does not exist.
    """
    if moment.tzinfo is not None:
        return moment.timestamp()
    if zone_name is None:
        raise SourceNeedsHuman(
            SourceReason.LOCAL_TIME_INVALID,
            f"{moment.isoformat()} has no zone: write +08:00 after it, or declare timeZone",
        )
    local = moment.replace(tzinfo=zone(zone_name))
    try:
        there = exists(local)
    except OverflowError:
        raise SourceNeedsHuman(
            SourceReason.LOCAL_TIME_INVALID, f"{moment.isoformat()} is no time of this calendar"
        ) from None
    if not there:
        raise SourceNeedsHuman(
            SourceReason.LOCAL_TIME_INVALID,
            f"{moment.isoformat()} does not exist in {zone_name} (daylight saving)",
        )
    first = local.timestamp()
    if after is not None and first <= after and is_ambiguous(local):
        return local.replace(fold=1).timestamp()
    return first


def parse_time(value: str | float, zone_name: str | None, form: str, where: str) -> float:
    """Epoch seconds of a time in a document; `form` is `timeFormat` of the API.

    Raises:
        SourceNeedsHuman: not in that format, or a local time without a zone.
    """
    if form == "RFC3339":
        return to_epoch(parse_iso(str(value)), zone_name)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SourceNeedsHuman(
            SourceReason.ANSWER_NOT_READABLE, f"{where}: {str(value)[:40]!r} is no epoch time"
        )
    seconds = number / 1000 if form == "EpochMilliseconds" else number
    if not 0 <= seconds <= EPOCH_LIMIT_SECONDS:
        raise SourceNeedsHuman(
            SourceReason.ANSWER_NOT_READABLE,
            f"{where}: {number:g} is no time in {form}: check timeFormat",
        )
    return seconds


def utc_text(epoch: float) -> str:
    """A time for people, such as `2026-11-22T10:00:00Z`."""
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{epoch:.0f}"


def local_date(epoch: float, zone_name: str) -> date:
    """The calendar date in a zone."""
    return datetime.fromtimestamp(epoch, zone(zone_name)).date()


def day_start(day: date, zone_name: str) -> float:
    """Epoch seconds of the first instant of a local day."""
    # NB: in a zone that skips midnight, fold=0 reads the offset before the jump, which is the
    # instant of the jump itself
    return datetime.combine(day, time(), tzinfo=zone(zone_name)).timestamp()


def local_clock(
    start: float, end: float, zone_name: str, step_seconds: int
) -> Iterator[tuple[float, datetime]]:
    """(epoch, local time) every `step_seconds` from `start` until before `end`.

    Walks real time and reads the wall clock at each stop, so that days of 23 and 25 hours need
    no special case.
    """
    where = zone(zone_name)
    count = max(0, round((end - start) / step_seconds))
    for index in range(count):
        epoch = start + index * step_seconds
        yield epoch, datetime.fromtimestamp(epoch, where)
