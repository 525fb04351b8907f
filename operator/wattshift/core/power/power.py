"""Watts of replicas, sites and connections: the estimator of serving.md 4, reconciled with the meter.

A served model draws most of its power while it decodes at all, so watts follow replicas, not
requests. The meter wins; where model and meter disagree by more than 10 % the model is suspect and
events use the higher figure. Neighbours: `core/power/power_profile.py` (terms), `core/survey/limits.py` (bounds).
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.freshness import usable, value_of
from wattshift.core.model import (
    ConnectionState,
    PlacementState,
    SiteState,
    Snapshot,
    WorkloadState,
)
from wattshift.core.power.power_profile import CONCAVITY, WHOLE, PowerProfile, throughput
from wattshift.core.power.watts import (
    FacilityTerms,
    commanded_replicas,
    connection_of,
    facility_terms,
    replica_watts,
    running_replicas,
)
from wattshift.core.reasons import Reason

__all__ = [
    "FacilityTerms",
    "FeedKey",
    "FeedPower",
    "commanded_replicas",
    "connection_of",
    "estimate",
    "facility_terms",
    "is_due",
    "replica_watts",
    "running_replicas",
    "uncapped_watts",
    "watts_of_one",
]

SUSPECT_RESIDUAL = 0.10
"""Share of the metered power by which the model may be off before it is suspect."""
EFFECT_MARGIN_SECONDS = 60.0
"""Wall seconds beyond the drain after which a lowered replica must be seen off."""
FeedKey = tuple[str, str]
"""(site, connection)."""


@dataclass(slots=True, kw_only=True)
class FeedPower:
    """Power at one connection of a site, in facility watts; fields end up rounded by readers."""

    site_name: str
    connection_name: str
    it_watts: float = 0.0
    """Of replicas that run, at their present load."""
    commanded_it_watts: float = 0.0
    """Of the replicas that were asked for, decreases credited until they are due."""
    upper_it_watts: float = 0.0
    """Every replica that runs or was asked for, at full load; decreases credited until they are due."""
    unknown_replicas: int = 0
    """Replicas whose profile has no watts, or whose count is not known."""
    model_watts: float = 0.0
    metered_watts: float | None = None
    now_watts: float | None = None
    """Best figure for this moment: meter brought forward by the model, else the model."""
    committed_watts: float | None = None
    """Best figure once all commands have taken effect; what bounds are compared with."""
    upper_watts: float = 0.0
    """Safe figure for events: committed where metered; 10 % above the model where no meter is
    declared; the higher of both while the model is suspect; every replica busy while unknown."""
    ceiling: bool = False
    """`upper_watts` counts every replica as busy."""
    pending_up_watts: float = 0.0
    """Asked for and not drawn yet."""
    cap_saved_watts: float = 0.0
    """What device power caps take off `now_watts`, by the model."""
    cap_saved_committed_watts: float = 0.0
    """The same of `committed_watts`."""
    passing_it_watts: float = 0.0
    """Of what drains or is capped: nobody knows how much of it is drawn at this moment."""
    suspect: bool = False
    trust: float = 1.0
    """While suspect: what the meter shows of the replicas' watts that the model counts, 0 to 1."""
    reason: Reason | None = None
    message: str = ""

    @property
    def key(self) -> FeedKey:
        """(site, connection)."""
        return (self.site_name, self.connection_name)


def is_due(workload: WorkloadState, placement: PlacementState, now: float, speed: float) -> bool:
    """Whether a lowered count should have been seen off by now, so that its credit ends."""
    if placement.last_write_time is None:
        return True
    wall_seconds = (now - placement.last_write_time) / speed
    # NB: a write "in the future" was made before the clock was set back: long ago, for all we know
    return wall_seconds < 0 or wall_seconds > workload.max_drain_seconds + EFFECT_MARGIN_SECONDS


def estimate(snapshot: Snapshot, now: float) -> dict[FeedKey, FeedPower]:
    """Power of every connection of every site; a site without connections has one named ``.

    `model_watts` is what gather stores as `model_watts_at_meter` when a meter reading arrives.
    """
    profiles = {profile.name: profile for profile in snapshot.profiles}
    feeds: dict[FeedKey, FeedPower] = {}
    feed_by_cluster: dict[tuple[str, str], FeedPower] = {}
    for site in snapshot.sites:
        for name in [row.name for row in site.connections] or [""]:
            feeds[site.name, name] = FeedPower(site_name=site.name, connection_name=name)
        for member in site.members:
            key = (site.name, connection_of(site, member.name))
            if key in feeds:
                feed_by_cluster[site.name, member.name] = feeds[key]
    for workload in snapshot.workloads:
        intent = workload.intent
        destination = intent.destination_name if intent is not None else None
        crowding = _crowding(workload, now, snapshot.speed)
        for placement in workload.placements:
            if (
                placement.name != destination
                and placement.observed_replicas == 0
                and not placement.ready_replicas
                and not placement.desired_replicas
                and not placement.draining_replicas
            ):
                continue
            feed = feed_by_cluster.get((placement.site_name, placement.cluster_name))
            if feed is not None:
                profile = profiles.get(placement.profile_name)
                _add(feed, workload, placement, profile, (snapshot, now, crowding))
    for site in snapshot.sites:
        _finish_site(site, feeds, now)
    return feeds


