"""Status documents back to records and conditions: the inverse of `documents.py`.

Pure. Reads all that must survive a restart, and takes whatever an older version has written: parts
that cannot be read are left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from wattshift.api.site_status import (
    ClusterStatus,
    PowerSiteSummary,
    SignalStatus,
    SitePowerStatus,
    SiteShadowPrices,
)
from wattshift.api.workload_status import Effective, FlexibleWorkloadSummary, Learnt
from wattshift.control.hub.conditions import Condition, parse_utc
from wattshift.control.hub.conditions import load as load_conditions
from wattshift.control.hub.keys import Kind
from wattshift.control.record.records import (
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

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)


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
    moves = int(day.get("count", 0))
    return WorkloadRecord(
        placements=_each(status.get("placements"), _load_placement),
        originals=_each(status.get("originals"), _load_original),
        move=_one(status.get("move"), _load_move),
        moves_today=moves,
        # before shares were counted every hand-over was a whole move
        moved_permille=int(day.get("movedPermille", 1000 * moves)),
        moves_day=str(day.get("date", "")),
        last_change_time=_epoch(status.get("lastChangeTime")),
        paused_since_time=_epoch(status.get("pausedSinceTime")),
        work_since_time=_epoch(status.get("workSinceTime")),
        release_started_utc=_epoch(status.get("releaseStartedTime")),
        decision=_one(status.get("lastDecision"), _load_decision),
        totals=_one(status.get("totals"), _load_totals),
        effective=_model(Effective, status.get("effective")),
        power_watts=status.get("powerWatts"),
        learnt=_model(Learnt, status.get("learnt")),
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
    period = _one(books, lambda text: Period.from_json(json.loads(text)))
    if books and period is None:
        log.error("books of a period cannot be read: they begin anew", extra={"reason": "Bug"})
    return ContractRecord(
        period=period,
        shown={name: part for name, part in status.items() if name not in ours},
    )


_T = TypeVar("_T")


def _one(value: Any, read: Callable[[Any], _T]) -> _T | None:
    if value in (None, ""):
        return None
    try:
        return read(value)
    except Exception:  # noqa: BLE001 - whoever wrote it, it must not hide the object
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
