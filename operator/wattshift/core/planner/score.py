"""What a target vector costs against staying, in the reporting currency per hour and in parts.

`energy + demand peak + green shortfall + carbon + waste + moves + latency risk`; lower is better,
staying is 0. Weights are prices that a user can read. Power by the same linear model on both sides, so
that changing nothing scores exactly 0. While a price is negative, work goes where most is paid for it,
and no power is burnt for its own sake: waste counts as `lift` says. Neighbours: `core/survey/prices.py`,
`core/planner/candidates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wattshift.core.power.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.survey.prices import Block, FeedPrice
from wattshift.core.survey.survey import Feed, Job, Spot, Survey

WATT_HOURS_PER_KILOWATT_HOUR = 1000.0
WARM_SECONDS = 60.0
"""Both sides run while the destination proves itself."""
PREFILL_SHARE = 0.3
"""Extra uncached prefill of what moved (serving.md 2: 1.15-1.3x over five minutes)."""
PREFILL_SECONDS = 300.0
PARTS = ("energy", "demand", "green", "carbon", "waste", "move", "latency")


@dataclass(slots=True, kw_only=True)
class Score:
    """Cost of a vector against staying; `total` is the sum of the parts."""

    total: float
    parts: dict[str, float]
    watts: dict[FeedKey, float]
    """Change of facility watts by connection."""
    grams_per_hour: float | None
    own_supply: bool = False
    """Some of what is added runs on surplus of own supply."""

    @property
    def reason(self) -> Reason:
        """What saves most."""
        if self.own_supply:
            return Reason.SUPPLY_SURPLUS
        green = self.parts["green"] + self.parts["carbon"]
        best = min(self.parts["energy"], green, self.parts["demand"])
        if best == self.parts["energy"]:
            return Reason.CHEAPER_POWER
        return Reason.GREENER_POWER if best == green else Reason.DEMAND_PEAK


class Pricer:
    """Scores vectors of one job over one horizon; keeps the staying side."""

    def __init__(self, survey: Survey, job: Job, horizon_seconds: float) -> None:
        self._survey = survey
        self._job = job
        self._horizon = horizon_seconds
        self._base = watts_by_feed(job, job.vector)
        self._unit_costs: dict[int, float | None] = {}
        self._short_now: float | None = None
        self._lift: float | None = None

    def price(self, feed: Feed, *, present: bool = False) -> FeedPrice:
        """Price curves over the horizon, or of this moment."""
        return self._survey.price(feed, 0.0 if present else self._horizon)

    def unit_cost(self, spot: Spot) -> float | None:
        """All-in cost of one unit of capacity per hour at a placement; None = price unknown."""
        if spot.index not in self._unit_costs:
            self._unit_costs[spot.index] = self._unit_cost(spot)
        return self._unit_costs[spot.index]

    def present_unit_cost(self, spot: Spot) -> float | None:
        """`unit_cost` at the price of this moment."""
        return self._unit_cost(spot, present=True)

    def _unit_cost(self, spot: Spot, *, present: bool = False) -> float | None:
        if spot.feed is None or spot.profile is None or spot.capacity <= 0:
            return None
        price = self.price(spot.feed, present=present)
        if not price.known:
            return None
        watts = spot.feed.terms.marginal * watts_of(spot, spot.capacity)
        curve = price.down if spot.replicas > 0 else price.up
        rate = curve[0].rate.total + self.lift()
        return watts / WATT_HOURS_PER_KILOWATT_HOUR * rate / spot.capacity

    def lift(self) -> float:
        """Money per kWh on top everywhere while a price is negative: `lift_of` the lowest one."""
        if self._lift is None:
            prices = [self.price(spot.feed) for spot in self._job.spots if spot.feed is not None]
            rates = [row.grid for row in prices]
            self._lift = lift_of(min((row.volumetric for row in rates if row), default=0.0))
        return self._lift

    def score(
        self, vector: tuple[int, ...], taken: Mapping[FeedKey, float] | None = None
    ) -> Score | Reason:
        """Score of a vector, or PriceUnknown (CurrencyNotConvertible) where a price is missing.

        `taken` = watts that others of the same plan add at a connection (negative: take off): a
        surplus is given to one of them only.
        """
        parts = dict.fromkeys(PARTS, 0.0)
        watts = watts_by_feed(self._job, vector)
        for key, base in self._base.items():
            watts[key] = watts.get(key, 0.0) - base
        grams: float | None = 0.0
        own = False
        for key in sorted(watts):
            change = watts[key]
            if abs(change) < 1e-6:
                continue
            price = self.price(self._survey.feeds[key])
            if not price.known:
                return price.reason or Reason.PRICE_UNKNOWN
            curve = price.up if change > 0 else price.down
            others = 0.0 if taken is None else taken.get(key, 0.0)
            skip = max(0.0, others if change > 0 else -others)
            added, surplus = _along(curve, change, parts, skip)
            own = own or (surplus and change > 0)
            grams = None if grams is None or added is None else grams + added
        parts["waste"] = self.lift() * sum(watts.values()) / WATT_HOURS_PER_KILOWATT_HOUR
        once = self._once(vector)
        if isinstance(once, Reason):
            return once
        parts["move"] = once / max(self._horizon / 3600, 1e-9)
        if self._short_now is None:
            self._short_now = self._shortfall(self._job.vector)
        parts["latency"] = self._shortfall(vector) - self._short_now
        return Score(
            total=sum(parts.values()),
            parts=parts,
            watts=watts,
            grams_per_hour=grams,
            own_supply=own,
        )

    def _once(self, vector: tuple[int, ...]) -> float | Reason:
        """Money that a change costs once: starts (now, or again later), overlap, prefill."""
        money = 0.0
        changes = [
            (new - spot.replicas, spot)
            for new, spot in zip(vector, self._job.spots, strict=True)
            if new != spot.replicas
        ]
        moving = any(change > 0 for change, _ in changes)
        for change, spot in changes:
            if spot.feed is None or spot.profile is None:
                continue
            price = self.price(spot.feed)
            if not price.known:
                return price.reason or Reason.PRICE_UNKNOWN
            per_watt_second = (
                spot.feed.terms.marginal
                * max(0.0, (price.grid.volumetric if price.grid else 0.0) + self.lift())
                / WATT_HOURS_PER_KILOWATT_HOUR
                / 3600
            )
            idle = float(spot.profile.loaded_idle_watts or 0)
            busy = float(spot.profile.busy_watts or 0)
            watt_seconds = idle * spot.profile.cold_start_seconds
            if change < 0 and moving:
                watt_seconds = busy * (WARM_SECONDS + self._job.state.max_drain_seconds)
            elif change > 0 and not self._job.outside:
                watt_seconds += (
                    PREFILL_SHARE * PREFILL_SECONDS * prompt_watts(self._job, spot)
                ) / change
            money += abs(change) * watt_seconds * per_watt_second
        return money

    def _shortfall(self, vector: tuple[int, ...]) -> float:
        """Price of missing head room: what the replicas that would restore it cost per hour."""
        need = self._job.need
        if need is None or self._job.outside:
            return 0.0
        missing = need
        for new, spot in zip(vector, self._job.spots, strict=True):
            if new:
                missing -= new * spot.capacity
        if missing <= 0:
            return 0.0
        costs = [self.unit_cost(spot) for spot in self._job.spots]
        return missing * max((cost for cost in costs if cost is not None), default=0.0)


def lift_of(lowest: float) -> float:
    """Twice what the lowest price is below zero: differences stay, and waste costs as much as it earns.

    Equal work is shifted alike at both ends, so that only the power that serves nobody is dearer.
    """
    return 2 * max(0.0, -lowest)


def watts_by_feed(job: Job, vector: tuple[int, ...]) -> dict[FeedKey, float]:
    """Facility watts of a job by connection (without fixed watts), load spread by capacity.

    Batch work runs full; where the load is unknown every replica counts as busy.
    """
    capacity = 0.0
    for new, spot in zip(vector, job.spots, strict=True):
        if new:
            capacity += new * spot.capacity
    use: float | None = None
    if job.load.concurrency is not None and not job.outside:
        use = min(1.0, job.load.concurrency / capacity) if capacity > 0 else 0.0
    watts: dict[FeedKey, float] = {}
    for new, spot in zip(vector, job.spots, strict=True):
        if not new or spot.feed is None or spot.profile is None or not spot.profile.has_power:
            continue
        each = watts_of(spot, None if use is None else use * spot.capacity)
        key = spot.feed.power.key
        watts[key] = watts.get(key, 0.0) + new * each * spot.feed.terms.marginal
    return watts


def watts_of(spot: Spot, concurrency: float | None) -> float:
    """IT watts of one replica: `replica_watts` without token rates, called 100,000 times a plan."""
    profile = spot.profile
    assert profile is not None
    busy = profile.busy_watts or 0
    if concurrency is None:
        return float(busy)
    idle, floor = profile.loaded_idle_watts or 0, profile.floor_watts or 0
    share = concurrency / max(1, profile.max_concurrency_at_objective)
    return idle + min(1.0, concurrency) * (floor - idle) + min(1.0, share) * (busy - floor)


def _along(
    blocks: tuple[Block, ...], change: float, parts: dict[str, float], skip: float = 0.0
) -> tuple[float | None, bool]:
    """Walk `change` watts along a curve from `skip` on; adds to `parts`: (g/h, own supply touched)."""
    sign, left = (1.0, change) if change > 0 else (-1.0, -change)
    grams: float | None = 0.0
    own = False
    for block in blocks:
        part = min(left, max(0.0, block.watts - skip))
        skip = max(0.0, skip - block.watts)
        kilowatts = sign * part / WATT_HOURS_PER_KILOWATT_HOUR
        rate = block.rate
        parts["energy"] += kilowatts * rate.energy
        parts["demand"] += kilowatts * rate.demand
        parts["green"] += kilowatts * rate.green
        parts["carbon"] += kilowatts * rate.carbon
        grams = None if grams is None or rate.grams is None else grams + kilowatts * rate.grams
        own = own or (rate.own_supply and part > 0)
        left -= part
        if left <= 0:
            break
    return grams, own


def prompt_watts(job: Job, spot: Spot) -> float:
    """Extra watts of all prompts of a job if they were computed at a placement."""
    slope = spot.profile.watts_per_prompt_token_per_second if spot.profile else None
    rates = [
        row.state.engine.prompt_tokens_per_second
        for row in job.spots
        if row.state.engine is not None
    ]
    return (slope or 0.0) * sum(rates)