def _crowding(workload: WorkloadState, now: float, speed: float) -> float:
    """Load of each replica that stays, against now, once what was lowered is gone: its tokens move."""
    here = after = 0
    lowered = False
    for row in workload.placements:
        running, commanded = running_replicas(row), commanded_replicas(row)
        if running is None or commanded is None:
            continue
        stays = min(running, commanded)
        going = running - stays + row.draining_replicas
        if going > 0 and is_due(workload, row, now, speed):
            stays, going = stays + going, 0
        lowered = lowered or going > 0
        here, after = here + stays + going, after + stays
    return here / after if lowered and after > 0 else 1.0


def _add(
    feed: FeedPower,
    workload: WorkloadState,
    placement: PlacementState,
    profile: PowerProfile | None,
    world: tuple[Snapshot, float, float],
) -> None:
    snapshot, now, crowding = world
    running, commanded = running_replicas(placement), commanded_replicas(placement)
    if running is None or commanded is None:
        # a member that cannot be seen still draws power: count what we last knew, at its worst
        known = [placement.last_written_replicas, placement.desired_replicas, commanded, running]
        count = max((row for row in known if row is not None), default=placement.max_replicas)
        running = commanded = count
        feed.unknown_replicas += count
    if profile is None or not profile.has_power:
        feed.unknown_replicas += max(running, commanded)
        return
    draining = placement.draining_replicas
    uncapped = uncapped_watts(workload, placement, running + draining, profile, snapshot)
    busy, idle = float(profile.busy_watts or 0), float(profile.loaded_idle_watts or 0)
    each = uncapped
    if placement.power_cap_permille is not None:
        busy *= placement.power_cap_permille / 1000
        each = min(uncapped, busy)
    if workload.intent and workload.intent.destination_name == placement.name:
        commanded = max(commanded, workload.intent.destination_replicas)
    starting = max(0, (placement.observed_replicas or 0) - running)
    lowered = draining > 0 or commanded < running
    due = lowered and is_due(workload, placement, now, snapshot.speed)
    feed.it_watts += (running + draining) * each + starting * idle
    feed.cap_saved_watts += (running + draining) * (uncapped - each)
    feed.passing_it_watts += draining * each + (running + draining) * (uncapped - each)
    feed.cap_saved_committed_watts += min(running, commanded) * (uncapped - each)
    if due:
        # seen off late: no credit any more
        feed.commanded_it_watts += draining * each
    stays = each
    if crowding > 1 and not due:
        later = watts_of_one(placement, (running + draining) / crowding, profile, snapshot)
        stays = later if placement.power_cap_permille is None else min(later, busy)
    if commanded >= running:
        feed.commanded_it_watts += running * stays + (commanded - running) * max(each, idle)
        feed.pending_up_watts += (commanded - running) * max(each, idle) - starting * idle
    elif due:
        feed.commanded_it_watts += running * each
    else:
        feed.commanded_it_watts += commanded * stays
    most = max(running + draining, commanded, placement.observed_replicas or 0)
    if lowered and not due:
        most = commanded  # credited here as well, or each tick would shed the same replicas again
    feed.upper_it_watts += most * max(busy, each)


def watts_of_one(
    placement: PlacementState,
    running: float,
    profile: PowerProfile,
    snapshot: Snapshot,
    *,
    held_up: float = 0.0,
) -> float:
    """IT watts of each of `running` replicas that share a placement's load, without a cap.

    `held_up`: share of the sequences that would not be in flight without it.
    """
    engine = placement.engine
    concurrency: float | None = None
    output: float | None = None
    prompt: float | None = None
    if engine is not None and running > 0:
        limit = engine.scrape_interval_seconds * snapshot.settings.scrape_stale_intervals
        if engine.age_seconds <= limit:
            concurrency = engine.concurrency * (1 - held_up) / running
            output = engine.output_tokens_per_second / running
            prompt = engine.prompt_tokens_per_second / running
    duty = None if engine is None or concurrency is None else engine.duty
    watts = replica_watts(profile, concurrency, output, prompt, duty=duty)
    assert watts is not None
    return watts


