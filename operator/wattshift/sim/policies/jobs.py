"""Workloads as the baselines place them: load by origin, who reaches whom, room left.

A baseline gets a Snapshot and nothing else; a load that is not known is no load to place. Neighbour:
`placing.py` (what is done with them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from wattshift.core.freshness import value_of
from wattshift.core.load.demand import capacity_of, needed_concurrency
from wattshift.core.model import Allowed, PlacementState, SiteState, Snapshot, WorkloadState
from wattshift.core.power.power_profile import PowerProfile

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


def devices_of(snapshot: Snapshot) -> Devices:
    """Devices of all sites, as declared and seen."""
    devices = Devices(declared=frozenset(row.name for row in snapshot.sites if row.accelerators))
    for site in snapshot.sites:
        for row in site.accelerators:
            seen = row.count if row.allocatable is None else min(row.count, row.allocatable)
            key = (site.name, row.resource_name)
            devices.free[key] = devices.free.get(key, 0) + seen
    return devices


def job_of(
    workload: WorkloadState,
    snapshot: Snapshot,
    context: tuple[dict[str, SiteState], dict[str, PowerProfile], Devices],
) -> Job | None:
    """The workload with its load, or None where that is not known.

    `context` is (sites, profiles, devices left).
    """
    sites, profiles, devices = context
    factor = needed_concurrency(
        1.0, 1 + snapshot.settings.head_room_permille / 1000, workload.growth_permille
    )
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
