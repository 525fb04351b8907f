"""Feeds, placements and workloads as planner and governor see them; `core/survey/survey.py` builds them.

Values with a few look-ups; they decide nothing and say what may be touched, and why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattshift.core.load.demand import Load
from wattshift.core.load.guard import GuardVerdict
from wattshift.core.model import ConnectionState, PlacementState, SiteState, Snapshot, WorkloadState
from wattshift.core.power.power import FeedKey, FeedPower
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.power.watts import FacilityTerms
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import FeedLimits, Hardness
from wattshift.core.survey.prices import FeedPrice, price_of

Why = tuple[Reason, str] | None


@dataclass(slots=True, kw_only=True)
class Feed:
    """One connection of a site with its power, bounds and prices."""

    site: SiteState
    connection: ConnectionState | None
    terms: FacilityTerms
    power: FeedPower
    limits: FeedLimits
    grams: float | None = None
    prices: dict[float, FeedPrice] = field(default_factory=dict)
    """By horizon in seconds, filled on demand."""

    @property
    def key(self) -> FeedKey:
        """(site, connection)."""
        return self.power.key

    def room_watts(self, hardness: Hardness = Hardness.VOLUNTARY) -> float:
        """Facility watts that may be added under all bounds at least as hard; never negative.

        Zero while growth is frozen, or a bound exists and the power under it is unknown.
        """
        bound = self.limits.upper_at(hardness)
        if self.limits.frozen:
            return 0.0
        if bound is None or bound.upper_watts is None:
            return float("inf")
        if self.power.committed_watts is None:
            return 0.0
        # device caps are lifted before anything is added
        return max(0.0, bound.upper_watts - self.uncapped_watts)

    @property
    def uncapped_watts(self) -> float:
        """The safe figure as it would be without device power caps."""
        return self.power.upper_watts + self.power.cap_saved_committed_watts

    def excess_watts(self) -> float:
        """Watts above the tightest upper bound; 0 when inside."""
        upper = self.limits.upper_watts
        return 0.0 if upper is None else max(0.0, self.power.upper_watts - upper)


@dataclass(slots=True, kw_only=True)
class Spot:
    """One placement: what it is, what it carries, and what may be done with it."""

    index: int
    state: PlacementState
    feed: Feed | None
    profile: PowerProfile | None
    replicas: int
    """Commanded; 0 where unknown (then `frozen` says so)."""
    capacity: float
    verdict: GuardVerdict
    frozen: Why = None
    """Nothing may be changed here."""
    no_raise: Why = None
    """No new load may come here."""
    load: float = 0.0
    """Sequences that its engines have in decode, as on full replicas (`core/survey/full_load.py`)."""
    own_load: float | None = None
    """Sequences that only this site may serve; kept by `core/planner/local_load.py` once it was asked."""
    outside: bool = False
    """Whether somebody outside holds its work: replicas beside it give it no tokens."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One workload with its placements, load and floor."""

    state: WorkloadState
    spots: tuple[Spot, ...]
    verdict: GuardVerdict
    load: Load
    need: float | None
    """Concurrency to provide, head room and growth included; None = unknown."""
    floor: int
    standing: int
    """Commanded replicas in all."""
    vector: tuple[int, ...]
    """Commanded replicas by placement."""
    when_full: Mapping[str, float] = field(default_factory=dict)
    """By origin: sequences on full replicas for each that its entry counts; 1 where it is missing."""
    key: str = field(init=False)
    """`namespace/name`."""
    outside: bool = field(init=False)
    """Whether somebody outside holds the work, so that zero replicas are safe."""

    def __post_init__(self) -> None:
        """Asked for many times in a tick, so kept."""
        self.key = self.state.key
        self.outside = self.state.batch is not None and self.state.batch.external_dispatch


@dataclass(slots=True, kw_only=True)
class Survey:
    """All feeds and jobs of one snapshot."""

    snapshot: Snapshot
    now: float
    feeds: dict[FeedKey, Feed]
    jobs: tuple[Job, ...]
    accelerators: dict[tuple[str, str], int]
    """Free devices by (site, resource); a site that declares none is not in it."""
    declared: frozenset[str]
    """Sites that declare accelerators."""

    def price(self, feed: Feed, horizon_seconds: float) -> FeedPrice:
        """Price curves of a feed averaged over a horizon; computed once."""
        known = feed.prices.get(horizon_seconds)
        if known is None:
            known = price_of(
                feed.site,
                feed.connection,
                self.snapshot.settings,
                self.now,
                load_watts=feed.power.committed_watts,
                grams=feed.grams,
                horizon_seconds=horizon_seconds,
            )
            feed.prices[horizon_seconds] = known
        return known

    def free_devices(self, spot: Spot) -> float:
        """Devices free for a placement; unlimited where the site declares no accelerators."""
        if spot.profile is None or spot.state.site_name not in self.declared:
            return float("inf")
        return self.accelerators.get((spot.state.site_name, spot.profile.resource_name), 0)
