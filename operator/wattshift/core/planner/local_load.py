"""Load that can be served at one site only, where the entry routes by origin. Pure.

Capacity elsewhere is no reserve for it. Neighbours: `core/governor/shed.py` (asks), `core/fleet/classes.py`.
"""

from __future__ import annotations

from wattshift.core.fleet.classes import by_origin, routed
from wattshift.core.survey.survey import Job, Spot


def only_here(job: Job, spot: Spot) -> float:
    """Sequences, head room included, of origins that no other site with a placement may serve.

    Counted once for a site: placements of one site serve them together.
    """
    if spot.own_load is None:
        spot.own_load = _only_at(job, spot.state.site_name)
    return spot.own_load


def _only_at(job: Job, site_name: str) -> float:
    load = job.load.concurrency
    if not routed(job) or job.need is None or not load:
        return 0.0
    sites = {row.feed.site.name: row.feed.site for row in job.spots if row.feed is not None}
    trips = {name: dict(site.origin_round_trip_milliseconds) for name, site in sites.items()}
    measured, total = by_origin(job), 0.0
    for origin in job.state.origins:
        longest = origin.max_round_trip_milliseconds
        if longest is None:
            continue
        reached = [
            name for name, known in trips.items() if known.get(origin.name, longest + 1) <= longest
        ]
        if reached == [site_name]:
            total += measured.get(origin.name, 0.0)
    return total * job.need / load
