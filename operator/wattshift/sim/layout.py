"""Index arrays of a scenario: placements, loads and arcs in one flat order for numpy.

A placement is (workload, site, table); a load is (workload, origin); an arc is (load, placement) of
one workload, nearest first. Built once per run and read-only. Neighbours: `router.py`, `plant.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wattshift.core.engine import Metric
from wattshift.core.model import Allowed
from wattshift.sim.curves import Curve, curve_of
from wattshift.sim.scenario import Array, Scenario, SimWorkload

Index: TypeAlias = NDArray[np.intp]
Flags: TypeAlias = NDArray[np.bool_]


def placement_names(workload: SimWorkload) -> tuple[str, ...]:
    """Name of each placement: its site, with the profile where a site has several."""
    sites = [row.site_name for row in workload.placements]
    return tuple(
        row.site_name if sites.count(row.site_name) == 1 else f"{row.site_name}-{row.profile_name}"
        for row in workload.placements
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arcs:
    """Every (load, placement) of one workload, by load and then by round trip."""

    load: Index
    placement: Index
    round_trip: Array
    """ms."""
    reachable: Flags
    """Within the longest round trip that the origin accepts."""
    by_rank: tuple[Index, ...]
    """Reachable arcs of loads that follow a split: nearest of every load, second nearest, ..."""
    of: dict[tuple[int, int], int]
    """(load, placement) -> arc, for workloads that follow a split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Thresholds that the engines of a placement count samples against."""

    placement: Index
    metric: tuple[Metric, ...]
    threshold: Array
    is_first: Flags
    is_inter: Flags
    window_seconds: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Flat order of a scenario."""

    scenario: Scenario
    curves: tuple[Curve, ...]
    workload_of: Index
    site_of: Index
    table_of: Index
    names: tuple[str, ...]
    """Of placements."""
    place: dict[tuple[str, str], int]
    """(workload key, placement name) -> index."""
    first: tuple[int, ...]
    """First placement of each workload, and the end."""
    load_first: tuple[int, ...]
    load_workload: Index
    load_origin: Index
    """Index into `scenario.origins`."""
    load: dict[tuple[str, str], int]
    """(workload key, origin) -> load index."""
    demand: Array
    """[steps, loads] tokens/s."""
    follows: Flags
    """Per load: its workload allows ShiftTraffic."""
    max_replicas: Index
    min_replicas: Index
    initial: Index
    pool_of: Index
    """Device pool (site, resource) of each placement, -1 = none installed."""
    pool_devices: Index
    devices_each: Index
    rate_objective: Array
    rate_max: Array
    """Tokens/s of one replica at the objective, and at most."""
    sequences_per_rate: Array
    """By load: sequences in flight per token/s that the entry counts."""
    output_tokens: Array
    """Per placement: of one request of its workload."""
    prompt_tokens: Array
    tables: tuple[tuple[int, Index], ...]
    """(table, placements) pairs."""
    arcs: Arcs
    probes: Probes


def layout_of(scenario: Scenario) -> Layout:
    """Index a scenario.

    Raises:
        ValueError: a name that does not exist; the message says which.
    """
    curves = tuple(curve_of(table) for table in scenario.tables)
    table_index = {table.name: i for i, table in enumerate(scenario.tables)}
    site_index = {site.name: i for i, site in enumerate(scenario.sites)}
    origin_index = {name: i for i, name in enumerate(scenario.origins)}
    pools: dict[tuple[int, str], int] = {}
    pool_devices: list[int] = []
    for s, site in enumerate(scenario.sites):
        for resource, count in site.devices:
            pools[s, resource] = len(pool_devices)
            pool_devices.append(count)
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    names: list[str] = []
    place: dict[tuple[str, str], int] = {}
    first, load_first = [0], [0]
    load_workload: list[int] = []
    load_origin: list[int] = []
    load: dict[tuple[str, str], int] = {}
    for w, workload in enumerate(scenario.workloads):
        for name, row in zip(placement_names(workload), workload.placements, strict=True):
            s = _known(site_index, row.site_name, "site", workload)
            table = _known(table_index, row.profile_name, "table", workload)
            resource = scenario.tables[table].resource_name
            place[workload.key, name] = len(rows)
            names.append(name)
            rows.append(
                (
                    w,
                    s,
                    table,
                    row.min_replicas,
                    row.max_replicas,
                    row.initial_replicas,
                    pools.get((s, resource), -1),
                )
            )
        for origin in workload.origins:
            load[workload.key, origin.name] = len(load_workload)
            load_workload.append(w)
            load_origin.append(_known(origin_index, origin.name, "origin", workload))
        first.append(len(rows))
        load_first.append(len(load_workload))
    columns = np.asarray(rows, dtype=np.intp).reshape(-1, 7).T
    table_of = columns[2]
    workloads = scenario.workloads
    shifting = [Allowed.SHIFT_TRAFFIC in row.actions for row in workloads]
    follows = np.asarray([shifting[w] for w in load_workload], dtype=bool)
    arcs = _arcs(scenario, columns, first, load_first, load_origin, shifting)
    return Layout(
        scenario=scenario,
        curves=curves,
        workload_of=columns[0],
        site_of=columns[1],
        table_of=table_of,
        names=tuple(names),
        place=place,
        first=tuple(first),
        load_first=tuple(load_first),
        load_workload=np.asarray(load_workload, dtype=np.intp),
        load_origin=np.asarray(load_origin, dtype=np.intp),
        load=load,
        demand=_demand(scenario),
        follows=follows,
        min_replicas=columns[3],
        max_replicas=columns[4],
        initial=columns[5],
        pool_of=columns[6],
        pool_devices=np.asarray(pool_devices, dtype=np.intp),
        devices_each=np.asarray(
            [scenario.tables[m].devices_per_replica for m in table_of], np.intp
        ),
        rate_objective=np.asarray([curves[m].rate_at_objective for m in table_of]),
        rate_max=np.asarray([curves[m].rate_max for m in table_of]),
        sequences_per_rate=np.asarray(
            [_sequences_per_rate(workloads[w], curves, table_of[first[w]]) for w in load_workload]
        ),
        output_tokens=np.asarray([workloads[w].output_tokens_per_request for w in columns[0]]),
        prompt_tokens=np.asarray([workloads[w].prompt_tokens_per_request for w in columns[0]]),
        tables=tuple((m, np.flatnonzero(table_of == m)) for m in range(len(curves))),
        arcs=arcs,
        probes=_probes(scenario, columns, first, load_first, load_origin),
    )


