"""What ramps count from: the last minute of committed power, by connection."""

from __future__ import annotations

from dataclasses import replace

from wattshift.core.power.power_memory import RecentPower
from wattshift.core.decision import SiteOutlook

KEY = ("east", "feed")


def row(
    watts: int | None,
    connection: str = "feed",
    *,
    metered: int | None = None,
    upper: int | None = None,
) -> SiteOutlook:
    return SiteOutlook(
        site_name="east",
        connection_name=connection,
        measured_watts=metered,
        estimated_watts=watts,
        upper_watts=upper,
        lower_watts=None,
        binding="",
        shadow_price_per_kilowatt_hour=None,
    )


def test_the_lowest_and_the_highest_of_the_last_minute():
    here = RecentPower()
    for time, watts in ((0, 9000), (50, 4000), (80, 6000), (100, None)):
        here.note((row(watts),), time)
    assert here.of(KEY, 100) == (4000, 6000, 0, None)
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
    assert here.of(KEY, 50) == (4000, 4000, 0, None)
    assert here.of(("east", "other"), 50) is None


def test_what_was_noted_before_the_clock_was_set_back_is_not_of_the_last_minute_later():
    here = RecentPower()
    for time, watts in ((100, 5000), (140, 9000), (120, 4000)):
        here.note((row(watts),), time)
    assert here.of(KEY, 145) == (4000, 5000, 0, None)


def over(*rows: tuple[float, int, int]) -> float:
    """Watt-seconds that are owed after rows of (time, metered, bound)."""
    here = RecentPower()
    for time, metered, upper in rows:
        here.note((row(metered, metered=metered, upper=upper),), time)
    found = here.of(KEY, rows[-1][0])
    assert found is not None
    return found.over_watt_seconds


def test_a_burst_above_the_bound_is_owed_until_it_is_made_up():
    burst = [(0, 1000, 1000), (1, 1500, 1000), (2, 1300, 1000)]
    assert over(*burst) == 800
    assert over(*burst, (3, 900, 1000)) == 700
    assert over(*burst, (4, 500, 1000)) == 0


def test_what_was_not_made_up_within_a_minute_is_past():
    burst = [(0, 1000, 1000), (1, 3000, 1000)]
    assert over(*burst, (60, 1000, 1000)) == 2000
    assert over(*burst, (61, 1000, 1000)) == 0


def test_the_way_down_to_a_new_bound_is_no_debt():
    assert over((0, 5000, 9000), (1, 5000, 3000), (2, 4000, 3000), (3, 2900, 3000)) == 0
    assert over((0, 5000, 9000), (1, 5000, 3000), (2, 2900, 3000), (3, 3100, 3000)) == 100


def test_without_a_meter_or_a_bound_nothing_is_owed():
    here = RecentPower()
    for time in range(3):
        here.note((row(5000, metered=5000 + time, upper=None if time == 2 else 5000),), time)
    assert here.of(KEY, 2) == (5000, 5000, 0, None)


def test_the_lasting_power_is_the_lowest_without_caps_of_the_last_seconds():
    here = RecentPower()
    for time, watts in ((0, 5000), (50, 7000), (55, 6000), (58, 9000)):
        here.note((replace(row(4000), uncapped_watts=watts),), time)
    assert here.of(KEY, 58).lasting_watts == 5000  # what was noted at 0 held at 48
    assert here.of(KEY, 60).lasting_watts == 6000
    assert here.of(KEY, 66).lasting_watts == 6000
    assert here.of(KEY, 68).lasting_watts == 9000
