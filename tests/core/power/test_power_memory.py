"""What ramps count from: the last minute of committed power, by connection."""

from __future__ import annotations

from wattshift.core.power.power_memory import RecentPower
from wattshift.core.decision import SiteOutlook

KEY = ("east", "feed")


def row(watts: int | None, connection: str = "feed") -> SiteOutlook:
    return SiteOutlook(
        site_name="east",
        connection_name=connection,
        measured_watts=None,
        estimated_watts=watts,
        upper_watts=None,
        lower_watts=None,
        binding="",
        shadow_price_per_kilowatt_hour=None,
    )


def test_the_lowest_and_the_highest_of_the_last_minute():
    here = RecentPower()
    for time, watts in ((0, 9000), (50, 4000), (80, 6000), (100, None)):
        here.note((row(watts),), time)
    assert here.of(KEY, 100) == (4000, 6000)
    assert here.of(KEY, 141) is None


def test_nothing_noted_is_no_memory():
    here = RecentPower()
    assert here.of(KEY, 0) is None
    here.note((row(None),), 0)
    assert here.of(KEY, 0) is None


def test_a_connection_that_is_gone_and_a_clock_that_is_set_back_are_forgotten():
    here = RecentPower()
    here.note((row(5000), row(1, "other")), 100)
    here.note((row(4000),), 50)
    assert here.of(KEY, 50) == (4000, 4000)
    assert here.of(("east", "other"), 50) is None


def test_what_was_noted_before_the_clock_was_set_back_is_not_of_the_last_minute_later():
    here = RecentPower()
    for time, watts in ((100, 5000), (140, 9000), (120, 4000)):
        here.note((row(watts),), time)
    assert here.of(KEY, 145) == (4000, 5000)
