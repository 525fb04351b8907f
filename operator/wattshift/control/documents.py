"""Records and conditions to status documents, and back: the only mapping between the two.

Pure. `compose` gives the whole status of an object (a partial one would delete the rest); `load` is
its inverse for all that must survive a restart, and takes whatever an older version has written.
Fields are those of `wattshift/api/*_status.py`; a test validates what is composed against them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from wattshift.api.site_status import (
    ClusterStatus,
    PowerSiteSummary,
    SignalStatus,
    SitePowerStatus,
    SiteShadowPrices,
)
from wattshift.api.workload_status import Effective, FlexibleWorkloadSummary
from wattshift.control.conditions import Condition, format_utc, parse_utc
from wattshift.control.conditions import load as load_conditions
from wattshift.control.keys import Kind
from wattshift.control.records import (
    AlternativeRecord,
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
from wattshift.core.model import Original

_TEXT, _MESSAGE = 256, 1024
_PERIOD_QUANTITIES = frozenset(
    {"Import", "Export", "GrossUse", "SelfUse", "Available", "Curtailed", "ItLoad", "Green"}
)
ModelT = TypeVar("ModelT", bound=BaseModel)


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
    day = {"date": record.moves_day, "count": record.moves_today} if record.moves_day else None
    return {
        "placements": [_placement(row) for row in record.placements],
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
        "movesToday": day,
        "lastChangeTime": _time(record.last_change_time),
        "releaseStartedTime": _time(record.release_started_utc),
        "pausedSinceTime": _time(record.paused_since_time),
        "totals": _totals(record.totals),
        "powerWatts": record.power_watts,
        "summary": _dump(record.summary),
    }


def _placement(row: PlacementRecord) -> dict[str, Any]:
    return {
        "name": row.name,
        "desiredReplicas": row.desired_replicas,
        "lastWrittenReplicas": row.last_written_replicas,
        "lastWriteTime": _time(row.last_write_time),
        "observed": row.observed_replicas,
        "ready": row.ready_replicas,
        "inService": row.in_service_replicas,
        "targetUID": row.target_uid or None,
        "clusterUID": row.cluster_uid or None,
        "message": row.message[:_TEXT] or None,
    }


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
        "summary": _dump(record.summary),
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


# ---- load ------------------------------------------------------------------------------------


def load(kind: Kind, status: Mapping[str, Any]) -> tuple[Record, dict[str, Condition]]:
    """Record and conditions from a status; parts that cannot be read are left out."""
    conditions = load_conditions(status.get("conditions") or ())
    if kind is Kind.FLEXIBLE_WORKLOAD:
        return _load_workload(status), conditions
    if kind is Kind.POWER_SITE:
        return _load_site(status), conditions
    return _load_contract(status), conditions


def _load_workload(status: Mapping[str, Any]) -> WorkloadRecord:
    day = status.get("movesToday") or {}
    return WorkloadRecord(
        placements=_each(status.get("placements"), _load_placement),
        originals=_each(status.get("originals"), _load_original),
        move=_one(status.get("move"), _load_move),
        moves_today=int(day.get("count", 0)),
        moves_day=str(day.get("date", "")),
        last_change_time=_epoch(status.get("lastChangeTime")),
        paused_since_time=_epoch(status.get("pausedSinceTime")),
        release_started_utc=_epoch(status.get("releaseStartedTime")),
        decision=_one(status.get("lastDecision"), _load_decision),
        totals=_one(status.get("totals"), _load_totals),
        effective=_model(Effective, status.get("effective")),
        power_watts=status.get("powerWatts"),
        summary=_model(FlexibleWorkloadSummary, status.get("summary")),
    )


def _load_placement(row: Mapping[str, Any]) -> PlacementRecord:
    return PlacementRecord(
        name=row["name"],
        desired_replicas=row.get("desiredReplicas"),
        last_written_replicas=row.get("lastWrittenReplicas"),
        last_write_time=_epoch(row.get("lastWriteTime")),
        target_uid=row.get("targetUID", ""),
        cluster_uid=row.get("clusterUID", ""),
        observed_replicas=row.get("observed"),
        ready_replicas=row.get("ready"),
        in_service_replicas=row.get("inService"),
        message=row.get("message", ""),
    )


def _load_original(row: Mapping[str, Any]) -> Original:
    return Original(
        placement_name=row["placementName"],
        cluster_uid=row["clusterUID"],
        target_uid=row["targetUID"],
        replicas=int(row["replicas"]),
        captured_time=parse_utc(row["capturedTime"]),
    )


def _load_move(row: Mapping[str, Any]) -> MoveRecord:
    source, destination = row["sourceReplicas"], row["destinationReplicas"]
    return MoveRecord(
        id=row["id"],
        source_name=row["sourcePlacement"],
        destination_name=row["destinationPlacement"],
        source_before=row.get("sourceStartReplicas", source),
        destination_before=row.get("destinationStartReplicas", destination),
        source_replicas=source,
        destination_replicas=destination,
        started_time=parse_utc(row["startedTime"]),
        deadline_utc=parse_utc(row["deadlineTime"]),
        reason=row.get("reason", ""),
        aborting=row.get("step") == "Abort",
        restarted=bool(row.get("restarts", 0)),
        step=row.get("step", "Reserve"),
    )


def _load_decision(row: Mapping[str, Any]) -> DecisionRecord:
    return DecisionRecord(
        time=parse_utc(row["time"]),
        action=row["action"],
        reason=row.get("reason", ""),
        message=row.get("message", ""),
        plan_id=row.get("planID", ""),
        mode=row.get("mode", ""),
        targets=tuple((item["name"], item["replicas"]) for item in row.get("placements") or ()),
        alternatives=tuple(
            AlternativeRecord(
                action=item["action"], reason=item.get("reason", ""), message=item["summary"]
            )
            for item in row.get("alternatives") or ()
        ),
    )


def _load_totals(row: Mapping[str, Any]) -> TotalsRecord:
    return TotalsRecord(
        since_time=parse_utc(row["sinceTime"]),
        watt_hours=row.get("wattHours", 0),
        green_watt_hours=row.get("greenWattHours", 0),
        saved_watt_hours=row.get("savedWattHours", 0),
        carbon_grams=row.get("carbonGrams", 0),
        saved_carbon_grams=row.get("savedCarbonGrams", 0),
        cost=row.get("cost", "0"),
        saved_cost=row.get("savedCost", "0"),
        output_tokens=row.get("outputTokens", 0),
    )


def _load_site(status: Mapping[str, Any]) -> SiteRecord:
    return SiteRecord(
        active_events=_each(status.get("activeEvents"), _load_event),
        clusters=_each(status.get("clusters"), ClusterStatus.model_validate),
        power=_model(SitePowerStatus, status.get("power")),
        signals=_each(status.get("signals"), SignalStatus.model_validate),
        shadow_prices=_model(SiteShadowPrices, status.get("shadowPrices")),
        summary=_model(PowerSiteSummary, status.get("summary")),
    )


def _load_event(row: Mapping[str, Any]) -> EventRecord:
    program = row.get("program") or {}
    return EventRecord(
        name=row["name"],
        revision=row.get("revision", 0),
        state=row["state"],
        connection_name=row.get("connectionName", ""),
        start_time=parse_utc(row["startTime"]),
        end_time=parse_utc(row["endTime"]),
        firmness=row["firmness"],
        type=row["type"],
        reference=row["reference"],
        upper_watts=row.get("upperWatts"),
        lower_watts=row.get("lowerWatts"),
        frozen_reference_watts=row.get("frozenWatts"),
        ramp_seconds=row.get("rampSeconds", 0),
        contract_name=program.get("contractName", ""),
        program_name=program.get("programName", ""),
        received_time=_epoch(row.get("receivedTime")),
        message=row.get("message", ""),
    )


def _load_contract(status: Mapping[str, Any]) -> ContractRecord:
    ours = {"conditions", "observedGeneration", "gridClockSpeed", "period"}
    books = (status.get("period") or {}).get("books")
    return ContractRecord(
        period=_one(books, lambda text: Period.from_json(json.loads(text))),
        shown={name: part for name, part in status.items() if name not in ours},
    )


_T = TypeVar("_T")


def _one(value: Any, read: Callable[[Any], _T]) -> _T | None:
    if value in (None, ""):
        return None
    try:
        return read(value)
    except (KeyError, TypeError, ValueError):
        return None


def _each(rows: Any, read: Callable[[Any], _T]) -> tuple[_T, ...]:
    found = (_one(row, read) for row in rows or ())
    return tuple(row for row in found if row is not None)


def _model(model: type[ModelT], value: Any) -> ModelT | None:
    if not value:
        return None
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _epoch(text: str | None) -> float | None:
    return _one(text, parse_utc)
