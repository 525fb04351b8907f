"""Records and conditions to status documents; `documents_load.py` is the way back.

Pure. `compose` gives the whole status of an object: a partial one would delete the rest.
Fields are those of `wattshift/api/*_status.py`; a test validates what is composed against them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from wattshift.control.hub.conditions import Condition, format_utc
from wattshift.control.hub.keys import Kind
from wattshift.control.record.records import (
    ContractRecord,
    DecisionRecord,
    EventRecord,
    MoveRecord,
    PlacementRecord,
    Record,
    SiteRecord,
    TotalsRecord,
    WorkloadRecord,
)
from wattshift.core.contract.period import Period

_TEXT, _MESSAGE = 256, 1024
_MOST_REPLICAS, _MOST_PLACEMENTS = 10_000, 16
"""The schema's bounds: a status that exceeds one is refused whole, and nothing can be recorded."""
_PERIOD_QUANTITIES = frozenset(
    {"Import", "Export", "GrossUse", "SelfUse", "Available", "Curtailed", "ItLoad", "Green"}
)


# ---- compose ---------------------------------------------------------------------------------


def compose(
    kind: Kind,
    record: Record,
    conditions: Sequence[Condition],
    *,
    generation: int,
    speed: float = 1.0,
) -> dict[str, Any]:
    """The whole status: equal inputs give equal documents; what is unknown is left out."""
    status: dict[str, Any] = {
        "conditions": [row.document() for row in sorted(conditions, key=lambda row: row.type)],
        "observedGeneration": generation,
        "gridClockSpeed": round(speed) if speed != 1.0 else None,
    }
    if isinstance(record, WorkloadRecord):
        status |= _workload(record)
    elif isinstance(record, SiteRecord):
        status |= _site(record)
    else:
        status |= _contract(record)
    del kind
    pruned: dict[str, Any] = _pruned(status)
    return pruned


def _workload(record: WorkloadRecord) -> dict[str, Any]:
    return {
        "placements": [_placement(row) for row in _fitting(record)],
        "originals": [
            {
                "placementName": row.placement_name,
                "clusterUID": row.cluster_uid,
                "targetUID": row.target_uid,
                "replicas": row.replicas,
                "capturedTime": format_utc(row.captured_time),
            }
            for row in record.originals
        ],
        "move": _move(record.move),
        "lastDecision": _decision(record.decision),
        "effective": _dump(record.effective),
        "movesToday": _moves(record),
        "lastChangeTime": _time(record.last_change_time),
        "releaseStartedTime": _time(record.release_started_utc),
        "pausedSinceTime": _time(record.paused_since_time),
        "workSinceTime": _time(record.work_since_time),
        "totals": _totals(record.totals),
        "powerWatts": record.power_watts,
        "learnt": _dump(record.learnt),
        "summary": _summary(record.summary),
    }


def _moves(record: WorkloadRecord) -> dict[str, Any] | None:
    if not record.moves_day:
        return None
    return {
        "date": record.moves_day,
        "count": record.moves_today,
        "movedPermille": record.moved_permille,
    }


def _fitting(record: WorkloadRecord) -> list[PlacementRecord]:
    """Rows that fit: those of targets that are held first, where a spec named others before."""
    held = {row.placement_name for row in record.originals}
    ranked = sorted(record.placements, key=lambda row: row.name not in held)
    chosen = {row.name for row in ranked[:_MOST_PLACEMENTS]}
    return [row for row in record.placements if row.name in chosen]


def _placement(row: PlacementRecord) -> dict[str, Any]:
    return {
        "name": row.name,
        "desiredReplicas": row.desired_replicas,
        "lastWrittenReplicas": row.last_written_replicas,
        "lastWriteTime": _time(row.last_write_time),
        "observed": _shown(row.observed_replicas),
        "ready": _shown(row.ready_replicas),
        "inService": _shown(row.in_service_replicas),
        "targetUID": row.target_uid or None,
        "clusterUID": row.cluster_uid or None,
        "message": row.message[:_TEXT] or None,
    }


def _shown(count: int | None) -> int | None:
    return None if count is None else min(count, _MOST_REPLICAS)


def _move(move: MoveRecord | None) -> dict[str, Any] | None:
    if move is None:
        return None
    return {
        "id": move.id[:64],
        "sourcePlacement": move.source_name,
        "destinationPlacement": move.destination_name,
        "sourceReplicas": move.source_replicas,
        "destinationReplicas": move.destination_replicas,
        "sourceStartReplicas": move.source_before,
        "destinationStartReplicas": move.destination_before,
        "step": "Abort" if move.aborting else move.step,
        "startedTime": format_utc(move.started_time),
        "deadlineTime": format_utc(move.deadline_utc),
        "restarts": int(move.restarted),
        "reason": move.reason,
    }


