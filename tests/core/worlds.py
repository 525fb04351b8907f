"""Random worlds for property tests, and what is left of a world after a decision was carried out.

Worlds are consistent: the load of a workload is spread over what serves, meters may agree with the
model, and every count was found as it is. Keywords of `worlds` switch parts off that a property is
not about. Neighbours: `build.py` (the values), `loop.py` (closed loops).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, settings, strategies as st
from tests.core.build import (
    NOW,
    PROFILE,
    batch,
    connection,
    engine,
    event,
    placement,
    quote,
    reading,
    signal,
    site,
    snapshot,
    supply,
    workload,
)
from wattshift.core.decision import Decision
from wattshift.core.model import (
    AcceleratorState,
    Allowed,
    FacilityPoint,
    Firmness,
    MemberPhase,
    Origin,
    Original,
    PlacementState,
    SiteState,
    Snapshot,
    Tier,
    WorkloadState,
)
from wattshift.core.power.power import FeedPower, estimate
from wattshift.core.units import Quantity

NAMES = ("a", "b", "c", "d")
FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
"""The same worlds in every build; raise `max_examples` to search for more."""
CURVE = (FacilityPoint(temperature_millicelsius=20_000, fixed_watts=300, marginal_permille=1200),)
PRICES = ("-0.10", "0.00", "0.25", "0.30", "0.31", "0.80", "4.00")
ORIGINS = ("north", "south", "west")
LIMITS = (900, 4000, 9000, 20_000, None, None)


@st.composite
def sites(
    draw: st.DrawFn,
    names: Sequence[str],
    *,
    events: bool = True,
    lower: bool = True,
    unknown: bool = True,
    ahead: bool = True,
    ramps: bool = True,
    limits: tuple[int | None, ...] = LIMITS,
    prices: tuple[str, ...] = PRICES,
) -> tuple[SiteState, ...]:
    rows = []
    for name in names:
        price = draw(st.sampled_from([*prices, None] if unknown else prices))
        own = draw(st.sampled_from([(), (), (supply(2500.0),)]))
        direct = "0.05" if own else None
        later = draw(st.sampled_from([None, *prices])) if ahead else None
        feed = connection(
            limit=draw(st.sampled_from(limits)),
            price=None if price is None else quote(price, direct=direct),
            price_ahead=() if later is None else ((NOW + 1800, quote(later, direct=direct)),),
            metered=draw(st.sampled_from([None, reading(None)])) if unknown else None,
            contract_maximum_watts=draw(st.sampled_from([None, None, 5000])),
        )
        found = tuple(
            event(
                f"e{i}",
                upper=draw(st.sampled_from([None, 500, 2500, 20_000])),
                lower=draw(st.sampled_from([None, None, 1000, 9000])) if lower else None,
                firmness=draw(st.sampled_from(list(Firmness))),
                start=draw(st.sampled_from([NOW - 60, NOW + 100, NOW + 2000])),
            )
            for i in range(draw(st.integers(0, 2)) if events else 0)
        )
        phases = [MemberPhase.READY] * 9 + ([MemberPhase.LOST] if unknown else [])
        carbon = draw(st.sampled_from([None, 50.0, 400.0, 800.0]))
        rows.append(
            site(
                name,
                feed=feed,
                events=found,
                phase=draw(st.sampled_from(phases)),
                facility=draw(st.sampled_from([(), CURVE])),
                supplies=own,
                accelerators=(
                    AcceleratorState(
                        resource_name="nvidia.com/gpu",
                        profile_name="h100",
                        count=draw(st.sampled_from([6, 12, 64])),
                    ),
                ),
                ramp_up_watts_per_minute=draw(st.sampled_from([None, 1500])) if ramps else None,
                ramp_down_watts_per_minute=draw(st.sampled_from([None, 1500])) if ramps else None,
                signals=()
                if carbon is None
                else (
                    signal(
                        "carbon",
                        Quantity.CARBON_INTENSITY_AVERAGE,
                        carbon,
                        unit="GramPerKilowattHour",
                    ),
                ),
                origin_round_trip_milliseconds=tuple(
                    (origin, draw(st.sampled_from([5, 40, 90]))) for origin in ("users", *ORIGINS)
                ),
            )
        )
    return tuple(rows)


@st.composite
def served(
    draw: st.DrawFn, names: Sequence[str], *, blind: bool = True
) -> tuple[PlacementState, ...]:
    """Placements of one workload with its load spread over them."""
    counts = [draw(st.integers(0, 5)) for _ in names]
    share = draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.5, 0.8, 1.2]))
    load = share * 14 * sum(counts)
    hidden = blind and draw(st.integers(0, 7)) == 0
    rows = tuple(
        placement(
            name,
            count,
            min_replicas=draw(st.sampled_from([0, 0, 0, 1])),
            max_replicas=draw(st.sampled_from([4, 8])),
        )
        for name, count in zip(names, counts, strict=True)
    )
    return rows if hidden else spread(rows, load)


def spread(rows: tuple[PlacementState, ...], load: float) -> tuple[PlacementState, ...]:
    """Engines that share a load by the replicas that serve; more than 20 each is too slow."""
    total = sum(row.in_service_replicas or 0 for row in rows)
    found = []
    for row in rows:
        count = row.in_service_replicas or 0
        if not count:
            found.append(replace(row, engine=None))
            continue
        here = load * count / total
        late = here / count > 20
        stats = engine(
            min(here, 20.0 * count),
            pods=count,
            good=1000 if load else 0,
            bad=400 if late else 0,
            waiting=int(here - 20 * count) if late else 0,
            waited=2.0 if late else 0.0,
            idle_seconds=0.0 if load else 3600.0,
            first_tokens_per_second=10.0 if load else 0.0,
            kv_cache_usage=min(1.0, here / count / 25),
        )
        found.append(replace(row, engine=stats))
    return tuple(found)


@st.composite
def jobs(
    draw: st.DrawFn,
    names: Sequence[str],
    *,
    most: int = 3,
    held: bool = True,
    routed: bool = True,
    blind: bool = True,
) -> tuple[WorkloadState, ...]:
    found = []
    for i in range(draw(st.integers(1, most))):
        kinds = ["plain", "plain"] + (["routed"] if routed else []) + (["held"] if held else [])
        kind = draw(st.sampled_from(kinds))
        rows = draw(served(names, blind=blind))
        shared = {
            "tier": draw(st.sampled_from(list(Tier))),
            "min_replicas": draw(st.integers(0, 2)),
            "min_dwell_seconds": draw(st.sampled_from([0, 900])),
            "max_replicas": draw(st.sampled_from([10, 40])),
        }
        if kind == "held":
            bare = tuple(replace(row, engine=None, min_replicas=0) for row in rows)
            backlog = draw(st.sampled_from([None, 0.0, 500.0]))
            shared |= {"min_replicas": 0}
            found.append(batch(f"w{i}", placements=bare, backlog=backlog, **shared))
            continue
        if kind == "routed":
            limits = [draw(st.sampled_from([60, 100, None])) for _ in ORIGINS]
            shared |= {
                "actions": (Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
                "origins": tuple(
                    Origin(name=name, share_permille=share, max_round_trip_milliseconds=limit)
                    for name, share, limit in zip(ORIGINS, (500, 300, 200), limits, strict=True)
                ),
            }
        found.append(workload(f"w{i}", rows, **shared))
    return tuple(found)


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    most_sites: int = 3,
    most_jobs: int = 3,
    events: bool = True,
    lower: bool = True,
    unknown: bool = True,
    ahead: bool = True,
    ramps: bool = True,
    held: bool = True,
    routed: bool = True,
    limits: tuple[int | None, ...] = LIMITS,
    prices: tuple[str, ...] = PRICES,
) -> Snapshot:
    """A whole world; `unknown` = prices, meters, members and engines may be unknown."""
    names = NAMES[: draw(st.integers(2, most_sites))]
    rows = draw(
        sites(
            names,
            events=events,
            lower=lower,
            unknown=unknown,
            ahead=ahead,
            ramps=ramps,
            limits=limits,
            prices=prices,
        )
    )
    found = draw(jobs(names, most=most_jobs, held=held, routed=routed, blind=unknown))
    base = snapshot(found, rows)
    carbon = draw(st.sampled_from(["0", "200"]))
    return replace(
        base,
        settings=replace(base.settings, carbon_price_per_tonne=carbon, max_actions_per_site=9),
    )


def counts(job: WorkloadState) -> dict[str, int]:
    """Commanded replicas by placement."""
    return {
        row.name: row.observed_replicas or 0
        if row.desired_replicas is None
        else row.desired_replicas
        for row in job.placements
    }


def load(job: WorkloadState) -> float | None:
    """Sequences in flight and waiting; None = engines do not tell."""
    rows = [row for row in job.placements if row.in_service_replicas]
    if any(row.engine is None for row in rows):
        return None
    return sum(row.engine.concurrency + row.engine.waiting for row in rows if row.engine)


def targets(decision: Decision) -> dict[str, int]:
    return {row.placement_name: row.replicas for row in decision.targets}


def carried_out(here: Snapshot, decisions: Iterable[Decision], *, raises: bool = False) -> Snapshot:
    """The world once decisions have taken effect; `raises` = what they lower still stands.

    The load is the same and spreads over what serves now.
    """
    wanted = {row.workload_key: targets(row) for row in decisions}
    found = []
    for job in here.workloads:
        goal = wanted.get(job.key)
        if goal is None:
            found.append(job)
            continue
        rows = []
        for row in job.placements:
            before = row.observed_replicas or 0
            count = max(goal[row.name], before) if raises else goal[row.name]
            rows.append(
                replace(
                    row,
                    observed_replicas=count,
                    ready_replicas=count,
                    in_service_replicas=count,
                    desired_replicas=count,
                    last_written_replicas=count,
                )
            )
        total = load(job)
        outside = job.batch is not None
        placed = tuple(rows) if total is None or outside else spread(tuple(rows), total)
        found.append(replace(job, placements=placed, originals=captured(job, goal)))
    return replace(here, workloads=tuple(found))


def captured(job: WorkloadState, goal: dict[str, int]) -> tuple[Original, ...]:
    """What the operator writes down before the first deviation, and drops when all is as found."""
    rows = job.originals or tuple(
        Original(
            placement_name=row.name,
            cluster_uid=f"uid-{row.cluster_name}",
            target_uid=f"uid-{row.name}",
            replicas=row.observed_replicas or 0,
            captured_time=NOW,
        )
        for row in job.placements
    )
    return rows if any(goal[row.placement_name] != row.replicas for row in rows) else ()


def asked(here: Snapshot, decisions: Iterable[Decision], now: float = NOW) -> Snapshot:
    """The world right after decisions were written: nothing has started or drained yet."""
    wanted = {row.workload_key: targets(row) for row in decisions}
    found = []
    for job in here.workloads:
        goal = wanted.get(job.key)
        if goal is None:
            found.append(job)
            continue
        rows = tuple(
            replace(
                row,
                desired_replicas=goal[row.name],
                last_written_replicas=goal[row.name],
                observed_replicas=goal[row.name],
                last_write_time=row.last_write_time
                if goal[row.name] == row.observed_replicas
                else now,
            )
            for row in job.placements
        )
        written = captured(job, goal)
        found.append(replace(job, placements=rows, originals=written, last_change_time=now))
    return replace(here, workloads=tuple(found))


def metered(here: Snapshot, factor: float = 1.0) -> Snapshot:
    """The same with a meter at every connection that shows what the model says, times `factor`."""
    powers = estimate(here, NOW)
    return with_feeds(
        here,
        lambda name, feed: replace(
            feed,
            metered=reading(powers[name, feed.name].model_watts * factor),
            model_watts_at_meter=round(powers[name, feed.name].model_watts),
        ),
    )


def with_feeds(here, change):  # type: ignore[no-untyped-def]
    """Every connection changed by `change(site name, connection)`."""
    return replace(
        here,
        sites=tuple(
            replace(row, connections=tuple(change(row.name, feed) for feed in row.connections))
            for row in here.sites
        ),
    )


def dearer(here: Snapshot, name: str, by: str) -> Snapshot:
    """The same with all grid prices of one site raised."""

    def raised(price):  # type: ignore[no-untyped-def]
        if price is None or not price.known:
            return price
        return replace(
            price,
            up=replace(price.up, energy=price.up.energy + Decimal(by)),
            down=replace(price.down, energy=price.down.energy + Decimal(by)),
            grid_energy=price.grid_energy + Decimal(by),
        )

    def change(site_name, feed):  # type: ignore[no-untyped-def]
        if site_name != name:
            return feed
        return replace(
            feed,
            price=raised(feed.price),
            price_ahead=tuple((start, raised(row)) for start, row in feed.price_ahead),
        )

    return with_feeds(here, change)


def powers(here: Snapshot) -> dict[str, FeedPower]:
    """The estimator's view by site."""
    return {key[0]: row for key, row in estimate(here, NOW).items()}


def upper_watts(row: SiteState, *, lead: float = 0.0, soft: bool = True) -> float:
    """Tightest upper bound of a site, by hand; `soft` = voluntary events count too.

    Own supply comes on top of what may be imported.
    """
    feed = row.connections[0]
    own = sum(one.power.value or 0.0 for one in row.supplies if one.power is not None)
    found = [float("inf")]
    if feed.import_limit_watts is not None:
        found.append(feed.import_limit_watts + own)
    if feed.contract_maximum_watts is not None:
        found.append(feed.contract_maximum_watts + own)
    for one in row.events:
        starts = NOW <= one.start_time <= NOW + lead
        if one.upper_watts is None or not (one.active or starts):
            continue
        if soft or one.firmness is not Firmness.VOLUNTARY:
            found.append(one.upper_watts + own)
    return min(found)


def busy_watts(row: SiteState) -> float:
    """Facility watts of one replica at full load."""
    factor = row.facility[0].marginal_permille / 1000 if row.facility else 1.0
    return (PROFILE.busy_watts or 0) * factor
