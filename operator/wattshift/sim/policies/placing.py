"""What the baselines share: load by origin, who reaches whom, replicas for a load, prices, room.

A baseline gets a Snapshot and nothing else. Load that is not known changes nothing. Neighbours: the
`b*.py` files, one rule each; `sim/transport.py` (the flow of those that solve one).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wattshift.core.demand import capacity_of, needed_concurrency
from wattshift.core.freshness import value_of
from wattshift.core.model import Allowed, PlacementState, SiteState, Snapshot, WorkloadState
from wattshift.core.power_profile import PowerProfile
from wattshift.core.prices import carbon_intensity, price_of
from wattshift.core.watts import facility_terms
from wattshift.sim.policies.base import Orders
from wattshift.sim.scenario import Array
from wattshift.sim.transport import Network, ship

Flow = dict[tuple[str, int], float]
"""(origin, spot) -> sequences in flight."""


@dataclass(slots=True, kw_only=True)
class Spot:
    """One placement that may serve."""

    state: PlacementState
    site: SiteState
    profile: PowerProfile
    sequences: float
    """What one replica is planned to carry: its capacity less the head room."""
    most: int
    """Replicas that limits of the workload and free devices allow."""

    @property
    def room(self) -> float:
        """Sequences of all its replicas."""
        return self.sequences * self.most


@dataclass(slots=True, kw_only=True)
class Job:
    """One workload whose load is known."""

    state: WorkloadState
    spots: tuple[Spot, ...]
    loads: dict[str, float]
    """Sequences in flight by origin; one nameless origin where origins are not told apart."""
    near: dict[str, tuple[int, ...]]
    """Spots that an origin may use, nearest first."""

    @property
    def shifts(self) -> bool:
        """Whether the entry follows a split by origin."""
        return Allowed.SHIFT_TRAFFIC in self.state.actions


@dataclass(slots=True, kw_only=True)
class Devices:
    """Devices still free as workloads are placed one after the other."""

    free: dict[tuple[str, str], int] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()

    def replicas(self, site: str, profile: PowerProfile) -> int:
        """Replicas that still fit; practically all where the site declares no devices."""
        if site not in self.declared or profile.devices_per_replica <= 0:
            return 1_000_000
        return self.free.get((site, profile.resource_name), 0) // profile.devices_per_replica

    def take(self, site: str, profile: PowerProfile, count: int) -> None:
        """Use the devices of some replicas."""
        key = (site, profile.resource_name)
        if key in self.free:
            self.free[key] -= count * profile.devices_per_replica


def place_all(
    snapshot: Snapshot,
    rule: Callable[[Job], Flow],
    *,
    most: Callable[[Spot], int] | None = None,
) -> Orders:
    """Apply one rule to all workloads, ordered by key; each sees the devices that are left.

    `most` lowers the replicas of a spot further. Work that can wait runs at once.
    """
    orders, devices = Orders(), _devices(snapshot)
    profiles = {row.name: row for row in snapshot.profiles}
    sites = {row.name: row for row in snapshot.sites}
    for workload in sorted(snapshot.workloads, key=lambda row: row.key):
        job = _job(workload, snapshot, (sites, profiles, devices))
        if job is None:
            for row in workload.placements:
                profile = profiles.get(row.profile_name)
                if profile is not None:
                    devices.take(row.site_name, profile, row.observed_replicas or 0)
            continue
        if most is not None:
            for spot in job.spots:
                spot.most = min(spot.most, most(spot))
        flow = rule(job)
        write(orders, job, flow)
        for spot in job.spots:
            count = orders.replicas[job.state.key, spot.state.name]
            devices.take(spot.site.name, spot.profile, count)
    return orders


def write(orders: Orders, job: Job, flow: Flow) -> None:
    """Whole replicas for a flow, never under the least counts, and the split by origin."""
    totals = [0.0] * len(job.spots)
    for (_, index), amount in flow.items():
        totals[index] += amount
    key = job.state.key
    counts = [
        min(max(math.ceil(total / spot.sequences - 1e-6), spot.state.min_replicas), spot.most)
        for total, spot in zip(totals, job.spots, strict=True)
    ]
    short = job.state.min_replicas - sum(counts)
    for index in sorted(range(len(counts)), key=lambda row: -totals[row]):
        more = min(max(short, 0), job.spots[index].most - counts[index])
        counts[index] += more
        short -= more
    for spot, count in zip(job.spots, counts, strict=True):
        orders.replicas[key, spot.state.name] = count
    if not job.shifts:
        return
    for origin in job.loads:
        parts = {
            job.spots[index].state.name: amount
            for (name, index), amount in flow.items()
            if name == origin and amount > 0
        }
        total = sum(parts.values())
        if total > 0:
            orders.split[key, origin] = {name: part / total for name, part in parts.items()}


# ---- rules ------------------------------------------------------------------------------------


def fill(job: Job, order: Callable[[str], Iterable[int]]) -> Flow:
    """Each origin in turn takes the free room of its spots in its own order.

    What has no room anywhere goes to the origin's first spot, where it waits.
    """
    flow: Flow = {}
    room = [spot.room for spot in job.spots]
    for origin, load in job.loads.items():
        left, choice = load, list(order(origin))
        for index in choice:
            part = min(left, max(room[index], 0.0))
            if part > 0:
                flow[origin, index] = flow.get((origin, index), 0.0) + part
                room[index] -= part
                left -= part
        if left > 1e-9 and choice:
            flow[origin, choice[0]] = flow.get((origin, choice[0]), 0.0) + left
    return flow


def cheapest_flow(job: Job, cost: Sequence[float], before: Flow | None = None) -> Flow:
    """Exact least-cost assignment at `cost` per sequence and spot; ties go to what was `before`."""
    origins = [name for name, load in job.loads.items() if load > 0 and job.near[name]]
    if not origins:
        return {}
    arcs = [(row, index) for row, name in enumerate(origins) for index in job.near[name]]
    demand = np.array([job.loads[name] for name in origins])
    spread = max(cost) - min(cost)
    tie = 1e-5 * (spread or max(abs(row) for row in cost) or 1.0)
    leave = None
    if before is not None:
        parts = [before.get((origins[row], index), 0.0) / demand[row] for row, index in arcs]
        leave = tie * (1.0 - np.minimum(np.array(parts), 1.0))
    done = ship(
        Network(
            classes=len(origins),
            pools=len(job.spots),
            arc_class=np.array([row for row, _ in arcs], dtype=np.int64),
            arc_pool=np.array([index for _, index in arcs], dtype=np.int64),
            block_pool=np.arange(len(job.spots), dtype=np.int64),
        ),
        demand,
        np.array([spot.room for spot in job.spots]),
        np.array(cost, dtype=float),
        leave,
    )
    flow = _flow(done.arcs, origins, arcs)
    for row, name in enumerate(origins):
        if done.unmet[row] > 1e-9 * demand[row]:
            first = job.near[name][0]
            flow[name, first] = flow.get((name, first), 0.0) + float(done.unmet[row])
    return flow


def _flow(amounts: Array, origins: list[str], arcs: list[tuple[int, int]]) -> Flow:
    return {
        (origins[row], index): float(amount)
        for (row, index), amount in zip(arcs, amounts, strict=True)
        if amount > 0
    }


# ---- prices and limits ------------------------------------------------------------------------


def rates(snapshot: Snapshot) -> dict[str, tuple[float, float]]:
    """(money, grams) per kWh of import by site; what is unknown counts like the worst known."""
    now, settings = snapshot.grid_time, snapshot.settings
    money: dict[str, float | None] = {}
    grams: dict[str, float | None] = {}
    for site in snapshot.sites:
        grams[site.name] = carbon_intensity(site, now)
        connection = site.connections[0] if site.connections else None
        price = price_of(site, connection, settings, now, load_watts=None, grams=None)
        money[site.name] = price.up[-1].rate.energy if price.known else None
    dearest = max((row for row in money.values() if row is not None), default=0.0)
    dirtiest = max((row for row in grams.values() if row is not None), default=0.0)
    return {
        name: (
            dearest if (row := money[name]) is None else row,
            dirtiest if (gram := grams[name]) is None else gram,
        )
        for name in money
    }


def per_sequence(
    job: Job, by_site: dict[str, tuple[float, float]], snapshot: Snapshot
) -> list[float]:
    """Money per hour of a sequence in flight at each spot, on full replicas, carbon priced in."""
    carbon = float(snapshot.settings.carbon_price_per_tonne) / 1e6
    costs = []
    for spot in job.spots:
        money, grams = by_site[spot.site.name]
        marginal = facility_terms(spot.site, snapshot.grid_time).marginal
        watts = float(spot.profile.busy_watts or 0) / spot.sequences
        costs.append((money + carbon * grams) * marginal * watts / 1000)
    return costs


def room_watts(site: SiteState, now: float) -> float:
    """IT watts that import limits, running events, cooling and own supply leave; may be infinite."""
    terms = facility_terms(site, now)
    limits = []
    for connection in site.connections:
        rows = [connection.import_limit_watts, connection.contract_maximum_watts]
        rows += [
            event.upper_watts
            for event in site.events
            if event.active and event.connection_name == connection.name
        ]
        limits.append(min((float(row) for row in rows if row is not None), default=math.inf))
        limits[-1] -= value_of(connection.uncontrolled, now) or 0.0
    bound = sum(limits) if limits else math.inf
    bound += sum(value_of(row.power, now) or 0.0 for row in site.supplies)
    it = (bound - terms.fixed_watts) / terms.marginal
    cooling = value_of(site.cooling_limit, now)
    if cooling is not None:
        it = min(it, (cooling - terms.fixed_watts) / terms.marginal)
    return max(0.0, it)


# ---- building ---------------------------------------------------------------------------------


def _devices(snapshot: Snapshot) -> Devices:
    devices = Devices(declared=frozenset(row.name for row in snapshot.sites if row.accelerators))
    for site in snapshot.sites:
        for row in site.accelerators:
            seen = row.count if row.allocatable is None else min(row.count, row.allocatable)
            key = (site.name, row.resource_name)
            devices.free[key] = devices.free.get(key, 0) + seen
    return devices


def _job(
    workload: WorkloadState,
    snapshot: Snapshot,
    context: tuple[dict[str, SiteState], dict[str, PowerProfile], Devices],
) -> Job | None:
    """The workload with its load, or None where that is not known."""
    sites, profiles, devices = context
    factor = needed_concurrency(1.0, snapshot.settings.head_room_permille, workload.growth_permille)
    spots = []
    for row in workload.placements:
        site, profile = sites.get(row.site_name), profiles.get(row.profile_name)
        capacity = capacity_of(row, profile)
        if site is None or profile is None or capacity <= 0 or not row.target_found:
            continue
        spots.append(
            Spot(
                state=row,
                site=site,
                profile=profile,
                sequences=capacity / factor,
                most=min(row.max_replicas, devices.replicas(site.name, profile)),
            )
        )
    loads = _loads(workload, snapshot, spots)
    if loads is None or not spots:
        return None
    near = {origin: _near(workload, spots, origin) for origin in loads}
    if Allowed.SHIFT_TRAFFIC not in workload.actions:
        near = _common(near, spots)
    return Job(state=workload, spots=tuple(spots), loads=loads, near=near)


def _loads(
    workload: WorkloadState, snapshot: Snapshot, spots: list[Spot]
) -> dict[str, float] | None:
    if workload.batch is not None:
        return _batch_load(workload, snapshot, spots)
    if workload.origin_loads:
        return dict(workload.origin_loads)
    total = value_of(workload.demand, snapshot.grid_time)
    if total is None:
        engines = [row.engine for row in workload.placements if row.observed_replicas]
        if not engines or any(row is None for row in engines):
            return None
        total = sum(row.concurrency + row.waiting for row in engines if row is not None)
    shares = {row.name: row.share_permille / 1000 for row in workload.origins} or {"": 1.0}
    whole = sum(shares.values()) or 1.0
    return {name: total * share / whole for name, share in shares.items()}


def _batch_load(
    workload: WorkloadState, snapshot: Snapshot, spots: list[Spot]
) -> dict[str, float] | None:
    """As many full replicas as work the backlog off within the hour."""
    assert workload.batch is not None
    backlog = value_of(workload.batch.backlog_units, snapshot.grid_time)
    rate = workload.batch.units_per_replica_hour
    if backlog is None or not rate or not spots:
        return None
    replicas = min(math.ceil(backlog / rate - 1e-9), workload.max_replicas)
    return {"": replicas * min(spot.sequences for spot in spots)}


def _near(workload: WorkloadState, spots: list[Spot], origin: str) -> tuple[int, ...]:
    limit = next(
        (row.max_round_trip_milliseconds for row in workload.origins if row.name == origin), None
    )
    trips = []
    for index, spot in enumerate(spots):
        trip = dict(spot.site.origin_round_trip_milliseconds).get(origin)
        if trip is None and origin and limit is not None:
            continue
        if limit is None or trip is None or trip <= limit:
            trips.append((trip or 0, index))
    return tuple(index for _, index in sorted(trips))


def _common(near: dict[str, tuple[int, ...]], spots: list[Spot]) -> dict[str, tuple[int, ...]]:
    """Without a split every origin is spread over all that runs: only what all reach, or stands."""
    standing = {i for i, spot in enumerate(spots) if (spot.state.observed_replicas or 0) > 0}
    everywhere = set(range(len(spots)))
    for row in near.values():
        everywhere &= set(row)
    allowed = everywhere | standing
    return {
        name: (
            *[i for i in row if i in allowed],
            *sorted(i for i in standing if i not in row),
        )
        for name, row in near.items()
    }