def _decision(row: DecisionRecord | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "time": format_utc(row.time),
        "action": row.action,
        "reason": row.reason,
        "message": row.message[:_MESSAGE],
        "planID": row.plan_id[:64] or None,
        "mode": row.mode or None,
        "placements": [{"name": name, "replicas": count} for name, count in row.targets],
        "alternatives": [
            {"action": other.action, "summary": other.message[:_TEXT], "reason": other.reason}
            for other in row.alternatives[:3]
        ],
    }


def _totals(row: TotalsRecord | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "sinceTime": format_utc(row.since_time),
        "wattHours": row.watt_hours,
        "greenWattHours": row.green_watt_hours,
        "savedWattHours": row.saved_watt_hours,
        "carbonGrams": row.carbon_grams,
        "savedCarbonGrams": row.saved_carbon_grams,
        "cost": row.cost,
        "savedCost": row.saved_cost,
        "outputTokens": row.output_tokens,
    }


def _site(record: SiteRecord) -> dict[str, Any]:
    return {
        "clusters": [_dump(row) for row in sorted(record.clusters, key=lambda row: row.name)],
        "power": _dump(record.power),
        "signals": [_dump(row) for row in sorted(record.signals, key=lambda row: row.name)],
        "activeEvents": [_event(row) for row in record.active_events],
        "shadowPrices": _dump(record.shadow_prices),
        "summary": _summary(record.summary),
    }


def _event(row: EventRecord) -> dict[str, Any]:
    program = None
    if row.contract_name and row.program_name:
        program = {"contractName": row.contract_name, "programName": row.program_name}
    return {
        "name": row.name,
        "revision": row.revision,
        "state": row.state,
        "type": row.type,
        "reference": row.reference,
        "firmness": row.firmness,
        "connectionName": row.connection_name or None,
        "startTime": format_utc(row.start_time),
        "endTime": format_utc(row.end_time),
        "lowerWatts": row.lower_watts,
        "upperWatts": row.upper_watts,
        "frozenWatts": row.frozen_reference_watts,
        "rampSeconds": row.ramp_seconds or None,
        "receivedTime": _time(row.received_time),
        "program": program,
        "message": row.message[:_TEXT] or None,
    }


def _contract(record: ContractRecord) -> dict[str, Any]:
    status = dict(record.shown)
    status["period"] = _period(record.period)
    return status


def _period(period: Period | None) -> dict[str, Any] | None:
    if period is None:
        return None
    month = _month_of(period.start_time)
    return {
        "startTime": format_utc(period.start_time),
        "untilTime": format_utc(period.metered_until),
        "wattHours": [
            {"quantity": name, "wattHours": value}
            for name, value in sorted(period.watt_hours.items())
            if name in _PERIOD_QUANTITIES
        ],
        "peaks": [
            {"componentName": name, "month": month, "peakWatts": value}
            for name, value in sorted(period.peak_watts.items())
            if value >= 0
        ],
        "missingSeconds": period.missing_seconds,
        "books": json.dumps(period.to_json(), separators=(",", ":"), sort_keys=True),
    }


def _month_of(epoch_seconds: float) -> str:
    # NB: the start of a local month lies in the month before, in UTC, east of Greenwich.
    return format_utc(epoch_seconds + 86_400)[:7]


def _dump(model: BaseModel | None) -> dict[str, Any] | None:
    if model is None:
        return None
    document: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document


def _summary(model: BaseModel | None) -> dict[str, Any] | None:
    document = _dump(model)
    return None if document is None else {name: text[:_TEXT] for name, text in document.items()}


def _time(epoch_seconds: float | None) -> str | None:
    return None if epoch_seconds is None else format_utc(epoch_seconds)


def _pruned(value: Any) -> Any:
    """Without nulls and empty containers inside mappings: absent is the one form of nothing."""
    if isinstance(value, Mapping):
        pruned = {name: _pruned(part) for name, part in value.items()}
        return {name: part for name, part in pruned.items() if part not in (None, [], {})}
    if isinstance(value, list | tuple):
        return [_pruned(part) for part in value]
    return value


def contains(observed: Any, applied: Any) -> bool:
    """Whether all that we applied is still there; what others or defaults added does not matter."""
    if isinstance(applied, Mapping):
        return isinstance(observed, Mapping) and all(
            name in observed and contains(observed[name], part) for name, part in applied.items()
        )
    if isinstance(applied, list):
        return (
            isinstance(observed, list)
            and len(observed) >= len(applied)
            and all(any(contains(o, a) for o in observed) for a in applied)
        )
    return bool(observed == applied)
