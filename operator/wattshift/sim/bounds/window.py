"""Some steps of a scenario as a scenario of their own, so that a bound only builds what it solves."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from wattshift.sim.scenario import Scenario, Signal, SimSite, SimWorkload


def cut(scenario: Scenario, first_step: int, last_step: int) -> Scenario:
    """Steps `[first_step, last_step)`; events and faults keep their time, windows are dropped."""
    if first_step == 0 and last_step == scenario.steps:
        return scenario
    span = slice(first_step, last_step)
    offset = first_step * scenario.step_seconds
    return replace(
        scenario,
        start_time=scenario.start_time + offset,
        steps=last_step - first_step,
        sites=tuple(_site(row, span) for row in scenario.sites),
        workloads=tuple(_workload(row, span) for row in scenario.workloads),
        events=tuple(
            replace(row, start_seconds=row.start_seconds - offset) for row in scenario.events
        ),
        faults=tuple(
            replace(row, start_seconds=row.start_seconds - offset) for row in scenario.faults
        ),
        windows=(),
    )


def _site(site: SimSite, span: slice) -> SimSite:
    changed: dict[str, Any] = {}
    for row in fields(site):
        value = getattr(site, row.name)
        if isinstance(value, Signal):
            changed[row.name] = replace(value, values=value.values[span])
    return replace(site, **changed)


def _workload(workload: SimWorkload, span: slice) -> SimWorkload:
    changed: dict[str, Any] = {}
    if workload.demand_tokens_per_second.size:
        changed["demand_tokens_per_second"] = workload.demand_tokens_per_second[span]
    if workload.batch is not None:
        arrivals = workload.batch.arrivals_units[span]
        changed["batch"] = replace(workload.batch, arrivals_units=arrivals)
    return replace(workload, **changed)
