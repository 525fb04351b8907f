"""Books over recorded steps: energy, cost, carbon, green match and tokens, against doing nothing.

One estimator values both sides, so that doing nothing saves exactly 0; the difference of the model to
the meter is printed, never spread. Energy is integer joules, money and grams are Decimal. Neighbours:
`core/planner/score.py` (the estimator), `ledger/` (keeps what is printed here).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from wattshift.core.model import Snapshot
from wattshift.core.planner.score import watts_by_feed
from wattshift.core.power.power import FeedKey
from wattshift.core.power.watts import running_replicas
from wattshift.core.restore import original_replicas
from wattshift.core.survey.own_supply import own_supply_watts
from wattshift.core.survey.survey import Feed, Job, Survey, survey

JOULES_PER_KILOWATT_HOUR = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadShare:
    """Watts of one workload at one connection in one step, and what they would have been."""

    workload_key: str
    feed: FeedKey
    it_watts: float
    facility_watts: float
    """Marginal facility watts; the fixed part of the facility belongs to the site."""
    baseline_facility_watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStep:
    """One connection in one step."""

    feed: FeedKey
    model_watts: float
    """Facility watts by the model, fixed part and other declared load included."""
    metered_watts: float | None
    own_supply_watts: float
    price_per_kilowatt_hour: Decimal | None
    """Marginal grid price, all-in, reporting currency."""
    own_price_per_kilowatt_hour: Decimal
    """What a kWh of own supply costs instead of being sold or curtailed; 0 where nobody says."""
    grams_per_kilowatt_hour: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one interval is valued by."""

    start_time: float
    seconds: float
    feeds: tuple[FeedStep, ...]
    shares: tuple[WorkloadShare, ...]
    tokens: tuple[tuple[str, int], ...]
    """(workload, output tokens of the interval)."""


@dataclass(slots=True, kw_only=True)
class Line:
    """Totals of one workload or site; unknown price or carbon is counted apart, never as 0."""

    it_joules: int = 0
    facility_joules: int = 0
    green_joules: int = 0
    """Matched by own supply in the same step."""
    cost: Decimal = Decimal(0)
    grams: Decimal = Decimal(0)
    unpriced_joules: int = 0
    uncounted_joules: int = 0
    """Without a known carbon intensity."""
    tokens: int = 0

    def cost_per_million_tokens(self) -> Decimal | None:
        """Reporting currency per 1M output tokens; None without tokens or with unknown prices."""
        if self.tokens <= 0 or self.unpriced_joules:
            return None
        return self.cost * 1_000_000 / self.tokens

    def grams_per_thousand_tokens(self) -> Decimal | None:
        """gCO2e per 1k output tokens; None without tokens or with unknown carbon."""
        if self.tokens <= 0 or self.uncounted_joules:
            return None
        return self.grams * 1000 / self.tokens

    def green_share(self) -> Decimal | None:
        """Share of the energy matched by own supply step by step; None without energy."""
        if self.facility_joules <= 0:
            return None
        return Decimal(self.green_joules) / Decimal(self.facility_joules)


@dataclass(slots=True, kw_only=True)
class Books:
    """Actual and doing-nothing totals; `add` extends them step by step."""

    seconds: float = 0.0
    workloads: dict[str, Line] = field(default_factory=dict)
    baseline_workloads: dict[str, Line] = field(default_factory=dict)
    sites: dict[str, Line] = field(default_factory=dict)
    baseline_sites: dict[str, Line] = field(default_factory=dict)
    metered_joules: int = 0
    residual_joules: int = 0
    """Meter less model, over the steps that were metered."""

    def add(self, step: Step) -> None:
        """Book one step on both sides by the same rules."""
        self.seconds += step.seconds
        feeds = {row.feed: row for row in step.feeds}
        actual: dict[FeedKey, list[tuple[str, float, float]]] = {key: [] for key in feeds}
        nothing: dict[FeedKey, list[tuple[str, float, float]]] = {key: [] for key in feeds}
        change = dict.fromkeys(feeds, 0.0)
        for share in step.shares:
            if share.feed not in feeds:
                continue
            actual[share.feed].append((share.workload_key, share.facility_watts, share.it_watts))
            nothing[share.feed].append((share.workload_key, share.baseline_facility_watts, 0.0))
            change[share.feed] += share.baseline_facility_watts - share.facility_watts
        for key, row in feeds.items():
            whole = row.model_watts
            _book((self.workloads, self.sites), row, actual[key], whole, step.seconds)
            _book(
                (self.baseline_workloads, self.baseline_sites),
                row,
                nothing[key],
                whole + change[key],
                step.seconds,
            )
            if row.metered_watts is not None:
                metered = round(row.metered_watts * step.seconds)
                self.metered_joules += metered
                self.residual_joules += metered - round(row.model_watts * step.seconds)
        for key2, count in step.tokens:
            for lines in (self.workloads, self.baseline_workloads):
                lines.setdefault(key2, Line()).tokens += count

    def saved(self) -> Line:
        """Doing nothing less actual over all sites: positive = saved; exactly 0 if nothing was done."""
        actual, nothing = _sum(self.sites), _sum(self.baseline_sites)
        return Line(
            facility_joules=nothing.facility_joules - actual.facility_joules,
            green_joules=nothing.green_joules - actual.green_joules,
            cost=nothing.cost - actual.cost,
            grams=nothing.grams - actual.grams,
            unpriced_joules=actual.unpriced_joules + nothing.unpriced_joules,
            uncounted_joules=actual.uncounted_joules + nothing.uncounted_joules,
        )


