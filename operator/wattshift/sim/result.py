"""Figures of a run, by window and in total, and as JSON with stable keys (docs/simulator.md).

Sums come from the books; ratios are ratios of sums. `capture` compares a policy with the baseline
and the bounds. Neighbours: `books.py`, `events.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from wattshift.core.contract.bill import Line, LineKind
from wattshift.sim.books import ENERGIES, Sums
from wattshift.sim.events import EventResult
from wattshift.sim.scenario import Array

SCHEMA = "wattshift-simulation/1"
MICRO = 1_000_000
DAY = 86400.0
VOLUMETRIC = frozenset({LineKind.ENERGY, LineKind.SURPLUS})


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowResult:
    """One reported window."""

    name: str
    first_step: int
    sums: Sums
    groups: tuple[tuple[str, str], ...]
    """(objective, class of origins)."""
    bills: Mapping[str, tuple[Line, ...]]
    """By site with a contract: lines of its bill over the window."""
    events: tuple[EventResult, ...]
    events_not_called: int = 0
    """Drawn or listed, but not called: nothing could have been yielded."""
    traces: Mapping[str, Array] = field(default_factory=dict)
    """Some events' power, rows of (start, seconds, watts): for the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One policy on one scenario with one seed."""

    scenario: str
    policy: str
    seed: int
    windows: tuple[WindowResult, ...]
    workloads: int
    sites: tuple[str, ...]
    currencies: tuple[str, ...]
    reporting_currency: str
    exchange_rates: tuple[tuple[str, str], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    # ---- sums ---------------------------------------------------------------------------------

    def of(self, name: str) -> Result:
        """The same with one window."""
        rows = tuple(row for row in self.windows if row.name == name)
        if not rows:
            raise KeyError(name)
        return _with_windows(self, rows)

    @property
    def seconds(self) -> float:
        """Reported time."""
        return sum(row.sums.seconds for row in self.windows)

    @property
    def output_tokens(self) -> float:
        """Served output tokens."""
        return sum(row.sums.served_tokens for row in self.windows)

    @property
    def carbon_grams(self) -> float:
        """Location-based, of all imported energy."""
        return int(sum(int(row.sums.carbon.sum()) for row in self.windows)) / 1000

    @property
    def energy_cost(self) -> float:
        """All-in volumetric bill in the reporting currency.

        Imports at the site's price less sales; with a contract its energy and surplus lines.
        """
        return float(sum(self._components(volumetric=True).values(), Decimal(0)))

    @property
    def bill_total(self) -> float:
        """Every component, fixed charges of the months touched included."""
        return float(sum(self._components(volumetric=False).values(), Decimal(0)))

    def watt_hours(self, part: str) -> float:
        """Energy of one part over all sites and windows."""
        return int(sum(int(row.sums.energy[part].sum()) for row in self.windows)) / 1000

    def components(self) -> dict[str, float]:
        """Bill by component in the reporting currency."""
        return {key: float(value) for key, value in self._components(volumetric=False).items()}

    def _components(self, *, volumetric: bool) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        rates = [self._rate(currency) for currency in self.currencies]
        for window in self.windows:
            for s, rate in enumerate(rates):
                paid, sold = int(window.sums.cost[s]), int(window.sums.sales[s])
                if paid:
                    _add(found, "energy", Decimal(paid) / MICRO * rate)
                if sold:
                    _add(found, "sales", -Decimal(sold) / MICRO * rate)
            for site, lines in window.bills.items():
                rate = rates[self.sites.index(site)]
                for line in lines:
                    if volumetric and line.kind not in VOLUMETRIC:
                        continue
                    if not line.recoverable:
                        _add(found, line.name, line.amount * rate)
        return found

    def _rate(self, currency: str) -> Decimal:
        if currency == self.reporting_currency:
            return Decimal(1)
        for name, rate in self.exchange_rates:
            if name == currency:
                return Decimal(rate)
        return Decimal(1)

    def attainment(self) -> dict[str, dict[str, float]]:
        """Share of requests inside each objective by class of origins."""
        found: dict[str, dict[str, list[float]]] = {}
        for window in self.windows:
            for k, (objective, group) in enumerate(window.groups):
                row = found.setdefault(objective, {}).setdefault(group, [0.0, 0.0])
                row[0] += float(window.sums.requests[k])
                row[1] += float(window.sums.bad[k])
        return {
            name: {
                group: 1.0 - row[1] / row[0] if row[0] > 0 else 1.0
                for group, row in sorted(groups.items())
            }
            for name, groups in sorted(found.items())
        }

    @property
    def events(self) -> tuple[EventResult, ...]:
        """Events of all windows."""
        return tuple(row for window in self.windows for row in window.events)

    @property
    def events_not_called(self) -> int:
        """Of all windows."""
        return sum(window.events_not_called for window in self.windows)

    # ---- JSON ---------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain document; the keys are documented in docs/simulator.md and stay."""
        return {
            "schema": SCHEMA,
            "scenario": self.scenario,
            "policy": self.policy,
            "seed": self.seed,
            "currency": self.reporting_currency,
            "total": _figures(self),
            "windows": {row.name: _figures(self.of(row.name)) for row in self.windows},
            "events": [_event(row) for row in self.events],
            **self.extra,
        }


def _with_windows(result: Result, rows: tuple[WindowResult, ...]) -> Result:
    return Result(
        scenario=result.scenario,
        policy=result.policy,
        seed=result.seed,
        windows=rows,
        workloads=result.workloads,
        sites=result.sites,
        currencies=result.currencies,
        reporting_currency=result.reporting_currency,
        exchange_rates=result.exchange_rates,
    )


def _add(sums: dict[str, Decimal], name: str, value: Decimal) -> None:
    sums[name] = sums.get(name, Decimal(0)) + value


def _figures(result: Result) -> dict[str, Any]:
    rows = [row.sums for row in result.windows]
    tokens = result.output_tokens
    millions = tokens / 1e6
    days = result.seconds / DAY * max(1, result.workloads)
    facility, it = result.watt_hours("facility"), result.watt_hours("it")
    used = facility + result.watt_hours("uncontrolled")
    own = result.watt_hours("taken")
    supply = result.watt_hours("supply")
    energies = {key: result.watt_hours(key) / 1000 for key in ENERGIES}
    green = float(sum(float(row.green.sum()) for row in rows)) / 1000
    plan = [value for row in rows for value in row.plan_seconds]
    govern = [value for row in rows for value in row.govern_seconds]
    moved = sum(float(row.moved.sum()) for row in rows)
    reversals = sum(float(row.reversals.sum()) for row in rows)
    bounds = [value for row in rows for value in row.bounds_per_hour]
    return {
        "seconds": result.seconds,
        "outputTokens": tokens,
        "demandTokens": sum(row.demand_tokens for row in rows),
        "lostTokens": sum(row.lost_tokens for row in rows),
        "queuedTokens": sum(row.queue_end - row.queue_begin for row in rows),
        "volumetricBill": result.energy_cost,
        "bill": result.bill_total,
        "billComponents": dict(sorted(result.components().items())),
        "carbonGrams": result.carbon_grams,
        "carbonGramsPerMillionTokens": _ratio(result.carbon_grams, millions),
        "energyCostPerMillionTokens": _ratio(result.energy_cost, millions),
        "itJoulesPerToken": _ratio(it * 3600, tokens),
        "greenShareHourly": _ratio(green, used),
        # own generation less what is exported, curtailed or lost in storage (docs/contract.md)
        "certificateRatio": _ratio(used - result.watt_hours("import"), used),
        "itKilowattHours": it / 1000,
        "facilityKilowattHours": facility / 1000,
        "energyKilowattHours": energies,
        "ownSupplyUsedKilowattHours": own / 1000,
        "ownSupplyUsedShare": _ratio(own, supply),
        "curtailedKilowattHours": energies["curtailed"],
        "attainment": result.attainment(),
        "movesPerWorkloadDay": _ratio(moved, days),
        "reversalsPerWorkloadDay": _ratio(reversals, days),
        "replicaReversalsPerWorkloadDay": _ratio(sum(row.replica_reversals for row in rows), days),
        "reroutedShare": _ratio(sum(row.rerouted_tokens for row in rows), tokens),
        "pastMarginShare": _ratio(sum(row.past_margin_tokens for row in rows), tokens),
        "replicaHours": sum(row.replica_hours for row in rows),
        "replicaStarts": sum(row.starts for row in rows),
        "replicaWakes": sum(row.wakes for row in rows),
        "replicasRefused": sum(row.refused for row in rows),
        "importLimitViolationSeconds": sum(row.over_import_seconds for row in rows),
        "importLimitViolationKilowattHours": sum(row.over_import_milliwatt_hours for row in rows)
        / 1e6,
        "coolingLimitViolationSeconds": sum(row.over_cooling_seconds for row in rows),
        "batchUnitsArrived": sum(float(row.batch_arrived.sum()) for row in rows),
        "batchUnitsDone": sum(float(row.batch_done.sum()) for row in rows),
        "batchUnitsLate": sum(float(row.batch_late.sum()) for row in rows),
        "events": event_figures(result.events, result.events_not_called),
        "planSeconds": _percentiles(plan),
        "governSeconds": _percentiles(govern),
        "meanBoundPerHour": float(np.mean(bounds)) if bounds else None,
    }


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def _percentiles(values: Sequence[float]) -> dict[str, float | int | None]:
    if not values:
        return {"count": 0, "p50": None, "p99": None}
    array: Array = np.asarray(values)
    return {
        "count": len(values),
        "p50": float(np.percentile(array, 50)),
        "p99": float(np.percentile(array, 99)),
    }


def _event(row: EventResult) -> dict[str, Any]:
    return {
        "name": row.name,
        "site": row.site,
        "durationSeconds": row.duration_seconds,
        "referenceWatts": row.reference_watts,
        "upperWatts": row.upper_watts,
        "lowerWatts": row.lower_watts,
        "secondsToShed": row.seconds_to_shed,
        "error": row.error,
        "overCurtailment": row.over_curtailment,
        "belowUpper": row.below_upper,
        "rebound": row.rebound,
        "samples": row.samples,
        "samplesInside": row.samples_inside,
        "met": row.met,
    }


def event_figures(events: Sequence[EventResult], not_called: int = 0) -> dict[str, Any]:
    """Compliance over all called events; what lies below an upper bound over those that have one."""
    shed = [row.seconds_to_shed for row in events if row.seconds_to_shed is not None]
    upper = [row for row in events if row.upper_watts is not None]
    samples = sum(row.samples for row in events)
    return {
        "count": len(events),
        "notCalled": not_called,
        "met": sum(row.met for row in events),
        "samplesInsideShare": _ratio(sum(row.samples_inside for row in events), samples),
        "secondsToShed": _percentiles(shed),
        "meanError": _mean([row.error for row in events]),
        "meanOverCurtailment": _mean([row.over_curtailment for row in upper]),
        "meanBelowUpper": _mean([row.below_upper for row in upper]),
        "highestRebound": max((row.rebound for row in events), default=None),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


# ---- comparison ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What part of the possible reduction a policy reached, and where the rest went."""

    objective: str
    baseline: float
    policy: float
    bound: float
    ratio: float | None
    """(baseline - policy) / (baseline - bound)."""
    lost: dict[str, float]
    """Points of the ratio lost to margin, rounding, moves and information, where they are known."""


def capture(
    baseline: float,
    policy: float,
    bound: float,
    *,
    objective: str = "",
    bound_without_margin: float | None = None,
    rounded_bound: float | None = None,
    rounded_bound_with_moves: float | None = None,
) -> Capture:
    """Capture ratio of an objective on `[baseline, bound]`.

    Args:
        baseline: J of B0.
        policy: J of the policy.
        bound: J of the bound that the ratio is declared on (B8m).
        objective: name.
        bound_without_margin: J of B8; what the margin costs everybody.
        rounded_bound: J with perfect information and whole replicas.
        rounded_bound_with_moves: that, and start-up and move costs as well.
    """
    span = baseline - bound
    if span <= 0:
        return Capture(
            objective=objective,
            baseline=baseline,
            policy=policy,
            bound=bound,
            ratio=None,
            lost={},
        )
    lost: dict[str, float] = {}
    if bound_without_margin is not None:
        lost["margin"] = (bound - bound_without_margin) / span
    last = bound
    for name, value in (("rounding", rounded_bound), ("moves", rounded_bound_with_moves)):
        if value is not None:
            lost[name] = (value - last) / span
            last = value
    lost["information"] = (policy - last) / span
    return Capture(
        objective=objective,
        baseline=baseline,
        policy=policy,
        bound=bound,
        ratio=(baseline - policy) / span,
        lost=lost,
    )


def reduced(base: float | None, value: float | None) -> float | None:
    """What is less than `base` as a share of its size; a bill may be below zero."""
    if not base or value is None:
        return None
    return (base - value) / abs(base)


def compare(result: Result, baseline: Result) -> dict[str, Any]:
    """Differences from a baseline over the same windows: reductions, latency loss in points."""
    mine, theirs = _figures(result), _figures(baseline)
    loss: dict[str, dict[str, float]] = {}
    ours = result.attainment()
    for objective, groups in baseline.attainment().items():
        loss[objective] = {
            group: 100.0 * (share - ours[objective][group]) for group, share in groups.items()
        }
    worst = max((value for groups in loss.values() for value in groups.values()), default=None)

    def reduction(key: str) -> float | None:
        return reduced(theirs[key], mine[key])

    return {
        "baseline": baseline.policy,
        "carbonReduction": reduction("carbonGrams"),
        "billReduction": reduction("volumetricBill"),
        "itJoulesPerTokenReduction": reduction("itJoulesPerToken"),
        "facilityEnergyReduction": reduction("facilityKilowattHours"),
        "curtailedAbsorbedKilowattHours": theirs["curtailedKilowattHours"]
        - mine["curtailedKilowattHours"],
        "latencyLossPoints": loss,
        "worstLatencyLossPoints": worst,
    }
