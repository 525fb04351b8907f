"""The snapshot as planner and governor see it: feeds with bounds and prices, placements with verdicts.

Built once per decision, from sorted collections, so that the order of the input never matters. It
decides nothing: it says what may be touched and why not. Neighbours: `core/planner/planner.py`,
`core/governor/governor.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wattshift.core.freshness import member_of, untouchable
from wattshift.core.load.demand import (
    Load,
    Reach,
    cache_capacity,
    capacity_of,
    floor_of,
    gateway_shares,
    load_of,
    needed_concurrency,
    reach,
)
from wattshift.core.load.guard import NO_REPLICA, freeze, judge, merge
from wattshift.core.model import (
    Allowed,
    ConnectionState,
    Origin,
    OverrideMode,
    PlacementState,
    SiteState,
    Snapshot,
    WorkloadState,
)
from wattshift.core.power.power import FeedKey, FeedPower, estimate
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.power.watts import commanded_replicas, connection_of, facility_terms
from wattshift.core.reasons import Reason
from wattshift.core.survey.full_load import FullLoad, full_load
from wattshift.core.survey.limits import limits_of
from wattshift.core.survey.prices import carbon_intensity
from wattshift.core.survey.views import Feed, Job, Spot, Survey, Why

__all__ = ["Feed", "Job", "Spot", "Survey", "survey", "survey_one"]


def survey(snapshot: Snapshot, now: float, *, lead_seconds: float = 0.0) -> Survey:
    """Judge everything in a snapshot; `lead_seconds` counts events that start within it."""
    return _survey(snapshot, now, lead_seconds, None)


def survey_one(snapshot: Snapshot, now: float, key: str) -> Survey | None:
    """The survey with one job only, all others counted in power and devices; None = it is gone."""
    if all(row.key != key for row in snapshot.workloads):
        return None
    return _survey(snapshot, now, 0.0, key)


def _survey(snapshot: Snapshot, now: float, lead_seconds: float, only: str | None) -> Survey:
    powers = estimate(snapshot, now)
    feeds = _feeds(snapshot, powers, now, lead_seconds)
    profiles = {profile.name: profile for profile in snapshot.profiles}
    where: dict[tuple[str, str], tuple[SiteState, Feed | None, Why]] = {}
    for site in snapshot.sites:
        for member in site.members:
            feed = feeds.get((site.name, connection_of(site, member.name)))
            where[site.name, member.name] = (site, feed, _site_why(site, member.name))
    context = _Context(where=where, profiles=profiles)
    accelerators, declared = _accelerators(snapshot)
    jobs = []
    for workload in sorted(snapshot.workloads, key=lambda row: row.key):
        _reserve(workload, profiles, accelerators)
        if only is None or workload.key == only:
            jobs.append(_job(_ordered(workload), snapshot, context, now))
    return Survey(
        snapshot=snapshot,
        now=now,
        feeds=feeds,
        jobs=tuple(jobs),
        accelerators=accelerators,
        declared=declared,
    )


def _feeds(
    snapshot: Snapshot, powers: dict[FeedKey, FeedPower], now: float, lead_seconds: float
) -> dict[FeedKey, Feed]:
    feeds: dict[FeedKey, Feed] = {}
    known = [carbon_intensity(site, now) for site in snapshot.sites]
    dirtiest = max((grams for grams in known if grams is not None), default=None)
    for site, grams in sorted(zip(snapshot.sites, known, strict=True), key=lambda row: row[0].name):
        terms = facility_terms(site, now)
        rows: list[ConnectionState | None] = [*site.connections] or [None]
        for connection in rows:
            key = (site.name, connection.name if connection else "")
            others = sum(
                power.upper_watts
                for other, power in powers.items()
                if other[0] == site.name and other != key
            )
            feeds[key] = Feed(
                site=site,
                connection=connection,
                terms=terms,
                power=powers[key],
                limits=limits_of(
                    site,
                    connection,
                    terms,
                    now,
                    other_watts=others,
                    lead_seconds=lead_seconds,
                ),
                # unknown carbon is not clean: it counts like the dirtiest grid that is known
                grams=dirtiest if grams is None else grams,
            )
    return feeds


def _accelerators(snapshot: Snapshot) -> tuple[dict[tuple[str, str], int], frozenset[str]]:
    free: dict[tuple[str, str], int] = {}
    for site in snapshot.sites:
        for row in site.accelerators:
            key = (site.name, row.resource_name)
            seen = row.count if row.allocatable is None else min(row.count, row.allocatable)
            free[key] = free.get(key, 0) + seen
    return free, frozenset(site.name for site in snapshot.sites if site.accelerators)


def _ordered(workload: WorkloadState) -> WorkloadState:
    """Placements and origins by name, so that no tie depends on the order in which they are written."""
    places = [row.name for row in workload.placements]
    origins = [row.name for row in workload.origins]
    if places == sorted(places) and origins == sorted(origins):
        return workload
    return replace(
        workload,
        placements=tuple(sorted(workload.placements, key=lambda row: row.name)),
        origins=tuple(sorted(workload.origins, key=lambda row: row.name)),
    )


def _reserve(
    workload: WorkloadState,
    profiles: dict[str, PowerProfile],
    free: dict[tuple[str, str], int],
) -> None:
    """Take the devices of what runs, was asked for, or an open hand-over will ask for."""
    intent = workload.intent
    for placement in workload.placements:
        count = max(commanded_replicas(placement) or 0, placement.ready_replicas or 0)
        if intent is not None and intent.destination_name == placement.name:
            count = max(count, intent.destination_replicas)
        profile = profiles.get(placement.profile_name)
        if not count or profile is None:
            continue
        key = (placement.site_name, profile.resource_name)
        if key in free:
            free[key] -= count * profile.devices_per_replica


def _site_why(site: SiteState, cluster_name: str) -> Why:
    if not site.accepted:
        return Reason.NOT_ACCEPTED, f"site {site.name} is not accepted"
    words = untouchable(member_of(site, cluster_name))
    if words:
        return Reason.MEMBER_LOST, words
    if site.override is not None and site.override.mode is not OverrideMode.PIN:
        reason = (
            Reason.OVERRIDE_HOLD
            if site.override.mode is OverrideMode.HOLD
            else Reason.OVERRIDE_RELEASE
        )
        return reason, f"site {site.name}: {site.override.reason} ({site.override.requested_by})"
    return None


def _frozen(placement: PlacementState) -> Why:
    if not placement.target_found:
        return Reason.TARGET_NOT_FOUND, f"{placement.name}: the target does not exist"
    if placement.target_problem:
        try:
            reason = Reason(placement.target_problem)
        except ValueError:
            reason = Reason.TARGET_NOT_FOUND
        return reason, f"{placement.name}: {placement.target_problem}"
    if placement.rival:
        return Reason.CONFLICT, f"{placement.name}: somebody else writes its replicas"
    if placement.observed_replicas is None:
        return Reason.TARGET_NOT_FOUND, f"{placement.name}: its replicas are unknown"
    return None


@dataclass(slots=True, kw_only=True)
class _Context:
    """What all jobs of a survey share."""

    where: dict[tuple[str, str], tuple[SiteState, Feed | None, Why]]
    """By site and cluster."""
    profiles: dict[str, PowerProfile]
    trips: dict[str, dict[str, int]] = field(default_factory=dict)
    """Round trips by site and origin, ms."""
    reached: dict[tuple[bool, tuple[Origin, ...]], dict[str, Reach]] = field(default_factory=dict)
    """By kind of entry and origins, then by site: many workloads may have the same users."""

    def reach(self, site: SiteState, origins: tuple[Origin, ...], *, by_origin: bool) -> Reach:
        """How a site lies to these origins."""
        known = self.trips.get(site.name)
        if known is None:
            known = self.trips[site.name] = dict(site.origin_round_trip_milliseconds)
        return reach(site.name, known, origins, by_origin=by_origin)


_NO_ORIGINS = Reach()


def _job(workload: WorkloadState, snapshot: Snapshot, context: _Context, now: float) -> Job:
    where, profiles, origins = context.where, context.profiles, workload.origins
    stale = snapshot.settings.scrape_stale_intervals
    head_room = snapshot.settings.head_room_permille
    outside = workload.batch is not None and workload.batch.external_dispatch
    # an entry that routes by origin sends each where it may go: one that reaches is enough
    by_origin = Allowed.SHIFT_TRAFFIC in workload.actions
    ways = context.reached.setdefault((by_origin, origins), {})
    spots = []
    queued = gateway_shares(workload, now)
    for index, placement in enumerate(workload.placements):
        site: SiteState | None
        there = where.get((placement.site_name, placement.cluster_name))
        if there is not None:
            site, feed, why = there
        else:
            site, feed = None, None
            why = (Reason.MEMBER_LOST, f"{placement.name}: its cluster is not a member")
        profile = profiles.get(placement.profile_name)
        way = _NO_ORIGINS
        if site is not None and origins:
            if site.name not in ways:
                ways[site.name] = context.reach(site, origins, by_origin=by_origin)
            way = ways[site.name]
        commanded = commanded_replicas(placement)
        verdict = NO_REPLICA
        if commanded or placement.ready_replicas or placement.observed_replicas is None:
            verdict = judge(
                placement,
                workload.objectives,
                wall_time=snapshot.wall_time,
                round_trip_milliseconds=way.longest,
                least_round_trip_milliseconds=way.least,
                gateway_waiting=queued[index],
                stale_intervals=stale,
            )
        spots.append(
            Spot(
                index=index,
                state=placement,
                feed=feed,
                profile=profile,
                replicas=commanded or 0,
                capacity=min(capacity_of(placement, profile), cache_capacity(placement, head_room)),
                verdict=verdict,
                frozen=why or _frozen(placement) or _no_power(placement, profile),
                no_raise=_no_raise(placement, feed, way.far),
                outside=outside,
            )
        )
    _freeze(workload, spots, snapshot)
    verdicts = tuple(spot.verdict for spot in spots)
    known = full_load(workload, spots, load_of(workload, verdicts, now), snapshot)
    standing = sum(spot.replicas for spot in spots)
    if any(spot.replicas > 0 and spot.capacity <= 0 for spot in spots):
        unknown = Load(concurrency=None, source="a replica that serves has no capacity profile")
        known = FullLoad(load=unknown, room=1.0)
    load, need = known.load, None
    if load.concurrency is not None:
        need = needed_concurrency(load.concurrency, known.room, workload.growth_permille)
    return Job(
        state=workload,
        spots=tuple(spots),
        verdict=merge(tuple(row.verdict for row in spots if row.replicas > 0)),
        load=load,
        need=need,
        floor=floor_of(workload, standing),
        standing=standing,
        vector=tuple([spot.replicas for spot in spots]),
        when_full=known.by_origin,
    )


def _freeze(workload: WorkloadState, spots: list[Spot], snapshot: Snapshot) -> None:
    """After a violation anywhere a workload's savings keep still for its dwell time."""
    times = [row.veto_wall_time for row in workload.placements if row.veto_wall_time is not None]
    if not times or not workload.objectives:
        return
    since = snapshot.wall_time - max(times)
    dwell = workload.min_dwell_seconds / max(1.0, snapshot.speed)
    for spot in spots:
        spot.verdict = freeze(spot.verdict, seconds_since=since, dwell_seconds=dwell)


def _no_power(placement: PlacementState, profile: PowerProfile | None) -> Why:
    if profile is None:
        name = placement.profile_name
        what = f"no power profile {name!r}" if name else "powerProfileName is not set"
        return Reason.PROFILE_NOT_FOUND, f"{placement.name}: {what}: name one that exists"
    if not profile.has_power:
        return (
            Reason.PROFILE_HAS_NO_POWER,
            f"{placement.name}: nobody has published the watts of {profile.name}",
        )
    return None


def _no_raise(placement: PlacementState, feed: Feed | None, far: str) -> Why:
    if far:
        return Reason.CAPACITY_SHORT, far
    if placement.unschedulable:
        return (
            Reason.DESTINATION_UNSCHEDULABLE,
            f"pods of {placement.name} cannot be scheduled",
        )
    if feed is not None and feed.site.emergency:
        return Reason.EMERGENCY, f"{feed.site.name}: {feed.site.emergency}"
    if feed is not None and feed.limits.frozen:
        return Reason.SITE_LIMIT, f"{feed.site.name}: {feed.limits.frozen}"
    return None