def record(snapshot: Snapshot, now: float, seconds: float, tokens: dict[str, int]) -> Step:
    """The step that begins at `now` and lasts `seconds`, valued at this snapshot.

    `tokens` are output tokens by workload key over the interval, counted by the caller. Baseline: the
    originals of what we changed, else what runs: untouched placements are equal on both sides.
    """
    world = survey(snapshot, now)
    shares: list[WorkloadShare] = []
    for job in world.jobs:
        shares += _shares(job)
    ours: dict[FeedKey, float] = {}
    for share in shares:
        ours[share.feed] = ours.get(share.feed, 0.0) + share.facility_watts
    feeds = tuple(_feed_step(feed, world, ours.get(feed.key, 0.0)) for feed in world.feeds.values())
    return Step(
        start_time=now,
        seconds=seconds,
        feeds=feeds,
        shares=tuple(shares),
        tokens=tuple(sorted(tokens.items())),
    )


def _shares(job: Job) -> list[WorkloadShare]:
    running, nothing = [], []
    for spot in job.spots:
        count = running_replicas(spot.state) or 0
        original = original_replicas(job.state, spot.state)
        running.append(count)
        nothing.append(count if original is None else original)
    actual = watts_by_feed(job, tuple(running))
    baseline = watts_by_feed(job, tuple(nothing))
    marginal = {spot.feed.key: spot.feed.terms.marginal for spot in job.spots if spot.feed}
    return [
        WorkloadShare(
            workload_key=job.key,
            feed=key,
            it_watts=actual.get(key, 0.0) / marginal[key],
            facility_watts=actual.get(key, 0.0),
            baseline_facility_watts=baseline.get(key, 0.0),
        )
        for key in sorted(actual.keys() | baseline.keys())
    ]


def _feed_step(feed: Feed, world: Survey, ours_watts: float) -> FeedStep:
    price = world.price(feed, 0.0)
    blocks = (*price.up, *price.down)
    own_rates = [block.rate.total for block in blocks if block.rate.own_supply]
    other = feed.power.model_watts - feed.terms.marginal * feed.power.it_watts
    own = 0.0
    if feed.connection is not None:
        own = own_supply_watts(feed.site, world.now, connection_name=feed.connection.name)
    return FeedStep(
        feed=feed.key,
        model_watts=other + ours_watts,
        metered_watts=feed.power.metered_watts,
        own_supply_watts=own,
        own_price_per_kilowatt_hour=_decimal(own_rates[0] if own_rates else 0.0),
        price_per_kilowatt_hour=None if price.grid is None else _decimal(price.grid.volumetric),
        grams_per_kilowatt_hour=None if feed.grams is None else _decimal(feed.grams),
    )


def _book(
    lines: tuple[dict[str, Line], dict[str, Line]],
    feed: FeedStep,
    rows: list[tuple[str, float, float]],
    whole_watts: float,
    seconds: float,
) -> None:
    """Book a connection and its workloads; green energy is split by energy."""
    workloads, sites = lines
    whole = round(whole_watts * seconds)
    green = min(whole, round(feed.own_supply_watts * seconds))
    site = sites.setdefault(feed.feed[0], Line())
    _charge(site, feed, whole, green)
    for key, facility_watts, it_watts in rows:
        line = workloads.setdefault(key, Line())
        joules = round(facility_watts * seconds)
        line.it_joules += round(it_watts * seconds)
        site.it_joules += round(it_watts * seconds)
        _charge(line, feed, joules, green * joules // whole if whole > 0 else 0)


def _charge(line: Line, feed: FeedStep, joules: int, green: int) -> None:
    line.facility_joules += joules
    line.green_joules += green
    bought = Decimal(joules - green) / JOULES_PER_KILOWATT_HOUR
    if feed.price_per_kilowatt_hour is None:
        line.unpriced_joules += joules
    else:
        line.cost += bought * feed.price_per_kilowatt_hour
        line.cost += Decimal(green) / JOULES_PER_KILOWATT_HOUR * feed.own_price_per_kilowatt_hour
    if feed.grams_per_kilowatt_hour is None:
        line.uncounted_joules += joules - green
    else:
        line.grams += bought * feed.grams_per_kilowatt_hour


def _sum(lines: dict[str, Line]) -> Line:
    total = Line()
    for line in lines.values():
        total.it_joules += line.it_joules
        total.facility_joules += line.facility_joules
        total.green_joules += line.green_joules
        total.cost += line.cost
        total.grams += line.grams
        total.unpriced_joules += line.unpriced_joules
        total.uncounted_joules += line.uncounted_joules
        total.tokens += line.tokens
    return total


def _decimal(value: float) -> Decimal:
    """Nine decimals: below any tariff's resolution, and the same for both sides."""
    return Decimal(f"{value:.9f}")
