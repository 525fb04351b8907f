"""What would change a decision: the times, values and people it waits for, read from objects.

Pure text from status and spec; it knows no more than `kubectl get -o yaml` shows. Neighbour: `explain.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from wattshift.cli.output import conditions
from wattshift.core.reasons import Reason
from wattshift.kube.resources import Json

_HINTS: dict[str, str] = {
    Reason.NOTHING_TO_GAIN: "a difference of prices, carbon or own supply between its sites that"
    " pays for the change, or a change of load",
    Reason.PAYBACK_TOO_LONG: "a larger difference of prices: the move costs more than it saves",
    Reason.MOVES_EXHAUSTED: "the next day, or a larger flexibility.maxMovesPerDay",
    Reason.BUDGET_EXHAUSTED: "other changes at the same site coming to their end",
    Reason.ACTION_NOT_ALLOWED: "the action in flexibility.actions",
    Reason.SIGNALS_STALE: "fresh signals (see SignalsFresh of its sites)",
    Reason.PRICE_UNKNOWN: "a known price: a contract in force on every connection, and its indices",
    Reason.POWER_UNKNOWN: "a meter or a power profile with watts",
    Reason.PROFILE_HAS_NO_POWER: "watts in the power profile (docs: measure idle, floor and busy)",
    Reason.PROFILE_NOT_FOUND: "a power profile of that name",
    Reason.MEMBER_LOST: "the cluster answering again",
    Reason.TARGET_NOT_FOUND: "the target existing with the label wattshift.io/flexible",
    Reason.CONFLICT: "its other writer (HPA, KEDA, Argo CD, a person) letting go of spec.replicas",
    Reason.ROLLOUT_IN_PROGRESS: "the roll-out coming to its end",
    Reason.CAPACITY_SHORT: "room at a site within every limit, or a larger maximum",
    Reason.ORIGINALS_UNKNOWN: "placements[].baselineReplicas being set",
    Reason.NOT_ACCEPTED: "the condition Accepted becoming True",
    Reason.MODE_OBSERVE: "mode Enforce in the installation, its sites and the workload",
    Reason.MODE_RECOMMEND: "mode Enforce in the installation, its sites and the workload",
    Reason.LATENCY_GUARD: "the latency objective being met again for three clean windows",
    Reason.QUEUE_GROWING: "the queue of requests becoming shorter",
    Reason.METRICS_STALE: "the engines' metrics being read again",
    Reason.OBJECTIVE_UNKNOWN: "more requests: there are too few to judge the objective",
    Reason.OBJECTIVE_NOT_OBSERVABLE: "an objective that the engine's metrics can show",
    Reason.EXPENSIVE_POWER: "cheaper power, or the deadline",
    Reason.EVENT_LIMIT: "the end of the power event",
    Reason.SITE_LIMIT: "power at the site falling below its limit",
    Reason.COOLING_LIMIT: "the cooling limit rising",
}


def what_would_change(
    workload: Json, sites: Iterable[Json], contracts: Iterable[Json]
) -> tuple[str, ...]:
    """Lines for people, the most certain first."""
    status = workload.get("status") or {}
    spec = workload["spec"]
    decision = status.get("lastDecision") or {}
    lines: list[str] = []
    override = spec.get("override")
    if override:
        lines.append(
            f"the override {override['mode']} of {override['requestedBy']} ends"
            f" {override['untilTime']} ({override['reason']})"
        )
    for kind in ("Accepted", "TargetsResolved"):
        row = conditions(workload).get(kind)
        if row and row["status"] == "False":
            lines.append(f"{kind}: {row['message']}")
    hint = _HINTS.get(decision.get("reason", ""))
    if hint:
        lines.append(hint)
    dwell = (status.get("effective") or {}).get("minDwellSeconds")
    if status.get("lastChangeTime") and dwell:
        end = datetime.fromisoformat(status["lastChangeTime"]) + timedelta(seconds=dwell)
        lines.append(f"the dwell time ends {_time(end)}")
    for site in sites:
        rows = (site.get("status") or {}).get("activeEvents") or ()
        lines += [
            f"event {row['name']} at {site['metadata']['name']}: {row['state']},"
            f" {row['startTime']} to {row['endTime']}"
            for row in rows
            if row["state"] in ("Far", "Near", "Active", "Recovering")
        ]
    for contract in contracts:
        change = (contract.get("status") or {}).get("nextChange")
        if change:
            band = f" to {change['bandName']}" if change.get("bandName") else ""
            price = f" at {change['total']}/kWh" if change.get("total") else ""
            name = contract["metadata"]["name"]
            lines.append(f"contract {name} changes {change['time']}{band}{price}")
    return tuple(lines)


def _time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
