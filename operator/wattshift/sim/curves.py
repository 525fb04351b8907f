"""Curves of one replica, vectorised: watts, token rate and latency against sequences in flight.

Linear between the points of a `ReplicaTable`; latencies are lognormal through their 50th and 99th
percentile. Pure numpy. Neighbours: `layout.py` (which replica has which table), `plant.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattshift.core.power.power_profile import PowerProfile
from wattshift.sim.scenario import Array, ReplicaTable

Z99 = 2.3263478740408408
"""99th percentile of the standard normal."""
MIN_SIGMA = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One table as arrays that begin at zero sequences."""

    table: ReplicaTable
    sequences: Array
    rate: Array
    """Output tokens/s of one replica, strictly growing."""
    watts: Array
    p50: Array
    p99: Array
    """Inter-token latency, ms."""
    rate_at_objective: float
    rate_max: float
    busy_watts: float
    """At the objective's sequences: what a power cap is a share of."""
    cap_power: Array
    cap_rate: Array

    @property
    def sequences_per_rate(self) -> float:
        """Sequences in flight per output token/s when a replica is at its objective."""
        return self.table.sequences_at_objective / self.rate_at_objective


def sums(index: NDArray[np.intp], weights: Array, size: int) -> Array:
    """Sum of weights by index: a float array of `size`."""
    return np.bincount(index, weights, size).astype(np.float64, copy=False)


def curve_of(table: ReplicaTable) -> Curve:
    """The table from zero sequences on: nothing decoded is loaded idle, one is the active floor.

    Raises:
        ValueError: points that are not ordered, or rates that do not grow.
    """
    sequences = np.asarray(table.sequences, dtype=float)
    rate = np.asarray(table.tokens_per_second, dtype=float)
    watts = np.asarray(table.watts, dtype=float)
    p50 = np.asarray(table.inter_token_p50_milliseconds, dtype=float)
    p99 = np.asarray(table.inter_token_p99_milliseconds, dtype=float)
    if sequences[0] > 1 and len(sequences) > 1:
        # one sequence already draws the active floor: the line of the first two points (serving.md 4)
        slope = (watts[1] - watts[0]) / (rate[1] - rate[0])
        one = rate[0] / sequences[0]
        floor = min(max(watts[0] - slope * (rate[0] - one), table.loaded_idle_watts), watts[0])
        sequences, rate = np.concatenate(([1.0], sequences)), np.concatenate(([one], rate))
        watts = np.concatenate(([floor], watts))
        p50, p99 = np.concatenate((p50[:1], p50)), np.concatenate((p99[:1], p99))
    if sequences[0] > 0:
        sequences, rate = np.concatenate(([0.0], sequences)), np.concatenate(([0.0], rate))
        watts = np.concatenate(([table.loaded_idle_watts], watts))
        p50, p99 = np.concatenate((p50[:1], p50)), np.concatenate((p99[:1], p99))
    if np.any(np.diff(sequences) <= 0) or np.any(np.diff(rate) <= 0):
        raise ValueError(f"table {table.name}: sequences and tokens per second must grow")
    at = table.sequences_at_objective
    caps = np.asarray(sorted(table.cap_throughput) or [(1.0, 1.0)], dtype=float)
    return Curve(
        table=table,
        sequences=sequences,
        rate=rate,
        watts=watts,
        p50=p50,
        p99=p99,
        rate_at_objective=float(np.interp(at, sequences, rate)),
        rate_max=float(rate[-1]),
        busy_watts=float(np.interp(at, sequences, watts)),
        cap_power=caps[:, 0],
        cap_rate=caps[:, 1],
    )


def profile_of(curve: Curve) -> PowerProfile:
    """The operator's power profile of a table: active floor plus slope per token (serving.md 4)."""
    table = curve.table
    inside = (curve.sequences > 0) & (curve.sequences <= table.sequences_at_objective + 1e-9)
    rate, watts = curve.rate[inside], curve.watts[inside]
    if rate.size >= 2:
        slope, floor = (float(value) for value in np.polyfit(rate, watts, 1))
    else:
        floor = table.loaded_idle_watts
        slope = (curve.busy_watts - floor) / curve.rate_at_objective
    slope = max(0.0, slope)
    floor = min(max(floor, table.loaded_idle_watts), curve.busy_watts)
    return PowerProfile(
        name=table.name,
        resource_name=table.resource_name,
        devices_per_replica=table.devices_per_replica,
        loaded_idle_watts=round(table.loaded_idle_watts),
        floor_watts=round(floor),
        watts_per_output_token_per_second=slope,
        watts_per_prompt_token_per_second=0.0,
        busy_watts=round(curve.busy_watts),
        output_tokens_per_second_at_objective=curve.rate_at_objective,
        max_concurrency_at_objective=max(1, round(table.sequences_at_objective)),
        cold_start_seconds=round(table.start_seconds),
        cap_throughput_permille=tuple(
            (round(1000 * power), round(1000 * rate))
            for power, rate in sorted(table.cap_throughput)
            if len(table.cap_throughput) > 1
        ),
        source=table.source or f"scenario table {table.name}",
        output_tokens_per_second_by_concurrency=tuple(
            (float(n), float(rate))
            for n, rate in zip(curve.sequences[1:], curve.rate[1:], strict=True)
        ),
    )


def share_above(threshold: Array, p50: Array, p99: Array) -> Array:
    """Share of a lognormal above a threshold; everything where the threshold is not positive."""
    sigma = np.maximum(np.log(np.maximum(p99, p50 * (1 + 1e-6)) / p50) / Z99, MIN_SIGMA)
    with np.errstate(divide="ignore"):
        z = np.log(np.maximum(threshold, 1e-12) / p50) / sigma
    return normal_above(z)


def normal_above(z: Array) -> Array:
    """Upper tail of the standard normal (Abramowitz and Stegun 26.2.17, error below 7.5e-8)."""
    x = np.abs(z)
    t = 1.0 / (1.0 + 0.2316419 * x)
    poly = t * (
        0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    )
    tail = np.exp(-0.5 * np.minimum(x, 38.0) ** 2) * 0.3989422804014327 * poly
    result: Array = np.where(z >= 0, tail, 1.0 - tail)
    return result
