"""B1: a schedule, as kube-green keeps it: at night, by each site's own clock, its replicas sleep.

Its users are served from sites that are awake; where these have no room, somebody is woken.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from wattshift.core.model import SiteState, Snapshot
from wattshift.sim.policies.base import Orders
from wattshift.sim.policies.handover import Handover
from wattshift.sim.policies.jobs import Flow, Job
from wattshift.sim.policies.pace import Pace
from wattshift.sim.policies.placing import fill, place_all

SLEEP_HOUR, WAKE_HOUR = 22, 6
"""Local hours of the schedule."""


def asleep(site: SiteState, now: float) -> bool:
    """Whether it is night at a site."""
    hour = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(site.time_zone or "UTC")).hour
    return hour >= SLEEP_HOUR or hour < WAKE_HOUR


class NightSchedule:
    """B0 on the sites that are awake."""

    name = "b1"

    def __init__(self) -> None:
        self._pace = Pace()
        self._handover = Handover()

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Follow the clock, then the load."""
        if not self._pace.due(snapshot, now):
            return Orders()
        return place_all(snapshot, lambda job: _awake_first(job, now), handover=self._handover)


def _awake_first(job: Job, now: float) -> Flow:
    night = [asleep(spot.site, now) for spot in job.spots]

    def order(origin: str) -> list[int]:
        near = job.near[origin]
        return [i for i in near if not night[i]] + [i for i in near if night[i]]

    return fill(job, order)