def _known(index: dict[str, int], name: str, what: str, workload: SimWorkload) -> int:
    if name not in index:
        raise ValueError(f"workload {workload.key}: no {what} named {name!r} in the scenario")
    return index[name]


def _sequences_per_rate(workload: SimWorkload, curves: tuple[Curve, ...], table: int) -> float:
    return workload.sequences_per_token_rate or curves[table].sequences_per_rate


def _demand(scenario: Scenario) -> Array:
    parts = [row.demand_tokens_per_second for row in scenario.workloads]
    for workload, part in zip(scenario.workloads, parts, strict=True):
        wanted = (scenario.steps, len(workload.origins))
        if part.shape != wanted and part.size:
            raise ValueError(f"workload {workload.key}: demand is {part.shape}, not {wanted}")
    parts = [row if row.size else np.zeros((scenario.steps, 0)) for row in parts]
    wide = [
        row if row.shape[1] else np.zeros((scenario.steps, len(workload.origins)))
        for row, workload in zip(parts, scenario.workloads, strict=True)
    ]
    if len(wide) == 1:
        return wide[0]
    whole: Array = np.concatenate(wide, axis=1) if wide else np.zeros((scenario.steps, 0))
    return whole


def _arcs(  # noqa: PLR0917 - one caller
    scenario: Scenario,
    columns: Index,
    first: list[int],
    load_first: list[int],
    load_origin: list[int],
    shifting: list[bool],
) -> Arcs:
    loads: list[int] = []
    places: list[int] = []
    trips: list[float] = []
    reach: list[bool] = []
    ranks: list[list[int]] = []
    of: dict[tuple[int, int], int] = {}
    for w, workload in enumerate(scenario.workloads):
        for k, origin in enumerate(workload.origins):
            index = load_first[w] + k
            distance = scenario.round_trip_milliseconds[load_origin[index]]
            near = sorted(range(first[w], first[w + 1]), key=lambda p: (distance[columns[1][p]], p))
            limit, rank = origin.max_round_trip_milliseconds, 0
            for p in near:
                trip = float(round(float(distance[columns[1][p]])))
                good = limit is None or trip <= limit
                if shifting[w]:
                    of[index, p] = len(loads)
                    if good:
                        while len(ranks) <= rank:
                            ranks.append([])
                        ranks[rank].append(len(loads))
                        rank += 1
                loads.append(index)
                places.append(p)
                trips.append(trip)
                reach.append(good)
    return Arcs(
        load=np.asarray(loads, dtype=np.intp),
        placement=np.asarray(places, dtype=np.intp),
        round_trip=np.asarray(trips, dtype=float),
        reachable=np.asarray(reach, dtype=bool),
        by_rank=tuple(np.asarray(rank, dtype=np.intp) for rank in ranks),
        of=of,
    )


def _probes(
    scenario: Scenario,
    columns: Index,
    first: list[int],
    load_first: list[int],
    load_origin: list[int],
) -> Probes:
    """Each objective against its threshold, and against what the longest round trip leaves."""
    places: list[int] = []
    metrics: list[Metric] = []
    thresholds: list[float] = []
    windows: list[float] = []
    for w, workload in enumerate(scenario.workloads):
        origins = load_origin[load_first[w] : load_first[w + 1]]
        for p in range(first[w], first[w + 1]):
            trips = scenario.round_trip_milliseconds[origins, columns[1][p]]
            longest = round(float(trips.max())) if len(trips) else 0
            found: dict[tuple[Metric, int], int] = {}
            for objective in workload.objectives:
                whole = objective.threshold_milliseconds
                found[objective.metric, whole] = objective.window_seconds
                if objective.metric is not Metric.INTER_TOKEN_LATENCY and longest > 0:
                    found[objective.metric, max(1, whole - longest)] = objective.window_seconds
            for (metric, threshold), window in sorted(found.items()):
                places.append(p)
                metrics.append(metric)
                thresholds.append(float(threshold))
                windows.append(float(window))
    return Probes(
        placement=np.asarray(places, dtype=np.intp),
        metric=tuple(metrics),
        threshold=np.asarray(thresholds),
        is_first=np.asarray([m is Metric.TIME_TO_FIRST_TOKEN for m in metrics], dtype=bool),
        is_inter=np.asarray([m is Metric.INTER_TOKEN_LATENCY for m in metrics], dtype=bool),
        window_seconds=np.asarray(windows),
    )
