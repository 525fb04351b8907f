"""Bursts under an event: seconds of more power that no replica is worth, but that a minute has to make up for.

Load that moves computes its prompts again where it comes, and replicas that come into service take theirs at
once. Caps answer within seconds. What is remembered is in `core/power/power_memory.py`. Neighbour:
`core/governor/hold_under.py`.
"""

from __future__ import annotations

from wattshift.core.survey.survey import Feed

REPAY_SECONDS = 10.0
"""Grid seconds in which caps make up for a burst: well inside the minute that it belongs to."""
COMING = 0.005
"""Share of the bound by which caps stay below it while replicas start: a burst of some seconds in a minute."""
MOST_REPAID = 0.05
"""Share of the bound that is made up for at once: a moment long ago is no reason to stop."""


def owed_watts(feed: Feed, upper_watts: float) -> float:
    """Watts to stay below an event's bound for what was above it just now: it is kept by the minute."""
    if feed.connection is None:
        return 0.0
    return min(feed.connection.over_watt_seconds / REPAY_SECONDS, MOST_REPAID * upper_watts)


def passing_watts(feed: Feed) -> float:
    """Watts that have come only just now: a burst is over before a replica is gone, and caps answer it."""
    lasting = feed.connection.lasting_watts if feed.connection is not None else None
    power = feed.power
    if lasting is None or power.committed_watts is None:
        return 0.0
    return max(0.0, power.committed_watts + power.cap_saved_committed_watts - lasting)
