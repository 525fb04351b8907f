"""What `/v1` answers, from what the loops left behind. Values only; there is no secret in them.

Neighbours: `latest.py` and `recorder.py` (sources), `api_server.py` (HTTP), `core/explain.py` (words).
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from wattshift import __version__
from wattshift.control.hub.conditions import format_utc
from wattshift.control.latest import Latest
from wattshift.control.record.recorder import (
    Recorder,
    Step,
    dump_snapshot,
    governance_document,
    plan_document,
    snapshot_hash,
)
from wattshift.control.runtime import Runtime
from wattshift.core.decision import Decision, SiteOutlook
from wattshift.core.explain import (
    bound_line,
    capacity_lines,
    decision_lines,
    governance_lines,
    notes_for,
    plan_lines,
    site_line,
)

Document = dict[str, Any]


def status_view(runtime: Runtime, latest: Latest, recorder: Recorder) -> Document:
    """State of the leading process."""
    plan = latest.plan
    config = runtime.config
    return {
        "version": __version__,
        "mode": config.mode.value,
        "leader": runtime.elector.identity,
        "namespace": config.own_namespace,
        "reportingCurrency": config.reporting_currency,
        "gridTime": format_utc(runtime.clock.grid()),
        "gridClockSpeed": runtime.clock.speed,
        "beatAgesSeconds": {k: round(v, 1) for k, v in runtime.progress.ages().items()},
        "lastPlan": None
        if plan is None
        else {
            "id": plan.id,
            "gridTime": format_utc(plan.grid_time),
            "validUntil": format_utc(plan.valid_until),
            "decisions": len(plan.decisions),
        },
        "recordedSteps": len(recorder.steps()),
    }


def plan_view(runtime: Runtime, latest: Latest) -> Document | None:
    """Last plan, the hash of what it saw, and what became of it; None before the first."""
    plan, snapshot = latest.plan, latest.plan_snapshot
    if plan is None or snapshot is None:
        return None
    currency = runtime.config.reporting_currency
    return {
        "plan": plan_document(plan),
        "snapshotHash": snapshot_hash(snapshot),
        "reportingCurrency": currency,
        "outcomes": [asdict(row) for row in latest.plan_acted],
        "text": list(plan_lines(plan, currency)),
    }


def snapshot_view(latest: Latest) -> Document | None:
    """What the last plan saw, with its hash; None before the first."""
    snapshot = latest.plan_snapshot
    if snapshot is None:
        return None
    return {
        "snapshotHash": snapshot_hash(snapshot),
        "snapshot": json.loads(dump_snapshot(snapshot)),
    }


def explain_view(runtime: Runtime, latest: Latest, key: str, *, sites: bool) -> Document | None:
    """All that is known about one workload's last decisions; None if the loops do not know it.

    Args:
        runtime: of the leading process.
        latest: what the loops left behind.
        key: `namespace/name`.
        sites: whether the caller may read PowerSites; without it their power and signals are left
            out, because they tell about other people's workloads.
    """
    snapshot = latest.plan_snapshot or latest.snapshot
    if snapshot is None:
        return None
    here = next((row for row in snapshot.workloads if row.key == key), None)
    if here is None:
        return None
    places = {row.site_name for row in here.placements}
    # this workload and its sites alone: all of a large fleet would hold up the loops for half a second
    near = tuple(row for row in snapshot.sites if row.name in places)
    body = json.loads(dump_snapshot(replace(snapshot, workloads=(here,), sites=near)))
    state = body["workloads"][0]
    plan, governance = latest.plan, latest.governance
    decision = _of(plan.decisions, key) if plan is not None else None
    urgent = _of(governance.decisions, key) if governance is not None else None
    currency = runtime.config.reporting_currency
    view: Document = {
        "workload": key,
        "gridTime": format_utc(snapshot.grid_time),
        "planID": plan.id if plan is not None else "",
        "snapshotHash": snapshot_hash(snapshot),
        "reportingCurrency": currency,
        "state": state,
        "decision": None,
        "governance": None,
        "outcomes": [asdict(row) for row in latest.plan_acted if row.workload_key == key],
        "text": [],
    }
    if plan is not None and decision is not None:
        alone = plan_document(replace(plan, decisions=(decision,), sites=()))
        view["decision"] = alone["decisions"][0]
        view["text"] += decision_lines(decision, currency)
        told = bound_line(plan, currency)
        view["text"] += [*([told] if told else []), *notes_for(plan, key)]
        view["text"] += capacity_lines(snapshot, here)
    if governance is not None:
        if urgent is not None:
            told_now = governance_document(replace(governance, decisions=(urgent,)))
            view["governance"] = told_now["decisions"][0]
            view["text"] += decision_lines(urgent, currency)
        vetoes = [row for row in governance.vetoes if row[0] == key]
        view["vetoes"] = [{"reason": row[1], "message": row[2]} for row in vetoes]
        view["text"] += [f"veto: {row[1]}: {row[2]}" for row in vetoes]
    if sites:
        rows: tuple[SiteOutlook, ...] = plan.sites if plan is not None else ()
        feeds = [row for row in rows if row.site_name in places]
        view["sites"] = [asdict(row) for row in feeds]
        view["signals"] = {site["name"]: site["signals"] for site in body["sites"]}
        view["text"] += [f"site: {site_line(row, currency)}" for row in feeds]
    return view


def steps_view(runtime: Runtime, recorder: Recorder) -> Document:
    """What the flight recorder holds; `/v1/steps/NUMBER` gives one for `wattshift replay`."""
    currency = runtime.config.reporting_currency
    return {"steps": [_step_row(n, row, currency) for n, row in enumerate(recorder.steps())]}


def _step_row(number: int, step: Step, currency: str) -> Document:
    lines: tuple[str, ...] = ()
    if step.plan is not None:
        lines = plan_lines(step.plan, currency, holds=False)
    elif step.governance is not None:
        lines = governance_lines(step.governance, currency)
    return {
        "number": number,
        "kind": "plan" if step.plan is not None else "govern",
        "id": step.plan.id if step.plan is not None else "",
        "gridTime": format_utc(step.snapshot.grid_time),
        "outcomes": [asdict(row) for row in step.outcomes],
        "text": list(lines),
    }


def _of(decisions: tuple[Decision, ...], key: str) -> Decision | None:
    return next((row for row in decisions if row.workload_key == key), None)
