"""Demand of a workload at its origins: a pattern in local time, its size, and seeded noise.

Repeated workloads may share draws (`demand.patterns`), so that large fleets fit into memory.
"""

from __future__ import annotations

import numpy as np

from wattshift.sim.load_csv import regular
from wattshift.sim.load_series import Origin, SeriesReader, frozen
from wattshift.sim.load_synthetic import drift, generator
from wattshift.sim.load_text import Place, Text
from wattshift.sim.scenario import Array
from wattshift.sim.schema_series import Interpolation
from wattshift.sim.schema_sites import OriginSpec
from wattshift.sim.schema_workloads import DemandSpec, Fold, WorkloadSpec


class Demands:
    """Reads demands of one file; patterns are computed once."""

    def __init__(
        self, text: Text, series: SeriesReader, origins: list[OriginSpec], seed: int
    ) -> None:
        self._text, self._series, self._origins, self._seed = text, series, origins, seed
        self._patterns: dict[tuple[object, ...], Array] = {}
        self._shared: dict[tuple[object, ...], Array] = {}

    def read(
        self,
        index: int,
        spec: WorkloadSpec,
        chosen: tuple[int, ...],
        shares: tuple[float, ...],
        rate: float,
    ) -> Array:
        """Output tokens/s [steps, origins x classes].

        Args:
            index: of the workload in the file.
            spec: the workload.
            chosen: indices of its origins.
            shares: of its latency classes.
            rate: tokens/s of one replica at the objective.

        Raises:
            ScenarioError: the shape cannot be used.
        """
        demand = spec.demand
        assert demand is not None
        if demand.patterns is None:
            draw = f"{spec.namespace}/{spec.name}"
            return self._made(index, demand, chosen, shares=shares, rate=rate, draw=draw)
        draw = f"pattern {index % demand.patterns}"
        key = (demand.model_dump_json(), chosen, shares, rate, draw)
        if key not in self._shared:
            self._shared[key] = self._made(
                index, demand, chosen, shares=shares, rate=rate, draw=draw
            )
        return self._shared[key]

    def _made(
        self,
        index: int,
        demand: DemandSpec,
        chosen: tuple[int, ...],
        *,
        shares: tuple[float, ...],
        rate: float,
        draw: str,
    ) -> Array:
        place: Place = ("workloads", index, "demand")
        grid = self._series.grid
        result = np.empty((grid.steps, len(chosen) * len(shares)))
        for line, number in enumerate(chosen):
            origin = self._origins[number]
            values = self._sized(self._pattern(demand, place, origin), demand, place, rate)
            values = values * origin.weight
            if demand.noise is not None and demand.noise.relative_standard_deviation:
                noise = drift(
                    grid,
                    generator(self._seed, draw, origin.name, "demand"),
                    demand.noise.correlation_seconds,
                )
                deviation = demand.noise.relative_standard_deviation
                # Log-normal of mean 1: demand never falls below zero.
                values = values * np.exp(deviation * noise - deviation * deviation / 2)
            for part, share in enumerate(shares):
                result[:, line * len(shares) + part] = values * share
        return frozen(result)

    def _sized(self, pattern: Array, demand: DemandSpec, place: Place, rate: float) -> Array:
        size = demand.size
        if size.tokens_per_unit is not None:
            return pattern * size.tokens_per_unit
        if size.mean_tokens_per_second == 0:
            return np.zeros_like(pattern)  # a workload that nobody uses
        highest, mean = float(pattern.max()), float(pattern.mean())
        if mean <= 0:
            raise self._text.error((*place, "shape"), "is zero everywhere: it cannot be sized")
        if size.mean_tokens_per_second is not None:
            return pattern * (size.mean_tokens_per_second / mean)
        assert size.own_peak is not None
        return pattern * (size.own_peak.replicas * rate / size.own_peak.head_room / highest)

    def _pattern(self, demand: DemandSpec, place: Place, origin: OriginSpec) -> Array:
        """The shape on the steps, in the origin's local time, before size and noise."""
        zone = origin.time_zone if demand.local_time else "UTC"
        own = origin.name if demand.fold is Fold.NONE else ""
        shape = demand.shape.model_dump_json()
        key = (shape, demand.fold, demand.bin_seconds, demand.interpolation,
               demand.weekend_factor, zone, own)  # fmt: skip
        if key in self._patterns:
            return self._patterns[key]
        grid = self._series.grid
        at = (*place, "shape")
        if demand.fold is Fold.NONE:
            values = self._series.values(demand.shape, at, Origin(f"{origin.name}/demand", zone))
        else:
            values = self._folded(demand, at, zone)
        if float(values.min()) < 0:
            raise self._text.error(at, "demand is below zero somewhere")
        if demand.weekend_factor != 1:
            values = np.where(grid.weekday(zone) >= 5, values * demand.weekend_factor, values)
        self._patterns[key] = values
        return values

    def _folded(self, demand: DemandSpec, place: Place, zone: str) -> Array:
        """The mean day or week of a trace, laid on local clock time."""
        csv = demand.shape.csv
        if csv is None:
            raise self._text.error(place, "fold needs a csv: other series already repeat")
        table = self._series.files.table(csv.file, (*place, "csv", "file"))
        points = regular(table, csv, 0.0)
        span = 86400 if demand.fold is Fold.MEAN_DAY else 7 * 86400
        width = demand.bin_seconds
        if 86400 % width or width % points.step:
            raise self._text.error(
                (*place[:-1], "binSeconds"),
                f"must divide a day and be a multiple of the trace's {points.step:g} s",
            )
        bins = span // width
        stamps = points.start + points.step * np.arange(len(points.values))
        full = int(len(points.values) * points.step // span) * int(span / points.step)
        if full == 0:
            raise self._text.error((*place, "csv"), f"the trace is shorter than {span / 86400:g} d")
        which = ((stamps[:full] % span) // width).astype(np.int64)
        sums = np.bincount(which, weights=points.values[:full], minlength=bins)
        means = sums / np.bincount(which, minlength=bins)
        local = self._series.grid.local(zone)
        if demand.fold is Fold.MEAN_WEEK:
            local = local + 3 * 86400  # 1970-01-01 was a Thursday; bins begin on a Monday
        where = (local % span) / width
        if demand.interpolation is Interpolation.HOLD:
            return np.asarray(means[np.floor(where + 1e-9).astype(np.int64)])
        # A mean stands for the middle of its bin.
        ring = np.concatenate([means[-1:], means, means[:1]])
        return np.asarray(np.interp(where, np.arange(-0.5, bins + 1), ring))
