"""A scenario as a bound sees it: classes of demand, pools of replicas, limits and prices by step.

Everything is relaxed towards more freedom, so that what is optimal here is below what any policy can
reach with the same demand served: workloads that may stand in the same places are one class, starts,
drains, moves, minimum counts and dwell times cost nothing, events count once their ramp is over.
Storage begins full and is run with perfect knowledge. Neighbours: `flow.py`, `lp.py`, `milp.py`, `brute.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from wattshift.core.model import Allowed, Firmness
from wattshift.errors import NeedsHuman
from wattshift.sim.bounds.floors import whole_replicas
from wattshift.sim.bounds.hull import Hulls, hulls_of
from wattshift.sim.bounds.rates import prices_of
from wattshift.sim.bounds.window import cut
from wattshift.sim.curves import curve_of
from wattshift.sim.facility import truth_of
from wattshift.sim.scenario import (
    Array,
    FaultKind,
    Scenario,
    SimPlacement,
    SimSite,
    SimWorkload,
    Storage,
)
from wattshift.sim.transport import Index

_PoolKey = tuple[int, str, bool]
"""(site, table, whether it works off batches: those need no margin)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Deferrable work of one workload, in hours of one full replica."""

    pools: tuple[int, ...]
    arrivals: Array
    """[T] replica-hours."""
    due_steps: int
    """Steps after the one of arrival within which it must be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Storage of a site: charged from own supply, discharged into any load."""

    site: int
    terms: Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """T steps, C classes, P pools, S sites; power in W, demand in tokens/s, money per kWh."""

    names: tuple[str, ...]
    """[S] sites."""
    step_hours: float
    demand: Array
    """[T, C]."""
    arc_class: Index
    arc_pool: Index
    pool_site: Index
    hulls: tuple[Hulls, ...]
    """[P]."""
    replicas: Array
    """[P] most replicas."""
    pool_kind: Index
    """[P] index of the kind of device."""
    kind_site: Index
    kind_devices: Array
    """Devices of each kind at each site; infinity = not declared."""
    open: Array
    """[T, S] 0 where a site is lost for the whole step, else 1."""
    fixed_watts: Array
    """[T, S] facility and other load before the first IT watt."""
    marginal: Array
    """[T, S] facility W per IT W."""
    it_limit: Array
    """[T, S] IT W that all limits allow; never negative."""
    supply: Array
    """[T, S] W of own supply left for IT after the fixed load, in facility W."""
    fixed_bought: Array
    """[T, S] W of import that the fixed load needs."""
    price: Array
    """[T, S] money per kWh of import."""
    own_price: Array
    """[T, S] money per kWh of own supply."""
    carbon: Array
    """[T, S] g per kWh of import; own supply has none."""
    base_money: Array
    """[T, S] money of the fixed load per step, less what all own supply would sell for."""
    base_grams: Array
    base_green: Array
    """[T, S] W of the fixed load that are green."""
    green: Array
    """[T, S] share of import that is green."""
    full_rate: Array
    """[P] tokens/s of a replica at its objective, without margin: what batch work counts."""
    batches: tuple[Batch, ...] = ()
    stores: tuple[Store, ...] = ()

    @property
    def coupled(self) -> bool:
        """Whether steps depend on one another."""
        return bool(self.batches or self.stores)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return int(self.demand.shape[0])

    @property
    def kilowatt_hours(self) -> float:
        """Energy in kWh of one W over one step."""
        return self.step_hours / 1000.0

    def pool_replicas(self) -> Array:
        """[P] most replicas of each pool when it has its devices for itself."""
        own = np.array([hull.devices for hull in self.hulls], dtype=float)
        devices = self.kind_devices[self.pool_kind]
        fits = np.full(len(own), np.inf)
        np.divide(devices, own, out=fits, where=own > 0)
        most: Array = np.minimum(self.replicas, np.floor(fits + 1e-9))
        return most


def instance_of(
    scenario: Scenario,
    *,
    margin: float = 0.0,
    caps: bool = True,
    whole: bool = False,
    beyond_objective: bool = False,
    first_step: int = 0,
    last_step: int | None = None,
) -> Instance:
    """Relax the steps `[first_step, last_step)` of a scenario.

    Args:
        scenario: with the demand that came, noise included.
        margin: share of each replica's capacity that plans leave free (B8m); 0 gives B8.
        caps: whether power caps are operating points of their own.
        whole: count replicas of each workload whole (`floors.py`); only without `caps`.
        beyond_objective: whether replicas may carry more than their objective allows.
        first_step: of the window.
        last_step: exclusive; None = to the end.

    Raises:
        NeedsHuman: demand that nobody can reach.
    """
    scenario = cut(scenario, first_step, scenario.steps if last_step is None else last_step)
    steps = scenario.steps
    sites = {site.name: index for index, site in enumerate(scenario.sites)}
    tables = {table.name: table for table in scenario.tables}
    pools: dict[_PoolKey, int] = {}
    most: dict[_PoolKey, float] = defaultdict(float)
    merged: dict[tuple[_PoolKey, ...], Array] = {}
    batches: list[tuple[tuple[_PoolKey, ...], SimWorkload]] = []
    power = _power(scenario)
    earns = np.asarray((np.minimum(power["price"], power["own_price"]) < 0).any(axis=1))
    hulls = {
        (name, held): hulls_of(
            table,
            margin=0.0 if held else margin,
            caps=caps,
            beyond_objective=beyond_objective,
        )
        for name, table in tables.items()
        for held in (False, True)
    }
    for workload in scenario.workloads:
        open_rows = [row for row in workload.placements if row.max_replicas > 0]
        deferrable = workload.batch is not None
        keys_of = {row: (sites[row.site_name], row.profile_name, deferrable) for row in open_rows}
        for row, key in keys_of.items():
            most[key] += min(row.max_replicas, workload.max_replicas)
            pools.setdefault(key, len(pools))
        if deferrable:
            batches.append((tuple(keys_of.values()), workload))
        demanded = workload.demand_tokens_per_second
        reach = _reach(scenario, workload, keys_of)
        if whole and len(set(reach)) == 1 and reach[0]:
            demanded = whole_replicas(workload, hulls[reach[0][0][1], False], earns)
        for column, keys in enumerate(reach):
            load = np.asarray(demanded[:, column], dtype=float)
            if keys:
                merged[keys] = merged.get(keys, 0.0) + load
            elif load.max(initial=0.0) > 0:
                raise NeedsHuman(
                    f"{workload.key}: no placement is within the round trip of "
                    f"{workload.origins[column].name}",
                    reason="ScenarioInvalid",
                )
    order = sorted(pools, key=pools.__getitem__)
    kinds = sorted({(key[0], tables[key[1]].resource_name) for key in order})
    classes = sorted(merged)
    arcs = [(c, pools[key]) for c, keys in enumerate(classes) for key in keys]
    demand = (
        np.stack([merged[keys] for keys in classes], axis=1) if classes else np.zeros((steps, 0))
    )
    return Instance(
        names=tuple(site.name for site in scenario.sites),
        step_hours=scenario.step_seconds / 3600.0,
        demand=demand,
        arc_class=np.array([row[0] for row in arcs], dtype=np.int64),
        arc_pool=np.array([row[1] for row in arcs], dtype=np.int64),
        pool_site=np.array([key[0] for key in order], dtype=np.int64),
        hulls=tuple(hulls[key[1], key[2]] for key in order),
        replicas=np.array([most[key] for key in order]),
        pool_kind=np.array(
            [kinds.index((key[0], tables[key[1]].resource_name)) for key in order], dtype=np.int64
        ),
        kind_site=np.array([row[0] for row in kinds], dtype=np.int64),
        kind_devices=np.array(
            [dict(scenario.sites[s].devices).get(name, np.inf) for s, name in kinds], dtype=float
        ),
        full_rate=np.array([curve_of(tables[key[1]]).rate_at_objective for key in order]),
        batches=_batches(batches, pools, scenario),
        stores=tuple(
            Store(site=index, terms=site.storage)
            for index, site in enumerate(scenario.sites)
            if site.storage is not None and site.storage.energy_watt_hours > 0
        ),
        **power,
    )


def _reach(
    scenario: Scenario, workload: SimWorkload, keys_of: dict[SimPlacement, _PoolKey]
) -> list[tuple[_PoolKey, ...]]:
    """Pools by origin.

    Without ShiftTraffic the entry spreads all origins over all that runs, so that every origin must
    reach a placement, or the placement stands there from the start.
    """
    near: list[set[_PoolKey]] = []
    for origin in workload.origins:
        trips = scenario.round_trip_milliseconds[scenario.origins.index(origin.name)]
        longest = origin.max_round_trip_milliseconds
        near.append(
            {key for key in keys_of.values() if longest is None or trips[key[0]] <= longest}
        )
    if Allowed.SHIFT_TRAFFIC not in workload.actions and near:
        standing = {
            key for row, key in keys_of.items() if row.initial_replicas > 0 or row.min_replicas > 0
        }
        near = [set.intersection(*near) | standing] * len(near)
    return [tuple(sorted(keys)) for keys in near]


def _batches(
    rows: list[tuple[tuple[_PoolKey, ...], SimWorkload]],
    pools: dict[_PoolKey, int],
    scenario: Scenario,
) -> tuple[Batch, ...]:
    """Work that may run in the same places within the same time is one."""
    merged: dict[tuple[tuple[int, ...], int], Array] = {}
    for keys, workload in rows:
        batch = workload.batch
        assert batch is not None
        # what comes late in a step is due that much later in the last one: rounding down were no bound
        due = max(0, math.ceil(batch.due_seconds / scenario.step_seconds - 1e-9))
        key = (tuple(sorted({pools[row] for row in keys})), due)
        hours = np.asarray(batch.arrivals_units, dtype=float) / batch.units_per_replica_hour
        merged[key] = merged.get(key, 0.0) + hours
    return tuple(
        Batch(pools=places, arrivals=merged[places, due], due_steps=due)
        for places, due in sorted(merged)
    )


def _power(scenario: Scenario) -> dict[str, Array]:
    truth = truth_of(scenario)
    hours = scenario.step_seconds / 3600.0 / 1000.0
    prices = [prices_of(scenario, site) for site in scenario.sites]
    limits = np.stack([_import_limit(scenario, site) for site in scenario.sites], axis=1)
    price = np.stack([row.grid for row in prices], axis=1)
    own = np.stack([row.own for row in prices], axis=1)
    sale = np.stack([row.sale for row in prices], axis=1)
    carbon = np.nan_to_num(truth.carbon, nan=0.0)
    fixed = truth.fixed + truth.uncontrolled
    bought = np.maximum(fixed - truth.supply, 0.0)
    stored = np.array([0.0 if s.storage is None else s.storage.power_watts for s in scenario.sites])
    it_limit = (limits + truth.supply + stored - fixed) / truth.marginal
    it_limit = np.minimum(it_limit, truth.cooling_limit)
    return {
        "open": 1.0 - np.stack([_lost(scenario, site) for site in scenario.sites], axis=1),
        "fixed_watts": fixed,
        "marginal": truth.marginal,
        "it_limit": np.maximum(it_limit, 0.0),
        "supply": np.maximum(truth.supply - fixed, 0.0),
        "fixed_bought": bought,
        "price": price,
        "own_price": own,
        "carbon": carbon,
        "base_money": hours * (price * bought + own * (fixed - bought) - sale * truth.supply),
        "base_grams": hours * carbon * bought,
        "base_green": fixed - bought + truth.green_share * bought,
        "green": truth.green_share,
    }


def _import_limit(scenario: Scenario, site: SimSite) -> Array:
    """W of import; an event counts in the steps that lie wholly behind its ramp."""
    limit = np.full(
        scenario.steps, np.inf if site.import_limit_watts is None else site.import_limit_watts
    )
    start = scenario.step_seconds * np.arange(scenario.steps)
    for event in scenario.events:
        binding = event.site_name == site.name and event.upper_watts is not None
        if not binding or event.firmness is Firmness.VOLUNTARY:
            continue
        begin = event.start_seconds + event.ramp_seconds
        end = event.start_seconds + event.duration_seconds
        whole = (start >= begin) & (start + scenario.step_seconds <= end)
        assert event.upper_watts is not None
        limit = np.where(whole, np.minimum(limit, event.upper_watts), limit)
    return limit


def _lost(scenario: Scenario, site: SimSite) -> Array:
    start = scenario.step_seconds * np.arange(scenario.steps)
    lost = np.zeros(scenario.steps)
    for fault in scenario.faults:
        if fault.kind is FaultKind.SITE_LOSS and fault.site_name == site.name:
            end = fault.start_seconds + fault.duration_seconds
            inside = (start >= fault.start_seconds) & (start + scenario.step_seconds <= end)
            lost = np.where(inside, 1.0, lost)
    return lost
