"""Workloads of a scenario file: placements, origins by latency class, demand and batch work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wattshift.core.model import Objective
from wattshift.core.units import Quantity
from wattshift.sim.load_demand import Demands
from wattshift.sim.load_series import Origin, SeriesReader, forecasting, frozen
from wattshift.sim.load_sites import check_zone, unique
from wattshift.sim.load_start import Starts
from wattshift.sim.load_synthetic import generator
from wattshift.sim.load_text import Place, Text
from wattshift.sim.scenario import (
    Array,
    Forecasting,
    ForecastModel,
    ReplicaTable,
    SimBatch,
    SimOrigin,
    SimPlacement,
    SimWorkload,
)
from wattshift.sim.schema import ScenarioFile
from wattshift.sim.schema_sites import OriginSpec, TableSpec
from wattshift.sim.schema_workloads import LatencyClass, PlacementSpec, WorkloadSpec

_ANY = LatencyClass.model_validate({"name": "any", "share": 1.0})


def tokens_per_second(table: ReplicaTable | TableSpec, sequences: float) -> float:
    """Tokens/s of one replica at a concurrency; below the first point it rises from zero."""
    points, rates = [0.0, *table.sequences], [0.0, *table.tokens_per_second]
    return float(np.interp(sequences, points, rates))


def origins_of(file: ScenarioFile, text: Text) -> list[OriginSpec]:
    """The origins; absent = one at every site."""
    found = list(file.origins) or [
        OriginSpec.model_validate(
            {
                "name": site.name,
                "timeZone": site.time_zone,
                "latitude": site.latitude,
                "longitude": site.longitude,
            }
        )
        for site in file.sites
    ]
    unique(text, ("origins",), [origin.name for origin in found])
    for index, origin in enumerate(found):
        check_zone(text, ("origins", index, "timeZone"), origin.time_zone)
    return found


@dataclass(frozen=True, slots=True)
class _Where:
    """Placements of one workload and what it needs to size its demand."""

    placements: list[PlacementSpec]
    rate: float
    """Tokens/s of one replica at the objective."""


class Workloads:
    """Reads the workloads of one file."""

    def __init__(
        self,
        *,
        file: ScenarioFile,
        text: Text,
        series: SeriesReader,
        tables: tuple[ReplicaTable, ...],
        origins: list[OriginSpec],
        round_trips: Array,
        seed: int,
    ) -> None:
        self._file, self._text, self._series = file, text, series
        self._demands = Demands(text, series, origins, seed)
        self._tables = {table.name: table for table in tables}
        self._rates = {
            table.name: tokens_per_second(table, table.sequences_at_objective) for table in tables
        }
        self._installed = {
            site.name: {item.resource_name for item in site.devices}
            for site in file.sites
            if site.devices is not None
        }
        """Resources of the devices by site, where the site says so."""
        self._starts = Starts(
            text=text,
            sites=file.sites,
            tables=self._tables,
            carried={name: rate * (1 - file.margin) for name, rate in self._rates.items()},
        )
        self._places: dict[int, _Where] = {}
        self._origins, self._round_trips = origins, round_trips
        self._site_index = {site.name: index for index, site in enumerate(file.sites)}
        self._origin_index = {origin.name: index for index, origin in enumerate(origins)}
        keys = [f"{item.namespace}/{item.name}" for item in file.workloads]
        unique(text, ("workloads",), keys)
        self._known: set[str] = set()
        self.class_names: list[str] = []
        """Names of all origins x latency classes, in the order of the round trips."""
        self.class_origins: list[int] = []
        """Index of the place of each."""

    def devices(self) -> dict[str, dict[str, int]]:
        """Devices that all placements together may need, by site and resource."""
        needed: dict[str, dict[str, int]] = {}
        for index, spec in enumerate(self._file.workloads):
            for placement in self._where(index, spec).placements:
                table = self._tables[placement.profile_name]
                at = needed.setdefault(placement.site_name, {})
                count = placement.max_replicas * table.devices_per_replica
                at[table.resource_name] = at.get(table.resource_name, 0) + count
        return needed

    def read(self) -> tuple[SimWorkload, ...]:
        """All workloads.

        Raises:
            ScenarioError: the first fault.
        """
        for index, spec in enumerate(self._file.workloads):
            self._starts.reserve(("workloads", index), self._where(index, spec).placements)
        return tuple(self._workload(index, spec) for index, spec in enumerate(self._file.workloads))

    # ---- where --------------------------------------------------------------------------------

    def _where(self, index: int, spec: WorkloadSpec) -> _Where:
        if index not in self._places:
            self._places[index] = self._located(index, spec)
        return self._places[index]

    def _located(self, index: int, spec: WorkloadSpec) -> _Where:
        place: Place = ("workloads", index)
        if spec.random_placements is not None:
            drawn = spec.random_placements
            if drawn.count > len(self._file.sites):
                raise self._text.error(
                    (*place, "randomPlacements", "count"),
                    f"{drawn.count} sites are wanted, the scenario has {len(self._file.sites)}",
                )
            draw = generator(drawn.seed, spec.namespace, spec.name, "placements")
            chosen = sorted(draw.choice(len(self._file.sites), drawn.count, replace=False).tolist())
            wanted = [
                PlacementSpec.model_validate(
                    {
                        "siteName": self._file.sites[number].name,
                        "profileName": drawn.profile_name,
                        "minReplicas": drawn.min_replicas,
                        "maxReplicas": drawn.max_replicas,
                    }
                )
                for number in chosen
            ]
            part = "randomPlacements"
        else:
            wanted, part = self._listed(spec), "placements"
        rates = []
        for number, item in enumerate(wanted):
            at: Place = (*place, part, number) if part == "placements" else (*place, part)
            if item.site_name not in self._site_index:
                raise self._text.error((*at, "siteName"), f"no site {item.site_name!r}")
            table = self._tables.get(item.profile_name)
            if table is None:
                raise self._text.error(
                    (*at, "profileName"),
                    f"no table {item.profile_name!r}; there are: {', '.join(self._tables)}",
                )
            if item.min_replicas > item.max_replicas:
                raise self._text.error((*at, "minReplicas"), "must not be above maxReplicas")
            first = item.initial_replicas
            if first is not None and not item.min_replicas <= first <= item.max_replicas:
                raise self._text.error(
                    (*at, "initialReplicas"), "must lie between minReplicas and maxReplicas"
                )
            installed = self._installed.get(item.site_name)
            if installed is not None and item.max_replicas and table.resource_name not in installed:
                raise self._text.error(
                    (*at, "profileName"),
                    f"{table.name!r} needs {table.resource_name}, of which the devices of "
                    f"{item.site_name!r} have none",
                )
            rates.append(self._rates[table.name])
        names = [item.site_name for item in wanted]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self._text.error((*place, part), f"{name!r} has two placements")
        return _Where(wanted, rates[0])

    def _listed(self, spec: WorkloadSpec) -> list[PlacementSpec]:
        wanted: list[PlacementSpec] = []
        for item in spec.placements:
            names = [site.name for site in self._file.sites]
            chosen = names if item.site_name == "*" else [item.site_name]
            wanted += [item.model_copy(update={"site_name": name}) for name in chosen]
        return wanted

    def _origins_for(self, index: int, spec: WorkloadSpec) -> list[int]:
        place: Place = ("workloads", index)
        if spec.random_origins is not None:
            drawn = spec.random_origins
            if drawn.count > len(self._origins):
                raise self._text.error(
                    (*place, "randomOrigins", "count"),
                    f"{drawn.count} origins are wanted, the scenario has {len(self._origins)}",
                )
            draw = generator(drawn.seed, spec.namespace, spec.name, "origins")
            return sorted(draw.choice(len(self._origins), drawn.count, replace=False).tolist())
        if spec.origins == "*":
            return list(range(len(self._origins)))
        for name in spec.origins:
            if name not in self._origin_index:
                raise self._text.error((*place, "origins"), f"no origin {name!r}")
        return [self._origin_index[name] for name in spec.origins]

    def _class(self, origin: int, part: LatencyClass) -> str:
        """Name of an origin's latency class; one class without a name of its own is the origin."""
        name = self._origins[origin].name
        name = name if part is _ANY else f"{name}-{part.name}"
        if name not in self._known:
            self._known.add(name)
            self.class_names.append(name)
            self.class_origins.append(origin)
        return name

    # ---- one workload -------------------------------------------------------------------------

    def _workload(self, index: int, spec: WorkloadSpec) -> SimWorkload:
        place: Place = ("workloads", index)
        where = self._where(index, spec)
        classes = spec.latency_classes or [_ANY]
        origins: list[SimOrigin] = []
        demand = np.zeros((self._series.grid.steps, 0))
        first: Mapping[int, float] = {}
        if spec.demand is not None:
            chosen = self._origins_for(index, spec)
            if not chosen:
                raise self._text.error((*place, "origins"), "demand needs at least one origin")
            origins = [
                SimOrigin(
                    name=self._class(number, part),
                    max_round_trip_milliseconds=part.max_round_trip_milliseconds,
                )
                for number in chosen
                for part in classes
            ]
            self._check_reach(place, chosen, classes, where)
            total = sum(item.share for item in classes)
            shares = tuple(item.share / total for item in classes)
            demand = self._demands.read(index, spec, tuple(chosen), shares, where.rate)
            first = {
                number: float(demand[0, line * len(classes) : (line + 1) * len(classes)].sum())
                for line, number in enumerate(chosen)
            }
        placements = self._placements(where.placements, first)
        most = sum(item.max_replicas for item in placements)
        maximum = most if spec.max_replicas is None else spec.max_replicas
        if spec.min_replicas > most:
            raise self._text.error(
                (*place, "minReplicas"), f"placements together have at most {most}"
            )
        return SimWorkload(
            namespace=spec.namespace,
            name=spec.name,
            posture=spec.posture,
            tier=spec.tier,
            priority=spec.priority,
            actions=tuple(spec.actions),
            min_replicas=spec.min_replicas,
            max_replicas=maximum,
            min_dwell_seconds=spec.min_dwell_seconds,
            max_moves_per_day=spec.max_moves_per_day,
            max_drain_seconds=spec.max_drain_seconds,
            objectives=tuple(
                Objective(
                    metric=item.metric,
                    threshold_milliseconds=item.threshold_milliseconds,
                    attainment_permille=item.attainment_permille,
                    window_seconds=item.window_seconds,
                )
                for item in spec.objectives
            ),
            origins=tuple(origins),
            placements=placements,
            demand_tokens_per_second=demand,
            demand_forecasting=self._forecasting(spec),
            output_tokens_per_request=spec.output_tokens_per_request,
            prompt_tokens_per_request=spec.prompt_tokens_per_request,
            batch=self._batch(index, spec),
        )

    def _forecasting(self, spec: WorkloadSpec) -> Forecasting:
        if spec.demand is None or spec.demand.forecast is None:
            return Forecasting(model=ForecastModel.HOUR_OF_DAY)
        return forecasting(spec.demand.forecast)

    def _check_reach(
        self, place: Place, chosen: list[int], classes: list[LatencyClass], where: _Where
    ) -> None:
        sites = [self._site_index[item.site_name] for item in where.placements]
        for number in chosen:
            nearest = float(self._round_trips[number, sites].min())
            for part in classes:
                limit = part.max_round_trip_milliseconds
                if limit is not None and nearest > limit:
                    raise self._text.error(
                        (*place, "latencyClasses"),
                        f"no placement is within {limit} ms of {self._origins[number].name!r}: the "
                        f"nearest is {nearest:.0f} ms away",
                    )

    def _placements(
        self, placements: list[PlacementSpec], first: Mapping[int, float]
    ) -> tuple[SimPlacement, ...]:
        sites = [self._site_index[item.site_name] for item in placements]
        counts = self._starts.counts(placements, self._round_trips[:, sites], first)
        return tuple(
            SimPlacement(
                site_name=item.site_name,
                profile_name=item.profile_name,
                min_replicas=item.min_replicas,
                max_replicas=item.max_replicas,
                initial_replicas=count,
            )
            for item, count in zip(placements, counts, strict=True)
        )

    def _batch(self, index: int, spec: WorkloadSpec) -> SimBatch | None:
        if spec.batch is None:
            return None
        place: Place = ("workloads", index, "batch", "arrivalsUnitsPerHour")
        origin = Origin(f"{spec.namespace}/{spec.name}/batch", self._file.sites[0].time_zone)
        arrivals = self._series.signal(
            spec.batch.arrivals_units_per_hour, Quantity.BACKLOG_UNITS, place, origin
        )
        return SimBatch(
            arrivals_units=frozen(arrivals.values * (self._series.grid.step / 3600)),
            due_seconds=spec.batch.due_seconds,
            units_per_replica_hour=spec.batch.units_per_replica_hour,
        )
