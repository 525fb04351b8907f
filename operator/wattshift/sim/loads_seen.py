"""Load by origin as the entry measures it, its forecast, and one span's telemetry as plain lists.

Neighbours: `workloads_seen.py` (puts it into snapshots), `forecasts.py`, `faults.py`.
"""

from __future__ import annotations

import numpy as np

from wattshift.core.model import Origin
from wattshift.core.signal import Forecast
from wattshift.sim.curves import sums
from wattshift.sim.faults import distorted, of_signal, silent
from wattshift.sim.forecasts import Issuer, to_core
from wattshift.sim.layout import Layout
from wattshift.sim.plant import Plant, Record
from wattshift.sim.scenario import Array, Forecasting, ForecastModel
from wattshift.sim.site_signals import seen_late

RATIO_STEP = 0.02
"""Sequences per token/s are told in steps of two per cent, so that forecasts are kept."""


class LoadsSeen:
    """Loads of all workloads."""

    def __init__(self, layout: Layout, seed: int) -> None:
        scenario = layout.scenario
        self._layout = layout
        self._scenario = scenario
        self._issuers = self._issuers_of(seed)
        self._ahead: list[tuple[object, tuple[tuple[str, Forecast], ...]] | None]
        self._ahead = [None] * len(scenario.workloads)
        self._origins: list[tuple[Origin, ...] | None] = [None] * len(scenario.workloads)

    def _issuers_of(self, seed: int) -> list[tuple[Issuer, int] | None]:
        """(issuer, first series) of each workload; those with one model share an issuer."""
        scenario, layout = self._scenario, self._layout
        groups: dict[Forecasting, list[int]] = {}
        for w, row in enumerate(scenario.workloads):
            how = row.demand_forecasting
            if how.model is not ForecastModel.NONE and row.origins:
                groups.setdefault(seen_late(how, scenario), []).append(w)
        found: list[tuple[Issuer, int] | None] = [None] * len(scenario.workloads)
        for number, (how, members) in enumerate(groups.items()):
            columns = np.concatenate(
                [np.arange(layout.load_first[w], layout.load_first[w + 1]) for w in members]
            )
            whole = len(columns) == layout.demand.shape[1]
            issuer = Issuer(
                layout.demand if whole else layout.demand[:, columns],
                how,
                step_seconds=scenario.step_seconds,
                start_time=scenario.start_time,
                seed=(seed * 7_919 + number * 104_729 + 17) & 0x7FFF_FFFF,
            )
            first = 0
            for w in members:
                found[w] = (issuer, first)
                first += layout.load_first[w + 1] - layout.load_first[w]
        return found

    def origins(self, w: int, view: View | None) -> tuple[Origin, ...]:
        """By name: share of each origin as first measured, and how far it may be served."""
        known = self._origins[w]
        if known is not None:
            return known
        row = self._scenario.workloads[w]
        if not row.origins:
            self._origins[w] = ()
            return ()
        first, last = self._layout.load_first[w], self._layout.load_first[w + 1]
        share = np.full(last - first, 1.0 / (last - first))
        if view is not None and view.demand[first:last].sum() > 0:
            share = view.demand[first:last] / view.demand[first:last].sum()
        found = tuple(
            Origin(
                name=origin.name,
                share_permille=max(1, round(1000 * part)),
                max_round_trip_milliseconds=origin.max_round_trip_milliseconds,
            )
            for origin, part in sorted(
                zip(row.origins, share.tolist(), strict=True), key=lambda pair: pair[0].name
            )
        )
        if view is not None:
            self._origins[w] = found
        return found

    def now(self, w: int, view: View | None, now: float) -> tuple[tuple[str, float], ...]:
        """(origin, sequences in flight); empty while nothing is measured."""
        if view is None:
            return ()
        factor = self._factor(now)
        if not factor >= 0:
            return ()
        first, last = self._layout.load_first[w], self._layout.load_first[w + 1]
        names = [origin.name for origin in self._scenario.workloads[w].origins]
        values = (view.load_sequences[first:last] * factor).tolist()
        return tuple(zip(names, values, strict=True))

    def ahead(self, w: int, view: View | None, now: float) -> tuple[tuple[str, Forecast], ...]:
        """(origin, forecast of its sequences in flight)."""
        shared = self._issuers[w]
        if shared is None or view is None:
            return ()
        issuer, series = shared
        issue = issuer.issue(now)
        factor = self._factor(now)
        if issue is None or not factor >= 0:
            return ()
        first, last = self._layout.load_first[w], self._layout.load_first[w + 1]
        ratios = (view.per_rate[first:last] * factor).tolist()
        held = self._ahead[w]
        key = (id(issue), issue.issued, tuple(ratios))
        if held is not None and held[0] == key:
            return held[1]
        start = self._scenario.start_time
        found = tuple(
            (origin.name, to_core(issue, series + k, start, "simulated demand", ratios[k]))
            for k, origin in enumerate(self._scenario.workloads[w].origins)
        )
        self._ahead[w] = (key, found)
        return found

    def _factor(self, now: float) -> float:
        """What a Demand fault without a site makes of all loads; NaN = nothing is measured."""
        faults = of_signal(self._scenario, "", "Demand", now)
        if silent(faults) is not None:
            return float("nan")
        return distorted(1.0, faults)


class View:
    """A record as plain lists, made once per tick."""

    def __init__(self, plant: Plant, record: Record) -> None:
        layout = plant.layout
        self.in_service = record.in_service.astype(int).tolist()
        self.draining = record.draining.astype(int).tolist()
        served = record.served
        if plant.has_batch:
            served = np.where(plant.is_batch, _batch_tokens(plant, record), served)
        self.served = served.tolist()
        self.sequences = record.sequences.tolist()
        self.demand = record.demand
        tokens = np.maximum(layout.output_tokens, 1.0)
        self.waiting = np.rint(record.queue / tokens).astype(int).tolist()
        self.wait_seconds = (record.latency.wait / 1000).tolist()
        arcs = layout.arcs
        per_token = np.zeros(len(layout.names))
        np.divide(record.sequences, record.served, out=per_token, where=record.served > 0)
        self.load_sequences: Array = (
            sums(arcs.load, record.flow * per_token[arcs.placement], len(record.demand))
            + record.lost * layout.sequences_per_rate
        )
        plain = record.demand * layout.sequences_per_rate
        ratio = np.ones(len(plain))
        measured = (plain > 0) & (self.load_sequences > 0)
        np.divide(self.load_sequences, plain, out=ratio, where=measured)
        self.per_rate: Array = np.rint(ratio / RATIO_STEP) * RATIO_STEP * layout.sequences_per_rate
        """Sequences in flight per token/s asked for, by load."""


def _batch_tokens(plant: Plant, record: Record) -> Array:
    """Tokens/s of batch work by placement, from what its engines have in flight."""
    found = np.zeros(len(plant.layout.names))
    for m, here in plant.layout.tables:
        curve = plant.layout.curves[m]
        each = np.zeros(len(here))
        count = record.mean.serving[here]
        np.divide(record.sequences[here], count, out=each, where=count > 0)
        speed = np.interp(record.capped[here], curve.cap_power, curve.cap_rate)
        speed = np.where(record.capped[here] < 1, speed, 1.0)
        found[here] = count * speed * np.interp(each, curve.sequences, curve.rate)
    return found