def uncapped_watts(
    workload: WorkloadState,
    placement: PlacementState,
    running: float,
    profile: PowerProfile,
    snapshot: Snapshot,
) -> float:
    """`watts_of_one`, and busy for held work under a cap: it runs as fast as its devices let it."""
    watts = watts_of_one(placement, running, profile, snapshot)
    if placement.power_cap_permille is None:
        return watts
    held = workload.batch is not None and workload.batch.external_dispatch
    if held:
        return max(watts, float(profile.busy_watts or 0))
    part = held_up(placement, running, profile, snapshot)
    if part <= 0:
        return watts
    limit = float(profile.busy_watts or 0) * placement.power_cap_permille / WHOLE
    return max(limit, watts_of_one(placement, running, profile, snapshot, held_up=part))


def held_up(
    placement: PlacementState, running: float, profile: PowerProfile, snapshot: Snapshot
) -> float:
    """Share 0..1 of a placement's sequences that are in flight only because a cap slows tokens down.

    A replica that gives `s` of its throughput holds `s^(-1 / CONCAVITY)` times the sequences; a cap
    above what they draw holds up nothing.
    """
    permille = placement.power_cap_permille
    if permille is None:
        return 0.0
    if watts_of_one(placement, running, profile, snapshot) <= (
        (profile.busy_watts or 0) * permille / WHOLE
    ):
        return 0.0
    return 1.0 - float(throughput(profile, permille) ** (1 / CONCAVITY))


def _finish_site(site: SiteState, feeds: dict[FeedKey, FeedPower], now: float) -> None:
    terms = facility_terms(site, now)
    by_name = {row.name: row for row in site.connections}
    names = list(by_name) or [""]
    fixed = terms.fixed_watts / len(names)
    for name in names:
        _reconcile(feeds[site.name, name], by_name.get(name), fixed, terms.marginal, now)


def _reconcile(
    feed: FeedPower,
    connection: ConnectionState | None,
    fixed: float,
    marginal: float,
    now: float,
) -> None:
    """Let the meter win; bring it forward by what the model says has changed since."""
    other: float | None = 0.0
    if connection is not None and connection.uncontrolled is not None:
        other = value_of(connection.uncontrolled, now)
    base = fixed + (other or 0.0)
    feed.model_watts = base + marginal * feed.it_watts
    change = marginal * (feed.commanded_it_watts - feed.it_watts)
    feed.pending_up_watts *= marginal
    feed.cap_saved_watts *= marginal
    feed.cap_saved_committed_watts *= marginal
    ceiling = base + marginal * feed.upper_it_watts
    blind = feed.unknown_replicas > 0 or other is None
    if connection is None or not usable(connection.metered, now):
        declared = connection is not None and connection.metered is not None
        if blind:
            feed.reason = Reason.POWER_UNKNOWN
            feed.message = (
                "no meter, and the load beside ours is unknown"
                if other is None
                else f"no meter, and the watts of {feed.unknown_replicas} replicas are unknown"
            )
        else:
            feed.now_watts, feed.committed_watts = feed.model_watts, feed.model_watts + change
            feed.message = "by the model"
        feed.suspect = declared
        if declared and feed.reason is None:
            feed.reason, feed.message = Reason.POWER_UNKNOWN, "the meter is silent; by the model"
        feed.ceiling = declared or feed.committed_watts is None
        feed.upper_watts = ceiling
        if not feed.ceiling and feed.committed_watts is not None:
            feed.upper_watts = min(ceiling, feed.committed_watts * (1 + SUSPECT_RESIDUAL))
        return
    assert connection is not None
    metered = value_of(connection.metered, now)
    assert metered is not None
    at_meter = connection.model_watts_at_meter
    reference = feed.model_watts if at_meter is None else float(at_meter)
    feed.metered_watts = metered
    feed.now_watts = metered + feed.model_watts - reference
    feed.committed_watts = feed.now_watts + change
    feed.upper_watts = feed.committed_watts
    residual = metered - reference
    # a drain ends when it ends and a cap saves what it saves: no doubt about the model follows
    allowed = SUSPECT_RESIDUAL * max(abs(metered), 1.0) + marginal * feed.passing_it_watts
    if not blind and abs(residual) > allowed:
        feed.suspect, feed.reason = True, Reason.POWER_MODEL_SUSPECT
        feed.message = f"meter {metered:.0f} W, model {reference:.0f} W: off by {residual:+.0f} W"
        counted = reference - base
        feed.trust = min(1.0, max(0.0, (metered - base) / counted)) if counted > 0 else 0.0
        feed.upper_watts = max(feed.committed_watts, feed.model_watts + change)
